"""From the first evaluation to `Record.finish`, nothing on the device is read by the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.no_sync import (
    NoReadingMethod,
    NoReadingOperation,
    ReadingError,
)
from support.training_parts import CLASSES, arrays, kind, recipe, resident, sparse, start
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.training.checkpoint import Checkpoint
from tombola.training.loop import train_stack
from tombola.training.record import Record
from tombola.training.stack import Stack
from tombola.training.trained import Trained


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Reading is refused from the end of Record's construction to the beginning of its `finish`."""
    made, finish, evaluate = Record.__init__, Record.finish, Record.evaluate
    guard = ExitStack()
    counts = {"evaluations": 0, "finished": 0}

    def construct(self: Record, *args: Any) -> None:
        made(self, *args)
        guard.enter_context(NoReadingOperation())
        guard.enter_context(NoReadingMethod())

    def counted(self: Record, iteration: int) -> None:
        evaluate(self, iteration)
        counts["evaluations"] += 1

    def finished(self: Record, *masks: Any) -> list[Trained]:
        guard.close()
        counts["finished"] += 1
        return finish(self, *masks)

    monkeypatch.setattr(Record, "__init__", construct)
    monkeypatch.setattr(Record, "evaluate", counted)
    monkeypatch.setattr(Record, "finish", finished)
    yield counts
    guard.close()


class Functional(nn.Module):
    """Draws from torch's generator, which no counter-based layer can stand in for."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(F.dropout(x, 0.5, self.training))
        return out


RECIPES = {
    "adam": recipe(curve_every=4, weight_decay=0.1, warmup=3),
    "sgd": recipe(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.1, schedule="cosine"),
}


@pytest.mark.parametrize("chosen", RECIPES.values(), ids=RECIPES.keys())
@pytest.mark.parametrize("what", ["mlp", "mlp by module", "odd", "functional"])
def test_the_loop_and_its_evaluations_read_nothing(what: str, chosen, guarded: dict[str, int]) -> None:
    if what == "functional":
        arch, data, engine = architecture(Functional, (6,), CLASSES), resident(arrays()), "modules"
    else:
        arch, data, engine = kind(what)
    name = arch.prunable[0]
    pins = {name: torch.ones(arch.shapes[name])}
    starts = [start(arch), start(arch, 0, sparse(arch)), start(arch, 1, sparse(arch, 1), dead=pins)]
    train_stack(arch, starts, data, chosen, 5, engine=engine, snapshot_at=6, progress=lambda t: None)
    assert guarded == {"evaluations": 4, "finished": 1}


def chain(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, classes),
    )


def test_augmentation_bfloat16_and_networks_cut_small_read_nothing(guarded: dict[str, int]) -> None:
    _, data, engine = kind("odd")
    arch = architecture(chain, data.shape, CLASSES)
    bits = {name: torch.ones(arch.shapes[name], dtype=torch.bool) for name in arch.prunable}
    bits["6.weight"][:, 1:] = False  # three channels of four lead nowhere
    chosen = recipe(flip=True, crop=2, label_smoothing=0.1, precision="bfloat16")
    train_stack(arch, [start(arch), start(arch, 1, Mask(bits))], data, chosen, 5, engine=engine)
    assert guarded == {"evaluations": 4, "finished": 1}


READS: Sequence[Callable[[Tensor], Any]] = [
    lambda t: t.sum().item(),
    lambda t: t.sum().tolist(),
    lambda t: float(t.sum()),
    lambda t: int(t.sum()),
    lambda t: bool((t > 1e9).any()),
    lambda t: 1 if (t > 1e9).any() else 0,
    lambda t: t.cpu(),
    lambda t: t.numpy(),
    lambda t: t.nonzero(),
    lambda t: t[t > 0],
    lambda t: torch.equal(t, t),
    lambda t: torch.allclose(t, t),
    lambda t: t.masked_select(t > 0),
    lambda t: t.unique(),
    lambda t: list(range(10))[t.sum().long() * 0],
    lambda t: nn.utils.clip_grad_norm_([t], 1.0, error_if_nonfinite=True),
]


@pytest.mark.parametrize("read", READS, ids=range(len(READS)))
@pytest.mark.parametrize("place", ["step", "evaluation"])
def test_the_guard_notices_every_way_of_reading(
    read: Callable[[Tensor], Any], place: str, guarded: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    arch, data, engine = kind("mlp")

    def intrude(owner: type, method: str) -> None:
        whole = getattr(owner, method)

        def reading(self: Any, *args: Any) -> Any:
            tensor = (self if isinstance(self, Stack) else self.stack).params["out.weight"]
            tensor.grad = torch.ones_like(tensor)
            read(tensor)
            return whole(self, *args)

        monkeypatch.setattr(owner, method, reading)

    intrude(Stack, "settle") if place == "step" else intrude(Record, "_score")
    with pytest.raises(ReadingError):
        train_stack(arch, [start(arch)], data, recipe(), 5, engine=engine)


def test_checkpoints_and_progress_may_read_but_only_at_evaluations(tmp_path: Path) -> None:
    arch, data, engine = kind("mlp")
    written: list[int] = []

    class Watched(Checkpoint):
        def write(self, iteration: int, tensors: dict[str, Tensor], key: str) -> None:
            written.append(iteration)
            super().write(iteration, tensors, key)

    seen: list[int] = []
    train_stack(
        arch, [start(arch)], data, recipe(), 5, engine=engine,
        checkpoint=Watched(tmp_path / "c.safetensors", seconds=0), progress=seen.append,
    )  # fmt: skip
    assert written == [0, 4, 8]
    assert seen == [0, 4, 8, 12]
