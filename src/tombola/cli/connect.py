"""connect: what lies between the networks of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from tombola.cli import complete
from tombola.cli.names import names
from tombola.cli.options import (
    READS,
    RUNS,
    Csv,
    DataDir,
    Device,
    Json,
    Levels,
    RunName,
    RunsFolder,
    Several,
    drawn_by,
    exclusive,
    listed,
    numbers,
    option,
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(context_settings=READS)(connect)


def connect(
    name: RunName,
    level: Levels = None,
    copies: Annotated[int, option("--copies", "Copies of each network, itself among them.", min=2)] = 2,
    alphas: Annotated[int, option("--alphas", "Places on each path, the ends among them.", min=3)] = 31,
    kinds: Annotated[
        Several,
        option(
            "--kinds",
            f"Which pairs (default: instability, levels and dense) of {', '.join(names('pairs'))}.",
            complete.several_of("pairs"),
            "KIND,...",
        ),
    ] = None,
    arms: Annotated[
        Several, option("--arms", "Arms with copies (default: the ticket).", complete.arms, "ARM,...")
    ] = None,
    runs: RunsFolder = RUNS,
    device: Device = "auto",
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Measure error and loss on the line between networks: of copies with other data order, of levels, to dense."""
    from tombola.analysis.connection import CONNECTION_VALUES, connect_run, connection_estimates
    from tombola.analysis.pairing import DEFAULT_KINDS
    from tombola.cli.show.connection import print_connection
    from tombola.cli.show.tables import print_csv, print_json
    from tombola.cli.show.watcher import Watcher
    from tombola.runs.locate import find_run

    exclusive(as_json, as_csv)
    levels = numbers("--level", level, int)
    with Watcher() as watcher:
        found = connect_run(
            find_run(name, runs),
            levels=levels,
            arms=listed(arms),
            kinds=listed(kinds) if kinds else DEFAULT_KINDS,
            copies=copies,
            alphas=alphas,
            device=device,
            data_dir=data_dir,
            progress=watcher,
        )
    if as_json:
        estimates = [
            {"value": value, **row}
            for value in CONNECTION_VALUES
            for row in connection_estimates(found.pairs, value).to_dicts()
        ]
        print_json({"pairs": found.pairs.to_dicts(), "estimates": estimates})
    elif as_csv:
        print_csv(found.pairs)
    else:
        print_connection(found)
        print(f"\n{drawn_by(name, runs)}")
