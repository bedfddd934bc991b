"""The table of pairs: all pairs, matched nulls, seeds, calibration where nothing is shared, mistakes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import kstest

from support.compare_parts import mlp, random_subject, shuffled, ternary
from tombola.alignment.subject import Subject
from tombola.comparison.measures.base import MEASURES
from tombola.comparison.nulls import NULLS
from tombola.comparison.pairs import compare
from tombola.errors import UserError

WIDTHS = (12, 10, 8, 4)
ALIGNED = ["weights@dense", "weights@end", "mask", "signed"]


def trio() -> list[Subject]:
    return [random_subject(seed, WIDTHS, 0.4) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return compare(trio(), network=mlp(*WIDTHS), alignments=["raw", *ALIGNED], n_null=4)


def test_all_pairs_once_and_none_with_itself(table):
    pairs = table.filter(pl.col("b").is_not_null()).select("a", "b").unique(maintain_order=True).rows()
    names = [subject.name for subject in trio()]
    assert pairs == [(names[0], names[1]), (names[0], names[2]), (names[1], names[2])]


def test_every_quick_measure_every_layer_every_alignment(table):
    layers = {"fc1.weight", "fc2.weight", "fc3.weight", "all"}
    quick = {name for name, measure in MEASURES.items() if measure.family in ("overlap", "signs")}
    assert set(table["measure"]) == quick | {"sign-similarity-adjusted"}
    for name in quick:
        measure = MEASURES[name]
        rows = table.filter(measure=name)
        sides = {"mask": [None], "side": ["start", "end"], "both sides": [None]}[measure.reads]
        aligned = ["raw", *ALIGNED] if measure.subjects == 2 else ["raw"]
        seen = rows.select("layer", "side", "aligned").unique()
        assert len(seen) == len(layers) * len(sides) * len(aligned)
        assert len(rows) == 3 * len(seen)
        assert set(rows["layer"]) == layers
        assert set(rows["null"]) == {measure.null}
        assert rows["b"].is_null().all() == (measure.subjects == 1)
    assert not table.select("a", "b", "layer", "measure", "side", "aligned", "null").is_duplicated().any()


def test_nulls_are_in_closed_form_only_for_raw_pairs(table):
    exact = pl.col("measure").is_in([n for n, m in MEASURES.items() if m.exact]) & (
        pl.col("aligned") == "raw"
    )
    assert (table.filter(exact)["n_null"] == 0).all()
    assert (table.filter(~exact, layer="all")["n_null"] == 4).all()
    assert table.filter(~exact)["n_null"].is_between(1, 4).all()  # a small layer may have no value in a null


def test_p_of_samples_counts_the_sample_itself(table):
    sampled = table.filter(pl.col("n_null") == 4, pl.col("p").is_not_null())
    assert set((sampled["p"] * 5).round(9)) <= {1, 2, 3, 4, 5}


def test_sign_similarity_comes_raw_and_adjusted(table):
    both = table.filter(measure="sign-similarity").join(
        table.filter(measure="sign-similarity-adjusted"), on=["a", "b", "layer", "side", "aligned"]
    )
    assert len(both) == 3 * 4 * 2 * 5
    expected = (both["value"] - both["expected"]) / (1 - both["expected"])
    assert np.allclose(both["value_right"], expected)
    assert (both["expected_right"] == 0).all()
    assert both["p"].equals(both["p_right"])


def test_alignment_finds_likeness_and_its_nulls_find_as_much():
    """What a fit to noise finds is in its expectation: unrelated networks do not stand out from it."""
    pair = [random_subject(seed, (60, 40, 30, 5), 0.3) for seed in (1, 2)]
    frame = compare(
        pair,
        network=mlp(60, 40, 30, 5),
        measures=["jaccard", "sign-similarity"],
        alignments=["raw", *ALIGNED],
        n_null=20,
    )
    whole = frame.filter(layer="all")
    for by, measure in (
        ("mask", "jaccard"),
        ("signed", "sign-similarity"),
        ("weights@dense", "sign-similarity"),
    ):
        raw, fitted = (
            whole.filter(measure=measure, aligned=which).row(-1, named=True) for which in ("raw", by)
        )
        assert fitted["value"] > raw["expected"] + 0.02
        assert abs(fitted["z"]) < 4
        assert fitted["p"] > 0.04


def test_a_permuted_copy_is_the_same_ticket_where_it_is_aligned():
    network, subject = mlp(60, 40, 30, 5), random_subject(1, (60, 40, 30, 5), 0.3)
    copy = replace(network.relabelled(subject, shuffled(network, 2)), name="copy")
    frame = compare([subject, copy], network=network, alignments=["raw", *ALIGNED], n_null=9)
    whole = frame.filter(pl.col("layer") == "all", pl.col("b").is_not_null())
    for measure in (
        "jaccard",
        "overlap-coefficient",
        "sign-agreement",
        "cohen-kappa",
        "sign-similarity",
        "sign-similarity-adjusted",
    ):
        rows = whole.filter(measure=measure)
        assert (rows.filter(pl.col("aligned") != "raw")["value"] == 1).all()
        assert (rows.filter(pl.col("aligned") != "raw")["p"] == 0.1).all()
        assert (rows.filter(aligned="raw")["value"] < 0.6).all()
    assert (
        whole.filter(pl.col("measure") == "unit-distance", pl.col("aligned") != "raw")["value"] == 0
    ).all()


def test_same_seed_same_table_and_measures_do_not_disturb_one_another(table):
    again = compare(trio(), network=mlp(*WIDTHS), alignments=["raw", *ALIGNED], n_null=4)
    assert again.equals(table)
    few = compare(trio(), network=mlp(*WIDTHS), measures=["jaccard"], alignments=["mask"], n_null=4)
    assert few.equals(table.filter(measure="jaccard", aligned="mask"))
    other = compare(trio(), network=mlp(*WIDTHS), measures=["jaccard"], alignments=["mask"], n_null=4, seed=1)
    assert not other["expected"].equals(few["expected"])
    assert other["value"].equals(few["value"])


def test_chosen_nulls_and_chosen_pairs():
    frame = compare(
        trio(), measures=["jaccard", "flips"], nulls=list(NULLS), n_null=5, among=lambda a, b: "r1/" in a.name
    )
    assert set(frame.filter(measure="jaccard")["null"]) == set(NULLS)
    assert set(frame.filter(measure="flips")["null"]) == {"sign-shuffle"}
    assert set(frame["b"].drop_nulls()) == {"RUN:r2/L07/ticket/0", "RUN:r3/L07/ticket/0"}
    fixed = frame.filter(measure="jaccard", null="sign-shuffle")
    assert fixed["z"].is_null().all()  # shuffled signs leave the mask as it is
    assert (fixed["p"] == 1).all()


def test_pairs_go_by_replicate_whatever_the_order_of_arms():
    subjects = [
        random_subject(i, (6, 5, 3), 0.5, arm, r)
        for i, (arm, r) in enumerate([("a", 2), ("a", 1), ("b", 2), ("b", 1)])
    ]
    frame = compare(subjects, measures=["jaccard"])
    assert {row[:2] for row in frame.select("a", "b").rows()} == {
        ("RUN:r1/L07/a/0", "RUN:r1/L07/b/0"),
        ("RUN:r1/L07/a/0", "RUN:r2/L07/a/0"),
        ("RUN:r1/L07/a/0", "RUN:r2/L07/b/0"),
        ("RUN:r1/L07/b/0", "RUN:r2/L07/a/0"),
        ("RUN:r1/L07/b/0", "RUN:r2/L07/b/0"),
        ("RUN:r2/L07/a/0", "RUN:r2/L07/b/0"),
    }


def within(hits: float, level: float, trials: int) -> bool:
    """Not more often than the level allows, four binomial deviations granted."""
    return hits <= level + 4 * np.sqrt(level * (1 - level) / trials)


def test_exact_p_is_calibrated_where_nothing_is_shared():
    trials = 400
    frames = []
    for i in range(trials):
        pair = [random_subject(2 * i, (30, 20, 5), 0.3), random_subject(2 * i + 1, (30, 20, 5), 0.2)]
        frames.append(compare(pair, measures=["jaccard", "sign-agreement"]))
    whole = pl.concat(frames).filter(layer="all")
    for measure, side in (("jaccard", None), ("sign-agreement", "end")):
        p = whole.filter(pl.col("measure") == measure, pl.col("side").eq_missing(pl.lit(side)))
        assert len(p) == trials
        for level in (0.05, 0.2, 0.5):
            assert within((p["p"] <= level).mean(), level, trials)
        assert (p["p"] <= 0.5).mean() > 0.3  # discrete, so somewhat less often, but not never
        assert abs(p["z"].mean()) < 4 / np.sqrt(trials)
        assert p["z"].std() == pytest.approx(1, abs=0.15)


def sampled_p(measure: str, by: str, trials: int) -> np.ndarray:
    """p of pairs of unrelated networks, in steps of 1 / 20."""
    p = []
    for i in range(trials):
        pair = [random_subject(2 * i + k, (10, 8, 4), 0.5) for k in range(2)]
        frame = compare(pair, network=mlp(10, 8, 4), measures=[measure], alignments=[by], n_null=19)
        p.append(frame.filter(layer="all", measure=measure)["p"][-1])
    return np.array(p)


def check_calibration(measure: str, by: str, trials: int) -> None:
    p = sampled_p(measure, by, trials)
    for level in (0.05, 0.2, 0.5):
        assert within(np.mean(p <= level + 1e-9), level, trials)
    # Continuous measures come that often, too: p, spread evenly over its step, is even over 0..1. Overlap and
    # agreement of so small networks have ties, which count as alike.
    spread = p - np.random.default_rng(0).random(trials) / 20
    assert measure != "sign-similarity" or kstest(spread, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("by", "measure"), [("weights@dense", "sign-similarity"), ("mask", "jaccard")])
def test_sampled_p_is_calibrated_after_alignment(by, measure):
    check_calibration(measure, by, 60)


@pytest.mark.slow
@pytest.mark.parametrize("by", ALIGNED)
@pytest.mark.parametrize("measure", ["jaccard", "sign-similarity", "sign-agreement"])
def test_sampled_p_is_calibrated_for_every_alignment(by, measure):
    check_calibration(measure, by, 500)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"measures": ["jacard"]}, "unknown measure 'jacard'; did you mean 'jaccard'?"),
        ({"nulls": ["shuffle"]}, "unknown null 'shuffle'; did you mean"),
        ({"alignments": ["masks"]}, "unknown alignment 'masks'; did you mean 'mask'?"),
        ({"alignments": ["mask"]}, "alignment 'mask' needs the hidden units of the network"),
        ({"n_null": 0}, "n_null is 0, expected at least 1"),
    ],
)
def test_mistakes_in_options(options, sentence):
    with pytest.raises(UserError) as caught:
        compare(trio(), **options)
    assert sentence in str(caught.value)


def test_mistakes_in_subjects():
    one = random_subject(1, (6, 5, 3), 0.5)
    with pytest.raises(UserError, match=r"2 subjects are called 'RUN:r1/L07/ticket/0'"):
        compare([one, one])
    with pytest.raises(UserError, match=r"cannot be compared: masks of different networks: 'fc1.weight'"):
        compare([one, random_subject(2, (7, 5, 3), 0.5)])
    bare = replace(random_subject(2, (6, 5, 3), 0.5), start=None)
    with pytest.raises(UserError, match=r"RUN:r2/L07/ticket/0 holds no start weights; measure 'flips'"):
        compare([one, bare], measures=["flips"])
    assert set(compare([one, bare], n_null=2)["side"].drop_nulls()) == {"end"}
    nothing = replace(bare, end=None)
    with pytest.raises(UserError, match="holds no start and no end weights; measure 'cohen-kappa'"):
        compare([one, nothing], measures=["cohen-kappa"])
    with pytest.raises(
        UserError, match=r"its mask covers 'fc1.weight' of shape \(1, 2\), its end weights hold nothing"
    ):
        replace(ternary("x", fc1=[[1, 2]]), end={})


def test_it_tells_how_many_pairs_are_done() -> None:
    heard: list[tuple[int, int]] = []
    compare(trio(), told=lambda done, of: heard.append((done, of)))
    assert heard == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_units_as_they_come_are_scrambled_with_their_dense_network() -> None:
    """The null keeps the largest weights of the dense network: it is not that of the mask alone, `rewire`."""
    by = {
        null: compare(
            trio(), network=mlp(*WIDTHS), measures=["jaccard"], nulls=[null], n_null=4, alignments=alignments
        )
        for null, alignments in (("scramble", ["raw"]), ("rewire", ["raw"]))
    }
    both = compare(
        trio(),
        network=mlp(*WIDTHS),
        measures=["jaccard"],
        nulls=["scramble"],
        n_null=4,
        alignments=["raw", "mask"],
    )
    alone = compare(
        [replace(each, dense=None) for each in trio()],
        network=mlp(*WIDTHS),
        measures=["jaccard"],
        nulls=["scramble"],
        n_null=4,
    )
    assert by["scramble"]["expected"].to_list() == both.filter(aligned="raw")["expected"].to_list()
    assert by["scramble"]["expected"].to_list() != alone["expected"].to_list()
