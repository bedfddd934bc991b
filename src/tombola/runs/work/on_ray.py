"""Units of a run as tasks of a Ray cluster (`--on ray`), whose machines share the run's folder."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tombola.errors import notice
from tombola.runs.presence import Presence
from tombola.runs.run_options import RunOptions
from tombola.runs.work.crew import Overseer
from tombola.runs.work.part import POLL, Share, TakingPart, handed_on, joined
from tombola.runs.work.prepared import Prepared
from tombola.runs.work.units import Unit
from tombola.study.spec import Study

AHEAD = 2
"""Tasks that are handed to the cluster for each that it has room for: the others wait in the run's own process."""


@dataclass(frozen=True)
class Order:
    """What a task has to know beside its unit: the study, how it is run, and where its process was started."""

    key: str
    study: Study
    options: RunOptions
    home: Path


def train_on_ray(
    ray: Any,
    prepared: Prepared,
    options: RunOptions,
    resources: Mapping[str, float],
    stored: Callable[[], None],
) -> None:
    """Train all that is missing by tasks that have these resources each. A task whose worker or machine is lost is
    given to another; `stored` is called whenever there is time. Ray is connected already."""
    order = ray.put(Order(uuid.uuid4().hex, prepared.study, handed_on(options), Path.cwd()))
    task = ray.remote(max_retries=0, **_as_ray_has_them(resources))(_train)
    overseer, flying = Overseer(prepared, stored), dict[Any, Unit]()
    with Presence(prepared.folder.path):
        try:
            while overseer.units.left() or flying:
                free = AHEAD * _room(ray, resources) - len(flying)
                waiting = [unit for unit in overseer.units.ready() if unit not in flying.values()]
                for unit in waiting[: max(free, 0)]:
                    flying[task.remote(order, unit)] = unit
                for ref in _ended(ray, list(flying)):
                    del flying[ref]
                    _note(ray, ref, overseer)
                overseer.look()
        except BaseException:
            for ref in flying:
                with suppress(ray.exceptions.RayError):
                    ray.cancel(ref)
            if flying:
                ray.wait(list(flying), num_returns=len(flying), timeout=30)
            raise
    overseer.look()


def _ended(ray: Any, refs: list[Any]) -> list[Any]:
    """The tasks that ended, after a moment's wait for the first."""
    if not refs:
        time.sleep(POLL)
    elif ray.wait(refs, timeout=POLL)[0]:
        found: list[Any] = ray.wait(refs, num_returns=len(refs), timeout=0)[0]
        return found
    return []


def _as_ray_has_them(resources: Mapping[str, float]) -> dict[str, Any]:
    own = {"cpus": "num_cpus", "gpus": "num_gpus", "memory": "memory"}
    others = {name: count for name, count in resources.items() if name not in own}
    return {own[name]: count for name, count in resources.items() if name in own} | {"resources": others}


def _room(ray: Any, resources: Mapping[str, float]) -> int:
    """How many tasks the cluster has room for, as it is now: at least one."""
    there, names = ray.cluster_resources(), {"cpus": "CPU", "gpus": "GPU"}
    rooms = [there.get(names.get(name, name), 0) / count for name, count in resources.items() if count]
    if min(rooms, default=1) < 1:
        _say_of_room(tuple(f"{name}={count:g}" for name, count in resources.items()))
    return max(1, int(min(rooms, default=1)))


@cache
def _say_of_room(resources: tuple[str, ...]) -> None:
    notice(
        f"the Ray cluster has no room for a task of {', '.join(resources)} now; it waits for machines that have"
    )


def _note(ray: Any, ref: Any, overseer: Overseer) -> None:
    """Look how a task ended; what it raised is raised here."""
    try:
        ray.get(ref)
    except ray.exceptions.RayTaskError as problem:
        raise problem.cause if isinstance(problem.cause, Exception) else problem from None
    except ray.exceptions.RayError as problem:
        overseer.lost(type(problem).__name__)


_parts: dict[str, tuple[TakingPart, Presence]] = {}
"""Of this process: it does many units of one run, one after the other."""


def _train(order: Order, unit: Unit) -> None:
    part, presence = _part(order)
    with presence:
        while not part.units.is_done(unit) and not part.take(unit):
            time.sleep(POLL)  # a worker that was given up may still be at it


def _part(order: Order) -> tuple[TakingPart, Presence]:
    if order.key not in _parts:
        _parts.clear()
        with suppress(OSError):
            os.chdir(order.home)  # paths of the study may be relative
        prepared = joined(order.study, order.options)
        presence = Presence(prepared.folder.path)
        _parts[order.key] = TakingPart(prepared, presence, Share()), presence
    return _parts[order.key]
