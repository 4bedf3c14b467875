"""The examples of the how-to do what it says."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from lambda_gateways import event_for

from helpers.apps import reply
from tricorn.config import option_named
from tricorn.serverless import TEXT_MIME_TYPES, LambdaHandler, runtime
from tricorn.types import Receive, Scope, Send

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "aws-lambda.md"
PYTHON = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def example(containing: str) -> str:
    (found,) = [text for text in PYTHON if containing in text]
    return found


def test_handler_and_trial(tmp_path: Path, records: Any) -> None:
    (tmp_path / "main.py").write_text(example("async def app"))
    (tmp_path / "trial.py").write_text(example("event = {"))
    source = Path(runtime.__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "trial.py"], cwd=tmp_path, env={"PYTHONPATH": str(source)},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "'body': 'GET /cart\\n'" in result.stdout


def test_source_of_ones_own() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await reply(send, scope["path"].encode())

    namespace: dict[str, Any] = {}
    exec(example("class DirectCall"), namespace)
    handler: LambdaHandler = namespace["make_handler"](app)
    try:
        assert handler({"get": "/path"}, None) == {"status": 200, "text": "/path"}
        assert handler(event_for("rest-api"), None)["statusCode"] == 200
    finally:
        handler.close()


def test_flags_and_variables_of_the_command() -> None:
    page = PAGE.read_text(encoding="utf-8")
    help_text = runtime._parser().format_help()
    for flag in re.findall(r"^\| `(-[^ `]+)", page, re.MULTILINE):
        assert flag in help_text
    for variable in ("LAMBDA_RESPONSE_STREAMING", "LAMBDA_BASE_PATH"):
        assert variable in page
        assert variable in Path(runtime.__file__).read_text(encoding="utf-8")


def test_options_exist() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition("\n## Options\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    names = re.findall(r"`(\w+)`", " ".join(rows))
    assert {"max_request_body_size", "response_timeout", "livez_path"} <= set(names)
    for name in names:
        option_named(name, "the page")


def test_signature() -> None:
    """The page gives the arguments in their order, with their defaults."""
    text = PAGE.read_text(encoding="utf-8")
    block = re.search(r"LambdaHandler\((app, .*?)\)\n```", text, re.DOTALL)
    assert block is not None
    given = [part.partition("=")[::2] for part in re.split(r",\s+", block[1]) if part != "*"]
    parameters = inspect.signature(LambdaHandler).parameters
    assert [name for name, _ in given] == list(parameters)
    for name, default in given[1:]:
        assert eval(default, {"TEXT_MIME_TYPES": TEXT_MIME_TYPES}) == parameters[name].default
