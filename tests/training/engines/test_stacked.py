"""The vectorised engine: every network as if alone, in what it computes and in what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.cases import also_slow
from support.no_sync import NoReadingMethod, NoReadingOperation
from support.rounding import assert_same_in_double, made_once
from support.training_parts import (
    CLASSES,
    CPU,
    IMAGES,
    Odd,
    arrays,
    recipe,
    resident,
    same,
    sparse,
    start,
)
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import load_state
from tombola.training.engines.base import ENGINES, PLAIN, Demand, Job
from tombola.training.engines.select import choose
from tombola.training.engines.stacked import StackedEngine
from tombola.training.loop import train_stack
from tombola.training.noise import Noise, swap_dropout
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.start import Start


def small_conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Dropout2d(0.2), nn.Flatten(), nn.Linear(36, 5), nn.ReLU(), nn.Dropout(0.4), nn.Linear(5, CLASSES),
    )  # fmt: skip


class Residual(nn.Module):
    """What is no sequence: a sum, group norm and layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.group, self.layer, self.head = nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = x + self.group(self.second(x)).relu()
        out: Tensor = self.head(self.layer(x.mean((2, 3))))
        return out


NETWORKS = {
    "mlp": ("lenet-7-5", (6,)),
    "conv": (small_conv, IMAGES),
    "residual": (Residual, IMAGES),
    "odd": (Odd, IMAGES),
}
every_network = pytest.mark.parametrize("what", NETWORKS)


@made_once
def network(what: str) -> Architecture:
    model, shape = NETWORKS[what]
    return architecture(model, shape, CLASSES)


def three(arch: Architecture, replicates: Sequence[int] = (0, 1, 2)) -> list[Start]:
    """Networks of other weights and masks each, two of three sparse."""
    inits = [arch.initial(start(arch, 10 + i).seeds.stream("init")) for i in range(3)]
    masks = [None, sparse(arch, 1), sparse(arch, 2, 0.3)]
    return [start(arch, r, m, state=s) for r, m, s in zip(replicates, masks, inits, strict=True)]


def engine_of(
    arch: Architecture, starts: list[Start], groups: Sequence[int], chosen: Recipe = PLAIN
) -> StackedEngine:
    return StackedEngine(Job(arch, Stack(arch, starts, CPU), groups, [11 + g for g in groups], chosen))


def by_hand(arch: Architecture, each: Start, key: int, x: Tensor, y: Tensor, smoothing: float = 0.0):
    """Gradients and the state after one training step's passes of the network alone, at iteration 3."""
    noise = Noise(key, CPU)
    noise.begin(3)
    module = arch.build()
    load_state(module, each.masked_state())
    module = swap_dropout(module, noise).train()
    log = F.log_softmax(module(x), dim=1)
    rest = smoothing / CLASSES * log.sum(1)
    loss = -((1 - smoothing) * log[torch.arange(len(y)), y] + rest).mean()
    names, params = zip(*module.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, params, materialize_grads=True)
    return module, dict(zip(names, found, strict=True))


