"""Static files: which file, which bytes, which fields (RFC 9110)."""

import email
import gzip
import os
import time
from email.utils import formatdate

import pytest

from helpers.asgi_call import call
from tricorn.asgi.preconditions import accepted_codings, parse_ranges, validators
from tricorn.asgi.static import StaticFiles
from tricorn.config_mounts import parse_mounts

ZEROCOPY = "http.response.zerocopysend"
PATHSEND = "http.response.pathsend"
OLD = 1_000_000_000  # a time in 2001; files of it are settled
BIG = bytes(range(256)) * 1024  # 256 KiB


def put(path, data=b"text", when=OLD):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(int(when * 1e9), int(when * 1e9)))
    return path


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    put(root / "a.txt", b"0123456789")
    put(root / "big.bin", BIG)
    put(root / "index.html", b"<h1>root")
    put(root / "sub" / "index.html", b"<h1>sub")
    put(root / "no-index" / "x.css", b"x{}")
    put(root / "empty.txt", b"")
    put(root / ".env", b"SECRET")
    put(root / ".git" / "config", b"SECRET")
    put(root / ".well-known" / "security.txt", b"public")
    put(root / "caf\u00e9 \u2603.txt", b"snow")
    put(tmp_path / "secret.txt", b"SECRET")
    put(tmp_path / "root-secret" / "x.txt", b"SECRET")
    return root


def files(root, path="/", **keys):
    return StaticFiles(parse_mounts([{"path": path, "directory": str(root), **keys}])[0])


def get(root, target="/a.txt", headers=(), *, keys=None, **options):
    return call(files(root, **(keys or {})), target, headers, **options)


# Which file


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/a.txt", b"0123456789"),
        ("/a%2Etxt?query", b"0123456789"),
        ("/", b"<h1>root"),
        ("/sub/", b"<h1>sub"),
        ("/sub/index.html", b"<h1>sub"),
        ("/empty.txt", b""),
        ("/caf%C3%A9%20%E2%98%83.txt", b"snow"),
        ("/.well-known/security.txt", b"public"),
        ("/big.bin", BIG),
    ],
)
@pytest.mark.parametrize("extensions", [(), (ZEROCOPY, PATHSEND), (PATHSEND,)])
def test_files_are_found_and_whole(root, target, body, extensions):
    answer = get(root, target, extensions=extensions)
    assert answer.status == 200
    assert answer.body == body
    assert answer["content-length"] == str(len(body))
    assert answer["accept-ranges"] == "bytes"
    assert answer["x-content-type-options"] == "nosniff"


def test_large_files_leave_by_the_best_extension(root):
    for extensions, kind in [
        ((ZEROCOPY, PATHSEND), ZEROCOPY),
        ((PATHSEND,), PATHSEND),
        ((), "http.response.body"),
    ]:
        answer = get(root, "/big.bin", extensions=extensions)
        assert set(answer.types[1:]) == {kind}
    assert max(len(message["body"]) for message in answer.messages[1:]) <= 65536
    assert get(root, "/a.txt", extensions=[ZEROCOPY]).types[1:] == ["http.response.body"]


@pytest.mark.parametrize(
    "target",
    [
        "/nothing", "/a.txt/", "/a.txt/x", "/no-index/", "/no-index", "/sub//index.html",
        "//a.txt", "/../secret.txt", "/sub/../../secret.txt", "/%2e%2e/secret.txt",
        "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt", "/sub/..%2f..%2fsecret.txt", "/./a.txt",
        "/sub/./index.html", "/..\\secret.txt", "/..%5csecret.txt", "/sub%5cindex.html",
        "/a.txt%00", "/%00", "/a%00.txt", "/%252e%252e/secret.txt", "/../root-secret/x.txt",
        "/.env", "/.git/config", "/.git/", "/sub/.hidden", "/sub/.well-known", "/" + "a" * 300,
        "/" + "a/" * 3000, "/...", "/..", "/.", "/%ff%fe", "/%ed%a0%80", "//etc/passwd",
        "/%2fetc%2fpasswd", "/~root", "*", "/a.txt%0d%0ax:y", "/C:%5cx", "/sub/..",
        "/sub/%2e%2e/a.txt",
    ],
)  # fmt: skip
@pytest.mark.parametrize("keys", [{}, {"follow_symlinks": True}])
def test_nothing_else_is_served(root, target, keys):
    answer = get(root, target, keys=keys)
    assert answer.status == 404
    assert answer.body == b"Not Found\n"


