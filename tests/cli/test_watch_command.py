"""tombola watch: the live page, its server, and the table on the terminal. No test waits for a clock."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from filelock import FileLock

from support.program import Tombola
from tombola.cli.serve import Beside
from tombola.errors import UserError
from tombola.report.page.live import GAP, MOST, PROGRESS_GAP, LivePage, LiveServer, _Answer
from tombola.runs.folder import Run

CELLS = 2 * (1 + 2 * 3)  # replicates x (dense, then ticket + reinit + random-mask at two levels)
LAST = "cells/r1/L02/reinit/0"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def served(done: Path, clock: Clock) -> Iterator[LiveServer]:
    with LiveServer(LivePage(Run(done), clock)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: LiveServer, place: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", place, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_head_says_what_get_would_without_its_body(served: LiveServer) -> None:
    for place in ("/", "/progress.json", "/nothing"):
        connection = HTTPConnection("127.0.0.1", served.server_port)
        connection.request("HEAD", place)
        answer = connection.getresponse()
        same, body = get(served, place)
        assert (answer.status, answer.read()) == (same.status, b"")
        assert dict(answer.getheaders()) | {"Date": ""} == dict(same.getheaders()) | {"Date": ""}
        assert int(answer.headers["Content-Length"]) == len(body)
        connection.close()


def test_who_connects_and_says_nothing_is_let_go(served: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Answer, "timeout", 0.05)
    with socket.create_connection(("127.0.0.1", served.server_port)) as silent:
        silent.sendall(b"GET / HT")
        assert silent.recv(1) == b""  # closed by the server
    assert get(served, "/progress.json")[0].status == 200


def test_no_more_than_so_many_connections_are_held(served: LiveServer) -> None:
    place = ("127.0.0.1", served.server_port)
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(place)) for _ in range(MOST)]
        while served._free._value:  # connections are taken in one after the other
            time.sleep(0.001)
        with socket.create_connection(place) as beyond:
            assert beyond.recv(1) == b""
        for each in silent:
            each.close()
    while served._free._value != MOST:
        time.sleep(0.001)
    assert get(served, "/progress.json")[0].status == 200


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def taken_away(done: Path, name: str) -> Path:
    """A cell that has not landed yet: moved out of the run, to be moved back."""
    aside = done.parent.parent / "aside"
    shutil.move(done / name, aside)
    return aside


def test_page_is_served_here_alone_and_fetches_nothing(served: LiveServer) -> None:
    assert served.server_address[0] == "127.0.0.1"
    answer, body = get(served, "/")
    assert answer.status == 200
    page = body.decode()
    assert "A tiny study" in page
    assert "progress.json" in page
    assert "figures/accuracy-final.svg" not in page  # no link to what is not served
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "connect-src 'self'" in policy  # its own progress
    assert "Content-Security-Policy" not in page  # two policies would forbid what either forbids
    assert "http" not in policy


def test_progress_counts_cells_by_level_and_arm(served: LiveServer, done: Path) -> None:
    progress = json.loads(get(served, "/progress.json")[1])
    assert (progress["done"], progress["planned"], progress["state"]) == (CELLS, CELLS, "finished")
    assert progress["seconds_left"] is None
    places = [(row["level"], row["arm"], row["done"], row["planned"]) for row in progress["rows"]]
    arms = ["ticket", "random-mask", "reinit"]
    assert places == [(0, "ticket", 2, 2), *((level, arm, 2, 2) for level in (1, 2) for arm in arms)]
    records = [json.loads((done / f"cells/r{r}/L00/ticket/0/cell.json").read_text()) for r in (0, 1)]
    mean = sum(record["early_stop_test_accuracy"] for record in records) / 2
    assert progress["rows"][0]["test"] == pytest.approx(mean)


@pytest.mark.parametrize(
    "place",
    [
        "/study.toml",
        "/../study.toml",
        "/..%2fstudy.toml",
        "/%2e%2e/study.toml",
        "//etc/passwd",
        "/figures/../../study.toml",
        "/report/index.html",
        "/index.html/..",
    ],
)
def test_nothing_else_is_served(served: LiveServer, place: str) -> None:
    answer, body = get(served, place)
    assert answer.status == 404
    assert b"[model]" not in body


def test_a_name_from_elsewhere_that_points_here_is_refused(served: LiveServer) -> None:
    assert get(served, "/progress.json", Host="example.org")[0].status == 403
    assert get(served, "/progress.json", Host=f"localhost:{served.server_port}")[0].status == 200


def test_watching_touches_nothing_and_works_under_the_lock(served: LiveServer, done: Path) -> None:
    before = files(done)
    with FileLock(done / ".lock"):
        assert json.loads(get(served, "/progress.json")[1])["state"] == "running"
        assert get(served, "/")[0].status == 200
    assert files(done) == before


def test_page_is_made_again_when_a_cell_landed_but_not_too_soon(
    done: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def write(run: Run, folder: Path, beside: tuple[str, ...]) -> Path:
        made.append(len(run.cells()))
        (folder / "index.html").write_text("<body>page</body>")
        return folder / "index.html"

    monkeypatch.setattr("tombola.report.page.live.write_page", write)
    aside, live = taken_away(done, LAST), LivePage(Run(done), clock)
    first = live.page()
    assert b"page" in first
    version = live.progress()["page"]
    assert json.dumps(version).encode() in first
    clock.now += 1000
    assert live.page() == first
    assert made == [CELLS - 1]  # nothing landed

    clock.now += GAP
    shutil.move(aside, done / LAST)
    clock.now += PROGRESS_GAP
    second = live.page()
    assert made == [CELLS - 1, CELLS]
    assert live.progress()["page"] != version
    assert json.dumps(live.progress()["page"]).encode() in second

    taken_away(done, LAST)
    clock.now += PROGRESS_GAP
    assert live.progress()["done"] == CELLS - 1
    assert live.page() == second  # too soon
    clock.now += GAP
    live.page()
    assert made == [CELLS - 1, CELLS, CELLS - 1]


def test_a_folder_that_goes_away_is_said_and_the_server_lives(served: LiveServer, done: Path) -> None:
    done.rename(done.with_name("elsewhere"))
    answer, body = get(served, "/")
    assert answer.status == 503
    assert b"study.toml" in body
    done.with_name("elsewhere").rename(done)
    assert get(served, "/")[0].status == 200


def test_a_taken_port_is_a_sentence(served: LiveServer, done: Path) -> None:
    with pytest.raises(UserError, match=rf"--port {served.server_port}: cannot be served on"):
        LiveServer(LivePage(Run(done)), served.server_port)


def test_state_and_time_left(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in done.rglob("timing.json"):
        seconds = 30.0 if "/L02/" in path.as_posix() else 300.0  # the level that landed last counts
        path.write_text(json.dumps({"seconds": seconds}))
    taken_away(done, LAST)
    found = Run(done).headway()
    assert (found.state, found.seconds_left) == ("unfinished", None)
    landed = max(path.stat().st_mtime for path in done.rglob("cell.json"))
    monkeypatch.setattr("tombola.runs.progress.time.time", lambda: landed + 10)
    with FileLock(done / ".lock"):
        found = Run(done).headway()
    assert found.state == "running"
    assert found.seconds_left == pytest.approx(20)  # one cell of 30 s, begun 10 s ago
    assert (found.done, found.planned) == (CELLS - 1, CELLS)


def test_table_on_the_terminal_ends_with_the_run(tombola: Tombola, done: Path) -> None:
    said = tombola("watch", done, "--terminal")
    assert said.code == 0
    assert f"{CELLS} of {CELLS} cells done, finished" in said.out
    assert "random-mask" in said.out
    taken_away(done, LAST)
    said = tombola("watch", done, "--terminal")
    assert f"{CELLS - 1} of {CELLS} cells done, not finished" in said.out
    assert "1/2" in said.out


def test_terminal_follows_a_run_until_it_ends(
    tombola: Tombola, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside, lock = taken_away(done, LAST), FileLock(done / ".lock")
    lock.acquire()

    def meanwhile(seconds: float) -> None:
        shutil.move(aside, done / LAST)
        lock.release()

    monkeypatch.setattr("tombola.cli.serve.time.sleep", meanwhile)
    said = tombola("watch", done, "--terminal")
    assert said.out.index(f"{CELLS - 1} of {CELLS}") < said.out.index(
        f"{CELLS} of {CELLS} cells done, finished"
    )


def test_ctrl_c_ends_the_server_with_130(
    tombola: Tombola, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: LiveServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LiveServer, "serve_forever", stop)
    said = tombola("watch", done)
    assert said.code == 130
    assert said.out.startswith("live    http://127.0.0.1:")


def test_watching_what_is_no_run(tombola: Tombola, tmp_path: Path) -> None:
    said = tombola("watch", tmp_path)
    assert said.code == 2
    assert "Traceback" not in said.err


def test_run_goes_on_where_the_page_cannot_be_served(
    tombola: Tombola, study_file: Path, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError("no processes left")

    monkeypatch.setattr(subprocess, "Popen", fail)
    said = tombola("run", study_file, "--watch")
    assert said.code == 0
    assert "no live page: no processes left" in said.err


def test_sweeps_are_not_watched(tombola: Tombola, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.toml"
    sweep.write_text(
        'name = "s"\n[model]\nname = "lenet-8-6"\n[data]\nname = "digits"\n[sweep]\n"recipe.lr" = [0.1, 0.2]\n'
    )
    said = tombola("run", sweep, "--watch")
    assert said.code == 2
    assert "--watch" in said.err
    assert not (tmp_path / "runs").exists()


def test_server_beside_a_run_ends_with_it(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The program in its place: says nothing and ends as soon as its input does.
    monkeypatch.setattr(Beside, "COMMAND", "import sys; sys.stdin.read()")
    beside = Beside()
    with beside:
        beside.begin(Run(done))
        process = beside._process
        assert process is not None
        assert process.poll() is None
    assert process.returncode == 0


@pytest.mark.slow
def test_real_server_ends_when_its_input_ends(done: Path) -> None:
    command = [sys.executable, "-c", Beside.COMMAND, "watch", str(done), "--until-input-ends"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith("live    http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(60) == 0
