"""Google's grpcio against the service: cleartext with prior knowledge, and TLS by ALPN."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from compliance.workloads.checks import PATIENCE, Suite, Target, Unmet, expect, until
from google.protobuf.wrappers_pb2 import BytesValue

LARGE = 10 << 20
CALLS = 100

suite = Suite("h2c", "h2")


class Stub:
    """What the generator of grpcio makes of the .proto file."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str):
        kinds = {
            "Join": self._channel.stream_unary,
            "Repeat": self._channel.unary_stream,
            "BreakOff": self._channel.unary_stream,
            "Endless": self._channel.unary_stream,
            "Slow": self._channel.unary_stream,
            "Talk": self._channel.stream_stream,
        }
        make = kinds.get(name, self._channel.unary_unary)
        return make(
            f"/tricorn.Workload/{name}",
            request_serializer=BytesValue.SerializeToString,
            response_deserializer=BytesValue.FromString,
        )


@contextmanager
def stub(target: Target) -> Iterator[Stub]:
    address = f"localhost:{target.port}"
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    # A channel of its own, and so a connection of its own.
    options.append(("grpc.use_local_subchannel_pool", 1))
    if target.scheme == "https":
        credentials = grpc.ssl_channel_credentials(target.authority.read_bytes())
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    with channel:
        yield Stub(channel)


def of(value: bytes) -> BytesValue:
    return BytesValue(value=value)


def refused(call, status: grpc.StatusCode, details: str | None = None) -> grpc.RpcError:
    """The error that `call` must end with."""
    try:
        call()
    except grpc.RpcError as error:
        expect(error.code(), status, f"status ({error.details()!r})")
        if details is not None:
            expect(error.details(), details, "grpc-message")
        return error
    raise Unmet(f"no error, but {status} was due")


@suite.check()
def unary(target: Target) -> None:
    with stub(target) as service:
        for value in (b"", b"x", b"\x00\xff" * 5000):
            expect(service.Echo(of(value), timeout=PATIENCE).value, value, "echo")


@suite.check()
def client_stream(target: Target) -> None:
    with stub(target) as service:
        answer = service.Join((of(bytes(1000)) for _ in range(1000)), timeout=PATIENCE)
        expect(answer.value, b"1000000", "total")
        expect(service.Join(iter(()), timeout=PATIENCE).value, b"0", "total of none")


@suite.check()
def server_stream(target: Target) -> None:
    with stub(target) as service:
        found = [one.value for one in service.Repeat(of(b"1000"), timeout=PATIENCE)]
        expect(found, [str(number).encode() for number in range(1000)], "messages")
        expect(list(service.Repeat(of(b"0"), timeout=PATIENCE)), [], "no messages")


@suite.check()
def bidirectional(target: Target) -> None:
    """Each request is sent only when the answer to the one before is there."""
    with stub(target) as service:
        said: queue.Queue[BytesValue | None] = queue.Queue()
        answers = service.Talk(iter(said.get, None), timeout=PATIENCE)
        for number in range(100):
            said.put(of(f"{number:05}".encode()))
            expect(next(answers).value, f"{number:05}".encode()[::-1], "answer")
        said.put(None)
        expect(list(answers), [], "after the end")


@suite.check()
def metadata(target: Target) -> None:
    with stub(target) as service:
        asked = (("x-asked", "a question"), ("x-data-bin", bytes(range(256))))
        answer, call = service.Metadata.with_call(of(b""), metadata=asked, timeout=PATIENCE)
        expect(answer.value, b"a question", "seen by the service")
        leading = dict(call.initial_metadata())
        expect(leading.get("x-leading"), "a question", "leading metadata")
        trailing = dict(call.trailing_metadata())
        expect(trailing.get("x-trailing"), "after", "trailing metadata")
        expect(trailing.get("x-data-bin"), bytes(range(256)), "binary metadata")
        expect("x-trailing" in leading, False, "trailing metadata among the leading")


@suite.check()
def errors(target: Target) -> None:
    """A status before any message, one after a message, and methods that are not there."""
    code = grpc.StatusCode
    with stub(target) as service:
        refused(
            lambda: service.Fail(of(b""), timeout=PATIENCE),
            code.FAILED_PRECONDITION,
            "nöt today: 100%",
        )
        answers = service.BreakOff(of(b""), timeout=PATIENCE)
        expect(next(answers).value, b"first", "message before the error")
        refused(lambda: next(answers), code.ABORTED, "in the middle")
        refused(lambda: service.Absent(of(b""), timeout=PATIENCE), code.UNIMPLEMENTED)
        expect(service.Echo(of(b"after"), timeout=PATIENCE).value, b"after", "next call")


def cancelled(service: Stub) -> int:
    return int(service.CountCancelled(of(b""), timeout=PATIENCE).value)


@suite.check()
def deadline(target: Target) -> None:
    """grpc-timeout passes: the client resets the stream, the service is told."""
    with stub(target) as service:
        before = cancelled(service)
        refused(lambda: service.Late(of(b""), timeout=0.2), grpc.StatusCode.DEADLINE_EXCEEDED)
        until(lambda: cancelled(service) == before + 1, "the service was not cancelled")


@suite.check()
def cancel(target: Target) -> None:
    """The client resets an open stream; its siblings go on."""
    with stub(target) as service:
        before = cancelled(service)
        open_one, sibling = service.Endless(of(b"x")), service.Endless(of(b"y"))
        expect((next(open_one).value, next(sibling).value), (b"x", b"y"), "first messages")
        open_one.cancel()
        refused(lambda: list(open_one), grpc.StatusCode.CANCELLED)
        until(lambda: cancelled(service) == before + 1, "the service was not cancelled")
        expect(next(sibling).value, b"y", "sibling")
        sibling.cancel()
        until(lambda: cancelled(service) == before + 2, "the sibling was not cancelled")


@suite.check()
def large(target: Target) -> None:
    """A message of 10 MB each way."""
    value = bytes(range(256)) * (LARGE // 256)
    with stub(target) as service:
        expect(service.Echo(of(value), timeout=PATIENCE).value == value, True, "the same bytes")


@suite.check()
def concurrent(target: Target) -> None:
    """100 calls at a time on one channel: 100 streams of one connection."""
    with stub(target) as service:
        values = [f"call {number}".encode() * 100 for number in range(CALLS)]
        for _ in range(3):
            calls = [service.Echo.future(of(value), timeout=PATIENCE) for value in values]
            expect([call.result().value for call in calls], values, "answers")


@suite.at_stop()
def stop(target: Target, opened) -> None:
    """A call that is under way when the server is asked to stop is finished."""
    with stub(target) as service:
        answers = service.Slow(of(b""), timeout=PATIENCE)
        expect(next(answers).value, b"begun", "first message")
        opened()
        expect([one.value for one in answers], [b"done"], "the rest")


if __name__ == "__main__":
    raise SystemExit(suite.main())
