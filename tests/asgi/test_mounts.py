"""Several applications as one: which gets what, in which scope, and their joint lifespan."""

import sys
import threading
import types

import anyio
import pytest

from helpers.asgi_call import call, scope_of
from tricorn.application import compose
from tricorn.asgi.lifespan import Lifespan
from tricorn.asgi.mounts import Mounts
from tricorn.asgi.stopping import EXTENSION, Stopping
from tricorn.config import Config
from tricorn.config_mounts import Mount
from tricorn.exceptions import ConfigError, LifespanError

BACKENDS = ["asyncio", "trio"]


class App:
    """Answers with its name; keeps its scopes; has a lifespan of the kind ``way``."""

    going_down = None

    def __init__(self, name, way="complete", log=None):
        self.name = name
        self.way = way
        self.log = [] if log is None else log
        self.scopes = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
            return
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.name.encode()})

    async def lifespan(self, scope, receive, send):
        if self.way == "unsupported":
            raise ValueError("only http here")
        assert await receive() == {"type": "lifespan.startup"}
        self.signal = scope["extensions"][EXTENSION]["signal"]
        if self.way == "raise":
            raise RuntimeError("broken start")
        if self.way == "failed":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        if self.way == "hang":
            await anyio.sleep_forever()
        self.log.append(f"{self.name} up")
        scope["state"]["name"] = self.name
        scope["state"][self.name] = []
        await send({"type": "lifespan.startup.complete"})
        try:
            assert await receive() == {"type": "lifespan.shutdown"}
            if self.way == "hang at the end":
                if self.going_down is not None:
                    self.going_down.set()
                await anyio.sleep_forever()
        except BaseException:
            self.log.append(f"{self.name} cut")
            raise
        self.log.append(f"{self.name} down")
        if self.way == "fail at the end":
            await send({"type": "lifespan.shutdown.failed", "message": "disk full"})
        else:
            await send({"type": "lifespan.shutdown.complete"})


def mounts(*entries, **options):
    """Mounts of ``(path, hosts, app)``."""
    mounted = [(Mount(path=path, host=tuple(hosts), application="x"), app)
               for path, hosts, app in entries]  # fmt: skip
    return Mounts(mounted, Config(**options))


def answer_of(app, target, host="example.org", **options):
    return call(app, target, [("host", host)], **options)


# Which one


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/", "root"), ("/x", "root"), ("/apix", "root"), ("/ap", "root"), ("/api", "api"),
        ("/api/", "api"), ("/api/x/y", "api"), ("/api/v2", "v2"), ("/api/v2/", "v2"),
        ("/api/v2/x", "v2"), ("/api/v22", "api"), ("/api%2Fv2", "v2"), ("/%61pi/x", "api"),
        ("/API", "root"), ("//api", "root"), ("/x/api", "root"), ("/api/../x", "api"),
        ("*", "root"),
    ],
)  # fmt: skip
def test_the_longest_path_of_whole_segments_wins(target, name):
    entries = [
        (path, (), App(n)) for path, n in [("/", "root"), ("/api", "api"), ("/api/v2/", "v2")]
    ]
    for order in (entries, entries[::-1]):
        assert answer_of(mounts(*order), target).body == name.encode()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("example.org", "exact"), ("EXAMPLE.ORG.:8000", "exact"), ("www.example.org", "www"),
        ("a.example.org", "wild"), ("a.b.example.org", "deep"), ("x.a.b.example.org", "deep"),
        ("b.example.org", "wild"), ("[0::1]:80", "v6"), ("other.test", "any"), ("", "any"),
        ("no host", "any"), ("example.org.evil.test", "any"),
    ],
)  # fmt: skip
def test_exact_host_before_wildcard_before_any(host, name):
    entries = [
        ("/", (), App("any")),
        ("/", ("*.example.org",), App("wild")),
        ("/", ("*.b.example.org",), App("deep")),
        ("/", ("www.example.org",), App("www")),
        ("/", ("Example.org", "second.test"), App("exact")),
        ("/", ("::1",), App("v6")),
    ]
    for order in (entries, entries[::-1]):
        assert answer_of(mounts(*order), "/", host).body == name.encode()


