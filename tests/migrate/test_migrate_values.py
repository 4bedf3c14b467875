"""Values that change on the way: units, places, switches, formats, and what is left out."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from migrate_peers import config_of, moved

from tricorn.access_log import compile_format
from tricorn.config import Config
from tricorn.exceptions import ConfigError


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("peer", "line", "wanted"),
    [
        # Uvicorn
        ("uvicorn", "a:b", {"trusted_proxies": ()}),
        ("uvicorn", "a:b --proxy-headers", {"trusted_proxies": ("127.0.0.1", "::1")}),
        ("uvicorn", "a:b --no-proxy-headers", {"trusted_proxies": ()}),
        ("uvicorn", "a:b --forwarded-allow-ips '10.0.0.1, 10.1.0.0/16,x'",
         {"trusted_proxies": ("10.0.0.1", "10.1.0.0/16")}),
        ("uvicorn", "a:b --forwarded-allow-ips *", {"trusted_proxies": ("*",)}),
        ("uvicorn", "a:b --loop none", {"worker_class": "asyncio"}),
        ("uvicorn", "a:b --loop uvloop", {"worker_class": "uvloop"}),
        ("uvicorn", "a:b --http2", {"alpn_protocols": ("h2", "http/1.1")}),
        ("uvicorn", "a:b --header X-A:1 --header 'X-B: 2:3'",
         {"headers": ("X-A: 1", "X-B: 2:3"), "include_server_header": True}),
        ("uvicorn", "a:b --header server:me",
         {"headers": ("server: me",), "include_server_header": False}),
        ("uvicorn", "a:b --root-path /shop", {"root_path": "/shop", "root_path_stripped": True}),
        ("uvicorn", "a:b --uds s", {"bind": ("unix:s",), "unix_socket_mode": 0o666}),
        ("uvicorn", "a:b --access-log", {"accesslog": "-"}),
        ("uvicorn", "a:b --no-access-log", {"accesslog": None}),
        ("uvicorn", "a:b --log-config l.json", {"logconfig": "l.json"}),
        ("uvicorn", "a:b --log-config l.yaml", {"logconfig": "l.yaml"}),
        ("uvicorn", "a:b --log-config l.ini", {"logconfig": "l.ini"}),
        ("uvicorn", "a:b --log-level trace", {"loglevel": "DEBUG"}),
        ("uvicorn", "a:b --ssl-certfile c.pem", {"certfile": "c.pem", "keyfile": "c.pem"}),
        ("uvicorn", "a:b --ssl-cert-reqs 1", {"verify_mode": "CERT_OPTIONAL"}),
        ("uvicorn", "a:b --ws-per-message-deflate no", {"websocket_compression": False}),
        ("uvicorn", "a:b --http h11 --ws wsproto",
         {"http1_codec": "h11", "websocket_codec": "wsproto"}),
        ("uvicorn", "a:b --http httptools --ws auto",
         {"http1_codec": "httptools", "websocket_codec": "auto"}),
        ("gunicorn", "a:b --http-parser fast", {"http1_codec": "httptools"}),
        ("gunicorn", "a:b --http-parser python", {"http1_codec": "h11"}),
        ("uvicorn", "a:b --limit-max-requests 9 --workers 2", {"max_requests": 9, "workers": 2}),
        ("uvicorn", "a:b --limit-concurrency 9", {"max_concurrent_requests": 9}),
        ("uvicorn", "a:b --timeout-worker-healthcheck 9", {"worker_heartbeat_timeout": 9.0}),
        ("uvicorn", "a:b --reload --reload-dir s --reload-include *.html --reload-exclude t",
         {"use_reloader": True, "reload_dirs": ("s",), "reload_include": ("*.py", "*.html"),
          "reload_exclude": ("t",)}),
        # Hypercorn
        ("hypercorn", "a:b -u 33 -g 34 --reload",
         {"user": 33, "group": 34, "use_reloader": True}),
        ("hypercorn", "-b ::1:80 -b :: -b [::2]:81 -b unix:/a::1:2 a:b --log-level warn",
         {"bind": ("[::1]:80", "::", "[::2]:81", "unix:/a::1:2"), "loglevel": "WARNING"}),
        ("hypercorn", "wsgi:a:b", {"application": "a:b", "interface": "wsgi"}),
        ("hypercorn", "asgi:a:b", {"application": "a:b", "interface": "auto"}),
        ("hypercorn", "a:b -m 22", {"umask": 22}),
        ("hypercorn", "a:b --log-config json:l.json", {"logconfig": "json:l.json"}),
        ("hypercorn", "a:b --log-config toml:l", {"logconfig": "toml:l"}),
        ("hypercorn", "a:b --cert-reqs 2", {"verify_mode": "CERT_REQUIRED"}),
        ("hypercorn", "a:b --max-requests-jitter 4", {"max_requests_jitter": 4}),
        # Granian
        ("granian", "a:b --http1-header-read-timeout 1500", {"header_timeout": 1.5}),
        ("granian", "a:b --http 1",
         {"alpn_protocols": ("http/1.1",), "h2_prior_knowledge": False}),
        ("granian", "a:b --http 2", {"alpn_protocols": ("h2",), "h2_prior_knowledge": True}),
        ("granian", "a:b --no-http1-keep-alive", {"keep_alive_max_requests": 1}),
        ("granian", "a:b --http2-initial-connection-window-size 2048",
         {"h2_connection_window_size": 65535}),
        ("granian", "a:b --interface asginl", {"interface": "asgi3", "lifespan": "off"}),
        ("granian", "a:b --interface ASGINL", {"interface": "asgi3", "lifespan": "off"}),
        ("granian", "a:b --interface WSGI --blocking-threads 3",
         {"interface": "wsgi", "wsgi_threads": 3}),
        ("granian", "a:b --log-level Warn --loop UVLOOP",
         {"loglevel": "WARNING", "worker_class": "uvloop"}),
        ("granian", "a:b --interface wsgi --blocking-threads 3",
         {"interface": "wsgi", "wsgi_threads": 3}),
        ("granian", "a:b --log-level warn", {"loglevel": "WARNING"}),
        ("granian", "a:b --no-log --access-log", {"errorlog": None, "accesslog": "-"}),
        ("granian", "a:b --loop rloop", {"worker_class": "auto"}),
        ("granian", "a:b --uds s --uds-permissions 0660", {"unix_socket_mode": 0o660}),
        ("granian", "a:b --ssl-client-verify", {"verify_mode": "CERT_REQUIRED"}),
        ("granian", "a:b --access-log-fmt '[%(time)s] %(addr)s %(header{X-A})s %(dt_ms).3f%%'",
         {"access_log_format": "%(t)s %(h)s %({x-a}i)s %(M)s%%"}),
        ("granian", "a:b --static-path-mount /srv/a --static-path-expires 1h",
         {"mounts": ({"path": "/static", "directory": "/srv/a", "index": "none",
                      "max_age": 3600.0},)}),
        ("gunicorn", """a:b --access-logformat '%(r)-9s "%(r)s" %%(r)s %({r}i)s'""",
         {"access_log_format": '%(R)-9s "%(R)s" %%(r)s %({r}i)s'}),
        ("hypercorn", "a:b --access-logformat %(r)s", {"access_log_format": "%(r)s"}),
        ("granian", "a:b --metrics", {"health_bind": ("127.0.0.1:9090",)}),
        ("granian", "a:b --metrics --metrics-address ::1 --metrics-port 9", {"health_bind":
         ("[::1]:9",)}),
        ("granian", "a:b --workers-lifetime 1h --workers-max-rss 512",
         {"worker_max_lifetime": 3600.0, "worker_max_memory": 2**29}),
        ("granian", "a:b --backpressure 9", {"max_concurrent_requests": 9}),
        ("granian", "a:b --reload --reload-paths s --reload-ignore-dirs x "
         "--reload-ignore-paths s/gen/x",
         {"use_reloader": True, "reload_dirs": ("s",), "reload_exclude": ("x", "gen/x")}),
        ("granian", "a:b --working-dir /srv --reload-ignore-paths /srv/gen",
         {"reload_exclude": ("gen",)}),
        # Daphne
        ("daphne", "a:b -t 9", {"response_timeout": 9.0}),
        ("daphne", "a:b -t 0", {"response_timeout": None}),
        ("daphne", "a:b -v 0", {"loglevel": "WARNING", "accesslog": None}),
        ("daphne", "a:b --proxy-headers", {"trusted_proxies": ("*",)}),
        ("daphne", "a:b -v 3", {"loglevel": "DEBUG", "accesslog": "-", "debug": True}),
        ("daphne", "a:b --access-log f -v 1", {"accesslog": "f"}),
        ("daphne", "a:b --websocket_connect_timeout -1", {"websocket_handshake_timeout": None}),
        ("daphne", "a:b -s me", {"headers": ("Server: me",), "include_server_header": False}),
        ("daphne", "a:b --no-server-name", {"include_server_header": False, "headers": ()}),
        ("daphne", "-e unix:/a:660 a:b", {"unix_socket_mode": 0o660}),
        ("daphne", "-e ssl:443:k:c a:b",
         {"bind": ("0.0.0.0:443",), "certfile": "c", "keyfile": "k"}),
        ("daphne", "-e ssl:443:privateKey=k:certKey=c -p 80 a:b",
         {"bind": ("0.0.0.0:443",), "insecure_bind": ("127.0.0.1:80",), "certfile": "c",
          "keyfile": "k"}),
        # Gunicorn
        ("gunicorn", "a", {"application": "a:application", "interface": "wsgi"}),
        ("gunicorn", "a:b -k gthread --threads 7", {"interface": "wsgi", "wsgi_threads": 7}),
        ("gunicorn", "a:b -k uvicorn.workers.UvicornWorker",
         {"interface": "auto", "worker_class": "auto"}),
        ("gunicorn", "a:b -k uvicorn.workers.UvicornH11Worker", {"worker_class": "asyncio"}),
        ("gunicorn", "a:b -k asgi --asgi-loop asyncio --asgi-disconnect-grace-period 0",
         {"worker_class": "asyncio", "disconnect_grace": 0.0}),
        ("gunicorn", "a:b -m 022", {"umask": 0o22}),
        ("gunicorn", "a:b --forwarded-allow-ips 10.0.0.0/8,*",
         {"trusted_proxies": ("10.0.0.0/8", "*", "unix"), "proxy_protocol": ()}),
        ("gunicorn", "a:b --proxy-protocol",
         {"trusted_proxies": ("127.0.0.1", "::1", "unix"), "proxy_protocol": ("all",)}),
        ("gunicorn", "a:b --proxy-protocol v2 --proxy-allow-from 10.0.0.1 "
         "--forwarded-allow-ips 10.0.0.2",
         {"trusted_proxies": ("10.0.0.1", "10.0.0.2", "unix"), "proxy_protocol": ("all",)}),
        ("gunicorn", "a:b --proxy-protocol off", {"trusted_proxies": (), "proxy_protocol": ()}),
        ("gunicorn", "a:b --max-requests 0", {"max_requests": None}),
        ("gunicorn", "a:b --timeout 90", {"worker_heartbeat_timeout": 90.0}),
        ("gunicorn", "a:b --timeout 0", {"worker_heartbeat_timeout": None}),
        ("gunicorn", "a:b -k gthread --worker-connections 9", {"max_connections": 9}),
        ("gunicorn", "a:b -u www-data -g 33", {"user": "www-data", "group": 33}),
        ("gunicorn", "a:b --reuse-port", {"reuse_port": True}),
        ("gunicorn", "a:b --reload --reload-extra-file t.html",
         {"use_reloader": True, "reload_dirs": (".", "t.html")}),
        ("gunicorn", "a:b --chdir /srv --reload-extra-file t.html",
         {"reload_dirs": ("/srv", "/srv/t.html")}),
        ("gunicorn", "a:b --http-protocols h2,h1", {"alpn_protocols": ("h2", "http/1.1")}),
        ("gunicorn", "a:b --http2-cleartext both",
         {"h2_prior_knowledge": True, "h2c_upgrade": True}),
        ("gunicorn", "a:b --log-config-json l", {"logconfig": "json:l"}),
        ("gunicorn", "a:b --chdir /srv", {"app_dir": "/srv"}),
        ("gunicorn", "a:b --certfile c", {"keyfile": "c"}),
    ],
)  # fmt: skip
def test_conversions(peer: str, line: str, wanted: dict[str, Any]) -> None:
    config = config_of(moved(peer, shlex.split(line)))
    assert {name: getattr(config, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("peer", "line", "origin", "reason"),
    [
        ("uvicorn", "a:b --ws none", "--ws", "403"),
        ("uvicorn", "a:b --ws websockets", "--ws", "fastest"),
        ("uvicorn", "a:b --http zttp", "--http", "fastest"),
        ("uvicorn", "a:b --loop my.loop:factory", "--loop", "worker_class"),
        ("uvicorn", "a:b --ws-max-queue 64", "--ws-max-queue", "websocket_max_queue_size"),
        ("uvicorn", "a:b --no-proxy-headers --forwarded-allow-ips *", "--forwarded-allow-ips",
         "no effect with --no-proxy-headers"),
        ("gunicorn", "a:b --proxy-allow-from 10.0.0.1", "--proxy-allow-from", "no effect"),
        ("uvicorn", "a:b --h11-max-incomplete-event-size 9", "--h11-max-incomplete-event-size",
         "at least 1024"),
        ("granian", "a:b", "no --interface", "RSGI"),
        ("granian", "a:b --no-ws", "--no-ws", "403"),
        ("granian", "a:b --access-log-fmt %(no)s", "--access-log-fmt", "no atom"),
        ("granian", "a:b --access-log-fmt 100%", "--access-log-fmt", "not an atom"),
        ("granian", "a:b --ssl-protocol-min tls1.3", "--ssl-protocol-min", "TLS 1.2"),
        ("granian", "a:b --interface asgi --blocking-threads 2", "--blocking-threads", "WSGI"),
        ("granian", "a:b --static-path-route /a", "--static-path-route", "no effect"),
        ("granian", "a:b --metrics-port 9", "--metrics-port", "metrics are off"),
        ("daphne", "a:b --websocket-max-message-size 0", "--websocket-max-message-size", "limit"),
        ("daphne", "a:b -e haproxy:tcp:80", "-e haproxy:", "endpoints"),
        ("daphne", "a:b -e tcp:80:backlog=9", "-e tcp:", "backlog"),
        ("hypercorn", "a:b --certfile c", "--certfile", "alone"),
        ("granian", "a:b --ssl-certificate c", "--ssl-certificate", "alone"),
        ("granian", "a:b --ssl-keyfile c", "--ssl-keyfile", "alone"),
        ("hypercorn", "a:b --insecure-bind :80", "--insecure-bind", "without certfile"),
        ("hypercorn", "a:b --access-logformat %(zz)s", "--access-logformat", "zz"),
        ("gunicorn", "a:b --worker-connections 9", "--worker-connections", "max_connections"),
        ("gunicorn", "a:b -k asgi --worker-connections 9", "--worker-connections",
         "max_connections"),
        ("gunicorn", "a:b -k asgi --threads 9", "--threads", "no threads"),
        ("granian", "a:b --reload-ignore-paths /elsewhere", "--reload-ignore-paths",
         "below no directory"),
        ("granian", "a:b --reload-ignore-patterns x$", "--reload-ignore-patterns",
         "reload_exclude"),
        ("gunicorn", "a:b -k own.Worker", "-k", "own.Worker"),
        ("gunicorn", "a:b -k sync --asgi-loop uvloop", "--asgi-loop", "ASGI"),
        ("gunicorn", "a:b -k uvicorn_worker.UvicornWorker --root-path /a", "--root-path", "asgi"),
        ("gunicorn", "a:b -k tricorn.gunicorn.TricornWorker", "-k", "replaces"),
        ("gunicorn", "a:b --limit-request-line 0", "--limit-request-line", "at least"),
    ],
)  # fmt: skip
def test_left_out_with_the_reason(peer: str, line: str, origin: str, reason: str) -> None:
    found = moved(peer, line.split())
    assert [text for place, text in found.left_out if place == origin and reason in text], (
        found.left_out
    )
    assert f"# - {origin}: " in found.text


def test_the_formatter_of_uvicorns_access_records_is_told() -> None:
    found = moved("uvicorn", ["a:b", "--log-config", "l.json"])
    assert "uvicorn.logging.AccessFormatter" in found.entries["logconfig"].note


@pytest.mark.parametrize(
    ("template", "noted"), [("%({remote_user}e)s", True), ("%({a}i)s %%({a}e)s", False)]
)
def test_the_environment_of_an_access_line(template: str, noted: bool) -> None:
    found = moved("gunicorn", ["a:b", "--access-logformat", template])
    assert ("of the process" in found.entries["access_log_format"].note) == noted


@pytest.mark.parametrize(
    ("peer", "line"),
    [
        ("uvicorn", "a:b --ws auto --http auto --ws-max-queue 32"),
        ("gunicorn", "a:b --proxy-protocol off --http-parser auto -k asgi"),
        ("granian", "a:b --interface asgi --task-impl asyncio --no-metrics"),
    ],
)
def test_a_default_that_needs_nothing_is_not_reported(peer: str, line: str) -> None:
    assert moved(peer, line.split()).left_out == []


@pytest.mark.parametrize(
    ("peer", "line"),
    [
        ("uvicorn", "a:b --port http"),
        ("uvicorn", "a:b --lifespan maybe"),
        ("uvicorn", "a:b --no-such-flag"),
        ("uvicorn", "a:b --por 80"),  # click does not abbreviate
        ("uvicorn", "a:b c:d"),
        ("uvicorn", "a:b --port"),
        ("granian", "a:b --workers-lifetime soon"),
        ("granian", "a:b --static-path-mount x --static-path-mount y"),
        ("hypercorn", "a:b --statsd x"),
        ("gunicorn", "a:b -w many"),
        ("daphne", "--fd three a:b"),
        ("daphne", "-e systemd:domain=INET a:b"),
        ("daphne", "-e systemd:INET:web a:b"),
        ("daphne", "-e systemd:INET:index=1:name=web a:b"),
        ("uvicorn", ""),
    ],
)
def test_what_the_server_refuses_is_refused(peer: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        moved(peer, line.split())
    assert "\n" not in str(caught.value)


def test_variables_stand_below_flags() -> None:
    variables = {
        "UVICORN_PORT": "81", "UVICORN_HOST": "::", "UVICORN_RELOAD": "true",
        "UVICORN_HEADERS": "a:1 b:2", "WEB_CONCURRENCY": "3", "UVICORN_ACCESS_LOG": "0",
    }  # fmt: skip
    found = moved("uvicorn", ["a:b", "--port", "82"], variables=variables)
    config = config_of(found)
    assert config.bind == ("[::]:82",)
    assert (config.use_reloader, config.workers, config.accesslog) == (True, 3, None)
    assert config.headers == ("a: 1", "b: 2")
    assert found.entries["workers"].origin == "variable WEB_CONCURRENCY"
    assert found.entries["bind"].origin == "variable UVICORN_HOST, --port"
    own = config_of(moved("uvicorn", ["a:b"], variables=variables | {"UVICORN_WORKERS": "5"}))
    assert own.workers == 5


def test_lists_of_paths_in_variables(place: Path) -> None:
    config = config_of(moved("uvicorn", ["a:b"], variables={
        "UVICORN_RELOAD_DIRS": "src:my lib", "UVICORN_RELOAD_EXCLUDES": "a b",
    }))  # fmt: skip
    assert config.reload_dirs == ("src", "my lib")
    assert config.reload_exclude == ("a", "b")
    config = config_of(moved("granian", ["a:b"], variables={
        "GRANIAN_STATIC_PATH_MOUNT": "/srv/a:/srv/b", "GRANIAN_STATIC_PATH_ROUTE": "/a /b",
    }))  # fmt: skip
    assert [mount["directory"] for mount in config.mounts] == ["/srv/a", "/srv/b"]


def test_variables_of_the_others(place: Path) -> None:
    config = config_of(moved("granian", ["a:b"], variables={
        "GRANIAN_INTERFACE": "asgi", "GRANIAN_LOG_ACCESS_ENABLED": "true", "GRANIAN_HTTP": "1",
    }))  # fmt: skip
    assert (config.interface, config.accesslog) == ("asgi3", "-")
    assert config.alpn_protocols == ("http/1.1",)
    (place / "gunicorn.conf.py").write_text("workers = 2\nkeepalive = 3\ntimeout = 4\n")
    found = moved("gunicorn", ["a:b", "--keep-alive", "5"], variables={
        "GUNICORN_CMD_ARGS": "--keep-alive 4 --graceful-timeout 6", "PORT": "90",
        "WEB_CONCURRENCY": "7",
    })  # fmt: skip
    config = config_of(found)
    assert config.bind == ("0.0.0.0:90",)
    assert (config.workers, config.keep_alive_timeout, config.graceful_timeout) == (2, 5.0, 6.0)
    assert found.entries["graceful_timeout"].origin == "--graceful-timeout of GUNICORN_CMD_ARGS"
    assert found.entries["workers"].origin == "workers in ./gunicorn.conf.py"


def test_kept_defaults_are_the_servers() -> None:
    config = config_of(moved("uvicorn", ["a:b"], keep_defaults=True))
    assert (config.keep_alive_timeout, config.graceful_timeout) == (5.0, None)
    assert (config.accesslog, config.disconnect_grace) == ("-", None)
    assert config.alpn_protocols == ("http/1.1",)
    compile_format(config.access_log_format)
    config = config_of(moved("hypercorn", ["a:b"], keep_defaults=True))
    assert (config.graceful_timeout, config.backlog, config.h2c_upgrade) == (3.0, 100, True)
    config = config_of(moved("gunicorn", ["a:b", "-k", "asgi"], keep_defaults=True))
    assert (config.keep_alive_timeout, config.disconnect_grace) == (2.0, 3.0)
    assert (config.worker_heartbeat_timeout, config.max_connections) == (30.0, None)
    config = config_of(moved("gunicorn", ["a:b", "-k", "gthread"], keep_defaults=True))
    assert config.max_connections == 1000
    config = config_of(moved("granian", ["a:b", "--backlog", "200"], keep_defaults=True))
    assert (config.header_timeout, config.backlog) == (30.0, 200)
    assert config.reload_include == ("*.py",)
    config = config_of(moved("granian", ["a:b", "--reload"], keep_defaults=True))
    assert config.reload_include == ("*",)
    compile_format(config.access_log_format)
    config = config_of(moved("daphne", ["a:b"], keep_defaults=True))
    assert (config.disconnect_grace, config.accesslog) == (10.0, "-")
    compile_format(config.access_log_format)


def test_other_defaults_are_told() -> None:
    found = moved("uvicorn", ["a:b", "--timeout-keep-alive", "9"])
    assert '# - graceful_timeout = "none" with Uvicorn, 30.0 here' in found.text
    assert "keep_alive_timeout = 9.0  # --timeout-keep-alive" in found.text
    assert "keep_alive_timeout = 5.0" not in found.text


def test_files(place: Path) -> None:
    (place / "h.toml").write_text('bind = ["a:1"]\ngraceful_timeout = 4\nnonsense = 1\n')
    found = moved("hypercorn", [], file="h.toml")
    assert config_of(found).bind == ("a:1",)
    assert ("nonsense in h.toml", "Hypercorn has no such option") in found.left_out
    (place / "h.py").write_text(
        "import ssl\nfrom hashlib import md5\nclass L: pass\n"
        "verify_mode = ssl.CERT_OPTIONAL\nlogger_class = L\nbind = 'a:2'\naccesslog = object()\n"
    )
    found = moved("hypercorn", ["a:b", "-b", "a:3"], file="file:h.py")
    config = config_of(found)
    assert (config.verify_mode, config.bind) == ("CERT_OPTIONAL", ("a:3",))
    assert config.logger_class == "__config__.L"
    assert [text for where, text in found.left_out if where == "accesslog in file:h.py"]
    (place / "conf_of_shop.py").write_text("class settings:\n    keep_alive_timeout = 8\n")
    found = moved("hypercorn", ["a:b", "-c", "python:conf_of_shop.settings"])
    assert config_of(found).keep_alive_timeout == 8.0


def test_a_gunicorn_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "g.py").write_text(
        "import multiprocessing\nprint('noise')\nbind = 'unix:/a.sock, [::]:80'\n"
        "workers = multiprocessing.cpu_count()\nwsgi_app = 'shop.asgi:app'\nreload = 'True'\n"
        "class W: pass\nworker_class = W\ndef post_fork(server, worker): pass\n"
        "worker_tmp_dir = None\nlogconfig_dict = {'version': 1}\n"
    )
    found = moved("gunicorn", [], file="g.py")
    config = config_of(found)
    assert config.bind == ("unix:/a.sock", "[::]:80")
    assert config.application == "shop.asgi:app"
    assert config.use_reloader
    assert config.logconfig_dict == {"version": 1}
    assert {"post_fork in g.py", "worker_class in g.py"} == {where for where, _ in found.left_out}
    assert capsys.readouterr().out == ""


def test_a_switch_of_a_gunicorn_file_that_gunicorn_refuses(place: Path) -> None:
    (place / "g.py").write_text("reload = 'yes'\n")
    with pytest.raises(ConfigError, match=r"not 'yes' \(reload in g\.py\)$"):
        moved("gunicorn", ["a:b"], file="g.py")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none.toml", None), ("bad.toml", "a ="), ("bad.py", "1 / 0"), ("none.py", None),
        ("python:no_such_module", None), ("exit.py", "raise SystemExit"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_line(place: Path, name: str, text: str | None) -> None:
    if text is not None:
        (place / name).write_text(text)
    for peer in ("hypercorn", "gunicorn"):
        if peer == "gunicorn" and name.endswith(".toml"):
            continue
        with pytest.raises(ConfigError) as caught:
            moved(peer, ["a:b"], file=name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["gunicorn -c conf.py a:b", "gunicorn -c python:conf a:b", "hypercorn -c file:conf.py a:b"],
)
def test_a_python_file_is_run_as_its_server_runs_it(place: Path, line: str) -> None:
    """The script, unlike python -m, does not look for modules in the working directory."""
    (place / "shared_by_conf.py").write_text("WORKERS = 3\n")
    (place / "conf.py").write_text(
        "from __future__ import annotations\n"
        "import dataclasses, os\nfrom shared_by_conf import WORKERS\n"
        "@dataclasses.dataclass\nclass Size:\n    backlog: int = 7\n"
        "workers, backlog = WORKERS, Size().backlog\n"
        "bind = os.environ['ADDRESS'] + ':' + os.environ['PORT']\n"
    )
    (place / ".env").write_text("ADDRESS=[::]\nPORT=1\n")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tricorn", "migrate", "--env-file", ".env", f"PORT=81 {line}"],
        cwd=place, capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    config = Config.from_toml(place / "tricorn.toml")
    assert (config.workers, config.backlog, config.bind) == (3, 7, ("[::]:81",))


def test_what_a_python_file_meets_is_gone_with_it(place: Path) -> None:
    (place / "conf.py").write_text("import os\nos.environ['PORT']\n")
    before = list(sys.path), dict(os.environ)
    moved("gunicorn", ["PORT=81 gunicorn -c conf.py a:b"])
    assert (sys.path, dict(os.environ)) == before


def test_a_server_without_a_file() -> None:
    with pytest.raises(ConfigError, match="Uvicorn has no configuration file; --env-file reads"):
        moved("uvicorn", ["a:b"], file="x.toml")


def test_whom_a_peer_trusts_is_kept_with_its_defaults() -> None:
    for line, trusted in [
        ("uvicorn a:b", ("127.0.0.1", "::1")),
        ("uvicorn a:b --no-proxy-headers", ()),
        ("uvicorn a:b --forwarded-allow-ips 10.0.0.1", ("10.0.0.1",)),
        ("gunicorn a:b", ("127.0.0.1", "::1", "unix")),
        ("daphne a:b", ()),
    ]:
        peer, *words = line.split()
        assert config_of(moved(peer, words, keep_defaults=True)).trusted_proxies == trusted, line


def test_what_is_no_address_is_told() -> None:
    found = moved("uvicorn", ["a:b", "--forwarded-allow-ips", "10.0.0.1,proxy.internal"])
    assert "no address or network: proxy.internal" in found.text
