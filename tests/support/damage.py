"""Files of a run that are spoilt, and all that reads them: whatever is not refused must be what it was."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from support.simulated import claim
from support.study_kit import contents, run_tiny, tiny, toy_data
from tombola.analysis.compare_runs import compare_study
from tombola.analysis.connection import Connection, connect_run
from tombola.analysis.subjects import subjects_of
from tombola.analysis.verdicts.of_run import verdicts_of, write_verdicts
from tombola.report.collect import tables_of
from tombola.runs.cells import cells, index
from tombola.runs.folder import Run
from tombola.runs.results import histories, results_of

ARMS = [{"name": "reinit"}, {"name": "donor", "levels": [1]}, {"name": "twin", "levels": [1]}]
CLAIM = claim("m", quantity="measure:jaccard", arms=["ticket", "reinit"], densities=[0.7])
LADDERS = tiny(
    levels=1, arms=ARMS, pruning={"rewind": 5}, compare={}, hypothesis=[CLAIM], data={"split": "study"}
)  # fmt: skip
BIRDS = tiny(levels=1, arms=[], pruning={"mode": "early-bird", "search": {"every": 2}})

CELL, OTHER = "cells/r0/L01/ticket/0", "cells/r1/L01/ticket/0"
DENSE, OTHER_DENSE = "cells/r0/L00/ticket/0", "cells/r1/L00/ticket/0"
COPY, OTHER_COPY = (f"connect/copy-1/{cell}" for cell in (CELL, OTHER))
FILES = {
    "record": (f"{CELL}/cell.json", f"{OTHER}/cell.json"),
    "timing": (f"{CELL}/timing.json", f"{OTHER}/timing.json"),
    "mask": (f"{CELL}/mask.safetensors", f"{OTHER}/mask.safetensors"),
    "end": (f"{CELL}/end.safetensors", f"{OTHER}/end.safetensors"),
    "best": (f"{CELL}/best.safetensors", f"{OTHER}/best.safetensors"),
    "history": (f"{CELL}/history.parquet", f"{OTHER}/history.parquet"),
    "dense end": (f"{DENSE}/end.safetensors", f"{OTHER_DENSE}/end.safetensors"),
    "copy record": (f"{COPY}/cell.json", f"{OTHER_COPY}/cell.json"),
    "copy end": (f"{COPY}/end.safetensors", f"{OTHER_COPY}/end.safetensors"),
    "donor record": (f"donors/{CELL}/cell.json", f"twins/{CELL}/cell.json"),
    "donor mask": (f"donors/{CELL}/mask.safetensors", f"{CELL}/mask.safetensors"),
    "donor end": (f"donors/{DENSE}/end.safetensors", f"donors/{OTHER_DENSE}/end.safetensors"),
    "twin mask": (f"twins/{CELL}/mask.safetensors", f"{CELL}/mask.safetensors"),
    "start": ("starts/A", "starts/B"),
    "environment": ("environment.json", "donors/environment.json"),
    "study": ("study.toml", None),
    "claims": ("hypotheses.json", "compared.json"),
    "results": ("results.parquet", "measures.parquet"),
    "measures": ("measures.parquet", "decisions.parquet"),
    "decisions": ("decisions.parquet", "consensus.parquet"),
    "consensus": ("consensus.parquet", "measures.parquet"),
    "compared": ("compared.json", "connected.json"),
    "verdicts": ("verdicts.json", "hypotheses.json"),
    "connect": ("connect.parquet", "paths.parquet"),
    "paths": ("paths.parquet", "connect.parquet"),
    "connected": ("connected.json", "compared.json"),
    "index": (".index", "donors/.index"),
    "early bird": (f"{DENSE}/early-bird-L01.safetensors", f"{OTHER_DENSE}/early-bird-L01.safetensors"),
}
"""Kind of file -> one of them, and another to swap it with. The starts are named when they are there."""


def bit(path: Path, _: Path | None) -> None:
    """One bit, in what decides a cell where the file is a study."""
    data = bytearray(path.read_bytes())
    place = data.index(b"lr = 0.01") + len("lr = 0.0") if path.suffix == ".toml" else 3 * len(data) // 5
    data[place] ^= 1
    path.write_bytes(bytes(data))


def truncate(path: Path, _: Path | None) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path, _: Path | None) -> None:
    path.write_bytes(b"")


def swap(path: Path, other: Path | None) -> None:
    assert other is not None
    data = path.read_bytes()
    assert data != other.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(data)


def delete(path: Path, _: Path | None) -> None:
    path.unlink()


DAMAGES = {each.__name__: each for each in (bit, truncate, empty, swap, delete)}


def with_index(among: Callable[[object, str, object], None] = setattr) -> None:
    """Have small runs, of files that were just written, an index as well."""
    among(cells, "MANY", 1)
    among(index, "SETTLED", 0.0)


def finished(out: Path) -> Run:
    """A run with all that there can be in one: ladders, copies, comparison, verdicts."""
    run = run_tiny(out, LADDERS)
    connect(run)
    compare_study(run)
    write_verdicts(run, verdicts_of(run))
    return run


def watched(out: Path) -> Run:
    """A run of early birds."""
    return run_tiny(out, BIRDS)


def files_of(run: Run, kind: str) -> tuple[Path, Path | None]:
    """The file of a kind in a run, and the other one."""
    names = FILES[kind]
    if kind == "start":
        digests = [run.record(cell).rewind for cell in run.cells() if cell.level == 0]
        names = (f"starts/{digests[0]}.safetensors", f"starts/{digests[1]}.safetensors")
    first, second = names
    return run.path / first, None if second is None else run.path / second


def connect(run: Run) -> Connection:
    return connect_run(run, dataset=toy_data(), device="cpu", levels=[1], kinds=["instability"], alphas=3)


def trained_further(run: Run) -> dict[str, bytes]:
    """The bits of a level more, in a copy that lies beside it."""
    out = run.path.parent.parent / "further"
    shutil.copytree(run.path, out / run.path.name)
    try:
        further = run_tiny(out, run.study.model_copy(update={"levels": 2}))
        return {name: bits for name, bits in contents(further.path).items() if "/L02/" in name}
    except ValueError as problem:
        raise type(problem)(str(problem).replace(str(out), str(run.path.parent))) from None
    finally:
        shutil.rmtree(out)


READERS: Mapping[str, Callable[[Run], Any]] = {
    "status": lambda run: run.headway().rows,
    "results": results_of,
    "curves": histories,
    "report": lambda run: dataclasses.replace(tables_of(run), disk=0),
    "subjects": subjects_of,
    "verdicts": lambda run: verdicts_of(run).table(),
    "tickets": lambda run: [run.ticket(cell) for cell in run.cells()],
    "training": trained_further,
    "connect": connect,
}
"""All that reads a run -> what it makes of it."""


def plain(value: Any) -> Any:
    """What a reader made, as something that can be held against another."""
    if isinstance(value, pl.DataFrame):
        return value.to_dict(as_series=False)
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.numpy().tobytes()).hexdigest()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in value}
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, Sequence):
        return [plain(each) for each in value]
    if hasattr(value, "__dict__"):
        return plain({name: each for name, each in vars(value).items() if name != "keys"})
    if dataclasses.is_dataclass(value):
        return plain({each.name: getattr(value, each.name) for each in dataclasses.fields(value)})
    return value
