"""A python-socketio server: events with answers, rooms, binary data."""

from __future__ import annotations

import socketio

server = socketio.AsyncServer(async_mode="asgi", ping_interval=2, ping_timeout=3)
left = 0


@server.event
async def connect(sid, environ, auth):
    if auth and auth.get("refuse"):
        raise socketio.exceptions.ConnectionRefusedError("not you")
    await server.emit("welcome", {"transport": server.transport(sid)}, to=sid)


@server.event
async def disconnect(sid, reason):
    global left
    left += 1


@server.event
async def echo(sid, data):
    return data


@server.event
async def count_left(sid):
    return left


@server.event
async def enter(sid, room):
    await server.enter_room(sid, room)
    return True


@server.event
async def tell(sid, room, data):
    await server.emit("told", data, room=room)


app = socketio.ASGIApp(server)
