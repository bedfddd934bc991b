"""Printing how well membership in tickets is told, and what becomes of weights that were seeded."""

from __future__ import annotations

import numpy as np
import polars as pl

from tombola.alignment.words import WHOLE
from tombola.analysis.membership.prediction import Prediction, beyond, calibration, estimates
from tombola.analysis.membership.seeding import seeding_estimates, treatments
from tombola.cli.show.tables import print_table
from tombola.text import with_interval
from tombola.transfer.features import AT_START, EARLY
from tombola.transfer.predictor import MODELS

MOST = 6
"""Features whose importance is shown."""


def print_prediction(found: Prediction) -> None:
    """AUC by layer, what models add to magnitude, how far chances can be believed, and what they rest on."""
    aucs = estimates(found)
    layers = [*dict.fromkeys(aucs.filter(pl.col("layer") != WHOLE)["layer"]), WHOLE]
    n, level = aucs.select("n", "level").row(0)
    print(f"Who lives at level {level}: AUC (0.5 is chance), each of {n} replicates told from the others")
    rows = []
    for (steps, by), part in aucs.group_by("steps", "by", maintain_order=True):
        cells = {row["layer"]: with_interval(row, digits=3) for row in part.to_dicts()}
        rows.append([str(steps), str(by), *(cells.get(layer, "-") for layer in layers)])
    print_table(["k", "told by", *layers], rows, left=2)
    known = set(found.values["by"])
    gains = []
    for by in [name for name in MODELS if name in known]:
        for plain in (AT_START, EARLY):
            for row in beyond(found, by, plain).to_dicts():
                gains.append([f"{row['steps']}", by, plain, with_interval(row, digits=3)])
    print()
    print_table(["k", "model", "above", "by AUC"], sorted(gains, key=lambda row: int(row[0])), left=3)
    _print_chances(found)
    _print_importances(found)


def _print_chances(found: Prediction) -> None:
    briers, share = estimates(found, "brier"), estimates(found, "brier of the share")
    both = briers.join(share, on=["steps", "by"], suffix="_share")
    rows = [
        [f"{row['steps']}", row["by"], f"{row['mean']:.4f}", f"{row['mean_share']:.4f}", _off(found, row)]
        for row in both.to_dicts()
    ]
    print()
    print_table(["k", "model", "Brier", "of each layer's share", "chances off by"], rows, left=2)


def _off(found: Prediction, row: dict[str, object]) -> str:
    """How far what a model says is from what lives, over tenths by their weights."""
    part = calibration(found).filter(steps=row["steps"], by=row["by"])
    return f"{np.average((part['said'] - part['lived']).abs(), weights=part['weights']):.3f}"


def _print_importances(found: Prediction) -> None:
    table = estimates(found, "importance").filter(by="boosting")
    rows = []
    for (steps, layer), part in table.group_by("steps", "layer", maintain_order=True):
        best = part.sort("mean", descending=True).head(MOST).to_dicts()
        said = ", ".join(f"{row['feature']} {row['mean']:.3f}" for row in best if row["mean"] > 0)
        rows.append([str(steps), str(layer), said])
    if rows:
        print("\nWhat boosting rests on: AUC lost where one feature is in random order")
        print_table(["k", "layer", "features"], rows, left=3)


SEEDED = (
    ("lived", "of them drawn, %"),
    ("by_chance", "by chance, %"),
    ("dense_accuracy", "dense, test %"),
    ("ticket_accuracy", "drawn ticket, test %"),
)
"""Columns of the table: value and heading."""


def print_seeding(table: pl.DataFrame) -> None:
    """Means over replicates with 95% intervals: one line for each choice of weights and what was done to them."""
    means = {
        (row["chosen"], row["treatment"], row["value"]): row for row in seeding_estimates(table).to_dicts()
    }
    rows = []
    for chosen, how in treatments(table):
        known = [means.get((chosen, how, value)) for value, _ in SEEDED]
        rows.append([chosen, how, *("-" if row is None else with_interval(row, 100) for row in known)])
    n, level = table["replicate"].n_unique(), table["level"][0]
    print(f"Weights that were seeded before training, and pruning once to level {level} after it (n = {n})")
    print_table(["chosen", "seeded", *(head for _, head in SEEDED)], rows, left=2)
