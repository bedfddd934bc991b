"""Folders that nobody may write to, whoever runs the tests: for root, permissions alone are no hindrance."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_closed: list[str] = []
_hooked: list[bool] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that refuses changes within the folders that are closed."""
    if not _closed or event not in ("open", *CHANGES):
        return
    if event == "open":
        paths = arguments[:1] if isinstance(arguments[2], int) and arguments[2] & WRITES else ()
    else:
        paths = arguments[:2]
    for path in paths:
        if isinstance(path, str | bytes | os.PathLike) and _is_closed(os.fsdecode(path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fsdecode(path))


def _is_closed(path: str) -> bool:
    whole = os.path.abspath(path)
    return any(whole == folder or whole.startswith(folder + os.sep) for folder in _closed)


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Within it, Python changes nothing in the folder; nor does anything else but root."""
    if not _hooked:  # a hook cannot be taken away again
        sys.addaudithook(_watch)
        _hooked.append(True)
    modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    _closed.append(str(folder.resolve()))
    try:
        yield
    finally:
        _closed.pop()
        for path, mode in modes.items():
            path.chmod(mode)
