"""Commands about what there is: catalog, data fetch|list, doctor."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from tombola import bench as timing
from tombola import study
from tombola.cli.options import DataDir, Json
from tombola.cli.show import print_json, print_table, size
from tombola.compare import ALIGNMENTS, FUNCTIONS, MEASURES, NULLS
from tombola.data import DATASETS, fetch, found
from tombola.errors import UserError, nearest
from tombola.lottery import ARMS, DEAD_ACTIONS, MASK_ACTIONS, MODES, REWINDS, WEIGHT_ACTIONS
from tombola.masks import ALLOCATIONS, CRITERIA, STRUCTURES
from tombola.models import MODELS
from tombola.registry import Registry
from tombola.report import FIGURES
from tombola.training import ENGINES, SCHEDULES

KINDS: Mapping[str, Registry[Any] | Mapping[Any, str]] = {
    "models": MODELS,
    "data": DATASETS,
    "criteria": CRITERIA,
    "allocations": ALLOCATIONS,
    "structures": STRUCTURES,
    "modes": MODES,
    "rewinds": REWINDS,
    "schedules": SCHEDULES,
    "arms": ARMS,
    "mask-actions": MASK_ACTIONS,
    "weights-actions": WEIGHT_ACTIONS,
    "dead-actions": DEAD_ACTIONS,
    "measures": MEASURES,
    "alignments": ALIGNMENTS,
    "nulls": NULLS,
    "engines": ENGINES,
    "figures": FIGURES,
    "trackers": study.TRACKERS,
}


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(catalog)
    data = typer.Typer(name="data", help="Find and download data sets.", no_args_is_help=True)
    data.command("list")(data_list)
    data.command("fetch")(data_fetch)
    app.add_typer(data)
    app.command()(doctor)
    app.command()(bench)


def catalog(
    kind: Annotated[str | None, typer.Argument(help="models, data, criteria, arms, presets, ...")] = None,
    as_json: Json = False,
) -> None:
    """List what studies can be made of, one line each."""
    kinds = [*KINDS, "recipes", "presets"]
    if kind is not None and kind not in kinds:
        raise UserError(f"unknown kind '{kind}'{nearest(kind, kinds)}")
    lines = {name: _lines(name) for name in ([kind] if kind else kinds)}
    if as_json:
        print_json(lines)
        return
    rows = [[name, part, line] for name, parts in lines.items() for part, line in parts.items()]
    print_table(["kind", "name", "what it is"], rows, left=3)


def _lines(kind: str) -> dict[str, str]:
    if kind == "presets":
        return study.presets()
    if kind == "recipes":
        return {name: str(study.load_sweep(name).first.recipe) for name in study.presets()}
    if kind == "measures":
        return {name: part.describe(name) for part in (MEASURES, FUNCTIONS) for name in part}
    parts = KINDS[kind]
    return {name: parts.describe(name) for name in parts} if isinstance(parts, Registry) else dict(parts)


def data_list(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say which data sets are here, and what is missing of the others."""
    rows = found(data_dir)
    if as_json:
        print_json(dict(rows))
    else:
        print_table(["data set", "where"], [[name, where] for name, where in rows], left=2)


def data_fetch(
    name: Annotated[str, typer.Argument(help="A name of `tombola data list`.")], data_dir: DataDir = None
) -> None:
    """Download a data set and check its digest; the one command that uses the network."""
    for path in fetch(name, data_dir):
        print(path)


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Report versions, devices, data found, engine speed and free disk."""
    study.prepare()
    free = shutil.disk_usage(Path.cwd()).free
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    facts: dict[str, Any] = {
        "versions": {name: version(name) for name in ("tombola", "torch", "numpy", "polars")},
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "data": dict(found(data_dir)),
        "microseconds_per_network_iteration": {name: _microseconds(name) for name in ENGINES},
        "free_bytes": free,
    }
    if as_json:
        print_json(facts)
        return
    for name, number in facts["versions"].items():
        print(f"{name:8} {number}")
    print(f"threads  {facts['threads']}")
    print(f"GPUs     {', '.join(gpus) or 'none'}")
    print(f"disk     {size(free)} free here")
    for name, speed in facts["microseconds_per_network_iteration"].items():
        print(
            f"engine   {name}: {speed:.0f} us an iteration of lenet-300-100 on digits, batch 60, 5 networks"
        )
    for name, where in facts["data"].items():
        print(f"data     {name}: {where}")


def _microseconds(engine: str) -> float:
    spec = study.load_study("quick", ["replicates=5", "levels=0"])
    spec, dataset, net = study.bind(spec)
    plan = study.make_plan(spec, net)
    seconds = study.estimate_seconds(plan, dataset, torch.device("cpu"), engine)
    return 1e6 * seconds / sum(plan.network_iterations(cell) for cell in plan.cells())


def bench(as_json: Json = False) -> None:
    """Time every engine on this machine against its floors (a minute; leave the machine alone meanwhile)."""
    study.prepare()
    floors, case = timing.measure_floors(), timing.lenet()
    found: list[dict[str, Any]] = []
    for density in timing.DENSITIES:
        floor = floors.microseconds(case, density)
        for engine in ENGINES:
            stack = timing.Timed(engine, case, density)
            this = 1e6 * min(stack.seconds(20) for _ in range(5))
            row = {
                "network": case.net.name,
                "density": density,
                "engine": engine,
                "device": "cpu",
                "this_us": this,
            }
            found.append({**row, "floor_us": floor, "floor_fraction": floor / this})
    if as_json:
        print_json({"flops": floors.flops, "bandwidth": floors.bandwidth, "rows": found})
        return
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {precision}" for precision, rate in floors.flops.items())
    print(f"matrix products {rates}; memory {floors.bandwidth / 1e9:.0f} GB/s")
    print(
        f"one step of one {case.net.name}, batch {case.recipe.batch}, "
        f"in stacks of {case.networks}; best of 5 x 20 steps\n"
    )
    rows = [
        [
            r["engine"],
            f"{100 * r['density']:.1f}%",
            f"{r['this_us']:.0f}",
            f"{r['floor_us']:.0f}",
            f"{100 * r['floor_fraction']:.0f}%",
        ]
        for r in found
    ]
    print_table(["engine", "density", "us a step", "floor, us", "of the floor"], rows)
