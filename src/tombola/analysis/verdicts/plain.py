"""Verdicts as a newcomer reads them: arms by what they are, differences by what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tombola.alignment.words import WHOLE
from tombola.analysis.verdicts.verdict import Verdict
from tombola.lottery.arms.catalog import DOSES, LAYER_ARMS, NOISES
from tombola.study.claims import MeasureAt

ARMS: Mapping[str, str] = {
    "ticket": "the ticket",
    "dense": "the dense network",
    "continued": "the ticket trained on without rewinding",
    "reinit": "its mask with fresh weights",
    "random-mask": "a random mask of as many weights",
    "random-mask-global": "a random mask of as many weights over all layers",
    "reinit-signs": "its mask with fresh weights of its signs",
    "reinit-ticket": "its mask with weights drawn from its own",
    "reshuffle": "its mask with its weights in random order",
    "reshuffle-signs": "its mask with its weights in random order, signs kept",
    "constant": "its mask with weights of one size and random signs",
    "constant-signs": "its mask with weights of one size and its signs",
    **{f"noise-{times:g}": f"the ticket with noise of {times:g} deviations" for times in NOISES},
    "invert": "the network without its weights",
    "partner": "the mask of another replicate",
    "rewire": "a mask rewired with its degrees",
    "input-map": "a random mask that reads its inputs",
    "permute-units": "the ticket with its units in another order",
    "permute-mask": "its mask with units in another order",
    "one-shot": "a mask pruned in one step",
    "magnitude-at-init": "a mask of the largest initial weights",
    "snip-at-init": "a mask found by SNIP",
    "grasp-at-init": "a mask found by GraSP",
    "synflow-at-init": "a mask found by SynFlow",
    "fresh": "a mask of a ladder that draws afresh at every level",
    "freeze": "the ticket with dead weights frozen at their start",
    "zero-towards": "the ticket with dead weights frozen but for those that moved towards zero",
    "zero-towards-all": "the ticket with all weights at zero that moved towards it",
    "donor": "a donor's mask as it is",
    "donor-aligned": "a donor's mask aligned to the start",
    "donor-shuffled": "a donor's mask with units in random order",
    "donor-transplant": "a donor's mask with the donor's start",
    "donor-ticket": "the donor's own ticket",
    "donor-rewired": "a donor's mask rewired with its degrees",
    "donor-aligned-rewired": "a donor's aligned mask rewired with its degrees",
    "donor-fit": "a scrambled donor's mask as it is",
    "donor-fit-aligned": "a scrambled donor's mask aligned in the same way",
    "donor-layers-apart": "a donor's mask with every tensor in an order of its own",
    **{name: f"that mask with tensor {layer} aligned" for name, layer in LAYER_ARMS.items()},
    "donor-input-map": "a random mask that reads a donor's inputs",
    "twin": "the mask of a twin, shuffled and aligned",
    "shared-rewired": "the ticket with its shared weights moved elsewhere",
    "private-rewired": "the ticket with as many unshared weights moved",
    "fit-shared-rewired": "the ticket with weights moved that it shares with scrambled donors",
    "core": "a mask grown on what most aligned donors keep",
    "core-apart": "a mask grown on what most donors keep, units in random order",
    "core-fit": "a mask grown on what most aligned scrambled donors keep",
    "core-fit-apart": "a mask grown on what most scrambled donors keep, units in random order",
    "guided": "the dense network pruned in one step, guided by aligned donors",
    "guided-fit": "the dense network pruned in one step, guided by scrambled donors",
    "donor-signs": "a donor's aligned mask with the donor's signs",
    "donor-signs-shuffled": "a donor's aligned mask with the donor's signs in random order",
    "flip-shared": "the ticket with shared signs turned",
    "flip-private": "the ticket with as many unshared signs turned",
    **{f"dose-{part}": f"{part}% of the ticket, the rest of it moved" for part in DOSES},
}
"""Arm -> what it is, beside the ticket of the same replicate."""
MANY: Mapping[str, str] = {
    "ticket": "tickets",
    "reinit": "tickets' masks with fresh weights",
    "random-mask": "random masks",
    "rewire": "masks rewired with their degrees",
}
"""Arm -> what its networks are called together, in sentences on pairs of them."""
MORE: Mapping[str, tuple[float, int, str, str, str]] = {
    "accuracy": (100, 2, " points", "more accurate", "less accurate"),
    "gap": (100, 2, " points", "more accurate in training than in testing", "less so"),
    "iteration": (1, 0, " iterations", "later to stop", "sooner to stop"),
    "loss": (1, 4, "", "higher in loss", "lower in loss"),
}
"""End of a quantity -> its scale, digits and unit, and what an arm is with more and with less of it."""
SHARED: Mapping[str, str] = {
    "jaccard": "two {a} have {x} of their connections in common beyond chance, two {b} {y}",
    "sign-agreement": "of the connections that two {a} have in common {x} more than by chance have equal signs{side}, "
    "of those of two {b} {y}",
}
"""Measure that is a share -> what it says of the networks of two arms, a and b, with its mean values x and y."""
OTHER = "the {name}{side} of two {a} is {x} above chance, that of two {b} {y}"
"""The same of any other measure."""


def arm(name: str) -> str:
    """What an arm is; one of the study's own by its name in quotes."""
    return ARMS.get(name, f"‘{name}’")


