"""Trackers: told once of each stored cell, whatever happens; and what the real packages then hold."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.study_kit import Notes, bound, cells_of, contents, run_tiny, tiny
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.runs.folder import Run
from tombola.runs.trackers.base import TRACKERS, Landed, Tracking, open_trackers, parameters
from tombola.study.spec import Study

SMALL = tiny(levels=1, replicates=1, arms=[{"name": "reinit"}])
CELLS = ("r0/L00/ticket/0", "r0/L01/ticket/0", "r0/L01/reinit/0")
TAGS = {"L00/ticket/r0/0", "L01/ticket/r0/0", "L01/reinit/r0/0"}


@dataclass
class Book:
    """A tracker that writes down what it is told; `breaks` says when it fails."""

    breaks: str = ""
    begun: list[Path] = field(default_factory=list)
    cells: list[Landed] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def begin(self, study: Study, folder: Path) -> None:
        if self.breaks == "begin":
            raise RuntimeError("broken pipe")
        self.begun.append(folder)

    def landed(self, cell: Landed) -> None:
        if self.breaks == cell.tag:
            raise RuntimeError("broken pipe")
        self.cells.append(cell)

    def end(self, results: pl.DataFrame) -> None:
        self.ends.append(len(results))

    @property
    def told(self) -> list[str]:
        return [str(cell.cell) for cell in self.cells]


@pytest.fixture
def book() -> Iterator[Book]:
    """A registered tracker named 'book'."""
    found = Book()
    TRACKERS.register("book", "for tests")(lambda: found)
    yield found
    del TRACKERS._parts["book"], TRACKERS._about["book"]


def need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: its tracker is NOT tested")


def test_every_cell_is_told_once_with_its_numbers_and_curves(tmp_path: Path, book: Book) -> None:
    run = run_tiny(tmp_path, SMALL, track=["book", "book"])
    assert sorted(book.told) == sorted(CELLS)
    assert book.begun == [run.path / "track" / "book"]
    assert book.ends == [3]
    for told in book.cells:
        record = run.record(told.cell)
        assert told.status == "ok"
        assert told.density == record.density
        assert told.numbers["final_test_accuracy"] == record.final_test_accuracy
        assert told.history.equals(run.history(told.cell))


def test_a_run_again_or_extended_tells_of_the_new_cells_alone(tmp_path: Path, book: Book) -> None:
    run_tiny(tmp_path, SMALL, track=["book"])
    run_tiny(tmp_path, SMALL, track=["book"])
    assert len(book.told) == 3
    run_tiny(tmp_path, SMALL.model_copy(update={"levels": 2}), track=["book"])
    assert sorted(book.told[3:]) == ["r0/L02/reinit/0", "r0/L02/ticket/0"]


def test_cells_of_a_call_without_trackers_are_made_up_for(tmp_path: Path, book: Book) -> None:
    run_tiny(tmp_path, SMALL)
    run_tiny(tmp_path, SMALL, track=["book"])
    assert sorted(book.told) == sorted(CELLS)


def test_a_stopped_run_ends_its_trackers_and_goes_on_where_they_were(tmp_path: Path, book: Book) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, SMALL, track=["book"], progress=Notes(stop_after=20))
    assert book.told == ["r0/L00/ticket/0"]
    assert book.ends == [1]
    run_tiny(tmp_path, SMALL, track=["book"])
    assert sorted(book.told) == sorted(CELLS)


def test_tracking_changes_no_bit_of_the_run(tmp_path: Path, book: Book) -> None:
    plain, tracked = run_tiny(tmp_path / "a", SMALL), run_tiny(tmp_path / "b", SMALL, track=["book"])
    assert cells_of(contents(plain.path)) == cells_of(contents(tracked.path))
    assert plain.study == tracked.study


@pytest.mark.parametrize(("breaks", "left"), [("begin", 3), ("L01/reinit/r0/0", 2)])
def test_a_tracker_that_fails_stops_no_run_and_is_made_up_for(
    tmp_path: Path, book: Book, breaks: str, left: int
) -> None:
    book.breaks = breaks
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run = run_tiny(tmp_path, SMALL, track=["book"])
    assert [str(w.message) for w in said if "tracker 'book' failed" in str(w.message)]
    assert len(run.cells()) == 3
    before = len(book.told)
    book.breaks = ""
    run_tiny(tmp_path, SMALL, track=["book"])
    assert len(book.told) - before == left
    assert sorted(book.told) == sorted(CELLS)


def test_an_unknown_tracker_and_a_missing_package_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"unknown tracker 'tensorbord'; did you mean 'tensorboard'\?"):
        run_tiny(tmp_path / "out", SMALL, track=["tensorbord"])
    monkeypatch.setitem(os.sys.modules, "wandb", None)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"--track wandb needs .* pip install 'tombola\[wandb\]'"):
        run_tiny(tmp_path / "out", SMALL, track=["wandb"])
    assert not (tmp_path / "out").exists()


def test_tags_and_curves_of_a_cell() -> None:
    history = pl.DataFrame(
        {
            "iteration": [5, 0, 0],
            "split": ["validation", "validation", "test"],
            "loss": [0.25, 2.0, 3.0],
            "accuracy": [0.75, 0.5, None],
        }
    )
    cell = Landed(Cell(3, 12, "reinit", 1), "ok", 0.5, {}, history)
    assert cell.tag == "L12/reinit/r3/1"
    assert list(cell.curves()) == [
        (0, {"loss/test": 3.0, "loss/validation": 2.0, "accuracy/validation": 0.5}),
        (5, {"loss/validation": 0.25, "accuracy/validation": 0.75}),
    ]


def test_parameters_are_flat_and_without_what_may_be_extended() -> None:
    found = parameters(tiny())
    assert found["recipe.iterations"] == 20
    assert found["model.name"] == "lenet-8-6"
    assert not {name.partition(".")[0] for name in found} & {"levels", "replicates", "arms", "title"}
    assert parameters(tiny(levels=1)) == found


# --- the real packages -----------------------------------------------------------------------------------


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the user's own is read or written."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


def expected(run: Run, cell: str) -> dict[tuple[str, int], float]:
    """(curve, iteration) -> value, from the stored history."""
    r, level, arm, draw = cell.split("/")
    history = run.history(Cell(int(r[1:]), int(level[1:]), arm, int(draw)))
    return {
        (f"{quantity}/{row['split']}", row["iteration"]): row[quantity]
        for row in history.iter_rows(named=True)
        for quantity in ("loss", "accuracy")
        if row[quantity] is not None
    }


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_tensorboard_reads_its_event_files_back(tmp_path: Path) -> None:
    need("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_tiny(tmp_path, SMALL, track=["tensorboard"])
    run_tiny(tmp_path, SMALL, track=["tensorboard"])
    place = run.path / "track" / "tensorboard"
    events = list(place.rglob("events.*"))
    assert {path.parent.relative_to(place).as_posix() for path in events} == TAGS
    assert len(events) == 3
    for cell in CELLS:
        r, level, arm, draw = cell.split("/")
        found = EventAccumulator(str(place / level / arm / r / draw))
        found.Reload()
        scalars = {(tag, e.step): e.value for tag in found.Tags()["scalars"] for e in found.Scalars(tag)}
        curves = {key: value for key, value in scalars.items() if "/" in key[0]}
        assert curves == pytest.approx(expected(run, cell), rel=1e-6)
        last = max(iteration for _, iteration in curves)
        number = run.record(Cell(0, int(level[1:]), arm, 0))["final_test_accuracy"]
        assert scalars["final_test_accuracy", last] == pytest.approx(number, rel=1e-6)
        assert "_hparams_/session_start_info" in found.summary_metadata


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_mlflow_holds_a_run_a_cell(tmp_path: Path) -> None:
    need("mlflow")
    from mlflow import MlflowClient

    run = run_tiny(tmp_path, SMALL, track=["mlflow"])
    run_tiny(tmp_path, SMALL, track=["mlflow"])
    client = MlflowClient(tracking_uri=(run.path / "track" / "mlflow").as_uri())
    experiment = client.get_experiment_by_name("tombola")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    by_name = {each.info.run_name: each for each in runs}
    assert len(runs) == 4
    assert set(by_name) == TAGS | {run.path.name}
    parent = by_name[run.path.name]
    assert parent.data.params["recipe.iterations"] == "20"
    assert parent.data.metrics["cells"] == 3
    for cell in CELLS:
        r, level, arm, draw = cell.split("/")
        found = by_name[f"{level}/{arm}/{r}/{draw}"]
        assert found.info.status == "FINISHED"
        assert found.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert (found.data.tags["arm"], found.data.tags["level"]) == (arm, str(int(level[1:])))
        curves: dict[tuple[str, int], Any] = {
            (name, point.step): point.value
            for name in found.data.metrics
            if "/" in name
            for point in client.get_metric_history(found.info.run_id, name)
        }
        assert curves == pytest.approx(expected(run, cell))


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_mlflow_drops_what_a_killed_process_left_of_a_cell(tmp_path: Path) -> None:
    need("mlflow")
    tracker = open_trackers(["mlflow"])["mlflow"]
    tracker.begin(bound(SMALL), tmp_path)
    client: Any = tracker._client  # type: ignore[attr-defined]
    experiment = tracker._experiment  # type: ignore[attr-defined]
    study = bound(SMALL).folder
    half = client.create_run(experiment, tags={"tombola.study": study, "tombola.kind": "cell"})
    other = client.create_run(experiment, tags={"tombola.study": "another", "tombola.kind": "cell"})
    open_trackers(["mlflow"])["mlflow"].begin(bound(SMALL), tmp_path)
    assert client.get_run(half.info.run_id).info.lifecycle_stage == "deleted"
    assert client.get_run(other.info.run_id).info.lifecycle_stage == "active"


def records_of(log: bytes) -> Iterator[bytes]:
    """The records of a W&B file: seven bytes of header, then a log of LevelDB (blocks of 32 KiB; each piece has four
    bytes of checksum, two of length, and its kind: 1 whole, 2 first, 3 middle, 4 last)."""
    place, whole = 7, b""
    while place + 7 <= len(log):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(log[place + 4 : place + 6], "little"), log[place + 6]
        whole += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_wandb_keeps_an_offline_run(tmp_path: Path) -> None:
    need("wandb")
    from wandb.proto import wandb_internal_pb2

    run = run_tiny(tmp_path, SMALL, track=["wandb"])
    [file] = (run.path / "track" / "wandb").rglob("*.wandb")
    assert file.parent.name.startswith("offline-run-")
    curves: dict[tuple[str, int], float] = {}
    config = ""
    for data in records_of(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        config += str(record.run.config)
        values = {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        for key, value in values.items():
            if "/loss/" in key or "/accuracy/" in key:
                curves[key, int(float(values["iteration"]))] = float(value)
    wanted = {
        (f"{level}/{arm}/{r}/{draw}/{name}", iteration): value
        for r, level, arm, draw in (cell.split("/") for cell in CELLS)
        for (name, iteration), value in expected(run, f"{r}/{level}/{arm}/{draw}").items()
    }
    assert curves == pytest.approx(wanted)
    assert "recipe.iterations" in config
    run_tiny(tmp_path, SMALL, track=["wandb"])
    again = [path for path in (run.path / "track" / "wandb").rglob("*.wandb") if path != file]
    assert all(b"/loss/" not in path.read_bytes() for path in again)  # no cell is logged a second time


def test_tracking_nobody_costs_nothing(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, SMALL)
    tracking = Tracking(run, {})
    tracking.begin(SMALL)
    tracking.end()
    assert not (run.path / "track").exists()
