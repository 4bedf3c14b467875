"""A Lambda runtime: asks the Runtime API for events and brings it the answers.

For functions that bring their own runtime: containers, and ``provided`` ones, whose
``bootstrap`` runs ``python -m tricorn.serverless``. Unlike the managed Python runtime it can
stream responses. The interface is Amazon's: "Using the Lambda runtime API for custom
runtimes" and "Implementing response streaming in a custom runtime" of the Lambda guide.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import logging
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tricorn.app_loader import load_app
from tricorn.config import Config
from tricorn.config_sources import load
from tricorn.exceptions import ConfigError, TricornError
from tricorn.protocol.http1_response import chunk, last_chunk
from tricorn.serverless.handler import LambdaHandler
from tricorn.serverless.loop import close_on_sigterm

_log = logging.getLogger("tricorn.error")

_VERSION = "/2018-06-01/runtime"
_JSON = "application/json"
_STREAM_TYPE = "application/vnd.awslambda.http-integration-response"
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
# Innermost frames of a traceback that are reported.
_FRAMES = 50
_TRUE = frozenset({"1", "true", "yes", "on"})


class RuntimeAPIError(TricornError):
    """The Runtime API did not take a request; a runtime ends then."""


@dataclass(slots=True)
class Context:
    """What the managed runtime's context object has, by the same names."""

    aws_request_id: str
    deadline_ms: int
    invoked_function_arn: str | None = None
    client_context: Any = None
    identity: Any = None
    tenant_id: str | None = None
    function_name: str | None = field(default_factory=lambda: _variable("FUNCTION_NAME"))
    function_version: str | None = field(default_factory=lambda: _variable("FUNCTION_VERSION"))
    memory_limit_in_mb: str | None = field(
        default_factory=lambda: _variable("FUNCTION_MEMORY_SIZE")
    )
    log_group_name: str | None = field(default_factory=lambda: _variable("LOG_GROUP_NAME"))
    log_stream_name: str | None = field(default_factory=lambda: _variable("LOG_STREAM_NAME"))

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


def _variable(name: str) -> str | None:
    return os.environ.get(f"AWS_LAMBDA_{name}")


