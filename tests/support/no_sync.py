"""Modes that refuse to read a value from the device."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

READING_OPERATIONS = {
    "aten::_local_scalar_dense",
    "aten::item",
    "aten::is_nonzero",
    "aten::nonzero",
    "aten::equal",
    "aten::allclose",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::repeat_interleave.Tensor",
}
READING_METHODS = {
    "item", "tolist", "numpy", "cpu", "__array__", "nonzero", "equal", "allclose", "is_nonzero",
    "__bool__", "__int__", "__float__", "__index__", "__contains__",
}  # fmt: skip


class ReadingError(AssertionError):
    """The host read a value."""


class NoReadingOperation(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name in READING_OPERATIONS or f"{name}.{func._overloadname}" in READING_OPERATIONS:
            raise ReadingError(name)
        if name in ("aten::index", "aten::index_put_"):  # a bool index has to be counted first
            for index in args[1]:
                if index is not None and index.dtype in (torch.bool, torch.uint8):
                    raise ReadingError(f"{name} with a bool index")
        return func(*args, **(kwargs or {}))


class NoReadingMethod(TorchFunctionMode):
    """`.tolist()` and `.numpy()` of a CPU tensor never get to the dispatcher: seen here."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in READING_METHODS:
            raise ReadingError(func.__name__)
        return func(*args, **(kwargs or {}))
