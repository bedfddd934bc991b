"""Interrupted anywhere and started again, a training ends with the bits of an undisturbed one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from support.training_parts import arrays, dense, kind, recipe, resident, same, sparse, start
from tombola.files import read_tensors, write_tensors
from tombola.training.checkpoint import Checkpoint
from tombola.training.engines.mlp import MlpEngine
from tombola.training.engines.modules import ModulesEngine
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.trained import Trained

TRAININGS: dict[str, tuple[str, Recipe, int]] = {
    # kind, recipe, start; every one straddles an epoch (45 examples, batches of 8)
    "mlp-adam": ("mlp", recipe(weight_decay=0.1, curve_every=4, warmup=5), 0),
    "mlp-sgd": ("mlp", recipe(optimizer="sgd", lr=0.1, schedule="milestones", milestones=(5,)), 0),
    "odd-adam": ("odd", recipe(weight_decay=0.1), 3),
    "odd-nesterov": (
        "odd",
        recipe(optimizer="sgd", lr=0.1, momentum=0.9, nesterov=True, schedule="cosine", curve_every=4),
        0,
    ),
    "odd-augmented": ("odd", recipe(precision="bfloat16", label_smoothing=0.1, flip=True, crop=1), 0),
}
SNAPSHOT = 6


class PowerError(Exception):
    """The power went out."""


def run(
    name: str, checkpoint: Checkpoint | None = None, progress: Callable[[int], None] | None = None
) -> list[Trained]:
    what, chosen, begin = TRAININGS[name]
    arch, data, engine = kind(what)
    pins = {arch.prunable[0]: torch.ones(arch.shapes[arch.prunable[0]])}
    starts = [
        start(arch, iteration=begin),
        start(arch, 0, sparse(arch), iteration=begin),
        start(arch, 1, sparse(arch, 1), iteration=begin, dead=pins),
    ]
    return train_stack(
        arch,
        starts,
        data,
        chosen,
        5,
        engine=engine,
        snapshot_at=SNAPSHOT,
        checkpoint=checkpoint,
        progress=progress,
    )


def assert_same(found: list[Trained], expected: list[Trained]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert same(a.end, b.end)
        assert same(a.best, b.best)
        assert same(a.snapshot, b.snapshot)
        numbers = [{k: v for k, v in vars(t).items() if k not in ("end", "best", "snapshot")} for t in (a, b)]
        assert numbers[0] == numbers[1]


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, list[Trained]]:
    return {name: run(name) for name in TRAININGS}


def interrupt_at(iteration: int) -> Callable[[int], None]:
    def progress(t: int) -> None:
        if t == iteration:
            raise PowerError

    return progress


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("name", TRAININGS)
def test_interrupted_at_any_evaluation(name: str, place: int, undisturbed, tmp_path: Path) -> None:
    _, chosen, begin = TRAININGS[name]
    points = chosen.evaluations(begin)
    checkpoint = Checkpoint(tmp_path / "here" / "c.safetensors", seconds=0)
    with pytest.raises(PowerError):
        run(name, checkpoint, interrupt_at(points[place]))
    assert checkpoint.path.exists()
    seen: list[int] = []
    assert_same(run(name, Checkpoint(checkpoint.path, seconds=0), seen.append), undisturbed[name])
    # It went on where the last checkpoint was written; none is written at the end.
    assert seen == points[min(place, len(points) - 2) :]
    assert not checkpoint.path.exists()
    assert list(checkpoint.path.parent.iterdir()) == []


@pytest.mark.parametrize("step", [1, 5, 7, 11])
@pytest.mark.parametrize("name", ["mlp-adam", "odd-nesterov"])
def test_interrupted_between_evaluations(
    name: str, step: int, undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = MlpEngine if name.startswith("mlp") else ModulesEngine
    backward = engine.backward

    def failing(self: Any, x: Any, y: Any, iteration: int) -> None:
        backward(self, x, y, iteration)
        if iteration == step:
            raise PowerError

    path = tmp_path / "c.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(engine, "backward", failing)
        with pytest.raises(PowerError):
            run(name, Checkpoint(path, seconds=0))
    seen: list[int] = []
    assert_same(run(name, Checkpoint(path, seconds=0), seen.append), undisturbed[name])
    assert seen[0] == step // 4 * 4


@pytest.mark.parametrize("name", TRAININGS)
def test_interrupted_again_and_again(name: str, undisturbed, tmp_path: Path) -> None:
    _, chosen, begin = TRAININGS[name]
    path = tmp_path / "c.safetensors"
    for point in [*chosen.evaluations(begin)[1:], chosen.iterations]:
        with pytest.raises(PowerError):
            run(name, Checkpoint(path, seconds=0), interrupt_at(point))
    assert_same(run(name, Checkpoint(path, seconds=0)), undisturbed[name])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"\x00" * 100,
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:7],
        lambda data: b"not a checkpoint at all",
    ],
    ids=["empty", "zeros", "half", "one byte short", "seven bytes", "text"],
)
def test_a_broken_file_starts_over(spoil: Callable[[bytes], bytes], undisturbed, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(PowerError):
        run("mlp-adam", Checkpoint(path, seconds=0), interrupt_at(8))
    path.write_bytes(spoil(path.read_bytes()))
    seen: list[int] = []
    assert_same(run("mlp-adam", Checkpoint(path, seconds=0), seen.append), undisturbed["mlp-adam"])
    assert seen == [0, 4, 8, 12]


@pytest.mark.parametrize("metadata", [None, {}, [], {"key": 1}, {"iteration": 3}])
def test_a_file_of_something_else_starts_over(metadata: Any, undisturbed, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write_tensors(path, {"weight": torch.zeros(2)}, metadata)
    seen: list[int] = []
    assert_same(run("mlp-adam", Checkpoint(path), seen.append), undisturbed["mlp-adam"])
    assert seen[0] == 0


OTHERS: dict[str, dict[str, Any]] = {
    "replicate": {"r": 1},
    "level": {"level": 1},
    "iteration": {"iteration": 2},
    "mask": {"seed": 2},
    "recipe": {"lr": 0.02},
    "validation": {"validation": 6},
    "snapshot": {"snapshot_at": 9},
    "engine": {"engine": "modules"},
    "number": {"count": 2},
    "data": {"data": resident(arrays(n_test=9))},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_the_checkpoint_of_another_stack_is_not_taken(other: dict[str, Any], tmp_path: Path) -> None:
    """All weights are zero, so that the states alone would not tell the masks apart."""
    arch, plain, _ = kind("mlp")
    state = {name: torch.zeros(shape) for name, shape in arch.shapes.items()}

    def training(
        checkpoint: Checkpoint | None,
        progress: Callable[[int], None] | None = None,
        *,
        r: int = 0,
        level: int = 0,
        iteration: int = 0,
        seed: int = 1,
        lr: float = 0.01,
        validation: int = 5,
        snapshot_at: int = SNAPSHOT,
        engine: str = "mlp",
        count: int = 1,
        data: Any = plain,
    ) -> list[Trained]:
        begun = start(arch, r, sparse(arch, seed), state=state, level=level, iteration=iteration)
        return train_stack(
            arch, [begun] * count, data, recipe(lr=lr), validation, engine=engine,
            snapshot_at=snapshot_at, checkpoint=checkpoint, progress=progress,
        )  # fmt: skip

    path = tmp_path / "c.safetensors"
    with pytest.raises(PowerError):
        training(Checkpoint(path, seconds=0), interrupt_at(8))
    seen: list[int] = []
    found = training(Checkpoint(path, seconds=1e9), seen.append, **other)
    assert seen[0] == other.get("iteration", 0)
    assert_same(found, training(None, **other))


def test_how_often_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("tombola.training.checkpoint.time.monotonic", lambda: now)
    checkpoint = Checkpoint(tmp_path / "c.safetensors", seconds=60, _last=now)
    assert not checkpoint.due()
    now = 159.9
    assert not checkpoint.due()
    now = 160.0
    assert checkpoint.due()
    checkpoint.write(3, {"a": torch.ones(1)}, "mine")
    assert not checkpoint.due()
    now = 220.0
    assert checkpoint.due()
    found = checkpoint.read("mine")
    assert found is not None
    assert found[0] == 3
    assert checkpoint.read("yours") is None
    checkpoint.clear()
    checkpoint.clear()
    assert checkpoint.read("mine") is None


def test_what_is_written_is_masked(tmp_path: Path) -> None:
    arch, data, engine = kind("mlp")
    mask = sparse(arch)
    path = tmp_path / "c.safetensors"
    with pytest.raises(PowerError):
        train_stack(
            arch, [start(arch, 0, mask)], data, recipe(), 5, engine=engine,
            checkpoint=Checkpoint(path, seconds=0), progress=interrupt_at(8),
        )  # fmt: skip
    tensors, _ = read_tensors(path)
    for place, name in enumerate(arch.shapes):
        if name in mask:
            for key in (f"stack/{name}", f"optimizer/{place}.exp_avg", f"optimizer/{place}.exp_avg_sq"):
                assert not tensors[key][0][~mask[name]].any(), key
    assert dense(arch).count() > mask.count()
