"""Compiled loops of the sparse engine: one network, living weights only, the batch as the vector.

Layout. Activations and their gradients are [unit, lanes], `lanes` being the batch padded to a multiple of 64, so
that one weight times one row is a run of vector instructions, whatever the mask looks like. Weights are rows of
living inputs, unit by unit (CSR): `w[ptr[u] : ptr[u + 1]]` belong to a unit and read the rows `source[...]`. Units
of all layers are numbered through, inputs first, so that every buffer is one flat array. A layer that is dense
enough is stored whole, dead weights as zeros, and computed as matrix products.

The three innermost loops are written in vectors outright (`dot_rows`, `row_gradients`, `tile`): sums stay in
registers for the length of a row, which the compiler does not find by itself. How wide they are follows the processor
that is compiled for, which need not be the one that compiles. Elsewhere indices are cast to unsigned: a signed one
could be negative, which would be checked at every access. Sums are reassociated, but not-a-number is kept, since a
diverged network must show.

All of it is one file, since a compiled function kept on disk is made anew only when its own file has changed. The
loops in conv_kernels.py are compiled together with parts of it: after a change here, change that file too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import llvmlite.binding
import numba
import numba.core.cgutils
import numba.core.registry
import numba.extending
import numpy as np
from llvmlite import ir
from numba.core import types
from numpy.typing import NDArray

LANES = 64
"""Examples side by side come in multiples of this."""

ROWS = 6
"""Rows of a tile: 6 x 64 sums and a row of 64 factors are 28 of the 32 vector registers."""


def wide(triple: str, cpu: str, features: str) -> bool:
    """Whether 16 floats are one register of a processor, as LLVM names it: asked of LLVM, which knows what a name
    stands for and what the features add and take."""
    machine = llvmlite.binding.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
    return "zmm" in machine.emit_assembly(llvmlite.binding.parse_assembly(_SUM_OF_16))


_SUM_OF_16 = """
define void @add(<16 x float>* %to, <16 x float>* %from) {
  %x = load <16 x float>, <16 x float>* %to, align 4
  %y = load <16 x float>, <16 x float>* %from, align 4
  %z = fadd <16 x float> %x, %y
  store <16 x float> %z, <16 x float>* %to, align 4
  ret void
}
"""

# The very words under which numba keeps compiled code on disk, so that code of one width is not taken for another's.
_WIDE = wide(*numba.core.registry.cpu_target.target_context.codegen().magic_tuple())

SEGMENT = 64 if _WIDE else 32
"""Lanes of a row whose sums are held in registers at a time."""

COLUMNS = 64 if _WIDE else 16
"""Columns of a tile."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Sources = NDArray[np.int32]
"""Numbers of units: half the size of an index, since reading them is a good part of the memory traffic."""

U = np.uint64
ZERO = np.float32(0)

BELOW, FEATURES, UNITS, PLACE, COUNT, RELU, KIND, FIRST, RUNS, BLOCKS = range(10)
"""Columns of the table of layers: the first unit read, how many are read, how many units there are, the first
weight, how many weights are stored, whether a ReLU follows, how the layer is stored; and of a sparse one its first
run, the runs in a block, and how many blocks it has."""

SPARSE, DENSE, MASKED = range(3)
"""Living weights only; whole, all alive; whole, with dead weights as zeros."""


class Network(NamedTuple):
    """The structure of one network and its weights."""

    layers: Ints
    unit: Ints
    """Of each run of weights: the unit it belongs to."""
    ptr: Ints
    """Where runs begin; after the last of a layer, where that ends."""
    source: Sources
    """Of each weight: the unit it reads."""
    biased: Bools
    alive: Bools
    """Of each stored weight; read for layers of kind MASKED alone."""
    active: Ints
    """The inputs that have a weight."""
    w: Floats
    bias: Floats


