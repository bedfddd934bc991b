"""What a study would do and cost: `tombola run --dry-run`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tombola.cli.show.run import say_of_more
from tombola.cli.show.tables import print_json, print_table, time_of
from tombola.cli.show.verdicts import print_prospects, prospect_rows
from tombola.errors import notice
from tombola.runs.beside.reuse import shares_dense
from tombola.runs.beside.siblings import say_of_siblings
from tombola.runs.estimate import Estimate, estimate_time
from tombola.runs.folder import Ladders, Run
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import bound
from tombola.study.ladders import SourceStudy, ladders_of, steps_at_most
from tombola.study.plan import Plan
from tombola.study.spec import Study
from tombola.study.sweep import Sweep, label_of
from tombola.text import counted, duration, listed, percent, size
from tombola.training.device import pick_device, prepare

SECONDS = ("estimated_seconds", "estimated_seconds_low", "estimated_seconds_high")
"""What a dry run says of time: the middle one of its probes, the least and the most."""
NOTHING = Estimate(0.0, 0.0, 0.0)
"""What a study takes that is trained already."""


def dry_run(sweep: Sweep, options: RunOptions, as_json: bool) -> None:
    """Print the plan of a study, or of all members of a sweep."""
    prepare(options.threads)
    if sweep.keys:
        _dry_run_sweep(bound(sweep, options), options, as_json)
        return
    plan, facts = _planned(sweep.first, options)
    if as_json:
        print_json(facts)
    else:
        _print_plan(plan, facts)


def _planned(study: Study, options: RunOptions) -> tuple[Plan, dict[str, Any]]:
    """The plan of a study, and what there is to say of it."""
    plan, dataset = options.plan(study)
    study = plan.study
    for sentence in plan.notices:
        notice(sentence)
    folder = Run(options.out / study.folder)
    say_of_siblings(folder, study, dataset.digest)
    if folder.has_study():
        say_of_more(folder, study.replicates)
    facts = _facts(plan, folder)
    left = facts["trainings_done"] < facts["trainings"]
    time = estimate_time(plan, dataset, pick_device(options.device), options.engine) if left else NOTHING
    return plan, {**facts, **dict(zip(SECONDS, (time.seconds, time.low, time.high), strict=True))}


def _dry_run_sweep(sweep: Sweep, options: RunOptions, as_json: bool) -> None:
    """One plan for all members; dense networks that an earlier member trains are counted once."""
    members = [
        {"values": dict(member.values), **_planned(member.study, options)[1]} for member in sweep.members
    ]
    for index, (member, facts) in enumerate(zip(sweep.members, members, strict=True)):
        earlier = [other.study for other in sweep.members[:index]]
        shared = any(shares_dense(member.study, study) for study in earlier)
        facts["trainings_shared"] = member.study.replicates if shared else 0
        dense = facts["trainings_shared"] * member.study.recipe_at(0).iterations
        for seconds in SECONDS:
            facts[seconds] *= 1 - dense / facts["iterations"]
        facts["iterations"] -= dense
    sums = (
        "trainings",
        "trainings_shared",
        "trainings_done",
        "iterations",
        *SECONDS,
        "estimated_bytes",
    )
    total = {name: sum(facts[name] for facts in members) for name in sums}
    if as_json:
        print_json(
            {"sweep": str(options.out / sweep.folder), "keys": list(sweep.keys), "members": members, **total}
        )
        return
    rows = [
        [
            label_of(facts["values"]),
            Path(facts["run"]).name,
            f"{facts['trainings']}",
            f"{facts['trainings_shared']}",
            f"{facts['trainings_done']}",
            percent(facts["densities"][-1], 2),
            duration(facts["estimated_seconds"]),
            size(facts["estimated_bytes"]),
        ]
        for facts in members
    ]
    heads = ["member", "run", "trainings", "shared", "done", "sparsest", "time", "disk"]
    print_table(heads, rows, left=2)
    fresh = total["trainings"] - total["trainings_shared"]
    done = f" ({total['trainings_done']} done)" if total["trainings_done"] else ""
    print(f"\n{len(members)} studies, {fresh} trainings{done}, {total['iterations']:,} iterations in all")
    for model, prunable, all_ in sorted(
        {(m["model"], m["prunable_weights"], m["parameters"]) for m in members}
    ):
        print(f"{model}: {prunable:,} of {all_:,} parameters are prunable")
    if total["trainings_shared"]:
        print(f"{total['trainings_shared']} dense networks are another member's, and copied from there")
    print(f"{time_of(total)}, from short probes, and {size(total['estimated_bytes'])} on disk")
    print(f"would be written to {options.out / sweep.folder} and the runs beside it")


def _facts(plan: Plan, folder: Run) -> dict[str, Any]:
    """All but how long it takes."""
    plans, scope = [plan, *(source.plan for source in plan.sources.values())], plan.architecture.scope
    beside = [Ladders(folder, kind, study) for kind, study in ladders_of(plan.study).items()]
    places = [(folder, plan.study), *((each, each.study) for each in beside)]
    asked = {each.kind: each.study.told for each in beside if isinstance(each.study, SourceStudy)}
    return {
        "run": str(folder.path),
        "model": plan.architecture.name,
        "prunable_weights": scope.prunable,
        "parameters": scope.parameters,
        "not_prunable": scope.others,
        "frozen": sorted(plan.architecture.frozen),
        "levels": plan.study.levels,
        "densities": plan.densities,
        "replicates": plan.study.replicates,
        "trainings": sum(len(each.trainings()) for each in plans),
        "trainings_done": sum(
            there.has(cell) for there, study in places for cell in study.cells() if steps_at_most(study, cell)
        ),
        "ladders": {each.kind: each.study.replicates for each in beside},
        "sources": {kind: said for kind, said in asked.items() if said},
        "iterations": sum(each.network_iterations(cell) for each in plans for cell in each.trainings()),
        "estimated_bytes": plan.bytes_on_disk(),
        "hypotheses": prospect_rows(plan.study, plan.densities),
    }


def _print_plan(plan: Plan, facts: dict[str, Any]) -> None:
    cells = plan.cells()
    rows = []
    for level, density in enumerate(plan.densities):
        draws = Counter(cell.arm for cell in cells if (cell.replicate, cell.level) == (0, level))
        arms = [name if count == 1 else f"{name} ({count} draws)" for name, count in draws.items()]
        alive = sum(plan.lottery.alive[level].values())
        rows.append([str(level), ", ".join(arms), f"{alive:,}", percent(density, 2)])
    print_table(["level", "arms of each replicate", "weights alive", "density"], rows, left=2)
    scope = plan.architecture.scope
    print(f"\n{facts['model']} on {plan.study.data.name}, {scope}")
    if scope.others:
        print(f"not prunable: {scope.largest_others()}")
    done = f" ({facts['trainings_done']} done)" if facts["trainings_done"] else ""
    ladders = [counted(facts["replicates"], "replicate")]
    ladders += [f"{count} {kind}" for kind, count in facts["ladders"].items()]
    print(
        f"{facts['trainings']} trainings{done}, {facts['iterations']:,} iterations in all: {listed(ladders)}"
    )
    for kind, said in facts["sources"].items():
        print(f"{kind}: {said}")
    left = facts["trainings_done"] < facts["trainings"]
    time = f"{time_of(facts)} for all of it, from short probes" if left else "nothing is left to train"
    print(f"{time}; {size(facts['estimated_bytes'])} on disk")
    print_prospects(facts["hypotheses"])
    print(f"would be written to {facts['run']}")
