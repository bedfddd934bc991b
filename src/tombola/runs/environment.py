"""What decides a run's rounding, decided once: device, engine, threads and the make-up of the stacks."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tombola.data.dataset import Dataset
from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.files import digest_of
from tombola.lottery.cell import Cell
from tombola.metrics import ACCURACY, METRICS
from tombola.models.architecture import Architecture
from tombola.runs.cells.name import cell_named
from tombola.runs.folder import Run
from tombola.runs.unedited import facts_of
from tombola.seeds import Seeds
from tombola.study.spec import Study
from tombola.training.device import pick_device
from tombola.training.engines.base import ENGINES, Demand
from tombola.training.engines.select import choose
from tombola.training.fingerprint import recorded, require_same
from tombola.training.made_up import Spread, spread_of
from tombola.training.recipe import Recipe


def training_clock() -> float:
    """Seconds of a clock that stands still while an engine is compiled, which happens once on a machine."""
    from tombola.training.engines.sparse import seconds_compiling  # here: it brings a compiler with it

    return time.monotonic() - seconds_compiling()


def describe_machine() -> dict[str, Any]:
    """Versions and hardware: what a reader needs to repeat the run, and no path or host name."""
    packages = ("tombola", "torch", "numpy", "polars", "safetensors")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "system": platform.system(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": gpu,
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str | None:
    """The commit of the checkout that Tombola runs from, if it is one."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


