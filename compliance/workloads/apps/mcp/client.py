"""The client of the MCP package, with the sessions of 2025 and the requests of 2026."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import httpx2
from compliance.workloads.checks import PATIENCE, Suite, Target, expect, stream, until
from compliance.workloads.connections import http_client, trusting
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

SESSIONS = 10
VERSION = "2025-06-18"
ACCEPT = {"accept": "application/json, text/event-stream", "mcp-protocol-version": VERSION}

suite = Suite("http/1.1", "h2")


@asynccontextmanager
async def client(target: Target, mode: str) -> AsyncIterator[Client]:
    http = httpx2.AsyncClient(
        http1=not target.is_http2,
        http2=target.is_http2,
        verify=trusting(target),
        timeout=PATIENCE,
        trust_env=False,
    )
    async with http:
        transport = streamable_http_client(target.url("/mcp"), http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=PATIENCE) as opened:
            yield opened


def asked(target: Target, mode: str, ask: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        with anyio.fail_after(PATIENCE):
            async with client(target, mode) as opened:
                await ask(opened)

    anyio.run(main)


def text(result) -> str:
    return "".join(part.text for part in result.content)


async def tools(opened: Client) -> None:
    found = await opened.list_tools()
    expect(sorted(tool.name for tool in found.tools), ["add", "broken", "large", "work"], "tools")
    expect(text(await opened.call_tool("add", {"a": 2, "b": 3})), "5", "sum")
    failed = await opened.call_tool("broken", {})
    expect(failed.is_error, True, "error of a tool")
    long = await opened.call_tool("large", {"size": 400_000})
    expect(len(text(long)), 400_000, "length of a long text")


async def progress(opened: Client) -> None:
    seen: list[tuple[float, str | None]] = []

    async def take(done: float, total: float | None, message: str | None) -> None:
        seen.append((done, message))

    answer = await opened.call_tool("work", {"steps": 5}, progress_callback=take)
    expect(text(answer), "done", "answer")
    expect(seen, [(float(step), f"step {step}") for step in range(1, 6)], "progress")


@suite.check()
def session_tools(target: Target) -> None:
    """initialize, tools/list, tools/call, and DELETE at the end."""
    asked(target, "legacy", tools)


@suite.check()
def session_progress(target: Target) -> None:
    """Progress comes in the stream of the call."""
    asked(target, "legacy", progress)


@suite.check()
def discover_tools(target: Target) -> None:
    """The same without a session, as the protocol of 2026 has it."""
    asked(target, "auto", tools)


@suite.check()
def discover_progress(target: Target) -> None:
    asked(target, "auto", progress)


@suite.check()
def sessions(target: Target) -> None:
    """Several at a time, each with a call that lasts."""

    async def one() -> None:
        async with client(target, "legacy") as opened:
            await progress(opened)

    async def main() -> None:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for _ in range(SESSIONS):
                    tasks.start_soon(one)

    anyio.run(main)


def begin(http) -> dict[str, str]:
    """Open a session by hand: the fields of its requests."""
    about = {"name": "by hand", "version": "1"}
    params = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": about}
    answer = http.post("/mcp", headers=ACCEPT, json=call("initialize", params, 1))
    expect(answer.status_code, 200, "status of initialize")
    fields = ACCEPT | {"mcp-session-id": answer.headers["mcp-session-id"]}
    told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    expect(http.post("/mcp", headers=fields, json=told).status_code, 202, "initialized")
    return fields


def call(method: str, params: dict, number: int) -> dict:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


@suite.check()
def resume(target: Target) -> None:
    """The client loses the stream of a call; GET with Last-Event-ID brings the rest."""
    with http_client(target) as http:
        fields = begin(http)
        params = {"name": "work", "arguments": {"steps": 20}, "_meta": {"progressToken": 1}}
        last, seen = "", 0
        with http.stream(
            "POST", "/mcp", headers=fields, json=call("tools/call", params, 2)
        ) as response:
            for line in response.iter_lines():
                if line.startswith("id:"):
                    last = line.removeprefix("id:").strip()
                seen += "notifications/progress" in line
                if seen == 3:
                    break
        found: list[dict] = []

        def rest() -> bool:
            nonlocal last
            with http.stream("GET", "/mcp", headers=fields | {"last-event-id": last}) as response:
                expect(response.status_code, 200, "status of the resumed stream")
                for line in response.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "id":
                        last = value
                    elif field == "data" and value:
                        found.append(json.loads(value))
                        if "result" in found[-1]:
                            return True
            return False

        # The package ends the stream where it has not yet seen that the client left the first one.
        until(rest, "no answer in the resumed stream")
        steps = [one["params"]["progress"] for one in found[:-1]]
        expect(len(steps) >= 16 and steps[-1] == 20, True, f"progress in the rest: {steps}")
        expect(found[-1]["result"]["content"][0]["text"], "done", "answer")
        delete(http, fields)


def delete(http, fields: dict[str, str]) -> None:
    expect(http.delete("/mcp", headers=fields).status_code, 200, "status of DELETE")
    after = http.post("/mcp", headers=fields, json=call("tools/list", {}, 9))
    expect(after.status_code, 404, "a session that was deleted")


@suite.check()
def session_delete(target: Target) -> None:
    """DELETE ends the session, and its open stream."""
    with http_client(target) as http:
        fields = begin(http)
        with http.stream("GET", "/mcp", headers=fields) as response:
            expect(response.status_code, 200, "status of the session's stream")
            delete(http, fields)
            for _ in response.iter_bytes():
                pass


@suite.at_stop()
def stop(target: Target, opened) -> None:
    """The session's stream ends in order, without the server's waiting for it."""
    with http_client(target) as http:
        fields = begin(http)
    headers = [one for name, value in fields.items() for one in ("--header", f"{name}: {value}")]
    with stream(target, "/mcp", "--verbose", *headers) as lines:
        head = next((line for line in lines if line.startswith("< HTTP/")), "")
        expect(" 200" in head, True, f"head of the session's stream: {head!r}")
        opened()
        for _ in lines:
            pass


if __name__ == "__main__":
    raise SystemExit(suite.main())
