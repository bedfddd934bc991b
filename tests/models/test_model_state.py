"""What is prunable, and that a state is never aliased."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from tombola.errors import UserError
from tombola.models.state import load_state, prunable, roles_of, state_of


class Zoo(nn.Module):
    """One of everything that has a `weight`, with Linear and Conv layers in between."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.norm = nn.BatchNorm2d(4)
        self.dilated = nn.Conv1d(4, 2, 3, dilation=2, bias=False)
        self.up = nn.ConvTranspose2d(4, 2, 2)
        self.layernorm = nn.LayerNorm(4)
        self.slope = nn.PReLU(4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.head = nn.Linear(4, 3)


def test_prunable_is_by_type_and_in_module_order() -> None:
    # The attention's projection of inputs is a bare parameter, its output projection a Linear.
    expected = ("depthwise.weight", "dilated.weight", "up.weight", "attention.out_proj.weight", "head.weight")
    assert prunable(Zoo()) == expected


def test_roles_name_the_last_linear_weight_the_output() -> None:
    assert roles_of(Zoo()) == {
        "depthwise.weight": "conv",
        "dilated.weight": "conv",
        "up.weight": "conv",
        "attention.out_proj.weight": "linear",
        "head.weight": "output",
    }


def test_a_network_that_ends_in_a_convolution_has_no_output() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Conv2d(1, 1, 1))
    assert roles_of(module) == {"0.weight": "linear", "1.weight": "conv"}


def test_a_lone_layer_is_the_output() -> None:
    assert roles_of(nn.Linear(2, 2)) == {"weight": "output"}


def test_shared_weights_are_named_once() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    module = nn.Sequential(first, second, first)
    assert prunable(module) == ("0.weight",)
    assert list(state_of(module)) == ["0.weight", "0.bias", "1.bias"]


def test_a_weight_tied_to_an_embedding_has_the_name_the_state_knows() -> None:
    module = nn.Module()
    module.embed, module.head = nn.Embedding(5, 4), nn.Linear(4, 5)
    module.head.weight = module.embed.weight
    assert prunable(module) == ("embed.weight",)
    assert set(prunable(module)) <= set(state_of(module))


@pytest.mark.parametrize(
    "wrap",
    [
        parametrizations.weight_norm,
        lambda layer: prune.identity(layer, "weight"),
    ],
)
def test_a_computed_weight_is_refused(wrap) -> None:
    module = nn.Sequential(nn.ReLU(), wrap(nn.Linear(2, 2)))
    with pytest.raises(UserError, match="layer '1' computes its weight"):
        prunable(module)


def test_state_holds_parameters_and_buffers() -> None:
    names = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert set(state_of(nn.BatchNorm1d(3))) == names


def test_training_on_leaves_the_state_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    state = state_of(module)
    before = {name: value.clone() for name, value in state.items()}
    module(torch.randn(4, 2)).square().sum().backward()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    assert all(torch.equal(state[name], before[name]) for name in before)
    assert not any(value.requires_grad for value in state.values())


def test_load_state_puts_back_every_bit_and_does_not_alias() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    state = state_of(module)
    places = {name: tensor.data_ptr() for name, tensor in module.named_parameters()}
    module(torch.randn(4, 2))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    load_state(module, state)
    assert all(torch.equal(value, state[name]) for name, value in state_of(module).items())
    # The module's own tensors were filled, not replaced (an optimizer holds on to them) and not by reference.
    assert {name: tensor.data_ptr() for name, tensor in module.named_parameters()} == places
    with torch.no_grad():
        module[0].bias.fill_(7)
    assert not (state["0.bias"] == 7).any()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state.update(wieght=torch.zeros(2)), "state holds 'wieght'.*did you mean 'weight'"),
        (lambda state: state.pop("bias"), "state lacks 'bias' of Linear"),
        (lambda state: state.update(bias=torch.zeros(3)), r"'bias' has shape \(3,\), expected \(2,\)"),
    ],
)
def test_a_state_of_another_network_is_refused_and_changes_nothing(change, sentence) -> None:
    module = nn.Linear(2, 2)
    before = state_of(module)
    state = {name: value + 1 for name, value in before.items()}
    change(state)
    with pytest.raises(UserError, match=sentence):
        load_state(module, state)
    assert all(torch.equal(value, before[name]) for name, value in state_of(module).items())
