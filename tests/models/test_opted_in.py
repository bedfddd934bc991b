"""Matrices that are prunable because a pattern names them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.models.spec import ModelSpec
from tombola.models.state import prunable, roles_of


class Encoder(nn.Module):
    """An embedding that the head shares, attention, a GRU, and parameters that no layer holds."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(7, 4)
        self.places = nn.Parameter(torch.zeros(1, 5, 4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True, add_bias_kv=True)
        self.norm = nn.LayerNorm((5, 4))
        self.cell = nn.GRU(4, 4, batch_first=True)
        self.scale = nn.Parameter(torch.ones(4))
        self.index = nn.Parameter(torch.zeros(2, 2, dtype=torch.int64), requires_grad=False)
        self.mix = nn.Linear(4, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.emb.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids) + self.places
        x = self.norm(x + self.attention(x, x, x)[0])
        out: Tensor = self.head(self.mix(self.cell(x)[0][:, -1] * self.scale))
        return out


PLAIN = ("attention.out_proj.weight", "mix.weight", "emb.weight")


def test_without_patterns_nothing_is_added() -> None:
    assert prunable(Encoder()) == PLAIN
    assert roles_of(Encoder()) == dict(zip(PLAIN, ("linear", "linear", "output"), strict=True))


def test_patterns_add_matrices_in_module_order_and_leave_the_roles_of_others() -> None:
    patterns = ["*in_proj_weight", "cell.weight_??_l0", "places"]
    assert prunable(Encoder(), patterns) == (
        "places",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "cell.weight_ih_l0",
        "cell.weight_hh_l0",
        "mix.weight",
        "emb.weight",
    )
    roles = roles_of(Encoder(), patterns)
    assert {name: roles[name] for name in PLAIN} == roles_of(Encoder())
    assert {roles[name] for name in roles if name not in PLAIN} == {"matrix"}


@pytest.mark.parametrize("name", ["emb.weight", "head.weight"])
def test_a_shared_weight_that_is_prunable_anyhow_stays_what_it_is(name: str) -> None:
    assert roles_of(Encoder(), [name]) == roles_of(Encoder())


def test_a_matrix_matches_under_each_of_its_names() -> None:
    module = nn.Module()
    module.one, module.two, module.out = nn.Embedding(3, 4), nn.Embedding(3, 4), nn.Linear(2, 2)
    module.two.weight = module.one.weight
    assert prunable(module, ["two.*"]) == ("one.weight", "out.weight")


REFUSED = [
    ("atention.in_proj_weight", "matches no parameter of Encoder; did you mean 'attention.in_proj_weight'"),
    ("cell.*", "'cell.\\*' matches 'cell.bias_ih_l0', which is a bias; did you mean 'cell.weight_ih_l0'"),
    ("attention.bias_k", "which is a bias"),
    ("norm.weight", "matches 'norm.weight', which belongs to a norm"),
    ("scale", "matches 'scale', which has 1 axis, expected matrices of two or more"),
    ("index", "matches 'index', which holds int64, expected floating-point numbers"),
]


@pytest.mark.parametrize(("pattern", "sentence"), REFUSED)
def test_what_cannot_be_pruned_is_named_with_the_nearest(pattern: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        prunable(Encoder(), [pattern])


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (parametrizations.orthogonal, "0.parametrizations.weight.original"),
        (lambda layer: prune.identity(layer, "weight"), "0.weight_orig"),
    ],
)
def test_what_another_weight_is_computed_from_is_refused(wrap, name: str) -> None:
    module = nn.Sequential(wrap(nn.Embedding(4, 4)), nn.Linear(4, 4))
    with pytest.raises(UserError, match="from which a weight is computed; remove that before pruning"):
        prunable(module, [name])


def test_a_network_of_nothing_else_has_something_to_prune() -> None:
    class Bilinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.form = nn.Bilinear(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.form(x, x)
            return out

    with pytest.raises(UserError, match="there is nothing to prune"):
        architecture(Bilinear, (4,), 3)
    arch = architecture(Bilinear, (4,), 3, prune=["form.weight"])
    assert (arch.prunable, arch.roles) == (("form.weight",), {"form.weight": "matrix"})
    assert arch.can_reinit, "other seeds give other matrices"


def test_a_spec_and_the_call_add_their_patterns() -> None:
    ids = torch.zeros(2, 5, dtype=torch.int64)
    spec = ModelSpec(name=f"{__name__}:Encoder", prune=("places",))
    both = architecture(spec, (5,), 7, ids, prune=["cell.weight_hh_l0"])
    assert set(both.prunable) == {*PLAIN, "places", "cell.weight_hh_l0"}
