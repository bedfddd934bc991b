"""One network with convolutions as flat arrays, in the order the compiled loops take them: see conv_kernels.py."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tombola.training.engines.compiled import conv_kernels, sparse_kernels
from tombola.training.engines.compiled.conv_drains import fused, rooms, shares_sum
from tombola.training.engines.compiled.conv_graph import Drop, Graph, Norm, Shape, Window
from tombola.training.engines.compiled.conv_kernels import (
    CONV,
    DROP,
    LARGEST,
    MEAN,
    NORM,
    SUM,
    DropRow,
    PassRow,
    Room,
    StepRow,
    Trunk,
    ValueRow,
)
from tombola.training.engines.compiled.conv_planes import planes
from tombola.training.engines.compiled.conv_sweeps import Sweep, backward, forward
from tombola.training.engines.compiled.sparse_layout import (
    Bools,
    Floats,
    Ints,
    Living,
    Pace,
    Scales,
    aligned,
    alive_in,
)
from tombola.training.noise import UNIFORM_BITS, hash64
from tombola.training.stack import Stack


class Convolved:
    """The weights and biases of network r, read from the stack and written back to it: what comes before the linear
    layers as a `Trunk`, these as a `Living`.

    How a layer is stored depends on the network's own masks alone, so that it has the same bits in every stack.
    """

    def __init__(self, stack: Stack, graph: Graph, r: int, key: int = 0) -> None:
        graph = fused(graph)
        self._rooms = rooms(graph)
        self.head = Living(stack, graph.head, r)
        self._begun, self._key, self._drops = stack.iteration, key, list[Drop]()
        self.gated = graph.steps[-1].relu
        self._planes, self._channels = planes(graph, self._rooms), [value[0] for value in graph.values]
        masks = {
            i: spread(alive_in(stack, str(step.weight), r), step.groups)
            for i, step in enumerate(graph.steps)
            if step.convolves
        }
        lead = leads(graph, masks, self.head.leads)
        tables = _Tables()
        self._weights: list[tuple[Floats, Ints, slice]] = []
        self._biases: list[tuple[Floats, slice]] = []
        self._norms: list[tuple[Norm, slice]] = []
        self._buffers = {name: tensor[r : r + 1].numpy() for name, tensor in stack.buffers.items()}
        biased = list[Bools]()
        for i, step in enumerate(graph.steps):
            row = _step_row(graph, i)
            if step.window and step.convolves:
                alive, source, result = masks[i], self._planes[step.source], self._planes[i + 1]
                ahead = forward(step.window, alive, lead[i + 1], source, result)
                back = []
                if step.source > 0:
                    back = backward(step.window, alive, lead[step.source], lead[i + 1], source, result)
                kept = np.concatenate([ahead.weights, np.setdiff1d(np.flatnonzero(alive), ahead.weights)])
                row = tables.convolution(row, alive, ahead, kept, back, result.zeros - result.origin)
                kept = gathered(kept, alive.shape, step.groups)
            elif step.norm:
                kept = np.arange(self._channels[i + 1])
                row = tables.norm(row, step.norm, lead[i + 1])
                self._norms.append((step.norm, slice(row.norm, row.norm + row.units)))
            elif step.drop:
                row = row._replace(number=tables.drop(step.drop))
                self._drops.append(step.drop)
            tables.steps.append(row)
            if step.weight:
                tensor = stack.params[step.weight][r].numpy().reshape(-1)
                self._weights.append((tensor, kept, slice(row.place, row.place + row.weights)))
                biased.append(np.full(row.units, step.bias is not None))
            if step.bias:
                own = slice(row.bias, row.bias + row.units)
                self._biases.append((stack.params[step.bias][r].numpy(), own))
        below = np.cumsum([self.head.inputs, *self.head.widths])
        for place, drop in graph.drops:
            tables.drop(drop, int(below[place]), self.head.widths[place])
            self._drops.append(drop)
        self._drops_units = bool(graph.drops)
        self.arrays = tables.trunk(self._values(1)[0], np.concatenate(biased))
        self.read()

    def _values(self, blocks: int) -> tuple[list[ValueRow], int]:
        """The table of values where each has room for so many blocks, and the rows that their gradients take."""
        rows, base, drain, drains = list[ValueRow](), 0, 0, dict[int, int]()
        apart = blocks if self._norms else 1  # a batch norm needs the gradients of all blocks
        for plane, channels, room in zip(self._planes, self._channels, self._rooms, strict=True):
            lines = plane.rows, plane.height, plane.width, plane.pitch, plane.origin
            size, spare = channels * plane.rows, plane.broad - plane.width
            if room not in drains:
                drains[room], drain = drain, drain + apart * size
            rows.append(ValueRow(base, channels, *lines, size, drains[room], size if apart > 1 else 0, spare))
            base += blocks * size
        return rows, drain

    def read(self) -> None:
        """Take the weights from the stack."""
        self.head.read()
        for weight, places, part in self._weights:
            self.arrays.w[part] = weight[places]
        for bias, own in self._biases:
            self.arrays.bias[own] = bias
        for norm, own in self._norms:
            for i, name in enumerate((norm.mean, norm.variance)):
                self.arrays.running[i, own] = self._buffers[name][0]

    def write(self) -> None:
        """Put the weights into the stack; dead ones there stay what they are."""
        self.head.write()
        for weight, places, part in self._weights:
            weight[places] = self.arrays.w[part]
        for bias, own in self._biases:
            bias[:] = self.arrays.bias[own]
        for norm, own in self._norms:
            for i, name in enumerate((norm.mean, norm.variance)):
                self._buffers[name][0] = self.arrays.running[i, own]

    @property
    def classes(self) -> int:
        """How many logits there are."""
        classes: int = self.head.classes
        return classes

    def moments(self) -> dict[str, Floats]:
        """The optimizer's state before the first step."""
        head = {f"head.{name}": state for name, state in self.head.moments().items()}
        return {
            "weights": np.zeros((2, len(self.arrays.w)), np.float32),
            "biases": np.zeros((2, len(self.arrays.bias)), np.float32),
            **head,
        }

    def advance(
        self, moments: dict[str, Floats], laid: NDArray[Any], labels: Ints, scales: Scales, pace: Pace
    ) -> None:
        """Train on batches [steps, features, lanes] with labels [steps, batch]."""
        trunk, room = self.room(labels.shape[1], laid.shape[2])
        states = moments["weights"], moments["biases"], moments["head.weights"], moments["head.biases"]
        for norm, _ in self._norms:
            self._buffers[norm.counter] += len(laid)
        conv_kernels.advance(
            trunk,
            self.head.arrays,
            states,
            laid,
            labels,
            *scales,
            pace.rates,
            pace.rule,
            pace.taken,
            room,
            self.gated,
            self._stems(range(self._begun + pace.taken, self._begun + pace.taken + len(laid))),
        )

    def _stems(self, iterations: range) -> Ints:
        """What each dropout counts from in each step, [steps, drops], as `Noise.stem` has it."""
        at = torch.arange(iterations.start, iterations.stop)
        stems = [hash64(hash64(torch.tensor(self._key + drop.layer)) + at) for drop in self._drops]
        return torch.stack(stems, 1).numpy() if stems else np.zeros((len(at), 0), np.int64)

    def score(self, blocks: NDArray[Any], labels: Ints, scales: Scales) -> tuple[float, int]:
        """Summed cross-entropy (nats) and number of hits on blocks [n, features, lanes] with labels [examples]."""
        trunk, room = self.room(blocks.shape[2], blocks.shape[2], training=False)
        found: tuple[float, int] = conv_kernels.score(trunk, self.head.arrays, blocks, labels, *scales, room)
        return found

    def logits(self, x: Floats, out: Floats) -> None:
        """Logits of normalised examples [n, features] into out [n, classes]."""
        trunk, room = self.room(sparse_kernels.LANES, sparse_kernels.LANES, training=False)
        ones = np.ones(x.shape[1], np.float32)
        conv_kernels.logits(trunk, self.head.arrays, np.ascontiguousarray(x), 0 * ones, ones, room, out)

    def room(self, batch: int, lanes: int, training: bool = True) -> tuple[Trunk, Room]:
        """The arrays for batches of this size, and what the loops work in."""
        blocks = -(-batch // conv_kernels.LANES)
        values, drain = self._values(blocks)
        # Groups that reach beyond the last plane read what is never used.
        beyond = max(4 * plane.stride * plane.pitch + 64 for plane in self._planes)
        size = values[-1].base + blocks * values[-1].size + beyond
        head, biases = self.head, len(self.arrays.bias)
        room = Room(
            h=aligned(conv_kernels.LANES * size),
            d=aligned(conv_kernels.LANES * (drain + beyond) if training else 0),
            rows=head.rows(lanes),
            deltas=head.rows(lanes),
            x=aligned(head.features * lanes),
            g=aligned(head.gradients),
            gc=aligned(len(self.arrays.w) + 8)[: len(self.arrays.w)],
            gb=aligned(biases * conv_kernels.LANES),
            none=aligned(max(self._channels)),
            found=np.zeros((max(self._channels), 2)),
            factors=np.ones(len(head.rows(lanes)) if training and self._drops_units else 0, np.float32),
        )
        return self.arrays._replace(values=np.array(values, np.int64)), room


def spread(alive: Bools, groups: int) -> Bools:
    """A mask [units, channels of a group, rows, columns] as one over all channels."""
    units, each = alive.shape[:2]
    whole = np.zeros((groups, units // groups, groups, *alive.shape[1:]), bool)
    for group in range(groups):
        whole[group, :, group] = alive.reshape(groups, units // groups, *alive.shape[1:])[group]
    return whole.reshape(units, groups * each, *alive.shape[2:])


def gathered(places: Ints, shape: tuple[int, ...], groups: int) -> Ints:
    """Places in a flattened mask of that shape, over all channels, as those in the weight of a convolution."""
    unit, channel, *rest = np.unravel_index(places, shape)
    each = shape[1] // groups
    return np.ravel_multi_index((unit, channel % each, *rest), (shape[0], each, *shape[2:]))


def leads(graph: Graph, masks: Mapping[int, Bools], features: Bools) -> list[Bools]:
    """Of each channel of each value: whether living weights lead from it to the output. `features` says so of what the
    first linear layer reads."""
    found = [np.zeros(value[0], bool) for value in graph.values]
    found[-1] |= np.asarray(features.reshape(len(found[-1]), -1).any(1))
    for i in reversed(range(len(graph.steps))):
        after = found[i + 1]
        for source in graph.steps[i].sources:
            found[source] |= np.asarray(masks[i][after].any((0, 2, 3)) if i in masks else after)
    return found


def _step_row(graph: Graph, i: int) -> StepRow:
    """What the graph says of a step; what it takes to compute it is left at 0."""
    step, window = graph.steps[i], graph.steps[i].window or Window(1, 1)
    kind = NORM if step.norm else CONV if step.convolves else SUM if step.other is not None else MEAN
    kind = DROP if step.drop else kind
    read = {source for later in graph.steps[i + 1 :] for source in later.sources}
    fresh, fresh_too = (int(each not in read) for each in (step.source, step.sources[-1]))
    gated, gated_too = (
        int(each > 0 and graph.steps[each - 1].relu) for each in (step.source, step.sources[-1])
    )
    return StepRow(
        kind=LARGEST if step.largest else kind,
        source=step.source,
        to=i + 1,
        relu=int(step.relu),
        fresh=fresh,
        gated=gated,
        high=window.rows,
        wide=window.columns,
        stride=window.stride,
        up=window.up,
        left=window.left,
        shares=int(shares_sum(graph, i)),
        tiles=int(_tiles(window, graph.values[step.source])),
        other=-1 if step.other is None else step.other,
        fresh_too=fresh_too,
        gated_too=gated_too,
    )


def _tiles(window: Window, value: Shape) -> bool:
    """Whether windows without padding meet each place of an image once."""
    square = window.rows == window.columns == window.stride and window.up == window.left == 0
    return square and all(side % window.stride == 0 for side in value[1:])


class _Tables:
    """The arrays of a trunk as they grow, step by step."""

    def __init__(self) -> None:
        self.steps: list[StepRow] = []
        self.passes: list[PassRow] = []
        self.drops: list[DropRow] = []
        self.places, self.unit, self.ptr = list[Ints](), list[Ints](), list[Ints]()
        self.source, self.drain, self.turned = list[Ints](), list[Ints](), list[Ints]()
        self.leading = [np.zeros(0, bool)]
        self.settings = [np.zeros((0, 2))]
        self.groups = self.runs = self.weights = self.turns = self.biases = 0

    def convolution(
        self, row: StepRow, alive: Bools, ahead: Sweep, kept: Ints, back: list[Sweep], zeros: int
    ) -> StepRow:
        """Take in the passes of a convolution; weights are numbered as they are `kept`. Gives its row."""
        row = row._replace(number=len(self.passes), backs=len(back), place=self.weights, bias=self.biases)
        self._pass(ahead, self.weights)
        # What fills up a tile is written to rows of their own, but where gradients are read it is zeros.
        filled = np.arange(len(ahead.places)) >= len(ahead.places) - ahead.filling
        keys = self._groups(np.where(filled[:, None] & [False, True], zeros, ahead.places))
        self.source.append(np.append(ahead.source, np.zeros(len(kept) - len(ahead.source), np.int64)))
        number = np.zeros(alive.size, np.int64)
        number[kept] = self.weights + np.arange(len(kept))
        for each in back:
            self._pass(each, self.turns)
            self.drain.append(each.source)
            self.turned.append(number[each.weights])
            self.turns += len(each.weights)
        self.weights += len(kept)
        self.biases += len(alive)
        return row._replace(keys=keys, weights=len(kept), units=len(alive))

    def norm(self, row: StepRow, norm: Norm, leading: Bools) -> StepRow:
        """Take in a batch norm, whose scales count as weights; gives its row."""
        row = row._replace(place=self.weights, bias=self.biases, weights=len(leading), units=len(leading))
        row = row._replace(norm=sum(len(each) for each in self.leading))
        self.leading.append(leading)
        self.settings.append(np.tile([[norm.eps, norm.momentum]], (len(leading), 1)))
        self.source.append(np.zeros(len(leading), np.int64))  # in no pass
        self.weights += len(leading)
        self.biases += len(leading)
        return row

    def drop(self, drop: Drop, unit: int = 0, units: int = 0) -> int:
        """Take in a dropout, perhaps of units of the linear layers; gives its number."""
        self.drops.append(DropRow(round(drop.p * (1 << UNIFORM_BITS)), int(drop.whole), unit, units))
        return len(self.drops) - 1

    def _pass(self, sweep: Sweep, first: int) -> None:
        runs = len(sweep.units) // sweep.blocks
        groups = self._groups(sweep.places), len(sweep.places)
        ways = sweep.read, sweep.written, sweep.step, sweep.gap
        self.passes.append(PassRow(self.runs, runs, sweep.blocks, *groups, *ways))
        # One more end than there are runs, and a unit for it that is never read.
        self.unit.append(np.append(sweep.units, 0))
        self.ptr.append(first + np.append(0, np.cumsum(sweep.lengths)))
        self.runs += len(sweep.units) + 1

    def _groups(self, places: Ints) -> int:
        first = self.groups
        self.places.append(places.reshape(-1))
        self.groups += len(places)
        return first

    def trunk(self, values: list[ValueRow], biased: Bools) -> Trunk:
        """All of it."""
        none = [np.zeros(0, np.int64)]
        cuts = [0, *(i for i, step in enumerate(self.steps) if step.kind == NORM), len(self.steps)]
        leading = np.concatenate(self.leading)
        return Trunk(
            steps=np.array(self.steps, np.int64),
            values=np.array(values, np.int64),
            drops=np.array(self.drops, np.int64).reshape(-1, len(DropRow._fields)),
            passes=np.array(self.passes, np.int64),
            places=np.concatenate(self.places),
            unit=np.concatenate(self.unit),
            ptr=np.concatenate(self.ptr),
            source=np.concatenate(self.source).astype(np.int32),
            drain=np.concatenate(self.drain + none).astype(np.int32),
            turned=np.concatenate(self.turned + none).astype(np.int32),
            biased=biased,
            w=np.zeros(self.weights, np.float32),
            back=np.zeros(self.turns, np.float32),
            bias=np.zeros(self.biases, np.float32),
            parts=np.array(list(pairwise(cuts)), np.int64),
            leading=leading,
            settings=np.concatenate(self.settings),
            running=np.zeros((2, len(leading)), np.float32),
            now=np.zeros((5, len(leading)), np.float32),
        )
