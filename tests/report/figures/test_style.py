from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from support.report_frames import odd_tables
from tombola.report.figures.base import FIGURES
from tombola.report.figures.style import (
    ARM_STYLES,
    SPARE_COLOURS,
    arm_channels,
    arm_styles,
    round_steps,
    styled_with,
)

MANY = [*ARM_STYLES, *(f"other-{i:02}" for i in range(20))]


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.1."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_known_arm_looks_the_same_whoever_is_beside_it() -> None:
    alone = arm_styles(["reinit"])["reinit"]
    assert arm_styles(["zebra", "aardvark", "ticket", "reinit"])["reinit"] == alone


def test_an_arm_of_a_run_looks_the_same_in_each_picture_and_unlike_the_others() -> None:
    others = [f"other-{i}" for i in range(len(SPARE_COLOURS))]
    with styled_with(["ticket", *others]):
        apart = {name: arm_styles([name, "to the donor"])[name] for name in others}
        assert arm_styles(["ticket", *others]).items() >= apart.items()
    assert len({style.colour for style in apart.values()}) == len(others)
    assert arm_styles(["other-7"]) == {"other-7": apart["other-0"]}  # as it is without a run
    with styled_with([*others, "one-more"]):
        assert arm_styles(["other-7"]) == {"other-7": apart["other-0"]}


def test_a_picture_of_a_few_arms_has_them_as_the_run_does() -> None:
    run = odd_tables()["twelve arms"]
    few = {name: frame.filter(pl.col("arm") == "arm-9") for name, frame in run.summaries.items()}
    drawn = FIGURES["early-stop"](replace(run, summaries=few)).to_dict()
    with styled_with(run.results["arm"]):
        colour = arm_styles(["arm-9"])["arm-9"].colour
    assert colour != SPARE_COLOURS[0]
    assert drawn["layer"][-1]["encoding"]["color"]["scale"] == {"domain": ["arm-9"], "range": [colour]}


def test_arms_are_told_apart_without_colour() -> None:
    seen = {(style.shape, style.dash) for style in arm_styles(MANY).values()}
    assert len(seen) == len(MANY)


def test_colours_stand_out_from_white() -> None:
    for name, style in arm_styles(MANY).items():
        contrast = 1.05 / (luminance(style.colour) + 0.05)
        assert contrast >= 2.7, name


def test_the_ticket_is_darkest_of_the_arms_so_that_it_leads_in_grey() -> None:
    others = [style for name, style in ARM_STYLES.items() if name not in ("ticket", "dense")]
    assert all(luminance(style.colour) > 2 * luminance(ARM_STYLES["ticket"].colour) for style in others)


def test_known_arms_come_first_in_their_order_then_names() -> None:
    order = list(arm_styles(["b", "random-mask", "a", "ticket"]))
    assert order == ["ticket", "random-mask", "a", "b"]


@pytest.mark.parametrize("markers", [True, False])
def test_channels_give_each_arm_its_own_style(markers: bool) -> None:
    channels = arm_channels(["reinit", "ticket"], markers)
    colour, dash = (channels[name].to_dict()["scale"] for name in ("color", "strokeDash"))
    assert dict(zip(colour["domain"], colour["range"], strict=True)) == {
        "ticket": "#004488",
        "reinit": "#d55e00",
    }
    assert (
        dict(zip(dash["domain"], dash["range"], strict=True)).items()
        >= {"ticket": [1, 0], "reinit": [7, 3]}.items()
    )


@pytest.mark.parametrize(
    ("low", "high", "steps"),
    [
        (3.0, 100.0, [5, 10, 20, 50, 100]),
        (0.08, 2.3, [0.1, 0.2, 0.5, 1, 2]),
        (0.02, 0.02, [0.02]),
        (30, 40, []),
        (0.02, 1500, [0.1, 1, 10, 100, 1000]),  # fifteen steps of 1, 2 and 5
        (1, 1e28, [1, 1e3, 1e6, 1e9, 1e12, 1e15, 1e18, 1e21, 1e24, 1e27]),
    ],
)
def test_round_steps(low: float, high: float, steps: list[float]) -> None:
    assert round_steps(low, high) == steps
