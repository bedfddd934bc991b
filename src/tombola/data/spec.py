"""The `[data]` table of a study."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

from pydantic import ConfigDict, field_validator

from tombola import parts
from tombola.errors import nearest
from tombola.table import Table

Normalisation = Literal["standard", "unit", "none"]
NORMALISATIONS: tuple[str, ...] = get_args(Normalisation)

IN_FILES = ("csv", "hf", "idx", "images", "npz")
"""What a name of a data set in files begins with, before a colon and its path."""


class DataSpec(Table):
    """The `[data]` table of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """A registered data set, one in files (`npz:FILE`, `csv:FILE?label=COLUMN`, `images:FOLDER`, `idx:FOLDER`,
    `hf:FOLDER`, or a path that ends in .npz), or `arrays`."""
    normalisation: Normalisation = "standard"
    """`standard`: mean 0 and deviation 1; `unit`: from 0 to 1; `none`: as they come."""
    validation: int | float = 0.1
    """How much of the training set is kept for validation: a count, or a fraction between 0 and 1."""
    split: Literal["replicate", "study"] = "replicate"
    """Whether each replicate draws its own validation examples, or all have the same: what one replicate's ticket was
    selected by is then unseen by none of the others."""
    digest: str | None = None
    """`Dataset.digest` of data that the name does not fix (arrays, npz, idx), so that it enters the id."""

    @field_validator("name")
    @classmethod
    def _name_is_known(cls, name: str) -> str:
        kind, colon, path = name.partition(":")
        if colon and kind in IN_FILES:
            if not path:
                raise ValueError(f"data name '{name}' has no path; expected '{kind}:PATH'")
        elif (
            name != "arrays" and not name.endswith(".npz") and name not in (known := parts.names("data set"))
        ):
            close = nearest(name, [*known, "arrays", *(f"{kind}:PATH" for kind in IN_FILES)])
            raise ValueError(f"unknown data set '{name}'{close}")
        return name

    @field_validator("normalisation", mode="before")
    @classmethod
    def _normalisation_is_known(cls, value: Any) -> Any:
        if value not in NORMALISATIONS:
            raise ValueError(f"unknown normalisation {value!r}{nearest(str(value), NORMALISATIONS)}")
        return value

    @field_validator("validation", mode="before")
    @classmethod
    def _validation_is_a_count_or_a_fraction(cls, value: Any) -> Any:
        # True is an int to Python, and pydantic would read "5000": neither is what the user meant to write.
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        is_fraction = isinstance(value, float) and 0 < value < 1
        if not (is_count or is_fraction):
            raise ValueError(
                f"validation is {value!r}; expected a count (5000) or a fraction between 0 and 1 (0.1)"
            )
        return value

    @field_validator("digest")
    @classmethod
    def _digest_is_hex(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-f]{16}", value):
            raise ValueError(
                f"digest is {value!r}; expected 16 hexadecimal digits, which Tombola fills in itself"
            )
        return value