def test_hidden_files_where_they_are_wanted(root):
    assert get(root, "/.env", keys={"hidden": True}).body == b"SECRET"
    assert get(root, "/.git/config", keys={"hidden": True}).body == b"SECRET"
    assert get(root, "/sub/../.env", keys={"hidden": True}).status == 404


def test_symbolic_links(root, tmp_path):
    (root / "out.txt").symlink_to("../secret.txt")
    (root / "absolute.txt").symlink_to(tmp_path / "secret.txt")
    (root / "outdir").symlink_to(tmp_path / "root-secret")
    (root / "up").symlink_to("..")
    (root / "in.txt").symlink_to("a.txt")
    (root / "indir").symlink_to("sub")
    (root / "chain.txt").symlink_to("indir/../out.txt")
    (root / "loop").symlink_to("loop")
    (root / "loopdir").symlink_to(".")
    (root / "dangling").symlink_to("nowhere")
    outside = ["/out.txt", "/absolute.txt", "/outdir/x.txt", "/up/secret.txt", "/chain.txt"]
    for target in [*outside, "/up/", "/outdir/", "/outdir", "/loop", "/dangling"]:
        assert get(root, target).status == 404, target
    for target in ["/in.txt", "/indir/index.html", "/indir/", "/loopdir/loopdir/a.txt"]:
        assert get(root, target).status == 200, target
    for target in outside:
        assert get(root, target, keys={"follow_symlinks": True}).body == b"SECRET", target
    assert get(root, "/loop", keys={"follow_symlinks": True}).status == 404


def test_the_directory_itself_may_be_a_link_and_be_turned(tmp_path):
    put(tmp_path / "v1" / "a.txt", b"one")
    put(tmp_path / "v2" / "a.txt", b"two")
    current = tmp_path / "current"
    current.symlink_to("v1")
    app = files(current)
    assert call(app, "/a.txt").body == b"one"
    current.unlink()
    current.symlink_to("v2")
    assert call(app, "/a.txt").body == b"two"
    (tmp_path / "v2" / "old.txt").symlink_to("../v1/a.txt")
    assert call(app, "/old.txt").status == 404


def test_a_swap_between_check_and_opening_wins_nothing(root, tmp_path, monkeypatch):
    """A path that is checked first and opened then could be exchanged in between."""
    (root / "link.txt").symlink_to("a.txt")
    real = os.path.realpath

    def swapping(path, **options):
        found = real(path, **options)
        if str(path).endswith("link.txt"):
            (root / "a.txt").unlink()
            (root / "a.txt").symlink_to(tmp_path / "secret.txt")
        return found

    app = files(root)
    monkeypatch.setattr(os.path, "realpath", swapping)
    assert call(app, "/link.txt").status == 404


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc here")
def test_links_are_seen_without_proc_too(root, monkeypatch):
    (root / "outdir").symlink_to("..")

    def no_proc(path, **options):
        raise FileNotFoundError

    app = files(root)
    monkeypatch.setattr("tricorn.asgi.file_tree.os.readlink", no_proc)
    monkeypatch.setattr(os.path, "realpath", lambda path: str(path).replace("root/outdir/", ""))
    assert call(app, "/outdir/secret.txt").status == 404
    monkeypatch.setattr(os.path, "realpath", str)
    assert call(app, "/a.txt").status == 200


def test_pipes_and_sockets_are_no_files(root):
    os.mkfifo(root / "pipe")
    assert get(root, "/pipe").status == 404


def test_unreadable_files_are_not_found(root, monkeypatch):
    real = os.open

    def refuse(path, *args, **options):
        if str(path).endswith("a.txt"):
            raise PermissionError(13, "denied")
        return real(path, *args, **options)

    monkeypatch.setattr("tricorn.asgi.file_tree.os.open", refuse)
    assert get(root).status == 404


