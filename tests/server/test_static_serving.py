"""Static files on real sockets, over every backend, protocol and wire."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from helpers.clients import HTTP1Client, HTTP2Client
from helpers.serving import Records, eventually
from helpers.site import Serving, Site

BIG = hashlib.shake_128(b"tricorn").digest(1_000_003)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.txt").write_bytes(b"0123456789")
    (tmp_path / "big.bin").write_bytes(BIG)
    (tmp_path / "big.bin.gz").write_bytes(gzip.compress(BIG, 1))
    (tmp_path / "index.html").write_bytes(b"<h1>index")
    (tmp_path / "empty").write_bytes(b"")
    for path in tmp_path.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return tmp_path


def test_files(site: Site, folder: Path) -> None:
    mounts = [{"path": "/static", "directory": str(folder), "max_age": 60}]
    client = site.open(None, mounts=mounts)
    for target, body in [("/static/small.txt", b"0123456789"), ("/static/big.bin", BIG),
                         ("/static/", b"<h1>index"), ("/static/empty", b"")]:  # fmt: skip
        response = client.get(target)
        assert (response.status, bytes(response.body), response.complete) == (200, body, True)
        assert response.header(b"content-length") == str(len(body)).encode()
        assert response.header(b"cache-control") == b"max-age=60"
        etag = response.header(b"etag")
        assert etag
        again = client.get(target, [(b"if-none-match", etag)])
        assert (again.status, bytes(again.body)) == (304, b"")
    head = client.response(client.start("HEAD", "/static/big.bin"))
    assert (head.status, head.header(b"content-length")) == (200, b"1000003")
    response = client.get("/static/big.bin", [(b"accept-encoding", b"gzip")])
    assert response.header(b"content-encoding") == b"gzip"
    assert gzip.decompress(bytes(response.body)) == BIG
    redirect = client.get("/static")
    assert (redirect.status, redirect.header(b"location")) == (308, b"./static/")
    assert client.get("/static/none").status == client.get("/other").status == 404
    assert client.response(client.start("POST", "/static/small.txt")).status == 405


def test_ranges(site: Site, folder: Path) -> None:
    client = site.open(None, mounts=[{"directory": str(folder)}])
    response = client.get("/big.bin", [(b"range", b"bytes=100000-299999")])
    assert (response.status, bytes(response.body)) == (206, BIG[100_000:300_000])
    assert response.header(b"content-range") == b"bytes 100000-299999/1000003"
    response = client.get("/big.bin", [(b"range", b"bytes=0-99999,500000-599999,-5")])
    kind = response.header(b"content-type")
    assert kind is not None
    boundary = kind.partition(b"boundary=")[2]
    parts = [
        part.partition(b"\r\n\r\n")[2] for part in bytes(response.body).split(b"\r\n--" + boundary)
    ]
    assert parts[1:-1] == [BIG[:100_000], BIG[500_000:600_000], BIG[-5:]]
    assert response.complete
    assert client.get("/small.txt").text == "0123456789"  # the connection goes on
    response = client.get("/big.bin", [(b"range", b"bytes=2000000-")])
    assert (response.status, response.header(b"content-range")) == (416, b"bytes */1000003")


def test_nothing_outside(plain: Site, folder: Path) -> None:
    root = folder / "root"
    root.mkdir()
    for place in (folder / "secret", root / ".secret"):
        place.write_bytes(b"SECRET")
    (root / "out").symlink_to("../secret")
    client = plain.open(None, mounts=[{"directory": str(root)}])
    for target in ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/..%5csecret", "//secret",
                   "/%2e%2e%2fsecret", "/x/../../secret", "/.secret", "/a%00", "/out"):  # fmt: skip
        response = client.get(target)
        assert (response.status, response.text) == (404, "Not Found\n"), target


def test_a_peer_that_leaves_frees_the_file(plain: Site, folder: Path, records: Records) -> None:
    huge = folder / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(64 * 2**20)
    plain.serve(None, mounts=[{"directory": str(folder)}])
    client = plain.connect(receive_buffer=65536)
    stream = client.start("GET", "/huge.bin")
    client.response(stream, lambda response: len(response.body) > 0)
    assert open_descriptors(huge)
    client.close()
    eventually(lambda: not open_descriptors(huge), "the file is still open")


def open_descriptors(path: Path) -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}") == str(path)
        except OSError:
            continue
    return count


def test_hsts_and_own_fields(serving: Serving, folder: Path) -> None:
    mounts = [{"directory": str(folder), "headers": ["X-One: 1"]}]
    served = serving(None, tls=True, hsts_max_age=60, mounts=mounts)
    for protocol in ("http/1.1", "h2"):
        client = serving.connect(served, protocol)
        assert isinstance(client, HTTP2Client if protocol == "h2" else HTTP1Client)
        for target in ("/small.txt", "/none"):
            response = client.get(target)
            assert response.header(b"strict-transport-security") == b"max-age=60"
        assert client.get("/small.txt").header(b"x-one") == b"1"
