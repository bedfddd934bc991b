"""compare: what tickets share, beside what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tombola.cli import complete
from tombola.cli.options import (
    RUNS,
    Csv,
    DataDir,
    Json,
    Levels,
    RunsFolder,
    Several,
    argument,
    drawn_by,
    exclusive,
    listed,
    numbers,
    option,
)
from tombola.errors import UserError


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(compare)


def compare(
    names: Annotated[
        list[str], argument("RUN...", "Runs, or files and folders of masks made elsewhere.", complete.runs)
    ],
    level: Levels = None,
    density: Annotated[
        Several, option("--density", "The levels nearest to these densities.", metavar="X,...")
    ] = None,
    arms: Annotated[Several, option("--arms", "Arms (default: all).", complete.arms, "ARM,...")] = None,
    measures: Annotated[
        Several,
        option(
            "--measures",
            "Measures, or families of them (overlap, signs, topology, weights, kernels, function).",
            complete.several_of("measures", "families"),
            "MEASURE,...",
        ),
    ] = None,
    aligned: Annotated[
        Several,
        option(
            "--aligned",
            "Alignments (default: raw and weights@dense-held-out, where a run has small dense networks).",
            complete.several_of("alignments"),
            "ALIGNMENT,...",
        ),
    ] = None,
    nulls: Annotated[
        Several,
        option("--nulls", "Nulls (default: each measure's own).", complete.several_of("nulls"), "NULL,..."),
    ] = None,
    n_null: Annotated[int, option("--n-null", "Nulls drawn for each pair.", min=1, max=100_000)] = 20,
    same_level: Annotated[bool, option("--same-level/--all-levels", "Pairs of one density only.")] = True,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    sources: Annotated[
        bool,
        option(
            "--sources",
            "A run's tickets beside its sources' and other pruners' of the same replicate, alone.",
        ),
    ] = False,
    everything: Annotated[
        bool, option("--all", "All pairs, decisions and the consensus, not the answer alone.")
    ] = False,
    out: Annotated[
        Path | None, option("--out", "Folder to write the tables to (default: the first run's).")
    ] = None,
    runs: RunsFolder = RUNS,
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Compare tickets in pairs, within and across replicates, arms and runs, beside what chance gives."""
    from tombola import api
    from tombola.cli.show.answer import print_answer
    from tombola.cli.show.comparison import print_comparison
    from tombola.cli.show.tables import print_csv, print_json
    from tombola.cli.show.watcher import Watcher
    from tombola.runs.locate import is_run

    exclusive(as_json, as_csv)
    if sources:
        chosen = (density, arms, measures, aligned, nulls, out)
        _compare_sources(names, runs, numbers("--level", level, int), any(chosen), as_json, as_csv)
        return
    levels, densities = numbers("--level", level, int), numbers("--density", density, float)
    with Watcher(resume=False) as watcher:
        found = api.compare(
            *names,
            level=levels,
            density=densities,
            arms=listed(arms),
            measures=listed(measures),
            alignments=listed(aligned),
            nulls=listed(nulls),
            n_null=n_null,
            same_density=same_level,
            seed=seed,
            runs=runs,
            data_dir=data_dir,
            out=out,
            told=watcher.compared,
        )
    if as_json:
        tables = {"pairs": found.pairs, "decisions": found.decisions, "consensus": found.consensus}
        print_json({name: [] if table is None else table.to_dicts() for name, table in tables.items()})
    elif as_csv:
        print_csv(found.pairs)
    else:
        (print_comparison if everything else print_answer)(found)
        stored = [name for name in names if is_run(Path(name)) or not Path(name).exists()]
        if stored and out is None:
            print(drawn_by(stored[0], runs))


def _compare_sources(
    names: list[str], runs: Path, levels: Sequence[int], more: bool, as_json: bool, as_csv: bool
) -> None:
    """How alike the masks of tasks and pruners are in each replicate of one run."""
    from tombola.analysis.sources.similarity import similarity_of
    from tombola.cli.show.similarity import print_similarity
    from tombola.cli.show.tables import print_csv, print_json
    from tombola.runs.locate import find_run

    if len(names) != 1 or more:
        raise UserError(
            "--sources compares the masks within one run, by --level alone; expected one run and no more"
        )
    found = similarity_of(find_run(names[0], runs), levels)
    if as_json:
        print_json(found.to_dicts())
    elif as_csv:
        print_csv(found)
    else:
        print_similarity(found)