class EngineRecord:
    """The engine record of a run folder.

    Decided once, written to environment.json before the first cell, and kept on resume and extension. It also
    holds digests of the data and of replicate 0's initial weights, so that others under the same name are not
    mixed in. Beside it lie what decides the cells (`study`) and what the network computes (`function`).
    """

    def __init__(self, folder: Run, environment: dict[str, Any], spread: Spread | None = None) -> None:
        self.folder, self.environment, self._spread = folder, environment, spread or {}

    @classmethod
    def of(
        cls,
        folder: Run,
        architecture: Architecture,
        dataset: Dataset,
        seed: int,
        recipe: Recipe,
        pinned: bool,
        moving: bool,
        *,
        device: str = "auto",
        engine: str = "auto",
        threads: int | None = None,
        ranks: int | None = None,
    ) -> EngineRecord:
        """The folder's record, or a new one, not written yet; "auto" takes what is recorded. `pinned`: some arm of
        the study freezes dead weights; `moving`: some trainings change masks on their way; `ranks`: processes that
        train each stack together, where that matters.

        Raises UserError when asked for something else than recorded, when the network computes something else than
        recorded, when the engine cannot do what the study asks, and when cells are there without a record.
        """
        state = architecture.initial(Seeds.replicate(seed, 0).stream("init"))
        initial, spread = digest_of(state), spread_of(architecture, state)
        environment = folder.environment
        if environment:
            found = cls(folder, environment, spread)
            found._agree(
                device, engine, threads, ranks, architecture, {"data": dataset.digest, "initial": initial}
            )
            require_same_function(folder, architecture)
            # Arms that were added may ask for more than those that the engine was chosen for.
            where = pick_device(found.record["device"])
            choose(
                found.record["engine"],
                architecture,
                where,
                Demand(recipe, pinned, moving, dataset.streamed, ranks or 1),
            )
            return found
        if folder.cells():
            raise UserError(
                f"{folder.path / 'environment.json'}: is missing, and without its engine record the run would "
                "end with other bits; put it back, or start a run of another name"
            )
        where = pick_device(device)
        record = {
            "device": where.type,
            "engine": choose(
                engine, architecture, where, Demand(recipe, pinned, moving, dataset.streamed, ranks or 1)
            ).name,
            "threads": torch.get_num_threads() if threads is None else threads,
            "data": dataset.digest,
            "initial": initial,
            "stacks": [],
            **({"ranks": ranks} if ranks and ranks > 1 else {}),
        }
        metric = METRICS[recipe.metric]
        told = {} if metric is ACCURACY else {"metric": metric.table()}
        network = {
            "input_shape": list(architecture.input_shape),
            "classes": architecture.classes,
            "prunable": list(architecture.prunable),
            "shapes": {name: list(shape) for name, shape in architecture.shapes.items()},
            "state_dict": dict(architecture.keys),
            **({"several": architecture.several.table()} if architecture.several else {}),
        }
        return cls(
            folder,
            {**describe_machine(), **told, "network": network, "record": record, "seals": True},
            spread,
        )

    @property
    def record(self) -> dict[str, Any]:
        """The record proper; the rest of the environment is for readers."""
        record: dict[str, Any] = self.environment["record"]
        return record

    def beside(self, folder: Run) -> EngineRecord:
        """The record of a folder within the run's, which has stacks of its own."""
        bare = {**self.environment, "record": {**self.record, "stacks": []}}
        return EngineRecord(folder, folder.environment or bare)

    def note(self, spec: Study, architecture: Architecture, data: Resident) -> None:
        """Note down what decides the cells of a study and, where that is not recorded yet, what its network computes.

        A run of an older Tombola gets its record when it is taken up again: it says nothing of the code that made the
        cells so far, which is not known, but those that follow are guarded by it.
        """
        self.environment.get("network", {})["input"] = data.input
        self.environment["study"] = facts_of(spec, self.environment.get("study"))
        if self.environment.get("function") is None:
            self.environment["function"] = recorded(architecture, self._spread, data)

    def resident(self, dataset: Dataset, normalisation: str, device: str) -> Resident:
        """The data on the device that was asked for, on "auto" the recorded one; torch takes the recorded threads."""
        torch.set_num_threads(self.record["threads"])
        return Resident(
            dataset, normalisation, pick_device(self.record["device"] if device == "auto" else device)
        )

    def save(self) -> None:
        """Write environment.json."""
        self.folder.write_environment(self.environment)

    def settle(self, groups: Iterable[Sequence[Cell]], done: Callable[[Cell], bool], size: int) -> None:
        """Decide the make-up of all stacks before the first is trained, and write it down: for cells that are drawn
        together, those that no stack has yet and that are not done. A ladder may end below some of them, which are left
        out when their turn comes: it ends there whoever trains it."""
        taken = {name for stack in self.record["stacks"] for name in stack}
        fresh: list[list[Cell]] = []
        for cells in groups:
            fresh += packed([cell for cell in cells if str(cell) not in taken and not done(cell)], size)
        if fresh:
            self.record["stacks"] += [[str(cell) for cell in stack] for stack in fresh]
            self.save()

    def stacks(
        self,
        cells: Sequence[Cell],
        done: Callable[[Cell], bool],
        size: int,
        planned: Collection[Cell] = (),
    ) -> list[list[Cell]]:
        """The stacks to train for the cells of a level: recorded ones that are unfinished, and new ones for
        cells that no stack has yet. See `trainable`."""
        self.settle([cells], done, size)
        wanted = {str(cell) for cell in cells}
        recorded = [
            [cell_named(name) for name in stack]
            for stack in self.record["stacks"]
            if not wanted.isdisjoint(stack)
        ]
        # Of a finished stack some cells may not be asked for: their ladder goes on no more, its weights being dropped.
        drawn = set(cells)
        whole = [self.trainable(stack, drawn, done, planned) for stack in recorded]
        return [stack for stack in whole if not all(done(cell) for cell in stack)]

    def trainable(
        self,
        stack: Sequence[Cell],
        drawn: Collection[Cell],
        done: Callable[[Cell], bool],
        planned: Collection[Cell] = (),
    ) -> list[Cell]:
        """The cells of a stack as it is trained, `drawn` being all that is drawn at its level: without those that were
        `planned` and never come, since their ladder ended. Raises UserError for an unfinished stack with a cell that
        cannot be drawn."""
        whole = [cell for cell in stack if cell in drawn or done(cell) or cell not in planned]
        if not all(done(cell) for cell in whole):
            self._require_drawn(whole, drawn, done)
        return whole

    def _require_drawn(
        self, stack: Sequence[Cell], drawn: Collection[Cell], done: Callable[[Cell], bool]
    ) -> None:
        """Raise UserError where a stack that is to be trained has a cell that nothing can be drawn for."""
        lost = next((cell for cell in stack if cell not in drawn), None)
        if lost is None:
            return
        wanted = next(cell for cell in stack if not done(cell))
        why = (
            f"{wanted} is trained in one stack with {lost}, and the weights that this was pruned from are gone"
            if done(lost)
            else f"a stack holds {lost}, which the study does not draw, so the file was damaged or edited"
        )
        raise UserError(
            f"{self.folder.path / 'environment.json'}: {why}; put it back, or start a run of another name"
        )

    def _agree(
        self,
        device: str,
        engine: str,
        threads: int | None,
        ranks: int | None,
        architecture: Architecture,
        digests: dict[str, str],
    ) -> None:
        """Raise UserError unless the record holds all that is needed, and nothing else than what is asked for."""
        record = self.environment.get("record")
        needed = {"device", "engine", "threads", "stacks", *digests}
        if not isinstance(record, dict) or not record.keys() >= needed:
            raise UserError(f"{self.folder.path / 'environment.json'}: holds no whole engine record")
        asked: dict[str, Any] = {}
        if ranks is not None:
            asked["ranks"] = ranks
        if device != "auto":
            asked["device"] = pick_device(device).type
        if engine != "auto":
            asked["engine"] = ENGINES[engine].name
        if threads is not None:
            asked["threads"] = threads
        for key, value in asked.items():
            begun = record.get(key, 1)  # one process, unless it says how many ranks
            if begun != value:
                raise UserError(
                    f"{self.folder.path}: was begun with {key} {begun}, found {value}; mixing them would "
                    f"change the bits, so go on with {begun} or start a run of another name"
                )
        what = {"data": "data", "initial": f"initial weights of {architecture.name}"}
        for key, digest in digests.items():
            if record[key] != digest:
                raise UserError(
                    f"{self.folder.path}: was begun with other {what[key]} (digest {record[key]}, found {digest}); "
                    "put them back, or start a run of another name"
                )


def require_same_function(run: Run, architecture: Architecture) -> None:
    """Raise UserError where a run's network computes something else than when the run was made; a notice says so where
    the run does not know."""
    require_same(
        architecture,
        run.environment.get("function"),
        "this run was made",
        "put the code back, or start a run of another name",
        f"{run.path}: ",
    )


def packed(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    """Split cells into stacks of at most `size`, replicates kept whole where they fit."""
    stacks: list[list[Cell]] = []
    for r in sorted({cell.replicate for cell in cells}):
        own = [cell for cell in cells if cell.replicate == r]
        if stacks and len(stacks[-1]) + len(own) <= size:
            stacks[-1] += own
        else:
            stacks += [own[i : i + size] for i in range(0, len(own), size)]
    return stacks
