"""Kills, fills and damages runs, over and over: `python tests/torture.py FOLDER SECONDS` (`make torture`).

Every try has a number that decides it. What came of it is noted in FOLDER/tries.jsonl at once, so that another call
goes on from there; at the end the table in docs/reliability.md is made of all that is noted. A try is survived where
the run ends as an undisturbed one does, to the bit, and nothing is left over; else it is lost, and the note says why.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from support import damage
from support.killed_runs import die_at
from support.study_kit import contents, no_leftovers, run_tiny, tiny, toy_data
from tombola.analysis.compare_runs import compare_study
from tombola.analysis.verdicts.of_run import verdicts_of, write_verdicts
from tombola.report.page.compose import write_page
from tombola.runs import stacks
from tombola.runs.cells import index
from tombola.runs.check.damage import damages_of
from tombola.runs.check.repair import repair
from tombola.runs.folder import Run
from tombola.runs.results import results_of
from tombola.runs.run_options import RunOptions
from tombola.training.checkpoint import Checkpoint

damage.with_index()  # in workers as well, which import this file

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- the table that make torture writes -->\n", "<!-- its end -->\n"
YEAR = 400 * 86400.0
KILLS = 6
"""One after the other in a try."""
STUDIES = {
    "keep all": tiny(store={"keep": "all"}, pruning={"rewind": 5}),
    "keep living": tiny(),
    "keep masks": tiny(store={"keep": "masks"}, arms=[{"name": "reinit"}, {"name": "fresh"}]),
    "one-shot": tiny(pruning={"mode": "one-shot"}),
    "early-bird": damage.BIRDS,
    "ladders beside": damage.LADDERS,
}
COMMANDS: dict[str, Callable[[Run], object]] = {
    "run": lambda run: run_tiny(run.path.parent, run.study),
    "connect": damage.connect,
    "compare": compare_study,
    "verdicts": lambda run: write_verdicts(run, verdicts_of(run)),
    "report": lambda run: write_page(run, beside=()),
}


def main(folder: Path, seconds: float) -> None:
    """Try until so many seconds have passed, then write the table."""
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    notes = folder / "tries.jsonl"
    done = len(notes.read_text().splitlines()) if notes.exists() else 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        place = folder / "now"
        shutil.rmtree(place, ignore_errors=True)
        chance = random.Random(done)
        name = list(FAULTS)[done % len(FAULTS)]
        try:
            count, what, why = FAULTS[name](place, chance)
        except Exception as problem:  # whatever it is, the try is lost
            count, what, why = 1, "", f"{type(problem).__name__}: {problem}"
        with notes.open("a") as file:
            file.write(
                json.dumps({"number": done, "fault": name, "count": count, "what": what, "lost": why}) + "\n"
            )
        done += 1
    write_table([json.loads(line) for line in notes.read_text().splitlines()])


# --- runs that are disturbed ------------------------------------------------------------------------------------


@cache
def undisturbed(study: str, command: str) -> tuple[Path, dict[str, bytes]]:
    """A finished run before a command (not begun, for `run`), and what it holds after it."""
    out = Path(os.environ["TORTURE_WHOLE"]) / study.replace(" ", "-") / command

    def make() -> None:
        run = run_tiny(out / "before", STUDIES[study])
        COMMANDS[command](Run(Path(shutil.copytree(run.path, out / "after" / run.path.name))))

    # Nothing is trained in this process: one that has threads cannot be forked.
    assert _in_child(make, lambda _: None, 0) == "finished"
    [before], [after] = (list((out / name).iterdir()) for name in ("before", "after"))
    return before, bits(after)


def bits(folder: Path) -> dict[str, bytes]:
    """What equal runs share; the page holds sizes and times."""
    found = contents(folder)
    return {name: each for name, each in found.items() if "hypotheses" not in name and "report/" not in name}


def disturbed(
    place: Path, chance: random.Random, command: str, disturb: Callable[[int], None], times: int
) -> tuple[int, str, str]:
    """A command that is begun in processes that are disturbed, then goes on in one that is not."""
    studies = ["ladders beside"] if command in ("compare", "connect") else list(STUDIES)
    study = chance.choice(studies)
    origin, _ = undisturbed(study, command)
    path = place / origin.name
    if command != "run":
        shutil.copytree(origin, path)
    ends = [_in_child(partial(_work, command, study, path), disturb, attempt) for attempt in range(times)]
    return _count(ends), f"{study}, {command}", _wrong_after(command, study, path)


def _wrong_after(command: str, study: str, path: Path) -> str:
    """What is not as in an undisturbed run, after a command that is not disturbed any more."""
    _, expected = undisturbed(study, command)
    last = _in_child(partial(_work, command, study, path), lambda _: None, 0)
    if last != "finished":
        return f"the last run was {last}"
    # What is half-written is swept by the next run, and by the same command when it is old.
    found = {name: each for name, each in bits(path).items() if command == "run" or not name.endswith(".tmp")}
    wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if command == "run" and not no_leftovers(path):
        wrong.append("leftovers")
    return ", ".join(wrong)


def _count(ends: list[str]) -> int:
    """How many processes did end before their time."""
    return sum(end != "finished" for end in ends)


def _work(command: str, study: str, path: Path, **options: str) -> None:
    if command == "run":
        run_tiny(path.parent, STUDIES[study], **options)
    else:
        COMMANDS[command](Run(path))


def _in_child(work: Callable[[], None], disturb: Callable[[int], None], attempt: int) -> str:
    return _ended(_begun(work, disturb, attempt))


def _begun(work: Callable[[], None], disturb: Callable[[int], None], attempt: int) -> int:
    """The number of a process that does the work."""
    child = os.fork()
    if child == 0:
        code = 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            stacks.Checkpoint = partial(Checkpoint, seconds=0.0)  # type: ignore[misc, assignment]
            disturb(attempt)
            work()
        except KeyboardInterrupt:
            code = 130
        except OSError as problem:
            code = 1 if problem.errno == errno.ENOSPC else 3
        except BaseException:
            code = 4
        os._exit(code)
    return child


def _ended(child: int) -> str:
    """How a process ended, when it has."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "killed"
    return {0: "finished", 130: "stopped", 1: "full"}.get(os.WEXITSTATUS(status), "broken")