def test_without_descriptors_the_answer_is_503(root, monkeypatch):
    app = files(root)

    def refuse(*args, **options):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("tricorn.asgi.file_tree.os.open", refuse)
    answer = call(app, "/a.txt")
    assert answer.status == 503
    assert answer["retry-after"] == "1"


def test_no_descriptor_is_left_open(root):
    put(root / "a.txt.gz", gzip.compress(b"0123456789"))
    (root / "out.txt").symlink_to("../secret.txt")
    before = len(os.listdir("/proc/self/fd"))
    for target in ["/a.txt", "/big.bin", "/nothing", "/sub", "/sub/", "/out.txt", "/no-index"]:
        for headers in [(), [("accept-encoding", "gzip")], [("range", "bytes=0-1,9-9")],
                        [("if-none-match", "*")], [("if-match", '"x"')]]:  # fmt: skip
            get(root, target, headers, extensions=[ZEROCOPY])
            get(root, target, headers, method="HEAD", keys={"fallback": "index.html"})
    assert len(os.listdir("/proc/self/fd")) == before


# Directories


def test_a_directory_is_redirected_to_its_slash(root):
    answer = get(root, "/sub?x=%20")
    assert answer.status == 308
    assert answer["location"] == "./sub/?x=%20"
    answer = get(root, "/static", keys={"path": "/static"}, root_path="/static")
    assert answer["location"] == "./static/"
    put(root / "a:b" / "index.html")
    assert get(root, "/a:b")["location"] == "./a:b/"
    assert get(root, "/sub", method="HEAD")["location"] == "./sub/"


def test_without_an_index_directories_are_not_found(root):
    for target in ["/", "/sub/", "/sub"]:
        assert get(root, target, keys={"index": "none"}).status == 404
    assert get(root, "/no-index/", keys={"index": "x.css"})["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    ("path", "root_path", "target"),
    [
        ("/static", "/static", "/static/a.txt"),
        ("/static", "/shop/static", "/shop/static/a.txt"),
        ("/static", "/shop/static", "/static/a.txt"),  # the proxy has taken /shop off
        ("/", "/shop", "/shop/a.txt"),
    ],
)
def test_below_a_mount(root, path, root_path, target):
    answer = get(root, target, keys={"path": path}, root_path=root_path)
    assert answer.body == b"0123456789"


def test_fallback(root):
    keys = {"fallback": "sub/index.html", "immutable": True}
    for target in ["/app/settings", "/no-index/", "/nothing.js"]:
        answer = get(root, target, keys=keys)
        assert (answer.status, answer.body) == (200, b"<h1>sub")
        assert answer["cache-control"] == "no-cache"
        assert answer["content-type"] == "text/html; charset=utf-8"
    assert get(root, "/a.txt", keys=keys)["cache-control"] == "max-age=31536000, immutable"
    for target in ["/../secret.txt", "/.env", "/a%00"]:
        assert get(root, target, keys=keys).status == 404
    (root / "sub" / "index.html").unlink()
    assert get(root, "/nothing", keys=keys).status == 404


# Methods and other scopes


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"])
def test_other_methods_are_refused(root, method):
    answer = get(root, method=method)
    assert answer.status == 405
    assert answer["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "headers",
    [(), [("range", "bytes=0-1")], [("range", "bytes=99-")], [("accept-encoding", "gzip")],
     [("if-none-match", "*")], [("if-match", '"x"')]],
)  # fmt: skip
def test_head_has_the_fields_of_get_and_no_ranges(root, headers):
    put(root / "a.txt.gz", gzip.compress(b"0123456789"))
    head = get(root, "/a.txt", headers, method="HEAD")
    assert head.body == b""
    plain = [pair for pair in headers if pair[0] != "range"]
    answer = get(root, "/a.txt", plain)
    assert head.status == answer.status
    assert head.fields == answer.fields


def test_a_websocket_is_refused(root):
    answer = get(root, kind="websocket", extensions=["websocket.http.response"])
    assert answer.types == ["websocket.http.response.start", "websocket.http.response.body"]
    assert answer.status == 404
    assert get(root, kind="websocket").types == ["websocket.close"]


