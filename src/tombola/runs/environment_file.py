"""What environment.json holds, typed: whoever reads it finds what it says, or gets a sentence.

Everything in it was added at some time, so a run of an older Tombola may lack any of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, TypeAdapter, model_validator

from tombola.files import checked, read_object
from tombola.seals import unsealed

ENVIRONMENT_FILE = "environment.json"


class NetworkTable(BaseModel):
    """The network in numbers: shapes without the batch, name -> shape, key of the state dict -> name. The first three
    were noted from the beginning on."""

    input_shape: tuple[int, ...]
    classes: int
    prunable: Annotated[tuple[str, ...], Field(min_length=1)]
    shapes: dict[str, tuple[int, ...]] = {}
    state_dict: dict[str, str] | None = None

    @model_validator(mode="after")
    def _prunes_what_is_there(self) -> Self:
        lost = [name for name in self.prunable if name not in self.shapes]
        if self.shapes and lost:
            raise ValueError(f"'{lost[0]}' is prunable and has no shape")
        return self


class RecordTable(BaseModel):
    """The engine record."""

    device: str = ""
    engine: str = ""
    threads: int = 0
    ranks: int = 1
    data: str = ""
    initial: str = ""
    stacks: tuple[tuple[str, ...], ...] = ()


class StudyTable(BaseModel):
    """What decides the cells, and name -> actions of the arms."""

    deciding: dict[str, Any] = {}
    arms: dict[str, dict[str, str]] = {}


class EnvironmentFile(BaseModel):
    """The whole file; what other versions add beside it is let be."""

    python: str | None = None
    versions: dict[str, str] = {}
    system: str | None = None
    processor: str | None = None
    cpu_capability: str | None = None
    gpu: str | None = None
    commit: str | None = None
    network: NetworkTable | None = None
    record: RecordTable = RecordTable()
    study: StudyTable | None = None
    function: dict[str, Any] | None = None
    seals: bool = False


ENVIRONMENT = TypeAdapter(EnvironmentFile)


def environment_in(path: Path, place: str) -> dict[str, Any]:
    """What the environment.json of a place holds, as it was given. Raises UserError where anything in it is of another
    type, and where it is damaged."""
    found = read_object(path)
    checked(path, found, ENVIRONMENT)
    return unsealed(path, found, place)
