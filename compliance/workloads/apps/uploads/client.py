"""1 GB each way with curl, and how much memory the daemon took for it."""

from __future__ import annotations

from compliance.workloads import bodies
from compliance.workloads.checks import Suite, Target

suite = Suite("http/1.1", "h2c", "h2")


@suite.check()
def upload_starlette(target: Target) -> None:
    bodies.upload(target, "/upload")


@suite.check("http/1.1", "h2")
def upload_raw(target: Target) -> None:
    """Over HTTP/1.1 without a known length."""
    bodies.upload(target, "/raw/", "--header", "Transfer-Encoding: chunked")


@suite.check()
def download_starlette(target: Target) -> None:
    bodies.download(target, "/download")


@suite.check("http/1.1", "h2")
def download_raw(target: Target) -> None:
    bodies.download(target, "/raw/")


@suite.check()
def download_file(target: Target) -> None:
    """Starlette's FileResponse, which uses http.response.pathsend."""
    bodies.download(target, "/file")


@suite.check("http/1.1", "h2")
def slow_application(target: Target) -> None:
    """Nothing is read for a second: what the client sends meanwhile is not held."""
    bodies.slow_upload(target, "/slow")


@suite.check("http/1.1", "h2")
def slow_client(target: Target) -> None:
    """A client that takes 1 MB a second, and leaves: what is sent to it is not held."""
    bodies.slow_download(target, "/raw/")


if __name__ == "__main__":
    raise SystemExit(suite.main())
