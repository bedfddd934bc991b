"""What a study would do and cost: `tombola run --dry-run`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tombola.cli.show import sweeping
from tombola.cli.show.tables import print_json, print_table, size, time_of
from tombola.cli.show.verdicts import print_prospects, prospect_rows
from tombola.errors import notice
from tombola.runs.estimate import Estimate, estimate_time
from tombola.runs.folder import Run
from tombola.runs.siblings import say_of_siblings
from tombola.study.plan import Plan, bind, make_plan
from tombola.study.spec import Study
from tombola.study.sweep import Sweep
from tombola.training.device import pick_device, prepare


def dry_run(
    sweep: Sweep,
    out: Path,
    device: str,
    engine: str,
    threads: int | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Print the plan of a study, or of all members of a sweep."""
    prepare(threads)

    def planned(study: Study) -> tuple[Plan, dict[str, Any]]:
        study, dataset, net = bind(study, data_dir)
        plan = make_plan(study, net)
        for sentence in plan.notices:
            notice(sentence)
        say_of_siblings(Run(out / study.folder), study, dataset.digest)
        time = estimate_time(plan, dataset, pick_device(device), engine)
        return plan, _facts(plan, Run(out / study.folder), time)

    if sweep.keys:
        sweeping.dry_run_sweep(sweep, out, data_dir, lambda study: planned(study)[1], as_json)
        return
    plan, facts = planned(sweep.first)
    if as_json:
        print_json(facts)
    else:
        _print_plan(plan, facts)


def _facts(plan: Plan, folder: Run, time: Estimate) -> dict[str, Any]:
    cells, scope = plan.cells(), plan.architecture.scope
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
        "trainings": len(cells),
        "trainings_done": sum(folder.has(cell) for cell in cells),
        "iterations": sum(plan.network_iterations(cell) for cell in cells),
        "estimated_seconds": time.seconds,
        "estimated_seconds_low": time.low,
        "estimated_seconds_high": time.high,
        "estimated_bytes": plan.bytes_on_disk(),
        "hypotheses": prospect_rows(plan.study, plan.densities),
    }


def _print_plan(plan: Plan, facts: dict[str, Any]) -> None:
    cells = plan.cells()
    rows = []
    for level, density in enumerate(plan.densities):
        draws = Counter(cell.arm for cell in cells if (cell.replicate, cell.level) == (0, level))
        arms = [f"{name} x {count}" for name, count in draws.items()]
        alive = sum(plan.lottery.alive[level].values())
        rows.append([str(level), ", ".join(arms), f"{alive:,}", f"{100 * density:.2f}%"])
    print_table(["level", "arms", "weights alive", "density"], rows, left=2)
    scope = plan.architecture.scope
    print(f"\n{facts['model']} on {plan.study.data.name}, {scope}")
    if scope.others:
        print(f"not prunable: {scope.largest_others()}")
    done = f" ({facts['trainings_done']} done)" if facts["trainings_done"] else ""
    print(
        f"{len(cells)} trainings{done}, {facts['replicates']} replicates, {facts['iterations']:,} iterations in all"
    )
    print(f"{time_of(facts)}, from short probes, and {size(facts['estimated_bytes'])} on disk")
    print_prospects(facts["hypotheses"])
    print(f"would be written to {facts['run']}")