# Types and caching


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.html", "text/html; charset=utf-8"),
        ("x.CSS", "text/css; charset=utf-8"),
        ("x.js", "text/javascript; charset=utf-8"),
        ("x.mjs", "text/javascript; charset=utf-8"),
        ("x.json", "application/json"),
        ("x.svg", "image/svg+xml"),
        ("x.png", "image/png"),
        ("x.wasm", "application/wasm"),
        ("x.woff2", "font/woff2"),
        ("x.tar.gz", "application/gzip"),
        # Opened by browsers only under these types.
        ("x.cjs", "text/javascript; charset=utf-8"),
        ("x.xhtml", "application/xhtml+xml"),
        ("x.rss", "application/rss+xml"),
        ("x.atom", "application/atom+xml"),
        ("x.m4v", "video/mp4"),
        ("x.ogv", "video/ogg"),
        ("x.3gp", "video/3gpp"),
        ("x.apng", "image/apng"),
        ("x.jxl", "image/jxl"),
        ("x.svgz", "image/svg+xml"),
        ("x.mpd", "application/dash+xml"),
        ("x.ics", "text/calendar; charset=utf-8"),
        # Other in other versions of the standard library.
        ("x.avi", "video/x-msvideo"),
        ("x.exe", "application/octet-stream"),
        ("x.markdown", "text/markdown; charset=utf-8"),
        ("x.rtf", "application/rtf"),
        ("x.wav", "audio/wav"),
        ("x.weba", "audio/webm"),
        (
            "x.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        ("x.unknown-thing", "application/octet-stream"),
        ("README", "application/octet-stream"),
    ],
)
def test_content_type(root, name, kind):
    put(root / name)
    answer = get(root, f"/{name}")
    assert answer["content-type"] == kind
    assert answer["content-encoding"] is None


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ({}, None),
        ({"max_age": 0}, "max-age=0"),
        ({"max_age": "1d"}, "max-age=86400"),
        ({"max_age": "1h", "immutable": True}, "max-age=3600, immutable"),
        ({"headers": ["Cache-Control: private"], "max_age": 5}, "private"),
    ],
)
def test_cache_control(root, keys, value):
    answer = get(root, keys=keys)
    assert answer["cache-control"] == value
    again = get(root, "/a.txt", [("if-none-match", answer["etag"])], keys=keys)
    assert (again.status, again["cache-control"]) == (304, value)


def test_own_headers_are_added_and_win(root):
    headers = ["X-One: 1", "X-Content-Type-Options: none", "Content-Type: text/x", "vary: cookie"]
    answer = get(root, keys={"headers": headers})
    assert answer["x-one"] == "1"
    assert answer["x-content-type-options"] == "none"
    assert answer["content-type"] == "text/x"
    assert answer["vary"] == "cookie"


@pytest.mark.parametrize("range_", ["", "bytes=0-1", "bytes=0-1,1000-1001"])
@pytest.mark.parametrize(
    "own", ["Accept-Ranges: none", 'ETag: "1"', "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT"]
)
def test_own_headers_stand_in_the_place_of_the_servers(root, own, range_):
    name, _, value = own.partition(": ")
    keys = {"headers": [own]}
    answer = get(root, "/big.bin", [("range", range_)] if range_ else (), keys=keys)
    assert answer.status == (206 if range_ else 200)
    assert answer[name.lower()] == value  # once, or there is an error
    known = answer["etag"]
    again = get(root, "/big.bin", [("if-none-match", known)], keys=keys)
    assert (again.status, again[name.lower()]) == (304, value)


def test_an_own_content_type_is_that_of_the_parts_too(root):
    keys = {"headers": ["Content-Type: text/x"]}
    answer = get(root, "/big.bin", [("range", "bytes=0-1,1000-1001")], keys=keys)
    assert answer["content-type"].startswith("multipart/byteranges; boundary=")
    assert answer.body.count(b"content-type: text/x\r\n") == 2
    assert answer.body.count(b"content-type") == 2


# Validators and preconditions


def test_validators_follow_the_file(root):
    first = get(root)
    assert first["last-modified"] == formatdate(OLD, usegmt=True)
    assert first["etag"].startswith('"')
    put(root / "a.txt", b"0123456789", OLD + 0.001)
    second = get(root)
    put(root / "a.txt", b"01234567890", OLD)
    third = get(root)
    assert len({first["etag"], second["etag"], third["etag"]}) == 3


