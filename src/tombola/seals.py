"""Digests of what is stored, against decay: a bit that turned, a file cut short, or one that lies in another's place.

A seal is a digest of a table's canonical content and of its place in the run, and lies in the table itself as `seal`.
Files that are no tables have their digests in one. What an older Tombola wrote has neither, and is taken as it is. None
of this is against malice: who edits a file on purpose can seal it anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tombola.errors import UserError
from tombola.files import canonical

SEAL = "seal"
OTHER = "is damaged, or another's (its contents are not those that were stored here)"
"""What is said after the path of a file with another digest."""
_known: dict[tuple[str, int, int, int], str] = {}


def trusted(path: Path, place: str) -> dict[str, Any] | None:
    """The table in a JSON file whose seal is right, with it: it is what was written, so nobody need look closer. None
    for any other file."""
    try:
        table: dict[str, Any] = json.loads(path.read_bytes())
        return table if table[SEAL] == sealed(table, place)[SEAL] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def digest_of_bytes(data: bytes) -> str:
    """32 hex digits of BLAKE2b."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_of_file(path: Path) -> str:
    """The size and the digest of a file's bytes, '1234-' and 32 hex digits; read once a process while it is not written
    anew. Raises OSError."""
    found = path.stat()
    key = str(path), found.st_mtime_ns, found.st_size, found.st_ino
    if key not in _known:
        data = path.read_bytes()
        _known[key] = f"{len(data)}-{digest_of_bytes(data)}"
    return _known[key]


def has_size(size: int | None, digest: str) -> bool:
    """Whether a file of so many bytes may have a digest; None: there is no file."""
    return size is not None and digest.startswith(f"{size}-")


def sealed(table: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The table with its seal, for a place in a run such as 'donors/r0/L01/ticket/0'."""
    own = {name: value for name, value in table.items() if name != SEAL}
    return {**own, SEAL: digest_of_bytes(canonical([place, own]).encode())}


def unsealed(path: Path, table: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The table without its seal. Raises UserError that names the file where the seal is another's; a table of old has
    none."""
    own = {name: value for name, value in table.items() if name != SEAL}
    if SEAL in table and table[SEAL] != sealed(own, place)[SEAL]:
        raise UserError(f"{path}: {OTHER}")
    return own


def require_digest(path: Path, digest: str | None) -> None:
    """Raise UserError that names the file where it is not there, or its bytes have another digest; None: of old, any
    will do."""
    if digest is None:
        return
    try:
        found = digest_of_file(path)
    except OSError as problem:
        raise UserError(f"{path}: {_lost(problem)}") from None
    if found != digest:
        raise UserError(f"{path}: {OTHER}")


def _lost(problem: OSError) -> str:
    missing = isinstance(problem, FileNotFoundError | NotADirectoryError)
    return "is missing" if missing else f"cannot be read ({problem.strerror})"
