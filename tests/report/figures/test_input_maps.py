from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from support.report_frames import tables
from tombola.report.collect import input_maps
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import rows
from tombola.report.figures.panels import spread


def test_pixels_are_relative_to_the_average_of_their_level() -> None:
    frame = rows(FIGURES["input-map"](tables()))
    dense = frame.filter(pl.col("panel") == "dense (100%)")
    assert dense["relative"].to_list() == [1.0] * 8
    pruned = frame.filter(pl.col("panel") == "50% remain (level 1)").sort("row", "column")
    # The average of 0 0 2 2 / 0 0 2 2 is 1.
    assert pruned["weights"].to_list() == [0, 0, 2, 2, 0, 0, 2, 2]
    assert pruned["relative"].to_list() == [0, 0, 2, 2, 0, 0, 2, 2]


def test_the_picture_keeps_the_shape_of_the_image() -> None:
    panel = FIGURES["input-map"](tables()).to_dict()["spec"]
    assert panel["width"] == 2 * panel["height"]


def test_the_alternative_text_counts_the_blind_pixels() -> None:
    text = FIGURES["input-map"](tables()).to_dict()["description"]
    assert "50% remain (level 1): 4 of 8 pixels have no weight left" in text


@pytest.mark.parametrize(
    ("levels", "shown"),
    [
        ([0], [0]),
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        (list(range(16)), [0, 5, 10, 15]),
        ([0, 2, 4, 6, 8], [0, 2, 6, 8]),
    ],
)
def test_the_levels_shown_are_spread_evenly(levels: list[int], shown: list[int]) -> None:
    # Of five, the thirds of the way are at 1.33 and 2.67, nearest to the second and the fourth.
    assert spread(levels) == shown


def run_with(masks: dict[tuple[int, str], list[torch.Tensor]], shape: tuple[int, ...]) -> Any:
    """As much of a run as the maps look at: (level, arm) -> masks of its replicates."""
    cells = {
        SimpleCell(arm, level, r): mask
        for (level, arm), of_replicates in masks.items()
        for r, mask in enumerate(of_replicates)
    }
    return SimpleNamespace(
        environment={"network": {"input_shape": shape, "prunable": ["first", "second"]}},
        cells=lambda: list(cells),
        mask=lambda cell: {"first": cells[cell]},
    )


class SimpleCell(SimpleNamespace):
    def __init__(self, arm: str, level: int, replicate: int) -> None:
        super().__init__(arm=arm, level=level, replicate=replicate)

    def __hash__(self) -> int:
        return hash((self.arm, self.level, self.replicate))


def test_a_map_sums_units_and_channels_and_averages_replicates() -> None:
    # Two units that see two channels of an image of 1 x 2 pixels: weights are (channel 0: a b, channel 1: c d).
    one = torch.tensor([[1, 0, 1, 0], [1, 1, 0, 0]], dtype=torch.bool)  # a 2, b 1, c 1, d 0: pixels 3 and 1
    two = torch.tensor([[0, 1, 0, 1], [0, 1, 0, 1]], dtype=torch.bool)  # a 0, b 2, c 0, d 2: pixels 0 and 4
    found = input_maps(run_with({(1, "ticket"): [one, two], (1, "reinit"): [~one]}, (2, 1, 2)))
    assert found is not None
    np.testing.assert_array_equal(found[1], [[1.5, 2.5]])


@pytest.mark.parametrize(
    ("mask", "shape"),
    [(torch.ones(4, 1, 3, 3, dtype=torch.bool), (1, 8, 8)), (torch.ones(2, 4, dtype=torch.bool), (4,))],
)
def test_no_map_where_the_first_layer_does_not_see_each_pixel(
    mask: torch.Tensor, shape: tuple[int, ...]
) -> None:
    assert input_maps(run_with({(0, "ticket"): [mask]}, shape)) is None
