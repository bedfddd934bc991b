"""transfer: a ticket made from other tickets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tombola.cli import complete
from tombola.cli.options import DataDir, Json, OutFile, Several, argument, option
from tombola.errors import UserError


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(transfer)


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