def test_a_file_written_just_now_has_a_weak_validator(root):
    put(root / "a.txt", b"0123456789", time.time())
    answer = get(root)
    assert answer["etag"].startswith('W/"')
    headers = [("if-none-match", answer["etag"])]
    assert get(root, "/a.txt", headers).status == 304
    for headers in ([("if-match", answer["etag"])], [("if-match", answer["etag"][2:])]):
        assert get(root, "/a.txt", headers).status == 412
    for value in (answer["etag"], answer["etag"][2:], answer["last-modified"]):
        assert get(root, "/a.txt", [("range", "bytes=1-2"), ("if-range", value)]).status == 200


def test_a_validator_is_strong_two_seconds_after_the_change():
    assert not validators(10**9, 1, 2.9).strong
    assert validators(10**9, 1, 3.0).strong


def test_a_time_to_come_is_no_last_modified():
    found = validators(int(5000e9), 1, now=1000.5)
    assert (found.modified, found.strong) == (1000, False)


DAY = 86400
BEFORE, AT, AFTER = (formatdate(OLD + delta, usegmt=True) for delta in (-DAY, 0, DAY))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-none-match": "ETAG"}, 304),
        ({"if-none-match": "W/ETAG"}, 304),
        ({"if-none-match": '"x", W/"y" ,ETAG'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"x"'}, 200),
        ({"if-none-match": "garbage"}, 200),
        ({"if-modified-since": AT}, 304),
        ({"if-modified-since": AFTER}, 304),
        ({"if-modified-since": BEFORE}, 200),
        ({"if-modified-since": "garbage"}, 200),
        ({"if-modified-since": "Sunday, 09-Sep-01 01:46:40 GMT"}, 304),
        ({"if-modified-since": "Sun Sep  9 01:46:40 2001"}, 304),
        ({"if-none-match": '"x"', "if-modified-since": AFTER}, 200),
        ({"if-none-match": "ETAG", "if-modified-since": BEFORE}, 304),
        ({"if-match": "ETAG"}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": "W/ETAG"}, 412),
        ({"if-match": '"x"'}, 412),
        ({"if-match": '"x", ETAG'}, 200),
        ({"if-unmodified-since": AT}, 200),
        ({"if-unmodified-since": BEFORE}, 412),
        ({"if-unmodified-since": "garbage"}, 200),
        ({"if-match": "ETAG", "if-unmodified-since": BEFORE}, 200),
        ({"if-match": '"x"', "if-none-match": "ETAG"}, 412),
        ({"if-match": "ETAG", "if-none-match": "ETAG"}, 304),
        ({"if-unmodified-since": AT, "if-modified-since": AT}, 304),
        ({"if-none-match": "ETAG", "range": "bytes=0-1"}, 304),
        ({"if-match": '"x"', "range": "bytes=99-"}, 412),
        ({"range": "bytes=1-2", "if-range": "ETAG"}, 206),
        ({"range": "bytes=1-2", "if-range": "W/ETAG"}, 200),
        ({"range": "bytes=1-2", "if-range": '"x"'}, 200),
        ({"range": "bytes=1-2", "if-range": AT}, 206),
        ({"range": "bytes=1-2", "if-range": AFTER}, 200),
        ({"range": "bytes=1-2", "if-range": "garbage"}, 200),
        ({"range": "bytes=99-", "if-range": '"x"'}, 200),
        ({"range": "bytes=99-", "if-range": "ETAG"}, 416),
    ],
)
def test_preconditions(root, headers, status):
    etag = get(root)["etag"]
    given = [(name, value.replace("ETAG", etag)) for name, value in headers.items()]
    answer = get(root, "/a.txt", given)
    assert answer.status == status
    if status == 304:
        assert answer.body == b""
        assert set(answer.fields) == {b"etag", b"x-content-type-options", b"vary"}
        assert answer["etag"] == etag
    if status == 200:
        assert answer.body == b"0123456789"


OWN_DATE = "Last-Modified: " + AFTER


@pytest.mark.parametrize(
    ("own", "headers", "status"),
    [
        ('ETag: "b1"', {"if-none-match": '"b1"'}, 304),
        ('ETag: "b1"', {"if-none-match": 'W/"b1"'}, 304),
        ('ETag: "b1"', {"if-none-match": "FILE"}, 200),
        ('ETag: "b1"', {"if-match": '"b1"'}, 200),
        ('ETag: "b1"', {"if-match": "FILE"}, 412),
        ('ETag: "b1"', {"if-modified-since": AT}, 304),
        ('ETag: "b1"', {"range": "bytes=1-2", "if-range": '"b1"'}, 206),
        ('ETag: "b1"', {"range": "bytes=1-2", "if-range": "FILE"}, 200),
        ('ETag: "b1"', {"range": "bytes=1-2", "if-range": AT}, 206),
        ('ETag: W/"b1"', {"if-none-match": '"b1"'}, 304),
        ('ETag: W/"b1"', {"if-match": '"b1"'}, 412),
        ('ETag: W/"b1"', {"range": "bytes=1-2", "if-range": 'W/"b1"'}, 200),
        ("ETag: b1", {"if-none-match": "b1"}, 200),
        (OWN_DATE, {"if-modified-since": AT}, 200),
        (OWN_DATE, {"if-modified-since": AFTER}, 304),
        (OWN_DATE, {"if-unmodified-since": AT}, 412),
        (OWN_DATE, {"if-unmodified-since": AFTER}, 200),
        (OWN_DATE, {"range": "bytes=1-2", "if-range": AFTER}, 206),
        (OWN_DATE, {"range": "bytes=1-2", "if-range": AT}, 200),
        (OWN_DATE, {"if-match": "FILE"}, 200),
        ("Last-Modified: today", {"if-modified-since": AT}, 304),
    ],
)
def test_validators_of_the_operator_are_compared(root, own, headers, status):
    etag = get(root)["etag"]
    given = [(name, value.replace("FILE", etag)) for name, value in headers.items()]
    answer = get(root, "/a.txt", given, keys={"headers": [own]})
    assert answer.status == status
    if status != 412:
        name, _, value = own.partition(": ")
        assert answer[name.lower()] == value


def test_a_tag_of_the_operator_is_weak_among_variants(compressed):
    """It cannot tell the bytes of one from those of another (RFC 9110 section 8.8.3.3)."""
    keys = {"headers": ['ETag: "b1"']}
    headers = [("accept-encoding", "gzip"), ("if-none-match", '"b1"')]
    assert get(compressed, "/a.txt", headers, keys=keys).status == 304
    headers = [("accept-encoding", "gzip"), ("range", "bytes=1-"), ("if-range", '"b1"')]
    answer = get(compressed, "/a.txt", headers, keys=keys)
    assert (answer.status, answer["content-encoding"]) == (200, "gzip")


def test_a_tag_of_the_operator_says_nothing_of_the_date(root):
    """The date of a file that was just written may be that of another state of it."""
    put(root / "a.txt", when=time.time() - 0.5)
    keys = {"headers": ['ETag: "b1"']}
    date = get(root, keys=keys)["last-modified"]
    headers = [("range", "bytes=1-2"), ("if-range", date)]
    assert get(root, "/a.txt", headers, keys=keys).status == 200
    headers = [("range", "bytes=1-2"), ("if-range", '"b1"')]
    assert get(root, "/a.txt", headers, keys=keys).status == 206


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_dates_are_universal_time(root, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert time.timezone != 0
        for second, modified, unmodified in [("39", 200, 412), ("40", 304, 200), ("41", 304, 200)]:
            for date in (
                f"Sun, 09 Sep 2001 01:46:{second} GMT",
                f"Sunday, 09-Sep-01 01:46:{second} GMT",
                f"Sun Sep  9 01:46:{second} 2001",
            ):
                assert get(root, "/a.txt", [("if-modified-since", date)]).status == modified
                assert get(root, "/a.txt", [("if-unmodified-since", date)]).status == unmodified
    finally:
        monkeypatch.undo()
        time.tzset()


def test_repeated_fields_are_one_list(root):
    etag = get(root)["etag"]
    headers = [("if-none-match", '"x"'), ("If-None-Match", etag)]
    assert get(root, "/a.txt", headers).status == 304


# Ranges


@pytest.mark.parametrize(
    ("value", "body", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-5", b"2345", "bytes 2-5/10"),
        ("BYTES = 2 - 5", b"2345", "bytes 2-5/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
        ("bytes=5-99999999999999999999999999", b"56789", "bytes 5-9/10"),
        ("bytes=00000000000000000000005-0000000000000000000000006", b"56", "bytes 5-6/10"),
        ("bytes=-00000000000000000000003", b"789", "bytes 7-9/10"),
        ("bytes=0-9", b"0123456789", "bytes 0-9/10"),
        ("bytes=,2-3,", b"23", "bytes 2-3/10"),
        ("bytes=2-3,99-", b"23", "bytes 2-3/10"),
        ("bytes=2-5,4-7", b"234567", "bytes 2-7/10"),
        ("bytes=0-1,8-9", b"0123456789", "bytes 0-9/10"),  # cheaper than two parts
    ],
)
def test_one_range(root, value, body, content_range):
    answer = get(root, "/a.txt", [("range", value)], extensions=[ZEROCOPY])
    assert answer.status == 206
    assert answer.body == body
    assert answer["content-range"] == content_range
    assert answer["content-length"] == str(len(body))
    assert answer["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "value", ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=10-,20-", "bytes="]
)
def test_no_range(root, value):
    answer = get(root, "/a.txt", [("range", value)])
    assert answer.status == 416
    assert answer["content-range"] == "bytes */10"


@pytest.mark.parametrize(
    "value",
    ["items=0-1", "0-1", "bytes", "bytes=5-2", "bytes=a-b", "bytes=-", "bytes=1-2-3", "bytes=0-1;x",
     "bytes=0-1,x", "bytes=--1", "bytes=1.0-2", "bytes=" + ",".join("0-0" for _ in range(17)),
     "bytes=\u0664-"],
)  # fmt: skip
def test_ranges_that_are_ignored(root, value):
    headers = [("range", value.encode().decode("latin-1"))]
    assert get(root, "/a.txt", headers).status == 200


def test_ranges_of_an_empty_file():
    assert parse_ranges(b"bytes=0-", 0) == []
    assert parse_ranges(b"bytes=-5", 0) is None


def test_several_ranges(root):
    wanted = [(1000, 10), (0, 5), (200_000, 62_144)]
    value = "bytes=" + ", ".join(f"{start}-{start + count - 1}" for start, count in wanted)
    for extensions in ([ZEROCOPY], []):
        answer = get(root, "/big.bin", [("range", value)], extensions=extensions)
        assert answer.status == 206
        assert answer["content-length"] == str(len(answer.body))
        assert answer["content-range"] is None
        kind = answer["content-type"]
        assert kind.startswith("multipart/byteranges; boundary=")
        message = email.message_from_bytes(
            b"content-type: " + kind.encode() + b"\n\n" + answer.body
        )
        parts = message.get_payload()
        assert len(parts) == 3
        boundary = kind.partition("boundary=")[2].encode()
        pieces = answer.body.split(b"\r\n--" + boundary)[1:-1]
        for part, piece, (start, count) in zip(parts, pieces, wanted, strict=True):
            assert part["content-range"] == f"bytes {start}-{start + count - 1}/{len(BIG)}"
            assert part["content-type"] == "application/octet-stream"
            assert piece.partition(b"\r\n\r\n")[2] == BIG[start : start + count]


def test_overlapping_ranges_are_joined():
    many = b"bytes=" + b",".join(b"0-" for _ in range(16))
    assert parse_ranges(many, 1000) == [(0, 1000)]
    assert parse_ranges(b"bytes=500-600,0-10,550-700", 1000) == [(0, 11), (500, 201)]
    assert parse_ranges(b"bytes=500-600,0-10", 1000) == [(500, 101), (0, 11)]


# Precompressed variants


@pytest.fixture
def compressed(root):
    for suffix in (".br", ".zst", ".gz"):
        put(root / f"a.txt{suffix}", suffix.encode())
    return root


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        ("gzip", "gzip"), ("GZIP", "gzip"), ("x-gzip", "gzip"), ("gzip, deflate, br, zstd", "br"),
        ("zstd, gzip", "zstd"), ("br;q=0.5, gzip;q=0.8", "gzip"), ("br; q=0, gzip", "gzip"),
        ("*", "br"), ("*;q=0.1, br;q=0", "zstd"), ("", None), ("identity", None), ("deflate", None),
        ("gzip;q=0", None), ("gzip;q=0.000", None), ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.6", "gzip"), ("gzip;q=x", None), ("gzip;q=1.5", None),
        ("gzip;q=-1", None), ("br;q=1.000,gzip", "br"), (",,gzip,,", "gzip"),
    ],
)  # fmt: skip
def test_accept_encoding(compressed, value, coding):
    answer = get(compressed, "/a.txt", [("accept-encoding", value)])
    assert answer.status == 200
    assert answer["content-encoding"] == coding
    assert answer["vary"] == "accept-encoding"
    assert answer["content-type"] == "text/plain; charset=utf-8"
    suffix = {"br": b".br", "zstd": b".zst", "gzip": b".gz", None: b"0123456789"}[coding]
    assert answer.body == suffix


