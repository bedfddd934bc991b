"""One look for every picture: fonts, sizes, and a colour, shape and dash for every arm.

The colours are told apart with any common colour blindness (mostly after Okabe and Ito's set); shape and dash say
the same a second time, so that a picture keeps its meaning in grey.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypedDict

import altair as alt

WIDTH, HEIGHT = 340, 210
"""Size of one plot area in px (points in PDF): with its axes it fills a text column of about 5.5 inches."""

SOLID = (1, 0)
DENSE = "dense"
INK, FAINT, GREY = "#222222", "#e6e6e6", "#6f6f6f"
FONT = "Helvetica, Arial, Liberation Sans, sans-serif"


@dataclass(frozen=True)
class ArmStyle:
    """How an arm is drawn: CSS colour, Vega symbol, and dash lengths in px."""

    colour: str
    shape: str
    dash: tuple[int, ...]


ARM_STYLES: Mapping[str, ArmStyle] = {
    DENSE: ArmStyle(GREY, "stroke", (1, 2)),
    "ticket": ArmStyle("#004488", "circle", SOLID),
    "reinit": ArmStyle("#d55e00", "square", (7, 3)),
    "random-mask": ArmStyle("#009e73", "triangle-up", (3, 2)),
    "random-mask-global": ArmStyle("#c06c9c", "diamond", (8, 3, 2, 3)),
}

# The spare shapes are none of the above and 4 of them meet 5 dashes: 20 more arms are told apart even in grey.
SPARE_COLOURS = (
    *("#56a0d3", "#8c5a2b", "#882255", "#8a8a1f", "#3b8f8f", "#b8860b", "#5b4a9c"),
    *("#ee3377", "#9a1b1b", "#a87bd8"),
)
SPARE_SHAPES = ("cross", "triangle-down", "triangle-right", "triangle-left")
SPARE_DASHES = ((5, 2), (2, 3), (10, 3), (6, 2, 1, 2), (12, 3, 3, 3))


_of_run: ContextVar[frozenset[str]] = ContextVar("_of_run", default=frozenset())


@contextmanager
def styled_with(arms: Iterable[str]) -> Iterator[None]:
    """While it is open, arms have the styles they have among all these, so that an arm looks the same in each picture
    of a run; not where these are more than there are colours, since two arms of a picture might then share one."""
    few = frozenset(arms) - ARM_STYLES.keys()
    token = _of_run.set(few if len(few) <= len(SPARE_COLOURS) else frozenset())
    try:
        yield
    finally:
        _of_run.reset(token)


def arm_styles(arms: Iterable[str]) -> dict[str, ArmStyle]:
    """A style for each arm, known arms first in their fixed order, then the others by name; see `styled_with`."""
    names = set(arms)
    known = {name: style for name, style in ARM_STYLES.items() if name in names}
    others, together = names - known.keys(), _of_run.get()
    places = {name: i for i, name in enumerate([*sorted(together), *sorted(others - together)])}
    spare = {
        name: ArmStyle(
            SPARE_COLOURS[places[name] % len(SPARE_COLOURS)],
            SPARE_SHAPES[places[name] % len(SPARE_SHAPES)],
            SPARE_DASHES[places[name] % len(SPARE_DASHES)],
        )
        for name in sorted(others)
    }
    return known | spare


# Eight of each, so that eight series differ in all of them.
SERIES_COLOURS = ("#004488", "#d55e00", "#009e73", "#c06c9c", "#56a0d3", "#8c5a2b", "#222222", "#b8860b")
SERIES_SHAPES = ("circle", "square", "triangle-up", "diamond", *SPARE_SHAPES)
SERIES_DASHES = (SOLID, (7, 3), (3, 2), (8, 3, 2, 3), *SPARE_DASHES[:4])
MOST_SERIES = len(SERIES_SHAPES)
"""Series that one chart holds; more are told apart by panels."""


SEPARATOR = " · "
LONG = 28
"""Letters of a name of which two do not fit beside each other in a legend."""


def series_name(run: str, arm: str) -> str:
    """What an arm of one of several runs is called: 'criterion large-final · ticket'."""
    return f"{run}{SEPARATOR}{arm}"


def series_styles(pairs: Sequence[tuple[str, str]]) -> dict[str, ArmStyle]:
    """A style for each (run, arm), at most MOST_SERIES of them, in order of the runs, the ticket first.

    Shape and dash are each series' own. Colour goes with the arm or with the run, whichever there are more of: so
    that lines of one colour have something in common, and are few.
    """
    runs = list(dict.fromkeys(run for run, _ in pairs))
    arms = list(arm_styles({arm for _, arm in pairs}))
    by_arm = len(arms) > len(runs)
    ordered = sorted(pairs, key=lambda pair: (runs.index(pair[0]), arms.index(pair[1])))
    return {
        series_name(run, arm): ArmStyle(
            SERIES_COLOURS[arms.index(arm) if by_arm else runs.index(run)], SERIES_SHAPES[i], SERIES_DASHES[i]
        )
        for i, (run, arm) in enumerate(ordered)
    }


class ArmChannels(TypedDict):
    """Encodings of the field `arm`; they share one legend, as they share field and domain."""

    color: alt.Color
    shape: alt.Shape
    strokeDash: alt.StrokeDash


def arm_channels(
    arms: Iterable[str], markers: bool = True, styles: Mapping[str, ArmStyle] | None = None
) -> ArmChannels:
    """Colour, shape and dash encodings of the field `arm`, their domain being `arms` in style order, or the names
    of `styles`.

    The legend shows the markers of lines that have them, else pieces of the dashed lines themselves.
    """
    styles = arm_styles(arms) if styles is None else styles
    names = list(styles)
    longest = max(map(len, names), default=0)
    columns = 1 if longest > LONG else 3 if len(names) <= 3 and longest <= LONG // 2 else 2
    # symbolOpacity: else the legend takes the opacity of the pale band
    legend = alt.Legend(title=None, columns=columns, symbolOpacity=1, labelLimit=0)
    if not markers:
        legend.symbolType, legend.symbolSize = "stroke", 500
    # Vega-Lite makes one legend of all scales with the same domain, and the dash would then outline the markers and
    # eat into them. A nameless last entry keeps the dashes of marked lines out of it.
    dashed = names if not markers else [*names, ""]
    dashes = [list(style.dash) for style in styles.values()] + [list(SOLID)] * markers
    colours, shapes = [s.colour for s in styles.values()], [s.shape for s in styles.values()]
    return ArmChannels(
        color=alt.Color("arm:N", legend=legend, scale=alt.Scale(domain=names, range=colours)),
        shape=alt.Shape("arm:N", legend=legend, scale=alt.Scale(domain=names, range=shapes)),
        strokeDash=alt.StrokeDash(
            "arm:N", legend=None if markers else legend, scale=alt.Scale(domain=dashed, range=dashes)
        ),
    )


MOST_TICKS = 12
"""Labels that stand apart on an axis of a small picture."""


def round_steps(low: float, high: float) -> list[float]:
    """Ticks of a log axis: 1, 2 and 5 times the powers of ten within [low, high], ascending; needs low > 0. Over many
    powers of ten, these alone; over more, every second or third."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    within = [step for step in steps if low <= step <= high]
    if len(within) <= MOST_TICKS:
        return within
    tens = within[[f"{step:e}"[0] for step in within].index("1") :: 3]
    return tens[:: math.ceil(len(tens) / MOST_TICKS)]