def test_the_path_comes_before_the_host_and_the_search_goes_on():
    app = mounts(
        ("/", ("example.org",), App("host")),
        ("/static", (), App("shared")),
        ("/static/x", ("other.test",), App("other")),
    )
    assert answer_of(app, "/static/x").body == b"shared"
    assert answer_of(app, "/static/x", "other.test").body == b"other"
    assert answer_of(app, "/y").body == b"host"
    assert answer_of(app, "/y", "other.test").status == 404


def test_an_unknown_mount_is_refused_in_its_own_kind():
    app = mounts(("/api", (), App("api")))
    assert answer_of(app, "/").status == 404
    assert answer_of(app, "/apix", method="HEAD").body == b""
    denied = answer_of(app, "/", kind="websocket", extensions=["websocket.http.response"])
    assert denied.types == ["websocket.http.response.start", "websocket.http.response.body"]
    assert denied.status == 404
    closed = answer_of(app, "/", kind="websocket")
    assert closed.messages == [{"type": "websocket.close", "code": 1000, "reason": ""}]


# The scope


@pytest.mark.parametrize(
    ("path", "outer", "target", "root_path"),
    [
        ("/api", "", "/api/x%20y", "/api"),
        ("/api/", "", "/api", "/api"),
        ("/", "", "/x", ""),
        ("/api", "/shop", "/shop/api/x", "/shop/api"),
        ("/", "/shop", "/shop/x", "/shop"),
        ("/", "/shop", "/shop", "/shop"),
        ("/api", "/shop", "/api/x", "/shop/api"),
    ],
)
def test_root_path_grows_and_path_stays(path, outer, target, root_path):
    app = App("a")
    given = scope_of(target, [("host", "a")], root_path=outer, extensions=["x"])
    call(mounts((path, (), app)), target, [("host", "a")], root_path=outer, extensions=["x"])
    (scope,) = app.scopes
    assert scope["root_path"] == root_path
    assert scope["path"] == given["path"]
    assert scope["raw_path"] == given["raw_path"]
    assert {**scope, "root_path": outer} == given


def test_the_scope_is_a_copy():
    app = App("a")
    mounted = mounts(("/api", (), app))
    given = scope_of("/api", extensions=["x"])
    before = {key: given[key] for key in given}

    async def main():
        async def send(message):
            pass

        await mounted(given, None, send)

    anyio.run(main)
    app.scopes[0]["extra"] = 1
    app.scopes[0]["extensions"]["y"] = {}
    assert given == before
    assert list(given["extensions"]) == ["x"]


# Lifespan


def live(backend, app, during=None, **options):
    """Start, use and stop the application as the server does; the lifespan."""
    found = error = None

    async def main():
        nonlocal found, error
        found = Lifespan(app, Config(**options), Stopping())
        async with anyio.create_task_group() as tasks:
            try:
                await found.startup(tasks)
                if during is not None:
                    await during()
                await found.shutdown()
            except LifespanError as exc:
                error = exc
            finally:
                found.cancel()

    anyio.run(main, backend=backend)
    if error is not None:
        raise error
    return found


def three(log, ways=("complete",) * 3):
    apps = [App(name, way, log) for name, way in zip("abc", ways, strict=True)]
    entries = [(f"/{app.name}", (), app) for app in apps]
    return apps, entries


