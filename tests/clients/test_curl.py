"""curl: HTTP/1.1 and HTTP/2 in each way of getting there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from client_app import content
from client_harness import Daemon, Output, curl_version, require_curl, run_client

#: How curl reaches each kind of connection: option, over TLS, ``http_version`` it gives.
WAYS = {
    "http1-tls": ("--http1.1", True, "1.1"),
    "http1-clear": ("--http1.1", False, "1.1"),
    "http2-alpn": ("--http2", True, "2"),
    "http2-prior-knowledge": ("--http2-prior-knowledge", False, "2"),
    "http2-upgrade": ("--http2", False, "2"),
}
LARGE = 20_000_000
UPLOAD = 3_000_000


@dataclass(frozen=True)
class Curl:
    """curl with its options for one way to one daemon."""

    daemon: Daemon
    path: str
    option: str
    secure: bool
    version: str
    directory: Path

    def __call__(
        self, *paths: str, options: tuple[str, ...] = (), data: bytes | None = None
    ) -> Output:
        urls = [self.daemon.url(secure=self.secure) + path for path in paths]
        command = [*self.base(), *options, *urls]
        return run_client(command, data=data)

    def base(self) -> list[str]:
        return [
            *(self.path, "--silent", "--show-error", "--noproxy", "*", self.option),
            *("--cacert", str(self.daemon.certificate.ca), "--max-time", "25"),
        ]

    def json(self, path: str, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self(path, **kwargs).stdout)
        return found

    def dump(self, path: str, *options: str, data: bytes | None = None) -> tuple[bytes, str]:
        """Body, and every header section that came, trailers too."""
        head = self.directory / "head"
        output = self(path, options=("--dump-header", str(head), *options), data=data)
        return output.stdout, head.read_text("latin-1").lower().replace("\r\n", "\n")

    @property
    def upgrades(self) -> bool:
        """Whether it begins in HTTP/1.1 and asks for ``Upgrade: h2c``."""
        return self.option == "--http2" and not self.secure

    def skip_without_reuse(self) -> None:
        if self.option == "--http2-prior-knowledge" and curl_version() < (8,):
            pytest.skip("curl 7 cannot reuse such a connection (curl issue 10634)")

    def upload_file(self, size: int) -> Path:
        file = self.directory / "upload"
        file.write_bytes(content(size))
        return file


@pytest.fixture(params=WAYS)
def curl(request: pytest.FixtureRequest, daemon: Daemon, tmp_path: Path) -> Curl:
    option, secure, version = WAYS[request.param]
    path = require_curl("HTTP2" if version == "2" else "")
    return Curl(daemon, path, option, secure, version, tmp_path)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_get_arrives_in_the_version_asked_for(curl: Curl) -> None:
    facts = curl.json("/scope")
    assert facts["http_version"] == curl.version
    assert facts["scheme"] == ("https" if curl.secure else "http")
    assert facts["method"] == "GET"
    names = [name for name, _ in facts["headers"]]
    assert names.count("host") == 1
    output = curl("/hello", options=("--write-out", "|%{http_version}|%{http_code}"))
    assert output.text == f"hello|{curl.version}|200"


def test_small_post_arrives_whole(curl: Curl) -> None:
    facts = curl.json("/digest", options=("--data", "a small body"))
    assert (facts["method"], facts["http_version"]) == ("POST", curl.version)
    assert (facts["size"], facts["sha256"]) == (12, sha256(b"a small body"))


def test_head_has_the_length_and_no_body(curl: Curl) -> None:
    curl.skip_without_reuse()
    output = curl("/hello", "/hello", options=("--head", "--write-out", "|%{num_connects}|"))
    assert output.text.lower().count("content-length: 5") == 2
    assert "hello" not in output.text
    # A stray body would have broken the second exchange on the connection.
    assert output.text.endswith("|0|")


def test_connection_is_reused(curl: Curl) -> None:
    curl.skip_without_reuse()
    form = ("--write-out", "%{num_connects}\n")
    output = curl("/hello", "/hello", "/hello", options=form)
    assert output.text == "hello1\nhello0\nhello0\n"


@pytest.mark.long
def test_large_download_keeps_its_checksum(curl: Curl) -> None:
    # curl 7 takes no more than 32 KiB together with the 101 of an upgrade.
    size = 16_000 if curl.upgrades else LARGE
    body = curl(f"/download/{size}").stdout
    assert len(body) == size
    assert sha256(body) == sha256(content(size))


def test_upload_comes_back_unchanged(curl: Curl) -> None:
    file = curl.upload_file(UPLOAD)
    options = ("--request", "POST", "--header", "Expect:", "--upload-file", str(file))
    body = curl("/echo", options=options).stdout
    assert len(body) == UPLOAD
    assert sha256(body) == sha256(content(UPLOAD))


def test_upload_of_unknown_length(curl: Curl) -> None:
    if curl.upgrades:
        pytest.skip("curl cannot ask for an upgrade with a chunked body")
    body = content(500_000)
    facts = curl.json("/digest", options=("--upload-file", "-"), data=body)
    assert (facts["method"], facts["size"]) == ("PUT", len(body))
    assert facts["sha256"] == sha256(body)
    headers = dict(facts["headers"])
    assert "content-length" not in headers
    assert headers.get("transfer-encoding") == ("chunked" if curl.version == "1.1" else None)


def test_early_hints_come_before_the_response(curl: Curl) -> None:
    body, head = curl.dump("/hints")
    assert body == b"hinted"
    hints, final = head.index(" 103"), head.index(" 200")
    assert hints < final
    assert hints < head.index("link: </style.css>; rel=preload; as=style") < final
    assert "link:" not in head[final:]


def test_upload_waits_for_continue(curl: Curl) -> None:
    file = curl.upload_file(UPLOAD)
    options = ("--upload-file", str(file), "--expect100-timeout", "20")
    body, head = curl.dump("/digest", "--header", "Expect: 100-continue", *options)
    facts = json.loads(body)
    assert facts["sha256"] == sha256(content(UPLOAD))
    if curl.version == "1.1":
        # An HTTP/2 curl does not wait, and content that came makes the 100 needless.
        assert head.index(" 100") < head.index(" 200")


def test_refused_expectation_saves_the_upload(curl: Curl) -> None:
    if curl.version == "2":
        pytest.skip("curl streams HTTP/2 bodies without waiting")
    file = curl.upload_file(UPLOAD)
    form = ("--write-out", "|%{http_code}|%{size_upload}")
    options = ("--upload-file", str(file), "--expect100-timeout", "20", *form)
    assert curl("/refuse", options=options).text == "too large|413|0"


def test_response_trailers_reach_a_client_that_takes_them(curl: Curl) -> None:
    options = ["--header", "TE: trailers", "--data", "body"]
    if curl.version == "1.1":
        options += ["--header", "Connection: TE"]
    body, head = curl.dump("/trailers", *options)
    assert body == b"[]"
    end = head.index("\n\n", head.rindex(" 200"))
    assert f"x-checksum: {sha256(b'body')}" in head[end:]
    assert "x-last: yes" in head[end:]


@pytest.mark.parametrize("path", ["/trailers", "/trailers/always"])
def test_no_trailers_for_a_client_that_did_not_ask(curl: Curl, path: str) -> None:
    body, head = curl.dump(path, "--data", "body")
    assert body == b"[]"
    assert "x-checksum:" not in head


def test_grpc_like_call_ends_in_a_status_trailer(curl: Curl) -> None:
    if curl.version == "1.1":
        pytest.skip("gRPC is a protocol over HTTP/2")
    message = b"\0" + (6).to_bytes(4) + b"answer"
    options = ("--header", "TE: trailers", "--header", "Content-Type: application/grpc")
    file = curl.directory / "message"
    file.write_bytes(message * 3)
    body, head = curl.dump("/grpc/Echo", *options, "--data-binary", f"@{file}")
    assert body == message * 3
    assert head.rindex("grpc-status: 0") > head.index("content-type: application/grpc")
    assert "x-messages: 3" in head
    body, head = curl.dump("/grpc/Missing", *options, "--data-binary", f"@{file}")
    assert body == b""
    assert "grpc-status: 12" in head


def test_upgrade_is_refused_by_default(strict_daemon: Daemon, tmp_path: Path) -> None:
    path = require_curl("HTTP2")
    curl = Curl(strict_daemon, path, "--http2", False, "1.1", tmp_path)
    assert curl.json("/scope")["http_version"] == "1.1"
    facts = curl.json("/digest", options=("--data", "a small body"))
    assert (facts["http_version"], facts["size"]) == ("1.1", 12)


def test_no_early_hints_over_http1_where_they_are_off(
    strict_daemon: Daemon, tmp_path: Path
) -> None:
    curl = Curl(strict_daemon, require_curl(), "--http1.1", False, "1.1", tmp_path)
    body, head = curl.dump("/hints")
    assert body == b"hinted"
    assert " 103" not in head


@pytest.mark.parametrize("option", ["--http1.1", "--http2-prior-knowledge"])
def test_unix_socket(daemon: Daemon, tmp_path: Path, option: str) -> None:
    path = require_curl("UnixSockets")
    curl = Curl(daemon, path, option, False, "", tmp_path)
    options = ("--unix-socket", str(daemon.unix_path))
    facts = json.loads(run_client([*curl.base(), *options, "http://localhost/scope"]).stdout)
    assert facts["http_version"] == ("1.1" if option == "--http1.1" else "2")
    assert facts["client"] is None


def test_alpn_falls_back_to_http1(daemon: Daemon, tmp_path: Path) -> None:
    curl = Curl(daemon, require_curl(), "--no-alpn", True, "1.1", tmp_path)
    assert curl.json("/scope")["http_version"] == "1.1"


def test_many_transfers_share_one_http2_connection(daemon: Daemon, tmp_path: Path) -> None:
    curl = Curl(daemon, require_curl("HTTP2"), "--http2", True, "2", tmp_path)
    urls = f"{daemon.tls}/download/[100000-100049]"
    options = ("--parallel", "--parallel-max", "50", "--output", str(tmp_path / "part_#1"))
    form = ("--write-out", "%{num_connects} %{http_code}\n")
    output = run_client([*curl.base(), *options, *form, urls])
    answers = sorted(output.text.splitlines())
    assert answers == ["0 200"] * 49 + ["1 200"]
    for size in range(100000, 100050):
        assert (tmp_path / f"part_{size}").read_bytes() == content(size)
