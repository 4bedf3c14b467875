"""From a target to an application, and every way it can fail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tricorn.app_loader import Target, interface_of, load_app, parse_target
from tricorn.exceptions import AppImportError, ConfigError

APP = """
async def app(scope, receive, send): ...
class Old:
    def __init__(self, scope): ...
    async def __call__(self, receive, send): ...
class holder:
    app = app
class Framework:
    async def __call__(self, scope, receive, send): ...
    def made(self): return self
framework = Framework()
def create_app(name="x", *, debug=False):
    create_app.calls.append((name, debug))
    return framework
create_app.calls = []
def needs(settings): return app
async def slow(): return app
def gives_none(): return None
def raises(): raise RuntimeError("no database")
def exits(): raise SystemExit("gone")
def panics(): raise BaseException("gone")  # PyO3's PanicException is no Exception either
def make(): return app
def wsgi(environ, start_response): ...
nothing = None
number = 3
"""


def failure(target: str, **options: Any) -> AppImportError:
    with pytest.raises(AppImportError) as caught:
        load_app(target, **options)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture
def shop(work: Path) -> Path:
    (work / "shop.py").write_text(APP)
    return work


@pytest.mark.parametrize(
    ("target", "parsed"),
    [
        ("a", Target("a", ("app",))),
        ("a.b:c", Target("a.b", ("c",))),
        ("a:b.c.d", Target("a", ("b", "c", "d"))),
        ("asgi:app", Target("asgi", ("app",))),
        ("asgi:a:b", Target("a", ("b",))),
        ("wsgi:a:b", Target("a", ("b",))),
        ("dir/x.py", Target("dir/x.py", ("app",), True)),
        ("C:\\dir\\x.py:y", Target("C:\\dir\\x.py", ("y",), True)),
        ("dir/x", Target("dir/x.py", ("app",), True)),
        ("asgi:dir/x:y", Target("dir/x.py", ("y",), True)),
        ("./a.b/x.py:y.z", Target("./a.b/x.py", ("y", "z"), True)),
        ("a:f()", Target("a", ("f",), False, True)),
        ("a:f('b:c', x={'d': [1, None]})",
         Target("a", ("f",), False, True, ("b:c",), {"x": {"d": [1, None]}})),
        ("x.py:f(-1)", Target("x.py", ("f",), True, True, (-1,))),
        ("wsgi:create('a:b')", Target("wsgi", ("create",), False, True, ("a:b",))),
    ],
)  # fmt: skip
def test_targets(target: str, parsed: Target) -> None:
    assert parse_target(target) == parsed


@pytest.mark.parametrize(
    "target",
    ["", ":", ":app", "a:", "a:b:c", "a b", "a/", "a..b", "a:b[0]", "a:1", "a:b()()",
     "a:lambda: 1", "a:b(", "a:(b)(c", "a-b:c", "x.py:"],
)  # fmt: skip
def test_strings_that_name_nothing(target: str) -> None:
    with pytest.raises(AppImportError, match="does not name an application"):
        parse_target(target)


@pytest.mark.parametrize("call", ["f(x)", "f(g())", "f(**{'a': 1})", "f(*[1])", "f(1 + x)"])
def test_arguments_are_literals_and_never_evaluated(call: str) -> None:
    with pytest.raises(AppImportError, match="must be literals"):
        parse_target(f"a:{call}")


@pytest.mark.parametrize(
    ("target", "interface", "found"),
    [
        ("a:b", "auto", "auto"),
        ("a:b", "asgi2", "asgi2"),
        ("wsgi:a:b", "auto", "wsgi"),
        (" wsgi:a:b", "auto", "wsgi"),
        ("wsgi:a.py:b", "wsgi", "wsgi"),
        ("wsgi:a:make('x')", "auto", "wsgi"),
        ("asgi:a:b", "auto", "asgi3"),
        ("asgi:a:b", "asgi3", "asgi3"),
        ("asgi:a:b", "asgi2", "asgi2"),
        ("wsgi:app", "auto", "auto"),  # a module of that name
        ("asgi:app", "auto", "auto"),
    ],
)
def test_the_interface_a_prefix_names(target: str, interface: str, found: str) -> None:
    assert interface_of(target, interface) == found


@pytest.mark.parametrize(
    ("target", "interface"), [("wsgi:a:b", "asgi3"), ("wsgi:a:b", "asgi2"), ("asgi:a:b", "wsgi")]
)
def test_a_prefix_that_contradicts_the_option(target: str, interface: str) -> None:
    with pytest.raises(ConfigError, match=f"^interface: {interface} contradicts .*{target}"):
        interface_of(target, interface)


@pytest.mark.parametrize(
    "target",
    [
        "shop",
        "shop:app",
        "asgi:shop:app",
        "wsgi:shop:app",
        "shop:holder.app",
        "shop.py",
        "./shop.py:app",
    ],
)
def test_functions(target: str, shop: Path) -> None:
    assert load_app(target).__name__ == "app"


def test_objects_and_asgi2_classes(shop: Path) -> None:
    assert type(load_app("shop:framework")).__name__ == "Framework"
    assert load_app("shop:Old").__name__ == "Old"
    assert load_app("shop:wsgi").__name__ == "wsgi"


def test_factories(shop: Path) -> None:
    framework = load_app("shop:framework")
    for target in (
        "shop:create_app()",
        "shop:create_app('y', debug=True)",
        "shop:framework.made()",
    ):
        assert load_app(target) is framework
    assert load_app("shop:create_app", factory=True) is framework
    assert load_app("shop:create_app('z')", factory=True) is framework
    assert sys.modules["shop"].create_app.calls == [
        ("x", False), ("y", True), ("x", False), ("z", False),
    ]  # fmt: skip


def test_app_dir_goes_first(shop: Path) -> None:
    (shop / "src").mkdir()
    (shop / "src" / "other.py").write_text("def app(scope, receive, send): ...")
    assert "there is no module 'other'" in str(failure("other:app"))
    load_app("other:app", app_dir="src")
    with pytest.raises(ConfigError, match="app_dir: 'nowhere' is not a directory"):
        load_app("shop", app_dir="nowhere")


def test_what_is_in_the_path_already_goes_first_too(work: Path) -> None:
    """As an editable installation adds the project: behind all that is installed."""
    installed, project = work / "installed", work / "project"
    for place in installed, project:
        place.mkdir()
        (place / "site_of_two.py").write_text(f"def app(scope): return {place.name!r}\n")
    sys.path += [str(installed), str(project)]
    app: Any = load_app("site_of_two:app", app_dir=str(project))
    assert app({}) == "project"
    assert sys.path.count(str(project)) == 1


def test_a_file_in_a_package_is_imported_by_its_dotted_name(work: Path) -> None:
    inner = work / "src" / "pack" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("")
    (inner.parent / "base.py").write_text("async def app(scope, receive, send): ...")
    (inner / "web.py").write_text("from ..base import app")
    load_app("src/pack/inner/web.py:app")
    assert sys.modules["pack.inner.web"].app.__module__ == "pack.base"


def test_a_path_without_py_is_a_file_or_a_package(work: Path) -> None:
    """As Hypercorn has it."""
    (work / "src" / "pack2").mkdir(parents=True)
    for name in "plain2.py", "pack2/__init__.py":
        (work / "src" / name).write_text("async def app(scope, receive, send): ...")
    for name in "plain2", "pack2":
        load_app(f"src/{name}:app")
        assert name in sys.modules


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("shpo:app", "cannot import 'shpo': there is no module 'shpo' in {work}; "
                     "did you mean 'shop'?"),
        ("shop.web:app", "cannot import 'shop.web': 'shop' is a module, not a package"),
        ("pack.web:app", "there is no module 'pack.web' in {work}/pack; "
                         "did you mean 'webs'?"),
        ("shpo.py:app", "there is no file 'shpo.py'; did you mean 'shop.py'?"),
        ("no/where.py:app", "there is no file 'no/where.py'"),
        ("no/where:app", "there is no file 'no/where.py'"),
        ("shop:ap", "'shop' has no attribute 'ap'; did you mean 'app'?"),
        ("shop:zzzzz", "'shop' has no attribute 'zzzzz'"),
        ("shop:holder.apq", "'shop:holder' has no attribute 'apq'; did you mean 'app'?"),
        ("shop:nothing", "'nothing' in 'shop' is not callable: it is None"),
        ("shop:number", "'number' in 'shop' is not callable: it is of type int"),
        ("shop:needs()", "factory 'needs' in 'shop' cannot be called so: it takes (settings)"),
        ("shop:create_app(1, 2)", "cannot be called so"),
        ("shop:slow()", "is a coroutine function"),
        ("shop:gives_none()", "returned no application: it is None"),
        ("shop:app()", "is the application itself"),
        ("shop:wsgi()", "is the application itself"),
        ("shop:make", "'make' in 'shop' takes no arguments: if it makes the application, "
                      "add --factory or write make()"),
        ("json.py:app", "has the name of another module, 'json'"),
        ("a.b.py:app", "has no dot before .py"),
    ],
)  # fmt: skip
def test_our_own_findings_have_no_traceback(target: str, words: str, shop: Path) -> None:
    import json  # noqa: F401 (the module that json.py would shadow)

    (shop / "pack").mkdir()
    (shop / "pack" / "__init__.py").write_text("")
    (shop / "pack" / "webs.py").write_text("")
    (shop / "json.py").write_text(APP)
    (shop / "a.b.py").write_text(APP)
    error = failure(target)
    assert words.format(work=shop) in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("source", "words", "cause"),
    [
        ("import no_such_dependency", "importing 'broken' failed: ModuleNotFoundError: No module",
         ModuleNotFoundError),
        ("from shop import nope", "importing 'broken' failed: ImportError", ImportError),
        ("1 / 0", "importing 'broken' failed: ZeroDivisionError", ZeroDivisionError),
        ("def (", "importing 'broken' failed: SyntaxError", SyntaxError),
        ("import sys; sys.exit('no')", "importing 'broken' failed: SystemExit: no", SystemExit),
        ("raise BaseException('no')", "importing 'broken' failed: BaseException: no",
         BaseException),
        ("raise ValueError('two\\nlines')", "ValueError: two lines", ValueError),
    ],
)  # fmt: skip
def test_the_applications_own_exception_is_the_cause(
    source: str, words: str, cause: type[BaseException], shop: Path
) -> None:
    (shop / "broken.py").write_text(source)
    error = failure("broken:app")
    assert words in str(error)
    assert type(error.__cause__) is cause


@pytest.mark.parametrize(
    ("name", "cause"),
    [("raises", RuntimeError), ("exits", SystemExit), ("panics", BaseException)],
)
def test_a_factory_that_raises(name: str, cause: type[BaseException], shop: Path) -> None:
    error = failure(f"shop:{name}", factory=True)
    assert f"factory '{name}' in 'shop' failed: {cause.__name__}: " in str(error)
    assert type(error.__cause__) is cause


def test_ctrl_c_during_the_import_goes_through(work: Path) -> None:
    (work / "waits.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_app("waits:app")
