"""Where a run is trained: in this process, by several of this machine, or by those of a cluster (`--on`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from tombola.errors import UserError, nearest, notice
from tombola.runs.run_options import RunOptions
from tombola.runs.trackers.base import needed
from tombola.runs.work.crew import watch_over
from tombola.runs.work.part import Share
from tombola.runs.work.prepared import Prepared, extent

PLACES = ("local", "ray", "slurm")


class Place(Protocol):
    """Where a run is trained."""

    def settled(self, options: RunOptions, fresh: bool) -> RunOptions:
        """The options as this place has them; `fresh`: nothing is recorded of the run yet."""

    def train(self, prepared: Prepared, options: RunOptions, stored: Callable[[], None]) -> None:
        """Train all that is missing; `stored` is told when something is stored."""


class Here:
    """This process alone."""

    def settled(self, options: RunOptions, fresh: bool) -> RunOptions:
        """As they are."""
        return options

    def train(self, prepared: Prepared, options: RunOptions, stored: Callable[[], None]) -> None:
        """Level by level, the ladders beside the run first."""
        workers = prepared.workers(stored=stored)
        done, left = extent(workers)
        options.progress.begin(done + left, done)
        for part, worker in workers.items():
            options.progress.turn_to(part)
            worker.work()


@dataclass(frozen=True)
class Local:
    """So many processes of this machine."""

    count: int

    def settled(self, options: RunOptions, fresh: bool) -> RunOptions:
        """A run that begins here shares the processor's threads out; those of one that goes on are recorded."""
        from tombola.runs.work.local import share_threads

        return share_threads(options, self.count) if fresh and options.threads is None else options

    def train(self, prepared: Prepared, options: RunOptions, stored: Callable[[], None]) -> None:
        """Each process takes units until none is left."""
        from tombola.runs.work.local import starter

        threads, processors = prepared.trainer.record.record["threads"], os.cpu_count() or 1
        if threads > 1 and self.count * threads > processors:
            notice(
                f"{self.count} processes of {threads} threads each, which the run was begun with, share {processors} "
                "processors; fewer processes may be faster"
            )
        watch_over(prepared, starter(prepared.study, options), self.count, stored)


@dataclass(frozen=True)
class Ray:
    """Tasks of a Ray cluster: the one at an address, else the one that this machine belongs to, else a new one here.
    `each` is what a task gets."""

    address: str
    each: Mapping[str, float]

    def settled(self, options: RunOptions, fresh: bool) -> RunOptions:
        """A run that begins here trains with as many threads as a task has processors."""
        threads = max(1, int(self.each.get("cpus", 1)))
        return replace(options, threads=threads) if fresh and options.threads is None else options

    def train(self, prepared: Prepared, options: RunOptions, stored: Callable[[], None]) -> None:
        """Each task trains a unit."""
        from tombola.runs.work.on_ray import train_on_ray

        ray, record = needed("ray", "ray", "--on"), prepared.trainer.record.record
        least = {"cpus": float(record["threads"])} | ({"gpus": 1.0} if record["device"] == "cuda" else {})
        ours = not ray.is_initialized()
        if ours:
            try:
                ray.init(address=self.address or None, log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, ValueError, RuntimeError) as problem:
                raise UserError(f"--on {options.on}: no Ray cluster is there ({problem})") from None
        try:
            train_on_ray(ray, prepared, options, {**least, **self.each}, stored)
        finally:
            if ours:
                ray.shutdown()


@dataclass(frozen=True)
class Slurm:
    """So many jobs of a Slurm cluster, with what `each` gets."""

    count: int
    each: Mapping[str, str]

    def settled(self, options: RunOptions, fresh: bool) -> RunOptions:
        """A run that begins here trains with as many threads as a job has processors."""
        cpus = self.each.get("cpus", "1")
        threads = int(cpus) if cpus.isdecimal() else 1
        return replace(options, threads=threads) if fresh and options.threads is None else options

    def train(self, prepared: Prepared, options: RunOptions, stored: Callable[[], None]) -> None:
        """Each job takes units until none is left."""
        from tombola.runs.work.on_slurm import starter

        submitit = needed("submitit", "slurm", "--on")
        start = starter(submitit, prepared.folder, prepared.study, options, self.each)
        watch_over(prepared, start, self.count, stored)


def placed(options: RunOptions) -> Place:
    """The place that `on` names. Raises UserError for an unknown one, and for what does not go together."""
    kind, _, rest = options.on.partition(":")
    if options.shard:
        Share.parse(options.shard)
        _require_alone(options)
    if not options.on:
        if options.each:
            raise UserError(
                "--each is for workers of --on, and none are named; expected --on ray or --on slurm:N"
            )
        return Here()
    each = dict(_split(text) for text in options.each)
    if kind == "ray":
        return Ray(
            options.on if rest.startswith("//") else rest, {name: _amount(name, each[name]) for name in each}
        )
    if kind not in ("local", "slurm"):
        raise UserError(f"--on is '{options.on}'{nearest(kind, PLACES)}")
    if not rest.isdecimal() or not int(rest):
        raise UserError(
            f"--on is '{options.on}', expected {kind}:N with the number of workers, such as {kind}:4"
        )
    if kind == "slurm":
        return Slurm(int(rest), each)
    if each:
        raise UserError("--each is for workers of Ray or Slurm; those of --on local have what --threads says")
    return Local(int(rest))


def _split(text: str) -> tuple[str, str]:
    """Key and value of `cpus=2`."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise UserError(f"--each is '{text}', expected KEY=VALUE, such as cpus=2")
    return name, value


def _amount(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(
            f"--each is '{name}={text}', expected a number, such as {name}=2 or {name}=0.5"
        ) from None


def _require_alone(options: RunOptions) -> None:
    """Raise UserError for what a worker that is one of several cannot do."""
    if options.on:
        raise UserError(
            f"--shard makes this process one of several, and --on {options.on} starts others; expected one"
        )
    if options.mirror:
        raise UserError(
            f"--mirror has one writer, and --shard makes several; mirror the run to {options.mirror} once it is done"
        )
    if options.track:
        raise UserError(
            "--track with --shard would tell of every cell several times; run the study once more without --shard when "
            "it is done, which tells of all of it"
        )
