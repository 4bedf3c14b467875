"""A gRPC service on connectrpc, whose ASGI application speaks gRPC with http.response.trailers."""

from collections.abc import AsyncIterator, Mapping

import anyio
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import RequestContext
from connectrpc.server import ConnectASGIApplication, Endpoint
from protobuf.wkt.google.protobuf.wrappers_pb import BytesValue

SERVICE = "tricorn.Workload"
LARGEST = 64 << 20


class Workload:
    def __init__(self) -> None:
        self.cancelled = 0

    async def echo(self, request: BytesValue, ctx: RequestContext) -> BytesValue:
        return request

    async def metadata(self, request: BytesValue, ctx: RequestContext) -> BytesValue:
        ctx.response_headers["x-leading"] = ctx.request_headers["x-asked"]
        ctx.response_trailers["x-trailing"] = "after"
        ctx.response_trailers["x-data-bin"] = ctx.request_headers["x-data-bin"]
        return BytesValue(value=ctx.request_headers["x-asked"].encode())

    async def fail(self, request: BytesValue, ctx: RequestContext) -> BytesValue:
        raise ConnectError(Code.FAILED_PRECONDITION, "nöt today: 100%")

    async def late(self, request: BytesValue, ctx: RequestContext) -> BytesValue:
        try:
            await anyio.sleep(60)
        finally:
            self.cancelled += 1
        return request

    async def count_cancelled(self, request: BytesValue, ctx: RequestContext) -> BytesValue:
        return BytesValue(value=str(self.cancelled).encode())

    async def join(self, requests: AsyncIterator[BytesValue], ctx: RequestContext) -> BytesValue:
        total = 0
        async for request in requests:
            total += len(request.value)
        return BytesValue(value=str(total).encode())

    async def repeat(self, request: BytesValue, ctx: RequestContext) -> AsyncIterator[BytesValue]:
        for number in range(int(request.value)):
            yield BytesValue(value=str(number).encode())

    async def break_off(
        self, request: BytesValue, ctx: RequestContext
    ) -> AsyncIterator[BytesValue]:
        yield BytesValue(value=b"first")
        raise ConnectError(Code.ABORTED, "in the middle")

    async def endless(self, request: BytesValue, ctx: RequestContext) -> AsyncIterator[BytesValue]:
        try:
            while True:
                yield request
                await anyio.sleep(0.02)
        finally:
            self.cancelled += 1

    async def slow(self, request: BytesValue, ctx: RequestContext) -> AsyncIterator[BytesValue]:
        yield BytesValue(value=b"begun")
        await anyio.sleep(1.0)
        yield BytesValue(value=b"done")

    async def talk(
        self, requests: AsyncIterator[BytesValue], ctx: RequestContext
    ) -> AsyncIterator[BytesValue]:
        async for request in requests:
            yield BytesValue(value=request.value[::-1])


class Application(ConnectASGIApplication[Workload]):
    """What connectrpc's generator makes of a .proto file."""

    @property
    def path(self) -> str:
        return f"/{SERVICE}"


def endpoints(service: Workload) -> Mapping[str, Endpoint]:
    kinds = {
        "Echo": (Endpoint.unary, StreamType.UNARY, service.echo),
        "Metadata": (Endpoint.unary, StreamType.UNARY, service.metadata),
        "Fail": (Endpoint.unary, StreamType.UNARY, service.fail),
        "Late": (Endpoint.unary, StreamType.UNARY, service.late),
        "CountCancelled": (Endpoint.unary, StreamType.UNARY, service.count_cancelled),
        "Join": (Endpoint.client_stream, StreamType.CLIENT_STREAM, service.join),
        "Repeat": (Endpoint.server_stream, StreamType.SERVER_STREAM, service.repeat),
        "BreakOff": (Endpoint.server_stream, StreamType.SERVER_STREAM, service.break_off),
        "Endless": (Endpoint.server_stream, StreamType.SERVER_STREAM, service.endless),
        "Slow": (Endpoint.server_stream, StreamType.SERVER_STREAM, service.slow),
        "Talk": (Endpoint.bidi_stream, StreamType.BIDI_STREAM, service.talk),
    }
    return {
        f"/{SERVICE}/{name}": make(
            method=MethodInfo(
                name=name,
                service_name=SERVICE,
                input=BytesValue,
                output=BytesValue,
                idempotency_level=IdempotencyLevel.UNKNOWN,
                stream_type=kind,
            ),
            function=function,
        )
        for name, (make, kind, function) in kinds.items()
    }


app = Application(service=Workload(), endpoints=endpoints, read_max_bytes=LARGEST)
