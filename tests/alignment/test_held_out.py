"""Alignments that are held out: a tensor is laid by a matching that has not read it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from support.compare_parts import mlp, random_subject, shuffled
from tombola.alignment.align import ALIGNMENTS, align, align_tensors
from tombola.alignment.subject import Subject
from tombola.errors import UserError
from tombola.masks.mask import Mask

WIDTHS = (40, 30, 20, 10)
HELD_OUT = [name for name, alignment in ALIGNMENTS.items() if alignment.held_out]


def with_another(subject: Subject, weight: str) -> Subject:
    """The subject with one tensor, and its bias, of another network."""
    other = random_subject(99, WIDTHS, 0.4)
    taken = {weight, weight.replace("weight", "bias")}

    def mixed(state, others):
        return {name: others[name] if name in taken else x for name, x in state.items()}

    return replace(
        subject,
        mask=Mask({name: other.mask[name] if name == weight else x for name, x in subject.mask.items()}),
        start=mixed(subject.start, other.start),
        end=mixed(subject.end, other.end),
        dense=mixed(subject.dense, other.dense),
    )


@pytest.mark.parametrize("by", HELD_OUT)
def test_what_lays_a_tensor_has_read_neither_it_nor_its_bias(by):
    network, (a, b) = mlp(*WIDTHS), (random_subject(seed, WIDTHS, 0.4) for seed in (1, 2))
    before = align_tensors(a, b, network, by)
    for weight in a.mask:
        for pair in ((with_another(a, weight), b), (a, with_another(b, weight))):
            after = align_tensors(*pair, network, by)
            assert all((x == y).all() for x, y in zip(before[weight], after[weight], strict=True))
            others = (name for name in a.mask if name != weight)
            assert any(
                (x != y).any() for name in others for x, y in zip(before[name], after[name], strict=True)
            )


@pytest.mark.parametrize("by", HELD_OUT)
def test_the_others_find_where_a_tensor_belongs(by):
    network, subject = mlp(*WIDTHS), random_subject(1, WIDTHS, 0.5)
    planted = network.relabelled(subject, shuffled(network, 3))
    laid = network.collage(planted, align_tensors(subject, planted, network, by))
    assert laid.mask == subject.mask
    for which in ("start", "end", "dense", "dense start"):
        assert set(laid.weights(which)) == set(subject.mask)
        assert all(x.equal(subject.weights(which)[name]) for name, x in laid.weights(which).items())


def test_a_matching_of_tensors_is_none_of_the_network():
    network, pair = mlp(*WIDTHS), [random_subject(seed, WIDTHS, 0.4) for seed in (1, 2)]
    with pytest.raises(UserError, match=r"tensor by a matching of its own, expected .* 'weights@dense'$"):
        align(*pair, network, "weights@dense-held-out")


def test_the_fit_to_noise_is_in_the_whole_matching_alone():
    """Where nothing is shared, inner products of weights are 0 on average under a matching that has not read them."""
    network, sums = mlp(*WIDTHS), []
    for seed in range(30):
        a, b = (random_subject(1000 + 2 * seed + i, WIDTHS, 0.4) for i in range(2))
        whole = network.relabelled(b, align(a, b, network, "weights@dense"))
        parts = network.collage(b, align_tensors(a, b, network, "weights@dense-held-out"))
        sums.append(
            [[torch.corrcoef(torch.stack([a.dense[n].ravel(), x.dense[n].ravel()]))[0, 1] for n in a.mask]
             for x in (whole, parts)]
        )  # fmt: skip
    found = np.array(sums)  # [pairs, whole or held out, tensors]
    error = found.std(axis=0, ddof=1) / len(found) ** 0.5
    assert (found.mean(axis=0)[0] > 0.1).all()
    assert (np.abs(found.mean(axis=0)[1]) < 4 * error[1]).all()
