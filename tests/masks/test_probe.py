"""Probes against autograd written out, on networks with batch norm, dropout and attention."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from support.mask_networks import conv, net
from tombola.errors import UserError
from tombola.files import digest_of
from tombola.masks.mask import Mask
from tombola.masks.probe import Probe, balanced_batch
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.models.state import State, load_state, prunable, state_of
from tombola.seeds import stream


def thinned(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Mask:
    rng = stream("mask", seed)
    return Mask({name: torch.from_numpy(rng.random(shape) < 0.7) for name, shape in shapes.items()})


def batch(n: int = 12) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(stream("batch").standard_normal((n, 2, 4, 4))), torch.arange(n) % 3


def double(state: State) -> State:
    return {name: value.double() if value.is_floating_point() else value for name, value in state.items()}


def test_the_gradient_is_that_of_a_training_step_without_dropout_at_dead_weights_too() -> None:
    of, (x, y) = net("conv"), batch()
    state, mask = double(of.state(0)), thinned(of.shapes)
    found = Probe(conv(), x, y, state, mask).gradient
    plain = conv().double()
    load_state(plain, mask.apply(state))
    plain.train()
    plain.drop.p = 0.0
    F.cross_entropy(plain(x), y).backward()
    for name, parameter in plain.named_parameters():
        if name in mask:
            assert torch.allclose(found[name], parameter.grad, rtol=1e-10, atol=1e-14)
            assert found[name][~mask[name]].abs().max() > 0
    assert found.keys() == set(mask)


def test_the_product_is_that_of_the_whole_hessian_over_living_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()
    state = {
        name: torch.randn(value.shape, generator=generator).double() if value.is_floating_point() else value
        for name, value in state_of(module).items()
    }
    x, y = torch.randn(6, 3, generator=generator).double(), torch.tensor([0, 1, 1, 0, 1, 0])
    mask = thinned({name: tuple(state[name].shape) for name in prunable(module)})
    masked = mask.apply(state)

    def loss(first: Tensor, second: Tensor) -> Tensor:
        module.train()
        # Norm statistics that the step would change are copies.
        tensors = {name: value.clone() for name, value in masked.items()}
        logits = functional_call(module, tensors | {"0.weight": first, "3.weight": second}, (x,))
        return F.cross_entropy(logits / 5.0, y)

    at = (masked["0.weight"], masked["3.weight"])
    blocks = torch.autograd.functional.hessian(loss, at)
    gradients = torch.autograd.functional.jacobian(loss, at)
    living = [
        gradient * mask[name] for gradient, name in zip(gradients, ("0.weight", "3.weight"), strict=True)
    ]
    found = Probe(module, x, y, state, mask).hessian_gradient(5.0)
    for row, name in enumerate(("0.weight", "3.weight")):
        expected = sum(torch.tensordot(blocks[row][c], living[c], dims=living[c].dim()) for c in (0, 1))
        assert torch.allclose(found[name], expected, rtol=1e-9, atol=1e-13)
        assert found[name].abs().max() > 1e-6


def test_the_temperature_is_part_of_the_question() -> None:
    of, (x, y) = net("conv"), batch()
    probe = Probe(conv(), x, y, double(of.state(0)), of.dense)
    cold, hot, again = (probe.hessian_gradient(t)["out.weight"] for t in (1.0, 200.0, 1.0))
    assert cold is again, "worked out once"
    assert hot.abs().max() < cold.abs().max() / 100


def test_flow_is_conserved_from_layer_to_layer() -> None:
    # Without biases each layer's scores add up to the sum of the outputs (Tanaka et al. 2020, section 4), which for
    # an input of ones is that of the product of absolute weights.
    rng = stream("flow")
    module = nn.Sequential(nn.Linear(3, 5, bias=False), nn.ReLU(), nn.Linear(5, 2, bias=False))
    state = {
        name: torch.from_numpy(rng.standard_normal(value.shape)) for name, value in state_of(module).items()
    }
    mask = thinned({name: tuple(value.shape) for name, value in state.items()})
    flow = Probe(module, torch.zeros(1, 3), torch.tensor([0]), state, mask).flow
    first, second = (mask.apply(state)[name].abs().numpy() for name in ("0.weight", "2.weight"))
    total = (second @ first @ np.ones(3)).sum()
    assert total > 0.1
    assert [float(flow[name].sum()) for name in flow] == pytest.approx([total, total], rel=1e-12)
    assert flow["0.weight"].numpy() == pytest.approx(first * second.sum(0)[:, None], rel=1e-12)
    assert (flow["0.weight"][~mask["0.weight"]] == 0).all()


def test_flow_goes_through_batch_norm_as_in_evaluation_and_does_not_overflow() -> None:
    layers = [nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.Linear(2, 1, bias=False)]
    module = nn.Sequential(*layers)
    state = state_of(module)
    state |= {
        "0.weight": torch.tensor([[-1e30, 2e30], [3e30, 0.0]]),
        "2.weight": torch.tensor([[1e30, -5e30]]),
    }
    state |= {"1.weight": torch.tensor([-2.0, 1.0]), "1.running_var": torch.tensor([4.0, 1.0])}
    mask = Mask({name: torch.ones(tuple(state[name].shape)) > 0 for name in ("0.weight", "2.weight")})
    flow = Probe(module, torch.zeros(1, 2), torch.tensor([0]), state, mask).flow
    # Norms multiply by 2 / sqrt(4) and 1 / sqrt(1), to the fifth digit; outputs by 1e30 and 5e30.
    assert (flow["0.weight"] / 1e60).numpy() == pytest.approx(np.array([[1.0, 2.0], [15.0, 0.0]]), rel=1e-4)


@pytest.mark.parametrize("criterion", ["gradient", "snip", "grasp", "synflow"])
def test_a_probing_changes_nothing_and_draws_nothing(criterion: str) -> None:
    of, module = net("conv"), conv()
    module.train()
    module.norm1.eval()
    state, mask = of.state(0), thinned(of.shapes)
    x, y = (tensor.float() if tensor.is_floating_point() else tensor for tensor in batch())
    everything = [state, mask, state_of(module), {"x": x, "y": y}, {"rng": torch.get_rng_state()}]
    modes = [part.training for part in module.modules()]
    before = [digest_of(tensors) for tensors in everything]

    def probing() -> Mask:
        rates = dict.fromkeys(mask, 0.3)
        rule = PruneRule(criterion=criterion)
        return Pruner(rule, rates, stream(0), lambda s, m: Probe(module, x, y, s, m)).by_rate(
            mask, state, state
        )

    first, second = probing(), probing()
    assert first == second
    everything = [state, mask, state_of(module), {"x": x, "y": y}, {"rng": torch.get_rng_state()}]
    assert [digest_of(tensors) for tensors in everything] == before
    assert [part.training for part in module.modules()] == modes


def test_one_answer_does_not_change_another() -> None:
    # A training step would move the norm statistics, which the flow depends on.
    of, (x, y) = net("conv"), batch()
    first, second = (Probe(conv(), x, y, double(of.state(0)), of.dense) for _ in range(2))
    assert first.gradient["out.weight"].abs().max() > 0
    assert first.hessian_gradient(1.0)["out.weight"].abs().max() > 0
    assert all(torch.equal(first.flow[name], second.flow[name]) for name in of.shapes)


@pytest.mark.parametrize("criterion", ["gradient", "snip", "grasp", "synflow"])
def test_the_network_is_scored_at_its_final_weights(criterion: str) -> None:
    of, rule = net("mlp"), PruneRule(criterion=criterion, rate=0.5)
    masks = [
        Pruner(rule, dict.fromkeys(of.shapes, 0.5), stream(0), of.probe).by_rate(
            of.dense, of.state(a), of.state(b)
        )
        for a, b in ((0, 1), (1, 1), (0, 0))
    ]
    assert masks[0] == masks[1] != masks[2]


class Attention(nn.Module):
    """One head over two tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.out = nn.Linear(4, 12), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.mix(x).chunk(3, dim=-1)
        return self.out(F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None]).flatten(1))


