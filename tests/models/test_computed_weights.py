"""Layers that do not multiply with their weight but with a tensor made from it: refused where zeros are lost."""

from __future__ import annotations

from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tombola.errors import UserError
from tombola.models.architecture import architecture

IMAGES = (2, 6, 6)


def standardised(weight: Tensor) -> Tensor:
    """Weight standardisation (Qiao et al. 2019)."""
    flat = weight.flatten(1)
    return ((flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True)).view(weight.shape)


class StandardisedConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, standardised(self.weight), self.bias)


class CentredByData(nn.Conv2d):
    """Out of autograd's sight."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight.detach() - self.weight.detach().mean(), self.bias)


class Scaled(nn.Conv2d):
    """An equalised learning rate: what is zero stays zero."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(input=x, weight=self.weight * 0.5, bias=self.bias)


class Flipped(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight.flip(2, 3).contiguous(), self.bias)


def with_layer(layer: type[nn.Conv2d]) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), layer(4, 5, 3), nn.Flatten(), nn.Linear(20, 3))


class FromOutside(nn.Module):
    """The network computes with its layer's weight, not the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 6), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, standardised(self.conv.weight)).flatten(1)
        out: Tensor = self.head(x)
        return out


@pytest.mark.parametrize(
    ("factory", "layer"),
    [
        (lambda: with_layer(StandardisedConv), "2"),
        (lambda: with_layer(CentredByData), "2"),
        (FromOutside, "conv"),
    ],
    ids=["in the layer", "without a gradient", "from outside"],
)
@pytest.mark.parametrize("built", [False, True], ids=["factory", "instance"])
def test_a_weight_that_is_computed_is_refused(factory, layer: str, built: bool) -> None:
    words = f"layer '{layer}' does not multiply with its weight but with a tensor that it computes from it"
    with pytest.raises(UserError, match=words):
        architecture(factory() if built else factory, IMAGES, 3)


@pytest.mark.parametrize("layer", [nn.Conv2d, Scaled, Flipped])
def test_zeros_that_stay_zeros_pass(layer: type[nn.Conv2d]) -> None:
    assert architecture(lambda: with_layer(layer), IMAGES, 3).prunable == ("0.weight", "2.weight", "4.weight")


class Welcome(nn.Module):
    """A transposed weight, one tied to an embedding, attention's own, one made by another layer, a fixed blur."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.tied = nn.Embedding(6, 6), nn.Linear(6, 6, bias=False)
        self.tied.weight = self.embed.weight
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.back, self.maker, self.head = nn.Linear(6, 6), nn.Linear(6, 36), nn.Linear(6, 3)
        self.seed = nn.Parameter(torch.ones(6))
        self.register_buffer("blur", torch.ones(1, 1, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None] + self.embed(torch.arange(4))
        x = F.conv1d(x.flatten(0, 1)[:, None], cast(Tensor, self.blur) / 3, padding=1).view(-1, 4, 6)
        x = self.attention(x, x, x)[0].mean(1)
        x = F.linear(self.tied(x), self.back.weight.t())
        out: Tensor = self.head(F.linear(x, self.maker(self.seed).view(6, 6)))
        return out


def test_other_ways_to_use_a_weight_pass() -> None:
    names = {"embed.weight", "attention.out_proj.weight", "back.weight", "maker.weight", "head.weight"}
    assert set(architecture(Welcome, (6,), 3).prunable) == names
    assert not architecture(Welcome(), (6,), 3).can_reinit