def killed_at_a_change(place: Path, chance: random.Random, command: str = "run") -> tuple[int, str, str]:
    most = {"run": 140, "connect": 40, "compare": 12, "verdicts": 4, "report": 3}[command]
    numbers = [chance.randint(1, most) for _ in range(KILLS)]
    return disturbed(place, chance, command, lambda attempt: die_at(numbers[attempt]), KILLS)


def killed_at_a_time(place: Path, chance: random.Random) -> tuple[int, str, str]:
    waits = [chance.uniform(0.01, 0.6) for _ in range(KILLS)]

    def disturb(attempt: int) -> None:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, waits[attempt])

    return disturbed(place, chance, "run", disturb, KILLS)


def stopped_by_a_signal(place: Path, chance: random.Random) -> tuple[int, str, str]:
    waits = [chance.uniform(0.01, 0.6) for _ in range(3)]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def disturb(attempt: int) -> None:
        signal.signal(signal.SIGALRM, stop)  # as the command line has SIGTERM and SIGHUP
        signal.setitimer(signal.ITIMER_REAL, waits[attempt])

    return disturbed(place, chance, "run", disturb, 3)


def disk_full(place: Path, chance: random.Random) -> tuple[int, str, str]:
    numbers = [chance.randint(1, 80) for _ in range(2)]

    def disturb(attempt: int) -> None:
        left = numbers[attempt]

        def full(_: int) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        os.fsync = full

    return disturbed(place, chance, "run", disturb, 2)


def clock_jumps(place: Path, chance: random.Random) -> tuple[int, str, str]:
    numbers, back = [chance.randint(1, 140) for _ in range(2)], chance.choice((-1.0, 1.0))
    now = time.time

    def disturb(attempt: int) -> None:
        time.time = lambda: now() + back * YEAR * (attempt + 1)
        die_at(numbers[attempt])

    return disturbed(place, chance, "run", disturb, 2)


def slow_disk(place: Path, chance: random.Random) -> tuple[int, str, str]:
    wait, sync = chance.uniform(0.1, 0.8), os.fsync

    def disturb(_: int) -> None:
        os.fsync = lambda handle: (time.sleep(0.02), sync(handle))[1]
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, wait)

    return disturbed(place, chance, "run", disturb, 1)


def killed_shards(place: Path, chance: random.Random) -> tuple[int, str, str]:
    """Two workers that are started by hand and share a run; both are killed, twice over."""
    study, count = chance.choice(list(STUDIES)), 0
    path = place / undisturbed(study, "run")[0].name
    for attempt in range(2):
        works = [partial(_work, "run", study, path, shard=f"{number}/2") for number in (1, 2)]
        shards = [_begun(work, lambda _: None, attempt) for work in works]
        chance.shuffle(shards)
        for shard in shards:
            time.sleep(chance.uniform(0.05, 1.5))
            count += _killed(shard)
        for shard in shards:
            _ended(shard)
    return count, f"{study}, run", _wrong_after("run", study, path)


def killed_workers(place: Path, chance: random.Random) -> tuple[int, str, str]:
    """A run with two workers of its own; of the three processes one is killed, then another."""
    study, count = chance.choice(list(STUDIES)), 0
    path = place / undisturbed(study, "run")[0].name
    run = _begun(partial(_work, "run", study, path, on="local:2"), lambda _: None, 0)
    for _ in range(3):
        time.sleep(chance.uniform(0.5, 6.0))
        count += _killed(chance.choice([run, *_children(run)]))
    _ended(run)
    return count, f"{study}, run", _wrong_after("run", study, path)


