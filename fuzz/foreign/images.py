"""Pictures in a folder of classes."""

from __future__ import annotations

import io
from pathlib import Path

from fuzz.target import Target
from tombola.data.decode import pillow

KINDS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")


def read(path: Path) -> None:
    """Decode one, whole and cropped."""
    pillow(path)
    pillow(path, 8, 1)


def seeds() -> list[bytes]:
    """Each kind; none where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return []
    return [_saved(Image.new(mode, (5, 4), 7), kind) for kind in KINDS for mode in ("L", "RGB")]


def _saved(image: object, kind: str) -> bytes:
    image.save(file := io.BytesIO(), kind)  # type: ignore[attr-defined]
    return file.getvalue()


TARGET = Target(read, seeds, "fuzz.png")
