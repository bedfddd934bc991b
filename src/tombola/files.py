"""Files that are whole or not there, with the same bits for the same contents."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
from pydantic import TypeAdapter, ValidationError

from tombola.errors import UserError, notice

if TYPE_CHECKING:
    import torch


T = TypeVar("T")
METADATA_KEY = "tombola"
SOURCE = "tombola: path"
"""What the column with the path of a file is called, while many are read."""
FOUND = 60
"""Characters of a wrong value that are shown."""


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
    except OSError as problem:
        problem.filename = problem.filename or str(
            path.parent
        )  # of a full disk nothing else tells which it is
        raise
    finally:
        beside.unlink(missing_ok=True)


STALE = 300.0
"""Seconds after which something half-written is nobody's any more."""


def sweep(folder: Path, *patterns: str, older: float = STALE) -> None:
    """Remove what killed processes left half-written in a folder, where the patterns find it; nothing where nobody may
    write. Links go, and not what they point to."""
    for path in (each for pattern in patterns for each in folder.glob(pattern)):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime < older:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def unless_read_only(place: Path, what: str) -> Iterator[None]:
    """Within it `what` is stored at a place that may be in an archive: where nobody may write, a notice says so."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        notice(f"{place}: cannot be written to ({problem.strerror}), so {what} are not stored")


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """A folder beside the place, to be filled and, when that went well, renamed into it: it is whole or not there. One
    that another process has put there meanwhile stays."""
    beside = _beside(place)
    beside.mkdir(parents=True)
    try:
        yield beside
        if place.is_symlink():  # it points to nothing, else nobody would write here
            place.unlink()
        try:
            beside.replace(place)
        except OSError as problem:
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
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


TOO_LARGE = "a whole number of more than 64 bits"
MANY_DOTS = re.compile(r"(?:[\w-]{1,64}\.){200}")
DEEPEST = 32
"""Tables and lists within one another, in a file that is read."""


def require_plain(value: Any) -> None:
    """Raise ValueError for a value that some later step could not hold: nested more than `DEEPEST` deep, whole numbers
    beyond 64 bits, texts with half a character."""
    ahead = [(value, 0)]
    while ahead:
        part, depth = ahead.pop()
        if isinstance(part, dict | list):
            if depth >= DEEPEST:
                raise ValueError(f"tables or lists nested more than {DEEPEST} deep")
            inner = part if isinstance(part, list) else [*part, *part.values()]
            ahead += [(each, depth + 1) for each in inner]
        elif isinstance(part, str):
            if not part.isascii() and any("\ud800" <= character <= "\udfff" for character in part):
                raise ValueError("a text with half a character (a lone surrogate)")
        elif isinstance(part, int) and part.bit_length() > 63:
            raise ValueError(TOO_LARGE)


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The table in a TOML text; `where` begins the sentence of the UserError for what is none, or not plain."""

    def parse() -> dict[str, Any]:
        if MANY_DOTS.search(text):  # tomllib takes a time that grows as their square
            raise RecursionError
        return tomllib.loads(text)

    return _plain(parse, f"{where}: not valid TOML")


def read_json(path: Path) -> Any:
    """The value in a JSON file; a broken one is a UserError that names it, and so is one that is not plain."""
    return _plain(
        lambda: json.loads(path.read_text(), parse_constant=_refuse), f"{path}: not a readable JSON file"
    )


def _plain(parse: Callable[[], T], wrong: str) -> T:
    """What is parsed, if it is plain; else a UserError that begins as told."""
    try:
        value = parse()
        require_plain(value)
        return value
    except (OSError, ValueError) as problem:
        raise UserError(f"{wrong} ({_why(problem)})") from None
    except RecursionError:
        raise UserError(f"{wrong} (tables or lists nested more than {DEEPEST} deep)") from None


def _why(problem: Exception) -> str:
    """What a parser says, without what Python says of its own settings where a number has thousands of digits."""
    return TOO_LARGE if "int_max_str_digits" in str(problem) else str(problem)


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is no number")


def checked(path: Path, value: Any, kind: TypeAdapter[T]) -> T:
    """A value of a JSON file as what it should be, strictly: no text for a number. Raises UserError that names the
    file, the place in it, and what was expected."""
    try:
        return kind.validate_json(json.dumps(value), strict=True)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        place = ".".join(str(part) for part in error["loc"])
        said = f"{error['msg'][0].lower()}{error['msg'][1:]}"
        found = repr(error["input"])
        found = found if len(found) <= FOUND else f"{found[:FOUND]}..."
        what = "it lacks it" if error["type"] == "missing" else f"found {found}"
        raise UserError(f"{path}: broken at '{place}' ({said}; {what})") from None


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
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError, RecursionError) as problem:
        # Types and attributes: numbers that numpy has no type for.
        raise UserError(f"{path}: not a readable safetensors file ({problem})") from None
    except MemoryError:
        raise UserError(f"{path}: does not fit in memory") from None


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


def csv_of(frame: pl.DataFrame) -> str:
    """A frame as CSV. A text that a spreadsheet would take for a formula, since it begins with =, +, - or @ and is no
    number, has an apostrophe before it, which spreadsheets do not show."""
    texts = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    formula = r"^[=+\-@\t\r]"
    safe = texts.with_columns(
        pl.when(pl.col(name).str.contains(formula) & pl.col(name).cast(pl.Float64, strict=False).is_null())
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name, kind in texts.schema.items()
        if kind == pl.String
    )
    return safe.rename({name: f"'{name}" for name in safe.columns if re.match(formula, name)}).write_csv()


def read_parquet(path: Path, columns: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """The table in a parquet file, which has these columns (name -> type) where they are given, others beside them.

    Raises UserError that names the file for anything else. polars panics on some broken files; that is no Exception.
    """
    try:
        frame = pl.read_parquet(path)
    except (OSError, MemoryError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as problem:
        first = str(problem).partition("\n")[0] or "it does not fit in memory"
        raise UserError(f"{path}: not a readable parquet file ({first})") from None
    require_columns(path, frame, columns or {})
    return frame


def read_parquets(paths: Sequence[Path], columns: Mapping[str, Any]) -> tuple[pl.DataFrame, list[int]] | None:
    """The tables in parquet files of just these columns (name -> type), one below the other, and the rows of each: many
    small files are read faster at once. None where that fails; which of them it is tells `read_parquet`."""
    names = [str(path) for path in paths]
    try:
        frame = pl.read_parquet(names, glob=False, include_file_paths=SOURCE)
    except (OSError, MemoryError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    rows = dict(frame.group_by(SOURCE).len().iter_rows())
    if [*frame.drop(SOURCE).schema.items()] != [*columns.items()] or not rows.keys() <= {*names}:
        return None
    # Else a piece of memory for each file, many times what the rows take.
    return frame.drop(SOURCE).rechunk(), [rows.get(name, 0) for name in names]


def require_columns(path: Path, frame: pl.DataFrame, columns: Mapping[str, Any]) -> None:
    """Raise UserError for a table of a file that lacks one of these columns (name -> type), or has it of another."""
    for name, kind in columns.items():
        found = frame.schema.get(name)
        if found != kind:
            raise UserError(f"{path}: column '{name}' is {found or 'missing'}, expected {kind}")
