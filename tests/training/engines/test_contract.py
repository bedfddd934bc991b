"""Engines against plain PyTorch: logits, gradients, whole trainings, and what each engine can hold."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.training_parts import CLASSES, CPU, IMAGES, Odd, sparse, start
from tombola.errors import UserError
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import load_state
from tombola.training.engines.base import ENGINES, Engine, Job
from tombola.training.engines.chain import chain
from tombola.training.engines.select import choose
from tombola.training.stack import Stack
from tombola.training.start import Start


def engine_of(
    name: str, arch: Architecture, starts: list[Start], groups: list[int], dtype: torch.dtype = torch.float32
) -> tuple[Engine, Stack]:
    stack = Stack(arch, starts, CPU)
    stack.params = {n: t.to(dtype) for n, t in stack.params.items()}
    stack.masks = {n: t.to(dtype) for n, t in stack.masks.items()}
    return choose(name, arch, CPU)(Job(arch, stack, groups, [11 + r for r in range(len(starts))])), stack


def by_hand(arch: Architecture, each: Start, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits and gradients of one network from autograd on its own module, in the precision of x."""
    module = arch.build()
    load_state(module, each.masked_state())
    module.to(x.dtype)
    logits = module(x)
    names, params = zip(*module.named_parameters(), strict=True)
    return logits.detach(), dict(
        zip(names, torch.autograd.grad(F.cross_entropy(logits, y), params), strict=True)
    )


GROUPS = {
    "one": [0],
    "one group": [0, 0, 0],
    "a group each": [0, 1, 2],
    "even": [0, 0, 1, 1],
    "uneven": [0, 0, 1],
    "uneven, even on average": [0, 0, 0, 1, 1],
    "uneven and wide": [0, 0, 0, 1],
    "mixed": [0, 1, 0, 1],
    "mixed and uneven": [0, 1, 1, 0, 2],
}


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS.keys())
@pytest.mark.parametrize("name", ["mlp", "modules"])
def test_logits_and_gradients_are_those_of_autograd(name: str, groups: list[int]) -> None:
    arch = architecture("lenet-8-6", (2, 3), CLASSES)
    starts = [start(arch, r, sparse(arch, r)) for r in range(len(groups))]
    dtype = torch.float64
    engine, stack = engine_of(name, arch, starts, groups, dtype)
    generator = torch.Generator().manual_seed(1)
    count = max(groups) + 1
    x = torch.randn(count, 9, 2, 3, generator=generator, dtype=dtype)
    y = torch.randint(CLASSES, (count, 9), generator=generator)
    engine.backward(x, y, 0)
    logits, shared = engine.logits(x), engine.logits(x[:1])
    assert logits.shape == (len(groups), 9, CLASSES)
    for r, g in enumerate(groups):
        expected, gradients = by_hand(arch, starts[r], x[g], y[g])
        torch.testing.assert_close(logits[r], expected)
        torch.testing.assert_close(shared[r], by_hand(arch, starts[r], x[0], y[0])[0])
        for parameter, gradient in gradients.items():
            found = stack.params[parameter].grad
            assert found is not None
            torch.testing.assert_close(found[r], gradient, msg=lambda m, n=parameter: f"{n}: {m}")


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(6, CLASSES)),
        nn.Sequential(
            nn.Flatten(), nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, CLASSES, bias=False)
        ),
        nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, CLASSES)),
    ],
    ids=["one layer", "no bias", "two linears in a row"],
)
def test_every_chain_the_mlp_engine_holds_is_computed_right(model: nn.Module) -> None:
    arch = architecture(model, (6,), CLASSES)
    starts = [start(arch), start(arch, mask=sparse(arch))]
    engine, stack = engine_of("mlp", arch, starts, [0, 0], torch.float64)
    x, y = torch.randn(1, 7, 6, dtype=torch.float64), torch.arange(7)[None] % CLASSES
    engine.backward(x, y, 0)
    for r in range(2):
        expected, gradients = by_hand(arch, starts[r], x[0], y[0])
        torch.testing.assert_close(engine.logits(x)[r], expected)
        for name, gradient in gradients.items():
            torch.testing.assert_close(stack.params[name].grad[r], gradient)  # type: ignore[index]


class Doubled(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x)
        return 2 * out


def hooked() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, CLASSES))
    module[0].register_forward_hook(lambda _module, _inputs, out: 2 * out)
    return module


def frozen() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, CLASSES))
    module[0].weight.requires_grad_(False)
    return module


def tied(what: str) -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, CLASSES))
    setattr(module[2], what, getattr(module[0], what))
    return module


def one_relu() -> nn.Module:
    """One ReLU object in two places, as people write it."""
    act = nn.ReLU()
    return nn.Sequential(nn.Linear(6, 5), act, nn.Linear(5, 5), act, nn.Linear(5, CLASSES))


NOT_CHAINS = {
    "own forward": Doubled(nn.Linear(6, CLASSES)),
    "hook": hooked(),
    "frozen": frozen(),
    "shared weight": tied("weight"),
    "shared bias": tied("bias"),
    "same layer twice": (lambda fc: nn.Sequential(fc, nn.ReLU(), fc, nn.Linear(6, CLASSES)))(nn.Linear(6, 6)),
    "tanh": nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, CLASSES)),
    "dropout": nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.1), nn.Linear(5, CLASSES)),
    "norm": nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, CLASSES)),
    "ReLU at the end": nn.Sequential(nn.Linear(6, CLASSES), nn.ReLU()),
    "ReLU first": nn.Sequential(nn.ReLU(), nn.Linear(6, CLASSES)),
    "nested": nn.Sequential(nn.Sequential(nn.Linear(6, 5), nn.ReLU()), nn.Linear(5, CLASSES)),
    "late flatten": nn.Sequential(nn.Linear(6, 5), nn.Flatten(), nn.Linear(5, CLASSES)),
    "other": Odd(IMAGES, CLASSES),
}


@pytest.mark.parametrize("module", NOT_CHAINS.values(), ids=NOT_CHAINS.keys())
def test_the_mlp_engine_leaves_to_modules_what_is_no_plain_chain(module: nn.Module) -> None:
    assert chain(module) is None


def test_a_relu_that_stands_in_two_places_counts_in_both() -> None:
    layers = chain(one_relu())
    assert layers is not None
    assert [layer.relu for layer in layers] == [True, True, False]
    arch = architecture(one_relu, (6,), CLASSES)
    x = torch.randn(1, 5, 6, dtype=torch.float64)
    engine, _ = engine_of("mlp", arch, [start(arch)], [0], torch.float64)
    torch.testing.assert_close(
        engine.logits(x)[0], by_hand(arch, start(arch), x[0], torch.zeros(5).long())[0]
    )


def test_choosing_an_engine() -> None:
    lenet, odd = architecture("lenet-4", (6,), CLASSES), architecture(Odd, IMAGES, CLASSES)
    assert choose("auto", lenet, CPU) is ENGINES["sparse"]
    assert choose("mlp", lenet, CPU) is ENGINES["mlp"]
    assert choose("auto", odd, CPU) is ENGINES["modules"]
    assert choose("modules", lenet, CPU) is ENGINES["modules"]
    with pytest.raises(UserError, match=r"engine 'mlp' cannot hold .*Odd"):
        choose("mlp", odd, CPU)
    with pytest.raises(UserError, match="unknown engine 'module'; did you mean 'modules'"):
        choose("module", lenet, CPU)
