"""The build hook: which compiled codecs are built, and what is said of those that are not."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="the build hook is a plugin of hatchling")
HOOK = Path(__file__).parents[1] / "hatch_build.py"


@pytest.fixture
def hook():
    return runpy.run_path(str(HOOK))


def lacking(hook, monkeypatch):
    """Let one extension be wanted, whose need is not met."""

    def needs():
        raise hook["NotBuilt"]("libmissing is not here")

    one = hook["Wanted"]("tricorn.codecs._nghttp2", needs, "HTTP/2 is served by h2")
    monkeypatch.setitem(hook["build_all"].__globals__, "EXTENSIONS", (one,))


def test_what_cannot_be_built_is_left_out_with_one_line(hook, monkeypatch, tmp_path):
    lacking(hook, monkeypatch)
    monkeypatch.setenv("TRICORN_EXTENSIONS", "auto")
    said = []
    assert hook["build_all"](tmp_path, said.append) == []
    assert said == [
        "tricorn.codecs._nghttp2 is not built, HTTP/2 is served by h2: libmissing is not here"
    ]


def test_1_makes_that_an_error(hook, monkeypatch, tmp_path):
    lacking(hook, monkeypatch)
    monkeypatch.setenv("TRICORN_EXTENSIONS", "1")
    with pytest.raises(hook["NotBuilt"], match=r"tricorn\.codecs\._nghttp2: libmissing is not"):
        hook["build_all"](tmp_path, print)


def test_0_builds_nothing_and_says_nothing(hook, monkeypatch, tmp_path):
    lacking(hook, monkeypatch)
    monkeypatch.setenv("TRICORN_EXTENSIONS", "0")
    said = []
    assert hook["build_all"](tmp_path, said.append) == []
    assert said == []


def test_another_value_is_refused(hook, monkeypatch, tmp_path):
    monkeypatch.setenv("TRICORN_EXTENSIONS", "yes")
    with pytest.raises(ValueError, match="must be auto, 0 or 1"):
        hook["build_all"](tmp_path, print)


def test_what_the_wheels_are_made_with_is_in_the_source_distribution():
    sdist = pytest.importorskip("hatchling.builders.sdist")
    root = HOOK.parent
    files = {
        file.distribution_path for file in sdist.SdistBuilder(str(root)).recurse_included_files()
    }
    named = re.findall(r"\{project\}/([^ \"]+)", (root / "pyproject.toml").read_text())
    assert named == [".ci/install-nghttp2"]
    assert set(named) <= files


@pytest.mark.skipif(not (shutil.which("cc") and shutil.which("ar")), reason="needs a C compiler")
@pytest.mark.parametrize(("version", "taken"), [("1.42.0", False), ("1.43.0", True)])
def test_headers_of_an_older_nghttp2_are_not_taken(hook, monkeypatch, tmp_path, version, taken):
    pytest.importorskip("setuptools", reason="the hook compiles with it")
    number = "0x{:02x}{:02x}{:02x}".format(*map(int, version.split(".")))
    header = tmp_path / "nghttp2" / "nghttp2.h"
    header.parent.mkdir()
    header.write_text(f"#define NGHTTP2_VERSION_NUM {number}\nvoid *nghttp2_version(int least);\n")
    source = tmp_path / "library.c"
    source.write_text("void *nghttp2_version(int least) { return &least + 1; }\n")
    for command in ("cc -w -c library.c", "ar rcs libnghttp2.a library.o"):
        subprocess.run(command.split(), cwd=tmp_path, check=True, timeout=30)
    # pkg-config, where it is here, knows of none; compilers look in our folder first.
    monkeypatch.setenv("PKG_CONFIG_LIBDIR", str(tmp_path))
    monkeypatch.delenv("PKG_CONFIG_PATH", raising=False)
    monkeypatch.setenv("CPATH", str(tmp_path))
    monkeypatch.setenv("LIBRARY_PATH", str(tmp_path))
    if taken:
        assert hook["nghttp2"]() == {"libraries": ["nghttp2"]}
    else:
        with pytest.raises(hook["NotBuilt"], match=r"libnghttp2 1\.43 or later"):
            hook["nghttp2"]()


def test_each_extension_has_its_source(hook):
    for wanted in hook["EXTENSIONS"]:
        assert (HOOK.parent / wanted.source).exists()


COMPILED = "int CPyExec_tricorn___plain(PyObject *module)\n{\n    return 0;\n}\n"


@pytest.mark.parametrize(
    ("system", "marks"),
    [
        ("linux", '__attribute__((section(".text.startup"), cold)) '),
        ("freebsd14", '__attribute__((section(".text.startup"), cold)) '),
        # clang: "argument to 'section' attribute is not valid for this target".
        ("darwin", "__attribute__((cold)) "),
        ("win32", ""),
    ],
)
def test_what_runs_once_goes_apart_where_object_files_can(
    hook, monkeypatch, tmp_path, system, marks
):
    source = tmp_path / "__native_tricorn___plain.c"
    source.write_text(COMPILED)
    monkeypatch.setattr("sys.platform", system)
    hook["_seldom"](tmp_path)
    assert source.read_text() == marks + COMPILED
