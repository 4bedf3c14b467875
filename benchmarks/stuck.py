"""What a stream whose application reads nothing costs its siblings.

A server that stops reading the connection for one stream, or never returns the
connection window that stream's bytes took (RFC 9113 section 5.2), stalls the others.
"""

from __future__ import annotations

import time

from .clients import ClientError, HTTP1Client, HTTP2Client
from .servers import HOST, Running

UPLOADS = 64
UPLOAD_SIZE = 524_288
"""Bytes of each parallel upload: more than the window a stream begins with."""

STUCK_SIZE = 1_048_576
"""Most bytes the stuck stream is offered; its window ends it sooner."""

LIMIT_SECONDS = 10.0


def uploads(running: Running, *, stuck: bool) -> float:
    """Seconds that `UPLOADS` parallel uploads on one connection take.

    With `stuck`, after one more stream has sent all that its window lets it to an
    application that reads nothing. Raises ClientError if they are not done in
    `LIMIT_SECONDS`.
    """
    port, tls = running.port, running.listen.certificate is not None
    try:
        with HTTP2Client(HOST, port, tls=tls) as client:
            if stuck:
                client.fill(client.open("POST", "/stuck"), STUCK_SIZE)
            began = time.monotonic()
            answers = client.post_many("/sink", UPLOADS, UPLOAD_SIZE, LIMIT_SECONDS)
            took = time.monotonic() - began
    finally:
        if stuck:
            with HTTP1Client(HOST, port, tls=tls) as helper:
                helper.get("/release")
    if answers != [b"%d" % UPLOAD_SIZE] * UPLOADS:
        raise ClientError("not all of the uploads arrived")
    return took
