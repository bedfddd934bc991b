"""Masks that were made elsewhere: checkpoints, bare mask files, folders of sparse matrices."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix
from torch import Tensor

from tombola.alignment.network import in_natural_order
from tombola.alignment.subject import Subject
from tombola.errors import UserError
from tombola.lottery.mask_files import read_mask_file
from tombola.masks.mask import Mask
from tombola.models.state import State
from tombola.npz import NUMBERS, TEXTS, read_npz_members

MOST = 1 << 30
"""Numbers of a matrix, zeros among them."""


def subject_from_file(path: Path, name: str | None = None) -> Subject:
    """The mask, and the weights where there are any, of a file or folder; called by its path unless named.

    A file as `lottery.mask_files.read_mask_file` reads it, or a folder of scipy `.npz` matrices, one a layer, [inputs,
    outputs], in the order of the numbers in their names; where every layer has one input more than the layer before has
    outputs, the last one is the bias and is not masked.

    Raises UserError, in one sentence, for anything else.
    """
    called = name or str(path)
    if path.is_dir():
        return _of_matrices(called, path)
    found = read_mask_file(path)
    return Subject(called, found.mask, found.start, found.end)


def subjects_from(path: Path) -> list[Subject]:
    """The subject of a file, or of a folder of matrices; else one for each folder of matrices at any depth below it.

    Those below are called by their path, from the name of the folder on. Raises UserError as `subject_from_file` does.
    """
    below = sorted(
        {file.parent for file in path.rglob("*.npz")}, key=lambda folder: in_natural_order(str(folder))
    )
    if below in ([], [path]):
        return [subject_from_file(path)]
    return [subject_from_file(folder, str(folder.relative_to(path.parent))) for folder in below]


def _of_matrices(name: str, folder: Path) -> Subject:
    """The subject of a folder of sparse matrices: whatever is not zero in them lives."""
    state = _of_folder(folder)
    mask = Mask({layer: value != 0 for layer, value in state.items() if layer.endswith(".weight")})
    if mask.count() == mask.size():
        raise UserError(f"{folder}: found no mask: no weight is zero")
    return Subject(name, mask, end=state)


def _of_folder(folder: Path) -> State:
    """Layer -> weights [outputs, inputs] and bias, of a folder of sparse matrices."""
    files = sorted(folder.glob("*.npz"), key=lambda file: in_natural_order(file.name))
    if not files:
        raise UserError(f"{folder}: expected a folder of .npz files, one sparse matrix a layer; found none")
    matrices = {file.stem: _matrix(file) for file in files}
    stems = list(matrices)
    extra = {matrices[second].shape[0] - matrices[first].shape[1] for first, second in pairwise(stems)}
    if not extra <= {0} and extra != {1}:
        found = ", ".join(f"{stem} {matrices[stem].shape}" for stem in stems)
        raise UserError(
            f"{folder}: its layers do not follow one another, expected [inputs, outputs] each; found {found}"
        )
    state: dict[str, Tensor] = {}
    for stem, matrix in matrices.items():
        if extra == {1}:
            matrix, bias = matrix[:-1], matrix[-1]
            state[f"{stem}.bias"] = torch.from_numpy(bias.copy())
        state[f"{stem}.weight"] = torch.from_numpy(np.ascontiguousarray(matrix.T))
    return state


def _matrix(file: Path) -> NDArray[np.float32]:
    stored = read_npz_members(file, lambda names: names, NUMBERS + TEXTS)
    try:
        # As scipy.sparse.save_npz writes them. scipy itself believes the indices, and writes where they point to.
        kind = str(stored["format"].astype(str))
        shape = tuple(int(side) for side in stored["shape"].tolist())
        if math.prod(shape) > MOST:
            raise ValueError(f"of shape {shape}, which has more than {MOST:,} numbers")
        values = stored["data"]
        if values.dtype.kind not in NUMBERS:
            raise ValueError(f"its data are {values.dtype}")
        if kind in ("csr", "csc"):
            made = {"csr": csr_matrix, "csc": csc_matrix}[kind]
            matrix = made((values, stored["indices"], stored["indptr"]), shape=shape)
            matrix.check_format(full_check=True)
        elif kind == "coo":
            matrix = coo_matrix((values, (stored["row"], stored["col"])), shape=shape)
        else:
            raise ValueError(f"its format is '{kind[:20]}', expected csr, csc or coo")
        return np.asarray(matrix.toarray(), dtype=np.float32)
    except MemoryError:
        raise UserError(f"{file}: does not fit in memory") from None
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as problem:
        raise UserError(f"{file}: not a sparse matrix that scipy can read ({problem})") from None