def test_variants_have_validators_of_their_own(compressed):
    tags = set()
    for coding in ("br", "zstd", "gzip", "identity"):
        accept = ("accept-encoding", coding)
        answer = get(compressed, "/a.txt", [accept])
        tags.add(answer["etag"])
        again = get(compressed, "/a.txt", [accept, ("if-none-match", answer["etag"])])
        assert (again.status, again["etag"]) == (304, answer["etag"])
        assert again["vary"] == "accept-encoding"
    assert len(tags) == 4
    gzipped = get(compressed, "/a.txt", [("accept-encoding", "gzip")])["etag"]
    assert get(compressed, "/a.txt", [("if-none-match", gzipped)]).status == 200


def test_ranges_count_in_the_variant(compressed):
    headers = [("accept-encoding", "gzip"), ("range", "bytes=1-")]
    answer = get(compressed, "/a.txt", headers)
    assert (answer.status, answer.body, answer["content-encoding"]) == (206, b"gz", "gzip")
    assert answer["content-range"] == "bytes 1-2/3"


def test_variants_only_beside_their_file_and_where_wanted(compressed):
    accept = [("accept-encoding", "gzip, br")]
    keys = {"precompressed": ["gzip"]}
    assert get(compressed, "/a.txt", accept, keys=keys)["content-encoding"] == "gzip"
    answer = get(compressed, "/a.txt", accept, keys={"precompressed": []})
    assert (answer["content-encoding"], answer["vary"]) == (None, None)
    (compressed / "a.txt").unlink()
    assert get(compressed, "/a.txt", accept).status == 404
    put(compressed / "index.html.gz", b"zipped")
    assert get(compressed, "/", accept)["content-encoding"] == "gzip"


