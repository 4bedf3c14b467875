"""The development certificate, judged by `cryptography`, OpenSSL and a real handshake."""

from __future__ import annotations

import ipaddress
import itertools
import os
import shutil
import ssl
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tricorn import dev_certificate
from tricorn.exceptions import ConfigError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tricorn"


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def rewrite(certificate: Path, key: Path, made_at: datetime) -> None:
    """Put a matching pair in place that was made at another time."""
    number = dev_certificate.generate_key()
    der = dev_certificate.build(number, dev_certificate.DEFAULT_HOSTS, made_at)
    certificate.write_text(ssl.DER_cert_to_PEM_cert(der))
    private = serialization.load_der_private_key(dev_certificate.encode_key(number), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


# What is in the files


def test_signature_verifies_with_cryptography(directory: Path) -> None:
    certificate = load(dev_certificate.ensure(directory)[0])
    certificate.verify_directly_issued_by(certificate)
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)


def test_key_belongs_to_certificate(directory: Path) -> None:
    certificate, key = dev_certificate.ensure(directory)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(private.curve, ec.SECP256R1)
    assert private.public_key() == load(certificate).public_key()


@pytest.mark.parametrize("private_key", [1, 2, 3, 2**255, dev_certificate._N - 1])
def test_scalar_multiplication_agrees_with_cryptography(private_key: int) -> None:
    public = ec.derive_private_key(private_key, ec.SECP256R1()).public_key()
    assert dev_certificate._public_bytes(private_key) == public.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    loaded = serialization.load_der_private_key(dev_certificate.encode_key(private_key), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    assert loaded.private_numbers().private_value == private_key


def test_signatures_verify_and_never_repeat_a_nonce() -> None:
    private_key = dev_certificate.generate_key()
    public = ec.derive_private_key(private_key, ec.SECP256R1()).public_key()
    signatures = [dev_certificate.sign(private_key, b"message") for _ in range(20)]
    for signature in signatures:
        public.verify(signature, b"message", ec.ECDSA(hashes.SHA256()))
    assert len(set(signatures)) == 20


def test_extensions_say_loopback_server_and_no_authority(directory: Path) -> None:
    extensions = load(dev_certificate.ensure(directory)[0]).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.ca is False
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]
    identifier = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert len(identifier.digest) == 20


def test_lifetime_is_ninety_days_from_an_hour_ago() -> None:
    now = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    der = dev_certificate.build(dev_certificate.generate_key(), ["localhost"], now)
    certificate = x509.load_der_x509_certificate(der)
    assert certificate.not_valid_before_utc == now - timedelta(hours=1)
    assert certificate.not_valid_after_utc == now + timedelta(days=90)


def test_serial_numbers_differ_and_fit_rfc_5280() -> None:
    private_key = dev_certificate.generate_key()
    now = datetime.now(UTC)
    serials = {
        x509.load_der_x509_certificate(
            dev_certificate.build(private_key, ["localhost"], now)
        ).serial_number
        for _ in range(5)
    }
    assert len(serials) == 5
    assert all(0 < serial < 2**159 for serial in serials)


def test_other_hosts_are_named(directory: Path) -> None:
    certificate, _ = dev_certificate.ensure(directory, ["app.test", "*.app.test", "192.0.2.7"])
    names = load(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["app.test", "*.app.test"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.0.2.7")]


@pytest.mark.parametrize("host", ["", "a b", "https://localhost", "a" * 70 + ".test", "x\n"])
def test_refuses_what_is_no_host_name(directory: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="not a host name"):
        dev_certificate.ensure(directory, [host])
    assert not directory.exists()


# How OpenSSL likes it


@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1", "::1"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_handshake_verifies_when_trusted(
    directory: Path, hostname: str, version: ssl.TLSVersion
) -> None:
    certificate, key = dev_certificate.ensure(directory)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    client_context = ssl.create_default_context(cafile=certificate)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    client_context.minimum_version = client_context.maximum_version = version
    handshake(server_context, client_context, hostname)


def test_handshake_fails_for_another_name(directory: Path) -> None:
    certificate, key = dev_certificate.ensure(directory)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    client_context = ssl.create_default_context(cafile=certificate)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(server_context, client_context, "example.com")


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, hostname: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=hostname),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = set(ends)
    for end in itertools.islice(itertools.cycle(ends), 20):
        try:
            end.do_handshake()
            waiting.discard(end)
        except ssl.SSLWantReadError:
            continue
    assert not waiting


