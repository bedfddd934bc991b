"""The `tombola` program: its commands, and what a user sees when something goes wrong."""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from types import FrameType
from typing import Annotated, TextIO

import typer
from typer.main import get_command

from tombola.cli import catalog, compare, connect, figure, run, runs, tickets, transfer, verdicts, watch
from tombola.cli.everywhere import add_everywhere
from tombola.cli.guarded import guarded
from tombola.errors import Notice, UserError

app = typer.Typer(
    name="tombola",
    help="""Draws winning lottery tickets, trains them beside their controls, and writes the report.

    Everywhere, RUN comes first and is a folder or the beginning of its name under --runs, --out is what the command
    writes, and an option that takes several of a kind takes them with commas between or one option each. --import loads
    parts of your own, --trust accepts the code that a stored run names.
    """,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# These modules hold what is typed and import the library in the body of a command: `--help` and the tab key do not wait
# for it.
for group in (run, runs, watch, verdicts, figure, tickets, transfer, compare, connect, catalog):
    group.add_to(app)


def _print_versions(wanted: bool) -> None:
    """Print the versions and end, before a command is looked for."""
    if wanted:
        from importlib.metadata import version

        for name in ("tombola", "torch"):
            print(f"{name} {version(name)}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print versions.", is_eager=True, callback=_print_versions)
    ] = False,
) -> None:
    """Options of `tombola` itself."""


def main() -> None:
    """Run a command. Exit code 2 for a user's mistake, 1 for a full disk, 130 when stopped; no traceback."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    warnings.showwarning = _show
    with guarded():
        _run()


def _run() -> None:
    try:
        command = get_command(app)
        add_everywhere(command)
        command(prog_name="tombola")
    except UserError as mistake:
        _fail(str(mistake), 2)
    except MemoryError as problem:
        _fail(f"there is not enough memory for this{f' ({problem})' if str(problem) else ''}", 1)
    except BrokenPipeError:
        # Whoever read our output has seen enough (`tombola results RUN | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as problem:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        what = problem.strerror or str(problem)
        place = f"{problem.filename}: " if problem.filename else ""
        note = "; what was finished is kept, and the same command goes on from there" if full else ""
        _fail(f"{place}{what}{note}", 1 if full else 2)


def _stop(number: int, frame: FrameType | None) -> None:
    """SIGTERM, and the end of the terminal (SIGHUP), stop a run as Ctrl-C does."""
    raise KeyboardInterrupt


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A notice is a sentence on standard error, without the place in the code that says it."""
    kind = "note" if issubclass(category, Notice) else "warning"
    print(f"{kind}: {message}", file=sys.stderr)


def _fail(sentence: str, code: int) -> None:
    print(f"tombola: {sentence}", file=sys.stderr)
    sys.exit(code)
