"""watch: a run as it goes, on a page in the browser or in a table on the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from tombola.cli.options import READS, RUNS, RunName, RunsFolder, option


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(context_settings=READS)(watch)


def watch(
    name: RunName,
    runs: RunsFolder = RUNS,
    port: Annotated[
        int, option("--port", "Port of 127.0.0.1 to serve on; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    terminal: Annotated[
        bool, option("--terminal", "A table here, until the run ends, in place of a page.")
    ] = False,
    beside: Annotated[bool, typer.Option("--until-input-ends", hidden=True)] = False,
) -> None:
    """Show a run while it goes: serve its page on this machine alone, which refreshes as cells land. Ctrl-C ends it."""
    from tombola.cli.serve import serve, show_on_terminal
    from tombola.runs.locate import find_run

    run = find_run(name, runs)
    if terminal:
        show_on_terminal(run)
    else:
        serve(run, port, beside)