def _killed(process: int) -> bool:
    """Kill a process of this one's, or of its. False where it has ended already."""
    if _fields(process)[0] in "ZX":
        return False
    os.kill(process, signal.SIGKILL)
    return True


def _children(process: int) -> list[int]:
    """The processes that a process has begun and that train for it."""
    here = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]
    own = [each for each in here if _fields(each)[1] == str(process)]
    return [each for each in own if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def _fields(process: int) -> list[str]:
    """What /proc says of a process: its state, and who began it; one that is no more has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", ""]


# --- files that are damaged -------------------------------------------------------------------------------------


@cache
def whole_run() -> tuple[Path, dict[str, bytes]]:
    """A run with ladders, copies, comparison and verdicts."""
    out = Path(os.environ["TORTURE_WHOLE"]) / "finished"
    assert _in_child(lambda: damage.finished(out) and None, lambda _: None, 0) == "finished"
    [path] = out.iterdir()
    return path, bits(path)


def damaged(place: Path, chance: random.Random, how: str) -> tuple[int, str, str]:
    """A file at random that is damaged: it is named, and mended where it is of cells."""
    whole_run()
    said = place.with_name("said.json")
    said.write_text('"the process broke down"')
    _in_child(lambda: said.write_text(json.dumps(_damaged(place, chance, how))) and None, lambda _: None, 0)
    count, what, why = json.loads(said.read_text())
    return count, what, why


def _damaged(place: Path, chance: random.Random, how: str) -> tuple[int, str, str]:
    origin, expected = whole_run()
    run = Run(Path(shutil.copytree(origin, place / origin.name)))
    # study.toml is a text that people edit, and what lies in the run's own folder can be made or told again.
    files = sorted(
        path for path in run.path.rglob("*") if path.is_file() and path.name not in (".lock", "study.toml")
    )
    if how in ("swapped", "deleted"):
        files = [path for path in files if "cells" in path.parts]
    path = chance.choice(files)
    if how == "swapped":
        alike = [each for each in files if each.name == path.name and each.read_bytes() != path.read_bytes()]
        damage.swap(path, chance.choice(alike))
    elif how == "deleted":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        if how == "a bit":
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        else:
            data = data[: chance.randrange(len(data))]
        path.write_bytes(data)
    name = path.relative_to(run.path).as_posix()
    if path.name == index.INDEX:  # nobody need know
        same = results_of(Run(run.path)).equals(results_of(Run(origin)))
        return 1, name, "" if same else "other results"
    found = damages_of(Run(run.path))
    if path not in [each.path for each in found]:
        return 1, name, "not named"
    if "cells" not in path.parts and "starts" not in path.parts:
        return 1, name, ""
    if path.name == "environment.json":
        return 1, name, ""
    repair(Run(run.path), found, RunOptions(run.path.parent, dataset=toy_data(), device="cpu", threads=1))
    now = bits(run.path)
    return 1, name, ", ".join(each for each in {*now, *expected} if now.get(each) != expected.get(each))


FAULTS: dict[str, Callable[[Path, random.Random], tuple[int, str, str]]] = {
    "kill -9 at a change of the disk, in the middle of a write too": killed_at_a_change,
    "kill -9 at any time": killed_at_a_time,
    "Ctrl-C, SIGTERM, SIGHUP": stopped_by_a_signal,
    "disk full": disk_full,
    "kill -9, the clock 400 days off": clock_jumps,
    "kill -9, every flush slow": slow_disk,
    "kill -9 of workers started by hand (--shard)": killed_shards,
    "kill -9 of a run and its workers (--on local:2)": killed_workers,
    "kill -9 of connect": partial(killed_at_a_change, command="connect"),
    "kill -9 of compare": partial(killed_at_a_change, command="compare"),
    "kill -9 of verdicts": partial(killed_at_a_change, command="verdicts"),
    "kill -9 of report": partial(killed_at_a_change, command="report"),
    "a bit of a file": partial(damaged, how="a bit"),
    "a file cut short": partial(damaged, how="cut short"),
    "two files of a kind swapped": partial(damaged, how="swapped"),
    "a file of a cell deleted": partial(damaged, how="deleted"),
}


def write_table(tries: list[dict[str, Any]]) -> None:
    """Put what came of all tries into the page."""
    rows = []
    for name in FAULTS:
        own = [each for each in tries if each["fault"] == name]
        times = sum(each["count"] for each in own)
        lost = sum(bool(each["lost"]) for each in own)
        rows.append(f"| {name} | {times} | {len(own)} | {len(own) - lost} | {lost} |\n")
    head = "| fault | times | runs | survived | lost |\n|---|--:|--:|--:|--:|\n"
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + head + "".join(rows) + END + rest.partition(END)[2])


if __name__ == "__main__":
    os.environ["TORTURE_WHOLE"] = str(Path(sys.argv[1]) / f"whole-{os.getpid()}")
    main(Path(sys.argv[1]), float(sys.argv[2]))
