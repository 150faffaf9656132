"""A headless Chromium for the tests of pages: driven through a pipe, with nothing to install but the browser itself."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome")
# The protocol reads from descriptor 3 and writes to 4.
INTO_PLACE = "import os, sys; hear, say = map(int, sys.argv[1:3]); os.dup2(hear, 3); os.dup2(say, 4); os.execv(sys.argv[3], sys.argv[3:])"
PATIENCE = 60  # seconds for one answer, on a machine that others use as well


def program() -> str:
    """Return the path of a browser."""
    for name in PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.fail("no Chromium was found: install the package 'chromium-headless-shell' (scripts/test does).")
    return ""


class Browser:
    """A running browser with one page, which may fetch nothing from anywhere: its network is cut off."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="discreet-browser-"))
        hear, self._say = os.pipe()
        self._hear, say = os.pipe()
        command = [
            program(),
            "--headless",
            "--no-sandbox",  # pages of our own alone, and root has no sandbox
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--remote-debugging-pipe",
            f"--user-data-dir={self.folder}",
        ]
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (hear, say)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", INTO_PLACE, *map(str, ends), *command],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (hear, say, *ends):
            os.close(end)
        self._left, self._count, self._session, self.events = b"", 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **given: Any) -> dict[str, Any]:
        """Send one command and return what it answers; what else happens meanwhile is kept in `events`."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": given}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._say, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._hear], [], [], PATIENCE)
            piece = os.read(self._hear, 1 << 20) if ready else b""
            if not piece:
                pytest.fail("the browser does not answer.")
            self._left += piece
        first, _, self._left = self._left.partition(b"\0")
        return json.loads(first)

    def open(self, path: Path) -> None:
        """Show a file, and wait until it has loaded."""
        self.events.clear()
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str, *, code: int, text: str = "") -> None:
        """Press and release one key, as a person would."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **named, **({"text": text} if text else {}))
        self.ask("Input.dispatchKeyEvent", type="keyUp", **named)

    def emulate(self, *, media: str = "", **features: str) -> None:
        """Show the page as on another medium ("print"), or to people with other preferences (color_scheme="dark")."""
        named = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", media=media, features=named)

    def size(self, width: int, height: int) -> None:
        """Give the window another size."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self) -> bytes:
        """Return the page as a PNG, all of it."""
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def pdf(self) -> bytes:
        """Return the page as it prints."""
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=False)["data"])

    def close(self) -> None:
        """Stop it and remove what it kept."""
        for end in (self._say, self._hear):
            os.close(end)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # a session of its own: the browser and its children alone
        self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of one file."""
    running = Browser()
    yield running
    running.close()
