"""Files that are whole or not there, with the same bits for the same contents."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from tombola.errors import UserError

if TYPE_CHECKING:
    import torch


METADATA_KEY = "tombola"


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """16 hex digits of SHA-256 over names, dtypes, shapes and bytes."""
    import torch

    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(canonical([name, str(tensor.dtype), list(tensor.shape)]).encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside the place, flush to disk, rename into it: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """A folder beside the place, to be filled and, when that went well, renamed into it: it is whole or not there."""
    beside = _beside(place)
    beside.mkdir(parents=True)
    try:
        yield beside
        beside.replace(place)
        handle = os.open(place.parent, os.O_RDONLY)  # flushes the rename to the disk
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def write_json(path: Path, value: Any) -> None:
    """Indented JSON with sorted keys."""
    write_bytes(path, (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value in a JSON file; a broken one is a UserError that names it."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        raise UserError(f"{path}: not a readable JSON file ({problem})") from None


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Any = None) -> None:
    """A safetensors file. Its metadata is one key holding sorted JSON: several would be written in random order."""
    import torch
    from safetensors.torch import save

    # Copies, since safetensors refuses tensors that share memory (tied weights, a start that is also the end).
    whole = torch.contiguous_format
    ready = {name: tensors[name].detach().cpu().clone(memory_format=whole) for name in sorted(tensors)}
    write_bytes(path, save(ready, {METADATA_KEY: canonical(metadata)}))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """Tensors and metadata of a safetensors file (metadata None where Tombola did not write it).

    Raises UserError when the file is absent, truncated or something else.
    """
    tensors, _, metadata = _read(path, "pt", "")
    return tensors, metadata


def read_arrays(path: Path, beginning: str = "") -> tuple[dict[str, Any], list[str], Any]:
    """As `read_tensors`, without torch: numpy arrays of the names that begin so, called by what follows; all names."""
    return _read(path, "numpy", beginning)


def _read(path: Path, kind: str, beginning: str) -> tuple[dict[str, Any], list[str], Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, kind) as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "null"))
            names = list(file.keys())
            wanted = [name for name in names if name.startswith(beginning)]
            return {name.removeprefix(beginning): file.get_tensor(name) for name in wanted}, names, metadata
    except (OSError, SafetensorError, ValueError) as problem:
        raise UserError(f"{path}: not a readable safetensors file ({problem})") from None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object in a file; anything else is a UserError that names the file."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """A parquet file, whole or not there; one that holds the same already is left alone."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    if not path.is_file() or path.read_bytes() != buffer.getvalue():
        write_bytes(path, buffer.getvalue())