@pytest.mark.usefixtures("float64")
@every_network
@pytest.mark.parametrize("groups", [[0, 0, 0], [0, 1, 2], [0, 1, 0]], ids=["shared", "one each", "mixed"])
def test_gradients_and_buffers_are_those_of_the_network_alone(what: str, groups: list[int]) -> None:
    arch = network(what)
    starts, count = three(arch), max(groups) + 1
    engine = engine_of(arch, starts, groups, recipe(label_smoothing=0.3))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 9, *arch.input_shape, generator=generator)
    y = torch.randint(CLASSES, (count, 9), generator=generator)
    before = {name: tensor.clone() for name, tensor in engine.stack.params.items()}
    engine.backward(x.clone(), y, 3)
    assert same(engine.stack.params, before)
    for r, g in enumerate(groups):
        module, gradients = by_hand(arch, starts[r], 11 + g, x[g].clone(), y[g], 0.3)
        found = {n: p.grad[r] for n, p in engine.stack.params.items() if p.grad is not None}
        assert_same_in_double(found, gradients)
        assert_same_in_double(
            {n: b[r] for n, b in engine.stack.buffers.items()}, dict(module.named_buffers())
        )
        logits = engine.logits(x)[r]
        torch.testing.assert_close(logits, module.eval()(x[g].clone()))
        torch.testing.assert_close(engine.logits(x[:1])[r], module(x[0].clone()))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("what", "replicates"),
    also_slow(
        [*((what, (0, 0, 1)) for what in NETWORKS), ("odd", (0, 0, 0)), ("odd", (0, 1, 2))],
        [(what, replicates) for what in NETWORKS for replicates in ((0, 0, 0), (0, 1, 2))],
    ),
)
def test_twenty_steps_end_as_alone_and_as_by_modules(what: str, replicates: tuple[int, ...]) -> None:
    arch = network(what)
    data, starts = resident(arrays(arch.input_shape)), three(arch, replicates)
    chosen = recipe(iterations=20, optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=0.01)
    together = train_stack(arch, starts, data, chosen, 5, engine="stacked")
    others = train_stack(arch, starts, data, chosen, 5, engine="modules")
    for each, found, other in zip(starts, together, others, strict=True):
        alone = train_stack(arch, [each], data, chosen, 5, engine="stacked")[0]
        assert_same_in_double(found.end, alone.end)
        assert_same_in_double(found.end, other.end)
        assert found.history["loss"] == pytest.approx(other.history["loss"], rel=1e-8)
        for name in arch.prunable:
            assert (found.end[name][~each.mask[name]] == 0).all()


def test_being_measured_changes_no_buffer() -> None:
    arch = network("odd")
    engine = engine_of(arch, three(arch), [0, 0, 0])
    engine.backward(torch.randn(1, 8, *IMAGES), torch.zeros(1, 8, dtype=torch.int64), 0)
    before = {name: tensor.clone() for name, tensor in engine.stack.tensors().items()}
    engine.logits(torch.randn(1, 8, *IMAGES))
    assert same(engine.stack.tensors(), before)


@pytest.mark.usefixtures("float64")
@every_network
def test_a_network_that_is_not_finite_leaves_the_others_alone(what: str) -> None:
    arch = network(what)
    x, y = torch.randn(1, 9, *arch.input_shape), torch.arange(9)[None] % CLASSES
    gradients, buffers = [], []
    for broken in (False, True):
        engine = engine_of(arch, three(arch), [0, 0, 0])
        if broken:
            for param in engine.stack.params.values():
                param[1] = torch.nan
        engine.backward(x, y, 3)
        gradients.append({n: p.grad[[0, 2]] for n, p in engine.stack.params.items() if p.grad is not None})
        buffers.append({n: b[[0, 2]] for n, b in engine.stack.buffers.items()})
    assert_same_in_double(*gradients)
    assert_same_in_double(*buffers)
    assert not any(g.isnan().any() for g in gradients[1].values())


def test_a_frozen_parameter_has_no_gradient_and_stays() -> None:
    def half_frozen() -> nn.Module:
        module = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, CLASSES))
        module[0].weight.requires_grad_(False)
        return module

    arch = architecture(half_frozen, (6,), CLASSES)
    starts = three(arch)
    trained = train_stack(arch, starts, resident(), recipe(weight_decay=0.1), 5, engine="stacked")
    for each, found in zip(starts, trained, strict=True):
        assert torch.equal(found.end["0.weight"], each.masked_state()["0.weight"])
        assert not torch.equal(found.end["0.bias"], each.state["0.bias"])


@every_network
def test_bfloat16_computes_in_half_the_bits_and_keeps_float32(what: str) -> None:
    arch = network(what)
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(1, 9, *arch.input_shape, generator=generator), torch.arange(9)[None] % CLASSES
    full, half = (
        engine_of(arch, three(arch), [0, 0, 0], recipe(precision=precision))
        for precision in ("float32", "bfloat16")
    )
    outputs: list[Tensor] = []
    for layer in half._module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _inputs, out: outputs.append(out))
    for engine in (full, half):
        engine.backward(x, y, 3)
    assert len(outputs) >= 2
    assert {out.dtype for out in outputs} == {torch.bfloat16}
    assert {t.dtype for t in half.stack.tensors().values()} <= {torch.float32, torch.int64}
    assert {p.grad.dtype for p in half.stack.params.values() if p.grad is not None} == {torch.float32}
    logits = half.logits(x)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, logits.bfloat16().float())  # the last layer's output was in half the bits
    difference = (logits - full.logits(x)).abs().max()
    assert 0 < difference < 0.1


