"""Tickets of dense blocks: regrouping (Chen et al. 2022, "Coarsening the Granularity", section 3.3).

Rows of a layer (its output units, each with all its inputs) that have similar living weights are put together, and in
each group the columns that many of its rows have become a dense block. The authors have hMETIS part the rows, a
program that may not be passed on. Here rows are grouped greedily by the Jaccard similarity of their living weights:
the row of most weights that is left gathers the most similar ones until its group has its share of the rows. Groups
come out equally large, as those of hMETIS with its bound on imbalance do; hierarchical clustering would make one large
group and many single rows, of which none is large enough for a block, and k-medoids fixes no sizes either.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from tombola.masks.mask import Mask
from tombola.transfer.channels import WHOLE
from tombola.transfer.route import ROUTES, Made, Request, WeightsFrom

Bits = NDArray[np.bool_]
Rows = NDArray[np.intp]
AtLeast1 = Annotated[int, Field(ge=1)]


@ROUTES.register("regroup", reads_end=False, controls={"reinit": {"weights": "reinit"}})
def regroup(
    request: Request,
    /,
    *,
    groups: AtLeast1 = 8,
    rows: AtLeast1 = 16,
    columns: AtLeast1 = 16,
    share: Annotated[float, Field(gt=0, le=1)] = 0.5,
    weights: WeightsFrom = "transferred",
) -> Made:
    """Dense blocks of units that have similar inputs (Chen et al. 2022, regrouping).

    In each layer but the output, [rows, columns], rows with living weights are put into so many `groups`. A group of
    at least so many `rows` takes the columns that at least this `share` of them have; with at least so many `columns`
    they are a block, in which every weight lives. All else dies. A layer in which no block is found is left as it is,
    as in the authors' code. One pass is made. The weights that come to life have the values of the dense network,
    which is the second ticket.

    Raises UserError for tickets of other networks, and where a dense network is needed.
    """
    ticket = request.ticket
    request.at_home()
    made, blocks = {}, dict[str, Any]()
    for name, living in ticket.mask.items():
        made[name] = living
        if request.target.roles[name] in WHOLE:
            matrix = living.reshape(len(living), -1).numpy()
            found = blocks_of(matrix, groups, rows, columns, share)
            blocks[name] = [[len(group), len(taken)] for group, taken in found]
            if found:
                dense = np.zeros_like(matrix)
                for group, taken in found:
                    dense[np.ix_(group, taken)] = True
                made[name] = torch.from_numpy(dense).view(living.shape)
    mask = Mask(made)
    start = request.reinit() if weights == "reinit" else request.start_under(mask)
    report = {"blocks": blocks, "source_weights": ticket.mask.count(), "weights": mask.count()}
    return Made(mask, start, report)


def blocks_of(living: Bits, groups: int, rows: int, columns: int, share: float) -> list[tuple[Rows, Rows]]:
    """The rows and the columns of each dense block in a matrix, see `regroup`."""
    found = []
    for group in row_groups(living, groups):
        # 0.6 of 5 rows are 3, whatever their product is in binary digits.
        taken = np.flatnonzero(living[group].sum(0) >= ceil(share * len(group) - 1e-9))
        if len(group) >= rows and len(taken) >= columns:
            found.append((group, taken))
    return found


def row_groups(living: Bits, groups: int) -> list[Rows]:
    """Rows with living weights in groups of similar ones, all of one size but the last.

    The row of most weights that is left (the first of equals) gathers those of the greatest Jaccard similarity to it
    (again the first of equals) until its group has its share of all rows.
    """
    counts = living.sum(1)
    left = np.flatnonzero(counts)
    size = max(1, ceil(len(left) / groups))
    found = []
    while len(left):
        seed = left[np.argmax(counts[left])]
        both = living[left] @ living[seed].astype(np.int64)
        similar = both / (counts[left] + counts[seed] - both)
        order = np.argsort(-similar, kind="stable")[:size]
        found.append(np.sort(left[order]))
        left = np.delete(left, order)
    return found
