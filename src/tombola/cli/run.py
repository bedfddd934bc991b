"""The command that does a whole study: train, compare, decide, report."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tombola.cli import complete, names
from tombola.cli.options import (
    RUNS,
    DataDir,
    Device,
    EngineName,
    Json,
    Settings,
    Several,
    Threads,
    Track,
    argument,
    listed,
    option,
    spelt,
)
from tombola.errors import UserError, nearest

STEPS = ("training", "comparison", "report")
"""What a run can be told to stop after."""
ALONE = (
    "note: this study trains tickets alone; arms beside them ([[arms]] with name = 'reinit', and 'random-mask') would "
    "show whether they win"
)
"""Said of a study that can answer little."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Hinting, context_settings=spelt(runs="out"))(run)


class Hinting(TyperCommand):
    """A command that, given a key of a study as an option, says how such keys are set."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any command, but for that."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as problem:
            if not hasattr(problem, "possibilities"):  # it is no unknown option
                raise
            option = str(getattr(problem, "option_name", ""))
            from tombola.study.load import key_like

            if (key := key_like(option.lstrip("-").replace("-", "_"))) is None:
                raise
            rest = given[given.index(option) + 1 :] if option in given else []
            of_one = [each.partition("=")[2] for each in given if each.startswith(f"{option}=")]
            value = [*of_one, *(each for each in rest[:1] if not each.startswith("-")), "VALUE"][0]
            raise UserError(
                f"{self.name} has no option {option}; keys of a study are set by --set, here --set {key}={value}"
            ) from None


def run(
    what: Annotated[str, argument("PRESET|FILE.toml", "See `tombola catalog presets`.", complete.studies)],
    settings: Settings = None,
    out: Annotated[Path, option("--out", "Folder that holds the run folders; a URL means --mirror.")] = RUNS,
    device: Device = "auto",
    engine: EngineName = "auto",
    threads: Threads = None,
    data_dir: DataDir = None,
    dry_run: Annotated[bool, option("--dry-run", "Say what would be trained, and what it costs.")] = False,
    watch: Annotated[bool, option("--watch", "Serve the run's page meanwhile, see `tombola watch`.")] = False,
    until: Annotated[
        str,
        option(
            "--until",
            "Stop after `training`, or `comparison`; else all is decided and reported.",
            metavar="STEP",
        ),
    ] = "report",
    track: Track = None,
    on: Annotated[
        str,
        option(
            "--on",
            "Who trains: local:N processes, ray, ray://HOST:PORT, or slurm:N jobs (else this process).",
            complete.words("local:2", "ray", "slurm:2"),
            "PLACE",
        ),
    ] = "",
    each: Annotated[
        Several, option("--each", "What a worker of --on gets; repeatable.", metavar="KEY=VALUE")
    ] = None,
    shard: Annotated[
        str, option("--shard", "Be worker i of n that share the run's folder.", metavar="i/n")
    ] = "",
    mirror: Annotated[
        str, option("--mirror", "Keep a copy up to date there, and go on from it.", metavar="URL")
    ] = "",
    as_json: Json = False,
) -> None:
    """Run a study to its end, from wherever it was stopped: train, compare, decide, and write its report."""
    from tombola.analysis.compare_runs import compare_study
    from tombola.analysis.verdicts.of_run import verdicts_of, write_verdicts
    from tombola.cli.serve import Beside
    from tombola.cli.show.dry_run import dry_run as print_dry_run
    from tombola.cli.show.run import print_results, say_of_more
    from tombola.cli.show.verdicts import print_sentences, print_verdicts
    from tombola.cli.show.watcher import Watcher, announcer
    from tombola.report.page.compose import write_reports
    from tombola.runs.folder import Run
    from tombola.runs.run_options import RunOptions
    from tombola.runs.runner import run_study, run_sweep
    from tombola.runs.sweeps import SweepRun
    from tombola.runs.work.mirror import Mirror
    from tombola.runs.work.ranks import assists, dismiss
    from tombola.study.load import load_sweep

    if until not in STEPS:
        raise UserError(f"--until is '{until}'; expected one of {', '.join(STEPS)}{nearest(until, STEPS)}")
    sweep = load_sweep(what, settings or []).importing(names.IMPORTS)
    options = RunOptions(
        out,
        device,
        engine,
        threads,
        data_dir,
        track=listed(track),
        on=on,
        each=each or (),
        shard=shard,
        mirror=mirror,
    )
    if assists(options, dry_run):
        return
    first = sweep.first
    if first.levels and not (first.arms or first.route or sweep.keys):
        print(ALONE, file=sys.stderr)
    if dry_run:
        print_dry_run(sweep, options, as_json)
        return
    if out != options.out:
        print(f"note: {options.kept()}", file=sys.stderr)
    if sweep.keys and watch:
        raise UserError(
            "--watch shows one run, and this is a sweep; expected `tombola watch` with one of its runs"
        )
    found: Run | SweepRun
    with Beside(watch) as live, Watcher() as watcher:
        options = replace(options, progress=watcher)
        if sweep.keys:
            found = run_sweep(sweep, options, beginning=announcer(len(sweep.members)))
        else:
            found = run_study(sweep.first, options, beginning=live.begin)
    dismiss()
    asked = sweep.first.replicates
    for one in found.runs.values():
        say_of_more(one, asked)
    place = f"{'sweep' if sweep.keys else 'run  '}   {found.path}"
    if shard and any(one.headway().state != "finished" for one in found.runs.values()):
        print(f"{place}\nothers are still at it; the last of them goes on to the report")
        return
    with Watcher() as watcher:
        for one in found.runs.values() if until != "training" else ():
            if compare_study(one, data_dir, watcher.compared):
                watcher.tell(f"{one.path.name}: tickets are compared")
        if until == "report":
            watcher.tell("deciding what was claimed, and drawing the page")
            verdicts = [
                verdicts_of(one, data_dir=data_dir, told=watcher.compared) for one in found.runs.values()
            ]
            for one, own in zip(found.runs.values(), verdicts, strict=True):
                write_verdicts(one, own)
            page = write_reports([found])
            for one in found.runs.values() if options.mirror else ():
                Mirror.of(options.mirror, one).send()
    if until != "report":
        print(place)
        return
    answered = not sweep.keys and any(one.answers for one in verdicts[0].verdicts)
    if as_json or not answered:
        print_results(found, as_json)
    if as_json:
        return
    if answered:
        print_sentences(verdicts[0])
    elif sweep.first.hypothesis and not sweep.keys:
        print()
        print_verdicts(verdicts[0], published=False)
    print(f"\n{place}\nreport  {page}")
    if answered:
        print(
            f"`tombola results {found.path.name}` has the means, `tombola verdicts {found.path.name}` every test"
        )