def test_openssl_verifies(directory: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl program is not installed")
    certificate, key = dev_certificate.ensure(directory)
    checks = ["-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost"]
    subprocess.run(
        [openssl, "verify", *checks, "-CAfile", certificate, certificate],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [openssl, "pkey", "-check", "-noout", "-in", key], check=True, capture_output=True
    )


# The files themselves


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_do_not_depend_on_the_umask(directory: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        _, key = dev_certificate.ensure(directory)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_second_call_keeps_the_files(directory: Path) -> None:
    paths = dev_certificate.ensure(directory)
    before = [path.read_bytes() for path in paths]
    assert dev_certificate.ensure(directory) == paths
    assert [path.read_bytes() for path in paths] == before


@pytest.mark.parametrize(("age", "kept"), [(82, True), (83, False), (84, False), (400, False)])
def test_renewed_with_less_than_seven_days_left(directory: Path, age: int, kept: bool) -> None:
    certificate, key = dev_certificate.ensure(directory)
    slack = timedelta(minutes=1)
    rewrite(certificate, key, datetime.now(UTC) - timedelta(days=age) - slack)
    before = certificate.read_bytes()
    dev_certificate.ensure(directory)
    assert (certificate.read_bytes() == before) is kept
    assert load(certificate).not_valid_after_utc > datetime.now(UTC) + timedelta(days=7)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00", b"-----BEGIN CERTIFICATE-----\nAA\n"])
def test_damaged_file_is_replaced(directory: Path, victim: int, damage: bytes) -> None:
    paths = dev_certificate.ensure(directory)
    paths[victim].write_bytes(damage)
    dev_certificate.ensure(directory)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*paths)


@pytest.mark.parametrize("victim", [0, 1])
def test_missing_file_is_replaced(directory: Path, victim: int) -> None:
    paths = dev_certificate.ensure(directory)
    paths[victim].unlink()
    dev_certificate.ensure(directory)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*paths)


def test_key_of_another_certificate_is_replaced(directory: Path, tmp_path: Path) -> None:
    paths = dev_certificate.ensure(directory)
    _, other = dev_certificate.ensure(tmp_path / "other")
    paths[1].write_bytes(other.read_bytes())
    dev_certificate.ensure(directory)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*paths)


def test_encrypted_key_is_replaced_without_asking(directory: Path) -> None:
    _, key = dev_certificate.ensure(directory)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    dev_certificate.ensure(directory)
    assert b"BEGIN PRIVATE KEY" in key.read_bytes()


def test_key_that_others_could_read_is_replaced(directory: Path) -> None:
    certificate, key = dev_certificate.ensure(directory)
    before = key.read_bytes(), certificate.read_bytes()
    key.chmod(0o644)
    dev_certificate.ensure(directory)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_bytes() != before[0]
    assert certificate.read_bytes() != before[1]


def test_new_hosts_make_a_new_certificate(directory: Path) -> None:
    certificate, _ = dev_certificate.ensure(directory)
    before = certificate.read_bytes()
    dev_certificate.ensure(directory, ["localhost"])
    assert certificate.read_bytes() != before


def test_no_temporary_files_are_left(directory: Path) -> None:
    dev_certificate.ensure(directory)
    assert {path.name for path in directory.iterdir()} == {
        ".lock",
        dev_certificate.CERTIFICATE_NAME,
        dev_certificate.KEY_NAME,
    }


def test_directory_others_can_write_is_refused(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    with pytest.raises(ConfigError, match="writable for you alone"):
        dev_certificate.ensure(directory)
    assert not list(directory.iterdir())


def test_directory_that_cannot_be_made_is_an_operators_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="development certificate in"):
        dev_certificate.ensure(tmp_path / "file" / "tricorn")


@pytest.mark.parametrize("data_home", ["set", "empty", "relative"])
def test_default_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_home: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    value = {"set": str(tmp_path / "xdg"), "empty": "", "relative": "xdg"}[data_home]
    monkeypatch.setenv("XDG_DATA_HOME", value)
    certificate, _ = dev_certificate.ensure()
    base = tmp_path / "xdg" if data_home == "set" else tmp_path / "home" / ".local" / "share"
    assert certificate.parent == base / "tricorn"


def test_processes_at_once_get_one_matching_pair(directory: Path) -> None:
    script = (
        "import pathlib, ssl, sys\n"
        "from tricorn import dev_certificate\n"
        "sys.stdin.read()\n"  # all of them start when the pipe is closed
        "pair = dev_certificate.ensure(pathlib.Path(sys.argv[1]))\n"
        "ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*pair)\n"
        "print(pair[0].read_text(), pair[1].read_text())\n"
    )
    gate_reader, gate_writer = os.pipe()
    try:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(directory)],
                stdin=gate_reader,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(6)
        ]
    finally:
        os.close(gate_reader)
        os.close(gate_writer)
    outputs = [process.communicate(timeout=30)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6
    assert len(set(outputs)) == 1