def test_files_with_a_coding_of_their_own_have_no_variants(compressed):
    accept = [("accept-encoding", "br, gzip")]
    answer = get(compressed, "/a.txt", accept, keys={"headers": ["Content-Encoding: gzip"]})
    assert (answer["content-encoding"], answer["vary"]) == ("gzip", None)
    assert answer.body == b"0123456789"


def test_a_variant_that_leads_outside_is_left(root, tmp_path):
    (root / "a.txt.gz").symlink_to(tmp_path / "secret.txt")
    answer = get(root, "/a.txt", [("accept-encoding", "gzip")])
    assert (answer["content-encoding"], answer.body) == (None, b"0123456789")


def test_the_order_of_the_option_decides_among_equals():
    assert accepted_codings(b"br, gzip, zstd", ("gzip", "br")) == ["gzip", "br"]
    assert accepted_codings(None, ("gzip",)) == []
    assert accepted_codings(b"gzip;q=0.3, *;q=0.7", ("gzip", "br", "zstd")) == [
        "br",
        "zstd",
        "gzip",
    ]


def test_a_file_that_shrinks_is_an_error_not_a_short_body(root, monkeypatch):
    from tricorn.asgi import static
    from tricorn.exceptions import FileUnavailable

    async def nothing(region):
        return b""

    monkeypatch.setattr(static, "read_piece", nothing)
    with pytest.raises(FileUnavailable, match="shrank"):
        get(root, "/big.bin")
