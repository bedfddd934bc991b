"""Arms whose mask was made elsewhere: `mask:FILE`."""

from __future__ import annotations

from pathlib import Path

from tombola.errors import UserError
from tombola.lottery.arms.context import Scene
from tombola.lottery.arms.file_actions import READ
from tombola.lottery.mask_files import file_digest, fitted, read_mask_file
from tombola.masks.mask import Mask


def of_file(action: str, scene: Scene) -> Mask:
    """The mask of the file that an action names, whole where that says nothing. Raises UserError for a file that is
    not what it was when the study was read, or does not fit the network."""
    read = READ.fullmatch(action)
    assert read is not None
    path, digest = Path(read[1]), read[2]
    if (found := file_digest(path)) != digest:
        raise UserError(
            f"{path}: holds another mask than the one this arm was made with (digest {digest}, found {found}); put it "
            "back, or give the arm another name"
        )
    return fitted(read_mask_file(path).mask, scene.mask.shapes, str(path))
