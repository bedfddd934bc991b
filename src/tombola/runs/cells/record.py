"""What a cell's cell.json says of it, typed: whoever wants to know something of a cell reads it here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter

from tombola.errors import UserError
from tombola.files import checked, read_object
from tombola.lottery.cell import Cell, Status
from tombola.seals import SEAL, sealed, trusted, unsealed
from tombola.training.trained import numbers_of

Digest = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
"""It is the name of a file as well."""
TIMING_FILE = "timing.json"
WEIGHT_FILES = ("end.safetensors", "best.safetensors")
OPTIONAL = ("measured", "found_iteration", "found_because", "made", "digests", SEAL)
"""What cell.json holds of some cells only."""
PLACE = tuple(each.name for each in fields(Cell))


@dataclass(frozen=True)
class StartPlace:
    """The weights that a cell starts from, in `starts/<digest>.safetensors`: whole, or those that are `living`. With
    `dead`, its dead weights have other values than zero, and are there as well."""

    digest: Digest
    living: bool
    dead: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CellRecord:
    """One cell: how it ended, its mask in numbers (density 0..1, living weights a tensor), where its start lies (None
    where the study keeps masks only), and the digest of the weights that tickets are rewound to, of a dense network
    that took a snapshot.

    The numbers are those of `Trained`; None where there was no training, no early stop, or no finite number. A ticket
    of a source that is taken as it starts has none, and is "ok". A ticket whose mask was seen in a training says at
    which iteration, and why it was taken then; one that a route made from others says how (`made`: route, options,
    sources by digest, report). By another metric than accuracy the accuracies are None, and the numbers `measured`.

    `digests` are those of the files beside it, `seal` that of the record itself, see `tombola.seals`; None in
    cells of old.
    """

    cell: Cell
    status: Status
    density: float
    alive: Mapping[str, int] = field(default_factory=dict)
    start: StartPlace | None
    rewind: Digest | None
    early_stop_iteration: int | None
    early_stop_val_loss: float | None
    early_stop_test_accuracy: float | None
    final_test_accuracy: float | None
    final_train_accuracy: float | None
    iterations: int | None
    measured: Mapping[str, float | None] | None = None
    found_iteration: int | None = None
    found_because: str | None = None
    made: dict[str, Any] | None = None
    digests: Mapping[str, str] | None = None
    seal: str | None = None

    @classmethod
    def read(cls, path: Path, cell: Cell, ladder: str = "") -> CellRecord:
        """What a cell.json says, of a ladder beside a run where one is named. Raises UserError where it is the record
        of no cell, or of another one, or is damaged."""
        if table := trusted(path, place_of(cell, ladder)):
            with suppress(TypeError, KeyError):  # of a version that stores something else
                return cls._stored(cell, table)
        stored = read_object(path)
        table = dict(stored)
        place = {each.name: table.pop(each.name) for each in fields(Cell) if each.name in table}
        found = checked(path, {"cell": place, **table}, RECORD)
        if found.cell != cell:
            raise UserError(f"{path}: the record of another cell, {found.cell}")
        unsealed(path, stored, place_of(cell, ladder))
        return found

    @classmethod
    def _stored(cls, cell: Cell, table: dict[str, Any]) -> CellRecord:
        """The record that a table is of, which is known to be one."""
        own = {name: value for name, value in table.items() if name not in PLACE}
        start = StartPlace(**own.pop("start")) if own["start"] else own.pop("start")
        return cls(cell=cell, start=start, **own)

    def sealed(self, digests: Mapping[str, str], ladder: str) -> CellRecord:
        """The record with the digests of the files beside it, and its own."""
        own = replace(self, digests=digests)
        return replace(own, seal=sealed(own.table(), place_of(self.cell, ladder))[SEAL])

    def table(self) -> dict[str, Any]:
        """What cell.json holds."""
        found = asdict(self)
        if self.start and not self.start.dead:
            del found["start"]["dead"]
        absent = [name for name in OPTIONAL if found[name] is None]
        return {**found.pop("cell"), **{name: found[name] for name in found if name not in absent}}

    @property
    def numbers(self) -> dict[str, Any]:
        """Name -> value of the numbers of its training."""
        return numbers_of(self)

    @property
    def early_stop_test(self) -> float | None:
        """Its metric on the test set at early stop."""
        if self.measured is None:
            return self.early_stop_test_accuracy
        return next(
            (value for name, value in self.measured.items() if name.startswith("early_stop_test_")), None
        )

    @property
    def starts(self) -> set[str]:
        """The digests of the weights that the cell rests on: its start, and what its tickets are rewound to."""
        own = self.start.digest if self.start else None
        return {digest for digest in (own, self.rewind) if digest is not None}

    def files(self) -> Iterator[str]:
        """The files that lie beside cell.json: weights unless the study keeps masks only, and a history if the cell
        was trained."""
        yield from ("mask.safetensors", "timing.json")
        if self.iterations is not None:
            yield "history.parquet"
            yield from WEIGHT_FILES if self.start is not None else ()

    def stops_at_end(self, first: int) -> bool | None:
        """Whether its early stop is its last evaluation, where training began at iteration `first`; None where it has
        no early stop."""
        if self.early_stop_iteration is None or self.iterations is None:
            return None
        return self.early_stop_iteration == first + self.iterations


RECORD = TypeAdapter(CellRecord)


def place_of(cell: Cell, ladder: str) -> str:
    """A cell's place in a run, for seals."""
    return f"{ladder}/{cell}"


class Timing(BaseModel):
    """What timing.json says: seconds that a cell trained, and the run that it was copied from, if any."""

    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    copied_from: str | None = None


TIMING = TypeAdapter(Timing)


def timing_in(path: Path, place: str) -> Timing:
    """What the timing.json of a cell says. Raises UserError where it is another file, or is damaged."""
    if table := trusted(path, f"{place}/{TIMING_FILE}"):
        return Timing.model_construct(**table)
    stored = read_object(path)
    found = checked(path, stored, TIMING)
    unsealed(path, stored, f"{place}/{TIMING_FILE}")
    return found


def timing_table(seconds: float, place: str, copied_from: str | None = None) -> dict[str, Any]:
    """What the timing.json of a cell holds."""
    own = {"seconds": seconds, **({"copied_from": copied_from} if copied_from else {})}
    return sealed(own, f"{place}/{TIMING_FILE}")
