"""The same of a WSGI application, whose threads the event loop must hold back."""

from __future__ import annotations

from compliance.workloads import bodies
from compliance.workloads.checks import Suite, Target

suite = Suite("http/1.1", "h2")


@suite.check()
def upload_flask(target: Target) -> None:
    bodies.upload(target, "/upload")


@suite.check("http/1.1")
def upload_chunked(target: Target) -> None:
    """Without a known length."""
    bodies.upload(target, "/upload", "--header", "Transfer-Encoding: chunked")


@suite.check()
def download_flask(target: Target) -> None:
    bodies.download(target, "/download")


@suite.check()
def download_file(target: Target) -> None:
    """Flask's send_file, which uses wsgi.file_wrapper."""
    bodies.download(target, "/file")


@suite.check()
def slow_application(target: Target) -> None:
    """Nothing is read for a second: what the client sends meanwhile is not held."""
    bodies.slow_upload(target, "/slow")


@suite.check()
def slow_client(target: Target) -> None:
    """A client that takes 1 MB a second, and leaves: what is sent to it is not held."""
    bodies.slow_download(target, "/download")


if __name__ == "__main__":
    raise SystemExit(suite.main())
