"""Variables of the shell and specifiers of systemd, whose values nobody knows beforehand."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from migrate_peers import moved

from tricorn.exceptions import ConfigError
from tricorn.migrate import PEERS
from tricorn.migrate.table import Peer, Row, Shape


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# A file that cannot be found, and a key without its certificate.
REFUSED = (
    ("gunicorn", "config"), ("hypercorn", "config"), ("gunicorn", "keyfile"),
    ("uvicorn", "ssl_keyfile"),
)  # fmt: skip
WITH_VALUES = [
    (peer, row)
    for peer in PEERS.values()
    for row in peer.rows
    if (row.flags and row.shape is not Shape.SWITCH and (peer.name, row.name) not in REFUSED)
    or row is peer.rows[0]
]


@pytest.mark.parametrize(("peer", "row"), WITH_VALUES, ids=lambda value: value.name)
def test_every_option_is_told(peer: Peer, row: Row) -> None:
    flag = row.flags[0] if row.flags else "APP"
    line = f"{peer.name} a:b {flag} $X" if row.flags else f"{peer.name} $X"
    found = moved(peer.name, [line], keep_defaults=True)
    tomllib.loads(found.text)
    assert not any(char in found.text for char in "\ue000\ue001")
    assert any(flag in origin.split(", ") for origin, _ in found.left_out)
    advised = [reason for origin, reason in found.left_out if "$X" in reason]
    assert advised or not row.to or row.name in NEEDS_MORE
    assert row.joint or not found.entries.keys() & set(row.to)


# Of no effect alone, whatever the value.
NEEDS_MORE = {
    "certfile", "keyfile", "ssl_certificate", "ssl_keyfile", "insecure_bind", "metrics_address",
    "metrics_port", "proxy_allow_ips",
    "asgi_loop", "asgi_lifespan", "asgi_disconnect_grace_period", "root_path",
    "worker_connections", "blocking_threads", "static_path_route", "static_path_dir_to_file",
    "static_path_expires", "raw_env",
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "entries", "advice"),
    [
        # The parts of an address
        ("uvicorn a:b --host :: --port $PORT", {}, ['--bind "[::]:$PORT"']),
        ("uvicorn a:b --host $HOST --port 80", {}, ['--bind "$HOST:80"']),
        ("uvicorn a:b --host $HOST", {}, ['--bind "$HOST:8000"']),
        # A default is for who starts it without the variable, and a platform sets that.
        ("CMD uvicorn a:b --host 0.0.0.0 --port ${PORT:-8000} --workers ${N:-4}", {},
         ['--bind "0.0.0.0:${PORT:-8000}"', '--workers "${N:-4}"']),
        ("CMD uvicorn a:b --host ${HOST:-0.0.0.0}", {}, ['--bind "${HOST:-0.0.0.0}:8000"']),
        ("CMD gunicorn a:b -k asgi -b ${HOST-::1}:${PORT:=80}", {"worker_class": "auto"},
         ['--bind "${HOST-::1}:${PORT:=80}"']),
        ("CMD uvicorn a:b --forwarded-allow-ips ${IPS:-10.0.0.1,10.0.0.2}", {},
         ['--trusted-proxies "${IPS:-10.0.0.1,10.0.0.2}"']),
        ("gunicorn a:b -e SCRIPT_NAME=$S", {"interface": "wsgi"}, ['--root-path "$S"']),
        ("uvicorn a:b --uds $S", {"unix_socket_mode": 0o666}, ['--bind "unix:$S"']),
        ("uvicorn a:b --fd ${N}", {}, ['--bind "fd://$N"']),
        ("granian --interface asgi a:b --port $PORT", {"interface": "asgi3"},
         ['--bind "127.0.0.1:$PORT"']),
        ("granian --interface asgi a:b --uds $S", {"interface": "asgi3"}, ['--bind "unix:$S"']),
        ("daphne a:b -p $PORT -u /a.sock", {"unix_socket_mode": 0o666},
         ['--bind "127.0.0.1:$PORT" --bind "unix:/a.sock"']),
        ("daphne a:b -e unix:$S:mode=$M", {},
         ['--bind "unix:$S"', '--unix-socket-mode "$M"']),
        ("gunicorn a:b -k asgi -b unix:$S", {"worker_class": "auto", "unix_socket_mode": 0o777},
         ['--bind "unix:$S"']),
        ("gunicorn a:b -k asgi -b unix:/a -m $M", {"worker_class": "auto", "bind": ("unix:/a",)},
         ['--umask "$M"']),
        ("daphne a:b -e tcp:$PORT:interface=10.0.0.1", {}, ['--bind "10.0.0.1:$PORT"']),
        ("daphne a:b -p 80 -e $ENDPOINT", {}, ["--bind,"]),
        ("daphne a:b -e systemd:domain=INET:index=$I", {}, ["--bind,"]),
        ("gunicorn a:b -k asgi -b :$PORT -b [::1]:80", {"worker_class": "auto"},
         ['--bind "0.0.0.0:$PORT" --bind "[::1]:80"']),
        ("gunicorn a:b -k asgi -b $BIND", {"worker_class": "auto"}, ['--bind "$BIND"']),
        ("granian --interface asgi a:b --metrics --metrics-port $P", {"interface": "asgi3"},
         ['--health-bind "127.0.0.1:$P"']),
        # Certificate and key
        ("hypercorn a:b -b :443 --insecure-bind :80 --certfile $CERT --keyfile $KEY",
         {"bind": (":443",), "insecure_bind": (":80",)},
         ['--certfile "$CERT"', '--keyfile "$KEY"']),
        ("hypercorn a:b --certfile c.pem --keyfile $KEY", {},
         ['--certfile "c.pem"', '--keyfile "$KEY"']),
        ("uvicorn a:b --ssl-certfile c.pem --ssl-keyfile $KEY", {},
         ['--certfile "c.pem"', '--keyfile "$KEY"']),
        ("uvicorn a:b --ssl-certfile $CERT --ssl-keyfile k.pem", {},
         ['--certfile "$CERT"', '--keyfile "k.pem"']),
        ("gunicorn a:b -k asgi --certfile $CERT", {"worker_class": "auto"},
         ['--certfile "$CERT"', '--keyfile "$CERT"']),
        ("daphne a:b -e ssl:443:privateKey=$KEY:certKey=c.pem -p 80",
         {"bind": ("0.0.0.0:443",), "insecure_bind": ("127.0.0.1:80",)},
         ['--certfile "c.pem"', '--keyfile "$KEY"']),
        # Proxies
        ("gunicorn a:b -k asgi --proxy-protocol --proxy-allow-from $LB,10.0.0.1",
         {"worker_class": "auto"},
         ['--trusted-proxies "$LB" --trusted-proxies "10.0.0.1" --trusted-proxies "unix"',
          '--proxy-protocol "all"']),
        ("gunicorn a:b -k asgi --proxy-protocol $MODE --proxy-allow-from 10.0.0.1",
         {"worker_class": "auto"},
         ["--proxy-protocol,", '--trusted-proxies "10.0.0.1" --trusted-proxies "unix"']),
        ("uvicorn a:b --forwarded-allow-ips $IPS", {}, ['--trusted-proxies "$IPS"']),
        ("UVICORN_PROXY_HEADERS=$P uvicorn a:b --forwarded-allow-ips 10.0.0.1", {},
         ["--trusted-proxies,"]),
        # What tells what the others mean
        ("gunicorn a:b -k $WORKER --threads 4", {"wsgi_threads": 4},
         ["--interface,", "--worker-class,"]),
        ("gunicorn a:b --threads $T --worker-connections 9",
         {"interface": "wsgi", "max_connections": 9}, ['--wsgi-threads "$T"']),
        ("granian a:b --interface $I --blocking-threads 4", {"wsgi_threads": 4}, ["--interface,"]),
        ("granian --interface asgi a:b --static-path-mount $DIR --static-path-route /s",
         {"interface": "asgi3"}, ["--mounts,"]),
        ("granian --interface asgi a:b --reload-paths $DIR --reload-ignore-paths /srv/gen",
         {"interface": "asgi3"}, ['--reload-dirs "$DIR"', "--reload-exclude,"]),
        ("GRANIAN_METRICS_ENABLED=$M granian --interface asgi a:b --metrics-port 9",
         {"interface": "asgi3"}, ["--health-bind,"]),
        ("gunicorn a:b -k asgi --reload-extra-file $DIR/t.html", {"worker_class": "auto"},
         ['--reload-dirs "." --reload-dirs "$DIR/t.html"']),
        # Values that change on the way, and those that do not
        ("uvicorn a:b --header X-A:$V --header X-B:1", {},
         ['--headers "X-A: $V" --headers "X-B: 1"']),
        ("uvicorn a:b --header $H", {}, ['--headers "$H"']),
        ("UVICORN_RELOAD=$R uvicorn a:b", {}, ["--use-reloader,"]),
        ("uvicorn a:b --root-path $P", {}, ["--root-path,", "--root-path-stripped,"]),
        ("gunicorn a:b -k asgi --http-protocols $P", {"worker_class": "auto"},
         ["--alpn-protocols,"]),
        # What is no variable by name
        ("gunicorn a:b -k asgi -w $((2 * $(nproc) + 1))", {"worker_class": "auto"},
         ['--workers "$((2 * $(nproc) + 1))"']),
        ("gunicorn a:b -k asgi -w `nproc --all`", {"worker_class": "auto"},
         ['--workers "`nproc --all`"']),
        ('uvicorn a:b --workers "${N:-$(nproc)}"', {}, ['--workers "${N:-$(nproc)}"']),
        ("uvicorn a:b --port ${PORT:-${WEB_PORT:-80}}", {},
         ['--bind "127.0.0.1:${PORT:-${WEB_PORT:-80}}"']),
        ("hypercorn a:b --log-level ${LEVEL,,}", {}, ['--loglevel "${LEVEL,,}"']),
        ('bash -c "uvicorn a:b --app-dir $(pwd)/src"', {}, ["--app-dir,"]),
        ('CMD ["sh", "-c", "uvicorn a:b --app-dir $(pwd)"]', {}, ["--app-dir,"]),
        ("uvicorn a:b --header \"X-A:it's $V\"", {}, ['--headers "X-A: it\'s $V"']),
        (r"uvicorn a:b --header X-A:\$V --header 'X-B:$(a) `b`'",
         {"headers": ("X-A: $V", "X-B: $(a) `b`")}, []),
    ],
)  # fmt: skip
def test_what_goes_together(line: str, entries: dict[str, Any], advice: list[str]) -> None:
    found = moved(next(name for name in PEERS if f"{name} " in line), [line])
    assert found.warnings == []
    taken = {name: entry.value for name, entry in found.entries.items()}
    assert taken == {"application": "a:b", **entries}
    reasons = [reason for _, reason in found.left_out]
    assert len(reasons) == len(advice), reasons
    for words in advice:
        assert any(f"give it as {words}" in reason for reason in reasons), reasons


def test_a_flag_beside_one_that_wins_is_not_advised() -> None:
    found = moved("uvicorn", ["uvicorn a:b --uds /a.sock --port $PORT"])
    assert found.entries["bind"].value == ("unix:/a.sock",)
    assert found.left_out == []


def test_what_goes_with_it_says_so() -> None:
    found = moved("uvicorn", ["uvicorn a:b --ssl-certfile $CERT --ssl-keyfile k.pem"])
    assert found.left_out == [
        ("--ssl-certfile", "a file cannot hold $CERT, which the shell fills in; give it as "
         '--certfile "$CERT", or in TRICORN_CERTFILE'),
        ("--ssl-keyfile", 'it goes with $CERT, which the shell fills in; give it as --keyfile '
         '"k.pem", or in TRICORN_KEYFILE'),
    ]  # fmt: skip


def test_tls_is_on_with_files_that_are_not_named_yet() -> None:
    line = "uvicorn a:b --ssl-certfile $CERT --ssl-keyfile $KEY --ssl-cert-reqs 1 --ssl-ca-certs "
    for authorities in "ca.pem", "$CA":
        assert moved("uvicorn", [line + authorities]).warnings == []
    line = "uvicorn a:b --ssl-certfile c --ssl-keyfile k --ssl-cert-reqs $REQS"
    for authorities in "", " --ssl-ca-certs ca.pem", " --ssl-ca-certs $CA":
        assert moved("uvicorn", [line + authorities]).warnings == []


def test_defaults_of_what_is_not_known_are_not_written() -> None:
    line = "gunicorn a:b --threads $T --forwarded-allow-ips $IPS --keep-alive $K -b $B"
    found = moved("gunicorn", [line], keep_defaults=True)
    names = {"wsgi_threads", "trusted_proxies", "keep_alive_timeout", "bind"}
    assert not names & found.entries.keys()


def test_an_application_that_is_not_known() -> None:
    for line in ("gunicorn $APP", "hypercorn $APP", "uvicorn $APP"):
        found = moved(line.split()[0], [line])
        assert "give it as APP" in found.left_out[0][1]
        assert "No application was named" not in found.text


def test_what_is_not_known_wins_over_what_is(place: Path) -> None:
    (place / "g.py").write_text("wsgi_app = 'shop:app'\n")
    found = moved("gunicorn", ["gunicorn $APP"], file="g.py")
    assert "application" not in found.entries
    assert 'APP "$APP"' in found.left_out[0][1]


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ('exec gunicorn a:b "$@"', "$@"),
        ('exec gunicorn "$@" a:b', "$@"),
        ("uvicorn $FLAGS a:b", "$FLAGS"),
        ('hypercorn a:b "${EXTRA[@]}" $*', "${EXTRA[@]}, $*"),
        ("granian --interface asgi a:b ${RELOAD:+--reload}", "${RELOAD:+--reload}"),
    ],
)
def test_words_that_may_be_anything_are_not_the_application(line: str, rest: str) -> None:
    found = moved(next(name for name in PEERS if f"{name} " in line), [line])
    assert found.entries["application"].value == "a:b"
    assert "give Tricorn's" in dict(found.left_out)[rest]


def test_nothing_but_words_that_may_be_anything() -> None:
    found = moved("gunicorn", ['exec gunicorn "$@"'])
    assert "application" not in found.entries
    assert [origin for origin, _ in found.left_out] == ["$@"]
    assert "No application was named" in found.text


def test_a_file_that_is_not_known(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"which file is \$CONF\? Give it with --file"):
        moved("gunicorn", ["gunicorn -c $CONF a:b"])
    (place / "g.py").write_text("workers = 2\n")
    found = moved("gunicorn", ["gunicorn -c $CONF a:b"], file="g.py")
    assert found.entries["workers"].value == 2


def test_a_python_file_meets_the_unknown_too(place: Path) -> None:
    (place / "g.py").write_text("import os\nbind = '0.0.0.0:' + os.environ.get('PORT', '80')\n")
    found = moved("gunicorn", ["PORT=$WEB_PORT gunicorn -c g.py a:b"])
    assert '--bind "0.0.0.0:$WEB_PORT"' in found.left_out[0][1]


def test_specifiers_of_systemd() -> None:
    line = (
        "ExecStart=%h/v/bin/gunicorn -b unix:%t/$NAME.sock --access-logformat '%%(h)s %%%%' %i:app"
    )
    found = moved("gunicorn", [line])
    assert "bind" not in found.entries
    assert found.entries["access_log_format"].value == "%(h)s %%"
    advice = (
        'a file cannot hold %t, $NAME, which systemd and the shell fill in; give it as --bind "'
    )
    assert advice + 'unix:%t/$NAME.sock", or in TRICORN_BIND' in dict(found.left_out)["-b"]
    assert 'APP "%i:app"' in dict(found.left_out)["APP"]
    assert "which systemd fills in" in dict(found.left_out)["APP"]
    wrapped = moved("uvicorn", ["ExecStart=%h/bin/nice -n %i uvicorn a:b"])
    assert "in front of the command: %h/bin/nice -n %i" in wrapped.text
    shell = moved("uvicorn", ["uvicorn a:b --root-path /%t"])
    assert shell.entries["root_path"].value == "/%t"


def test_expressions_of_supervisord() -> None:
    line = (
        "command=/v/bin/daphne -u /run/d%(process_num)02d.sock --log-fmt '%%(message)s' "
        "--server-name $NAME mysite.asgi:application"
    )
    found = moved("daphne", [line])
    assert found.entries["application"].value == "mysite.asgi:application"
    assert "bind" not in found.entries
    reason = dict(found.left_out)["-u"]
    assert "%(process_num)02d, which supervisord fills in" in reason
    assert '--bind "unix:/run/d%(process_num)02d.sock"' in reason
    # It starts no shell.
    assert found.entries["headers"].value == ("Server: $NAME",)