def faded(pick: alt.Parameter, opacity: float) -> Any:
    """Opacity of a mark: `opacity` while its arm is picked in the legend (all are at first), else nearly none."""
    return alt.when(pick).then(alt.value(opacity)).otherwise(alt.value(0.06 * opacity))


def arm_pick() -> alt.Parameter:
    """A selection of arms that is made by clicking in the legend (shift adds, a double click takes all back)."""
    return alt.selection_point(name="pick", fields=["arm"], bind="legend")


def config() -> alt.Config:
    """The theme, carried inside each chart so that no global state decides how a picture looks."""
    label = {"labelFontSize": 11, "labelColor": INK}
    title = {"titleFontSize": 11, "titleFontWeight": "normal", "titleColor": INK}
    axis = {"titlePadding": 8, "domainColor": GREY, "tickColor": GREY, "tickSize": 4, "gridColor": FAINT}
    header = {"labelFontWeight": "bold", "labelPadding": 4, "titleFontSize": 11}
    legend = {"orient": "bottom", "symbolSize": 70, "symbolStrokeWidth": 1.6, "columnPadding": 16}
    return alt.Config(
        background="white",
        font=FONT,
        view={"stroke": None, "continuousWidth": WIDTH, "continuousHeight": HEIGHT},
        axis=label | title | axis | {"labelFlush": False},
        header=label | header,
        legend=label | title | legend,
        line={"strokeWidth": 1.8},
        point={"size": 42, "filled": True, "strokeWidth": 0},
    )
