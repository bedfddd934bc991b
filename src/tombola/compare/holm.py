"""Holm's correction for many tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """p-values that can each be held against one level for all of them together (Holm 1979).

    The smallest of n is multiplied by n, the next by n - 1, ..., and none falls below one before it.
    """
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p)[order] * factors), 1.0)
    return [float(value) for value in corrected]
