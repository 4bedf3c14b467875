"""Bodies of 1 GB in Flask: uploads read piece by piece, downloads in pieces and as a file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator

from flask import Flask, Response, request, send_file

SIZE = 1 << 30
PIECE = bytes(65536)

FILE = tempfile.NamedTemporaryFile(prefix="workloads-")  # noqa: SIM115
# Sparse: it takes no space on the disk.
FILE.truncate(SIZE)

app = Flask(__name__)


@app.get("/")
def hello():
    return "hello"


@app.post("/upload")
def upload():
    size = 0
    while piece := request.stream.read(len(PIECE)):
        size += len(piece)
    return {"size": size}


@app.post("/slow")
def slow_upload():
    # The client sends all it can meanwhile.
    time.sleep(1.0)
    return upload()


@app.get("/download")
def download():
    def pieces() -> Iterator[bytes]:
        for _ in range(SIZE // len(PIECE)):
            yield PIECE

    return Response(pieces(), headers={"content-length": str(SIZE)})


@app.get("/file")
def file():
    return send_file(FILE.name, mimetype="application/octet-stream")
