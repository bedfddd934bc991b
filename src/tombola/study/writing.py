"""Writing into a run folder: cells that are whole or not there, the weights they start from, tables."""

from __future__ import annotations

import io
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import polars as pl

from tombola.files import digest_of, write_bytes, write_json, write_tensors
from tombola.lottery import TICKET, Cell, Drawn
from tombola.models import State
from tombola.study.store import Run, bird_name
from tombola.training import NUMBERS, Bird, Start, Trained

HISTORY = {"iteration": pl.Int64, "split": pl.String, "loss": pl.Float64, "accuracy": pl.Float64}


def write_cell(run: Run, drawn: Drawn, keep: str, seconds: float) -> None:
    """Store a cell, whole or not at all. `seconds` is its share of the training time."""
    assert drawn.start is not None, "a cell that was remembered is not written again"
    place = run.folder(drawn.cell)
    beside = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.tmp")
    beside.mkdir(parents=True)
    try:
        drawn.mask.save(beside / "mask.safetensors")
        if drawn.trained is not None:
            source = drawn.cell.arm in run.study.source_arms
            _write_trained(beside, drawn, drawn.start, keep, source)
            write_birds(beside, drawn.trained)
        write_json(beside / "cell.json", _describe(run, drawn, drawn.start, keep))
        write_json(beside / "timing.json", {"seconds": seconds})
        beside.replace(place)
        _sync(place.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_birds(folder: Path, trained: Trained) -> None:
    """Store what was seen of a dense network with its cell, a file for each level that has none yet."""
    for bird in trained.birds:
        path = folder / bird_name(bird.level)
        if not path.exists():
            bird.save(path)


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """A parquet file, whole or not there; one that holds the same already is left alone."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    if not path.is_file() or path.read_bytes() != buffer.getvalue():
        write_bytes(path, buffer.getvalue())


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


def _describe(run: Run, drawn: Drawn, start: Start, keep: str) -> dict[str, Any]:
    cell, trained = drawn.cell, drawn.trained
    snapshot = trained.snapshot if trained is not None else None
    return {
        "replicate": cell.replicate,
        "level": cell.level,
        "arm": cell.arm,
        "draw": cell.draw,
        "status": drawn.status,
        "density": drawn.mask.density(),
        "alive": drawn.mask.counts(),
        "start": None if keep == "masks" else _write_start(run, drawn, start),
        "rewind": None if snapshot is None else _write_state(run, snapshot),
        **{name: _finite(getattr(trained, name, None)) for name in NUMBERS},
        **_when_found(run, cell),
    }


def _when_found(run: Run, cell: Cell) -> dict[str, Any]:
    """When and why the mask of an early-bird ticket was taken; nothing of any other cell."""
    path = run.bird_file(cell.replicate, cell.level)
    if cell.arm != TICKET or not path.exists():
        return {}
    bird = Bird.load(path)
    why = "masks stood still" if bird.drawn else "masks never stood still, so the last one was taken"
    return {"found_iteration": bird.iteration, "found_because": why}


def _write_start(run: Run, drawn: Drawn, start: Start) -> dict[str, Any]:
    """Keep the start's weights: whole and once where many cells share them, else the living ones; with dead weights
    that are not zero, just as training begins."""
    if start.dead:
        return {"digest": _write_state(run, start.masked_state()), "living": False, "dead": True}
    whole = drawn.cell.arm == TICKET or run.start_file(digest_of(start.state)).exists()
    state = start.state if whole else start.mask.living(start.state)
    return {"digest": _write_state(run, state), "living": not whole}


def _write_state(run: Run, state: State) -> str:
    digest = digest_of(state)
    path = run.start_file(digest)
    if not path.exists():
        write_tensors(path, state)
    return digest


def _finite(value: float | None) -> float | None:
    """JSON has no NaN: a number that is not finite is null."""
    return value if value is not None and abs(value) < float("inf") else None


def _sync(folder: Path) -> None:
    """Flush a rename to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
