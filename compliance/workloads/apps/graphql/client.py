"""gql over HTTP and WebSocket; both WebSocket protocols over HTTP/2 too; event streams."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json

from compliance.workloads.checks import PATIENCE, Suite, Target, expect, until
from compliance.workloads.connections import http_client, http_options, websocket
from gql import Client, FileVar, gql
from gql.transport.httpx import HTTPXTransport
from gql.transport.websockets import WebsocketsTransport

PATH = "/graphql/"
CURRENT = "graphql-transport-ws"
FORMER = "graphql-ws"
NUMBERS = list(range(100))
COUNT = "subscription { count(target: 100) }"
UPLOAD = "mutation($file: Upload!) { upload(file: $file) }"

suite = Suite("http/1.1", "h2")


def client(target: Target) -> Client:
    return Client(transport=HTTPXTransport(target.url(PATH), **http_options(target)))


def ended(target: Target) -> int:
    with http_client(target) as http:
        return http.get("/ended").json()["ended"]


@suite.check()
def query(target: Target) -> None:
    with client(target) as session:
        answer = session.execute(gql('{ hello(name: "Zoë") again: hello(name: "x") }'))
    expect(answer, {"hello": "hello Zoë", "again": "hello x"}, "answer")


@suite.check()
def mutation(target: Target) -> None:
    with client(target) as session:
        answer = session.execute(gql('mutation { put(name: "a", value: "1") }'))
    expect(answer, {"put": ["a"]}, "answer")


@suite.check()
def upload(target: Target) -> None:
    """A file of 3 MB by the multipart request specification."""
    data = bytes(range(256)) * 12_000
    with client(target) as session:
        request = gql(UPLOAD)
        request.variable_values = {"file": FileVar(io.BytesIO(data), filename="data.bin")}
        answer = session.execute(request, upload_files=True)
    expect(answer, {"upload": hashlib.sha256(data).hexdigest()}, "answer")


@suite.check("http/1.1")
def gql_subscriptions(target: Target) -> None:
    """gql's own WebSocket client, with both protocols."""

    async def main(protocol: str) -> list[int]:
        url = target.url(PATH).replace("http", "ws", 1)
        transport = WebsocketsTransport(url, subprotocols=[protocol])
        async with Client(transport=transport) as session:
            return [one["count"] async for one in session.subscribe(gql(COUNT))]

    for protocol in (CURRENT, FORMER):
        found = asyncio.run(asyncio.wait_for(main(protocol), PATIENCE))
        expect(found, NUMBERS, f"numbers by {protocol}")


def begin(opened, protocol: str, text: str, number: str = "1") -> None:
    """Open the protocol on a WebSocket and subscribe."""
    expect(opened.subprotocol, protocol, "subprotocol")
    say(opened, type="connection_init", payload={})
    expect(hear(opened)["type"], "connection_ack", "answer to connection_init")
    kind = "subscribe" if protocol == CURRENT else "start"
    say(opened, type=kind, id=number, payload={"query": text})


def say(opened, **message: object) -> None:
    opened.send(json.dumps(message))


def hear(opened) -> dict:
    return json.loads(opened.receive())


def subscribed(target: Target, protocol: str) -> None:
    with websocket(target, PATH, protocol) as opened:
        begin(opened, protocol, COUNT)
        kind = "next" if protocol == CURRENT else "data"
        found = []
        while (message := hear(opened))["type"] == kind:
            found.append(message["payload"]["data"]["count"])
        expect((found, message["type"]), (NUMBERS, "complete"), "numbers and end")


@suite.check()
def graphql_transport_ws(target: Target) -> None:
    subscribed(target, CURRENT)


@suite.check()
def graphql_ws(target: Target) -> None:
    subscribed(target, FORMER)


@suite.check()
def subscription_error(target: Target) -> None:
    """A resolver that raises after its first value; the connection goes on."""
    with websocket(target, PATH, CURRENT) as opened:
        begin(opened, CURRENT, "subscription { fails }")
        expect(hear(opened)["payload"]["data"], {"fails": 1}, "first value")
        told = hear(opened)
        expect("deliberate" in json.dumps(told), True, f"error: {told}")
        say(opened, type="ping")
        kinds = [hear(opened)["type"]]
        if kinds == ["complete"]:
            kinds = [hear(opened)["type"]]
        expect(kinds, ["pong"], "answer to ping")


@suite.check()
def unsubscribe(target: Target) -> None:
    """The resolver's clean-up runs after `complete`, and when the client goes."""
    before = ended(target)
    with websocket(target, PATH, CURRENT) as opened:
        begin(opened, CURRENT, "subscription { endless }")
        hear(opened)
        say(opened, type="complete", id="1")
        until(lambda: ended(target) == before + 1, "the resolver went on after complete")
    with websocket(target, PATH, CURRENT) as opened:
        begin(opened, CURRENT, "subscription { endless }")
        hear(opened)
    until(lambda: ended(target) == before + 2, "the resolver went on after the close")


@suite.check()
def bad_request(target: Target) -> None:
    """What breaks the protocol is closed with its code."""
    with websocket(target, PATH, CURRENT) as opened:
        say(opened, type="subscribe", id="1", payload={"query": COUNT})
        expect(opened.closed(), (4401, "Unauthorized"), "subscribe before connection_init")


def streamed(target: Target, accept: str) -> str:
    with http_client(target) as http:
        headers = {"accept": accept}
        answer = http.post(PATH, headers=headers, json={"query": COUNT})
        expect(answer.status_code, 200, "status")
        kind = answer.headers["content-type"].partition(";")[0]
        expect(kind, accept.partition(";")[0], "content-type")
        return answer.text


@suite.check()
def event_stream(target: Target) -> None:
    """The same subscription as server-sent events."""
    text = streamed(target, "text/event-stream")
    values = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
    expect([json.loads(one)["data"]["count"] for one in values], NUMBERS, "numbers")


@suite.check()
def multipart_stream(target: Target) -> None:
    """The same subscription as multipart/mixed."""
    text = streamed(target, "multipart/mixed;subscriptionSpec=1.0,application/json")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith('{"payload"')]
    expect([one["payload"]["data"]["count"] for one in lines], NUMBERS, "numbers")


@suite.check()
def leave(target: Target) -> None:
    """A client that leaves an event stream."""
    before = ended(target)
    with http_client(target) as http:
        asked = {"query": "subscription { endless }"}
        accept = {"accept": "text/event-stream"}
        with http.stream("POST", PATH, headers=accept, json=asked) as answer:
            next(answer.iter_bytes())
    until(lambda: ended(target) == before + 1, "the resolver went on")


@suite.at_stop("http/1.1")
def stop(target: Target, opened) -> None:
    """An open subscription: its WebSocket is closed with 1012."""
    # Not over HTTP/2, where h2 as a client takes nothing behind the GOAWAY of the server.
    with websocket(target, PATH, CURRENT) as subscribed:
        begin(subscribed, CURRENT, "subscription { endless }")
        hear(subscribed)
        opened()
        try:
            while True:
                subscribed.receive()
        except EOFError as error:
            expect("1012" in str(error), True, f"closed with 1012: {error}")


if __name__ == "__main__":
    raise SystemExit(suite.main())
