"""The properties that docs/sign-similarity.md states, one test each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from support.compare_parts import mlp, random_subject, shuffled, ternary
from tombola.alignment.align import align, similarity_of_signs
from tombola.alignment.matching import colours
from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.comparison.pairs import compare
from tombola.masks.mask import Mask

WIDTHS = (40, 30, 20, 5)


def similarity(
    a: Subject, b: Subject, network: Network, n_null: int = 1, aligned: str = "signed", **options
) -> dict:
    """The rows of the whole network at the end: raw and adjusted."""
    frame = compare(
        [a, b], network=network, measures=["sign-similarity"], alignments=[aligned], n_null=n_null, **options
    )
    return {row["measure"]: row for row in frame.filter(layer="all", side="end").iter_rows(named=True)}


def test_units_by_hand():
    x = np.array([[1, -1, 0, 1], [0, 0, 0, 0]], float)
    y = np.array([[1, 1, -1, 0], [1, -1, 0, 1], [-1, 1, 0, -1], [0, 0, 0, 0]], float)
    # first with first: one equal, one opposite, four in either; then itself, its opposite, nothing
    assert similarity_of_signs(x, y).tolist() == [[0, 1, -1, 0], [0, 0, 0, 0]]
    assert similarity_of_signs(np.array([[1.0, 1, 1]]), np.array([[1.0, 0, 0]])).tolist() == [[1 / 3]]


def test_value_by_hand_after_matching():
    a = ternary("a", fc1=[[1, 1, 0], [0, -1, -1]], fc2=[[1, -1]])
    b = ternary("b", fc1=[[1, -1, -1], [1, 1, 0]], fc2=[[-1, -1]])
    # crossed: rows equal (2 of 2), then {-1, -1} against {., 1} (2 equal of 3); output [1, -1] against [-1, -1]
    frame = compare(
        [a, b], network=mlp(3, 2, 1), measures=["sign-similarity"], alignments=["signed"], n_null=1
    )
    values = dict(frame.filter(measure="sign-similarity", side="end").select("layer", "value").rows())
    assert values == pytest.approx({"fc1.weight": 4 / 5, "fc2.weight": 0 / 2, "all": 4 / 7})


@pytest.mark.parametrize("seed", range(3))
def test_it_lies_between_its_bounds_and_opposites_reach_the_lower(seed):
    a, b = random_subject(seed, WIDTHS, 0.3), random_subject(seed + 10, WIDTHS, 0.3)
    assert -1 < similarity(a, b, mlp(*WIDTHS))["sign-similarity"]["value"] < 1
    opposite = replace(a, name="opposite", end={name: -x for name, x in a.end.items()})
    assert similarity(a, opposite, mlp(*WIDTHS), aligned="raw")["sign-similarity"]["value"] == -1


def test_only_signs_count():
    a, b = random_subject(1, WIDTHS, 0.3), random_subject(2, WIDTHS, 0.3)
    scaled = {
        name: x * torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).add(0.1)
        for name, x in b.end.items()
    }
    before, after = (similarity(a, other, mlp(*WIDTHS)) for other in (b, replace(b, end=scaled)))
    assert before["sign-similarity"]["value"] == after["sign-similarity"]["value"]


@pytest.mark.parametrize("seed", range(10))
def test_a_relabelled_copy_of_a_very_sparse_network_is_the_same(seed):
    """A third of the units and more have one input or none, and many rows are equal."""
    network, subject = mlp(10, 40, 30, 4), random_subject(seed, (10, 40, 30, 4), 0.12)
    inputs = subject.mask["fc1.weight"].sum(1)
    assert (inputs <= 1).float().mean() > 1 / 3
    rows = subject.signs("end")["fc1.weight"]
    assert len(np.unique(rows, axis=0)) < len(rows)
    copy = replace(network.relabelled(subject, shuffled(network, seed)), name="copy")
    found = similarity(subject, copy, network)
    assert found["sign-similarity"]["value"] == 1
    assert found["sign-similarity-adjusted"]["value"] == 1


@pytest.mark.parametrize("seed", range(10))
def test_a_relabelled_copy_is_the_same_where_layers_nearly_fall_apart(seed):
    """Two connections a unit and fewer, over four hidden layers: most rows are empty or equal to others."""
    widths = (10, 30, 30, 30, 30, 4)
    network, subject = mlp(*widths), random_subject(seed, widths, 0.06)
    copy = replace(network.relabelled(subject, shuffled(network, seed)), name="copy")
    assert similarity(subject, copy, network)["sign-similarity"]["value"] == 1


def test_colours_do_not_depend_on_the_order_of_units():
    network, subject = mlp(*WIDTHS), random_subject(1, WIDTHS, 0.3)
    order = shuffled(network, 4)
    mine, theirs = (
        colours({name: x.astype(float) for name, x in s.signs("end").items()}, network)
        for s in (subject, network.relabelled(subject, order))
    )
    for here, there, units in zip(mine, theirs, order, strict=True):
        assert (here[units] == there).all()
        assert len(np.unique(here)) == len(here)  # no two units of this network have the same place


def test_colours_by_hand():
    """Units 0 and 1 differ by the sign that they read, 2 and 3 by the sign that they write, 4 and 5 in nothing."""
    network = mlp(2, 6, 1)
    units = [[1, 0], [-1, 0], [0, 1], [0, 1], [1, 1], [1, 1]]
    signs = ternary("a", fc1=units, fc2=[[1, 1, 1, -1, 1, 1]]).signs("end")
    found = colours({name: x.astype(float) for name, x in signs.items()}, network)[0]
    assert len(np.unique(found)) == 5
    assert found[4] == found[5]


def test_chance_is_zero_on_average_after_adjustment():
    """Over pairs of unrelated networks; without adjustment the matching makes it clearly positive."""
    network, raw, adjusted = mlp(12, 10, 8, 3), [], []
    for seed in range(40):
        pair = [random_subject(2 * seed + k, (12, 10, 8, 3), 0.4) for k in range(2)]
        found = similarity(*pair, network, n_null=10)
        raw.append(found["sign-similarity"]["value"])
        adjusted.append(found["sign-similarity-adjusted"]["value"])
    error = np.std(adjusted, ddof=1) / np.sqrt(40)
    assert np.mean(raw) > 10 * error
    assert abs(np.mean(adjusted)) < 4 * error


def partly_shared(seed: int, shared: float) -> Subject:
    """A network that has a share of its first layer in common with all of its kind, in an order of its own."""
    own, common = random_subject(100 + seed, WIDTHS, 0.3), random_subject(0, WIDTHS, 0.3)
    units = int(shared * WIDTHS[1])
    end, mask = dict(own.end), dict(own.mask)
    for name in ("fc1.weight",):
        end[name] = torch.cat([common.end[name][:units], own.end[name][units:]])
        mask[name] = torch.cat([common.mask[name][:units], own.mask[name][units:]])
    made = replace(own, mask=Mask(mask), end=end, start=None, dense=None)
    network = mlp(*WIDTHS)
    return replace(network.relabelled(made, shuffled(network, seed)), name=f"{shared}/{seed}")


def test_shared_structure_is_found_in_any_order_and_grows_with_its_share():
    values = []
    for shared in (0.0, 0.3, 0.6):
        found = similarity(partly_shared(1, shared), partly_shared(2, shared), mlp(*WIDTHS), n_null=19)
        values.append(found["sign-similarity-adjusted"])
    assert values[0]["p"] > 0.05 == values[1]["p"] == values[2]["p"]
    assert values[0]["value"] < 0.05 < values[1]["value"] < values[2]["value"]
    raw = similarity(partly_shared(1, 0.6), partly_shared(2, 0.6), mlp(*WIDTHS), n_null=19, aligned="raw")
    assert raw["sign-similarity-adjusted"]["value"] < 0.05


def test_shuffled_signs_tell_whether_signs_are_shared_beyond_the_mask():
    """Two tickets with one mask and unrelated signs: far from shuffled masks, at chance for shuffled signs."""
    a = random_subject(1, WIDTHS, 0.3)
    signs = torch.Generator().manual_seed(0)
    other = {name: x.abs() * torch.randn(x.shape, generator=signs).sign() for name, x in a.end.items()}
    frame = compare(
        [a, replace(a, name="b", end=other)],
        measures=["ternary-agreement", "sign-similarity"],
        nulls=["layer-shuffle", "sign-shuffle"],
        n_null=39,
    ).filter(layer="all", side="end")
    far, near = (
        frame.filter(measure="ternary-agreement", null=null)["z"].item()
        for null in ("layer-shuffle", "sign-shuffle")
    )
    assert far > 10
    assert abs(near) < 4
    assert (
        frame.filter(pl.col("measure") == "sign-similarity", pl.col("null") == "sign-shuffle")["p"].item()
        > 0.02
    )


def test_the_order_of_the_two_matters_little():
    """Local optima may differ, the first pass and the value do not."""
    a, b = random_subject(1, WIDTHS, 0.3), random_subject(2, WIDTHS, 0.3)
    there, back = (similarity(*pair, mlp(*WIDTHS))["sign-similarity"]["value"] for pair in ((a, b), (b, a)))
    assert there == pytest.approx(back, abs=0.02)
    assert len(align(a, b, mlp(*WIDTHS), "signed")) == 2
