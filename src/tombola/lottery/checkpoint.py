"""State dicts in files: `.safetensors`, or what torch.save wrote, of which nothing is executed."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tombola.errors import UserError
from tombola.files import FOUND, read_tensors, write_bytes, write_tensors
from tombola.models.state import State
from tombola.text import listed

if TYPE_CHECKING:
    import torch

WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
"""Entries that checkpoints keep their state dict under, by those that are most often meant."""
MOST = 1 << 30
"""Numbers that a sparse tensor may stand for."""
SPARSE = ("sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")
KEYS = 8
"""Keys that a sentence names."""


def read_checkpoint(path: Path) -> State:
    """A state dict from `.safetensors` or `torch.save` (plain tensors only, nothing is executed).

    Sparse tensors are made dense. A dict that holds a state dict under one of `WRAPPINGS`, or once under another name,
    is unwrapped. Raises UserError for anything else.
    """
    import torch

    if not path.exists():
        raise UserError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    try:
        with warnings.catch_warnings(), torch.sparse.check_sparse_tensor_invariants(True):  # type: ignore[no-untyped-call]
            warnings.filterwarnings("ignore", message="Sparse .* tensor support is in beta")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # the unpickler meets broken bytes with almost any kind of exception
        raise UserError(f"{path}: not a checkpoint that torch.load reads safely ({_why(problem)})") from None
    loaded = _unwrapped(loaded)
    if not isinstance(loaded, dict) or not all(_is_entry(*entry) for entry in loaded.items()):
        raise UserError(f"{path}: expected a state dict (name -> tensor), found {_called(loaded)}")
    for name, tensor in loaded.items():
        _require_plain(path, name, tensor)
    return {name: tensor.to_dense() if _is_sparse(tensor) else tensor for name, tensor in loaded.items()}


def _unwrapped(loaded: Any) -> Any:
    """The state dict within a checkpoint, or what is there in its place."""
    while isinstance(loaded, dict):
        named = [key for key in WRAPPINGS if isinstance(loaded.get(key), dict)]
        states = [
            key for key, value in loaded.items() if isinstance(value, dict) and value and _is_state(value)
        ]
        if not named and len(states) != 1:
            break
        loaded = loaded[(named or states)[0]]
    return loaded


def _is_state(found: Mapping[Any, Any]) -> bool:
    return all(_is_entry(*entry) for entry in found.items())


def _is_entry(name: Any, tensor: Any) -> bool:
    import torch

    return isinstance(name, str) and isinstance(tensor, torch.Tensor)


def _called(found: Any) -> str:
    if not isinstance(found, dict):
        return type(found).__name__
    keys = [str(key)[:FOUND] for key in found]
    more = [f"{len(keys) - KEYS} more"] if len(keys) > KEYS else []
    return f"dict with {listed([*map(repr, keys[:KEYS]), *more])}" if keys else "an empty dict"


def _why(problem: Exception) -> str:
    """Why torch does not read a file, without its advice to read it all the same."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(problem))
    if made := re.search(r"GLOBAL (\S+)", text):
        return (
            f"it holds an object of {made[1].rstrip('.')}, not only tensors; save the module's state_dict()"
        )
    return text.partition("\n")[0] if "two options" not in text else "it holds more than tensors"


def _is_sparse(tensor: torch.Tensor) -> bool:
    return str(tensor.layout).removeprefix("torch.") in SPARSE


def _require_plain(path: Path, name: str, tensor: torch.Tensor) -> None:
    """Raise UserError for a tensor that does not hold a number for each of its places."""
    import torch

    kind = str(tensor.layout).removeprefix("torch.")
    if _is_sparse(tensor):
        if tensor.numel() > MOST:
            raise UserError(
                f"{path}: '{name[:FOUND]}' is sparse, of shape {tuple(tensor.shape)}; expected at most {MOST:,} numbers"
            )
        return
    if tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized or tensor.is_meta:
        also = "quantized" if tensor.is_quantized else "meta" if tensor.is_meta else kind
        raise UserError(f"{path}: '{name[:FOUND]}' is a tensor of kind {also}; expected plain, dense numbers")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UserError(
            f"{path}: '{name[:FOUND]}' is of shape {tuple(tensor.shape)}, and holds fewer numbers than that"
        )


def write_checkpoint(path: Path, state: State, metadata: Any = None) -> None:
    """A state dict as `.safetensors`, with metadata, or as torch.save for `.pt` and `.pth`; another suffix is a
    UserError."""
    import torch

    if path.suffix == ".safetensors":
        write_tensors(path, state, metadata)
    elif path.suffix in (".pt", ".pth"):
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(path, buffer.getvalue())
    else:
        raise UserError(f"{path}: expected a name ending in .safetensors, .pt or .pth")
