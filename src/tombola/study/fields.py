"""Names and numbers as the tables of a study have them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MOST_REPLICATES, MOST_DRAWS, MOST_LEVELS, MOST_CELLS = 10_000, 10_000, 1_000, 1_000_000
"""Far beyond any study: a number above them is a slip of the hand, and would be found only when the memory is full."""
Replicates = Annotated[int, Field(gt=0, le=MOST_REPLICATES, strict=True)]
Draws = Annotated[int, Field(gt=0, le=MOST_DRAWS, strict=True)]
Level = Annotated[int, Field(gt=0, le=MOST_LEVELS, strict=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Names that are folders as well."""
