"""The demonstration page in a real browser: Chromium, driven over the WebDriver protocol."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.long

FLAGS = [
    "--headless=new",
    "--no-sandbox",  # the sandbox refuses to run as root, as containers do
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--ignore-certificate-errors",
    "--window-size=1200,1400",
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of a web element reference


class Browser:
    """A headless Chromium behind its own chromedriver; a context manager."""

    def __init__(self, chromedriver: str, chromium: str, profile: Path) -> None:
        self._process = subprocess.Popen(
            [chromedriver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            client = httpx.Client(base_url=f"http://127.0.0.1:{self._port()}", trust_env=False)
            self._client = client
            client.timeout = httpx.Timeout(30)
            options = {"binary": chromium, "args": [*FLAGS, f"--user-data-dir={profile}"]}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options}
            reply = self._command("POST", "/session", capabilities={"alwaysMatch": wanted})
            self._session = f"/session/{reply['sessionId']}"
            self.post("/timeouts", script=20_000, pageLoad=20_000, implicit=0)
        except BaseException:
            self._stop()
            raise

    def _port(self) -> int:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                return int(found[1])
        raise RuntimeError("chromedriver did not start")

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._command("DELETE", self._session)
            self._client.close()
        finally:
            self._stop()

    def _command(self, method: str, path: str, **parameters: Any) -> Any:
        json = parameters if method == "POST" else None
        value = self._client.request(method, path, json=json).json()["value"]
        if isinstance(value, dict) and "error" in value:
            raise AssertionError(f"{value['error']}: {value['message']}")
        return value

    def post(self, path: str, **parameters: Any) -> Any:
        return self._command("POST", self._session + path, **parameters)

    def open(self, url: str) -> None:
        self.post("/url", url=url)

    def text(self, selector: str) -> str:
        """The text of the first element that matches a CSS selector."""
        script = "return document.querySelector(arguments[0]).textContent"
        value: str = self.post("/execute/sync", script=script, args=[selector])
        return value

    def wait_for(self, condition: str) -> Any:
        """Wait, in the page, until a JavaScript expression is truthy; return its value."""
        script = """
            const done = arguments[arguments.length - 1];
            const look = () => {
                const value = (() => { try { return CONDITION; } catch { return null; } })();
                value ? done(value) : requestAnimationFrame(look);
            };
            look();
        """.replace("CONDITION", condition)
        return self.post("/execute/async", script=script, args=[])

    def type(self, selector: str, text: str) -> None:
        """Replace the content of a field as a user would."""
        element = self.post("/element", using="css selector", value=selector)[ELEMENT]
        self.post(f"/element/{element}/clear")
        self.post(f"/element/{element}/value", text=text)

    def click(self, selector: str) -> None:
        element = self.post("/element", using="css selector", value=selector)[ELEMENT]
        self.post(f"/element/{element}/click")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromedriver = shutil.which("chromedriver")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromedriver is None or chromium is None:
        reason = "chromium and chromedriver are not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        Browser(chromedriver, chromium, Path(profile)) as driver,
    ):
        yield driver


class Daemon:
    """The server under test as a process, on sockets that listen already.

    So a client never has to wait for its start, and a restart refuses nobody.
    """

    def __init__(self, directory: Path, **options: object) -> None:
        self._tls = socket.create_server(("127.0.0.1", 0))
        self._clear = socket.create_server(("127.0.0.1", 0))
        self.tls_url = f"https://127.0.0.1:{self._tls.getsockname()[1]}/"
        self.clear_url = f"http://127.0.0.1:{self._clear.getsockname()[1]}/"
        self.certificate = directory / "tricorn" / "dev-certificate.pem"
        self._environment = {**os.environ, "XDG_DATA_HOME": str(directory)}
        self._config = directory / "tricorn.toml"
        settings = {
            "application": "tricorn.demo:app",
            "dev_certificate": True,
            "bind": [f"fd://{self._tls.fileno()}"],
            "insecure_bind": [f"fd://{self._clear.fileno()}"],
            "graceful_timeout": 0.5,  # an open page never ends its event stream
            **options,
        }
        # A JSON string, number, bool or list of strings is TOML too.
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
        self._config.write_text("".join(lines))

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tricorn", "-c", str(self._config)],
            pass_fds=(self._tls.fileno(), self._clear.fileno()),
            env=self._environment,
        )

    def stop(self) -> None:
        assert self._process.poll() is None, "the server ended by itself"
        self._process.terminate()
        try:
            assert self._process.wait(timeout=15) == 0
        finally:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._tls.close()
            self._clear.close()


COUNTER = "Number(document.querySelector('#events-count').textContent)"


def check_page(browser: Browser, url: str, protocol: str, tls: str) -> None:
    browser.open(url)
    assert browser.text("#protocol") == protocol
    assert re.fullmatch(tls, browser.text("#tls"))
    # Our own style sheet arrived and was taken for one.
    assert browser.wait_for("getComputedStyle(document.querySelector('main')).display") == "grid"
    assert browser.wait_for("document.querySelector('#resources tr') && 'shown'") == "shown"
    assert browser.text("#next-hop") == protocol
    resources = browser.wait_for(
        "[...document.querySelectorAll('#resources tr')].map((row) =>"
        " [row.cells[0].textContent, row.cells[1].textContent])"
    )
    assert ["style.css", protocol] in resources
    assert ["app.js", protocol] in resources

    # The server says in the first message what the WebSocket runs over.
    assert browser.wait_for("document.querySelector('#socket-protocol').textContent") == protocol
    message = "Ahoy \N{BLACK FLAG} 1"
    browser.type("#socket-text", message)
    browser.click("#socket-send")
    echo = browser.wait_for("document.querySelector('#socket-log .received').textContent")
    assert re.fullmatch(rf"← {message} \([0-9.]+ ms\)", echo)

    first = browser.wait_for(f"{COUNTER} >= 1 && {COUNTER}")
    assert browser.wait_for(f"{COUNTER} > {first} && {COUNTER}") == first + 1
    assert browser.text("#events-status") == "Connected; one event each second."


def test_cleartext(browser: Browser, tmp_path: Path) -> None:
    with Daemon(tmp_path) as server:
        check_page(browser, server.clear_url, "HTTP/1.1", "without TLS")


def test_http1_over_tls(browser: Browser, tmp_path: Path) -> None:
    with Daemon(tmp_path, alpn_protocols=["http/1.1"]) as server:
        check_page(browser, server.tls_url, "HTTP/1.1", "with TLS( 1.3)?")


def test_http2_with_websocket_on_the_same_connection(browser: Browser, tmp_path: Path) -> None:
    with Daemon(tmp_path) as server:
        check_page(browser, server.tls_url, "HTTP/2", "with TLS( 1.3)?")


def test_page_survives_a_restart(browser: Browser, tmp_path: Path) -> None:
    """The browser asks for /events again with the last id it saw, and the count goes on."""
    with Daemon(tmp_path) as server:
        browser.open(server.tls_url)
        before = browser.wait_for(f"{COUNTER} >= 3 && {COUNTER}")
        browser.wait_for("document.querySelector('#socket-protocol')")
        server.stop()
        browser.wait_for("!document.querySelector('#socket-protocol')")
        server.start()
        browser.wait_for(
            "document.querySelector('#events-status').textContent.includes('again (connection')"
        )
        after = browser.wait_for(f"{COUNTER} > {before} && {COUNTER}")
        assert after <= before + 10  # the seconds that the restart may take
        protocol = "document.querySelector('#socket-protocol').textContent"
        # Chromium takes HTTP/2 only where it has a connection to the origin already, and
        # here the socket may reconnect before the events do.
        assert browser.wait_for(protocol) in ("HTTP/2", "HTTP/1.1")


def test_development_certificate_verifies_once_trusted(tmp_path: Path) -> None:
    """The browser above takes any certificate; this client takes only ours."""
    with Daemon(tmp_path) as server:
        # The first answer, without verification, says that the certificate is there.
        assert httpx.get(server.tls_url, verify=False, trust_env=False).status_code == 200
        trusting = ssl.create_default_context(cafile=server.certificate)
        with httpx.Client(verify=trusting, http2=True, trust_env=False) as client:
            facts = client.get(server.tls_url + "connection.json").json()
    assert facts["http_version"] == "2"
    assert facts["scheme"] == "https"
