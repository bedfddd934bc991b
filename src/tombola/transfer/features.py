"""What can be seen of each weight before training and a few steps into it: what membership in a ticket is told from.

Features are columns beside each other, a row a weight. Magnitude, sign and ranks are those of Frankle & Carbin (2019,
App. F); saliency at the start that of SNIP, GraSP and SynFlow (Frankle et al. 2021 compare them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tombola.masks.criteria import CRITERIA, Weights
from tombola.masks.mask import Mask
from tombola.masks.probe import Probe
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.seeds import stream

Floats = NDArray[np.float64]
SALIENCIES = ("snip", "grasp", "synflow")
"""Criteria that say at the start what a weight is worth."""
AT_START, EARLY, VOTES = "|w| at start", "|w| after k", "votes"


@dataclass(frozen=True)
class Columns:
    """Features of the weights of one tensor: `values` [weights, features], weights in the order of memory."""

    names: tuple[str, ...]
    values: Floats

    @classmethod
    def of(cls, named: Mapping[str, Floats]) -> Columns:
        """Columns [weights] each, by their names."""
        return cls(tuple(named), np.stack(list(named.values()), axis=1))

    def beside(self, other: Columns) -> Columns:
        """These columns, and then those."""
        return Columns((*self.names, *other.names), np.hstack([self.values, other.values]))

    def column(self, name: str) -> Floats:
        """One of them, [weights]."""
        found: Floats = self.values[:, self.names.index(name)]
        return found


Table = Mapping[str, Columns]
"""Tensor name -> the features of its weights."""


@dataclass(frozen=True)
class Young:
    """A network before its training and k steps into it; `early` is `initial` where k is 0.

    `saliency` is the kind of a score -> tensor name -> scores of the early network. `inputs` are mean and deviation
    of each input over training examples, [2, *input shape]: empty where the network's inputs are not known.
    """

    initial: State
    early: State
    saliency: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    inputs: Floats = field(default_factory=lambda: np.empty((2, 0)))

    @property
    def untrained(self) -> bool:
        """Whether no step was taken."""
        return self.early is self.initial


def saliency(probe: Probe, state: State, names: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """The scores of `SALIENCIES` of a dense network, each in one round. SynFlow is left out where inputs are whole
    numbers, of which none stands for one."""
    rng = stream("unused")
    kinds = [kind for kind in SALIENCIES if kind != "synflow" or probe.reads_numbers]
    return {
        kind: {
            name: CRITERIA[kind](Weights(state[name].double(), state[name].double(), rng, name, None, probe))
            for name in names
        }
        for kind in kinds
    }


def seen(architecture: Architecture, young: Young) -> dict[str, Columns]:
    """The features of every prunable tensor of a network. A tensor is a matrix of output units by input features."""
    first = architecture.prunable[0]
    return {
        name: Columns.of(
            {**_of_weights(young, name), **(_of_inputs(architecture, young) if name == first else {})}
        )
        for name in architecture.prunable
    }


def earlier(architecture: Architecture, aligned: Sequence[Mask]) -> dict[str, Columns]:
    """What the tickets of other replicates say, their units in the order of this network's: for each weight the share
    of them that keep it and, where no unit is hidden at that end (inputs of the first tensor, outputs of the last),
    the share of their weights that live there."""
    first, last = architecture.prunable[0], architecture.prunable[-1]
    found = {}
    for name in architecture.prunable:
        votes = np.mean([matrix(mask[name]) for mask in aligned], axis=0)
        named = {VOTES: votes}
        if name == first:
            named["votes at input"] = np.broadcast_to(votes.mean(0, keepdims=True), votes.shape)
        if name == last:
            named["votes at output"] = np.broadcast_to(votes.mean(1, keepdims=True), votes.shape)
        found[name] = Columns.of({key: value.reshape(-1) for key, value in named.items()})
    return found


def joined(one: Table, other: Table) -> dict[str, Columns]:
    """Features of the same network, tensor by tensor."""
    return {name: one[name].beside(other[name]) for name in one}


def matrix(tensor: Tensor) -> Floats:
    """[output units, input features] in double precision."""
    return np.asarray(tensor.detach().double().reshape(len(tensor), -1).numpy())


def _of_weights(young: Young, name: str) -> dict[str, Floats]:
    start, now = matrix(young.initial[name]), matrix(young.early[name])
    named = {AT_START: np.abs(start), "sign at start": np.sign(start), **_places(np.abs(start), "at start")}
    if not young.untrained:
        named |= {
            EARLY: np.abs(now),
            "growth": np.abs(now) - np.abs(start),
            "movement": np.abs(now - start),
            **_places(np.abs(now), "after k"),
        }
    named |= {kind: _rank(matrix(scores[name]), None) for kind, scores in young.saliency.items()}
    return {key: value.reshape(-1) for key, value in named.items()}


def _places(size: Floats, when: str) -> dict[str, Floats]:
    """Where a weight stands among those that its unit reads and those that its input feeds, and how strong these are
    together."""
    return {
        f"rank into unit {when}": _rank(size, 1),
        f"rank out of input {when}": _rank(size, 0),
        f"strength of unit {when}": np.broadcast_to(size.mean(1, keepdims=True), size.shape),
        f"strength of input {when}": np.broadcast_to(size.mean(0, keepdims=True), size.shape),
    }


def _rank(values: Floats, axis: int | None) -> Floats:
    """The share of the values that are smaller, along an axis or of all; equal ones stand at their mean."""
    from scipy.stats import rankdata

    count = values.size if axis is None else values.shape[axis]
    ranks: Floats = (rankdata(values, axis=axis).reshape(values.shape) - 0.5) / count
    return ranks


def _of_inputs(architecture: Architecture, young: Young) -> dict[str, Floats]:
    """Of the first tensor, where it reads the inputs one by one: mean, deviation and place of each input."""
    shape = architecture.shapes[architecture.prunable[0]]
    units, width = shape[0], prod(shape[1:])
    if young.inputs.size != 2 * width or len(shape) != 2:
        return {}
    known = {"input mean": young.inputs[0], "input deviation": young.inputs[1]}
    if len(architecture.input_shape) == 3:
        rows, columns = np.indices(architecture.input_shape)[1:].astype(np.float64)
        known |= {"input row": rows, "input column": columns}
    return {name: np.tile(value.reshape(-1), units) for name, value in known.items()}
