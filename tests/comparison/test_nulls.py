"""Nulls: what each keeps is kept exactly, what it draws anew differs, and it is drawn evenly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from support.compare_parts import random_subject, ternary
from tombola.alignment.subject import Subject
from tombola.comparison.nulls import NULLS
from tombola.masks.rewire import rewired

WIDTHS = (20, 15, 10, 4)
RNG = np.random.default_rng


def subject() -> Subject:
    made = random_subject(1, WIDTHS, 0.3)
    stem = torch.randn(1, generator=torch.Generator().manual_seed(1))
    return replace(made, start={**made.start, "norm.running_mean": stem})


@pytest.mark.parametrize("name", NULLS)
def test_every_null_keeps_counts_and_what_is_not_masked(name):
    old = subject()
    new = NULLS[name](old, RNG(0))
    assert new.mask.counts() == old.mask.counts()
    assert new.mask.shapes == old.mask.shapes
    assert torch.equal(new.start["norm.running_mean"], old.start["norm.running_mean"])
    assert torch.equal(new.dense["fc1.bias"], old.dense["fc1.bias"])
    for which in ("start", "end"):
        for weight in old.mask:
            dead = getattr(new, which)[weight][~new.mask[weight]]
            assert name == "random-sparse" or (dead == 0).all()


@pytest.mark.parametrize("name", NULLS)
def test_every_null_is_seeded_and_draws_something(name):
    old = subject()
    one, same, other = (NULLS[name](old, RNG(seed)) for seed in (0, 0, 1))
    which = "dense" if name == "dense-shuffle" else "end"
    here, again, elsewhere, before = (s.weights(which)["fc2.weight"] for s in (one, same, other, old))
    assert torch.equal(here, again)
    assert one.mask == same.mask
    assert not torch.equal(here, elsewhere)
    assert not torch.equal(here, before)


@pytest.mark.parametrize(
    "name", ["layer-shuffle", "rewire", "scramble", "value-shuffle", "unit-shuffle", "kernel-shuffle"]
)
def test_moving_nulls_move_all_that_belongs_to_a_weight(name):
    old = subject()
    new = NULLS[name](old, RNG(0))
    assert (new.mask != old.mask) == (name != "value-shuffle")
    for weight in old.mask:
        parts = [
            torch.stack(
                [
                    s.mask[weight].float(),
                    *(state[weight] for state in (s.start, s.end, s.dense, s.dense_start)),
                ]
            ).flatten(1)
            for s in (old, new)
        ]
        before, after = (sorted(map(tuple, part.T.tolist())) for part in parts)
        assert before == after


def test_value_shuffle_leaves_every_value_among_its_kind():
    old = subject()
    new = NULLS["value-shuffle"](old, RNG(0))
    for weight, living in old.mask.items():
        for places in (living, ~living):
            assert torch.equal(
                old.dense[weight][places].sort().values, new.dense[weight][places].sort().values
            )
    assert not torch.equal(old.end["fc1.weight"], new.end["fc1.weight"])


def test_end_shuffle_cuts_the_end_from_the_rest():
    old = subject()
    new = NULLS["end-shuffle"](old, RNG(0))
    for kept in ("start", "dense", "dense_start"):
        assert all(torch.equal(x, getattr(new, kept)[name]) for name, x in getattr(old, kept).items())
    for weight, living in old.mask.items():
        assert torch.equal(old.end[weight][living].sort().values, new.end[weight][living].sort().values)


def test_dense_shuffle_cuts_the_dense_network_from_the_mask():
    old = subject()
    new = NULLS["dense-shuffle"](old, RNG(0))
    assert new.mask == old.mask
    assert all(torch.equal(x, new.end[name]) for name, x in old.end.items())
    for weight in old.mask:  # both sides of a weight stay together, anywhere in the layer
        before, after = (
            sorted(
                zip(s.dense_start[weight].flatten().tolist(), s.dense[weight].flatten().tolist(), strict=True)
            )
            for s in (old, new)
        )
        assert before == after
        assert not torch.equal(old.dense[weight], new.dense[weight])


def test_unit_shuffle_keeps_the_rows_of_each_layer():
    old = subject()
    new = NULLS["unit-shuffle"](old, RNG(0))
    for weight in old.mask:
        assert sorted(map(tuple, new.end[weight].tolist())) == sorted(map(tuple, old.end[weight].tolist()))


def test_kernel_shuffle_keeps_each_place_of_the_kernel():
    living = RNG(0).random((6, 5, 3, 3)) < np.linspace(0.1, 0.9, 9).reshape(3, 3)
    old = ternary("a", conv=(living * RNG(1).standard_normal(living.shape)).tolist())
    new = NULLS["kernel-shuffle"](old, RNG(0)).end["conv.weight"].flatten(0, 1)
    before = old.end["conv.weight"].flatten(0, 1)
    assert torch.equal(new.sort(0).values, before.sort(0).values)
    whole = {tuple(kernel) for kernel in before.flatten(1).tolist()}
    assert sum(tuple(kernel) in whole for kernel in new.flatten(1).tolist()) <= 1


def test_nulls_do_without_weights():
    bare = ternary("a", fc1=[[1, 0, 1], [0, 0, 1]])
    bare = replace(bare, start=None, end=None, dense=None, dense_start=None)
    for name in NULLS:
        assert NULLS[name](bare, RNG(0)).mask.count() == 3


def test_layer_shuffle_reaches_every_place_evenly():
    one = ternary("a", fc1=[[1, 0, 0], [0, 0, 0]])
    hits = sum(NULLS["layer-shuffle"](one, RNG(seed)).mask["fc1.weight"].numpy() for seed in range(1200))
    assert hits.sum() == 1200
    assert np.abs(hits - 200).max() < 4.5 * np.sqrt(200 * 5 / 6)


def test_rewire_keeps_every_degree_and_every_weight_with_its_unit():
    old = subject()
    new = NULLS["rewire"](old, RNG(0))
    for weight in old.mask:
        before, after = old.mask[weight].numpy(), new.mask[weight].numpy()
        assert (before.sum(axis=0) == after.sum(axis=0)).all()
        assert (before.sum(axis=1) == after.sum(axis=1)).all()
        assert torch.equal(old.dense[weight].sort(1).values, new.dense[weight].sort(1).values)
        assert torch.equal(old.end[weight].sort(1).values, new.end[weight].sort(1).values)


def test_rewire_of_a_convolution_keeps_degrees_of_places_in_the_kernel():
    living = RNG(0).random((6, 3, 2, 2)) < 0.4
    new = (
        NULLS["rewire"](ternary("a", conv=living.astype(float).tolist()), RNG(0)).mask["conv.weight"].numpy()
    )
    assert (new != living).any()
    assert (new.sum(axis=0) == living.sum(axis=0)).all()
    assert (new.sum(axis=(1, 2, 3)) == living.sum(axis=(1, 2, 3))).all()


def test_rewiring_is_uniform_over_all_matrices_of_those_degrees():
    """The 3 x 3 matrices with all degrees 1 are the 6 permutations; chi-square of 5 degrees of freedom."""
    counts: dict[bytes, int] = {}
    for seed in range(1200):
        key = rewired(np.eye(3, dtype=bool), RNG(seed)).tobytes()
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 6
    assert sum((n - 200) ** 2 / 200 for n in counts.values()) < 25.7  # p = 1e-4


def test_rewiring_forgets_the_original_as_a_long_chain_does():
    matrix = RNG(0).random((30, 50)) < np.linspace(0.05, 0.5, 50)[None, :]

    def kept(rounds: int) -> np.ndarray:
        return np.array([np.mean(rewired(matrix, RNG(seed), rounds)[matrix]) for seed in range(20)])

    short, long = kept(20), kept(200)
    assert abs(short.mean() - long.mean()) < 4 * np.hypot(short.std(), long.std()) / np.sqrt(20)
    assert short.mean() < 0.6


def test_sign_shuffle_keeps_mask_magnitudes_and_sign_counts():
    old = subject()
    new = NULLS["sign-shuffle"](old, RNG(0))
    assert new.mask == old.mask
    for which in ("start", "end", "dense"):
        before, after = getattr(old, which), getattr(new, which)
        for weight, living in old.mask.items():
            assert torch.equal(before[weight].abs(), after[weight].abs())
            for places in (living, ~living):
                assert (before[weight][places] > 0).sum() == (after[weight][places] > 0).sum()
    flips = [
        (np.array(s.signs("start")["fc1.weight"]) != s.signs("end")["fc1.weight"]).sum() for s in (old, new)
    ]
    assert flips[0] == flips[1]  # both sides are shuffled alike


def test_random_sparse_nets_are_pruned_by_magnitude():
    old = subject()
    new = NULLS["random-sparse"](old, RNG(0))
    for weight, living in new.mask.items():
        size = new.dense[weight].abs()
        assert size[living].min() > size[~living].max()
        assert torch.equal(torch.sign(new.dense[weight]), torch.sign(new.start[weight]))
    rms = [s.dense["fc1.weight"].square().mean().sqrt() for s in (old, new)]
    assert rms[1] == pytest.approx(rms[0].item(), rel=0.2)


def test_what_subjects_hand_out_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        subject().living()["fc1.weight"][0, 0] = True
