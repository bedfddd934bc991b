"""A run as it goes: served as a page, or drawn as a table on the terminal."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Self

from rich.box import SIMPLE
from rich.live import Live
from rich.table import Table

from tombola.cli.show.tables import console
from tombola.report.page.live import LivePage, LiveServer
from tombola.runs.folder import Run
from tombola.runs.progress import WORDS, Headway
from tombola.text import duration

LOOKS = 2.0
"""Seconds between two looks at the folder."""
LAST_LOOK = 5.0
"""Seconds that a server beside a run is given to end by itself."""


def serve(run: Run, port: int, beside: bool) -> None:
    """Serve the run's page until Ctrl-C; `beside`: until the input ends."""
    run.headway()  # a folder that cannot be read is refused here, not on the page
    with LiveServer(LivePage(run), port) as server:
        print(f"live    {server.url}", flush=True)
        if beside:
            threading.Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
        else:
            print(f"watching {run.path}; Ctrl-C ends it, and the run goes on", file=sys.stderr, flush=True)
        server.serve_forever()


def _stop_at_end_of_input(server: LiveServer) -> None:
    sys.stdin.buffer.read()
    server.shutdown()


class Beside:
    """`tombola watch` in a process of its own beside a run, so that it cannot slow or stop it. It ends with the run,
    also where that is killed: its standard input ends then."""

    # The run comes first: the page is made with what it leaves of the processor.
    COMMAND = "import os; getattr(os, 'nice', lambda steps: None)(10); from tombola.cli import main; main()"

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def begin(self, run: Run) -> None:
        """Start to serve the run's page; where that cannot be, the run goes on without."""
        if not self._wanted:
            return
        arguments = ["watch", str(run.path.resolve()), "--until-input-ends"]
        try:
            # What it says goes to standard error: standard output holds results alone. In a session of its own, Ctrl-C
            # reaches the run only.
            self._process = subprocess.Popen(
                [sys.executable, "-c", self.COMMAND, *arguments],
                stdin=subprocess.PIPE,
                stdout=2,
                start_new_session=True,
            )
        except OSError as problem:
            print(f"no live page: {problem}", file=sys.stderr, flush=True)

    def __exit__(self, *problem: object) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(LAST_LOOK)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def show_on_terminal(run: Run) -> None:
    """A table that is drawn anew on a terminal, plain lines anywhere else; ends when the run is trained no more."""
    now = run.headway()
    if console().is_terminal:
        with Live(_table(now), console=console(), auto_refresh=False) as live:
            while now.state == "running":
                time.sleep(LOOKS)
                now = run.headway()
                live.update(_table(now), refresh=True)
        return
    said = None
    while True:
        if (now.done, now.state) != said:
            print(_line(now), flush=True)
            said = now.done, now.state
        if now.state != "running":
            break
        time.sleep(LOOKS)
        now = run.headway()
    console().print(_table(now))


def _line(now: Headway) -> str:
    left = "" if now.seconds_left is None else f", about {duration(now.seconds_left)} left"
    return f"{now.run}: {now.done} of {now.planned} cells done, {WORDS[now.state]}{left}"


def _table(now: Headway) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, show_edge=False, title=_line(now), title_justify="left")
    for heading in ("level", "arm", "cells", "failed", f"test {now.metric.head} at early stop"):
        table.add_column(heading, justify="left" if heading == "arm" else "right", no_wrap=True)
    for row in now.rows:
        test = "-" if row.test is None else now.metric.shown(row.test).removesuffix("%")
        table.add_row(str(row.level), row.arm, f"{row.done}/{row.planned}", str(row.failed), test)
    return table
