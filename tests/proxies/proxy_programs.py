"""Real proxies in front of a server: HAProxy and nginx, on a socket that the test has bound."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from helpers.clients import Client, HTTP1Client, HTTP2Client
from helpers.serving import PATIENCE
from helpers.site import Certificate

#: Where clients come from, so that they are not mistaken for the proxy on 127.0.0.1.
CLIENT_HOST = "127.0.0.2"
ONE_LOOP = pytest.mark.parametrize("backend", ["uvloop"], indirect=True)
NGINX_MODULES = Path("/usr/lib/nginx/modules")


def missing(what: str) -> NoReturn:
    """Skip where `what` is not installed; on CI its absence is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


class Front:
    """A running proxy."""

    def __init__(self, address: tuple[str, int], stack: contextlib.ExitStack) -> None:
        self.address = address
        self._stack = stack

    def socket(self, certificate: Certificate | None = None, alpn: str = "") -> socket.socket:
        """A connection to it; with TLS where there is a certificate to trust."""
        sock = socket.create_connection(self.address, PATIENCE, (CLIENT_HOST, 0))
        self._stack.callback(sock.close)
        if certificate is None:
            return sock
        context = certificate.client()
        context.set_alpn_protocols([alpn or "http/1.1"])
        secured = context.wrap_socket(sock, server_hostname="localhost")
        self._stack.callback(secured.close)
        return secured

    def client(self, certificate: Certificate | None = None, alpn: str = "") -> Client:
        """A client of what is behind it."""
        sock = self.socket(certificate, alpn)
        return HTTP2Client(sock) if alpn == "h2" else HTTP1Client(sock)


def combined(certificate: Certificate, folder: Path) -> Path:
    """Certificate and key in one file, as HAProxy wants them."""
    path = folder / "both.pem"
    parts = (Path(name).read_text() for name in (certificate.certfile, certificate.keyfile))
    path.write_text("".join(parts))
    return path


@contextlib.contextmanager
def _listening() -> Iterator[socket.socket]:
    """A socket that a proxy inherits: clients may connect before it is up."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@contextlib.contextmanager
def _running(command: list[str], folder: Path, fd: int, **environ: str) -> Iterator[None]:
    log = folder / "proxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, pass_fds=[fd], env={**os.environ, **environ}
        )
        try:
            yield
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def haproxy(folder: Path, text: str) -> Iterator[Front]:
    """HAProxy with this configuration; ``{listen}`` in it is the address to bind."""
    path = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if path is None:
        missing("haproxy")
    with _listening() as sock, contextlib.ExitStack() as stack:
        config = folder / "haproxy.cfg"
        timeouts = "defaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n"
        config.write_text(timeouts + text.replace("{listen}", f"fd@{sock.fileno()}"))
        with _running([path, "-db", "-f", str(config)], folder, sock.fileno()):
            yield Front(sock.getsockname(), stack)
            stack.close()


def nginx_modules(*names: str) -> str:
    """Directives that load modules; skips without one."""
    lines = []
    for name in names:
        found = NGINX_MODULES / f"ngx_{name}_module.so"
        if not found.exists():
            missing(f"nginx' module {name}")
        lines.append(f"load_module {found};\n")
    return "".join(lines)


def _as_root() -> str:
    return "user root;\n" if os.geteuid() == 0 else ""


@contextlib.contextmanager
def nginx(folder: Path, text: str, modules: str = "") -> Iterator[Front]:
    """nginx with these blocks; ``{listen}`` in them is the address to listen on."""
    path = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if path is None:
        missing("nginx")
    with _listening() as sock, contextlib.ExitStack() as stack:
        host, port = sock.getsockname()
        config = folder / "nginx.conf"
        files = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = text.replace("{listen}", f"{host}:{port}").replace("http {", f"http {{\n{files}", 1)
        config.write_text(
            # The worker has to reach the test's folder, as the master does.
            f"{modules}{_as_root()}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\n"
            f"error_log stderr warn;\nevents {{}}\n{text}"
        )
        command = [path, "-p", str(folder), "-c", str(config), "-e", "stderr"]
        # nginx takes over listening sockets as in its own upgrade.
        with _running(command, folder, sock.fileno(), NGINX=f"{sock.fileno()};"):
            yield Front((host, port), stack)
            stack.close()
