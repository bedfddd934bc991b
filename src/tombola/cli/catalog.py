"""Commands about what there is: catalog, data fetch|list, doctor."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from tombola.cli import complete
from tombola.cli.options import DataDir, Json
from tombola.errors import UserError, nearest


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
    kind: Annotated[
        str | None,
        typer.Argument(
            help="models, data, criteria, arms, presets, ...", autocompletion=complete.catalog_kinds
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what studies can be made of, one line each."""
    from tombola.cli.kinds import kinds, lines
    from tombola.cli.show.tables import print_json, print_table

    if kind is not None and kind not in kinds():
        raise UserError(f"unknown kind '{kind}'{nearest(kind, kinds())}")
    listed = {name: lines(name) for name in ([kind] if kind else kinds())}
    if as_json:
        print_json(listed)
        return
    rows = [[name, part, line] for name, parts in listed.items() for part, line in parts.items()]
    print_table(["kind", "name", "what it is"], rows, left=3)


def data_list(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say which data sets are here, and what is missing of the others."""
    from tombola.cli.show.tables import print_json, print_table
    from tombola.data.catalog import locations

    rows = locations(data_dir)
    if as_json:
        print_json(dict(rows))
    else:
        print_table(["data set", "where"], [[name, where] for name, where in rows], left=2)


def data_fetch(
    name: Annotated[
        str,
        typer.Argument(help="A name of `tombola data list`.", autocompletion=complete.one_of("data")),
    ],
    data_dir: DataDir = None,
) -> None:
    """Download a data set and check its digest; the one command that uses the network."""
    from tombola.data.download import fetch

    for path in fetch(name, data_dir):
        print(path)


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Report versions, devices, data found, engine speed and free disk."""
    from importlib.metadata import version

    import torch

    from tombola.cli.show.tables import print_json
    from tombola.data.catalog import locations
    from tombola.text import size
    from tombola.training.device import bfloat16_is_native, prepare
    from tombola.training.engines.select import PREFERENCE

    prepare()
    free = shutil.disk_usage(Path.cwd()).free
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    facts: dict[str, Any] = {
        "versions": {name: version(name) for name in ("tombola", "torch", "numpy", "polars")},
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "bfloat16": "native" if bfloat16_is_native() else "emulated",
        "data": dict(locations(data_dir)),
        "microseconds_per_network_iteration": _speeds(),
        "free_bytes": free,
    }
    if as_json:
        print_json(facts)
        return
    for name, number in facts["versions"].items():
        print(f"{name:8} {number}")
    print(f"threads  {facts['threads']}")
    print(f"GPUs     {', '.join(gpus) or 'none'}")
    print(f"bfloat16 {facts['bfloat16']} on this processor")
    print(f"disk     {size(free)} free here")
    speeds = facts["microseconds_per_network_iteration"]
    taken = next(name for name in PREFERENCE["cpu"] if name in speeds)
    print("engine   an iteration of lenet-300-100 on digits, batch 60, 5 networks:")
    for name, speed in speeds.items():
        print(f"         {name}: {speed:,.0f} us{', which is taken unless --engine asks' * (name == taken)}")
    for name, where in facts["data"].items():
        print(f"data     {name}: {where}")


def _speeds() -> dict[str, float]:
    """Microseconds of an iteration of lenet-300-100 in every engine that holds it."""
    import torch

    from tombola.runs.estimate import estimate_time
    from tombola.study.bind import bind
    from tombola.study.load import load_study
    from tombola.study.plan import make_plan
    from tombola.training.engines.base import ENGINES

    spec = load_study("quick", ["replicates=5", "levels=0"])
    spec, dataset, net = bind(spec)
    plan, cpu = make_plan(spec, net), torch.device("cpu")
    steps = sum(plan.network_iterations(cell) for cell in plan.cells())
    return {
        name: 1e6 * estimate_time(plan, dataset, cpu, name).seconds / steps
        for name in ENGINES
        if ENGINES[name].holds(net, cpu)
    }


def bench(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="A preset or file, whose network and recipe are timed (default: LeNet-300-100, as on MNIST).",
            autocompletion=complete.studies,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Time every engine on this machine against its floors (a minute; leave the machine alone meanwhile)."""
    from tombola import bench as timing
    from tombola.cli.show.tables import print_json, print_table
    from tombola.study.load import load_study
    from tombola.text import percent
    from tombola.training.device import prepare

    prepare()
    case, ladder = timing.workload_of(load_study(study)) if study else (timing.lenet(), timing.LADDER)
    floors = timing.measure_floors()
    found = timing.times(case, ladder, floors)
    if as_json:
        print_json({"flops": floors.flops, "bandwidth": floors.bandwidth, "rows": list(found)})
        return
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {precision}" for precision, rate in floors.flops.items())
    print(f"matrix products {rates}; memory {floors.bandwidth / 1e9:.0f} GB/s")
    print(
        f"one step of one {case.net.name}, batch {case.recipe.batch}, in stacks of {case.networks}; best of 5 runs\n"
    )
    rows = [
        [
            str(r["engine"]),
            percent(r["density"], 1),
            percent(r["products"], 1),
            f"{r['this_us']:.0f}",
            f"{r['floor_us']:.0f}",
            percent(r["floor_fraction"], 0),
        ]
        for r in found
    ]
    print_table(["engine", "density", "of products", "us a step", "floor, us", "of the floor"], rows)
