"""The names of mask actions that take the mask of a file, `mask:FILE`; nothing here waits for torch."""

from __future__ import annotations

import re
from pathlib import Path

from tombola.errors import UserError
from tombola.lottery.arms.catalog import FROM_FILE

READ = re.compile(rf"{FROM_FILE}(.+)@([0-9a-f]{{16}})")
"""What such a name is once the file was read: with the digest of its mask."""


def with_file_read(action: str) -> str:
    """A mask action; where it is `mask:FILE`, with the digest of the mask in that file, from the current folder.

    Raises UserError where there is none.
    """
    if not action.startswith(FROM_FILE) or READ.fullmatch(action):
        return action
    path = action.removeprefix(FROM_FILE)
    if not path:
        raise UserError(f"mask action '{action}' has no path; expected '{FROM_FILE}FILE'")
    from tombola.lottery.mask_files import file_digest  # here: it reads with torch

    return f"{action}@{file_digest(Path(path))}"
