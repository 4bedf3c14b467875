"""The documentation says what the code does: names, values, links and examples."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from docs_pages import DOCS, ROOT, Block, anchors, blocks, commands, links, name, pages, prose

import tricorn
from tricorn import exceptions
from tricorn.access_log import _ATOMS, _IDENTITY, compile_format
from tricorn.asgi.forwarded import EXTENSION as PROXY_PROTOCOL
from tricorn.asgi.identity import REQUEST_ID, TRACE_CONTEXT
from tricorn.asgi.stopping import EXTENSION as STOPPING
from tricorn.cli_parser import parse
from tricorn.config import OPTIONS, Config, option_named
from tricorn.config_docs import options_markdown
from tricorn.config_sources import read_flags
from tricorn.serverless.handler import EXTENSION as AWS

# tests/migrate runs those of `tricorn migrate`.
COMMANDS = [
    (block, arguments)
    for block, arguments in [*commands("tricorn"), *commands("python -m tricorn")]
    if arguments[:1] != ["migrate"]
]
MODULES = [
    "compliance.h2spec",
    "compliance.autobahn",
    "compliance.http1",
    "compliance.frameworks",
    "compliance.upstream",
    "tricorn.config_docs",
]


def first_column(page: str) -> list[str]:
    """What stands in backticks in the first cells of the page's tables."""
    rows = re.findall(r"^\| ([^|]*) \|", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def test_options_page_is_current() -> None:
    page = DOCS / "reference" / "options.md"
    assert page.read_text(encoding="utf-8") == options_markdown(), (
        "run: python -m tricorn.config_docs reference > docs/reference/options.md"
    )


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 15


@pytest.mark.parametrize(("block", "arguments"), COMMANDS, ids=lambda value: str(value))
def test_flags_and_their_values_exist(block: Block, arguments: list[str]) -> None:
    parsed = parse(arguments)
    if parsed is not None:
        read_flags(parsed.given)


@pytest.mark.parametrize("module", MODULES)
def test_flags_of_the_repository_commands_exist(module: str) -> None:
    used = [arguments for _, arguments in commands(f"python -m {module}")]
    assert used
    result = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    for arguments in used:
        for word in arguments:
            if word.startswith("--"):
                flag = re.escape(word.partition("=")[0])
                assert re.search(rf"(?<![\w-]){flag}(?![\w-])", result.stdout), word


def test_the_recipe_for_the_benchmarks_is_one_and_compiles_what_ci_does() -> None:
    pages = ROOT / "benchmarks" / "README.md", DOCS / "reference" / "benchmarks.md"
    found = [set(words) for _, words in commands("apt-get install", *pages)]
    stages = (ROOT / ".ci" / "stages").read_text(encoding="utf-8")
    lists = [
        set(re.search(rf"^{key}=\(([^)]*)\)", stages, re.MULTILINE)[1].split())
        for key in ("PACKAGES", "PYTHON_PACKAGES")
    ]
    building = {"gcc", "libc6-dev", "libnghttp2-dev", "pkg-config"}
    assert building <= lists[0]
    assert len(found) == 2
    assert found[0] == found[1] > building | lists[1]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert 0 < text.index("python3 -m venv") < text.index("pip install '.[bench]'")


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_a_configuration(block: Block) -> None:
    Config.from_mapping(tomllib.loads(block.text))


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_resolve(page: Path) -> None:
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (page.parent / parts.path).resolve() if parts.path else page
        assert target.is_file(), link
        if page.is_relative_to(DOCS):
            assert target.is_relative_to(DOCS), f"{link} is not on the site"
        if parts.fragment:
            assert parts.fragment in anchors(target), link


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r": (\S+\.md)$", navigation, re.MULTILINE)
    assert sorted(listed) == sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))


def test_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the docs extra is not installed")
    arguments = ["build", "--strict", "--site-dir", str(tmp_path)]
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", ["explanation/limits.md", "explanation/security.md"])
def test_option_names_of_the_explanation_exist(page: str) -> None:
    words = re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", prose(DOCS / page))
    assert words
    for word in words:
        option_named(word, page)


def test_hypercorn_page_names_every_option_without_effect() -> None:
    named = set(first_column("how-to/from-hypercorn.md"))
    assert {row.name for row in OPTIONS.values() if row.inert} <= named


def test_access_log_page_names_every_atom() -> None:
    atoms = [word for word in first_column("reference/access-log.md") if word.startswith("%")]
    known = [*_ATOMS, *(f"{{{key}}}x" for key in _IDENTITY)]
    assert {f"%({atom})s" for atom in known} <= set(atoms)
    for atom in atoms:
        compile_format(atom)


def test_python_page_has_every_public_name() -> None:
    page = DOCS / "reference" / "python-api.md"
    headings = anchors(page)
    for public in {*tricorn.__all__} - {"__version__"}:
        assert public.lower() in headings, public


def test_asgi_page_has_every_extension_of_ours() -> None:
    text = (DOCS / "reference" / "asgi.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("\n## Tricorn's own extensions\n\n")
    rows = rest.partition("\n\n")[0].splitlines()[2:]  # a table ends with a blank line
    told = {re.match(r"\| `([\w.]+)` \|", row)[1] for row in rows}
    named = {STOPPING, REQUEST_ID, TRACE_CONTEXT, PROXY_PROTOCOL, AWS}
    assert told == named


def test_exit_codes_are_those_of_the_exceptions() -> None:
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (\d*) ?\|$", page, re.MULTILINE))
    classes = {
        key: value
        for key, value in vars(exceptions).items()
        if isinstance(value, type) and value.__module__ == exceptions.__name__
    }
    assert rows.keys() == classes.keys()
    codes = {key: code for key, code in rows.items() if code}
    assert codes == {key: str(classes[key].exit_code) for key in codes}
    listed = first_digits(DOCS / "reference" / "exit-codes-and-signals.md")
    assert {int(code) for code in codes.values()} <= listed


def first_digits(page: Path) -> set[int]:
    """The numbers that open table rows of the page."""
    return {int(n) for n in re.findall(r"^\| (\d+) \|", page.read_text("utf-8"), re.MULTILINE)}


def test_changelog_has_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{tricorn.__version__}]" in text


@pytest.mark.parametrize("page", ["README.md", "docs/explanation/performance.md"])
def test_figures_have_their_place(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.count("<!-- figures -->") == text.count("<!-- /figures -->") == 1


def test_nothing_of_a_writers_machine() -> None:
    home = os.path.expanduser("~")
    for page in pages():
        text = page.read_text(encoding="utf-8")
        assert f"{home}/" not in text
        assert str(ROOT) not in text
