"""A Strawberry schema in Starlette: queries, mutations, uploads, subscriptions."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import strawberry
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from strawberry.asgi import GraphQL
from strawberry.file_uploads import Upload
from strawberry.subscriptions import (
    GRAPHQL_SSE_PROTOCOL,
    GRAPHQL_TRANSPORT_WS_PROTOCOL,
    GRAPHQL_WS_PROTOCOL,
    MULTIPART_SUBSCRIPTION_PROTOCOL,
)

ended = 0
values: dict[str, str] = {}


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str) -> str:
        return f"hello {name}"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def put(self, name: str, value: str) -> list[str]:
        values[name] = value
        return sorted(values)

    @strawberry.mutation
    async def upload(self, file: Upload) -> str:
        return hashlib.sha256(await file.read()).hexdigest()


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, target: int) -> AsyncIterator[int]:
        for number in range(target):
            yield number
            await asyncio.sleep(0)

    @strawberry.subscription
    async def fails(self) -> AsyncIterator[int]:
        yield 1
        raise ValueError("deliberate")

    @strawberry.subscription
    async def endless(self) -> AsyncIterator[int]:
        global ended
        number = 0
        try:
            while True:
                yield number
                number += 1
                await asyncio.sleep(0.02)
        finally:
            ended += 1


async def count_ended(request) -> JSONResponse:
    return JSONResponse({"ended": ended})


class Quiet(strawberry.Schema):
    """The errors of resolvers are the client's to see."""

    def process_errors(self, errors, execution_context=None) -> None:
        pass


schema = Quiet(query=Query, mutation=Mutation, subscription=Subscription)
graphql = GraphQL(
    schema,
    multipart_uploads_enabled=True,
    subscription_protocols=(
        GRAPHQL_TRANSPORT_WS_PROTOCOL,
        GRAPHQL_WS_PROTOCOL,
        GRAPHQL_SSE_PROTOCOL,
        MULTIPART_SUBSCRIPTION_PROTOCOL,
    ),
)
app = Starlette(
    routes=[
        Route("/ended", count_ended),
        Mount("/graphql", graphql),
    ]
)
