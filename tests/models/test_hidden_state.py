"""Networks that are more than their parameters and buffers: layers in plain lists, what is drawn at building."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tombola.errors import UserError
from tombola.models.architecture import architecture


class Net(nn.Module):
    """Two layers, and a place for trouble."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.fc(x).relu())
        return out


class InList(Net):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [nn.Linear(6, 6), nn.Linear(6, 6)]

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x).relu()
        return super().forward(x)


class AllInList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [nn.Linear(6, 6), nn.Linear(6, 3)]

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class FrozenInList(InList):
    def __init__(self) -> None:
        super().__init__()
        for block in self.blocks:
            block.requires_grad_(False)


class InDict(Net):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Identity())
        self.inner.by_name = {"first": [nn.Linear(6, 6)]}

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.inner.by_name["first"][0](x))


class ParametersInList(Net):
    def __init__(self) -> None:
        super().__init__()
        self.scales = [nn.Parameter(torch.ones(6))]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.scales[0])


class TrainedTensor(Net):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.randn(6, requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.scale)


class PlainTensor(Net):
    def __init__(self) -> None:
        super().__init__()
        self.order = torch.randperm(6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, self.order])


class DrawnFunction(Net):
    def __init__(self) -> None:
        super().__init__()
        self.act = random.choice([F.relu, torch.tanh, F.gelu])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.act(self.fc(x)))
        return out


def drawn_layer() -> nn.Module:
    """Whose weights follow the seed all the same."""
    act = nn.ReLU() if torch.rand(()) < 0.5 else nn.Tanh()
    return nn.Sequential(nn.Linear(6, 6), act, nn.Linear(6, 3))


def drawn_rate() -> nn.Module:
    """Seen in training alone."""
    return nn.Sequential(nn.Dropout(float(torch.rand(()))), nn.Linear(6, 3))


class DrawnInside(Net):
    """Where nobody can look."""

    def __init__(self) -> None:
        super().__init__()
        order = torch.randperm(6)
        self.permute = lambda x: x[:, order]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.permute(x))


class Remembers(Net):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


LOST = "are not registered and would be neither trained nor saved; use nn."
DIFFERENT = "two builds with the same parameters and buffers compute different things: "


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (AllInList, f"the layers in the plain list 'blocks' {LOST}ModuleList"),
        (InList, f"the layers in the plain list 'blocks' {LOST}ModuleList"),
        (FrozenInList, f"{DIFFERENT}the layers in the plain list 'blocks' are not registered; use nn.ModuleList"),
        (InDict, f"the layers in the plain dict 'inner.by_name' {LOST}ModuleDict"),
        (ParametersInList, f"the tensors in the plain list 'scales' {LOST}ParameterList"),
        (TrainedTensor, "the tensor 'scale' is not registered and would .* nor saved; use nn.Parameter"),
        (PlainTensor, f"{DIFFERENT}the tensor 'order' is not registered; use register_buffer"),
        (DrawnFunction, rf"{DIFFERENT}'act' is (relu|tanh|gelu) in one and (relu|tanh|gelu) in another"),
        (drawn_layer, rf"{DIFFERENT}'1' is (ReLU|Tanh)\(\) in one and (ReLU|Tanh)\(\) in another"),
        (drawn_rate, rf"{DIFFERENT}'0' is Dropout\(p=.*\) in one and Dropout\(p=.*\) in another"),
        (DrawnInside, f"{DIFFERENT}something that is drawn when the network is built"),
        (Remembers, r"gave two outputs \(it draws noise .*, or remembers earlier calls outside of its buffers\)"),
    ],
)  # fmt: skip
def test_a_factory_whose_networks_are_more_than_their_state_is_refused(factory, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^model '.*:{factory.__name__}'.*{sentence}") as caught:
        architecture(factory, (6,), 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("factory", [InList, TrainedTensor, Remembers])
def test_an_instance_is_refused_for_what_can_be_seen_of_it(factory) -> None:
    with pytest.raises(UserError, match=f"model '{factory.__name__}'"):
        architecture(factory(), (6,), 3)


class Teacher(Net):
    """Holds its own layers in lists, and constants and a fixed layer beside them, which are the same in every build."""

    def __init__(self) -> None:
        super().__init__()
        self.order = [self.fc, (self.out,)]
        self.weights = {"first": self.fc.weight}
        self.scale = torch.arange(6.0)
        fixed = nn.Linear(6, 6).requires_grad_(False)
        nn.init.eye_(fixed.weight)
        nn.init.zeros_(fixed.bias)
        self.fixed = [fixed]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.order[0](self.fixed[0](x * self.scale)))
        return out


@pytest.mark.parametrize("model", [Teacher, Teacher()], ids=["factory", "instance"])
def test_lists_of_registered_layers_and_constants_are_welcome(model) -> None:
    assert architecture(model, (6,), 3).prunable == ("fc.weight", "out.weight")


def test_pythons_and_numpys_generators_are_left_as_they_were() -> None:
    before = random.getstate()
    with pytest.raises(UserError):
        architecture(DrawnFunction, (6,), 3)
    assert random.getstate() == before


# --- which weights follow the seed -------------------------------------------------------------------------


def seeding_itself() -> nn.Module:
    torch.manual_seed(3)
    return Net()


def half_loaded() -> nn.Module:
    """A body that is the same for every seed, a new head, and a layer that begins at zero."""
    net = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3))
    with torch.no_grad():
        net[0].weight.copy_(torch.arange(36.0).view(6, 6) / 36)
    nn.init.zeros_(net[1].weight)
    return net


def test_weights_that_are_the_same_for_every_seed_are_known() -> None:
    alike, half, free = (architecture(model, (6,), 3) for model in (seeding_itself, half_loaded, Net))
    assert (alike.can_reinit, alike.fixed) == (False, ("fc.weight", "out.weight"))
    assert (half.can_reinit, half.fixed) == (True, ("0.weight",))
    assert (free.can_reinit, free.fixed) == (True, ())