class Rule(NamedTuple):
    """How weights are updated, and the smoothing of the labels."""

    adam: bool
    beta1: float
    beta2: float
    eps: float
    momentum: float
    nesterov: bool
    decay: float
    smoothing: float


Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code, compiled at its first call and kept on disk for later ones."""
    rounding = {"reassoc", "contract", "arcp", "nsz"}
    return cast(
        Function, numba.njit(fastmath=rounding, nogil=True, error_model="numpy", cache=True)(function)
    )


def emitted(function: Callable[..., Any]) -> Any:
    """A function for use in compiled ones whose instructions are written out: it is handed types and returns a
    signature and what builds the code."""
    return numba.extending.intrinsic(function)


# --- vectors -------------------------------------------------------------------------------------------------

_FLOAT, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FAST = ("reassoc", "contract", "nsz")
_WORD = 16
cgutils: Any = numba.core.cgutils


def _vector(width: int) -> ir.VectorType:
    return ir.VectorType(_FLOAT, width)


def _whole(number: int) -> ir.Constant:
    return ir.Constant(_I64, number)


def _zeros(width: int) -> ir.Constant:
    return ir.Constant(_vector(width), [0.0] * width)


def _chosen(b: Any, x: Any, y: Any, places: list[int]) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(_I32, len(places)), places))


class _Array:
    """An array in code under construction, seen as flat; places are 64-bit numbers."""

    def __init__(self, context: Any, b: Any, kind: Any, value: Any) -> None:
        self.b, self.data = b, context.make_array(kind)(context, b, value).data
        self.item = context.get_data_type(kind.dtype)

    def __getitem__(self, place: Any) -> Any:
        return self.b.load(self.b.gep(self.data, [place]))

    def _at(self, place: Any, width: int) -> Any:
        pointer = ir.PointerType(ir.VectorType(self.item, width))
        return self.b.bitcast(self.b.gep(self.data, [place]), pointer)

    def take(self, place: Any, width: int) -> Any:
        return self.b.load(self._at(place, width), align=4)

    def put(self, place: Any, vector: Any) -> None:
        self.b.store(vector, self._at(place, vector.type.count), align=4)


def _spread(b: Any, value: Any, width: int) -> Any:
    empty = ir.Constant(ir.VectorType(value.type, width), ir.Undefined)
    return _chosen(b, b.insert_element(empty, value, ir.Constant(_I32, 0)), empty, [0] * width)


def _add(b: Any, x: Any, y: Any) -> Any:
    return b.fadd(x, y, flags=_FAST)


def _add_product(b: Any, total: Any, x: Any, y: Any) -> Any:
    return _add(b, total, b.fmul(x, y, flags=_FAST))


def _sums(b: Any, vectors: list[Any]) -> Any:
    """The sum over each of 8 vectors of 16, as a vector of 8: neighbours are added until one number is left."""
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [
            _add(b, _chosen(b, x, y, list(range(0, 32, 2))), _chosen(b, x, y, list(range(1, 32, 2))))
            for x, y in pairs
        ]
    both = vectors[0]
    return _add(
        b, _chosen(b, both, both, list(range(0, 16, 2))), _chosen(b, both, both, list(range(1, 16, 2)))
    )


@emitted
def dot_rows(
    typing: Any, h: Any, unit: Any, ptr: Any, first: Any, last: Any, source: Any, w: Any, bias: Any, inputs: Any,
    fresh: Any, relu: Any, lanes: Any,
) -> Any:  # fmt: skip
    """Rows of h, for first <= q < last that of unit[q]: its bias if fresh, else what is there, plus the sum of
    w[k] * (row source[k]) for ptr[q] <= k < ptr[q + 1]; then 0 where that is below, if relu."""
    number, flag = types.int64, types.boolean
    signature = types.void(h, unit, ptr, number, number, source, w, bias, number, flag, flag, number)

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        arrays = (_Array(context, b, sig.args[i], args[i]) for i in (0, 1, 2, 5, 6, 7))
        rows, units, ptr, sources, weights, biases = arrays
        _, _, _, first, last, _, _, _, inputs, fresh, relu, lanes = args
        zero = _zeros(SEGMENT)
        # Two sums, since one would wait for its own last addition.
        sums = [cgutils.alloca_once(b, _vector(SEGMENT)) for _ in range(2)]

        def unit(q: Any, offset: Any) -> None:
            k, end, u = ptr[q], ptr[b.add(q, _whole(1))], units[q]
            count, place = b.sub(end, k), b.add(b.mul(u, lanes), offset)

            def add(k: Any, total: Any) -> None:
                row = rows.take(b.add(b.mul(b.zext(sources[k], _I64), lanes), offset), SEGMENT)
                b.store(_add_product(b, b.load(total), _spread(b, weights[k], SEGMENT), row), total)

            with b.if_else(fresh) as (begin, go_on):
                with begin:
                    b.store(_spread(b, biases[b.sub(u, inputs)], SEGMENT), sums[0])
                with go_on:
                    b.store(rows.take(place, SEGMENT), sums[0])
            b.store(zero, sums[1])
            with cgutils.for_range(b, b.udiv(count, _whole(2))) as pair:
                even = b.add(k, b.mul(pair.index, _whole(2)))
                add(even, sums[0])
                add(b.add(even, _whole(1)), sums[1])
            with b.if_then(b.trunc(count, ir.IntType(1))):
                add(b.sub(end, _whole(1)), sums[0])
            total = _add(b, b.load(sums[0]), b.load(sums[1]))
            below = b.and_(b.fcmp_ordered("<", total, zero), _spread(b, relu, SEGMENT))
            rows.put(place, b.select(below, zero, total))

        _for_units(b, first, last, lanes, unit)
        return context.get_dummy_value()

    return signature, code


def _for_units(b: Any, first: Any, last: Any, lanes: Any, work: Callable[[Any, Any], None]) -> None:
    """Emit work(q, offset) for first <= q < last and each segment of a row."""
    with (
        cgutils.for_range(b, b.udiv(lanes, _whole(SEGMENT))) as segment,
        cgutils.for_range(b, b.sub(last, first)) as unit,
    ):
        work(b.add(first, unit.index), b.mul(segment.index, _whole(SEGMENT)))


def _total(b: Any) -> Any:
    """The sum over a vector of 16, added to a first number."""
    kind = ir.FunctionType(_FLOAT, [_FLOAT, _vector(_WORD)])
    return cgutils.get_or_insert_function(b.module, kind, f"llvm.vector.reduce.fadd.v{_WORD}f32")


@emitted
def row_gradients(
    typing: Any,
    d: Any,
    unit: Any,
    ptr: Any,
    first: Any,
    last: Any,
    source: Any,
    h: Any,
    g: Any,
    place: Any,
    lanes: Any,
) -> Any:
    """Add to g[k - place] the product of row unit[q] of d with row source[k] of h, for q and k as in `dot_rows`."""
    number = types.int64
    signature = types.void(d, unit, ptr, number, number, source, h, g, number, number)

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        arrays = (_Array(context, b, sig.args[i], args[i]) for i in (0, 1, 2, 5, 6, 7))
        deltas, units, ptr, sources, rows, gradients = arrays
        _, _, _, first, last, _, _, _, place, lanes = args
        steps = [_whole(_WORD * i) for i in range(SEGMENT // _WORD)]

        def unit(q: Any, offset: Any) -> None:
            k, end = ptr[q], ptr[b.add(q, _whole(1))]
            base = b.add(b.mul(units[q], lanes), offset)
            delta = [deltas.take(b.add(base, step), _WORD) for step in steps]

            def partial(q: Any) -> Any:
                row = b.add(b.mul(b.zext(sources[q], _I64), lanes), offset)
                total = _zeros(_WORD)
                for one, step in zip(delta, steps, strict=True):
                    total = _add_product(b, total, one, rows.take(b.add(row, step), _WORD))
                return total

            count = b.sub(end, k)
            with cgutils.for_range(b, b.udiv(count, _whole(8))) as eight:
                q = b.add(k, b.mul(eight.index, _whole(8)))
                found, to = _sums(b, [partial(b.add(q, _whole(i))) for i in range(8)]), b.sub(q, place)
                gradients.put(to, _add(b, gradients.take(to, 8), found))
            rest = b.and_(count, _whole(7))
            with cgutils.for_range(b, rest) as one:
                q = b.add(b.sub(end, rest), one.index)
                to = b.sub(q, place)
                b.store(
                    b.call(_total(b), [gradients[to], partial(q)], fastmath=_FAST),
                    b.gep(gradients.data, [to]),
                )

        _for_units(b, first, last, lanes, unit)
        return context.get_dummy_value()

    return signature, code


@emitted
def spread_rows(
    typing: Any, d: Any, unit: Any, ptr: Any, first: Any, last: Any, source: Any, w: Any, lanes: Any
) -> Any:
    """Add w[k] * (row unit[q] of d) to row source[k] of d, for q and k as in `dot_rows`: the gradient passed down."""
    number = types.int64
    signature = types.void(d, unit, ptr, number, number, source, w, number)

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        deltas, units, ptr, sources, weights = (
            _Array(context, b, sig.args[i], args[i]) for i in (0, 1, 2, 5, 6)
        )
        _, _, _, first, last, _, _, lanes = args

        def unit(q: Any, offset: Any) -> None:
            k, end = ptr[q], ptr[b.add(q, _whole(1))]
            delta = deltas.take(b.add(b.mul(units[q], lanes), offset), SEGMENT)
            with cgutils.for_range(b, b.sub(end, k)) as one:
                at = b.add(k, one.index)
                row = b.add(b.mul(b.zext(sources[at], _I64), lanes), offset)
                weight = _spread(b, weights[at], SEGMENT)
                deltas.put(row, _add_product(b, deltas.take(row, SEGMENT), weight, delta))

        _for_units(b, first, last, lanes, unit)
        return context.get_dummy_value()

    return signature, code


@emitted
def tile(
    typing: Any,
    x: Any,
    at: Any,
    down: Any,
    along: Any,
    y: Any,
    start: Any,
    width: Any,
    depth: Any,
    out: Any,
    to: Any,
    stride: Any,
) -> Any:
    """ROWS x COLUMNS numbers of a matrix product of `depth` terms.

    out[to + stride * i + j] = sum over k of x[at + down * i + along * k] * y[start + width * k + j].
    """
    signature = types.void(x, *[types.int64] * 3, y, *[types.int64] * 3, out, *[types.int64] * 2)

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        left, right, result = (_Array(context, b, sig.args[i], args[i]) for i in (0, 4, 8))
        _, at, down, along, _, start, width, depth, _, to, stride = args
        steps = [_whole(_WORD * i) for i in range(COLUMNS // _WORD)]
        sums = [[cgutils.alloca_once(b, _vector(_WORD)) for _ in steps] for _ in range(ROWS)]
        for total in (total for row in sums for total in row):
            b.store(_zeros(_WORD), total)
        with cgutils.for_range(b, depth) as term:
            place = b.add(at, b.mul(along, term.index))
            base = b.add(start, b.mul(width, term.index))
            factors = [right.take(b.add(base, step), _WORD) for step in steps]
            for i, row in enumerate(sums):
                one = _spread(b, left[b.add(place, b.mul(down, _whole(i)))], _WORD)
                for factor, total in zip(factors, row, strict=True):
                    b.store(_add_product(b, b.load(total), one, factor), total)
        for i, row in enumerate(sums):
            for step, total in zip(steps, row, strict=True):
                result.put(b.add(b.add(to, b.mul(stride, _whole(i))), step), b.load(total))
        return context.get_dummy_value()

    return signature, code


@emitted
def scale_row(typing: Any, x: Any, h: Any, at: Any, shift: Any, scale: Any, count: Any, lanes: Any) -> Any:
    """h[at + j] = (x[at + j] - shift) * scale for j < count, and 0 for the other lanes; x is uint8 or float32."""
    signature = types.void(x, h, types.int64, types.float32, types.float32, types.int64, types.int64)

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        source, target = (_Array(context, b, sig.args[i], args[i]) for i in range(2))
        _, _, at, shift, scale, count, lanes = args
        numbers = ir.Constant(ir.VectorType(_I64, SEGMENT), list(range(SEGMENT)))
        with cgutils.for_range(b, b.udiv(lanes, _whole(SEGMENT))) as segment:
            offset = b.mul(segment.index, _whole(SEGMENT))
            value = source.take(b.add(at, offset), SEGMENT)
            if source.item != _FLOAT:
                value = b.uitofp(value, _vector(SEGMENT))
            value = b.fmul(b.fsub(value, _spread(b, shift, SEGMENT)), _spread(b, scale, SEGMENT))
            filled = b.icmp_signed("<", numbers, _spread(b, b.sub(count, offset), SEGMENT))
            target.put(b.add(at, offset), b.select(filled, value, _zeros(SEGMENT)))
        return context.get_dummy_value()

    return signature, code


@emitted
def copy(typing: Any, x: Any, at: Any, out: Any, to: Any, count: Any) -> Any:
    """out[to + i] = x[at + i] for i < count, at the speed of the memory; both are of one type."""

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        source, target = _Array(context, b, sig.args[0], args[0]), _Array(context, b, sig.args[2], args[2])
        _, at, _, to, count = args
        size = context.get_abi_sizeof(source.item)
        cgutils.raw_memcpy(b, b.gep(target.data, [to]), b.gep(source.data, [at]), count, size)
        return context.get_dummy_value()

    return types.void(x, types.int64, out, types.int64, types.int64), code


@emitted
def turn_block(typing: Any, x: Any, at: Any, width: Any, out: Any, to: Any, stride: Any) -> Any:
    """16 x 16 numbers transposed: out[to + stride * i + j] = x[at + width * j + i]."""
    signature = types.void(x, types.int64, types.int64, out, types.int64, types.int64)

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        source, target = _Array(context, b, sig.args[0], args[0]), _Array(context, b, sig.args[3], args[3])
        _, at, width, _, to, stride = args
        rows = [source.take(b.add(at, b.mul(width, _whole(j))), _WORD) for j in range(_WORD)]
        for _ in range(4):  # a perfect shuffle of all numbers; the fourth brings each to its transposed place
            halves = list(zip(rows[:8], rows[8:], strict=True))
            rows = [_chosen(b, x, y, order) for x, y in halves for order in _SHUFFLE]
        for i, row in enumerate(rows):
            target.put(b.add(to, b.mul(stride, _whole(i))), row)
        return context.get_dummy_value()

    return signature, code


_SHUFFLE = [[place for i in range(8) for place in (i + 8 * half, 16 + i + 8 * half)] for half in range(2)]


@emitted
def power_of_two(typing: Any, exponent: Any) -> Any:
    """2 to a whole number from -126 to 127, by writing it into the exponent of a float."""

    def code(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.bitcast(b.shl(b.add(args[0], ir.Constant(_I32, 127)), ir.Constant(_I32, 23)), _FLOAT)

    return types.float32(types.int32), code


# --- products and examples -----------------------------------------------------------------------------------


@compiled
def multiply(
    x: Floats, at: int, down: int, along: int, y: Floats, start: int, width: int, depth: int,
    out: Floats, to: int, stride: int, rows: int, columns: int,
) -> None:  # fmt: skip
    """The product of two matrices, tile by tile; see `tile`. At least ROWS rows and COLUMNS columns.

    Tiles at the far edges are moved back inside: what they share with their neighbours is computed twice, alike.
    """
    for right in range(0, columns, COLUMNS):
        j = min(right, columns - COLUMNS)
        for top in range(0, rows, ROWS):
            i = min(top, rows - ROWS)
            tile(x, at + down * i, down, along, y, start + j, width, depth, out, to + stride * i + j, stride)


@compiled
def turn(x: NDArray[Any], at: int, rows: int, columns: int, out: NDArray[Any], to: int) -> None:
    """The matrix [rows, columns] that begins at x[at], transposed to [columns, rows] from out[to]; both flat."""
    if rows < 16 or columns < 16:
        for j in range(rows):
            for i in range(columns):
                out[U(to + i * rows) + U(j)] = x[U(at + j * columns) + U(i)]
        return
    for left in range(0, columns, 16):
        i = min(left, columns - 16)
        for top in range(0, rows, 16):
            j = min(top, rows - 16)
            turn_block(x, at + j * columns + i, columns, out, to + i * rows + j, rows)


@compiled
def lay_out(raw: NDArray[Any], rows: Ints, out: NDArray[Any]) -> None:
    """Batches of examples as they are, feature by feature: raw [n, features] and rows [steps, batch] give out
    [steps, features, lanes]; lanes without an example are 0."""
    features, lanes = out.shape[1], out.shape[2]
    examples = np.zeros(lanes * features, dtype=raw.dtype)
    for s in range(len(out)):
        for j in range(rows.shape[1]):  # whole examples first, since each lies somewhere else in memory
            copy(raw, rows[s, j] * features, examples, j * features, features)
        turn(examples, 0, lanes, features, out[s].reshape(-1), 0)


@compiled
def normalised(x: NDArray[Any], active: Ints, count: int, shift: Floats, scale: Floats, h: Floats) -> None:
    """Rows of the active inputs: h[i, j] = (x[i, j] - shift[i]) * scale[i] for the first `count` lanes, else 0."""
    lanes = x.shape[1]
    for a in range(len(active)):
        i = active[a]
        scale_row(x, h, i * lanes, shift[U(i)], scale[U(i)], count, lanes)


# --- one step ------------------------------------------------------------------------------------------------


@compiled
def scale_rows(x: Floats, factors: Floats, first: int, last: int) -> None:
    """x[i] *= factors[i] for first <= i < last."""
    for i in range(first, last):
        x[U(i)] *= factors[U(i)]


@compiled
def forward(net: Network, h: Floats, lanes: int, factors: Floats) -> None:
    """Rows of all units after the inputs, layer by layer. `factors` is what dropout multiplies each row by, or empty
    where there is none."""
    # Taken out of the tuple once: every taking counts references.
    unit, ptr, source, w, bias = net.unit, net.ptr, net.source, net.w, net.bias
    inputs = net.layers[0, FEATURES]
    for layer in net.layers:
        above, units, relu = layer[BELOW] + layer[FEATURES], layer[UNITS], layer[RELU] > 0
        if layer[KIND] == SPARSE:
            for block in range(layer[BLOCKS]):
                first, ends = layer[FIRST] + block * layer[RUNS], relu and block == layer[BLOCKS] - 1
                last = first + layer[RUNS]
                dot_rows(h, unit, ptr, first, last, source, w, bias, inputs, block == 0, ends, lanes)
        else:
            multiply(
                w, layer[PLACE], layer[FEATURES], 1, h, layer[BELOW] * lanes, lanes, layer[FEATURES],
                h, above * lanes, lanes, units, lanes,
            )  # fmt: skip
            for u in range(above, above + units):
                start = bias[u - inputs]
                for j in range(lanes):
                    value = h[U(u * lanes) + U(j)] + start
                    h[U(u * lanes) + U(j)] = ZERO if relu and value < ZERO else value
        if len(factors) > 0:
            scale_rows(h, factors, above * lanes, (above + units) * lanes)


@compiled
def exponential(x: Floats) -> None:
    """x = exp(x) for x <= 0, to 2 units in the last place; below 1e-37 it is 0. Not-a-number stays.

    exp(x) = 2^n * 2^f with n + f = x / ln 2 and |f| <= 1/2; the polynomial is the series of 2^f to its 7th power.
    """
    for j in range(len(x)):
        t = x[j] * np.float32(1.4426950408889634)
        n = np.floor(max(t, np.float32(-126)) + np.float32(0.5))
        f = (x[j] - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)  # ln 2 in two parts
        p = np.float32(1 / 5040)
        p = p * f + np.float32(1 / 720)
        p = p * f + np.float32(1 / 120)
        p = p * f + np.float32(1 / 24)
        p = p * f + np.float32(1 / 6)
        p = p * f + np.float32(0.5)
        p = (p * f + np.float32(1)) * f + np.float32(1)
        x[j] = p * power_of_two(np.int32(n)) if t > np.float32(-126) or t != t else ZERO


@compiled
def softmax_gradient(
    h: Floats, d: Floats, first: int, classes: int, labels: Ints, lanes: int, smoothing: float
) -> None:
    """d(mean cross-entropy)/d(logits) in the rows of the output units, 0 in lanes without an example.

    `labels` has one class an example; `smoothing` is spread over all classes (Szegedy et al. 2016, section 7).
    """
    batch = np.float32(len(labels))
    spread, rest = np.float32(smoothing / classes) / batch, np.float32(1 - smoothing) / batch
    rows, out = first * lanes, (first + classes) * lanes
    top, total = h[rows : rows + lanes].copy(), np.zeros(lanes, dtype=np.float32)
    for c in range(1, classes):
        for j in range(lanes):
            top[j] = max(top[j], h[U(rows + c * lanes) + U(j)])
    for c in range(classes):
        for j in range(lanes):
            d[U(rows + c * lanes) + U(j)] = h[U(rows + c * lanes) + U(j)] - top[j]
    exponential(d[rows:out])
    for c in range(classes):
        for j in range(lanes):
            total[j] += d[U(rows + c * lanes) + U(j)]
    for j in range(lanes):
        total[j] = np.float32(1) / (total[j] * batch)
    for c in range(classes):
        for j in range(lanes):
            d[U(rows + c * lanes) + U(j)] = d[U(rows + c * lanes) + U(j)] * total[j] - spread
        for j in range(len(labels), lanes):
            d[U(rows + c * lanes) + U(j)] = ZERO
    for j in range(len(labels)):
        d[U(rows + labels[j] * lanes) + U(j)] -= rest


@compiled
def adam(
    w: Floats, g: Floats, m: Floats, v: Floats, at: int, count: int, lr: float, rule: Rule, step: int
) -> None:  # fmt: skip
    """Adam (Kingma & Ba 2015, section 2) as torch computes it, on the weights at .. at + count; g[0] is the gradient
    of the first of them."""
    size = np.float32(lr / (1 - rule.beta1**step))
    root = np.float32(1 / np.sqrt(1 - rule.beta2**step))
    b1, b2, e, wd = (
        np.float32(rule.beta1),
        np.float32(rule.beta2),
        np.float32(rule.eps),
        np.float32(rule.decay),
    )
    c1, c2 = np.float32(1 - rule.beta1), np.float32(1 - rule.beta2)
    for i in range(count):
        k = U(at + i)
        gradient = g[U(i)] + wd * w[k]
        m[k] = b1 * m[k] + c1 * gradient
        v[k] = b2 * v[k] + c2 * gradient * gradient
        w[k] -= size * m[k] / (np.sqrt(v[k]) * root + e)


@compiled
def sgd(w: Floats, g: Floats, m: Floats, at: int, count: int, lr: float, rule: Rule) -> None:
    """SGD with momentum as torch computes it; arguments as in `adam`."""
    rate, mu, wd = np.float32(lr), np.float32(rule.momentum), np.float32(rule.decay)
    for i in range(count):
        k = U(at + i)
        gradient = g[U(i)] + wd * w[k]
        m[k] = mu * m[k] + gradient
        w[k] -= rate * (gradient + mu * m[k] if rule.nesterov else m[k])


@compiled
def update(
    w: Floats, g: Floats, moments: Floats, at: int, count: int, lr: float, rule: Rule, step: int
) -> None:
    """One step of the optimizer on the weights at .. at + count, whose gradients begin at g[0]."""
    if rule.adam:
        adam(w, g, moments[0], moments[1], at, count, lr, rule, step)
    else:
        sgd(w, g, moments[0], at, count, lr, rule)


@compiled
def put_living(w: Floats, alive: Bools, out: Floats) -> None:
    """Living weights into `out`; what is dead there stays."""
    for k in range(len(out)):  # both are read, so that it is a choice, not a branch
        new, old = w[k], out[k]
        out[k] = new if alive[k] else old


@compiled
def backward(
    net: Network, moments: Floats, bias_moments: Floats, lr: float, rule: Rule, step: int,
    h: Floats, d: Floats, x: Floats, g: Floats, lanes: int, through: bool, factors: Floats,
) -> None:  # fmt: skip
    """Pass the gradient in the output's rows of d down, layer by layer, and update weights and biases on the way;
    also to the inputs, if `through`. `factors` are those of `forward`.

    x and g are room for the rows a dense layer reads, example by example, and for gradients.
    """
    unit, ptr, source, biased, w = net.unit, net.ptr, net.source, net.biased, net.w
    inputs, gb = net.layers[0, FEATURES], np.zeros(len(net.bias), dtype=np.float32)
    for back in range(len(net.layers)):
        layer = net.layers[len(net.layers) - 1 - back]
        below, features, units, place = layer[BELOW], layer[FEATURES], layer[UNITS], layer[PLACE]
        above = below + features
        if len(factors) > 0:
            scale_rows(d, factors, above * lanes, (above + units) * lanes)
        for u in range(above, above + units):
            total = ZERO
            if layer[RELU] > 0:
                for j in range(lanes):  # a choice, not a branch: the processor could not guess it
                    at = U(u * lanes) + U(j)
                    d[at] = d[at] if h[at] > ZERO else ZERO
            for j in range(lanes):
                total += d[U(u * lanes) + U(j)]
            gb[u - inputs] = total if biased[u - inputs] else ZERO
        if layer[KIND] == SPARSE:
            if below > 0 or through:
                d[below * lanes : above * lanes] = ZERO
            g[: layer[COUNT]] = ZERO
            first, last = layer[FIRST], layer[FIRST] + layer[BLOCKS] * layer[RUNS]
            row_gradients(d, unit, ptr, first, last, source, h, g, place, lanes)
            if below > 0 or through:
                spread_rows(d, unit, ptr, first, last, source, w, lanes)
            update(w, g, moments, place, layer[COUNT], lr, rule, step)
            continue
        if below > 0 or through:
            multiply(
                w, place, 1, features, d, above * lanes, lanes, units,
                d, below * lanes, lanes, features, lanes,
            )  # fmt: skip
        turn(h, below * lanes, features, lanes, x, 0)
        for top in range(0, units, ROWS):  # updated while the gradients are still in the cache
            i, rows = min(top, units - ROWS), min(ROWS, units - top)
            multiply(d, (above + i) * lanes, lanes, 1, x, 0, features, lanes, g, 0, features, ROWS, features)
            fresh = g[(top - i) * features :]
            begin, count = place + top * features, rows * features
            if layer[KIND] == MASKED:
                for k in range(count):
                    fresh[k] = fresh[k] if net.alive[U(begin + k)] else ZERO
            update(w, fresh, moments, begin, count, lr, rule, step)
    update(net.bias, gb, bias_moments, 0, len(net.bias), lr, rule, step)


@compiled
def advance(
    net: Network, moments: Floats, bias_moments: Floats, batches: NDArray[Any], labels: Ints,
    shift: Floats, scale: Floats, rates: NDArray[np.float64], rule: Rule, taken: int,
    h: Floats, d: Floats, x: Floats, g: Floats,
) -> None:  # fmt: skip
    """Train one network on batches [steps, features, lanes] with labels [steps, batch] and learning rates [steps];
    `taken` steps came before.

    moments is [2, weights], bias_moments [2, units]. h and d have room for all units, inputs first, x for the widest
    layer's features (each times lanes), and g for the weights of the largest sparse layer or ROWS dense units.
    """
    lanes, last = batches.shape[2], net.layers[-1]
    outputs = last[BELOW] + last[FEATURES]
    for s in range(len(batches)):
        normalised(batches[s], net.active, labels.shape[1], shift, scale, h)
        forward(net, h, lanes, h[:0])
        softmax_gradient(h, d, outputs, last[UNITS], labels[s], lanes, rule.smoothing)
        backward(net, moments, bias_moments, rates[s], rule, taken + s + 1, h, d, x, g, lanes, False, h[:0])


@compiled
def score(
    net: Network, blocks: NDArray[Any], labels: Ints, shift: Floats, scale: Floats, h: Floats
) -> tuple[float, int]:
    """Summed cross-entropy (nats) and number of hits on blocks [n, features, lanes]; labels [examples] fill the
    lanes block by block. A tie of logits goes to the first class."""
    lanes, last = blocks.shape[2], net.layers[-1]
    rows = (last[BELOW] + last[FEATURES]) * lanes
    loss, hits = 0.0, 0
    for number in range(len(blocks)):
        count = min(lanes, len(labels) - number * lanes)
        normalised(blocks[number], net.active, count, shift, scale, h)
        forward(net, h, lanes, h[:0])
        for j in range(count):
            best, label = 0, labels[number * lanes + j]
            for c in range(1, last[UNITS]):
                if h[U(rows + c * lanes + j)] > h[U(rows + best * lanes + j)]:
                    best = c
            top, total = h[U(rows + best * lanes + j)], 0.0
            for c in range(last[UNITS]):
                total += np.exp(np.float64(h[U(rows + c * lanes + j)] - top))
            loss += np.log(total) + np.float64(top - h[U(rows + label * lanes + j)])
            hits += best == label
    return loss, hits


@compiled
def logits(net: Network, x: Floats, h: Floats, out: Floats) -> None:
    """Logits of normalised examples x [n, features] into out [n, classes]."""
    features, last = x.shape[1], net.layers[-1]
    rows = (last[BELOW] + last[FEATURES]) * LANES
    for first in range(0, len(x), LANES):
        count = min(LANES, len(x) - first)
        for j in range(LANES):
            for i in range(features):
                h[U(i * LANES + j)] = x[first + j, i] if j < count else ZERO
        forward(net, h, LANES, h[:0])
        for c in range(last[UNITS]):
            for j in range(count):
                out[first + j, c] = h[U(rows + c * LANES + j)]
