"""Node's http2 and https modules."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from typing import Any

from client_app import PUSHED, PUSHING_PAGE
from client_harness import CLIENT_TIMEOUT, HERE, Daemon, require_program, run_client

from helpers.programs import Program


def node_command(script: str, daemon: Daemon, *arguments: str) -> list[str]:
    path = str(HERE / "node" / script)
    return [require_program("node"), path, str(daemon.tls_port), *arguments]


def node(script: str, daemon: Daemon, *arguments: str) -> dict[str, Any]:
    trust = str(daemon.certificate.ca)
    output = run_client(node_command(script, daemon, *arguments), NODE_EXTRA_CA_CERTS=trust)
    result: dict[str, Any] = json.loads(output.stdout)
    return result


def test_push_streams_are_announced_before_the_page(daemon: Daemon) -> None:
    result = node("push.js", daemon)
    assert set(result["order"][: result["order"].index("data")]) == {"response", *PUSHED}
    assert result["length"] == len(PUSHING_PAGE)
    for path, body in PUSHED.items():
        found = result["pushed"][path]
        assert found["body"].encode() == body
        assert found["id"] % 2 == 0
        assert found["request"][":method"] == "GET"
        assert found["request"][":scheme"] == "https"
        assert found["request"]["accept-language"] == "de"
        assert found["response"][":status"] == 200
        assert found["response"]["x-language"] == "de"


def test_refused_push_costs_nothing_else(daemon: Daemon) -> None:
    refused, other = PUSHED
    result = node("push.js", daemon, refused)
    assert result["length"] == len(PUSHING_PAGE)
    assert "body" not in result["pushed"][refused]
    assert result["pushed"][other]["body"].encode() == PUSHED[other]


def test_trailers_both_ways(daemon: Daemon) -> None:
    result = node("trailers.js", daemon, "/trailers")
    assert json.loads(result["body"]) == [["x-request-sum", "17"]]
    body = b"\0\0\0\0\x05hello" * 2
    assert result["trailers"]["x-checksum"] == hashlib.sha256(body).hexdigest()
    assert result["trailers"]["x-last"] == "yes"


def test_grpc_like_stream(daemon: Daemon) -> None:
    result = node("trailers.js", daemon, "/grpc/Echo")
    assert result["body"].encode() == b"\0\0\0\0\x05hello" * 2
    assert result["trailers"]["grpc-status"] == "0"
    assert result["trailers"]["x-messages"] == "2"


def test_websocket_over_http2(daemon: Daemon) -> None:
    result = node("websocket.js", daemon, "/echo")
    assert result["enabled"] is True
    assert result["response"][":status"] == 200
    assert "sec-websocket-accept" not in result["response"]
    assert result["frames"] == [[1, "over HTTP/2"], [8, 4001]]
    assert result["after"] == 200


def test_refused_websocket_over_http2(daemon: Daemon) -> None:
    assert node("websocket.js", daemon, "/reject")["response"][":status"] == 403
    denied = node("websocket.js", daemon, "/deny")
    assert denied["response"][":status"] == 401
    assert denied["response"]["www-authenticate"] == "Basic realm=tricorn"
    assert denied["after"] == 200


def test_informational_responses(daemon: Daemon) -> None:
    result = node("informational.js", daemon)
    links = "</style.css>; rel=preload; as=style, </app.js>; rel=preload; as=script"
    assert result["events"] == [[103, links], [200], [100], [200]]
    assert result["size"] == len("after the 100")


def test_many_streams_with_some_cancelled(daemon: Daemon) -> None:
    result = node("streams.js", daemon)
    assert result["equal"] == 300
    assert result["ends"] == ["ClientDisconnected"] * 5
    assert result["ping"] is True
    # RFC 9113 8.1: a whole response, then a reset without an error.
    assert result["refused"] == ["too large", 0]


def test_request_in_flight_survives_the_shutdown(own_daemon: Daemon) -> None:
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(own_daemon.certificate.ca)}
    command = node_command("goaway.js", own_daemon)
    with Program(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == "in flight"
        own_daemon.terminate()
        result = json.loads(process.stdout.readline())
        assert process.wait(CLIENT_TIMEOUT) == 0
    assert result["text"] == "the beginning and its end"
    assert set(result["codes"]) == {0}
    assert result["rst"] == 0
    assert own_daemon.wait() == 0


def test_https_agent(daemon: Daemon) -> None:
    result = node("https.js", daemon)
    assert result["httpVersion"] == "1.1"
    assert result["peers"] <= 2
    assert json.loads(result["text"]) == [["x-request-sum", "17"]]
    assert result["trailers"]["x-checksum"] == hashlib.sha256(b"body").hexdigest()
    assert result["hints"][0][0] == 103
    assert "</style.css>; rel=preload; as=style" in result["hints"][0][1]
    assert result["hinted"] == "hinted"
