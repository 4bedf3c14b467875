"""The TLS extension 0.2 of ASGI (specs/tls.rst)."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID
from specification_site import SharedSite, accept

from helpers.apps import reply
from helpers.clients import HTTP1Client, HTTP2Client, open_socket
from helpers.serving import Inbox, Served
from helpers.site import Serving
from tricorn.types import Receive, Scope, Send

KEYS = {
    "server_cert", "client_cert_chain", "client_cert_name", "client_cert_error", "tls_version",
    "cipher_suite",
}  # fmt: skip
# RFC 8446 appendix B.4; RFC 5289 and RFC 7905, for ECDSA certificates.
SUITES = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
}


class Teller:
    """Tells the extensions of every scope."""

    def __init__(self) -> None:
        self.extensions = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.extensions.put(scope["extensions"])
        if scope["type"] == "websocket":
            await accept(receive, send)
        else:
            await reply(send)


def test_only_over_tls(site: SharedSite) -> None:
    """must, TLS "TLS Connection Scope": the extension is in the scopes of TLS connections, HTTP
    and WebSocket, and forbidden in every other one."""
    app = Teller()
    site.open(app).get("/")
    site.websocket().handshake()
    for _ in range(2):
        extensions = app.extensions.take()
        assert ("tls" in extensions) is site.tls
        if site.tls:
            assert type(extensions["tls"]) is dict
            assert extensions["tls"].keys() == KEYS


@pytest.mark.parametrize("tls", [True], ids=["tls"])
def test_server_certificate(site: SharedSite) -> None:
    """must, TLS "TLS Connection Scope": server_cert is the certificate that the server has sent,
    as PEM."""
    app = Teller()
    client = site.open(app)
    client.get("/")
    assert isinstance(client.sock, ssl.SSLSocket)
    pem = app.extensions.take()["tls"]["server_cert"]
    assert type(pem) is str
    assert pem.startswith("-----BEGIN CERTIFICATE-----\n")
    assert ssl.PEM_cert_to_DER_cert(pem) == client.sock.getpeercert(binary_form=True)


@pytest.mark.parametrize("tls", [True], ids=["tls"])
def test_no_client_certificate(site: SharedSite) -> None:
    """must, TLS "TLS Connection Scope": without a certificate of the client client_cert_chain is
    empty, and client_cert_name and client_cert_error are None."""
    app = Teller()
    site.open(app).get("/")
    tls = app.extensions.take()["tls"]
    assert len(tls["client_cert_chain"]) == 0
    assert (tls["client_cert_name"], tls["client_cert_error"]) == (None, None)


def exchange(served: Served, context: ssl.SSLContext, protocol: str) -> str:
    """One request; the name of the cipher that it went by."""
    with open_socket(served.address, context, protocol) as sock:
        client = HTTP2Client(sock) if protocol == "h2" else HTTP1Client(sock)
        assert client.get("/").status == 200
        assert isinstance(sock, ssl.SSLSocket)
        cipher = sock.cipher()
    assert cipher is not None
    return cipher[0]


@pytest.mark.parametrize(
    ("version", "number"), [(ssl.TLSVersion.TLSv1_2, 0x0303), (ssl.TLSVersion.TLSv1_3, 0x0304)]
)
def test_version_and_cipher_suite(
    serving: Serving, protocol: str, version: ssl.TLSVersion, number: int
) -> None:
    """must, TLS "TLS Connection Scope": tls_version is the number of the version in use.

    must, TLS "TLS Connection Scope": cipher_suite is the 16-bit number of the suite in use."""
    app = Teller()
    served = serving(app, tls=True, ciphers="ECDHE+AESGCM:ECDHE+CHACHA20")
    context = serving.certificate.client()
    context.minimum_version = context.maximum_version = version
    offers = [name for name in SUITES if name.startswith("ECDHE")] if number == 0x0303 else [""]
    for offer in offers:
        if offer:
            context.set_ciphers(offer)
        name = exchange(served, context, protocol)
        assert name == offer or not offer
        tls = app.extensions.take()["tls"]
        assert (tls["tls_version"], tls["cipher_suite"]) == (number, SUITES[name])
        assert type(tls["tls_version"]) is type(tls["cipher_suite"]) is int


@pytest.fixture
def asking(serving: Serving) -> Iterator[tuple[Teller, Served]]:
    """A server that asks clients for certificates, and takes those that have none."""
    app = Teller()
    with serving.certificate.authority.cert_pem.tempfile() as ca_certs:
        yield app, serving(app, tls=True, verify_mode="CERT_OPTIONAL", ca_certs=ca_certs)


@pytest.mark.parametrize("intermediates", [0, 1])
def test_client_certificate(
    serving: Serving, protocol: str, asking: tuple[Teller, Served], intermediates: int
) -> None:
    """must, TLS "TLS Connection Scope": client_cert_chain is what the client has sent, as PEM:
    its certificate first, each further one signing the one before it.

    must, TLS "TLS Connection Scope": with a chain there is client_cert_name, the subject of its
    first certificate as RFC 4514 writes it.

    must, TLS "TLS Connection Scope": client_cert_error is None for a certificate that has been
    verified."""
    app, served = asking
    authority = serving.certificate.authority
    for _ in range(intermediates):
        authority = authority.create_child_ca()
    issued = authority.issue_cert(
        "peer.example", organization_name='A, "B" + <C>;', common_name=" #1=\u00e9\\ "
    )
    context = serving.certificate.client()
    issued.configure_cert(context)
    exchange(served, context, protocol)
    tls = app.extensions.take()["tls"]
    sent = [blob.bytes().decode() for blob in issued.cert_chain_pems]
    # A client that sends its certificate alone has OpenSSL add the root that it trusts.
    found = [pem.strip() for pem in tls["client_cert_chain"]]
    assert found[: 1 + intermediates] == [pem.strip() for pem in sent]
    assert all(type(pem) is str for pem in tls["client_cert_chain"])
    assert len(sent) == 1 + intermediates
    chain = [x509.load_pem_x509_certificate(pem.encode()) for pem in tls["client_cert_chain"]]
    for below, above in itertools.pairwise(chain):
        below.verify_directly_issued_by(above)
    assert x509.Name.from_rfc4514_string(tls["client_cert_name"]) == chain[0].subject
    assert tls["client_cert_error"] is None
    # The same server, asked by a client that has no certificate.
    exchange(served, serving.certificate.client(), protocol)
    bare = app.extensions.take()["tls"]
    assert (len(bare["client_cert_chain"]), bare["client_cert_name"]) == (0, None)


def test_a_client_certificate_whose_other_names_are_no_text(
    serving: Serving, protocol: str, asking: tuple[Teller, Served], tmp_path: Path
) -> None:
    """must, TLS "TLS Connection Scope": client_cert_name is there with any chain, also where
    something else in the certificate is not the text that it ought to be."""
    app, served = asking
    authority = serving.certificate.authority
    names = bytes.fromhex("300681046d fc6c6c")  # an address of mail, in Latin-1
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signing = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder(issuer.subject, serial_number=1)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")]))
        .public_key(key.public_key())
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .add_extension(
            x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names), False
        )
        .sign(signing, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "client.pem").write_bytes(secret + made.public_bytes(pem))
    context = serving.certificate.client()
    context.load_cert_chain(tmp_path / "client.pem")
    exchange(served, context, protocol)
    assert app.extensions.take()["tls"]["client_cert_name"] == "CN=peer"


def test_a_client_certificate_that_does_not_verify(
    serving: Serving, asking: tuple[Teller, Served]
) -> None:
    """optional, TLS "TLS Connection Scope": a client whose certificate does not verify is
    refused in the handshake, so that client_cert_error need never tell of it."""
    app, served = asking
    context = serving.certificate.client()
    trustme.CA().issue_cert("peer.example").configure_cert(context)
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        exchange(served, context, "http/1.1")
    assert app.extensions.empty()


@pytest.mark.parametrize("tls", [True], ids=["tls"])
def test_values_of_the_extension(site: SharedSite) -> None:
    """must, core "Events": the extension's value is of the types that a scope may hold."""
    app = Teller()
    site.open(app).get("/")
    tls: dict[str, Any] = app.extensions.take()["tls"]
    for key in ("server_cert", "client_cert_name", "client_cert_error"):
        assert tls[key] is None or type(tls[key]) is str
    assert isinstance(tls["client_cert_chain"], list | tuple)
    assert 0 < tls["cipher_suite"] < 2**16