def many(name: str) -> str:
    """What the networks of an arm are called together."""
    return MANY.get(name, f"‘{name}’ networks")


def compared(verdict: Verdict) -> str:
    """What was found, in a clause: 'the ticket is 1.75 points [1.29, 2.22] more accurate than a random mask'.

    Of four arms both differences and how far they are apart, of a measure both values beyond chance and theirs.
    """
    if verdict.difference is None:
        return f"{arm(verdict.a)} was not held against {arm(verdict.b)}"
    if verdict.of_measure:
        return _of_measure(verdict)
    if verdict.c:
        first = _more(verdict, verdict.a, verdict.b, verdict.mean_a)
        second = _more(verdict, verdict.c, verdict.d, verdict.mean_b)
        return f"{first}, and {second}: a difference of {amount(verdict)}"
    return _more(verdict, verdict.a, verdict.b, verdict.difference, interval=True)


def amount(verdict: Verdict) -> str:
    """The difference with its interval in the unit that people read it in: '0.49 points [-0.29, 1.26]'."""
    scale, digits, unit, *_ = _scale(verdict)
    return _value([verdict.difference, verdict.low, verdict.high], scale, digits, unit)


def _more(verdict: Verdict, a: str, b: str, difference: float | None, interval: bool = False) -> str:
    """'A is 1.75 points more accurate than B', 'A is 0.97 points less accurate than B'."""
    if difference is None:
        return f"{arm(a)} against {arm(b)}"
    scale, digits, unit, more, less = _scale(verdict)
    ends = [difference, verdict.low, verdict.high] if interval else [difference]
    if difference < 0:
        ends = [None if end is None else -end for end in (ends[0], *ends[:0:-1])]
    word = less if difference < 0 else more
    return f"{arm(a)} is {_value(ends, scale, digits, unit)} {word} than {arm(b)}"


def _of_measure(verdict: Verdict) -> str:
    name = MeasureAt.parse(verdict.quantity).name
    scale, digits, *_ = _scale(verdict)
    unit = "%" if name in SHARED else ""
    x, y = (
        "–" if mean is None else _value([mean], scale, digits, unit)
        for mean in (verdict.mean_a, verdict.mean_b)
    )
    a, b = many(verdict.a), many(verdict.b)
    said = SHARED.get(name, OTHER).format(a=a, b=b, x=x, y=y, side=side(verdict), name=name.replace("-", " "))
    return f"{said}: a difference of {amount(verdict)}"


def against(verdict: Verdict) -> str:
    """The same as `compared` where the first arm and what is read are known already."""
    if verdict.of_measure:
        return f"beside {many(verdict.b)} the difference is {amount(verdict)}"
    return compared(verdict).removeprefix(f"{arm(verdict.a)} is ")


def side(verdict: Verdict) -> str:
    """' at the start', ' at the end', or '' of a measure that is read at neither."""
    found = MeasureAt.parse(verdict.quantity).side
    return f" at the {found}" if found else ""


def layer(verdict: Verdict) -> str:
    """The layer that a measure is of, as people call it: 'fc1'; '' of whole networks and of results."""
    found = MeasureAt.parse(verdict.quantity).layer if verdict.of_measure else WHOLE
    return "" if found == WHOLE else found.removesuffix(".weight")


def scale_of(verdict: Verdict) -> float:
    """What a difference is multiplied by to be read: 100 where it is in points."""
    return _scale(verdict)[0]


def _scale(verdict: Verdict) -> tuple[float, int, str, str, str]:
    if verdict.of_measure:
        share = MeasureAt.parse(verdict.quantity).name in SHARED
        return (100, 2, " points", "", "") if share else (1, 4, "", "", "")
    return next((MORE[end] for end in MORE if verdict.quantity.endswith(end)), (1, 4, "", "higher", "lower"))


def _value(ends: Sequence[float | None], scale: float, digits: int, unit: str) -> str:
    """'1.75 points [1.29, 2.22]'; without an interval where there is none."""
    value, *interval = [
        "" if end is None else f"{round(scale * end, digits) + 0.0:.{digits}f}" for end in ends
    ]
    return f"{value}{unit}" + (f" [{', '.join(interval)}]" if all(interval) and interval else "")
