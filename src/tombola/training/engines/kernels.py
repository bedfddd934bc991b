"""Compiled loops of the sparse engine: one network, living weights only, the batch as the vector.

Layout. Activations and their gradients are [unit, 64] with the batch along the row, so that one weight times
one row is one run of vector instructions, whatever the mask looks like. Weights are rows of living inputs, unit by
unit (CSR): `w[ptr[u] : ptr[u + 1]]` belong to unit u and read the rows `source[...]`. Units of all layers are
numbered through, inputs first, so that every buffer is one flat array.

Indices are cast to unsigned: a signed one could be negative, which numba would check at every access, and the
loops would not vectorise. Sums are reassociated, but not-a-number is kept, since a diverged network must show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

LANES = 64
"""Examples side by side in a row."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Sources = NDArray[np.int32]
"""Numbers of units: half the size of an index, since reading them is half of the memory traffic."""

U = np.uint64
ROW = np.uint64(LANES)
ZERO = np.float32(0)

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code, compiled at its first call and kept on disk for later ones."""
    rounding = {"reassoc", "contract", "arcp", "nsz"}
    return cast(
        Function, numba.njit(fastmath=rounding, nogil=True, error_model="numpy", cache=True)(function)
    )


@compiled
def gather(raw: NDArray[Any], rows: Ints, active: Ints, shift: Floats, scale: Floats, x: Floats) -> None:
    """x[i, j] = (raw[rows[j], i] - shift[i]) * scale[i] for the active inputs i; lanes without an example are 0."""
    count = len(rows)
    for first in range(0, len(active), 16):  # a block of inputs, so that the rows written stay in the cache
        last = min(first + 16, len(active))
        for j in range(count):
            row = rows[j]
            for a in range(first, last):
                i = active[a]
                x[U(i) * ROW + U(j)] = (np.float32(raw[U(row), U(i)]) - shift[U(i)]) * scale[U(i)]
        for a in range(first, last):
            for j in range(count, LANES):
                x[U(active[a]) * ROW + U(j)] = ZERO


@compiled
def forward(
    ptr: Ints, source: Sources, w: Floats, bias: Floats, relu: NDArray[np.bool_], inputs: int, h: Floats
) -> None:
    """Rows of all units after the inputs, in order. Eight weights a pass, so that a sum is loaded and stored once
    for eight products."""
    for u in range(len(ptr) - 1):
        out = U(u + inputs) * ROW
        for j in range(ROW):
            h[out + j] = bias[u]
        k, end = ptr[u], ptr[u + 1]
        while k + 8 <= end:
            q = U(k)
            s0, s1 = U(source[q]) * ROW, U(source[q + U(1)]) * ROW
            s2, s3 = U(source[q + U(2)]) * ROW, U(source[q + U(3)]) * ROW
            s4, s5 = U(source[q + U(4)]) * ROW, U(source[q + U(5)]) * ROW
            s6, s7 = U(source[q + U(6)]) * ROW, U(source[q + U(7)]) * ROW
            w0, w1, w2, w3 = w[q], w[q + U(1)], w[q + U(2)], w[q + U(3)]
            w4, w5, w6, w7 = w[q + U(4)], w[q + U(5)], w[q + U(6)], w[q + U(7)]
            for j in range(ROW):
                h[out + j] += (w0 * h[s0 + j] + w1 * h[s1 + j] + w2 * h[s2 + j] + w3 * h[s3 + j]) + (
                    w4 * h[s4 + j] + w5 * h[s5 + j] + w6 * h[s6 + j] + w7 * h[s7 + j]
                )
            k += 8
        while k < end:
            s0, w0 = U(source[U(k)]) * ROW, w[U(k)]
            for j in range(ROW):
                h[out + j] += w0 * h[s0 + j]
            k += 1
        if relu[u]:
            for j in range(ROW):
                h[out + j] = ZERO if h[out + j] < ZERO else h[out + j]


@compiled
def softmax_gradient(h: Floats, d: Floats, labels: Ints, first: int, classes: int, batch: int) -> None:
    """d(mean cross-entropy)/d(logits) in the rows of the output units, 0 in lanes without an example."""
    count = len(labels)
    for j in range(LANES):
        if j >= count:
            for c in range(classes):
                d[U(first + c) * ROW + U(j)] = ZERO
            continue
        top = h[U(first) * ROW + U(j)]
        for c in range(1, classes):
            top = max(top, h[U(first + c) * ROW + U(j)])
        total = ZERO
        for c in range(classes):
            e = np.exp(h[U(first + c) * ROW + U(j)] - top)
            d[U(first + c) * ROW + U(j)] = e
            total += e
        for c in range(classes):
            hit = np.float32(1) if labels[j] == c else ZERO
            d[U(first + c) * ROW + U(j)] = (d[U(first + c) * ROW + U(j)] / total - hit) / np.float32(batch)


@compiled
def backward(
    ptr: Ints, source: Sources, w: Floats, relu: NDArray[np.bool_], inputs: int, outputs: int,
    h: Floats, d: Floats, g: Floats, gb: Floats,
) -> None:  # fmt: skip
    """Add the gradients of weights and biases to g and gb, from the last unit down to the first.

    d holds the gradient of each unit's row; rows of hidden units are filled on the way: those of a layer are
    complete when it is reached, since everything they feed lies above them.
    """
    units = len(ptr) - 1
    d[U(inputs) * ROW : U(inputs + units - outputs) * ROW] = ZERO  # rows of the inputs have no use for one
    for back in range(units):
        u = units - 1 - back
        out = U(u + inputs) * ROW
        if relu[u]:
            for j in range(ROW):
                d[out + j] = d[out + j] if h[out + j] > ZERO else ZERO
        total = ZERO
        for j in range(ROW):
            total += d[out + j]
        gb[u] += total
        k, end = ptr[u], ptr[u + 1]
        hidden = k < end and source[U(k)] >= inputs
        while k + 4 <= end:
            q = U(k)
            s0, s1 = U(source[q]) * ROW, U(source[q + U(1)]) * ROW
            s2, s3 = U(source[q + U(2)]) * ROW, U(source[q + U(3)]) * ROW
            g0, g1, g2, g3 = ZERO, ZERO, ZERO, ZERO
            for j in range(ROW):
                v = d[out + j]
                g0 += v * h[s0 + j]
                g1 += v * h[s1 + j]
                g2 += v * h[s2 + j]
                g3 += v * h[s3 + j]
            g[q] += g0
            g[q + U(1)] += g1
            g[q + U(2)] += g2
            g[q + U(3)] += g3
            if hidden:
                w0, w1, w2, w3 = w[q], w[q + U(1)], w[q + U(2)], w[q + U(3)]
                for j in range(ROW):
                    v = d[out + j]
                    d[s0 + j] += w0 * v
                    d[s1 + j] += w1 * v
                    d[s2 + j] += w2 * v
                    d[s3 + j] += w3 * v
            k += 4
        while k < end:
            s0, w0, g0 = U(source[U(k)]) * ROW, w[U(k)], ZERO
            for j in range(ROW):
                g0 += d[out + j] * h[s0 + j]
            g[U(k)] += g0
            if hidden:
                for j in range(ROW):
                    d[s0 + j] += w0 * d[out + j]
            k += 1


@compiled
def adam(
    w: Floats,
    g: Floats,
    m: Floats,
    v: Floats,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    step: int,
) -> None:
    """Adam (Kingma & Ba 2015, section 2) as torch computes it, on living weights; clears the gradient."""
    size = np.float32(lr / (1 - beta1**step))
    root = np.float32(np.sqrt(1 - beta2**step))
    b1, b2, e, wd = np.float32(beta1), np.float32(beta2), np.float32(eps), np.float32(decay)
    c1, c2 = np.float32(1 - beta1), np.float32(1 - beta2)
    for k in range(len(w)):
        gradient = g[k] + wd * w[k]
        m[k] = b1 * m[k] + c1 * gradient
        v[k] = b2 * v[k] + c2 * gradient * gradient
        w[k] -= size * m[k] / (np.sqrt(v[k]) / root + e)
        g[k] = ZERO


@compiled
def sgd(w: Floats, g: Floats, m: Floats, lr: float, momentum: float, nesterov: bool, decay: float) -> None:
    """SGD with momentum as torch computes it, on living weights; clears the gradient."""
    rate, mu, wd = np.float32(lr), np.float32(momentum), np.float32(decay)
    for k in range(len(w)):
        gradient = g[k] + wd * w[k]
        m[k] = mu * m[k] + gradient
        w[k] -= rate * (gradient + mu * m[k] if nesterov else m[k])
        g[k] = ZERO


@compiled
def advance(
    raw: NDArray[Any], labels: Ints, rows: Ints, shift: Floats, scale: Floats, active: Ints, shape: Ints,
    ptr: Ints, source: Sources, relu: NDArray[np.bool_], biased: NDArray[np.bool_],
    w: Floats, bias: Floats, moments: Floats, bias_moments: Floats, rates: NDArray[np.float64],
    settings: NDArray[np.float64], taken: int,
) -> None:  # fmt: skip
    """Train one network for the steps rows[s, :] with learning rates rates[s].

    shape is (inputs, units, classes); moments is [2, weights], bias_moments [2, units]; settings is (adam?, beta1,
    beta2, eps, momentum, nesterov?, weight decay); `taken` steps came before.
    """
    inputs, units, classes = shape[0], shape[1], shape[2]
    h = np.zeros((inputs + units) * LANES, dtype=np.float32)
    d = np.zeros((inputs + units) * LANES, dtype=np.float32)
    g, gb = np.zeros(len(w), dtype=np.float32), np.zeros(units, dtype=np.float32)
    batch = rows.shape[1]
    for s in range(rows.shape[0]):
        for first in range(0, batch, LANES):
            part = rows[s, first : min(first + LANES, batch)]
            gather(raw, part, active, shift, scale, h)
            forward(ptr, source, w, bias, relu, inputs, h)
            softmax_gradient(h, d, labels[part], inputs + units - classes, classes, batch)
            backward(ptr, source, w, relu, inputs, classes, h, d, g, gb)
        for u in range(units):
            if not biased[u]:
                gb[u] = ZERO
        if settings[0] > 0:
            rule = (rates[s], settings[1], settings[2], settings[3], settings[6], taken + s + 1)
            adam(w, g, moments[0], moments[1], *rule)
            adam(bias, gb, bias_moments[0], bias_moments[1], *rule)
        else:
            plain = (rates[s], settings[4], settings[5] > 0, settings[6])
            sgd(w, g, moments[0], *plain)
            sgd(bias, gb, bias_moments[0], *plain)


@compiled
def logits(
    x: Floats, active: Ints, inputs: int, ptr: Ints, source: Sources, relu: NDArray[np.bool_], w: Floats, bias: Floats,
    out: Floats,
) -> None:  # fmt: skip
    """Logits of normalised examples x [n, features] into out [n, classes]."""
    units, classes = len(ptr) - 1, out.shape[1]
    h = np.zeros((inputs + units) * LANES, dtype=np.float32)
    none, one = np.zeros(inputs, dtype=np.float32), np.ones(inputs, dtype=np.float32)
    for first in range(0, x.shape[0], LANES):
        part = np.arange(first, min(first + LANES, x.shape[0]))
        gather(x, part, active, none, one, h)
        forward(ptr, source, w, bias, relu, inputs, h)
        for c in range(classes):
            for j in range(len(part)):
                out[first + j, c] = h[U(inputs + units - classes + c) * ROW + U(j)]