def test_attention_has_a_second_derivative() -> None:
    module = Attention()
    state = state_of(module)
    x = torch.from_numpy(stream("tokens").standard_normal((6, 2, 4))).float()
    mask = Mask.dense({name: tuple(state[name].shape) for name in prunable(module)})
    product = Probe(module, x, torch.arange(6) % 3, state, mask).hessian_gradient(1.0)
    assert all(value.abs().max() > 0 for value in product.values())


def test_a_state_that_does_not_fit_is_told() -> None:
    of, (x, y) = net("conv"), batch()
    state = of.state(0)
    with pytest.raises(UserError, match=r"state lacks 'norm1.bias' of the network"):
        Probe(conv(), x, y, {name: v for name, v in state.items() if name != "norm1.bias"}, of.dense)
    with pytest.raises(UserError, match=r"state holds 'norm9.bias', which the network does not have"):
        Probe(conv(), x, y, state | {"norm9.bias": torch.zeros(2)}, of.dense)


def test_synflow_goes_down_in_a_hundred_rounds_and_looks_anew_in_each() -> None:
    of, seen = net("mlp"), []

    def watched(state: State, mask: Mask) -> Probe:
        seen.append(mask.count())
        return of.probe(state, mask)

    rule = PruneRule(criterion="synflow", allocation="global", rate=0.9)
    state = of.state(0)
    after = Pruner(rule, dict.fromkeys(of.shapes, 0.9), stream(0), watched).by_rate(of.dense, state, state)
    # 216 weights, 194 to go; what is left after k rounds is 216 * (22 / 216) ** (k / 100), to the nearest weight.
    left = [round(216 * (22 / 216) ** (k / 100)) for k in range(101)]
    assert after.count() == left[100] == 22
    # A round in which no weight falls looks at nothing.
    assert seen == [before for before, now in itertools.pairwise(left) if now != before]


