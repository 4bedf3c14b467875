"""Builds the compiled codecs and the compiled driver; Tricorn is complete without them.

Used by hatchling, for wheels and for ``pip install -e .``, and by itself:

    python hatch_build.py            # the codecs into src/, as an editable install does
    python hatch_build.py driver     # the driver too: from then on edits of it need this again
    python hatch_build.py clean      # nothing compiled in src/ any more

The codecs are Cython modules. The driver (protocol, ASGI layer, connections: ``DRIVER``) is
ordinary Python, which mypyc compiles as it stands, into one library beside the sources.

``TRICORN_EXTENSIONS`` in the environment says whether: ``auto`` (where the needs are met; the
default), ``1`` (fail where they are not), ``0`` (never). ``CFLAGS`` and ``LDFLAGS`` are those of
any extension module. A C compiler is needed.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SWITCH = "TRICORN_EXTENSIONS"
NGHTTP2 = "libnghttp2"
OLDEST_NGHTTP2 = "1.43"


class NotBuilt(Exception):
    """Why an extension is not built, in one line."""


class Wanted(NamedTuple):  # no dataclass: hatchling loads this file as no module
    """One extension module: its name, what it needs besides a compiler, what serves without it.

    ``needs`` gives compiler and linker settings as keywords of ``Extension``.

    :raises NotBuilt: from ``needs``.
    """

    module: str
    needs: Callable[[], dict[str, Any]]
    instead: str

    @property
    def source(self) -> Path:
        return Path("src", *self.module.split(".")).with_suffix(".pyx")


def nothing() -> dict[str, Any]:
    """A compiler is enough."""
    return {}


def nghttp2() -> dict[str, Any]:
    """Where libnghttp2 and its headers are: as pkg-config says, else where compilers look."""
    if shutil.which("pkg-config") is None:
        _try_nghttp2()
        return {"libraries": ["nghttp2"]}
    found = subprocess.run(
        ["pkg-config", "--cflags", "--libs", f"{NGHTTP2} >= {OLDEST_NGHTTP2}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0:
        flags = shlex.split(found.stdout)
        return {
            "extra_compile_args": [flag for flag in flags if not flag.startswith(("-l", "-L"))],
            "extra_link_args": [flag for flag in flags if flag.startswith(("-l", "-L"))],
        }
    _try_nghttp2()
    return {"libraries": ["nghttp2"]}


def _try_nghttp2() -> None:
    """Compile a program of a few lines, which wants headers that are new enough, and link it."""
    compiler = _compiler()
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source = Path(folder, "probe.c")
        number = "0x{:02x}{:02x}00".format(*map(int, OLDEST_NGHTTP2.split(".")))
        source.write_text(
            f"#include <nghttp2/nghttp2.h>\n#if NGHTTP2_VERSION_NUM < {number}\n#error\n#endif\n"
            "int main(void) { return !nghttp2_version(0); }\n"
        )
        try:
            objects = compiler.compile([str(source)], output_dir=folder)
            compiler.link_executable(objects, "probe", output_dir=folder, libraries=["nghttp2"])
        except Exception:
            reason = f"{NGHTTP2} {OLDEST_NGHTTP2} or later and its headers are not here"
            raise NotBuilt(reason) from None


def _compiler() -> Any:
    from setuptools._distutils.ccompiler import new_compiler
    from setuptools._distutils.sysconfig import customize_compiler

    compiler = new_compiler()
    customize_compiler(compiler)
    return compiler


@contextmanager
def _quiet() -> Iterator[None]:
    """What compilers write goes nowhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(nowhere)


EXTENSIONS = (
    Wanted("tricorn.codecs._nghttp2", nghttp2, "HTTP/2 is served by h2"),
    Wanted("tricorn.codecs._http1", nothing, "HTTP/1.1 is served by httptools or h11"),
    Wanted("tricorn.codecs._websocket", nothing, "WebSocket is served by wsproto"),
)


