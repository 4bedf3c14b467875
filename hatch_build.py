"""Builds the compiled codecs where that is possible; Tricorn is complete without them.

Used by hatchling, for wheels and for ``pip install -e .``, and by itself:

    python hatch_build.py            # build into src/, as an editable install does

``TRICORN_EXTENSIONS`` in the environment says whether: ``auto`` (where the needs are met; the
default), ``1`` (fail where they are not), ``0`` (never). ``CFLAGS`` and ``LDFLAGS`` are those of
any extension module. Sources are Cython's, so Cython and a C compiler are needed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """Compile and link a program of one line."""
    compiler = _compiler()
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source = Path(folder, "probe.c")
        number = "0x{:02x}{:02x}00".format(*map(int, OLDEST_NGHTTP2.split(".")))
        program = f"int main(void) {{ return !nghttp2_version({number}); }}\n"
        source.write_text(f"#include <nghttp2/nghttp2.h>\n{program}")
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
    Wanted("tricorn.codecs._websocket", nothing, "WebSocket is served by wsproto"),
)


def build(wanted: Wanted, into: Path) -> Path:
    """Build one extension below the folder ``into``; the file it is in.

    :raises NotBuilt: where that is not possible.
    """
    try:
        from Cython.Build import cythonize
        from setuptools import Distribution, Extension
        from setuptools.command.build_ext import build_ext
    except ImportError as exc:
        raise NotBuilt(f"{exc.name} is not installed") from None
    settings = wanted.needs()
    if "CFLAGS" not in os.environ:
        # As small as can be; Python's own flags may ask for debugging information.
        settings["extra_compile_args"] = [*settings.get("extra_compile_args", []), "-g0"]
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        with tempfile.TemporaryDirectory() as folder:
            extension = Extension(wanted.module, [str(wanted.source)], **settings)
            made = cythonize(
                [extension],
                build_dir=folder,
                include_path=["src"],
                quiet=True,
                show_all_warnings=False,
            )
            command = build_ext(Distribution({"ext_modules": made}))
            command.build_lib, command.build_temp = str(into), folder
            command.ensure_finalized()
            command.run()
            return Path(command.get_ext_fullpath(wanted.module))
    except Exception as exc:
        lines = str(exc).splitlines()
        raise NotBuilt(lines[0] if lines else type(exc).__name__) from exc
    finally:
        os.chdir(before)


def build_all(into: Path, say: Callable[[str], object]) -> list[tuple[Wanted, Path]]:
    """Build what can be built.

    :raises NotBuilt: where everything has to be and one cannot.
    :raises ValueError: if the switch has another value.
    """
    switch = os.environ.get(SWITCH, "auto")
    if switch not in ("auto", "0", "1"):
        raise ValueError(f"{SWITCH} is {switch!r}: it must be auto, 0 or 1")
    built = []
    for wanted in EXTENSIONS:
        if switch == "0" or not (ROOT / wanted.source).exists():
            continue
        try:
            built.append((wanted, build(wanted, into)))
        except NotBuilt as exc:
            if switch == "1":
                raise NotBuilt(f"{wanted.module}: {exc}") from exc
            say(f"{wanted.module} is not built, {wanted.instead}: {exc}")
    return built


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # configured by nothing
    """Puts the extensions into a wheel, or into src/ for an editable install."""

    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            build_all(ROOT / "src", self.app.display_warning)
            return
        self._folder = tempfile.TemporaryDirectory()
        into = Path(self._folder.name)
        for _, path in build_all(into, self.app.display_warning):
            build_data["force_include"][str(path)] = str(path.relative_to(into))
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self._folder is not None:
            self._folder.cleanup()


if __name__ == "__main__":
    for wanted, path in build_all(ROOT / "src", print):
        print(f"{wanted.module}: {path}")
