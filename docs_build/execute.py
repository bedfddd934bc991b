"""Pages whose code is run when the site is built, so that what they show is what comes out.

A page that has the line `<!-- run -->` is run from top to bottom in an empty folder: `python` blocks in one
interpreter, `sh` blocks by bash. A block with a title is a file, which is written and not run. What is printed is put
below the block. Pictures that the page shows from `made/` are taken from that folder. Where a block fails, the build
fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".docs_cache"
MARK = "<!-- run -->"
FENCE = re.compile(r"^```(python|sh|toml)(?: title=\"([^\"]+)\")?\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\(made/([\w.-]+)\)")
MOST_LINES = 40
"""Of what a block prints, so many lines are shown."""


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the file it is ("" where it is run), and its text."""

    language: str
    file: str
    text: str


@dataclass(frozen=True)
class Ran:
    """What came of a page: what each block printed, in seconds, and the pictures by name."""

    printed: list[str]
    seconds: float
    pictures: dict[str, bytes] = field(default_factory=dict)


def is_run(markdown: str) -> bool:
    """Whether a page is run."""
    return MARK in markdown


def blocks(markdown: str) -> list[Block]:
    """The blocks of a page, in order; TOML without a title is no file and is left alone."""
    found = [Block(*match.groups(default="")) for match in FENCE.finditer(markdown)]
    return [each for each in found if each.language != "toml" or each.file]


def filled_in(markdown: str, ran: Ran, notebook: str) -> str:
    """The page with what its blocks printed below them, and at its end its time and the notebook of that name."""
    printed = iter(ran.printed)

    def below(match: re.Match[str]) -> str:
        if match[1] == "toml" and not match[2]:
            return match[0]
        said = next(printed)
        return f"{match[0]}\n```text\n{said}\n```\n" if said else match[0]

    took = (
        f"\n---\n\n*The code of this page ran in {ran.seconds:.0f} s when the site was built. "
        f"[The page as a notebook, as it ran]({notebook})*\n"
    )
    return FENCE.sub(below, markdown.replace(MARK, "")) + took


def run(markdown: str) -> Ran:
    """Run a page, or recall what came of the same page under the same library. Raises RuntimeError where it fails."""
    kept = CACHE / f"{_digest(markdown)}"
    if not (kept / "ran.json").exists():
        with tempfile.TemporaryDirectory() as folder:
            _keep(kept, *_run_in(Path(folder), markdown))
    told: dict[str, Any] = json.loads((kept / "ran.json").read_text())
    pictures = {path.name: path.read_bytes() for path in kept.iterdir() if path.name != "ran.json"}
    return Ran(told["printed"], told["seconds"], pictures)


def _run_in(folder: Path, markdown: str) -> tuple[list[str], float, dict[str, bytes]]:
    begun = time.perf_counter()
    printed = []
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", DRIVER]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), text=True, stdin=pipe, stdout=pipe
    ) as worker:
        assert worker.stdin
        assert worker.stdout
        for block in blocks(markdown):
            worker.stdin.write(json.dumps(vars(block)) + "\n")
            worker.stdin.flush()
            answer = json.loads(worker.stdout.readline() or '{"failed": "the interpreter died"}')
            if "failed" in answer:
                raise RuntimeError(f"this block failed:\n{block.text}\n{answer['failed']}")
            printed.append(shortened(answer["printed"], folder))
    pictures = {name: (folder / name).read_bytes() for name in PICTURE.findall(markdown)}
    return printed, time.perf_counter() - begun, pictures


DRIVER = """
import contextlib, io, json, pathlib, subprocess, sys, traceback
answers, names = sys.stdout, {"__name__": "__page__"}
sys.stdout = sys.stderr
sys.path.insert(0, "")
for line in sys.stdin:
    block, said = json.loads(line), io.StringIO()
    try:
        if block["file"]:
            pathlib.Path(block["file"]).write_text(block["text"])
        elif block["language"] == "python":
            with contextlib.redirect_stdout(said):
                exec(compile(block["text"], "<page>", "exec"), names)
        else:
            done = subprocess.run(["bash", "-ec", block["text"]], text=True, capture_output=True)
            if done.returncode:
                raise RuntimeError(done.stdout + done.stderr)
            said.write(done.stdout)
        answer = {"printed": said.getvalue()}
    except BaseException:
        answer = {"failed": traceback.format_exc()}
    print(json.dumps(answer), file=answers, flush=True)
"""
"""What runs in the page's interpreter: a block a line, as JSON, and an answer a line."""


def environment(folder: Path) -> dict[str, str]:
    """Of what pages run in: `tombola` is this interpreter's and this source's, and no terminal is there."""
    command = folder / ".bin" / "tombola"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tombola "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join(
        [str(command.parent), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )
    source = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PATH": path, "PYTHONPATH": source, "COLUMNS": "180", "NO_COLOR": "1"}


def shortened(text: str, folder: Path) -> str:
    """What is shown of what was printed: no path of this machine, and the beginning of what is long."""
    lines = [line.rstrip() for line in text.replace(f"{folder}/", "").replace(str(folder), ".").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    more = len(lines) - MOST_LINES
    return "\n".join([*lines[:MOST_LINES], f"... and {more} lines more"] if more > 1 else lines)


def _keep(kept: Path, printed: list[str], seconds: float, pictures: dict[str, bytes]) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        (kept / name).write_bytes(picture)
    (kept / "ran.json").write_text(json.dumps({"printed": printed, "seconds": seconds}))


def _digest(markdown: str) -> str:
    """Of the blocks and pictures of a page and of everything that they run."""
    state = hashlib.sha256(library_digest().encode())
    state.update(repr((blocks(markdown), PICTURE.findall(markdown))).encode())
    return state.hexdigest()[:16]


def library_digest() -> str:
    """Of the library and of what runs pages."""
    state = hashlib.sha256(DRIVER.encode())
    for path in sorted((ROOT / "src" / "tombola").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            state.update(path.read_bytes())
    return state.hexdigest()
