"""Compiled loops of the sparse engine for networks with convolutions: living weights only, examples as the vector.

Layout. A value of the network (images, or what a layer makes of them) is [block, channel, place, 16]: a row is one
number of 16 examples, and a batch is as many blocks as it takes. Places are those of a padded image, row by row, so
that a weight reads at one fixed distance from the place it writes to; see conv_planes.py. So a convolution is a sum
of weights times runs of rows, and its cost is that of its living weights.

A tile is a few groups of GROUP neighbouring places of one channel. Its sums stay in registers for a run of weights:
those of one channel that read from one block of other channels, so that the rows they read stay in the first cache.
Gradients of what a convolution reads are sums of the same kind, with weights listed by the channel they read, once
for each phase of the stride. Gradients of weights are products of rows, eight weights at a time.

It is compiled together with parts of sparse_kernels.py, and the compiler looks at the time of this file alone: after
a change there, change this file too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba.core.cgutils
import numpy as np
from llvmlite import ir
from numba.core import types
from numpy.typing import NDArray

from tombola.training.engines.compiled import sparse_kernels
from tombola.training.engines.compiled.sparse_kernels import (
    _FAST,
    _FLOAT,
    _I64,
    _WIDE,
    _WORD,
    Bools,
    Floats,
    Ints,
    Network,
    Rule,
    Sources,
    _add,
    _add_product,
    _Array,
    _spread,
    _sums,
    _total,
    _vector,
    _whole,
    _zeros,
    compiled,
    emitted,
    softmax_gradient,
    update,
)
from tombola.training.noise import GOLDEN, MIX_1, MIX_2, UNIFORM_BITS

cgutils: Any = numba.core.cgutils
Doubles = NDArray[np.float64]

LANES = 16
"""Examples of a block: one cache line, and one register of the widest."""

GROUP = 4
"""Neighbouring places that are computed together."""

GROUPS = 4 if _WIDE else 1
"""Groups of a tile: 16 sums of 16 lanes, or 4 in two halves, stay in registers."""

PATCH = 4
"""Groups that are computed from the rows of one block of channels while these are in the first cache."""

ZERO, ONE = np.float32(0), np.float32(1)


class StepRow(NamedTuple):
    """A step in the table of steps; flags are 0 or 1."""

    kind: int
    source: int
    """The value that is read."""
    to: int
    """The value that is written."""
    relu: int
    """A ReLU ends the step."""
    fresh: int
    """No later step reads the source, so that its gradient is written, not added to."""
    gated: int
    """The source ended in a ReLU."""
    high: int
    """Of a pool, its window."""
    wide: int
    stride: int
    up: int
    """Of a pool, its padding above and to the left."""
    left: int
    tiles: int
    """Windows of a pool meet each place once."""
    number: int = 0
    """Of a convolution, the pass that computes it; of dropout, its row in the table of drops."""
    backs: int = 0
    """How many passes after that give the gradient of its source, one for each phase of the stride."""
    keys: int = 0
    """The groups of places for products: those of the pass, but what fills up the last tile is zeros."""
    place: int = 0
    """Its first weight."""
    weights: int = 0
    bias: int = 0
    """Its first bias, in a numbering of all channels that convolutions write."""
    units: int = 0
    """The channels it writes."""
    other: int = -1
    """Of a sum, also one that a batch norm ends with, the other value that is read, and what `fresh` and `gated` say of
    the source, of that one."""
    fresh_too: int = 0
    gated_too: int = 0
    norm: int = 0
    """Of a batch norm, its first channel in a numbering of all that are normalised."""
    shares: int = 0
    """Of a batch norm that adds another value, whether the gradient of that lies where that of the result does."""


class ValueRow(NamedTuple):
    """A value in the table of values; lengths are in rows."""

    base: int
    channels: int
    plane: int
    """From one channel to the next."""
    height: int
    width: int
    pitch: int
    """From one line of the image to the next."""
    origin: int
    """From the beginning of a plane to the image."""
    size: int
    """From one block to the next; gradients are those of one block at a time."""
    drain: int
    """Where its gradient begins."""
    apart: int
    """From one block of that to the next: 0 where blocks are handed down one by one."""
    spare: int
    """Columns beyond the width that are written without meaning and cleared."""


class DropRow(NamedTuple):
    """A dropout in the table of drops, of a value or of units of the linear layers; see training/noise.py."""

    least: int
    """Of 2**24 numbers that may be drawn, the first with which an entry is kept."""
    whole: int
    """A channel is dropped as a whole."""
    unit: int = -1
    """Of linear layers, the first unit in the numbering of their rows,"""
    units: int = 0
    """and how many."""


class PassRow(NamedTuple):
    """A pass over the places of a value in the table of passes."""

    run: int
    """Its first run."""
    runs: int
    """Runs in a block of the channels that are read."""
    blocks: int
    places: int
    """Its first group of places."""
    area: int
    """How many groups there are."""
    read: int
    """Where reading begins in a block of the value."""
    written: int
    step: int
    """How far apart neighbouring places are where they are read,"""
    gap: int
    """and where they are written."""


CONV, LARGEST, MEAN, NORM, SUM, DROP = range(6)
"""Kinds of steps: a convolution, a pool that takes the largest or the mean, a batch norm, a sum of two values, and
dropout."""

(
    KIND, SOURCE, TO, RELU, FRESH, GATED, HIGH, WIDE, STRIDE, UP, LEFT, TILES, PASS, BACKS, KEYS, PLACE, COUNT,
    BIAS, UNITS, OTHER, FRESH_TOO, GATED_TOO, FIRST, SHARES,
) = range(len(StepRow._fields))  # fmt: skip
BASE, CHANNELS, PLANE, HEIGHT, WIDTH, PITCH, ORIGIN, SIZE, DRAIN, APART, SPARE = range(len(ValueRow._fields))
RUN, RUNS, BLOCKS, PLACES, AREA, READ, WRITTEN, STEP, GAP = range(len(PassRow._fields))
LEAST, WHOLE, UNIT, OF = range(len(DropRow._fields))


class Trunk(NamedTuple):
    """What comes before the linear layers of one network, and its weights."""

    steps: Ints
    values: Ints
    drops: Ints
    passes: Ints
    places: Ints
    """Of each group, where it reads and where it writes."""
    unit: Ints
    """Of each run of weights: the channel it belongs to."""
    ptr: Ints
    """Where runs begin; after the last of a pass, where that ends."""
    source: Sources
    """Of each weight: the row it reads, from where its pass begins to read."""
    drain: Sources
    """Likewise of each weight of the passes that hand down gradients."""
    turned: Sources
    """Of each weight of the passes that hand down gradients: which of `w` it is."""
    biased: Bools
    w: Floats
    back: Floats
    """The weights `turned` names, as they are now."""
    bias: Floats
    parts: Ints
    """Steps lie in parts [first, last): a batch norm begins one, since it needs what all blocks of the batch gave."""
    leading: Bools
    """Of each normalised channel: whether it leads to the output."""
    settings: Doubles
    """Of each normalised channel: epsilon and momentum."""
    running: Floats
    """[2, channels]: running means and variances."""
    now: Floats
    """[5, channels]: mean and 1 / deviation of the batch; and what the gradient of a result, a value and 1 are
    multiplied by to give the gradient of the value."""


def _row(b: Any, number: Any) -> Any:
    """Where a row begins."""
    return b.shl(number, _whole(4))


def _groups(b: Any, places: _Array, first: Any, base: Any, side: int) -> list[Any]:
    """Where the groups of a tile begin: their rows beyond `base`, of what is read (0) or written (1)."""
    at = [b.add(b.mul(b.add(first, _whole(j)), _whole(2)), _whole(side)) for j in range(GROUPS)]
    return [_row(b, b.add(base, places[each])) for each in at]


@emitted
def gather(
    typing: Any, x: Any, at: Any, out: Any, to: Any, plane: Any, places: Any, tile: Any,
    unit: Any, ptr: Any, first: Any, last: Any, source: Any, w: Any, start: Any,
    fresh: Any, relu: Any, gate: Any, ahead: Any, gated: Any, step: Any, stride: Any,
) -> Any:  # fmt: skip
    """A tile of the channels unit[q] of out, for first <= q < last: start[unit[q]] if fresh, else what is there, plus
    the sum of w[k] * x[source[k] + place] for ptr[q] <= k < ptr[q + 1]. Then 0 where that is below, if relu; and 0
    where `gate`, `ahead` rows further on, is not above 0, if gated.

    The tile begins with group `tile` of `places`, pairs of rows in x and out. x is read from row `at`, `step` rows
    from place to place; out is written from row `to` + plane * unit[q], `stride` rows apart.
    """
    number, flag = types.int64, types.boolean
    signature = types.void(
        x, number, out, number, number, places, number, unit, ptr, number, number, source, w, start,
        flag, flag, gate, number, flag, number, number,
    )  # fmt: skip

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        held = {i: _Array(context, b, sig.args[i], args[i]) for i in (0, 2, 5, 7, 8, 11, 12, 13, 16)}
        rows, result, places, units, ptr, sources, weights, starts, gates = held.values()
        (
            _,
            at,
            _,
            to,
            plane,
            _,
            tile,
            _,
            _,
            first,
            last,
            _,
            _,
            _,
            fresh,
            relu,
            _,
            ahead,
            gated,
            step,
            stride,
        ) = args
        zero, each, further = _zeros(_WORD), range(GROUP), _row(b, ahead)
        steps = [_row(b, b.mul(step, _whole(t))) for t in each]
        strides = [_row(b, b.mul(stride, _whole(t))) for t in each]
        reads, writes = _groups(b, places, tile, at, 0), _groups(b, places, tile, to, 1)
        sums = [[cgutils.alloca_once(b, _vector(_WORD)) for _ in each] for _ in reads]

        with cgutils.for_range(b, b.sub(last, first)) as unit:
            q = b.add(first, unit.index)
            k, end, u = ptr[q], ptr[b.add(q, _whole(1))], units[q]
            channel = _row(b, b.mul(u, plane))
            spots = [[b.add(b.add(base, channel), gap) for gap in strides] for base in writes]
            pairs = [
                (total, spot)
                for row, at in zip(sums, spots, strict=True)
                for total, spot in zip(row, at, strict=True)
            ]
            with b.if_else(fresh) as (begin, go_on):
                with begin:
                    beginning = _spread(b, starts[u], _WORD)
                    for total, _ in pairs:
                        b.store(beginning, total)
                with go_on:
                    for total, spot in pairs:
                        b.store(result.take(spot, _WORD), total)
            with cgutils.for_range(b, b.sub(end, k)) as one:
                place = b.add(k, one.index)
                row, weight = _row(b, b.zext(sources[place], _I64)), _spread(b, weights[place], _WORD)
                for group, base in zip(sums, reads, strict=True):
                    near = b.add(base, row)
                    for total, gap in zip(group, steps, strict=True):
                        b.store(
                            _add_product(b, b.load(total), weight, rows.take(b.add(near, gap), _WORD)), total
                        )
            with b.if_then(gated):
                for total, spot in pairs:
                    shut = b.fcmp_ordered("<=", gates.take(b.add(spot, further), _WORD), zero)
                    b.store(b.select(shut, zero, b.load(total)), total)
            least = _spread(b, relu, _WORD)
            for total, spot in pairs:
                value = b.load(total)
                result.put(spot, b.select(b.and_(b.fcmp_ordered("<", value, zero), least), zero, value))
        return context.get_dummy_value()

    return signature, code


@emitted
def products(
    typing: Any, d: Any, to: Any, plane: Any, x: Any, at: Any, places: Any, tile: Any,
    unit: Any, ptr: Any, first: Any, last: Any, source: Any, g: Any, place: Any, step: Any,
    gb: Any, counted: Any,
) -> Any:  # fmt: skip
    """Add to g[k - place] the product of a tile of channel unit[q] of d with the rows that weight k reads of x, for q
    and k as in `gather`; and to row unit[q] of gb the sum of the tile, if counted."""
    number = types.int64
    signature = types.void(
        d, number, number, x, number, places, number, unit, ptr, number, number, source, g, number, number,
        gb, types.boolean,
    )  # fmt: skip

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        held = {i: _Array(context, b, sig.args[i], args[i]) for i in (0, 3, 5, 7, 8, 11, 12, 15)}
        deltas, rows, places, units, ptr, sources, gradients, totals = held.values()
        _, to, plane, _, at, _, tile, _, _, first, last, _, _, place, step, _, counted = args
        each = range(GROUP)
        steps = [_row(b, b.mul(step, _whole(t))) for t in each]
        reads, written = _groups(b, places, tile, at, 0), _groups(b, places, tile, to, 1)

        with cgutils.for_range(b, b.sub(last, first)) as unit:
            q = b.add(first, unit.index)
            k, end, u = ptr[q], ptr[b.add(q, _whole(1))], units[q]
            channel = _row(b, b.mul(u, plane))
            delta = [
                [deltas.take(b.add(b.add(base, channel), _whole(_WORD * t)), _WORD) for t in each]
                for base in written
            ]
            with b.if_then(counted):
                total = totals.take(_row(b, u), _WORD)
                for one in (one for group in delta for one in group):
                    total = _add(b, total, one)
                totals.put(_row(b, u), total)

            def partial(q: Any) -> Any:
                row = _row(b, b.zext(sources[q], _I64))
                halves = [_zeros(_WORD), _zeros(_WORD)]  # one sum would wait for its own last addition
                for group, base in zip(delta, reads, strict=True):
                    near = b.add(base, row)
                    for t, (one, gap) in enumerate(zip(group, steps, strict=True)):
                        halves[t % 2] = _add_product(
                            b, halves[t % 2], one, rows.take(b.add(near, gap), _WORD)
                        )
                return _add(b, *halves)

            count = b.sub(end, k)
            with cgutils.for_range(b, b.udiv(count, _whole(8))) as eight:
                q = b.add(k, b.mul(eight.index, _whole(8)))
                found, spot = _sums(b, [partial(b.add(q, _whole(i))) for i in range(8)]), b.sub(q, place)
                gradients.put(spot, _add(b, gradients.take(spot, 8), found))
            rest = b.and_(count, _whole(7))
            with cgutils.for_range(b, rest) as one:
                q = b.add(b.sub(end, rest), one.index)
                spot = b.sub(q, place)
                b.store(
                    b.call(_total(b), [gradients[spot], partial(q)], fastmath=_FAST),
                    b.gep(gradients.data, [spot]),
                )
        return context.get_dummy_value()

    return signature, code


# --- rows ----------------------------------------------------------------------------------------------------


def _windows(b: Any, sizes: Any, at: Any, to: Any, count: Any, work: Any) -> None:
    """Emit work(places, row) for so many windows of a line, `row` being where the row begins that belongs to a window;
    places(each) emits each(place) for all places of it. `sizes` are rows, columns, rows from line to line, and from
    window to window. Windows of 2 x 2 are written out, as they are too small for loops."""
    rows, columns, pitch, step = sizes
    two = b.and_(b.icmp_signed("==", rows, _whole(2)), b.icmp_signed("==", columns, _whole(2)))
    for small in (True, False):
        with b.if_then(two if small else b.not_(two)), cgutils.for_range(b, count) as window:
            first = b.add(at, b.mul(window.index, step))

            def places(each: Any, first: Any = first, small: bool = small) -> None:
                if small:
                    for near in (first, b.add(first, pitch)):
                        each(_row(b, near))
                        each(b.add(_row(b, near), _whole(_WORD)))
                    return
                with cgutils.for_range(b, rows) as i, cgutils.for_range(b, columns) as j:
                    each(_row(b, b.add(b.add(first, b.mul(i.index, pitch)), j.index)))

            work(places, _row(b, b.add(to, window.index)))


@emitted
def largest(
    typing: Any, x: Any, at: Any, rows: Any, columns: Any, pitch: Any, step: Any, to: Any, count: Any
) -> Any:  # fmt: skip
    """Rows to, to + 1, ... of x: the largest of each of `count` windows, lane by lane; not-a-number stays. The first
    begins at row `at`, each other `step` rows after the one before."""

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        x = _Array(context, b, sig.args[0], args[0])
        _, at, *sizes, to, count = args
        best = cgutils.alloca_once(b, _vector(_WORD))

        def window(places: Any, row: Any) -> None:
            def place(at: Any) -> None:
                one, before = x.take(at, _WORD), b.load(best)
                larger = b.or_(b.fcmp_ordered(">", one, before), b.fcmp_unordered("uno", one, one))
                b.store(b.select(larger, one, before), best)

            b.store(ir.Constant(_vector(_WORD), [float("-inf")] * _WORD), best)
            places(place)
            x.put(row, b.load(best))

        _windows(b, sizes, at, to, count, window)
        return context.get_dummy_value()

    return types.void(x, *[types.int64] * 7), code


@emitted
def route(
    typing: Any, d: Any, x: Any, ahead: Any, at: Any, rows: Any, columns: Any, pitch: Any, step: Any, to: Any,
    count: Any, upper: Any, gated: Any, fresh: Any,
) -> Any:  # fmt: skip
    """Hand rows to, to + 1, ... of d to the place of each window where x is what its row is, the first if there are
    several; the others get 0. It is added to what is there unless fresh, and 0 where x is not above 0, if gated. Places
    of x are `ahead` rows after those of d, and rows of its results `upper` rows."""
    number, flag = types.int64, types.boolean

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        d, x = (_Array(context, b, sig.args[i], args[i]) for i in range(2))
        _, _, ahead, at, *sizes, to, count, upper, gated, fresh = args
        zero, left = _zeros(_WORD), cgutils.alloca_once(b, _vector(_WORD))
        closed, new, ahead, upper = (
            _spread(b, gated, _WORD),
            _spread(b, fresh, _WORD),
            _row(b, ahead),
            _row(b, upper),
        )

        def window(places: Any, row: Any) -> None:
            top = x.take(b.add(row, upper), _WORD)
            shut = b.and_(b.fcmp_ordered("<=", top, zero), closed)
            b.store(b.select(shut, zero, d.take(row, _WORD)), left)

            def place(at: Any) -> None:
                here, rest = b.fcmp_unordered("==", x.take(b.add(at, ahead), _WORD), top), b.load(left)
                before = b.select(new, zero, d.take(at, _WORD))
                d.put(at, _add(b, before, b.select(here, rest, zero)))
                b.store(b.select(here, zero, rest), left)

            places(place)

        _windows(b, sizes, at, to, count, window)
        return context.get_dummy_value()

    return types.void(d, x, *[number] * 9, flag, flag), code


@emitted
def mean(
    typing: Any, x: Any, at: Any, rows: Any, columns: Any, pitch: Any, step: Any, to: Any, count: Any, factor: Any
) -> Any:  # fmt: skip
    """Rows to, to + 1, ... of x: factor times the sum of each window; see `largest`."""

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        x = _Array(context, b, sig.args[0], args[0])
        _, at, *sizes, to, count, factor = args
        total = cgutils.alloca_once(b, _vector(_WORD))

        def window(places: Any, row: Any) -> None:
            b.store(_zeros(_WORD), total)
            places(lambda at: b.store(_add(b, b.load(total), x.take(at, _WORD)), total))
            x.put(row, b.fmul(b.load(total), _spread(b, factor, _WORD)))

        _windows(b, sizes, at, to, count, window)
        return context.get_dummy_value()

    return types.void(x, *[types.int64] * 7, types.float32), code


@emitted
def share(
    typing: Any, d: Any, x: Any, ahead: Any, at: Any, rows: Any, columns: Any, pitch: Any, step: Any, to: Any,
    count: Any, factor: Any, gated: Any,
) -> Any:  # fmt: skip
    """Add factor times rows to, to + 1, ... of d to all places of their windows; nothing where x is not above 0, if
    gated. See `route`."""

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        d, x = (_Array(context, b, sig.args[i], args[i]) for i in range(2))
        _, _, ahead, at, *sizes, to, count, factor, gated = args
        zero, closed, ahead = _zeros(_WORD), _spread(b, gated, _WORD), _row(b, ahead)

        def window(places: Any, row: Any) -> None:
            part = b.fmul(d.take(row, _WORD), _spread(b, factor, _WORD))

            def place(at: Any) -> None:
                shut = b.and_(b.fcmp_ordered("<=", x.take(b.add(at, ahead), _WORD), zero), closed)
                d.put(at, _add(b, d.take(at, _WORD), b.select(shut, zero, part)))

            places(place)

        _windows(b, sizes, at, to, count, window)
        return context.get_dummy_value()

    return types.void(d, x, *[types.int64] * 8, types.float32, types.boolean), code


@emitted
def add_line(
    typing: Any, x: Any, at: Any, less: Any, y: Any, spot: Any, lower: Any, count: Any, out: Any
) -> Any:  # fmt: skip
    """Add to the first row of out the sum of x - less over `count` rows, and to the second that of (x - less) times
    (y - lower); x from row `at`, y from row `spot`."""
    number, real = types.int64, types.float32

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        x, y, out = (_Array(context, b, sig.args[i], args[i]) for i in (0, 3, 7))
        _, at, less, _, spot, lower, count, _ = args
        sums = [cgutils.alloca_once(b, _vector(_WORD)) for _ in range(2)]
        for i, total in enumerate(sums):
            b.store(out.take(_whole(_WORD * i), _WORD), total)
        under, below = _spread(b, less, _WORD), _spread(b, lower, _WORD)
        with cgutils.for_range(b, count) as one:
            first = b.fsub(x.take(_row(b, b.add(at, one.index)), _WORD), under)
            second = b.fsub(y.take(_row(b, b.add(spot, one.index)), _WORD), below)
            b.store(_add(b, b.load(sums[0]), first), sums[0])
            b.store(_add_product(b, b.load(sums[1]), first, second), sums[1])
        for i, total in enumerate(sums):
            out.put(_whole(_WORD * i), b.load(total))
        return context.get_dummy_value()

    return types.void(x, number, real, y, number, real, number, out), code


@emitted
def mix_line(
    typing: Any, x: Any, at: Any, one: Any, y: Any, spot: Any, two: Any, three: Any, out: Any, to: Any, count: Any,
    lanes: Any, relu: Any, gate: Any, door: Any, gated: Any, fresh: Any,
) -> Any:  # fmt: skip
    """Rows to, to + 1, ... of out, `count` of them: one * x + two * y + three, in the first `lanes` lanes and 0 in the
    others; then 0 where that is below, if relu, and where `gate` is not above 0, if gated. Added to what is there
    unless fresh. x is read from row `at`, y from row `spot`, gate from row `door`."""
    number, real, flag = types.int64, types.float32, types.boolean

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        x, y, out, gate = (_Array(context, b, sig.args[i], args[i]) for i in (0, 3, 7, 12))
        _, at, one, _, spot, two, three, _, to, count, lanes, relu, _, door, gated, fresh = args
        zero = _zeros(_WORD)
        first, second, third = (_spread(b, each, _WORD) for each in (one, two, three))
        numbers = ir.Constant(ir.VectorType(_I64, _WORD), list(range(_WORD)))
        filled = b.icmp_signed("<", numbers, _spread(b, lanes, _WORD))
        least, closed, new = (_spread(b, each, _WORD) for each in (relu, gated, fresh))
        with cgutils.for_range(b, count) as line:
            value = _add_product(b, third, first, x.take(_row(b, b.add(at, line.index)), _WORD))
            value = _add_product(b, value, second, y.take(_row(b, b.add(spot, line.index)), _WORD))
            value = b.select(b.and_(b.fcmp_ordered("<", value, zero), least), zero, value)
            door_value = gate.take(_row(b, b.add(door, line.index)), _WORD)
            shut = b.and_(b.fcmp_ordered("<=", door_value, zero), closed)
            value = b.select(b.and_(filled, b.not_(shut)), value, zero)
            place = _row(b, b.add(to, line.index))
            out.put(place, _add(b, value, b.select(new, zero, out.take(place, _WORD))))
        return context.get_dummy_value()

    return types.void(
        x, number, real, y, number, real, real, out, number, number, number, flag, gate, number, flag, flag
    ), code


@emitted
def take_row(typing: Any, x: Any, at: Any, out: Any, to: Any, gate: Any, spot: Any, gated: Any) -> Any:
    """out[to + j] = x[at + j] for a row; 0 where gate[spot + j] is not above 0, if gated."""

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        x, out, gate = (_Array(context, b, sig.args[i], args[i]) for i in (0, 2, 4))
        zero = _zeros(_WORD)
        with b.if_else(args[6]) as (closed, through):
            with closed:
                shut = b.fcmp_ordered("<=", gate.take(args[5], _WORD), zero)
                out.put(args[3], b.select(shut, zero, x.take(args[1], _WORD)))
            with through:
                out.put(args[3], x.take(args[1], _WORD))
        return context.get_dummy_value()

    return types.void(x, types.int64, out, types.int64, gate, types.int64, types.boolean), code


@emitted
def rectify(typing: Any, x: Any, at: Any) -> Any:
    """0 where a row of x is below; `at` is where it begins."""

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        x, zero = _Array(context, b, sig.args[0], args[0]), _zeros(_WORD)
        value = x.take(args[1], _WORD)
        x.put(args[1], b.select(b.fcmp_ordered("<", value, zero), zero, value))
        return context.get_dummy_value()

    return types.void(x, types.int64), code


@emitted
def scale_lanes(typing: Any, x: Any, at: Any, out: Any, to: Any, shift: Any, scale: Any, count: Any) -> Any:
    """out[to + j] = (x[at + j] - shift) * scale for j < count, and 0 for the other lanes; x is uint8 or float32."""
    number, real = types.int64, types.float32

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        x, out = _Array(context, b, sig.args[0], args[0]), _Array(context, b, sig.args[2], args[2])
        _, at, _, to, shift, scale, count = args
        value = x.take(at, _WORD)
        if x.item != _FLOAT:
            value = b.uitofp(value, _vector(_WORD))
        value = b.fmul(b.fsub(value, _spread(b, shift, _WORD)), _spread(b, scale, _WORD))
        numbers = ir.Constant(ir.VectorType(_I64, _WORD), list(range(_WORD)))
        filled = b.icmp_signed("<", numbers, _spread(b, count, _WORD))
        out.put(to, b.select(filled, value, _zeros(_WORD)))
        return context.get_dummy_value()

    return types.void(x, number, out, number, real, real, number), code


# --- steps ---------------------------------------------------------------------------------------------------


@compiled
def clear(x: Floats, value: Ints, at: int) -> None:
    """Put 0 into the columns beyond the width of a value that convolutions wrote to: they are padding. `at` is the row
    where it begins."""
    for c in range(value[CHANNELS] if value[SPARE] > 0 else 0):
        first = at + c * value[PLANE] + value[ORIGIN] + value[WIDTH]
        for y in range(value[HEIGHT]):
            begin = (first + y * value[PITCH]) * LANES
            x[begin : begin + value[SPARE] * LANES] = ZERO


@compiled
def convolve(
    net: Trunk, number: int, x: Floats, at: int, out: Floats, to: int, plane: int,
    source: Sources, w: Floats, start: Floats, fresh: bool, relu: bool, gate: Floats, ahead: int, gated: bool,
) -> None:  # fmt: skip
    """One pass over a block of examples, see `gather`; at and to are the rows where it begins."""
    each = net.passes[number]
    unit, ptr, places = net.unit, net.ptr, net.places
    runs, last = each[RUNS], each[BLOCKS] - 1
    for patch in range(0, each[AREA], PATCH):
        for i in range(each[BLOCKS]):
            first = each[RUN] + i * runs
            for tile in range(patch, patch + PATCH, GROUPS):
                gather(
                    x, at + each[READ], out, to + each[WRITTEN], plane, places, each[PLACES] + tile,
                    unit, ptr, first, first + runs, source, w, start,
                    fresh and i == 0, relu and i == last, gate, ahead, gated and i == last, each[STEP], each[GAP],
                )  # fmt: skip


@compiled
def weigh(
    net: Trunk, number: int, groups: int, d: Floats, to: int, plane: int, x: Floats, at: int,
    g: Floats, place: int, gb: Floats,
) -> None:  # fmt: skip
    """Add the gradients of the weights and biases of a pass from a block of examples, see `products`."""
    each = net.passes[number]
    unit, ptr, source, places = net.unit, net.ptr, net.source, net.places
    for patch in range(0, each[AREA], PATCH):
        for i in range(each[BLOCKS]):
            first = each[RUN] + i * each[RUNS]
            for tile in range(patch, patch + PATCH, GROUPS):
                products(
                    d, to + each[WRITTEN], plane, x, at + each[READ], places, groups + tile,
                    unit, ptr, first, first + each[RUNS], source, g, place, each[STEP], gb, i == 0,
                )  # fmt: skip


@compiled
def pool(step: Ints, source: Ints, result: Ints, h: Floats, d: Floats, block: int, forward: bool) -> None:
    """A pool over a block of examples, or the gradient that it hands down. Padding has no part in the largest, and
    counts as zeros in the mean, as torch has it."""
    high, wide, stride, up, left = step[HIGH], step[WIDE], step[STRIDE], step[UP], step[LEFT]
    factor, gated, kind = np.float32(1) / np.float32(high * wide), step[GATED] > 0, step[KIND]
    alone = step[FRESH] > 0 and step[TILES] > 0
    read, written = source[BASE] + block * source[SIZE], result[BASE] + block * result[SIZE]
    # Gradients lie elsewhere: so far ahead of them are the values.
    drained, poured = source[DRAIN] + block * source[APART], result[DRAIN] + block * result[APART]
    ahead, upper = read - drained, written - poured
    if not forward:
        read, written = drained, poured
        if step[FRESH] > 0 and not (alone and kind == LARGEST):
            d[read * LANES : (read + source[SIZE]) * LANES] = ZERO
    pitch = source[PITCH]
    count = result[WIDTH] if left == 0 else 1  # windows of a line that are alike: none reaches into padding
    for c in range(source[CHANNELS]):
        for y in range(result[HEIGHT]):
            top, bottom = max(y * stride - up, 0), min(y * stride - up + high, source[HEIGHT])
            begin = read + c * source[PLANE] + source[ORIGIN] + top * pitch
            row = written + c * result[PLANE] + result[ORIGIN] + y * result[PITCH]
            for z in range(0, result[WIDTH], count):
                near, far = max(z * stride - left, 0), min(z * stride - left + wide, source[WIDTH])
                at, to, rows, columns = begin + near, row + z, bottom - top, far - near
                if kind == LARGEST and forward:
                    largest(h, at, rows, columns, pitch, stride, to, count)
                elif kind == LARGEST:
                    route(d, h, ahead, at, rows, columns, pitch, stride, to, count, upper, gated, alone)
                elif forward:
                    mean(h, at, rows, columns, pitch, stride, to, count, factor)
                else:
                    share(d, h, ahead, at, rows, columns, pitch, stride, to, count, factor, gated)
            if forward and step[RELU] > 0:
                for z in range(result[WIDTH]):
                    rectify(h, (row + z) * LANES)


@compiled
def factor_of(drop: Ints, stem: int, place: int) -> np.float32:
    """What dropout multiplies an entry by: 0, or 1 / (1 - p). The numbers are those of `noise.CounterDropout`."""
    z = (stem + place) * GOLDEN
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * MIX_1
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * MIX_2
    z = z ^ ((z >> 31) & ((1 << 33) - 1))
    drawn = (z >> (64 - UNIFORM_BITS)) & ((1 << UNIFORM_BITS) - 1)
    kept = np.float32((1 << UNIFORM_BITS) / max(1.0, float((1 << UNIFORM_BITS) - drop[LEAST])))
    return kept if drawn >= drop[LEAST] else ZERO


@compiled
def drop_value(
    net: Trunk, step: Ints, block: int, stem: int, h: Floats, d: Floats, forward: bool, training: bool
) -> None:  # fmt: skip
    """Dropout over a block of examples, or the gradient that it hands down; nothing is dropped but in training."""
    source, result, own = net.values[step[SOURCE]], net.values[step[TO]], net.drops[step[PASS]]
    width, area = source[WIDTH], source[HEIGHT] * source[WIDTH]
    read, written = source[BASE] + block * source[SIZE], result[BASE] + block * result[SIZE]
    poured, drained = result[DRAIN] + block * result[APART], source[DRAIN] + block * source[APART]
    for c in range(source[CHANNELS]):
        for y in range(source[HEIGHT]):
            line = c * source[PLANE] + source[ORIGIN] + y * source[PITCH]
            place = c * result[PLANE] + result[ORIGIN] + y * result[PITCH]
            for x in range(width):
                for j in range(LANES):
                    example, factor = block * LANES + j, ONE
                    if training and own[WHOLE] > 0:
                        factor = factor_of(own, stem, example * source[CHANNELS] + c)
                    elif training:
                        number = (example * source[CHANNELS] + c) * area + y * width + x
                        factor = factor_of(own, stem, number)
                    value = h[(read + line + x) * LANES + j]
                    if forward:
                        value *= factor
                        h[(written + place + x) * LANES + j] = (
                            ZERO if step[RELU] > 0 and value < ZERO else value
                        )
                        continue
                    handed = d[(poured + place + x) * LANES + j] * factor
                    if step[GATED] > 0 and value <= ZERO:
                        handed = ZERO
                    at = (drained + line + x) * LANES + j
                    d[at] = handed if step[FRESH] > 0 else d[at] + handed


@compiled
def drop_rows(net: Trunk, stems: Ints, count: int, lanes: int, factors: Floats) -> None:
    """What dropout multiplies the rows of the linear layers by; rows that it leaves alone stay 1."""
    for i in range(len(net.drops) if len(factors) > 0 else 0):
        own = net.drops[i]
        for u in range(own[OF]):
            for j in range(count):
                factors[(own[UNIT] + u) * lanes + j] = factor_of(own, stems[i], j * own[OF] + u)


@compiled
def begin(
    net: Trunk, x: NDArray[Any], block: int, count: int, shift: Floats, scale: Floats, h: Floats
) -> None:  # fmt: skip
    """A block of the images of a batch, x [features, lanes] as they are laid out, normalised into the first value."""
    value, feature, lanes, flat = net.values[0], 0, x.shape[1], x.reshape(-1)
    first = block * LANES
    for c in range(value[CHANNELS]):
        for y in range(value[HEIGHT]):
            row = value[BASE] + block * value[SIZE] + c * value[PLANE] + value[ORIGIN] + y * value[PITCH]
            for z in range(value[WIDTH]):
                scale_lanes(
                    flat,
                    feature * lanes + first,
                    h,
                    (row + z) * LANES,
                    shift[feature],
                    scale[feature],
                    count - first,
                )
                feature += 1


@compiled
def flatten(
    net: Trunk, block: int, h: Floats, d: Floats, gated: bool, rows: Floats, lanes: int, forward: bool
) -> None:  # fmt: skip
    """A block of the last value as rows of `lanes` examples, one for each feature; or the gradient of these rows,
    handed back."""
    value, feature = net.values[-1], 0
    drained = value[DRAIN] + block * value[APART]
    ahead = value[BASE] + block * value[SIZE] - drained
    for c in range(value[CHANNELS]):
        for y in range(value[HEIGHT]):
            row = drained + c * value[PLANE] + value[ORIGIN] + y * value[PITCH]
            for z in range(value[WIDTH]):
                inner, outer = (row + z) * LANES, feature * lanes + block * LANES
                if forward:
                    take_row(h, inner + ahead * LANES, rows, outer, h, 0, False)
                else:
                    take_row(rows, outer, d, inner, h, inner + ahead * LANES, gated)
                feature += 1


@compiled
def collect(
    net: Trunk, step: Ints, count: int, x: Floats, drains: bool, h: Floats, means: Floats, found: Doubles
) -> None:  # fmt: skip
    """found[c], for each channel of a batch norm: the sum of x over the batch, and that of x times h - means[c], where
    x is the gradient of the result (`drains`) or else h - means[c]."""
    source, result = net.values[step[SOURCE]], net.values[step[TO]]
    sums = np.zeros(2 * LANES, dtype=np.float32)
    for c in range(step[UNITS]):
        found[c, 0], found[c, 1] = ZERO, ZERO
        if not net.leading[step[FIRST] + c]:
            continue
        mean = means[step[FIRST] + c]
        for block in range((count + LANES - 1) // LANES):
            sums[:] = ZERO
            spot = source[BASE] + block * source[SIZE] + c * source[PLANE] + source[ORIGIN]
            at = result[DRAIN] + block * result[APART] + c * result[PLANE] + result[ORIGIN]
            for y in range(source[HEIGHT]):
                line = spot + y * source[PITCH]
                if drains:
                    add_line(x, at + y * result[PITCH], ZERO, h, line, mean, source[WIDTH], sums)
                else:
                    add_line(h, line, mean, h, line, mean, source[WIDTH], sums)
            for j in range(min(LANES, count - block * LANES)):
                found[c, 0] += sums[j]
                found[c, 1] += sums[LANES + j]


@compiled
def measure(net: Trunk, step: Ints, count: int, h: Floats, found: Doubles) -> None:
    """Mean and deviation of a batch for each channel of a batch norm, and what they do to the running ones: as torch
    has it, with the variance that a sample suggests in the running one alone."""
    source, now = net.values[step[SOURCE]], net.now
    number = np.float64(count * source[HEIGHT] * source[WIDTH])
    for c in range(step[UNITS]):
        now[0, step[FIRST] + c] = ZERO
    collect(net, step, count, h, False, h, now[0], found)
    for c in range(step[UNITS]):
        now[0, step[FIRST] + c] = np.float32(found[c, 0] / number)
    collect(net, step, count, h, False, h, now[0], found)
    for c in range(step[UNITS]):
        k = step[FIRST] + c
        if net.leading[k]:
            variance, momentum = found[c, 1] / number, net.settings[k, 1]
            now[1, k] = np.float32(1 / np.sqrt(variance + net.settings[k, 0]))
            net.running[0, k] += np.float32(momentum * (now[0, k] - net.running[0, k]))
            net.running[1, k] += np.float32(momentum * (variance * number / (number - 1) - net.running[1, k]))


@compiled
def normalise(net: Trunk, step: Ints, block: int, h: Floats, training: bool) -> None:
    """A batch norm over a block of examples, and the other value of the sum it ends with."""
    source, result, other = net.values[step[SOURCE]], net.values[step[TO]], net.values[step[OTHER]]
    at, to = source[BASE] + block * source[SIZE], result[BASE] + block * result[SIZE]
    more, adds = other[BASE] + block * other[SIZE], ONE if step[OTHER] >= 0 else ZERO
    for c in range(step[UNITS]):
        k = step[FIRST] + c
        mean, inverse = net.now[0, k], net.now[1, k]
        if not training:
            mean, inverse = net.running[0, k], np.float32(1 / np.sqrt(net.running[1, k] + net.settings[k, 0]))
        scale = inverse * net.w[step[PLACE] + c]
        shift = net.bias[step[BIAS] + c] - mean * scale
        for y in range(source[HEIGHT] if net.leading[k] else 0):
            line = at + c * source[PLANE] + source[ORIGIN] + y * source[PITCH]
            place = to + c * result[PLANE] + result[ORIGIN] + y * result[PITCH]
            added = more + c * other[PLANE] + other[ORIGIN] + y * other[PITCH] if step[OTHER] >= 0 else line
            mix_line(
                h,
                line,
                scale,
                h,
                added,
                adds,
                shift,
                h,
                place,
                source[WIDTH],
                LANES,
                step[RELU] > 0,
                h,
                0,
                False,
                True,
            )


@compiled
def blame(
    net: Trunk,
    step: Ints,
    count: int,
    h: Floats,
    d: Floats,
    g: Floats,
    gb: Floats,
    found: Doubles,
) -> None:
    """The gradients of scale and shift of a batch norm, and what hands its gradient down (Ioffe & Szegedy 2015,
    section 3)."""
    source, now = net.values[step[SOURCE]], net.now
    number = np.float32(count * source[HEIGHT] * source[WIDTH])
    collect(net, step, count, d, True, h, now[0], found)
    for c in range(step[UNITS]):
        k = step[FIRST] + c
        inverse, scale = now[1, k], net.w[step[PLACE] + c]
        g[step[PLACE] + c] = found[c, 1] * inverse
        gb[(step[BIAS] + c) * LANES] = found[c, 0]
        now[2, k] = scale * inverse
        now[3, k] = -scale * inverse * inverse * inverse * found[c, 1] / number
        now[4, k] = -scale * inverse * found[c, 0] / number - now[3, k] * now[0, k]


@compiled
def blank(d: Floats, value: Ints, block: int, c: int) -> None:
    """0 for the gradient of a channel."""
    at = value[DRAIN] + block * value[APART] + c * value[PLANE]
    d[at * LANES : (at + value[PLANE]) * LANES] = ZERO


@compiled
def hand_on(step: Ints, result: Ints, other: Ints, block: int, h: Floats, d: Floats) -> None:
    """The gradient of a sum that a batch norm ends with, to the value that it adds."""
    at, to = result[DRAIN] + block * result[APART], other[DRAIN] + block * other[APART]
    for c in range(result[CHANNELS]):
        for y in range(result[HEIGHT]):
            line = at + c * result[PLANE] + result[ORIGIN] + y * result[PITCH]
            place = c * other[PLANE] + other[ORIGIN] + y * other[PITCH]
            mix_line(
                d, line, ONE, d, line, ZERO, ZERO, d, to + place, result[WIDTH], LANES, False,
                h, other[BASE] + block * other[SIZE] + place, step[GATED_TOO] > 0, step[FRESH_TOO] > 0,
            )  # fmt: skip


@compiled
def denormalise(net: Trunk, step: Ints, block: int, count: int, h: Floats, d: Floats) -> None:
    """The gradient that a batch norm hands down, for a block of examples."""
    source, result, other = net.values[step[SOURCE]], net.values[step[TO]], net.values[step[OTHER]]
    for c in range(step[UNITS]):
        if net.leading[step[FIRST] + c]:
            continue
        if step[OTHER] >= 0:
            blank(d, result, block, c)  # what is added may lead somewhere by another reader
        if step[FRESH] > 0:
            blank(d, source, block, c)
    if step[OTHER] >= 0 and step[SHARES] == 0:
        hand_on(step, result, other, block, h, d)
    at, spot = result[DRAIN] + block * result[APART], source[BASE] + block * source[SIZE]
    to = source[DRAIN] + block * source[APART]
    for c in range(step[UNITS]):
        k = step[FIRST] + c
        for y in range(source[HEIGHT] if net.leading[k] else 0):
            line = c * source[PLANE] + source[ORIGIN] + y * source[PITCH]
            place = at + c * result[PLANE] + result[ORIGIN] + y * result[PITCH]
            mix_line(
                d, place, net.now[2, k], h, spot + line, net.now[3, k], net.now[4, k], d, to + line, source[WIDTH],
                count - block * LANES, False, h, spot + line, step[GATED] > 0, step[FRESH] > 0,
            )  # fmt: skip


@compiled
def join(net: Trunk, step: Ints, block: int, h: Floats, d: Floats, forward: bool) -> None:
    """The sum of two values over a block of examples, or the gradient that it hands down to both."""
    result = net.values[step[TO]]
    one, two = net.values[step[SOURCE]], net.values[step[OTHER]]
    for c in range(result[CHANNELS]):
        for y in range(result[HEIGHT]):
            lines = [
                each[BASE] + block * each[SIZE] + c * each[PLANE] + each[ORIGIN] + y * each[PITCH]
                for each in (one, two, result)
            ]
            if forward:
                mix_line(
                    h, lines[0], ONE, h, lines[1], ONE, ZERO, h, lines[2], result[WIDTH], LANES, step[RELU] > 0,
                    h, 0, False, True,
                )  # fmt: skip
                continue
            at = (
                result[DRAIN] + block * result[APART] + c * result[PLANE] + result[ORIGIN] + y * result[PITCH]
            )
            for i in range(2):
                value = one if i == 0 else two
                fresh, gated = (step[FRESH], step[GATED]) if i == 0 else (step[FRESH_TOO], step[GATED_TOO])
                to = value[DRAIN] + block * value[APART] + c * value[PLANE] + value[ORIGIN] + y * value[PITCH]
                mix_line(
                    d,
                    at,
                    ONE,
                    d,
                    at,
                    ZERO,
                    ZERO,
                    d,
                    to,
                    value[WIDTH],
                    LANES,
                    False,
                    h,
                    lines[i],
                    gated > 0,
                    fresh > 0,
                )


@compiled
def ahead(
    net: Trunk, x: NDArray[Any], count: int, shift: Floats, scale: Floats, h: Floats, rows: Floats, found: Doubles,
    training: bool, stems: Ints,
) -> None:  # fmt: skip
    """All values of a batch x [features, lanes] of `count` images, and the last one as rows: block by block, so that
    what a step has written is near when the next one reads it, but for batch norms."""
    for part in range(len(net.parts)):
        first, last = net.parts[part, 0], net.parts[part, 1]
        if training and net.steps[first, KIND] == NORM:
            measure(net, net.steps[first], count, h, found)
        for block in range((count + LANES - 1) // LANES):
            if part == 0:
                begin(net, x, block, count, shift, scale, h)
            for i in range(first, last):
                step = net.steps[i]
                source, result = net.values[step[SOURCE]], net.values[step[TO]]
                if step[KIND] == CONV:
                    at, to = source[BASE] + block * source[SIZE], result[BASE] + block * result[SIZE]
                    convolve(
                        net, step[PASS], h, at, h, to, result[PLANE], net.source, net.w, net.bias[step[BIAS] :], True,
                        step[RELU] > 0, h, 0, False,
                    )  # fmt: skip
                    clear(h, result, to)
                elif step[KIND] == NORM:
                    normalise(net, step, block, h, training)
                elif step[KIND] == SUM:
                    join(net, step, block, h, h, True)
                elif step[KIND] == DROP:
                    drop_value(net, step, block, stems[step[PASS]] if training else 0, h, h, True, training)
                else:
                    pool(step, source, result, h, h, block, True)
            if part == len(net.parts) - 1:
                flatten(net, block, h, h, False, rows, x.shape[1], True)


@compiled
def back(
    net: Trunk, step: Ints, block: int, h: Floats, d: Floats, g: Floats, gb: Floats, none: Floats
) -> None:  # fmt: skip
    """The gradients of a convolution from a block of examples, and what it hands down."""
    source, result = net.values[step[SOURCE]], net.values[step[TO]]
    at, to = source[BASE] + block * source[SIZE], result[DRAIN] + block * result[APART]
    down = source[DRAIN] + block * source[APART]
    weigh(net, step[PASS], step[KEYS], d, to, result[PLANE], h, at, g, 0, gb[step[BIAS] * LANES :])
    for number in range(step[PASS] + 1, step[PASS] + 1 + step[BACKS]):
        convolve(
            net, number, d, to, d, down, source[PLANE], net.drain, net.back, none, step[FRESH] > 0, False,
            h, at - down, step[GATED] > 0,
        )  # fmt: skip
    if step[BACKS] > 0:
        clear(d, source, down)


@compiled
def behind(
    net: Trunk, moments: Floats, bias_moments: Floats, lr: float, rule: Rule, taken: int, count: int,
    h: Floats, d: Floats, deltas: Floats, lanes: int, gated: bool, g: Floats, gb: Floats, none: Floats, found: Doubles,
    stems: Ints,
) -> None:  # fmt: skip
    """Hand the gradient of the last value, in rows `deltas`, down step by step and block by block, then update weights
    and biases.

    g and gb are room for the gradients of all weights and, a row each, of all biases; `none` is all zeros.
    """
    g[:] = ZERO
    gb[:] = ZERO
    for i in range(len(net.turned)):
        net.back[i] = net.w[net.turned[i]]
    for part in range(len(net.parts) - 1, -1, -1):
        first, last = net.parts[part, 0], net.parts[part, 1]
        for block in range((count + LANES - 1) // LANES):
            if last == len(net.steps):
                flatten(net, block, h, d, gated, deltas, lanes, False)
            else:
                denormalise(net, net.steps[last], block, count, h, d)
            for i in range(last - 1, first - 1, -1):
                step = net.steps[i]
                if step[KIND] == CONV:
                    back(net, step, block, h, d, g, gb, none)
                elif step[KIND] == SUM:
                    join(net, step, block, h, d, False)
                elif step[KIND] == DROP:
                    drop_value(net, step, block, stems[step[PASS]], h, d, False, True)
                elif step[KIND] != NORM:
                    pool(step, net.values[step[SOURCE]], net.values[step[TO]], h, d, block, False)
        if net.steps[first, KIND] == NORM:
            blame(net, net.steps[first], count, h, d, g, gb, found)
    sums = np.zeros(len(net.bias), dtype=np.float32)
    for u in range(len(sums)):
        for j in range(LANES):
            sums[u] += gb[u * LANES + j]
        if not net.biased[u]:
            sums[u] = ZERO
    update(net.w, g, moments, 0, len(net.w), lr, rule, taken)
    update(net.bias, sums, bias_moments, 0, len(net.bias), lr, rule, taken)


class Room(NamedTuple):
    """What the loops work in: values and their gradients, rows of the linear layers and theirs, room for what a layer
    that is stored whole reads and for gradients, of the linear layers and of convolutions."""

    h: Floats
    d: Floats
    rows: Floats
    deltas: Floats
    x: Floats
    g: Floats
    gc: Floats
    gb: Floats
    none: Floats
    found: Doubles
    """[channels, 2]: sums of a batch norm."""
    factors: Floats
    """What dropout multiplies the rows of the linear layers by; empty where it is not used there."""


@compiled
def advance(
    net: Trunk, head: Network, moments: tuple[Floats, Floats, Floats, Floats], batches: NDArray[Any], labels: Ints,
    shift: Floats, scale: Floats, rates: Doubles, rule: Rule, taken: int, room: Room, gated: bool, stems: Ints,
) -> None:  # fmt: skip
    """Train one network on batches [steps, features, lanes] with labels [steps, batch] and learning rates [steps];
    `taken` steps came before, and drops count from stems [steps, drops]. `moments` are those of the weights and biases
    of convolutions, then of linear layers; `gated` says whether the last value of the trunk ends in a ReLU."""
    lanes, batch, last = batches.shape[2], labels.shape[1], head.layers[-1]
    outputs = last[sparse_kernels.BELOW] + last[sparse_kernels.FEATURES]
    h, d, rows, deltas = room.h, room.d, room.rows, room.deltas
    for s in range(len(batches)):
        ahead(net, batches[s], batch, shift, scale, h, rows, room.found, True, stems[s])
        drop_rows(net, stems[s], batch, lanes, room.factors)
        sparse_kernels.forward(head, rows, lanes, room.factors)
        softmax_gradient(rows, deltas, outputs, last[sparse_kernels.UNITS], labels[s], lanes, rule.smoothing)
        sparse_kernels.backward(
            head,
            moments[2],
            moments[3],
            rates[s],
            rule,
            taken + s + 1,
            rows,
            deltas,
            room.x,
            room.g,
            lanes,
            True,
            room.factors,
        )
        behind(
            net, moments[0], moments[1], rates[s], rule, taken + s + 1, batch, h, d, deltas, lanes, gated,
            room.gc, room.gb, room.none, room.found, stems[s],
        )  # fmt: skip


@compiled
def tally(
    net: Network, h: Floats, labels: Ints, first: int, count: int, lanes: int, loss: float, hits: int
) -> tuple[float, int]:
    """`loss` and `hits` with those of the examples in the first `count` lanes of h added, whose labels begin at
    `first`. What `sparse_kernels.score` has within: there it stays, since a call would change its last bits."""
    last = net.layers[-1]
    rows = (last[sparse_kernels.BELOW] + last[sparse_kernels.FEATURES]) * lanes
    for j in range(count):
        best, label = 0, labels[first + j]
        for c in range(1, last[sparse_kernels.UNITS]):
            if h[(rows + c * lanes + j)] > h[(rows + best * lanes + j)]:
                best = c
        top, total = h[(rows + best * lanes + j)], 0.0
        for c in range(last[sparse_kernels.UNITS]):
            total += np.exp(np.float64(h[(rows + c * lanes + j)] - top))
        loss += np.log(total) + np.float64(top - h[(rows + label * lanes + j)])
        hits += best == label
    return loss, hits


@compiled
def score(
    net: Trunk, head: Network, laid: NDArray[Any], labels: Ints, shift: Floats, scale: Floats, room: Room
) -> tuple[float, int]:
    """Summed cross-entropy (nats) and number of hits, see `sparse_kernels.score`."""
    lanes, loss, hits = laid.shape[2], 0.0, 0
    for number in range(len(laid)):
        count = min(lanes, len(labels) - number * lanes)
        ahead(net, laid[number], count, shift, scale, room.h, room.rows, room.found, False, net.parts[0])
        sparse_kernels.forward(head, room.rows, lanes, room.rows[:0])
        loss, hits = tally(head, room.rows, labels, number * lanes, count, lanes, loss, hits)
    return loss, hits


@compiled
def logits(
    net: Trunk, head: Network, x: Floats, shift: Floats, scale: Floats, room: Room, out: Floats
) -> None:
    """Logits of normalised examples x [n, features] into out [n, classes]; shift and scale are 0 and 1."""
    features, last, lanes = x.shape[1], head.layers[-1], sparse_kernels.LANES
    outputs = last[sparse_kernels.BELOW] + last[sparse_kernels.FEATURES]
    laid = np.zeros((features, lanes), dtype=np.float32)
    for first in range(0, len(x), lanes):
        count = min(lanes, len(x) - first)
        for j in range(count):
            for i in range(features):
                laid[i, j] = x[first + j, i]
        ahead(net, laid, count, shift, scale, room.h, room.rows, room.found, False, net.parts[0])
        sparse_kernels.forward(head, room.rows, lanes, room.rows[:0])
        for c in range(last[sparse_kernels.UNITS]):
            for j in range(count):
                out[first + j, c] = room.rows[(outputs + c) * lanes + j]
