"""Consensus: histograms by hand, exact moments against enumeration and sampling, alignment, mistakes."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import binom, kstest, norm

from support.compare_parts import mlp, random_subject, shuffled, ternary
from tombola.alignment.subject import Subject
from tombola.comparison.consensus import CONSENSUS, consensus
from tombola.errors import UserError
from tombola.masks.mask import Mask

LINES = [[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 0, 1]]


def three() -> list[Subject]:
    """Three masks of five weights; the first weight is kept by all, the second by two, the fourth by none."""
    return [ternary(f"s{i}", fc1=[line]) for i, line in enumerate(LINES)]


def masked(name: str, replicate: int, **layers: np.ndarray) -> Subject:
    bits = {f"{layer}.weight": torch.from_numpy(bits) for layer, bits in layers.items()}
    return Subject(name, Mask(bits), replicate=f"RUN:r{replicate}")


def column(frame: pl.DataFrame, name: str, **where: object) -> list[float]:
    return frame.filter(**where)[name].to_list()


def test_a_case_worked_out_by_hand() -> None:
    frame = consensus(three())
    assert dict(frame.schema) == CONSENSUS
    assert column(frame, "kept", layer="all", quantity="weights") == [0, 1, 2, 3]
    assert column(frame, "value", layer="fc1.weight", quantity="weights") == [1, 2, 1, 1]
    # Shares 2/5, 2/5, 3/5: none keeps with 18/125, one with 51/125, two with 44/125, all with 12/125.
    assert column(frame, "expected", layer="fc1.weight", quantity="weights") == pytest.approx(
        [5 * chance / 125 for chance in (18, 51, 44, 12)]
    )
    # Kept by 3, 2, 1, 0, 1: mean 7/5, squares sum to 15, so 15 - 49/5 = 5.2; by chance 5 (6 + 6 + 6)/25 = 3.6.
    [dispersion] = frame.filter(layer="all", quantity="dispersion").rows(named=True)
    assert dispersion["value"] == pytest.approx(5.2 / 3.6)
    assert (dispersion["expected"], dispersion["tickets"], dispersion["n_null"]) == (1.0, 3, 0)
    assert dispersion["z"] > 0
    assert dispersion["p"] == pytest.approx(norm.sf(dispersion["z"]))


def test_moments_are_those_of_all_masks_there_are() -> None:
    """Every way to keep 2, 2 and 3 of 5 weights, each as likely."""
    sets = [[np.isin(range(5), kept) for kept in combinations(range(5), count)] for count in (2, 2, 3)]
    kept = np.array([np.sum(masks, axis=0) for masks in product(*sets)])  # [ways, weights]
    histograms = np.array([[np.sum(row == k) for k in range(4)] for row in kept])
    mean, deviation = histograms.mean(0), histograms.std(0)
    frame = consensus(three()).filter(layer="fc1.weight")
    weights = frame.filter(quantity="weights")
    assert weights["expected"].to_list() == pytest.approx(mean.tolist())
    assert weights["z"].to_list() == pytest.approx(((np.array([1, 2, 1, 1]) - mean) / deviation).tolist())
    spread = kept.var(axis=1) * 5 / 3.6
    assert spread.mean() == pytest.approx(1.0)
    assert column(frame, "z", quantity="dispersion") == pytest.approx([(5.2 / 3.6 - 1) / spread.std()])


def test_equal_densities_give_the_binomial_and_layers_add_up() -> None:
    rng = np.random.default_rng(0)

    def drawn(shape: tuple[int, int], count: int) -> np.ndarray:
        return rng.permutation(np.arange(shape[0] * shape[1]) < count).reshape(shape)

    subjects = [masked(f"s{i}", i, fc1=drawn((20, 10), 60), fc2=drawn((5, 20), 50)) for i in range(6)]
    frame = consensus(subjects).filter(quantity="weights")
    first, second, whole = (frame.filter(layer=layer) for layer in ("fc1.weight", "fc2.weight", "all"))
    assert first["expected"].to_list() == pytest.approx((200 * binom.pmf(range(7), 6, 0.3)).tolist())
    assert second["expected"].to_list() == pytest.approx((100 * binom.pmf(range(7), 6, 0.5)).tolist())
    for name in ("value", "expected"):
        assert np.allclose(whole[name], first[name] + second[name])
    deviations = [
        ((each["value"] - each["expected"]) / each["z"]).to_numpy() for each in (first, second, whole)
    ]
    assert np.allclose(deviations[0] ** 2 + deviations[1] ** 2, deviations[2] ** 2)


def test_where_nothing_is_shared_p_is_uniform() -> None:
    rng = np.random.default_rng(1)
    p = []
    for _ in range(200):
        subjects = [
            masked(f"s{i}", i, fc1=rng.permutation(np.arange(3000) < 300 * (i + 1)).reshape(30, 100))
            for i in range(4)
        ]
        p += column(consensus(subjects), "p", layer="all", quantity="dispersion")
    assert kstest(p, "uniform").pvalue > 0.01
    assert 1 <= sum(value < 0.05 for value in p) <= 19  # 10 of 200, and three deviations of 3.1


def test_what_is_shared_is_seen_raw_or_aligned_as_it_is_planted() -> None:
    widths = (40, 30, 20, 5)
    network, subject = mlp(*widths), random_subject(1, widths, 0.3, replicate=0)
    copies = [
        replace(
            network.relabelled(subject, shuffled(network, seed)),
            name=f"copy {seed}",
            replicate=f"RUN:r{seed}",
        )
        for seed in (1, 2, 3)
    ]
    frame = consensus(
        [subject, *copies], network=network, alignments=["raw", "mask", "weights@end"], n_null=19
    )
    dispersion = frame.filter(layer="all", quantity="dispersion")
    value = dict(zip(dispersion["aligned"], dispersion["value"], strict=True))
    assert (
        value["mask"] == value["weights@end"] == pytest.approx(4.0)
    )  # N equal masks: N^2 d(1-d) over N d(1-d)
    assert value["raw"] < 1.6  # the outputs keep their places
    assert column(frame, "p", layer="all", aligned="mask", quantity="dispersion") == [0.05]
    kept = column(frame, "value", layer="all", aligned="mask", quantity="weights")
    living = subject.mask.count()
    assert kept == [subject.mask.size() - living, 0, 0, 0, living]
    assert set(frame.filter(pl.col("aligned") != "raw")["n_null"]) == {19}


def test_alignment_makes_random_masks_agree_and_its_null_as_much() -> None:
    widths = (40, 30, 20, 5)
    subjects = [random_subject(seed, widths, 0.3) for seed in range(4)]
    frame = consensus(subjects, network=mlp(*widths), alignments=["mask"], n_null=19)
    [row] = frame.filter(layer="all", quantity="dispersion").rows(named=True)
    assert row["value"] > 1.05
    assert row["expected"] > 1.05
    assert row["p"] > 0.05
    again = consensus(subjects[::-1], network=mlp(*widths), alignments=["mask"], n_null=19)
    assert again.equals(frame)  # the first is that of the first replicate, whatever the order


def test_nothing_and_everything_alive() -> None:
    ones, zeros = np.ones((3, 4), bool), np.zeros((3, 4), bool)
    frame = consensus([masked(f"s{i}", i, fc1=ones, fc2=zeros) for i in range(2)])
    assert column(frame, "value", layer="all", quantity="weights") == [12, 0, 12]
    assert column(frame, "expected", layer="all", quantity="weights") == [12, 0, 12]
    assert column(frame, "value", layer="all", quantity="dispersion") == [None]
    assert frame["z"].null_count() == len(frame)


@pytest.mark.parametrize(
    ("subjects", "options", "words"),
    [
        (three()[:1], {}, "takes two tickets at least, found 1"),
        (three(), {"alignments": ["mask"]}, "needs the hidden units of the network"),
        (three(), {"alignments": ["masks"]}, "'mask'"),
        (three(), {"n_null": 0}, "n_null is 0"),
        ([three()[0], replace(three()[0])], {}, "2 subjects are called 's0'"),
    ],
)
def test_mistakes_get_one_sentence(subjects: list[Subject], options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        consensus(subjects, **options)