# What mypyc compiles. Classes of these modules that others inherit from are marked with
# `tricorn.compilation.mypyc_attr`.
DRIVER = tuple(
    f"tricorn/{folder}{name}.py"
    for folder, names in {
        "asgi/": "exchange forwarded host hosts http http_response messages preload replies "
        "request_limits runner scope stopping websocket websocket_options websocket_wire",
        "codecs/": "base chunked http1_httptools websocket_base websocket_deflate",
        "io/": "accepting accepting_asyncio admission asyncio_handshake asyncio_tls "
        "asyncio_transport connection ending exchanges housekeeping pacing registry transport",
        "protocol/": "budget client_hello connection dependency_tree events fields flow http1 "
        "http1_body http1_output http1_request http1_response http1_state http2 http2_drain "
        "http2_errors http2_flood http2_limits http2_output http2_push http2_request "
        "http2_response http2_streams idleness negotiate outbound scheduler timer websocket "
        "websocket_handshake websocket_timers",
        "": "plain",
    }.items()
    for name in names.split()
)
PACKAGE = "tricorn"
LIBRARY = f"{PACKAGE}._driver"  # mypyc adds "__mypyc"
# What mypyc makes for the import of a module.
_IMPORT = re.compile(
    r"^(?=(?:static )?(?:int|char|bool|PyObject \*)\s*(?:CPyExec_|CPyInit|CPyDef_)\w+\()"
    r"(?=[^(]*(?:CPyExec_|CPyInit|_____top_level__\(|_trait_vtable_setup\())",
    re.MULTILINE,
)
# Systems whose object files are ELF.
_ELF = ("linux", "freebsd", "netbsd", "openbsd", "dragonfly")
# What a definition begins with, and the modules that serve every request.
_DEFINITION = re.compile(
    r"^(?=(?:static )?[\w *]+?\bCPy(?:Def|Py|Dunder)_(?!\w+top_level__\()\w+\([^;{]*\)\s\{$"
    r"|static [\w *]+\n\w+_(?:new|init|traverse|clear|dealloc|get_\w+)\()",
    re.MULTILINE,
)
_USUAL = {
    f"__native_tricorn___{folder}___{name}"
    for folder, names in {
        "asgi": "exchange host hosts http http_response messages request_limits runner scope "
        "stopping",
        "codecs": "base",
        "io": "admission asyncio_transport connection ending exchanges housekeeping pacing "
        "registry transport",
        "protocol": "budget connection events fields flow http1 http1_body http1_output "
        "http1_request http1_response http1_state idleness negotiate outbound timer",
    }.items()
    for name in names.split()
}
# What mypyc's runtime has, and what it is to have.
_RUNTIME = {
    # That with three arguments is a DeprecationWarning since Python 3.12.
    "PyObject_CallFunctionObjArgs(_m, type, value, traceback, NULL)": (
        "PyObject_CallOneArg(_m, value)"
    ),
    # The files of modules are looked for beside the library, which is in a package.
    "PyUnicode_Substring(shared_lib_file, 0, sep)": (
        f'PyUnicode_Substring(shared_lib_file, 0, sep - strlen("/{PACKAGE}"))'
    ),
}
_SELDOM = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
__attribute__((cold)) void CPy_AddTraceback(const char *, const char *, int, PyObject *);
__attribute__((cold)) void CPy_TypeError(const char *, PyObject *);
__attribute__((cold)) void CPy_TypeErrorTraceback(
    const char *, const char *, int, PyObject *, const char *, PyObject *);
#ifndef Py_REF_DEBUG
__attribute__((hot)) static inline void (Py_DECREF)(PyObject *);
#endif
"""


def build(wanted: Wanted, into: Path) -> list[Path]:
    """Build one extension below the folder ``into``; the files it is in.

    :raises NotBuilt: where that is not possible.
    """
    try:
        from Cython.Build import cythonize
        from setuptools import Extension
    except ImportError as exc:
        raise NotBuilt(f"{exc.name} is not installed") from None
    settings = wanted.needs()
    settings["extra_compile_args"] = [*settings.get("extra_compile_args", []), *_plain()]

    def made(folder: str) -> list[Any]:
        extension = Extension(wanted.module, [str(wanted.source)], **settings)
        return cythonize(  # type: ignore[no-any-return]
            [extension],
            build_dir=folder,
            include_path=["src"],
            quiet=True,
            show_all_warnings=False,
        )

    return _compile(ROOT, into, made)


def build_driver(into: Path) -> list[Path]:
    """Compile the driver below the folder ``into``; the files it is in.

    :raises NotBuilt: where that is not possible.
    """
    try:
        from mypyc.build import mypycify
    except ImportError:
        raise NotBuilt("mypy, of which mypyc is a part, is not installed") from None

    def made(folder: str) -> list[Any]:
        options = ["--config-file=", "--ignore-missing-imports", "--no-warn-unused-ignores"]
        with _quiet():
            extensions = mypycify(
                [*options, *DRIVER],
                opt_level="2",
                debug_level="0",
                group_name=LIBRARY,
                multi_file=True,
                target_dir=folder,
            )
        _mend_runtime(Path(folder))
        seldom = _seldom(Path(folder))
        for extension in extensions:
            extension.include_dirs.append(str(Path(folder, PACKAGE)))
            extension.extra_compile_args += _plain() + seldom
            if sys.platform == "linux":  # half a megabyte of names that nobody looks up
                extension.extra_compile_args += ["-fvisibility=hidden", "-ffunction-sections"]
                extension.extra_link_args.append("-Wl,--gc-sections")
                extension.extra_link_args += _packed()
        return extensions

    return _compile(ROOT / "src", into, made)


def _mend_runtime(folder: Path) -> None:
    """Have what is awaited told of a cancellation as it should be, and modules of their files.

    :param folder: where mypyc has put its C.
    """
    for source in folder.rglob("misc_ops.c"):
        text = source.read_text()
        for has, wanted in _RUNTIME.items():
            text = text.replace(has, wanted)
        source.write_text(text)


def _packed() -> list[str]:
    """Relocations in a few pages instead of seventy, where the C library can read them so."""
    name, version = platform.libc_ver()
    if name != "glibc" or [int(part) for part in version.split(".")[:2]] < [2, 36]:
        return []
    return ["-Wl,-z,pack-relative-relocs"]


def _seldom(folder: Path) -> list[str]:
    """Tell the compiler what runs seldom: what fails, and the bodies of modules, which run once.

    It goes apart from what runs for each request, which then lies in fewer pages. The system maps
    16 of them for each that is used, and all of them count.

    :param folder: where mypyc has put its C.
    """
    if sys.platform == "win32":
        return []
    # Only ELF has sections of that name: Mach-O wants a segment too, and clang refuses.
    apart = 'section(".text.startup"), ' if sys.platform.startswith(_ELF) else ""
    once = f"__attribute__(({apart}cold)) "
    for source in folder.rglob("__native*.c"):
        text = _IMPORT.sub(once, source.read_text())
        if source.stem in _USUAL:
            text = _DEFINITION.sub("__attribute__((hot)) ", text)
        source.write_text(text)
    hints = folder / "seldom.h"
    hints.write_text(_SELDOM)
    return ["-include", str(hints)]


def _plain() -> list[str]:
    """As small as can be; Python's own flags may ask for debugging information."""
    return [] if "CFLAGS" in os.environ else ["-g0"]


