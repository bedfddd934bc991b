"""Which measures are taken: families by name, quick ones by default, their nulls; calibration of the sampled ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import kstest

from support.compare_parts import mlp, random_convnet, random_subject
from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.comparison.measures.base import MEASURES
from tombola.comparison.pairs import compare
from tombola.comparison.requests import needs_network
from tombola.errors import UserError

WIDTHS = (16, 10, 8, 4)
OWN, BETWEEN = (
    [n for n, m in MEASURES.items() if m.family in ("topology", "weights") and m.subjects == count]
    for count in (1, 2)
)


def test_a_family_is_all_its_measures_and_can_stand_beside_names():
    pair = [random_subject(seed, WIDTHS, 0.4) for seed in (1, 2)]
    frame = compare(pair, measures=["topology", "jaccard"], n_null=2)
    wanted = {name for name, measure in MEASURES.items() if measure.family == "topology"} | {"jaccard"}
    assert set(frame["measure"]) == wanted
    assert not frame.is_duplicated().any()
    twice = compare(pair, measures=["paths", "topology", "paths", "jaccard"], n_null=2)
    assert twice.sort(twice.columns).equals(frame.sort(frame.columns))


def test_unknown_names_are_told_with_families_in_mind():
    with pytest.raises(UserError, match=r"unknown measure 'topologie'; did you mean 'topology'\?"):
        compare([random_subject(1, WIDTHS, 0.4)], measures=["topologie"])


def test_only_measures_along_paths_need_the_network():
    assert needs_network(["topology"])
    assert needs_network(["jaccard", "paths"])
    assert not needs_network(["jaccard", "weights", "kernels", "butterflies"])
    assert not needs_network(None)


def test_each_measure_is_judged_by_its_own_nulls_or_those_asked_for():
    subject = random_subject(1, WIDTHS, 0.4)
    frame = compare([subject], measures=["topology"], n_null=3)
    for name, rows in frame.partition_by("measure", as_dict=True).items():
        assert set(rows["null"]) == set(MEASURES[name[0]].nulls)
        assert set(rows.filter(layer="all")["n_null"]) <= {3}
    other = compare([subject], measures=["butterflies", "positive-share"], nulls=["layer-shuffle"], n_null=3)
    assert set(other.filter(measure="butterflies")["null"]) == {"layer-shuffle"}
    assert set(other.filter(measure="positive-share")["null"]) == {"fair-signs"}


def test_same_seed_same_rows_whatever_else_is_asked():
    subject = random_subject(1, WIDTHS, 0.4)
    alone = compare([subject], measures=["ramanujan"], n_null=5)
    beside = compare([subject], measures=["topology"], n_null=5).filter(measure="ramanujan")
    assert alone.equals(beside)
    assert not compare([subject], measures=["ramanujan"], n_null=5, seed=1)["expected"].equals(
        alone["expected"]
    )


def test_an_aligned_pair_of_weights_is_judged_by_nulls_aligned_alike():
    network = mlp(40, 30, 20, 5)
    pair = [random_subject(seed, (40, 30, 20, 5), 0.5) for seed in (1, 2)]
    frame = compare(
        pair, network=network, measures=["weight-correlation"], alignments=["raw", "weights@dense"], n_null=19
    ).filter(layer="all", side="end")
    raw, fitted = (frame.filter(aligned=by).row(0, named=True) for by in ("raw", "weights@dense"))
    assert fitted["expected"] > raw["expected"] + 0.1  # the fit finds likeness in its nulls, too
    assert fitted["p"] > 0.05


def strangers(trial: int) -> list[Subject]:
    """Two networks that share nothing, and whose masks, starts, ends and dense networks have nothing in common."""
    pair = [random_subject(2 * trial + k, WIDTHS, 0.4) for k in range(2)]
    return [
        replace(s, dense=random_subject(10_000 + 2 * trial + k, WIDTHS, 0.4).dense)
        for k, s in enumerate(pair)
    ]


CONTINUOUS = [
    *(
        "spectral-gap",
        "ramanujan",
        "locality",
        "kept-wasserstein",
        "kept-movement",
        "movement",
        "start-end-correlation",
    ),
    *(
        "bimodality",
        "weight-distance",
        "weight-angle",
        "weight-correlation",
        "input-map",
        "kernel-dependence",
    ),
]
N_NULL = 19


def p_values(trials: int) -> pl.DataFrame:
    frames = []
    for trial in range(trials):
        pair, kernels = strangers(trial), [random_convnet(2 * trial + k, 0.4) for k in range(2)]
        for subjects, network, measures in (
            (pair[:1], mlp(*WIDTHS), OWN),
            (pair, mlp(*WIDTHS), BETWEEN),
            (kernels[:1], Network(), ["kernel-dependence"]),
            (kernels, Network(), ["kernel-overlap"]),
        ):
            found = compare(subjects, network=network, measures=measures, n_null=N_NULL)
            frames.append(found.filter(layer="all"))
    # Starts are not pruned by size, as the null of bimodality is.
    return pl.concat(frames).filter((pl.col("measure") != "bimodality") | (pl.col("side") == "end"))


def check(trials: int) -> None:
    frame = p_values(trials)
    seen = set()
    for (measure, side, null), rows in frame.partition_by("measure", "side", "null", as_dict=True).items():
        p = rows["p"].drop_nulls().to_numpy()
        seen.add(measure)
        for level in (0.05, 0.2, 0.5):
            allowed = level + 4 * np.sqrt(level * (1 - level) / len(p))
            assert np.mean(p <= level + 1e-9) <= allowed, (measure, side, null, level)
        if measure in CONTINUOUS:  # p, spread evenly over its step, is even over 0..1
            spread = p - np.random.default_rng(0).random(len(p)) / (N_NULL + 1)
            assert kstest(spread, "uniform").pvalue > 1e-4, (measure, side, null)
    assert seen == {*OWN, *BETWEEN, "kernel-dependence", "kernel-overlap"}


def test_every_sampled_measure_is_calibrated_where_nothing_is_shared():
    check(25)


@pytest.mark.slow
def test_every_sampled_measure_is_calibrated_in_many_trials():
    check(500)