@pytest.mark.parametrize("backend", BACKENDS)
def test_started_in_order_and_shut_down_in_reverse(backend):
    log = []
    apps, entries = three(log)
    lifespan = live(backend, mounts(*entries))
    assert log == ["a up", "b up", "c up", "c down", "b down", "a down"]
    assert lifespan.state == {}
    assert len({id(app.signal) for app in apps}) == 1
    assert isinstance(apps[0].signal, Stopping)


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_has_its_own_state(backend):
    log = []
    apps, entries = three(log, ("complete", "complete", "unsupported"))
    app = mounts(*entries)

    async def during():
        async def send(message):
            pass

        for target in ("/a", "/b", "/c", "/a"):
            await app(scope_of(target, state={}), None, send)

    live(backend, app, during)
    first, again = apps[0].scopes
    assert first["state"] == {"name": "a", "a": []}
    assert apps[1].scopes[0]["state"] == {"name": "b", "b": []}
    assert "state" not in apps[2].scopes[0]
    # Shallow copies: keys of one request are its own, objects are shared.
    assert first["state"] is not again["state"]
    assert first["state"]["a"] is again["state"]["a"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("way", ["failed", "raise"])
def test_a_failure_stops_those_that_run_and_is_passed_on(backend, way, caplog):
    log = []
    _, entries = three(log, ("complete", way, "complete"))
    if way == "failed":
        with pytest.raises(LifespanError, match="mount /b: no database"):
            live(backend, mounts(*entries))
    else:
        with pytest.raises(LifespanError, match=r"mount /b: .*RuntimeError\('broken start'\)"):
            live(backend, mounts(*entries, lifespan="on"), lifespan="on")
        assert "Traceback" in caplog.text
        assert 'raise RuntimeError("broken start")' in caplog.text
    assert log == ["a up", "a down"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_auto_goes_on_without_those_that_have_none(backend, caplog):
    log = []
    _, entries = three(log, ("unsupported", "raise", "complete"))
    live(backend, mounts(*entries))
    assert log == ["c up", "c down"]
    # One that was told to start and raised is never hidden.
    assert "mount /b: " in caplog.text
    assert 'raise RuntimeError("broken start")' in caplog.text


@pytest.mark.parametrize("backend", BACKENDS)
def test_on_wants_a_lifespan_of_each(backend):
    log = []
    _, entries = three(log, ("complete", "unsupported", "complete"))
    with pytest.raises(LifespanError, match="mount /b"):
        live(backend, mounts(*entries, lifespan="on"), lifespan="on")
    assert log == ["a up", "a down"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_startup_that_hangs_is_cut_and_named(backend, caplog):
    log = []
    _, entries = three(log, ("complete", "hang", "complete"))
    with pytest.raises(LifespanError, match="startup_timeout"):
        live(backend, mounts(*entries, startup_timeout=0.05), startup_timeout=0.05)
    assert log == ["a up", "a down"]
    assert "mount /b: cancelled" in caplog.text


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_shutdown_that_hangs_costs_the_others_nothing(backend, caplog):
    log = []
    _, entries = three(log, ("complete", "complete", "hang at the end"))
    live(backend, mounts(*entries, shutdown_timeout=0.15), shutdown_timeout=0.15)
    assert log[:3] == ["a up", "b up", "c up"]
    assert sorted(log[3:]) == ["a down", "b down", "c cut"]
    assert "mount /c: lifespan shutdown took longer" in caplog.text
    assert "mount /a" not in caplog.text


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failed_shutdown_is_told(backend, caplog):
    log = []
    _, entries = three(log, ("complete", "fail at the end", "complete"))
    live(backend, mounts(*entries))
    assert log[3:] == ["c down", "b down", "a down"]
    assert "mount /b: the application's shutdown failed: disk full" in caplog.text


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("way", ["complete", "hang at the end"])
def test_cancelled_it_leaves_nothing_running(backend, way):
    """The applications' tasks are shielded; the joint one must end them itself."""
    log = []
    apps, entries = three(log, ("complete", way, "complete"))
    last = apps[1]
    app = mounts(*entries)

    async def main():
        started = anyio.Event()
        going_down = last.going_down = anyio.Event()

        async def receive():
            if not started.is_set():
                return {"type": "lifespan.startup"}
            if way == "complete":
                await anyio.sleep_forever()
            return {"type": "lifespan.shutdown"}

        async def send(message):
            started.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app, {"type": "lifespan", "extensions": {EXTENSION: {"signal": None}},
                                   "state": {}}, receive, send)  # fmt: skip
            await started.wait()
            if way != "complete":
                await going_down.wait()
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)
    assert sorted(line[0] for line in log[3:]) == ["a", "b", "c"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_object_at_two_places_is_started_once(backend):
    log = []
    app = App("a", log=log)
    mounted = mounts(("/x", (), app), ("/y", (), app))

    async def during():
        async def send(message):
            pass

        await mounted(scope_of("/x", state={}), None, send)
        await mounted(scope_of("/y", state={}), None, send)

    live(backend, mounted, during)
    assert log == ["a up", "a down"]
    assert app.scopes[0]["state"]["a"] is app.scopes[1]["state"]["a"]


# From the configuration


APPS = """
async def answer(scope, receive, send, text):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})

async def one(scope, receive, send):
    await answer(scope, receive, send, "one")

def make():
    async def made(scope, receive, send):
        await answer(scope, receive, send, "made")
    return made

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi " + environ["SCRIPT_NAME"].encode() + b" " + environ["PATH_INFO"].encode()]
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    (tmp_path / "mounted_shop.py").write_text(APPS)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("file")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("mounted_shop", None)


def test_compose_mounts_every_kind(shop):
    config = Config(
        app_dir=str(shop),
        mounts=[
            {"path": "/one", "application": "mounted_shop:one"},
            {"path": "/made", "application": "mounted_shop:make", "factory": True},
            {"path": "/called", "application": "mounted_shop:make()"},
            {"path": "/wsgi", "application": "mounted_shop:wsgi"},
            {"path": "/files", "directory": str(shop / "files")},
            {"path": "/old", "redirect": "/one"},
        ],
    )
    app = compose(None, config)
    for target, body in [("/one", b"one"), ("/made/x", b"made"), ("/called", b"made"),
                         ("/wsgi/x", b"wsgi /wsgi /x"), ("/files/a.txt", b"file")]:  # fmt: skip
        assert answer_of(app, target).body == body
    assert answer_of(app, "/old/x")["location"] == "/one/x"
    assert answer_of(app, "/").status == 404
    assert answer_of(compose(App("root"), config), "/").body == b"root"
    assert answer_of(compose(App("root"), config), "/one").body == b"one"


def module_of(monkeypatch, app):
    """A module of whose name the configuration can make an application; its target."""
    module = types.ModuleType("mounted_twice")
    module.app = app
    monkeypatch.setitem(sys.modules, "mounted_twice", module)
    return "mounted_twice:app"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("interfaces", [("auto", "auto"), ("asgi2", "auto"), ("auto", "asgi2")])
def test_the_application_mounted_once_more_is_started_once(backend, interfaces, monkeypatch):
    started = []

    def app(scope):
        async def run(receive, send):
            await receive()
            started.append(scope["type"])
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

        return run

    target = module_of(monkeypatch, app)
    mounts = [{"path": "/again", "application": target, "interface": interfaces[1]}]
    live(backend, compose(app, Config(interface=interfaces[0], mounts=mounts)))
    assert started == ["lifespan"]


def test_a_wsgi_application_mounted_once_more_has_one_pool(monkeypatch):
    threads = set()

    def app(environ, start_response):
        threads.add(threading.get_ident())
        start_response("200 OK", [])
        return [environ["SCRIPT_NAME"].encode()]

    mounts = [{"path": "/again", "application": module_of(monkeypatch, app)}]
    composed = compose(app, Config(mounts=mounts, wsgi_threads=1))
    assert answer_of(composed, "/a").body == b""
    assert answer_of(composed, "/again/a").body == b"/again"
    assert len(threads) == 1


def test_compose_of_nothing_and_of_two_at_the_root(shop):
    with pytest.raises(ConfigError, match="nothing to serve"):
        compose(None, Config())
    config = Config(app_dir=str(shop), mounts=[{"directory": str(shop)}])
    with pytest.raises(ConfigError, match="the mount at"):
        compose(App("root"), config)


def test_a_mount_that_cannot_be_imported_is_named(shop):
    from tricorn.exceptions import AppImportError

    config = Config(app_dir=str(shop), mounts=[{"application": "mounted_shop:none"}])
    with pytest.raises(AppImportError, match=r"mounts\[0\]\.application: .*no attribute 'none'"):
        compose(None, config)
