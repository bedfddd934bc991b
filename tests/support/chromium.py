"""Drives Debian's chromium, headless, over its pipe: the few DevTools calls that the tests of the page need."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 30.0
"""Seconds that a page may take to come to a state before the test says that it never does."""


class Chromium:
    """One page of one browser that has no network; `complaints` gathers what its console and loader complained of."""

    def __init__(self, profile: Path) -> None:
        theirs, self._out = os.pipe()
        self._in, answers = os.pipe()
        self._count, self._buffer = 0, b""
        self.complaints: list[str] = []
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        command = [
            str(CHROMIUM),
            *flags,
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        # The browser reads from its descriptor 3 and answers on 4.
        script = f'exec "$@" 3<&{theirs} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command],
            pass_fds=(theirs, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(answers)
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.call("Network.emulateNetworkConditions", **offline)

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """The answer to a call; what is reported in between is heard."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer}"
                result: dict[str, Any] = answer["result"]
                return result
            self._hear(answer.get("method", ""), answer.get("params", {}))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _hear(self, event: str, said: dict[str, Any]) -> None:
        loud = said.get("type") in ("error", "warning") or said.get("entry", {}).get("level") in (
            "error",
            "warning",
        )
        failed = event in ("Runtime.exceptionThrown", "Network.loadingFailed")
        asked = event == "Network.requestWillBeSent" and not said["request"]["url"].startswith(
            ("file:", "data:")
        )
        if failed or asked or (loud and event in ("Runtime.consoleAPICalled", "Log.entryAdded")):
            self.complaints.append(f"{event}: {json.dumps(said)[:400]}")

    def see(self, expression: str) -> Any:
        """The value of an expression on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until the expression is true on the page."""
        end = time.monotonic() + PATIENCE
        while not self.see(f"Boolean({expression})"):
            assert time.monotonic() < end, f"never came true: {expression}"
            time.sleep(0.05)

    def open(self, page: Path, width: int) -> None:
        """Load a page at a width in px, and wait until all of its charts are drawn."""
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.complaints.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait(
            f"location.href === {json.dumps(page.resolve().as_uri())} && document.readyState === 'complete'"
        )
        self.wait("[...document.querySelectorAll('[data-chart]')].every(place => place.querySelector('svg'))")

    def shoot(self, to: Path) -> None:
        """Save a picture (PNG) of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        to.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End the browser, and this one alone."""
        self._process.terminate()
        self._process.wait(10)
        os.close(self._out)
        os.close(self._in)
