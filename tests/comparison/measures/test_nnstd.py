"""NNSTD as a measure of its own, against brute force; and folders that hold folders of matrices."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix, save_npz

from support.compare_parts import mlp, random_subject, shuffled, ternary
from tombola.alignment.subject import Subject
from tombola.comparison.importers import subjects_from
from tombola.comparison.pairs import compare
from tombola.errors import UserError

WIDTHS = (9, 5, 5, 3)


def masks(subject: Subject) -> list[np.ndarray]:
    """Each layer's mask [units, inputs]."""
    return [subject.mask[name].numpy() for name in sorted(subject.mask)]


def by_hand(one: list[np.ndarray], two: list[np.ndarray]) -> list[list[float]]:
    """Every list of layer distances that best matchings lead to: sets of inputs, all orders of units tried."""
    found: list[list[float]] = []

    def on(depth: int, order: tuple[int, ...], distances: list[float]) -> None:
        if depth == len(one):
            found.append(distances)
            return
        a, b = one[depth], two[depth][:, list(order)]  # b's inputs in a's order
        cost = [[1 - (x & y).sum() / (x | y).sum() if (x | y).any() else 0.0 for y in b] for x in a]
        units = range(len(a))
        ways = [tuple(units)] if depth == len(one) - 1 else list(permutations(units))
        costs = {way: sum(cost[i][way[i]] for i in units) for way in ways}
        for way, total in costs.items():
            if total <= min(costs.values()) + 1e-12:
                on(depth + 1, way, [*distances, total / len(a)])

    on(0, tuple(range(one[0].shape[1])), [])
    return found


def distances(a: Subject, b: Subject, **options: object) -> dict[str, float]:
    return dict(compare([a, b], measures=["nnstd"], n_null=2, **options).select("layer", "value").rows())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("density", [0.2, 0.5])
def test_the_distance_is_that_of_the_best_matching_layer_by_layer(seed: int, density: float) -> None:
    a, b = random_subject(seed, WIDTHS, density), random_subject(100 + seed, WIDTHS, density)
    found = distances(a, b, network=mlp(*WIDTHS))
    layers = [found[f"fc{i}.weight"] for i in (1, 2, 3)]
    assert any(np.allclose(layers, expected) for expected in by_hand(masks(a), masks(b)))
    assert found["all"] == pytest.approx(np.average(layers, weights=WIDTHS[1:]))  # the mean over units


def test_a_case_worked_out_by_hand() -> None:
    """a's units keep {0, 1} and {2}, b's {2, 3} and {0, 1}: matched crosswise at costs 0 and 1/2. The output keeps
    its second input in a, which is b's first once its inputs are in a's order, and b's own second: at cost 1."""
    a = ternary("a", fc1=[[1, 1, 0, 0], [0, 0, 1, 0]], fc2=[[0, 1]])
    b = ternary("b", fc1=[[0, 0, 1, 1], [1, 1, 0, 0]], fc2=[[0, 1]])
    assert distances(a, b) == {
        "fc1.weight": pytest.approx(0.25),
        "fc2.weight": pytest.approx(1.0),
        "all": pytest.approx(0.5),
    }


def test_it_is_zero_for_a_permuted_copy_and_less_than_by_chance_only_for_what_is_alike() -> None:
    network, subject = mlp(*WIDTHS), random_subject(1, WIDTHS, 0.5)
    copy = replace(network.relabelled(subject, shuffled(network, 2)), name="copy")
    assert set(distances(subject, copy, network=network).values()) == {0.0}
    wide = (60, 40, 30, 5)
    alike = random_subject(1, wide, 0.3)
    copy = replace(mlp(*wide).relabelled(alike, shuffled(mlp(*wide), 2)), name="copy")
    rows = [
        compare([alike, other], measures=["nnstd"], network=mlp(*wide), n_null=19).filter(layer="all")
        for other in (copy, random_subject(2, wide, 0.3))
    ]
    assert [rows[0]["p"].item(), rows[0]["value"].item()] == [0.05, 0.0]
    assert rows[1]["p"].item() > 0.05
    assert abs(rows[1]["z"].item()) < 4
    assert 0.5 < rows[1]["expected"].item() < 1 - 0.3 / 1.7  # matching finds likeness between random masks


def test_it_is_that_of_units_matched_by_masks_whatever_the_alignment() -> None:
    network = mlp(*WIDTHS)
    pair = [random_subject(seed, WIDTHS, 0.4) for seed in (3, 4)]
    frame = compare(
        pair,
        network=network,
        measures=["nnstd", "unit-distance"],
        alignments=["raw", "mask", "weights@end"],
        n_null=2,
    )
    aligned = frame.filter(measure="unit-distance", aligned="mask").select("layer", "value")
    own = frame.filter(measure="nnstd", aligned="raw").select("layer", "value")
    assert own.equals(aligned)
    first = frame.filter(measure="nnstd", layer="fc1.weight")["value"]
    assert np.ptp(first.to_numpy()) < 1e-12


def test_it_is_asked_for_by_name_or_family_alone() -> None:
    pair = [random_subject(seed, WIDTHS, 0.4) for seed in (3, 4)]
    assert "nnstd" not in compare(pair)["measure"].to_list()
    assert "nnstd" in compare(pair, measures=["topology"], n_null=1)["measure"].to_list()


def written(folder: Path, seed: int) -> None:
    """A folder of random sparse layers [inputs, outputs]."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for index, (inputs, outputs) in enumerate(pairwise((5, 4, 3))):
        dense = rng.random((inputs, outputs)) * (rng.random((inputs, outputs)) < 0.5)
        save_npz(folder / f"l{index}.npz", csr_matrix(dense))


def test_every_folder_of_matrices_below_a_folder_is_a_subject(tmp_path: Path) -> None:
    for seed, name in enumerate(["net/w10/last", "net/w2/last", "net/w2/first"]):
        written(tmp_path / name, seed)
    (tmp_path / "net" / "notes").mkdir()
    subjects = subjects_from(tmp_path / "net")
    assert [subject.name for subject in subjects] == ["net/w2/first", "net/w2/last", "net/w10/last"]
    [one] = subjects_from(tmp_path / "net" / "w2" / "last")
    assert one.mask == subjects[1].mask
    with pytest.raises(UserError, match=r"expected a folder of \.npz files"):
        subjects_from(tmp_path / "net" / "notes")
