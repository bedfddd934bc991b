"""Whose code runs. What a user names, in a file of a study or by an option, runs. What a stored run or ticket names is
run only where this user ran it before, or accepts it: anybody may have written it.

What was accepted is kept under the user's state folder, outside of runs, so that nothing in a run folder proves
anything: `trust` holds a key, and a digest by that key of each name, its options and its sources.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from tombola.errors import UserError, notice
from tombola.files import canonical
from tombola.plugins.source import Code

STORED: dict[str, str] = {}
"""Calls that were read from something stored -> from what."""
OWN: set[str] = set()
"""Calls that the user named."""


class Accepting:
    """Whether stored code is accepted without asking: what `--trust` switches on."""

    on = False


def name_stored(codes: Iterable[Code], where: str) -> None:
    """Note that code was named by something stored, which `where` says."""
    for code in codes:
        STORED.setdefault(code.call, where)


def name_own(codes: Iterable[Code]) -> None:
    """Note that code was named by the user."""
    OWN.update(code.call for code in codes)


def require_trusted(code: Code) -> None:
    """Raise UserError for code that something stored names, and that this user neither named, ran, nor accepted."""
    where = STORED.get(code.call)
    if where is None or code.call in OWN:
        return
    if Accepting.on:
        accept([code])
    elif _entry(code) not in _entries()[1:]:
        file = code.file
        place = "" if file is None else f" ({file})" if file.is_file() else f" (no file {file} here)"
        raise UserError(
            f"{where} names code to be run, {code}{place}, which you have not run or accepted as it is now; read it, "
            "then accept it by --trust (in Python: tombola.trust)"
        )


def accept(codes: Iterable[Code]) -> None:
    """Keep that this user ran or accepted code. A notice says so where that cannot be kept."""
    name_own(codes := list(codes))
    try:
        known = _entries() or _begun()
        fresh = [entry for entry in dict.fromkeys(map(_entry, codes)) if entry not in known]
        if fresh:
            with trust_file().open("a") as file:
                file.write("".join(f"{entry}\n" for entry in fresh))
    except OSError as problem:
        notice(
            f"{trust_file()}: cannot be written ({problem.strerror}), so that you will be asked for --trust"
        )


def trust_file() -> Path:
    """Where it is kept (XDG Base Directory Specification: `$XDG_STATE_HOME`, else ~/.local/state)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (
        (Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state") / "tombola" / "trust"
    )


def _entry(code: Code) -> str:
    """The keyed digest of a name, its options and its sources."""
    key = (_entries() or _begun())[0]
    return hmac.new(key.encode(), canonical([code.call, code.digest()]).encode(), hashlib.sha256).hexdigest()


def _entries() -> list[str]:
    """The lines of the file, the key first; none where there is no file. Raises UserError for a file that others can
    read or write."""
    path = trust_file()
    try:
        found = path.stat()
        lines = path.read_text().split()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as problem:
        raise UserError(f"{path}: cannot be read ({problem})") from None
    if os.name == "posix" and (stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.getuid()):
        raise UserError(
            f"{path}: is open to others (mode {stat.S_IMODE(found.st_mode):o}), so that it proves nothing; expected "
            "a file of yours of mode 600"
        )
    return lines


def _begun() -> list[str]:
    """The lines of a new file: a key of its own."""
    path = trust_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process was faster
        return _entries()
    with os.fdopen(handle, "w") as file:
        file.write(f"{(key := secrets.token_hex(32))}\n")
    return [key]