def test_steps_and_evaluations_read_nothing() -> None:
    arch = network("odd")
    engine = engine_of(arch, three(arch), [0, 1, 0])
    x, y = torch.randn(2, 9, *IMAGES), torch.zeros(2, 9, dtype=torch.int64)
    with NoReadingOperation(), NoReadingMethod():
        engine.backward(x, y, 3)
        engine.logits(x)


# --- what it holds -----------------------------------------------------------------------------------------


class Own(nn.Module):
    """x goes through a function of the module's own before the one layer."""

    def __init__(self, change: Callable[[Own, Tensor], Tensor]) -> None:
        super().__init__()
        self.change, self.fc = change, nn.Linear(6, CLASSES)
        self.shift = nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.change(self, x))
        return out


REFUSED: dict[str, Callable[[Own, Tensor], Tensor]] = {
    "noise of torch's": lambda net, x: F.dropout(x, 0.5, net.training),
    "noise of torch's without x": lambda net, x: x + torch.rand(6),
    "a branch on values": lambda net, x: x if net.shift.sum() < 1 else -x,
    "a value read": lambda net, x: x * float(net.shift.sum() + 1),
    "a shape of values": lambda net, x: x[:, (net.shift < 1).nonzero()[:, 0]],
    "a shared batch overwritten": lambda net, x: x.add_(net.shift),
    "an operation that runs network by network": lambda net, x: x + torch.histc(net.shift.detach(), 6),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_vectorised_is_refused(change: Callable[[Own, Tensor], Tensor]) -> None:
    arch = architecture(lambda: Own(change), (6,), CLASSES)
    before = torch.random.get_rng_state()
    assert not StackedEngine.holds(arch, CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


class Listed(nn.Module):
    """Weights that a forward finds in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, CLASSES)
        self.weights = [self.a.weight, self.b.weight]

    def forward(self, x: Tensor) -> Tensor:
        return (
            F.linear(F.linear(x, self.weights[0]).relu(), self.weights[1])
            + self.b.bias
            + self.a.bias[:CLASSES]
        )


def test_weights_in_a_plain_list_are_refused() -> None:
    """torch.func puts those of a stack where the names are."""
    assert not StackedEngine.holds(architecture(Listed, (6,), CLASSES), CPU)


def test_batch_norm_that_averages_by_count_is_refused() -> None:
    arch = architecture(lambda: nn.Sequential(nn.BatchNorm1d(6, momentum=None), nn.Linear(6, 3)), (6,), 3)
    assert not StackedEngine.holds(arch, CPU)


@every_network
def test_what_can_be_vectorised_is_held_in_every_precision_and_with_pins(what: str) -> None:
    arch = network(what)
    assert ENGINES["stacked"] is StackedEngine
    for precision in ("float32", "bfloat16"):
        assert StackedEngine.holds(arch, CPU, Demand(recipe(precision=precision), pinned=True))


def test_a_gpu_gets_it_after_mlp_and_a_cpu_by_name_alone() -> None:
    cuda = torch.device("cuda")
    assert choose("auto", network("mlp"), cuda).name == "mlp"
    for what in ("conv", "residual", "odd"):
        assert choose("auto", network(what), cuda) is StackedEngine
        assert choose("auto", network(what), CPU) is not StackedEngine
        assert choose("stacked", network(what), CPU) is StackedEngine


def test_a_gpu_that_gets_the_slow_engine_is_told_so() -> None:
    noisy = architecture(lambda: Own(REFUSED["noise of torch's"]), (6,), CLASSES)
    with pytest.warns(UserWarning, match="cannot be computed for a whole stack at once, so engine 'modules'"):
        assert choose("auto", noisy, torch.device("cuda")).name == "modules"
    assert choose("auto", noisy, CPU).name == "modules"  # no warning: convolutions on a CPU do best with it
