"""The live view: a run's page, served on this machine alone, that refreshes itself as cells land.

It only reads: the page is made in memory from what lies in the run folder, never in it, so that a run under way is
not touched. Nothing is made while nobody looks.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from tombola.errors import UserError
from tombola.report.page.compose import write_page
from tombola.runs.folder import Run
from tombola.runs.progress import WORDS, Headway

HOST = "127.0.0.1"
GAP = 5.0
"""Seconds between two makings of the page, at least; a page that takes longer to make waits three times that long."""
PROGRESS_GAP = 1.0
"""Seconds for which an answer about the progress is given again, however many ask."""
PATIENCE = 10.0
"""Seconds that a browser may take to ask, or to take in a piece of what it is given."""
MOST = 32
"""Connections at a time."""
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'"
)
"""The browser is told to fetch nothing from anywhere else. Vega compiles expressions, hence unsafe-eval."""


OWN_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n?')


class LivePage:
    """The page of a run, made again when something landed, but not too often. Safe to ask from several threads."""

    def __init__(self, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        self.run, self._clock = run, clock
        self._lock = threading.Lock()
        self._asked = self._next = float("-inf")
        self._headway: Headway | None = None
        self._page, self._key = b"", ""

    def progress(self) -> dict[str, Any]:
        """How far the run is, and `page`: the version of the page that would be given now."""
        with self._lock:
            now = self._look()
            facts = asdict(now)
            left = None if now.seconds_left is None else round(now.seconds_left)
            return {**facts, "seconds_left": left, "words": WORDS[now.state], "page": self._offered(now)}

    def page(self) -> bytes:
        """The whole page in HTML, with its version and the script that looks for a newer one."""
        with self._lock:
            now = self._look()
            key = self._offered(now)
            if key != self._key:
                begun = self._clock()
                self._page, self._key = self._made(key), key
                ended = self._clock()
                self._next = ended + max(GAP, 3 * (ended - begun))
            return self._page

    def _look(self) -> Headway:
        if self._headway is None or self._clock() - self._asked >= PROGRESS_GAP:
            self._headway, self._asked = self.run.headway(), self._clock()
        return self._headway

    def _offered(self, now: Headway) -> str:
        """The version that is due: that of the folder, or the one at hand while it is too early for another."""
        return f"{now.done}-{now.planned}-{now.state}" if self._clock() >= self._next else self._key

    def _made(self, key: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="tombola-watch-") as folder:
            text = write_page(self.run, Path(folder), beside=()).read_text()
        # As a file the page may ask nobody anything; served, the header says the same but for its own progress.
        before, end, after = OWN_POLICY.sub("", text).rpartition("</body>")
        script = files("tombola.report").joinpath("templates/live.html").read_text()
        return (before + script.replace("VERSION", json.dumps(key)) + end + after).encode()


class LiveServer(ThreadingHTTPServer):
    """Serves `/` and `/progress.json` of a live page on 127.0.0.1, and nothing else. Port 0 takes a free one.

    Raises UserError when the port is taken.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, live: LivePage, port: int = 0) -> None:
        self.live = live
        self._free = threading.BoundedSemaphore(MOST)
        try:
            super().__init__((HOST, port), _Answer)
        except OSError as problem:
            raise UserError(f"--port {port}: cannot be served on ({problem.strerror})") from None

    @property
    def url(self) -> str:
        """Where a browser finds the page."""
        return f"http://{HOST}:{self.server_port}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own; a connection beyond `MOST` is closed at once."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and let the next one in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle of an answer is no news."""


class _Answer(BaseHTTPRequestHandler):
    server: LiveServer
    server_version, sys_version = "Tombola", ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Answer by exact name: no request names a file, so none can reach one."""
        live, place = self.server.live, self.path.partition("?")[0]
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            # A page from elsewhere whose name was made to point here must not read the run.
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"forbidden\n")
        elif place in ("/", "/index.html"):
            self._give("text/html", live.page)
        elif place == "/progress.json":
            self._give("application/json", lambda: json.dumps(live.progress()).encode())
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")

    def do_HEAD(self) -> None:
        """What GET would answer, without its body."""
        self.do_GET()

    def _give(self, kind: str, make: Callable[[], bytes]) -> None:
        try:
            status, body = HTTPStatus.OK, make()
        except (
            Exception
        ) as problem:  # whatever is wrong with the folder now, the next request may find it mended
            kind, status, body = "text/plain", HTTPStatus.SERVICE_UNAVAILABLE, f"{problem}\n".encode()
        self._send(status, kind, body)

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not printed: the terminal may be showing a run."""
