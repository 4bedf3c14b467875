"""Certificates for tests of TLS: on disk, replaced the way others replace them, and seen."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

import trustme

from helpers.serving import PATIENCE


class Pair:
    """A certificate and its key at two paths, which ``put`` overwrites."""

    def __init__(self, folder: Path, authority: trustme.CA, *hosts: str) -> None:
        folder.mkdir(exist_ok=True)
        self.certfile, self.keyfile = folder / "cert.pem", folder / "key.pem"
        self.put(authority, *hosts)

    def put(self, authority: trustme.CA, *hosts: str) -> None:
        """Write a new certificate in place."""
        issued = authority.issue_cert(*hosts)
        self.certfile.write_bytes(issued.cert_chain_pems[0].bytes())
        self.keyfile.write_bytes(issued.private_key_pem.bytes())

    @property
    def options(self) -> dict[str, str]:
        """For the server."""
        return {"certfile": str(self.certfile), "keyfile": str(self.keyfile)}


class Live:
    """A directory of two links, as certbot has it."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        folder.mkdir()
        self.certfile, self.keyfile = folder / "fullchain.pem", folder / "privkey.pem"
        self.swap(pair)

    def swap(self, pair: Pair) -> None:
        """Have both lead to another pair, one after the other."""
        for link, target in ((self.certfile, pair.certfile), (self.keyfile, pair.keyfile)):
            fresh = link.with_suffix(".new")
            fresh.symlink_to(target)
            os.replace(fresh, link)

    @property
    def options(self) -> dict[str, str]:
        """For the server."""
        return {"certfile": str(self.certfile), "keyfile": str(self.keyfile)}


def client_context(authority: trustme.CA | None = None) -> ssl.SSLContext:
    """A client that takes any name; any certificate too where no authority is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if authority is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        authority.configure_trust(context)
    return context


def connect(
    address: tuple[str, int], context: ssl.SSLContext, name: str | None = None
) -> ssl.SSLSocket:
    """A TLS connection that asks for ``name``."""
    sock = socket.create_connection(address, timeout=PATIENCE)
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


def shown(address: tuple[str, int], authority: trustme.CA, name: str | None = None) -> str:
    """The host name in the certificate a new connection is shown."""
    with connect(address, client_context(authority), name) as sock:
        return host_of(sock)


def host_of(sock: ssl.SSLSocket) -> str:
    """The host name in the certificate of a connection."""
    certificate = sock.getpeercert()
    assert certificate
    [[kind, host]] = certificate["subjectAltName"]
    assert kind == "DNS"
    return str(host)
