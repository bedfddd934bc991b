"""transfer, predict, seeding: tickets made from others, told from others, and put there before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tombola.cli import complete
from tombola.cli.options import (
    READS,
    RUNS,
    Csv,
    DataDir,
    Device,
    Json,
    OutFile,
    RunName,
    RunsFolder,
    Several,
    argument,
    exclusive,
    numbers,
    option,
)
from tombola.errors import UserError


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(transfer)
    app.command(context_settings=READS)(predict)
    app.command(context_settings=READS)(seeding)


def transfer(
    kind: Annotated[str, argument("KIND", "A name of `tombola catalog routes`.", complete.one_of("routes"))],
    tickets: Annotated[list[Path], argument("TICKET...", "Cell folders of runs, or .safetensors tickets.")],
    out: OutFile,
    to: Annotated[
        str | None,
        option("--to", "The model it is for (default: the first ticket's).", complete.one_of("models")),
    ] = None,
    data: Annotated[
        str | None,
        option("--data", "The data set it is for (default: the first ticket's).", complete.one_of("data")),
    ] = None,
    settings: Annotated[
        Several, option("--set", "An option of the route; repeatable.", metavar="KEY=VALUE")
    ] = None,
    seed: Annotated[int, option("--seed", "The root of what is drawn.", min=0)] = 0,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a ticket from others: stretched, widened, by votes, of whole channels, of dense blocks."""
    from tombola import networks
    from tombola.cli.show.tables import print_json, print_table
    from tombola.runs.locate import open_ticket
    from tombola.study.load import value_of

    if out.suffix != ".safetensors":
        raise UserError(f"--out {out}: expected a name ending in .safetensors")
    if out.exists():
        raise UserError(f"--out {out}: exists already; nothing is overwritten")
    options = {}
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: expected KEY=VALUE")
        options[key.strip()] = value_of(text.strip())
    made = networks.carry_over(
        kind,
        [open_ticket(path) for path in tickets],
        model=to,
        data=data,
        options=options,
        seed=seed,
        data_dir=data_dir,
    )
    made.save(out)
    known = made.provenance
    if as_json:
        print_json({"file": str(out), **known})
        return
    mask = made.mask
    rows = [
        [name, f"{mask.count(name):,}", f"{mask.size(name):,}", f"{100 * mask.density(name):.2f}%"]
        for name in mask
    ]
    rows.append(["all", f"{mask.count():,}", f"{mask.size():,}", f"{100 * mask.density():.2f}%"])
    print_table(["layer", "alive", "of", "density"], rows, left=1)
    for key, value in known["report"].items():
        if not isinstance(value, dict):
            print(f"{key}: {value}")
    print(f"saved {out}")


Level = Annotated[int | None, option("--level", "The level of the tickets (default: the deepest).", min=1)]


def predict(
    name: RunName,
    level: Level = None,
    steps: Annotated[
        Several,
        option(
            "--steps", "Steps of training after which it is told (default: 0, 1/20 and 1/4).", metavar="K,..."
        ),
    ] = None,
    runs: RunsFolder = RUNS,
    device: Device = "auto",
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Tell which weights will live in a ticket before they are trained, each replicate's from the others."""
    from tombola.analysis.membership.prediction import calibration, estimates, predict_run
    from tombola.cli.show.prediction import print_prediction
    from tombola.cli.show.tables import print_csv, print_json
    from tombola.runs.locate import find_run

    exclusive(as_json, as_csv)
    found = predict_run(
        find_run(name, runs),
        level=level,
        steps=numbers("--steps", steps, int) if steps else None,
        device=device,
        data_dir=data_dir,
    )
    if as_json:
        told = {
            q: estimates(found, q).to_dicts() for q in ("auc", "brier", "brier of the share", "importance")
        }
        print_json({**told, "calibration": calibration(found).to_dicts()})
    elif as_csv:
        print_csv(found.values)
    else:
        print_prediction(found)


def seeding(
    name: RunName,
    level: Level = None,
    times: Annotated[float, option("--times", "How many times as large chosen weights are made.")] = 2.0,
    runs: RunsFolder = RUNS,
    device: Device = "auto",
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Make weights larger, or give them signs, before training, and see whether pruning finds them."""
    from tombola.analysis.membership.seeding import seed_run, seeding_estimates
    from tombola.cli.show.prediction import print_seeding
    from tombola.cli.show.tables import print_csv, print_json
    from tombola.runs.locate import find_run

    exclusive(as_json, as_csv)
    table = seed_run(find_run(name, runs), level=level, times=times, device=device, data_dir=data_dir)
    if as_json:
        print_json({"seeding": table.to_dicts(), "estimates": seeding_estimates(table).to_dicts()})
    elif as_csv:
        print_csv(table)
    else:
        print_seeding(table)