class RuntimeAPI:
    """A client of the Runtime API.

    :param address: ``host:port``, as ``AWS_LAMBDA_RUNTIME_API`` has it.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._connection = http.client.HTTPConnection(address)

    def close(self) -> None:
        """Close the connection; a request opens it again."""
        self._connection.close()

    def next(self) -> tuple[bytes, http.client.HTTPMessage]:
        """Wait for an event, without limit: the container may be frozen meanwhile.

        :return: its JSON, and the response fields that describe the invocation.
        """
        status, body, fields = self._request("GET", "invocation/next")
        if status != 200:
            raise RuntimeAPIError(f"no invocation could be had: status {status}")
        return body, fields

    def respond(self, request_id: str, payload: bytes) -> None:
        """Give the answer of an invocation."""
        path = f"invocation/{request_id}/response"
        status, body, _ = self._request("POST", path, payload, {"Content-Type": _JSON})
        _look_at(status, body, f"the answer of {request_id}")

    def fail(self, path: str, error: BaseException) -> None:
        """Report an error.

        :param path: ``init/error``, or ``invocation/ID/error``.
        """
        report = _report(error)
        fields = {"Content-Type": _JSON, _ERROR_TYPE: f"Tricorn.{report['errorType']}"}
        payload = json.dumps(report).encode("ascii")
        status, body, _ = self._request("POST", path, payload, fields)
        _look_at(status, body, "the error report")

    def stream(self, request_id: str) -> LambdaResponseStream:
        """Where to send the response of an invocation piece by piece."""
        return LambdaResponseStream(self.address, request_id)

    def _request(
        self, method: str, path: str, body: bytes | None = None, fields: Mapping[str, str] = {}
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        try:
            self._connection.request(method, f"{_VERSION}/{path}", body, dict(fields))
            response = self._connection.getresponse()
            return response.status, response.read(), response.headers
        except (OSError, http.client.HTTPException) as exc:
            self._connection.close()
            raise RuntimeAPIError(f"the Runtime API failed: {exc!r}") from exc


def _look_at(status: int, body: bytes, what: str) -> None:
    if status >= 500:
        # "Non-recoverable state. Runtime should exit promptly."
        raise RuntimeAPIError(f"the Runtime API failed with status {status}")
    if status >= 400:
        _log.error("the Runtime API refused %s: %d %r", what, status, body[:500])


class LambdaResponseStream:
    """The body of a streamed answer, in HTTP/1.1 chunks on a connection of its own."""

    def __init__(self, address: str, request_id: str) -> None:
        self._connection = http.client.HTTPConnection(address)
        self._path = f"{_VERSION}/invocation/{request_id}/response"
        self._open = False
        self._aborted = False

    def write(self, data: bytes) -> None:
        """Send a piece. Raises ``OSError`` once the connection is lost."""
        try:
            self._write(data)
        finally:
            if self._aborted:
                self._connection.close()

    def _write(self, data: bytes) -> None:
        connection = self._connection
        if not self._open:
            self._open = True
            connection.putrequest("POST", self._path, skip_accept_encoding=True)
            connection.putheader("Content-Type", _STREAM_TYPE)
            connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
            connection.putheader("Transfer-Encoding", "chunked")
            connection.putheader("Trailer", f"{_ERROR_TYPE}, {_ERROR_BODY}")
            connection.endheaders(chunk(data))
        else:
            connection.send(chunk(data))

    def close(self, error: tuple[str, str] | None) -> None:
        """End the response, with trailers that tell of an error."""
        trailers = []
        if error is not None:
            kind, message = error
            report = json.dumps({"errorType": kind, "errorMessage": message}).encode("ascii")
            trailers = [
                (_ERROR_TYPE.encode("ascii"), kind.encode("ascii")),
                (_ERROR_BODY.encode("ascii"), base64.b64encode(report)),
            ]
        try:
            self._connection.send(last_chunk(trailers))
            response = self._connection.getresponse()
            _look_at(response.status, response.read(), "a streamed answer")
        except http.client.HTTPException as exc:
            raise OSError(f"no answer from the Runtime API: {exc!r}") from exc
        finally:
            self._connection.close()

    def abort(self) -> None:
        """Cut the response under a ``write`` of another thread, which closes the connection."""
        self._aborted = True
        connection = self._connection.sock
        if connection is not None:
            with contextlib.suppress(OSError):  # the peer has cut it before
                connection.shutdown(socket.SHUT_RDWR)


def _report(error: BaseException) -> dict[str, Any]:
    frames = traceback.format_tb(error.__traceback__)[-_FRAMES:]
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "stackTrace": [line.rstrip("\n") for line in frames],
    }


def run(handler: LambdaHandler, address: str, *, streaming: bool = False) -> None:
    """Serve the invocations of a container; returns never.

    :param address: ``host:port`` of the Runtime API.
    :param streaming: stream the responses of sources that can: the function is invoked
        with response streaming.
    :raises LifespanError: if the application's startup failed; it is reported first.
    :raises RuntimeAPIError: if the Runtime API is gone.
    """
    with contextlib.closing(RuntimeAPI(address)) as api:
        with_report(api, handler.start)
        while True:
            _serve_one(handler, api, streaming)


def with_report(api: RuntimeAPI, start: Callable[[], None]) -> None:
    """Call ``start``; what it raises is reported as an error of the init phase."""
    try:
        start()
    except Exception as exc:
        api.fail("init/error", exc)
        raise


def _serve_one(handler: LambdaHandler, api: RuntimeAPI, streaming: bool) -> None:
    payload, fields = api.next()
    request_id = fields.get("Lambda-Runtime-Aws-Request-Id", "")
    trace = fields.get("Lambda-Runtime-Trace-Id")
    if trace:
        os.environ["_X_AMZN_TRACE_ID"] = trace  # where tracing libraries look for it
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    try:
        context = _context(request_id, fields)
        event = json.loads(payload)
        open_stream = (lambda: api.stream(request_id)) if streaming else None
        answer = handler.invoke(event, context, open_stream, only_ascii=False)
        if answer is None:
            return
        result = json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")
    except Exception as exc:
        _log.exception("the invocation %s failed", request_id)
        api.fail(f"invocation/{request_id}/error", exc)
    else:
        api.respond(request_id, result)


def _context(request_id: str, fields: http.client.HTTPMessage) -> Context:
    return Context(
        aws_request_id=request_id,
        deadline_ms=int(fields["Lambda-Runtime-Deadline-Ms"]),
        invoked_function_arn=fields.get("Lambda-Runtime-Invoked-Function-Arn"),
        client_context=_optional_json(fields.get("Lambda-Runtime-Client-Context")),
        identity=_optional_json(fields.get("Lambda-Runtime-Cognito-Identity")),
        tenant_id=fields.get("Lambda-Runtime-Aws-Tenant-Id"),
    )


def _optional_json(text: str | None) -> Any:
    return json.loads(text) if text else None


# The command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tricorn.serverless",
        description="Serve an application as an AWS Lambda runtime. Options of Tricorn come "
        "from its file and from environment variables TRICORN_NAME.",
    )
    parser.add_argument(
        "application",
        metavar="APP",
        nargs="?",
        help="module:attribute, an application or a LambdaHandler; else the option "
        "application, else the function's handler setting",
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="configuration file")
    parser.add_argument(
        "--streaming",
        action="store_true",
        help="stream responses to function URLs and REST APIs set up for it; also the "
        "environment variable LAMBDA_RESPONSE_STREAMING=true",
    )
    parser.add_argument(
        "--base-path",
        metavar="PATH",
        help="path under which the gateway shows the application, or auto; also the "
        "environment variable LAMBDA_BASE_PATH",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (default: the process's); the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        _main(arguments, os.environ)
    except TricornError as exc:
        print(f"tricorn: error: {' '.join(str(exc).split())}", file=sys.stderr)
        return exc.exit_code
    return 0


def _main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
    address = environ.get("AWS_LAMBDA_RUNTIME_API")
    if not address:
        raise ConfigError("AWS_LAMBDA_RUNTIME_API is not set: this command runs inside Lambda only")
    streaming = environ.get("LAMBDA_RESPONSE_STREAMING", "").lower() in _TRUE
    found: list[LambdaHandler] = []

    def start() -> None:
        found.append(_handler(arguments, environ))
        close_on_sigterm(found[0].close)

    with contextlib.closing(RuntimeAPI(address)) as api:
        with_report(api, start)
    run(found[0], address, streaming=streaming or arguments.streaming)


def _handler(arguments: argparse.Namespace, environ: Mapping[str, str]) -> LambdaHandler:
    loaded = load({}, environ, arguments.config)
    config = loaded.config
    _set_up_logging(config, environ)
    target = arguments.application or config.application or _target(environ.get("_HANDLER", ""))
    app: object = load_app(
        target,
        factory=config.factory,
        app_dir=config.app_dir or environ.get("LAMBDA_TASK_ROOT"),
    )
    if isinstance(app, LambdaHandler):
        return app
    quiet = {
        name: False
        for name in ("include_date_header", "include_server_header")
        if name not in loaded.origins
    }
    base_path = arguments.base_path or environ.get("LAMBDA_BASE_PATH", "")
    return LambdaHandler(app, config.replace(**quiet), base_path=base_path)


def _target(handler: str) -> str:
    """The application that a handler setting names: ``module.attribute``, or as we write it."""
    if not handler:
        raise ConfigError("no application: give APP as module:attribute")
    if ":" in handler or "." not in handler:
        return handler
    module, _, attribute = handler.rpartition(".")
    return f"{module.replace('/', '.')}:{attribute}"


def _set_up_logging(config: Config, environ: Mapping[str, str]) -> None:
    """Lines to standard error, where Lambda collects them; unless the program has its own."""
    root = logging.getLogger()
    if root.handlers:
        return
    from tricorn.logs import JSONFormatter, TextFormatter

    as_json = config.log_format == "json" or environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"
    lines = logging.StreamHandler()
    lines.setFormatter(JSONFormatter() if as_json else TextFormatter(colours=False))
    root.addHandler(lines)
    logging.getLogger("tricorn").setLevel(config.loglevel.upper())