def _compile(where: Path, into: Path, made: Callable[[str], list[Any]]) -> list[Path]:
    """Compile what ``made`` gives for a folder to work in, from within ``where``."""
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    before, into = Path.cwd(), into.resolve()
    os.chdir(where)
    try:
        with tempfile.TemporaryDirectory() as folder:
            extensions = made(folder)
            command = build_ext(Distribution({"ext_modules": extensions}))
            command.build_lib, command.build_temp = str(into), folder
            command.parallel = os.cpu_count()
            command.ensure_finalized()
            command.run()
            return [Path(command.get_ext_fullpath(one.name)) for one in extensions]
    except (Exception, SystemExit) as exc:  # mypyc's way to refuse
        lines = str(exc).splitlines()
        raise NotBuilt(lines[0] if lines else type(exc).__name__) from exc
    finally:
        os.chdir(before)


def build_all(into: Path, say: Callable[[str], object], *, driver: bool = False) -> list[Path]:
    """Build what can be built; the files.

    :param driver: whether the driver is compiled too.
    :raises NotBuilt: where everything has to be and one cannot.
    :raises ValueError: if the switch has another value.
    """
    switch = os.environ.get(SWITCH, "auto")
    if switch not in ("auto", "0", "1"):
        raise ValueError(f"{SWITCH} is {switch!r}: it must be auto, 0 or 1")
    steps = [
        (wanted.module, wanted.instead, partial(build, wanted, into))
        for wanted in EXTENSIONS
        if (ROOT / wanted.source).exists()
    ]
    if driver:
        steps.append((LIBRARY, "the driver is interpreted", partial(build_driver, into)))
    built: list[Path] = []
    for name, instead, step in steps if switch != "0" else ():
        try:
            built += step()
        except NotBuilt as exc:
            if switch == "1":
                raise NotBuilt(f"{name}: {exc}") from exc
            say(f"{name} is not built, {instead}: {exc}")
    return built


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # configured by nothing
    """Puts the extensions into a wheel, or into src/ for an editable install."""

    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            # Without the driver: edits are to be seen.
            build_all(ROOT / "src", self.app.display_warning)
            return
        self._folder = tempfile.TemporaryDirectory()
        into = Path(self._folder.name)
        for path in build_all(into, self.app.display_warning, driver=True):
            build_data["force_include"][str(path)] = str(path.relative_to(into))
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self._folder is not None:
            self._folder.cleanup()


if __name__ == "__main__":
    command = sys.argv[1:]
    if command not in ([], ["driver"], ["clean"]):
        sys.exit("usage: python hatch_build.py [driver|clean]")
    if command == ["clean"]:
        for path in (ROOT / "src").rglob("*.so"):
            path.unlink()
    else:
        for path in build_all(ROOT / "src", print, driver=bool(command)):
            print(path)
