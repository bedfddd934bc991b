"""Do tickets share structure? Where nothing is shared the answer is rarely yes, where enough is planted it often is.

Tickets are the largest weights of independent dense networks; the control is their masks rewired (support/unshared).
"""

from __future__ import annotations

import polars as pl
import pytest
from scipy.stats import binom

from support.unshared import CONV, LENET_5, Make, decided, layers, subjects_of
from tombola.alignment.words import WHOLE
from tombola.comparison.pairs import compare
from tombola.stats.verdict import YES

HELD_OUT, FULL = "weights@dense-held-out", "weights@dense"
SMALL = layers(64, 30, 20, 10)
NETS = {"64 inputs": SMALL, "784 inputs": layers(784, 60, 30, 10), "convolutions": CONV}
UNITS = {"even": (False, False), "uneven": (True, False), "uneven, the same inputs": (True, True)}
LEVEL = 0.05


def answers(make: Make, times: int, *alignments: str) -> pl.DataFrame:
    """The decisions on whole tickets in so many studies."""
    found = pl.concat([decided(make, seed, alignments) for seed in range(times)])
    return found.filter(pl.col("layer") == WHOLE)


def yes(found: pl.DataFrame, alignment: str) -> int:
    """In how many studies tickets are said to share structure."""
    return found.filter(pl.col("aligned") == alignment, pl.col("verdict") == YES).height


def most(times: int, rate: float = LEVEL) -> int:
    """What so many studies exceed in one of a thousand cases where each errs at this rate."""
    return int(binom.isf(0.001, times, rate))


def test_a_full_matching_says_yes_where_nothing_is_shared_and_one_that_is_held_out_does_not() -> None:
    """Tickets are the large weights, whose noise a matching of dense weights has been fitted to."""
    times = 20
    found = answers(Make(SMALL, density=0.2), times, HELD_OUT, FULL)
    assert yes(found, HELD_OUT) <= most(times)
    assert yes(found, FULL) > most(times)
    excess = found.filter(aligned=FULL)["difference"].to_numpy()
    assert excess.mean() > 4 * excess.std(ddof=1) / times**0.5
    unbiased = found.filter(aligned=HELD_OUT)["difference"].to_numpy()
    assert abs(unbiased.mean()) < 4 * unbiased.std(ddof=1) / times**0.5


def test_uneven_units_of_convolutions_are_no_shared_structure() -> None:
    times = 15
    found = answers(Make(CONV, density=0.05, uneven=True), times, HELD_OUT)
    assert yes(found, HELD_OUT) <= most(times)
    # Units are matched by their scale, so that masks overlap: as much in the rewired ones, which have their degrees.
    assert found["mean_b"].mean() > 1.5 * 0.0256


def test_what_is_planted_is_found() -> None:
    """Three of ten places hold the same weights in all networks, whose units are in any order."""
    assert yes(answers(Make(CONV, density=0.2, planted=0.3), 5, HELD_OUT), HELD_OUT) >= 4


@pytest.mark.deep
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("density", [0.2, 0.05])
@pytest.mark.parametrize("net", NETS)
def test_false_positives(net: str, density: float, units: str) -> None:
    """At most 7%, and by chance a little more: in 150 studies of 6 replicates each."""
    uneven, pixels = UNITS[units]
    found = answers(Make(NETS[net], density, uneven, pixels), 150, HELD_OUT)
    assert yes(found, HELD_OUT) <= most(150, 0.05)


@pytest.mark.deep
@pytest.mark.parametrize("density", [0.2, 0.05])
@pytest.mark.parametrize("net", NETS)
def test_power_grows_with_the_share_that_is_planted(net: str, density: float) -> None:
    """Of 100 studies each; nothing much of a tenth is found, most of three."""
    found = [
        yes(answers(Make(NETS[net], density, planted=planted), 100, HELD_OUT), HELD_OUT)
        for planted in (0.1, 0.2, 0.3)
    ]
    assert found[0] <= found[1] + 10
    assert found[1] < found[2]
    assert found[2] >= 40


RATES = {"conv1.weight": 0.25, "conv2.weight": 0.25, "out.weight": 0.3}
FIFTH = {name: (1 - RATES.get(name, 0.5)) ** 5 for name in LENET_5.shapes}
"""What `findings-lenet5-*` keep at level 5."""


@pytest.mark.deep
def test_false_positives_and_power_on_lenet_5() -> None:
    """Of 30 studies of 8 replicates each, at 4.2%: at most a few where nothing is shared, most of three tenths."""
    found = {
        (planted, uneven): yes(
            answers(Make(LENET_5, uneven=uneven, planted=planted, replicates=8, kept=FIFTH), 30, HELD_OUT),
            HELD_OUT,
        )
        for planted, uneven in ((0.0, False), (0.0, True), (0.2, False), (0.3, False))
    }
    assert found[0.0, False] <= most(30)
    assert found[0.0, True] <= most(30)
    assert found[0.0, False] < found[0.2, False]
    assert found[0.3, False] >= 20


@pytest.mark.deep
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("net", ["64 inputs", "convolutions"])
def test_the_joint_null_is_calibrated_under_a_full_matching(net: str, units: str) -> None:
    """Mask and dense network scrambled together: p at most 0.05 in about that share of 60 pairs, and as often above
    0.95, where shuffled layers stand far off if units are uneven."""
    uneven, pixels = UNITS[units]
    make, tables = Make(NETS[net], 0.05, uneven, pixels, replicates=2), []
    for seed in range(60):
        a, _, b, _ = subjects_of(make, seed)
        options = {"nulls": ["layer-shuffle", "scramble"], "n_null": 19, "alignments": [FULL]}
        tables.append(compare([a, b], network=make.net.network, measures=["jaccard"], **options))
    found = pl.concat(tables).filter(layer=WHOLE)
    for null, fits in (("scramble", True), ("layer-shuffle", not uneven)):
        p = found.filter(null=null)["p"]
        assert ((p <= LEVEL).sum() <= most(60)) == fits
        assert not fits or (p > 1 - LEVEL).sum() <= most(60)
