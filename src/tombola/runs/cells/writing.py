"""How a cell is written: whole or not at all, with the weights that it and its tickets start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from tombola.files import digest_of, new_folder, write_json, write_parquet, write_tensors
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell, Drawn
from tombola.models.state import State
from tombola.runs.cells.cells import HISTORY, Cells, bird_name
from tombola.runs.cells.record import TIMING_FILE, CellRecord, StartPlace, place_of, timing_table
from tombola.seals import digest_of_file
from tombola.training.start import Start
from tombola.training.trained import NUMBERS, Trained


def write_cell(run: Cells, drawn: Drawn, keep: str, seconds: float, source: bool) -> None:
    """Store a cell, whole or not at all. `seconds` is its share of the training time; `source`: later masks are made
    from its trained weights."""
    assert drawn.start is not None, "a cell that was remembered is not written again"
    with new_folder(run.folder(drawn.cell)) as folder:
        drawn.mask.save(folder / "mask.safetensors")
        if drawn.trained is not None:
            _write_trained(folder, drawn, drawn.start, keep, source)
        record = _record(run, drawn, drawn.start, keep)
        if run.seals:
            record = record.sealed({path.name: digest_of_file(path) for path in folder.iterdir()}, run.ladder)
        place = place_of(drawn.cell, run.ladder)
        if drawn.trained is not None:
            write_birds(folder, drawn.trained, place)
        write_json(folder / "cell.json", record.table())
        write_json(folder / TIMING_FILE, timing_table(seconds, place))


def write_birds(folder: Path, trained: Trained, place: str) -> None:
    """Store what was seen of a ticket with its cell, a file for each level that has none yet; each has a seal of its
    own, since levels may be added. `place` is the cell's."""
    for bird in trained.birds:
        path = folder / bird_name(bird.level)
        if not path.exists():
            bird.save(path, f"{place}/{path.name}")


def _write_trained(folder: Path, drawn: Drawn, start: Start, keep: str, source: bool) -> None:
    trained = drawn.trained
    assert trained is not None
    states = {"end": trained.end, "best": trained.best}
    if keep == "masks":
        # Only what the next level is pruned from, until the run is complete.
        states = {"end": trained.end} if source else {}
    for name, state in states.items():
        # The best of a search may have had another mask than the one that was found: it is kept whole.
        masked = not start.dead and not (name == "best" and drawn.found is not None)
        own = drawn.mask.apply(state) if masked else state
        living = keep != "all" and masked
        packed = drawn.mask.living(own) if living else own
        write_tensors(folder / f"{name}.safetensors", packed, {"kept": "living" if living else "all"})
    write_parquet(folder / "history.parquet", pl.DataFrame(trained.history, schema=HISTORY))


def _record(run: Cells, drawn: Drawn, start: Start, keep: str) -> CellRecord:
    """What there is to say of a cell; the weights that it and its tickets start from are stored on the way."""
    cell, trained = drawn.cell, drawn.trained
    snapshot = trained.snapshot if trained is not None else None
    measured = trained.measured if trained is not None else None
    iteration, why = _when_found(run, cell)
    return CellRecord(
        cell=cell,
        status=drawn.status,
        density=drawn.mask.density(),
        alive=drawn.mask.counts(),
        start=None if keep == "masks" else _write_start(run, drawn, start),
        rewind=None if snapshot is None else _write_state(run, snapshot),
        found_iteration=iteration,
        found_because=why,
        made=None if start.made is None else dict(start.made),
        measured=measured and {name: _finite(value) for name, value in measured.items()},
        **{name: _finite(getattr(trained, name, None)) for name in NUMBERS},
    )


def _when_found(run: Cells, cell: Cell) -> tuple[int | None, str | None]:
    """When and why the mask of a ticket was taken that was seen in a training; nothing of any other cell."""
    tickets = [Cell(cell.replicate, level, TICKET, 0) for level in range(cell.level)]
    seen = next((each for each in tickets if run.bird_file(each, cell.level).exists()), None)
    if cell.arm != TICKET or seen is None:
        return None, None
    bird = run.bird(seen, run.bird_file(seen, cell.level))
    why = "masks stood still" if bird.drawn else "masks never stood still, so the last one was taken"
    return bird.iteration, why


def _write_start(run: Cells, drawn: Drawn, start: Start) -> StartPlace:
    """Keep the start's weights: whole and once where many cells share them, else the living ones; with dead weights
    that are not zero, just as training begins."""
    if start.dead:
        return StartPlace(_write_state(run, start.masked_state()), living=False, dead=True)
    whole = drawn.cell.arm == TICKET or run.start_file(digest_of(start.state)).exists()
    state = start.state if whole else start.mask.living(start.state)
    return StartPlace(_write_state(run, state), living=not whole)


def _write_state(run: Cells, state: State) -> str:
    digest = digest_of(state)
    path = run.start_file(digest)
    if not (path.exists() and run.start_weights(digest)):
        write_tensors(path, state)
    return digest


def _finite(value: Any) -> Any:
    """JSON has no NaN: a number that is not finite is null."""
    return value if value is not None and abs(value) < float("inf") else None
