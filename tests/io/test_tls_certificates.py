"""Certificates of a running server: by name, rotated, broken, and those of clients."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from tls_pairs import Live, Pair, client_context, connect, host_of, shown

from helpers.apps import hello, reply
from helpers.clients import HTTP1Client
from helpers.descriptors import no_descriptors
from helpers.serving import Records, Served, eventually
from helpers.site import Serving
from tricorn import Config
from tricorn.exceptions import ConfigError
from tricorn.io import certificates
from tricorn.io.certificates import CertificateWatch
from tricorn.io.tls import TLSContext
from tricorn.types import Receive, Scope, Send

QUICK = {"certificate_watch": 0.03}
NOT_ASCII = "-----BEGIN CERTIFICATE-----\n\xfc\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def settle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_SETTLE", 0.01)


# By name


def test_each_name_gets_its_certificate(
    serving: Serving, tmp_path: Path, authority: trustme.CA
) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["extensions"]["tls"]["server_cert"])
        await reply(send)

    pairs = {name: Pair(tmp_path / name, authority, f"{name}.example") for name in "abc"}
    table = [
        {"names": ["b.example", "*.b.example"], **pairs["b"].options},
        {"names": ["c.b.example", "Ü.example"], **pairs["c"].options},
    ]
    served = serving(app, **pairs["a"].options, certificates=table)
    names = {
        None: "a", "other.example": "a", "b.example": "b", "B.Example": "b", "x.b.example": "b",
        "c.b.example": "c", "y.x.b.example": "a", "xn--tda.example": "c", "a.example": "a",
    }  # fmt: skip
    for name, expected in names.items():
        with connect(served.address, client_context(authority), name) as sock:
            assert host_of(sock) == f"{expected}.example", name
            assert HTTP1Client(sock).get().status == 200
        assert seen.pop() == pairs[expected].certfile.read_text()


def test_names_that_are_hostile(serving: Serving, tmp_path: Path, authority: trustme.CA) -> None:
    """What is no name gets the certificate for all, and leaves no trace on the terminal."""
    a, b = (Pair(tmp_path / name, authority, f"{name}.example") for name in "ab")
    table = [{"names": ["b.example"], **b.options}]
    served = serving(hello, **a.options, certificates=table)
    for name in (b"\xff\xfe\xc3\xa4.example", b"b\x00b.xxexampl"):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = client_context(authority)
        client = context.wrap_bio(incoming, outgoing, server_hostname="placeholder.x")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        first = outgoing.read().replace(b"placeholder.x", name.ljust(13, b"x")[:13])
        with socket.create_connection(served.address, timeout=10) as sock:
            sock.sendall(first)
            assert sock.recv(1) in (b"\x16", b"\x15")
    assert shown(served.address, authority) == "a.example"


# Rotation


def test_new_files_are_in_use_and_old_connections_stay(
    serving: Serving, tmp_path: Path, authority: trustme.CA, records: Records
) -> None:
    old, new = (Pair(tmp_path / name, authority, f"{name}.example") for name in ("old", "new"))
    live = Live(tmp_path / "live", old)
    served = serving(hello, **live.options, **QUICK)
    with connect(served.address, client_context(authority)) as sock:
        client = HTTP1Client(sock)
        assert client.get().text == "hello"
        live.swap(new)
        eventually(lambda: shown(served.address, authority) == "new.example", "the new one")
        assert client.get().text == "hello"
        assert host_of(sock) == "old.example"
    told = [text for text in records.messages() if "certificates loaded anew" in text]
    assert told == [f"certificates loaded anew: {live.certfile}, {live.keyfile}"]


def test_a_broken_pair_leaves_the_former_in_use(
    serving: Serving, tmp_path: Path, authority: trustme.CA, records: Records
) -> None:
    pair = Pair(tmp_path / "pair", authority, "old.example")
    served = serving(hello, **pair.options, **QUICK)
    records.expect("the former certificates stay in use")
    pair.certfile.write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
    eventually(lambda: records.messages(level=40), "the error")
    assert shown(served.address, authority) == "old.example"
    [line] = records.messages(level=40)
    assert line.startswith(
        "the former certificates stay in use: certfile: expected a PEM certificate chain, got "
        f"{str(pair.certfile)!r}: "
    )
    pair.put(authority, "new.example")
    eventually(lambda: shown(served.address, authority) == "new.example", "the new one")
    assert len(records.messages(level=40)) == 1


@pytest.mark.long
def test_rotation_under_load_loses_no_handshake(
    serving: Serving, tmp_path: Path, authority: trustme.CA, records: Records
) -> None:
    # Where this machine stalls between the two links of a swap.
    records.expect("the former certificates stay in use")
    pairs = [Pair(tmp_path / str(n), authority, f"n{n}.example") for n in range(2)]
    live = Live(tmp_path / "live", pairs[0])
    served = serving(hello, **live.options, certificate_watch=0.01)
    load = [Load(served, authority) for _ in range(3)]
    for turn in range(8):
        live.swap(pairs[(turn + 1) % 2])
        wanted = f"n{(turn + 1) % 2}.example"
        eventually(lambda wanted=wanted: shown(served.address, authority) == wanted, wanted)
    hosts = set().union(*(thread.end() for thread in load))
    assert hosts == {"n0.example", "n1.example"}


class Load(threading.Thread):
    """Connects, asks and closes, over and over; raises in ``end`` what went wrong."""

    def __init__(self, served: Served, authority: trustme.CA) -> None:
        super().__init__()
        self._address, self._tls = served.address, client_context(authority)
        self._over = threading.Event()
        self._hosts: set[str] = set()
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            while not self._over.is_set():
                with connect(self._address, self._tls) as sock:
                    assert HTTP1Client(sock).get().text == "hello"
                    self._hosts.add(host_of(sock))
        except BaseException as exc:
            self._error = exc

    def end(self) -> set[str]:
        self._over.set()
        self.join()
        if self._error is not None:
            raise self._error
        return self._hosts


# Clients' certificates


def certified(authority: trustme.CA, server: trustme.CA) -> ssl.SSLContext:
    """A client with a certificate of ``authority``."""
    context = client_context(server)
    authority.issue_cert("client.example").configure_cert(context)
    return context


def refused(address: tuple[str, int], context: ssl.SSLContext) -> str:
    """The alert that a client gets."""
    with pytest.raises(ssl.SSLError) as caught, connect(address, context) as sock:
        # With TLS 1.3 the client is done before the server has looked at its certificate.
        sock.recv(1)
    return str(caught.value)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_certificates_are_checked_by_the_new_authorities(
    serving: Serving, tmp_path: Path, authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    first, second = trustme.CA(), trustme.CA()
    pair = Pair(tmp_path / "pair", authority, "a.example")
    trusted = tmp_path / "clients.pem"
    first.cert_pem.write_to_path(trusted)
    served = serving(
        hello, **pair.options, **QUICK, ca_certs=str(trusted), verify_mode="CERT_REQUIRED"
    )
    old, new, none = certified(first, authority), certified(second, authority), client_context()
    for context in (old, new, none):
        context.minimum_version = context.maximum_version = version
    with connect(served.address, old) as sock:
        assert HTTP1Client(sock).get().text == "hello"
        session = sock.session
    assert "ALERT" in refused(served.address, none)
    assert "ALERT_UNKNOWN_CA" in refused(served.address, new)
    trusted.write_bytes(second.cert_pem.bytes())

    def taken() -> bool:
        with contextlib.suppress(OSError), connect(served.address, new) as sock:
            return HTTP1Client(sock).get().status == 200
        return False

    eventually(taken, "the new authority")
    assert "ALERT_UNKNOWN_CA" in refused(served.address, old)
    # Nor does a session of before get in.
    with (
        socket.create_connection(served.address, timeout=10) as plain,
        pytest.raises(ssl.SSLError),
        old.wrap_socket(plain, session=session) as sock,
    ):
        sock.recv(1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_has_the_certificate(
    serving: Serving, tmp_path: Path, authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    """The client does not send it again."""
    seen: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["extensions"]["tls"])
        await reply(send)

    pair = Pair(tmp_path / "pair", authority, "a.example")
    trusted = tmp_path / "clients.pem"
    authority.cert_pem.write_to_path(trusted)
    served = serving(app, **pair.options, ca_certs=str(trusted), verify_mode="CERT_REQUIRED")
    context = certified(authority, authority)
    context.minimum_version = context.maximum_version = version
    session = None
    for resumed in (False, True):
        with (
            socket.create_connection(served.address, timeout=10) as plain,
            context.wrap_socket(plain, session=session) as sock,
        ):
            assert HTTP1Client(sock).get().status == 200
            assert sock.session_reused is resumed
            session = sock.session
    first, second = seen
    assert second["client_cert_chain"][0] == first["client_cert_chain"][0]
    assert second["client_cert_name"] == first["client_cert_name"]


# The watch itself


class Sleep:
    """Stands for time.sleep: does something instead."""

    def __init__(self, *actions: Any) -> None:
        self._actions = list(actions)

    def __call__(self, seconds: float) -> None:
        if self._actions:
            self._actions.pop(0)()


@pytest.fixture
def tls(tmp_path: Path, authority: trustme.CA) -> tuple[TLSContext, Pair]:
    pair = Pair(tmp_path / "pair", authority, "old.example")
    return TLSContext(Config(**pair.options)), pair


def test_look(tls: tuple[TLSContext, Pair], authority: trustme.CA, records: Records) -> None:
    context, pair = tls
    watch, first = CertificateWatch(context), context.main
    assert not watch.look()
    # Half of a rotation: the key follows while the watch looks.
    fresh = authority.issue_cert("new.example")
    pair.certfile.write_bytes(fresh.cert_chain_pems[0].bytes())
    late = Sleep(
        lambda: pair.keyfile.write_text("half"),
        lambda: pair.keyfile.write_bytes(fresh.private_key_pem.bytes()),
    )
    assert watch.look(late)
    assert context.main is not first
    assert not watch.look()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("certfile", "no PEM", "certfile: expected a PEM certificate chain, got "),
        ("certfile", NOT_ASCII, "certfile: expected a PEM certificate chain, got "),
        ("keyfile", "no PEM", "keyfile: expected a PEM private key, got "),
        ("certfile", None, "certfile: cannot read "),
        ("keyfile", None, "keyfile: cannot read "),
        ("keyfile", "other", "is not the key of certfile"),
    ],
)
def test_the_file_at_fault_is_named_once(
    tls: tuple[TLSContext, Pair], authority: trustme.CA, records: Records,
    name: str, content: str | None, said: str,
) -> None:  # fmt: skip
    context, pair = tls
    watch, first = CertificateWatch(context), context.main
    path: Path = getattr(pair, name)
    good = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        other = authority.issue_cert("x.example").private_key_pem.bytes()
        path.write_bytes(other if content == "other" else content.encode())
    records.expect("the former certificates stay in use")
    assert not watch.look(Sleep())
    assert records.messages(level=40) == [], "the other half of a rotation may follow"
    for _ in range(3):
        assert not watch.look(Sleep())
    [line] = records.messages(level=40)
    assert said in line
    assert str(path) in line
    with pytest.raises(ConfigError):
        context.reload()
    assert context.main is first
    path.write_bytes(good)
    assert watch.look(Sleep())


def test_a_key_of_another_kind_is_not_the_key(tmp_path: Path, authority: trustme.CA) -> None:
    """As between the two halves of a move from RSA to ECDSA."""
    pair = Pair(tmp_path / "pair", authority, "a.example")
    for kind in (trustme.KeyType.RSA, trustme.KeyType.ECDSA):
        other = authority.issue_cert("a.example", key_type=kind)
        pair.keyfile.write_bytes(other.private_key_pem.bytes())
        with pytest.raises(ConfigError, match=r"^keyfile: .* is not the key of certfile"):
            TLSContext(Config(**pair.options))


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_what_is_wrong_with_the_password_is_told(
    tmp_path: Path, authority: trustme.CA, form: str
) -> None:
    pair = Pair(tmp_path / "pair", authority, "a.example")
    key = serialization.load_pem_private_key(pair.keyfile.read_bytes(), None)
    pair.keyfile.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            getattr(serialization.PrivateFormat, form),
            serialization.BestAvailableEncryption(b"right"),
        )
    )
    TLSContext(Config(**pair.options, keyfile_password="right"))
    for given, said in (("", "none was given"), ("wrong", "the given one is wrong")):
        with pytest.raises(ConfigError, match=f"^keyfile_password: .* is encrypted, and {said}$"):
            TLSContext(Config(**pair.options, keyfile_password=given or None))


def test_a_certificate_by_name_is_named(tmp_path: Path, authority: trustme.CA) -> None:
    a, b = (Pair(tmp_path / name, authority, f"{name}.example") for name in "ab")
    b.keyfile.write_text("broken")
    config = Config(**a.options, certificates=[{"names": ["b.example"], **b.options}])
    with pytest.raises(ConfigError, match=r"^certificates\[0\]\.keyfile: expected a PEM private"):
        TLSContext(config)


def test_a_swapped_directory(tmp_path: Path, authority: trustme.CA, records: Records) -> None:
    """Kubernetes: the files are links through a link to a directory."""
    for name in ("old", "new"):
        Pair(tmp_path / name, authority, f"{name}.example")
    data = tmp_path / "..data"
    data.symlink_to("old")
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    context = TLSContext(
        Config(certfile=str(tmp_path / "cert.pem"), keyfile=str(tmp_path / "key.pem"))
    )
    watch = CertificateWatch(context)
    fresh = tmp_path / "..data_tmp"
    fresh.symlink_to("new")
    os.replace(fresh, data)
    assert watch.look(Sleep())
    assert not watch.look(Sleep())


def test_a_renewal_without_descriptors_comes_once_there_are(
    tls: tuple[TLSContext, Pair], authority: trustme.CA, tmp_path: Path, records: Records
) -> None:
    """What the system refuses for now is no fault of the files, which change no more."""
    context, pair = tls
    watch = CertificateWatch(context)
    fresh = Pair(tmp_path / "fresh", authority, "new.example")
    os.replace(fresh.certfile, pair.certfile)
    os.replace(fresh.keyfile, pair.keyfile)
    records.expect("the former certificates stay in use")
    with no_descriptors():
        for _ in range(4):
            assert not watch.look(Sleep())
    [line] = records.messages(level=40)
    assert line.endswith("Too many open files")
    assert watch.look(Sleep())


def test_clients_that_no_authority_is_there_for(tmp_path: Path, authority: trustme.CA) -> None:
    pair = Pair(tmp_path / "pair", authority, "a.example")
    with pytest.raises(ConfigError, match=r"^verify_mode: CERT_REQUIRED without ca_certs"):
        TLSContext(Config(**pair.options, verify_mode="CERT_REQUIRED"))
    for mode in ("CERT_NONE", "CERT_OPTIONAL"):
        TLSContext(Config(**pair.options, verify_mode=mode))


def test_where_the_system_gives_no_thread(
    serving: Serving, tmp_path: Path, authority: trustme.CA, records: Records,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """At its limit of processes: the server goes on, and looks once there is one."""
    run_sync, turns = anyio.to_thread.run_sync, 0

    async def scarce(*args: Any, **options: Any) -> Any:
        nonlocal turns
        turns += 1
        if turns <= 3:
            raise RuntimeError("can't start new thread")
        return await run_sync(*args, **options)

    monkeypatch.setattr(anyio.to_thread, "run_sync", scarce)
    old, new = (Pair(tmp_path / name, authority, f"{name}.example") for name in ("old", "new"))
    live = Live(tmp_path / "live", old)
    records.expect("certificate_watch: cannot look")
    served = serving(hello, **live.options, **QUICK)
    live.swap(new)
    eventually(lambda: shown(served.address, authority) == "new.example", "the new one")
    assert records.messages(level=30) == [
        "certificate_watch: cannot look: can't start new thread; it goes on trying"
    ]


def test_where_looking_is_not_allowed(
    serving: Serving, tls: tuple[TLSContext, Pair], records: Records,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As behind a change of user: said once, and the watch ends."""
    context, pair = tls

    def refuse(paths: object) -> None:
        raise PermissionError(13, "Permission denied", str(pair.keyfile))

    monkeypatch.setattr(certificates, "fingerprint", refuse)
    serving.portal.call(CertificateWatch(context).run, 0.01)
    records.expect("cannot look at")
    assert records.messages(level=30) == [
        f"certificate_watch: cannot look at {str(pair.keyfile)!r}: Permission denied; its "
        "changes go unnoticed"
    ]


@pytest.mark.parametrize("ciphers", ["", "nope", "\udc80"], ids=["none", "unknown", "no text"])
def test_a_cipher_list_that_openssl_cannot_read(
    ciphers: str, tmp_path: Path, authority: trustme.CA
) -> None:
    pair = Pair(tmp_path / "pair", authority, "a.example")
    with pytest.raises(ConfigError) as refused:
        TLSContext(Config(**pair.options, ciphers=ciphers))
    assert str(refused.value) == f"ciphers: expected an OpenSSL cipher list, got {ciphers!r}"
