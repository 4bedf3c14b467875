"""What peers do at an address that speaks TLS: nothing of it is more than a quiet line."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from tls_pairs import Pair, client_context, connect

from helpers.apps import hello, reply
from helpers.clients import HTTP1Client, open_socket, reset_socket
from helpers.programs import Program
from helpers.serving import PATIENCE, Inbox, Records, Served, eventually
from helpers.site import Serving
from tricorn.types import Receive, Scope, Send

SUITES = ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305")
SUITES_1_3 = ("AES_256_GCM_SHA384", "AES_128_GCM_SHA256", "CHACHA20_POLY1305_SHA256")
REASON = "cleartext HTTP at an address that speaks TLS"


def talk(served: Served, *pieces: bytes, half_close: bool = False) -> bytes:
    """Everything the server sends to somebody who sends these."""
    with open_socket(served.address) as sock:
        for piece in pieces:
            sock.sendall(piece)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := sock.recv(65536):
                answer += data
        return answer


def client_hello(served: Served, context: ssl.SSLContext | None = None) -> bytes:
    """The first bytes of a TLS client."""
    outgoing = ssl.MemoryBIO()
    context = context or client_context()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


# Cleartext


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"],
        [b"O", b"PTIONS * HTTP/1.1\r\nhost: a\r\n\r\n"],
        [b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n", b"x" * 200_000],
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        [b"BREW"],
    ],
    ids=["get", "options", "body", "http2", "unfinished"],
)
def test_cleartext_http_is_told(serving: Serving, records: Records, pieces: list[bytes]) -> None:
    served = serving(hello, tls=True)
    answer = talk(served, *pieces)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-length: %d\r\n" % len(body) in head
    assert body == b"This port speaks TLS: use https:// or wss:// to talk to it.\n"
    assert f"refused {REASON} from 127.0.0.1" in records.messages()
    # The next one is served.
    assert serving.connect(served).get().status == 200


def test_cleartext_peer_that_stays_is_cut(serving: Serving) -> None:
    served = serving(hello, tls=True, close_timeout=0.1)
    with open_socket(served.address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        while sock.recv(65536):
            pass
        eventually(lambda: _is_reset(sock), "the end of the connection")


def _is_reset(sock: socket.socket) -> bool:
    try:
        sock.send(b"x")
    except OSError:
        return True
    return False


# Stalls


@pytest.mark.parametrize("part", [0, 1, 40])
def test_stalled_handshakes_are_cut(serving: Serving, part: int) -> None:
    served = serving(hello, tls=True, ssl_handshake_timeout=0.1)
    begin = time.monotonic()
    assert talk(served, client_hello(served)[:part]) == b""
    assert time.monotonic() - begin < 5
    served.stop()
    served.wait()


def test_a_handshake_in_single_bytes(serving: Serving) -> None:
    """The ClientHello is understood however it is cut."""
    served = serving(hello, tls=True)
    context = serving.certificate.client()
    context.set_alpn_protocols(["http/1.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with open_socket(served.address) as sock:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                data = outgoing.read()
                for place in range(len(data)):
                    sock.sendall(data[place : place + 1])
                incoming.write(sock.recv(65536))
        assert client.selected_alpn_protocol() == "http/1.1"


# Failures


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00" * 100,
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\x40\x01" + b"x" * 16385,
        b"\x80\x2e\x01\x03\x01",
        b"get / http/1.1\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"",
    ],
    ids=["zeros", "garbage", "too-long", "ssl2", "lower", "alert", "nothing"],
)
def test_garbage_is_quiet(serving: Serving, records: Records, sent: bytes) -> None:
    served = serving(hello, tls=True)
    answer = talk(served, sent, half_close=True)
    # Nothing, or an alert.
    assert answer[:1] in (b"", b"\x15")
    assert serving.connect(served).get().status == 200


def alert(served: Served, context: ssl.SSLContext) -> str:
    """What a client is told whose handshake fails."""
    with (
        pytest.raises(ssl.SSLError) as caught,
        connect(served.address, context, "localhost") as sock,
    ):
        sock.recv(1)
    # Python's table of alerts has not all of them; OpenSSL names the others in lower case.
    return str(caught.value).upper().replace(" ", "_")


def test_no_common_protocol_is_told(serving: Serving) -> None:
    """RFC 7301 section 3.2."""
    served = serving(hello, tls=True)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = serving.certificate.client()
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["acme-tls/1", "http/0.9"])
        assert "NO_APPLICATION_PROTOCOL" in alert(served, context)
        context.set_alpn_protocols(["acme-tls/1", "http/1.1"])
        with connect(served.address, context, "localhost") as sock:
            assert sock.selected_alpn_protocol() == "http/1.1"
    # Clients without a list speak HTTP/1.1.
    with connect(served.address, serving.certificate.client(), "localhost") as sock:
        assert sock.selected_alpn_protocol() is None
        assert HTTP1Client(sock).get().text == "hello"


def test_http_1_0_has_a_name_of_its_own(serving: Serving) -> None:
    """And curl offers no other with --http1.0."""
    served = serving(hello, tls=True)
    context = serving.certificate.client()
    context.set_alpn_protocols(["http/1.0"])
    with connect(served.address, context, "localhost") as sock:
        assert sock.selected_alpn_protocol() == "http/1.0"
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"".join(iter(lambda: sock.recv(4096), b"")).endswith(b"\r\n\r\nhello")
    context.set_alpn_protocols(["http/1.0", "http/1.1"])
    with connect(served.address, context, "localhost") as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"


def test_one_session_ticket(serving: Serving) -> None:
    """RFC 8446 section 4.6.1. It is good for more than one connection."""
    served = serving(hello, tls=True)
    context: Any = serving.certificate.client()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    seen: list[str] = []
    context._msg_callback = lambda *about: seen.append(about[4].name)
    with connect(served.address, context, "localhost") as sock:
        assert HTTP1Client(sock).get().text == "hello"
        session = sock.session
    assert seen.count("NEWSESSION_TICKET") == 1
    for _ in range(2):
        with context.wrap_socket(
            open_socket(served.address), server_hostname="localhost", session=session
        ) as again:
            assert again.session_reused
            assert HTTP1Client(again).get().text == "hello"


def test_one_protocol_only(serving: Serving) -> None:
    served = serving(hello, tls=True, alpn_protocols=["h2"])
    context = serving.certificate.client()
    context.set_alpn_protocols(["http/1.1", "http/1.0"])
    assert "NO_APPLICATION_PROTOCOL" in alert(served, context)
    assert serving.connect(served, "h2").get().status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_failures_are_told(serving: Serving) -> None:
    """The alert reaches the client, and does not end in a reset."""
    served = serving(hello, tls=True)
    context = serving.certificate.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA")
    assert "HANDSHAKE_FAILURE" in alert(served, context)
    context = serving.certificate.client()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert "PROTOCOL_VERSION" in alert(served, context)
    assert serving.connect(served).get().status == 200


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
@pytest.mark.parametrize(
    ("version", "option", "suites"),
    [
        ("-tls1_2", "-cipher", [f"ECDHE-ECDSA-{name}" for name in SUITES]),
        ("-tls1_3", "-ciphersuites", ["TLS_" + name for name in SUITES_1_3]),
    ],
)
@pytest.mark.parametrize("first", range(3))
def test_the_suite_is_that_the_client_likes_best(
    serving: Serving, version: str, option: str, suites: list[str], first: int
) -> None:
    host, port = serving(hello, tls=True).address[:2]
    order = [*suites[first:], *suites[:first]]
    command = ["openssl", "s_client", "-brief", "-connect", f"{host}:{port}"]
    done = subprocess.run(
        [*command, version, option, ":".join(order)],
        input="",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert f"Ciphersuite: {order[0]}\n" in done.stderr


def test_client_that_does_not_trust_us(serving: Serving) -> None:
    served = serving(hello, tls=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(served.address, client_context(trustme.CA()), "localhost")
    assert serving.connect(served).get().status == 200


def test_certificate_that_is_missing(serving: Serving, tmp_path: Path) -> None:
    authority = trustme.CA()
    pair = Pair(tmp_path / "pair", authority, "localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    served = serving(
        hello, **pair.options, ca_certs=str(tmp_path / "ca.pem"), verify_mode="CERT_REQUIRED"
    )
    for version, told in (
        (ssl.TLSVersion.TLSv1_2, "HANDSHAKE_FAILURE"),
        (ssl.TLSVersion.TLSv1_3, "CERTIFICATE_REQUIRED"),
    ):
        context = client_context(authority)
        context.minimum_version = context.maximum_version = version
        assert told in alert(served, context)


# Ends


@pytest.mark.parametrize("end", ["fin", "reset", "notify", "data-behind-notify"])
@pytest.mark.parametrize("busy", [False, True])
def test_ends_are_quiet(
    serving: Serving, protocol: str, end: str, busy: bool, records: Records
) -> None:
    """However the peer leaves: the application is told, and nobody else."""
    inbox = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/busy":
            inbox.put("begun")
            while (await receive())["type"] != "http.disconnect":
                pass
            inbox.put("left")
        else:
            await reply(send, b"hello")

    served = serving(app, tls=True)
    client = serving.connect(served, protocol)
    assert client.get().text == "hello"
    if busy:
        client.start("GET", "/busy")
        assert inbox.take() == "begun"
    sock = client.sock
    assert isinstance(sock, ssl.SSLSocket)
    if end == "fin":
        # The TCP end without close_notify (RFC 8446 section 6.1 calls it a truncation).
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
    elif end == "reset":
        reset_socket(sock)
    else:
        _say_goodbye(sock, data_behind=end != "notify")
    if busy:
        assert inbox.take() == "left"
    served.stop()
    served.wait()


def _say_goodbye(sock: ssl.SSLSocket, *, data_behind: bool) -> None:
    """Send close_notify and leave our side of TCP open; the server closes."""
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        sock.unwrap()
    plain = socket.socket(fileno=sock.detach())
    plain.settimeout(PATIENCE)
    with plain, contextlib.suppress(OSError):
        if data_behind:
            plain.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        while plain.recv(65536):
            pass


def test_peer_that_ignores_our_goodbye(serving: Serving) -> None:
    """The server closes, the peer does not: cut after ssl_shutdown_timeout, without a line."""
    served = serving(hello, tls=True, ssl_shutdown_timeout=0.1)
    client = serving.connect(served)
    client.sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    plain = socket.socket(fileno=client.sock.detach())
    with plain:
        plain.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            while plain.recv(65536):
                pass
    served.stop()
    served.wait()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
def test_renegotiation_is_refused(serving: Serving) -> None:
    served = serving(hello, tls=True)
    host, port = served.address
    with Program(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2", "-legacy_renegotiation"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as client:  # fmt: skip
        assert client.stdin is not None
        assert client.stdout is not None
        told = ""
        client.stdin.write("R\n")
        client.stdin.flush()
        for line in client.stdout:
            told += line
            if "error" in line and "RENEGOTIATING" in told:
                break
    assert "RENEGOTIATING" in told
    assert "no renegotiation" in told
    assert serving.connect(served).get().status == 200


def test_a_failed_handshake_gives_its_place_back(serving: Serving, backend: str) -> None:
    """max_connections counts nobody who is gone."""
    served = serving(hello, tls=True, max_connections=2)
    for sent in (b"\x00" * 10, b"GET / HTTP/1.1\r\n\r\n", b"") * 4:
        talk(served, sent, half_close=True)
    assert serving.connect(served).get().status == 200
    if backend in ("asyncio", "uvloop"):

        async def tasks() -> int:
            return sum("_open" in repr(task) for task in asyncio.all_tasks())

        eventually(lambda: served.portal.call(tasks) == 0, "no handshake under way")
