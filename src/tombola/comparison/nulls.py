"""Nulls: what a subject would be if the likeness that a measure looks for came about by chance.

A null makes from a subject another that keeps some of it and draws the rest at random. Mask, start, end and
dense weights are changed together, weight by weight, so that what ties them to one another (a mask keeps the
large weights of its dense network) stays: an alignment that reads one of them finds in the null as much to
fit as in the subject. Only `end-shuffle` and `dense-shuffle` cut such a tie, for the measures of one subject that
ask whether it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tombola.alignment.subject import Subject
from tombola.masks.mask import Mask
from tombola.masks.rewire import rewired
from tombola.masks.scramble import Order, order_of
from tombola.models.state import State
from tombola.registry import Registry

Null = Callable[[Subject, np.random.Generator], Subject]
NULLS: Registry[Null] = Registry("null")


@NULLS.register("layer-shuffle")
def layer_shuffle(subject: Subject, rng: np.random.Generator) -> Subject:
    """The same weights at random places of their layer, living or dead (Paganini & Forde 2020)."""
    return _moved(subject, _anywhere(subject, rng))


@NULLS.register("rewire")
def rewire(subject: Subject, rng: np.random.Generator) -> Subject:
    """Random connections that keep the degree of every unit and of every input (Strona et al. 2014)."""
    orders = {}
    for name, living in subject.living().items():
        rows = living.reshape(len(living), -1)
        orders[name] = _carried(rows, rewired(rows, rng), rng)
    return _moved(subject, orders)


@NULLS.register("scramble")
def scramble(subject: Subject, rng: np.random.Generator) -> Subject:
    """The ticket and its dense network scrambled together: degrees, largest weights and scales kept (house null).

    Without a dense network this is `rewire`.
    """
    if not subject.holds("dense"):
        return rewire(subject, rng)
    dense, living = subject.values("dense"), subject.living()
    return _moved(subject, {name: order_of(living[name], dense[name], rng) for name in living})


@NULLS.register("sign-shuffle")
def sign_shuffle(subject: Subject, rng: np.random.Generator) -> Subject:
    """The real mask and magnitudes, with the survivors' signs in random order within each layer (house null)."""
    orders = _within_mask(subject, rng)

    def change(name: str, tensor: Tensor) -> Tensor:
        flat = tensor.reshape(-1)
        signs = torch.sign(flat)[torch.from_numpy(orders[name])]
        return (flat.abs() * signs).view_as(tensor)

    return _with_weights(subject, change)


@NULLS.register("value-shuffle")
def value_shuffle(subject: Subject, rng: np.random.Generator) -> Subject:
    """The real mask, with the survivors' values in random order within each layer (house null)."""
    return _moved(subject, _within_mask(subject, rng))


@NULLS.register("end-shuffle")
def end_shuffle(subject: Subject, rng: np.random.Generator) -> Subject:
    """The survivors' final values in random order within each layer, mask and start as they are (house null)."""
    return replace(subject, end=_reordered(subject.end, _within_mask(subject, rng)))


@NULLS.register("dense-shuffle")
def dense_shuffle(subject: Subject, rng: np.random.Generator) -> Subject:
    """The dense network's weights at random places under the real mask (house null)."""
    orders = _anywhere(subject, rng)
    dense, start = (_reordered(state, orders) for state in (subject.dense, subject.dense_start))
    return replace(subject, dense=dense, dense_start=start)


@NULLS.register("unit-shuffle")
def unit_shuffle(subject: Subject, rng: np.random.Generator) -> Subject:
    """The units of each layer in random order, cut off from what reads them: each layer as it is (house null)."""
    orders = {}
    for name, shape in subject.mask.shapes.items():
        places = np.arange(subject.mask.size(name)).reshape(shape)
        orders[name] = places[rng.permutation(shape[0])].reshape(-1)
    return _moved(subject, orders)


@NULLS.register("kernel-shuffle")
def kernel_shuffle(subject: Subject, rng: np.random.Generator) -> Subject:
    """The same weights at random kernels, each at its own place of the kernel (house null)."""
    orders = {}
    for name, shape in subject.mask.shapes.items():
        places = np.arange(subject.mask.size(name)).reshape(shape[0] * shape[1], -1)
        orders[name] = rng.permuted(places, axis=0).reshape(-1)
    return _moved(subject, orders)


@NULLS.register("random-sparse")
def random_sparse(subject: Subject, rng: np.random.Generator) -> Subject:
    """Gaussian weights pruned by magnitude to the same count in every layer (house null)."""
    drawn = {name: torch.from_numpy(rng.standard_normal(bits.shape)) for name, bits in subject.mask.items()}
    mask = {}
    for name, weights in drawn.items():
        living = torch.zeros(weights.numel(), dtype=torch.bool)
        living[weights.abs().reshape(-1).argsort(descending=True)[: subject.mask.count(name)]] = True
        mask[name] = living.view(weights.shape)

    def change(name: str, tensor: Tensor) -> Tensor:
        return (drawn[name] * tensor.double().square().mean().sqrt()).to(tensor.dtype)

    return replace(_with_weights(subject, change), mask=Mask(mask))


def _anywhere(subject: Subject, rng: np.random.Generator) -> dict[str, Order]:
    """A random order of every layer."""
    return {name: rng.permutation(subject.mask.size(name)) for name in subject.mask}


def _within_mask(subject: Subject, rng: np.random.Generator) -> dict[str, Order]:
    """A random order of every layer's living weights, and one of its dead ones."""
    orders = {}
    for name, living in subject.living().items():
        order = np.arange(living.size)
        for places in (np.flatnonzero(living), np.flatnonzero(~living)):
            order[places] = rng.permutation(places)
        orders[name] = order
    return orders


def _moved(subject: Subject, orders: Mapping[str, Order]) -> Subject:
    """The subject with every weight of the masked tensors moved, in mask and states alike."""
    return subject.changed(lambda tensors: _in_order(tensors, orders))


def _reordered(state: State | None, orders: Mapping[str, Order]) -> State | None:
    return None if state is None else _in_order(state, orders)


def _in_order(tensors: Mapping[str, Tensor], orders: Mapping[str, Order]) -> State:
    return {
        name: tensor.reshape(-1)[torch.from_numpy(orders[name])].view_as(tensor) if name in orders else tensor
        for name, tensor in tensors.items()
    }


def _with_weights(subject: Subject, change: Callable[[str, Tensor], Tensor]) -> Subject:
    """The subject with other weights in the masked tensors of its states, under the mask it has."""

    def changed(state: State | None) -> State | None:
        if state is None:
            return None
        return {name: change(name, x) if name in subject.mask else x for name, x in state.items()}

    return subject.with_states(changed)


def _carried(old: NDArray[np.bool_], new: NDArray[np.bool_], rng: np.random.Generator) -> Order:
    """An order that takes each row's living weights to its new living places and its dead ones to the dead."""
    order = np.empty(old.shape, dtype=np.intp)
    width = old.shape[1]
    for row in range(len(old)):
        for alive in (True, False):
            order[row, new[row] == alive] = row * width + rng.permutation(np.flatnonzero(old[row] == alive))
    return order.reshape(-1)