def test_synflow_in_rounds_keeps_every_layer_where_one_shot_loses_one() -> None:
    # 40 and 4 weights, 3 are left. Both layers carry the same flow, so that each weight of the larger layer has less.
    rng = stream("collapse")
    module = nn.Sequential(nn.Linear(10, 4, bias=False), nn.Linear(4, 1, bias=False))
    state = {
        name: torch.from_numpy(rng.random(value.shape) + 1.0) for name, value in state_of(module).items()
    }
    dense = Mask.dense({name: tuple(value.shape) for name, value in state.items()})
    rule = PruneRule(criterion="synflow", allocation="global")
    rates = dict.fromkeys(dense, 0.93)

    def probe(s: State, m: Mask) -> Probe:
        return Probe(module, torch.zeros(1, 10), torch.tensor([0]), s, m)

    assert (10 * 4 + 4) - round(0.93 * 44) == 3
    mask = Pruner(rule, rates, stream(0), probe).by_rate(dense, state, state)
    assert mask.count() == 3
    assert not mask.empty_layers()
    flow = probe(state, dense).flow
    assert flow["0.weight"].max() < flow["1.weight"].min(), "one look would take all of the first layer"


def test_a_batch_has_so_many_of_each_class() -> None:
    labels = np.array([2, 0, 1, 0, 1, 2, 2, 0, 1, 2])
    drawn = balanced_batch(labels, 3, stream(0))
    assert labels[drawn].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert len(set(drawn.tolist())) == 9
    assert drawn.dtype == np.int64
    assert np.array_equal(balanced_batch(labels, 3, stream(0)), drawn)
    twos = {tuple(sorted(balanced_batch(labels, 3, stream(seed))[6:])) for seed in range(40)}
    # Four ways to leave out one of four; 40 fair draws miss one with a chance of 4 * 0.75**40.
    assert len(twos) == 4
    with pytest.raises(UserError, match="class 0 has 3 training examples, expected 4"):
        balanced_batch(labels, 4, stream(0))


class Single(nn.Module):
    """Makes tensors of float32 as it computes, and holds a table of indices, a mask of truths and one of -inf."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(3, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.fixed = torch.eye(2) * scale
        self.register_buffer("order", torch.tensor([0, 1, 2]))
        self.register_buffer("keep", torch.tensor([True, True, False]))
        self.register_buffer("hidden", torch.tensor([0.0, -torch.inf]))

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, self.order] * self.keep
        x = F.linear(self.fc(x), self.fixed).squeeze()  # no batch of one either
        out: Tensor = self.out(
            x * (2 * torch.softmax(torch.stack([self.hidden, self.hidden[:1].expand(2)]), 1)[1])
        )
        return out


def flow_of(module: nn.Module) -> State:
    state = state_of(module) | {
        "fc.weight": torch.tensor([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]]),
        "out.weight": torch.tensor([[1.0, -1.0], [2.0, 3.0]]),
    }
    mask = Mask({name: torch.ones(tuple(state[name].shape)) > 0 for name in ("fc.weight", "out.weight")})
    return Probe(module, torch.zeros(1, 3), torch.tensor([0]), state, mask).flow


def test_flow_is_taken_in_the_precision_that_a_network_can_compute_in() -> None:
    found = flow_of(Single())
    # The third input is kept out; columns of the second matrix add up to 3 and 4.
    assert found["fc.weight"].tolist() == pytest.approx(np.array([[3.0, 6.0, 0.0], [16.0, 20.0, 0.0]]))
    assert found["out.weight"].tolist() == pytest.approx(np.array([[3.0, 9.0], [6.0, 27.0]]))
    assert found["fc.weight"].dtype == torch.float32


def test_a_flow_beyond_that_precision_is_told_in_a_sentence() -> None:
    with pytest.raises(
        UserError, match=r"flow through '.*' is too large for float32, and the network cannot compute"
    ):
        flow_of(Single(3e38))

    class Broken(Single):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("ones")

    with pytest.raises(UserError, match=r"no synaptic flow: .* fails on inputs of ones \(KeyError: 'ones'\)"):
        flow_of(Broken())
