"""The fingerprint of a function: every change of what a network computes shows, no change of how it is written does."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tombola.data.arrays import from_arrays
from tombola.data.resident import Resident
from tombola.errors import Notice, UserError
from tombola.models.architecture import Architecture, architecture
from tombola.models.spec import ModelSpec
from tombola.seeds import stream
from tombola.training import fingerprint
from tombola.training.fingerprint import TOLERANCES, Fingerprint, difference, recorded, require_same, taken
from tombola.training.made_up import Inputs, spread_of

LIKE = Inputs(shape=(6,), classes=3, mean=0.0, deviation=1.0, low=-3.0, high=3.0, whole=False)
IMAGES = LIKE.model_copy(update={"shape": (3, 8, 8)})
WORDS = LIKE.model_copy(update={"low": 0.0, "high": 9.0, "whole": True})
Forward = Callable[["Net", Tensor], Tensor]


class Net(nn.Module):
    """A network with a bit of everything, whose forward pass is given."""

    def __init__(
        self, forward: Forward, drop: float = 0.5, momentum: float = 0.1, eps: float = 1e-5, freeze: str = ""
    ) -> None:
        super().__init__()
        self.a = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8, momentum=momentum, eps=eps)
        self.drop = nn.Dropout(drop)
        self.inner = nn.Linear(8, 8)
        self.gamma = nn.Parameter(torch.zeros(8))
        self.b = nn.Linear(8, 3)
        self.given = forward
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name != freeze)

    def forward(self, x: Tensor) -> Tensor:
        return self.given(self, x)


def whole(net: Net, x: Tensor) -> Tensor:
    h = F.relu(net.norm(net.a(x)))
    return net.b(net.drop(h + net.gamma * F.relu(net.inner(h))))


def print_of(make: Callable[[], nn.Module], inputs: Inputs = LIKE) -> Fingerprint:
    net = architecture(make, inputs.shape, inputs.classes)
    return taken(net, inputs, spread_of(net, net.initial(stream("test"))))


def bound(make: Callable[[], nn.Module]) -> Architecture:
    return architecture(make, LIKE.shape, LIKE.classes)


BEFORE = lambda: Net(whole)  # noqa: E731


def replaced(h: str) -> Forward:
    """`whole` with another term in place of its second one."""

    def forward(net: Net, x: Tensor) -> Tensor:
        first = F.relu(net.norm(net.a(x)))
        inner = net.inner(first)
        terms = {
            "tanh": lambda: torch.tanh(inner),
            "detach": lambda: F.relu(inner).detach(),
            "slope": lambda: F.leaky_relu(inner, 0.001),
        }
        return net.b(net.drop(first + net.gamma * terms[h]()))

    return forward


def of_batch(net: Net, x: Tensor) -> Tensor:
    """Batch norm that never looks at its running statistics."""
    norm = net.norm
    h = F.batch_norm(
        net.a(x), norm.running_mean, norm.running_var, norm.weight, norm.bias, training=True, momentum=0.1
    )
    h = F.relu(h)
    return net.b(net.drop(h + net.gamma * F.relu(net.inner(h))))


def without_mean(net: Net, x: Tensor) -> Tensor:
    """Batch norm whose running mean counts for nothing in evaluation."""
    norm = net.norm
    seen = None if net.training else torch.zeros_like(norm.running_mean)
    h = F.batch_norm(
        *(net.a(x), norm.running_mean if seen is None else seen, norm.running_var, norm.weight, norm.bias),
        training=net.training,
        eps=norm.eps,
    )
    h = F.relu(h)
    return net.b(net.drop(h + net.gamma * F.relu(net.inner(h))))


EDITS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "the body": (lambda: Net(lambda net, x: net.b(0 * net.a(x))), "its outputs in evaluation differ by"),
    "within a branch that begins at zero": (
        lambda: Net(replaced("tanh")),
        "its outputs in evaluation differ by",
    ),
    "a slope of a thousandth": (lambda: Net(replaced("slope")), "its outputs in evaluation differ by 0."),
    "eps": (lambda: Net(whole, eps=1e-3), "its outputs in evaluation differ by 0."),
    "running statistics": (lambda: Net(of_batch), "its outputs in evaluation differ by"),
    "running means": (lambda: Net(without_mean), "its outputs in evaluation differ by"),
    "dropout's rate": (lambda: Net(whole, drop=0.4), "its outputs in training differ by"),
    "detached": (lambda: Net(replaced("detach")), "the gradient of [a-z.]+ differs by"),
    "momentum": (lambda: Net(whole, momentum=0.2), "what training does to norm.running_mean differs by 5"),
    "frozen": (lambda: Net(whole, freeze="inner.bias"), "inner.bias is trained in one and not in the other"),
}


@pytest.fixture(scope="module")
def before() -> Fingerprint:
    return print_of(BEFORE)


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_shows_where_it_can_be_seen_first(what: str, before: Fingerprint) -> None:
    make, words = EDITS[what]
    with pytest.raises(
        UserError, match=rf"computes something else than when it was made \({words}.*\); put it back"
    ):
        require_same(bound(make), before.model_dump(mode="json"), "it was made", "put it back")


def reordered(net: Net, x: Tensor) -> Tensor:
    h = F.linear(x, net.a.weight) + net.a.bias
    h = net.norm(h).clamp(min=0)
    grown = (net.inner.weight @ h.T).T + net.inner.bias
    return net.b(net.drop(torch.maximum(grown, torch.zeros_like(grown)) * net.gamma + h))


def test_the_same_function_written_otherwise_passes(before: Fingerprint) -> None:
    after = print_of(lambda: Net(reordered))
    assert difference(before, after) is None
    require_same(bound(lambda: Net(reordered)), before.model_dump(mode="json"), "it was made")


def test_a_convolution_written_out_passes_and_another_stride_does_not() -> None:
    class Conv(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.conv, self.out, self.how = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3), how

        def forward(self, x: Tensor) -> Tensor:
            if self.how == "layer":
                h = self.conv(x)
            elif self.how == "unfolded":
                h = self.conv.weight.flatten(1) @ F.unfold(x, 3, padding=1) + self.conv.bias[:, None]
                h = h.unflatten(2, x.shape[2:])
            else:
                h = F.conv2d(x, self.conv.weight, self.conv.bias, stride=2, padding=1)
            return self.out(F.relu(h).mean((2, 3)))

    layer, unfolded, strided = (
        print_of(lambda how=how: Conv(how), IMAGES) for how in ("layer", "unfolded", "strided")
    )
    assert difference(layer, unfolded) is None
    assert "evaluation" in str(difference(layer, strided))


# --- noise that is not ours ---------------------------------------------------------------------------------


def functional(rate: float) -> Callable[[], nn.Module]:
    return lambda: Net(lambda net, x: net.b(F.dropout(F.relu(net.a(x)), rate, net.training)))


def test_noise_from_torchs_generator_is_seeded() -> None:
    one, again, other = print_of(functional(0.5)), print_of(functional(0.5)), print_of(functional(0.4))
    assert one == again
    assert list(one.drawn) == ["training"]
    assert "outputs in training" in str(difference(one, other))
    assert difference(one, print_of(functional(0.0))) is not None, "noise that is gone shows"


@pytest.mark.parametrize("draw", [random.random, np.random.random])
def test_noise_from_other_generators_is_seeded(draw: Callable[[], float]) -> None:
    def make(scale: float) -> Fingerprint:
        return print_of(lambda: Net(lambda net, x: net.b(net.a(x)) * (1 + scale * draw() * net.training)))

    assert make(1.0) == make(1.0)
    assert "outputs in training" in str(difference(make(1.0), make(2.0)))


def test_a_generator_that_gives_other_numbers_is_said_and_the_rest_is_checked() -> None:
    one = print_of(functional(0.5))
    numbers = {
        place: sketch if place == "evaluation" else (1.0, 1.0, 1.0) for place, sketch in one.numbers.items()
    }
    elsewhere = one.model_copy(
        update={
            "drawn": {"training": "of another processor"},
            "numbers": numbers,
        }
    )
    with pytest.warns(
        Notice, match="draws from torch's generator in training, which gives other numbers here"
    ):
        require_same(bound(functional(0.5)), elsewhere.model_dump(mode="json"), "it was made")
    with pytest.raises(UserError, match="outputs in evaluation"):
        require_same(
            bound(lambda: Net(lambda net, x: net.b(F.dropout(net.a(x), 0.5, net.training)))),
            elsewhere.model_dump(mode="json"),
            "it was made",
        )


def test_generators_and_modes_are_left_as_found() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    with torch.no_grad():
        print_of(functional(0.5))
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # noqa: NPY002


# --- networks that are harder to take -------------------------------------------------------------------------


def test_a_network_with_tensors_in_float32_is_taken_in_float32() -> None:
    def made(scale: float) -> Callable[[], nn.Module]:
        return lambda: Net(lambda net, x: net.b(F.relu(net.a(x)) @ (scale * torch.eye(8))))

    one = print_of(made(1.0))
    assert one.precision == "float32"
    assert difference(one, print_of(made(1.0))) is None
    assert "evaluation" in str(difference(one, print_of(made(1.1))))
    # The same function, taken in float64: within what float32 is allowed.
    assert difference(one, print_of(lambda: Net(lambda net, x: net.b(F.relu(net.a(x)))))) is None


def test_whole_numbers_are_drawn_for_a_network_of_words() -> None:
    def make() -> nn.Module:
        class Words(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.words, self.out = nn.Embedding(10, 4), nn.Linear(4, 3)

            def forward(self, x: Tensor) -> Tensor:
                return self.out(self.words(x.long()).mean(1))

        return Words()

    drawn = WORDS.draw()
    assert np.array_equal(drawn, np.round(drawn))
    assert set(drawn.ravel()) <= set(range(10))
    assert len(set(drawn.ravel())) > 5
    assert difference(print_of(make, WORDS), print_of(make, WORDS)) is None


def test_inputs_are_like_the_data() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 2, size=(300, 6)).astype(np.float32)
    labels = np.arange(300) % 3
    data = from_arrays((x, labels), (x, labels))
    like = Inputs.like(Resident(data, "standard", torch.device("cpu")))
    assert (like.shape, like.classes, like.whole) == ((6,), 3, False)
    assert like.mean == pytest.approx(0, abs=1e-5)
    assert like.deviation == pytest.approx(1, rel=1e-5)
    drawn = like.draw()
    assert drawn.shape == (4, 6)
    assert like.low <= drawn.min() < drawn.max() <= like.high


def test_a_network_that_fails_or_is_not_finite_is_not_recorded() -> None:
    data = from_arrays((np.zeros((6, 6)), np.arange(6) % 3), (np.zeros((3, 6)), np.arange(3)))
    resident = Resident(data, "standard", torch.device("cpu"))
    for forward, words in (
        (lambda net, x: net.b(net.a(x)).log() * 0, "its numbers are not finite"),
        (lambda net, x: net.b(net.a(x)) if not net.training else None, r"fails .* \(TypeError: "),
    ):
        # As if the network had been fit to be tried out, and were not any more.
        net = replace(bound(BEFORE), make=lambda forward=forward: Net(forward))
        with pytest.warns(Notice, match=rf"{words}.*, so a later change of its code will not be found"):
            assert recorded(net, spread_of(net, net.initial(stream("test"))), resident) is None


def test_a_network_that_fails_where_it_did_not_is_refused(before: Fingerprint) -> None:
    def cut(net: Net, x: Tensor) -> Tensor:
        return whole(net, x).detach()

    with pytest.raises(
        UserError, match=r"model .* fails on .*, but did not when it was made; put the code back"
    ):
        require_same(
            replace(bound(BEFORE), make=lambda: Net(cut)), before.model_dump(mode="json"), "it was made"
        )


def test_a_parameter_that_is_not_finite_stays_as_it_is() -> None:
    def make() -> nn.Module:
        net = Net(lambda net, x: net.b(net.a(x)) + net.hidden.exp())
        net.hidden = nn.Parameter(torch.tensor([0.0, -torch.inf, 0.0]))
        return net

    found = print_of(make)
    assert "hidden" not in found.weights
    assert difference(found, print_of(make)) is None
    json.dumps(found.model_dump(mode="json"), allow_nan=False)


def test_no_record_is_said_and_a_broken_one_is_refused() -> None:
    with pytest.warns(Notice, match="nothing is recorded of what model .* computed when it was made"):
        require_same(bound(BEFORE), None, "it was made")
    with pytest.raises(UserError, match=r"here: the record of what model .* computed is broken"):
        require_same(bound(BEFORE), {"numbers": 3}, "it was made", where="here: ")


def test_a_gradient_that_is_zero_but_for_rounding_decides_nothing(before: Fingerprint) -> None:
    """The bias before the batch norm: training subtracts it again."""
    place = "gradient a.bias"
    assert max(map(abs, before.numbers[place])) < 1e-12
    other = before.model_copy(update={"numbers": {**before.numbers, place: (1e-9, -1e-9, 1e-9)}})
    assert difference(before, other) is None
    other = before.model_copy(update={"numbers": {**before.numbers, place: (1e-3, 0.0, 0.0)}})
    assert "the gradient of a.bias" in str(difference(before, other))


def test_parameters_of_other_names_are_refused(before: Fingerprint) -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    with pytest.raises(UserError, match=r"model .*; put the code back"):
        require_same(bound(make), before.model_dump(mode="json"), "it was made")


# --- the same everywhere ----------------------------------------------------------------------------------


def test_the_streams_keep_their_bits() -> None:
    """A stored fingerprint can be checked by a later version on any processor."""
    net = architecture("lenet-8-6", (6,), 3)
    found = taken(net, LIKE, dict.fromkeys(net.shapes, (0.0, 0.5)))
    assert found.precision == "float64"
    assert found.numbers["evaluation"] == pytest.approx(PINNED["evaluation"], rel=1e-6)
    assert found.numbers["gradient fc1.weight"] == pytest.approx(PINNED["gradient fc1.weight"], rel=1e-6)


PINNED = {
    "evaluation": (1.356797, 0.3815508, 0.1981653),
    "gradient fc1.weight": (0.08616454, 0.07952649, 0.04248155),
}

NETWORKS = [("lenet-300-100", 0), ("conv-2", 0.5), ("resnet-20", 0), ("vit-4-6-192", 0)]
CODE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_fingerprint import of_named
print(json.dumps([of_named(*each).model_dump(mode="json") for each in json.loads(sys.argv[2])]))
"""


def of_named(name: str, dropout: float) -> Fingerprint:
    inputs = LIKE.model_copy(update={"shape": (3, 16, 16), "classes": 10})
    spec = ModelSpec(name=name, options={"dropout": dropout} if dropout else {})
    net = architecture(spec, inputs.shape, inputs.classes)
    return taken(net, inputs, spread_of(net, net.initial(stream("test"))))


@pytest.mark.slow
def test_processors_agree_far_better_than_the_tolerance() -> None:
    plain = {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    }
    said = subprocess.run(
        [sys.executable, "-c", CODE, str(Path(__file__).parent), json.dumps(NETWORKS)],
        env={**os.environ, **plain},
        capture_output=True,
        text=True,
        check=True,
    )
    for (name, dropout), table in zip(NETWORKS, json.loads(said.stdout), strict=True):
        here, there = of_named(name, dropout), Fingerprint.model_validate(table)
        assert here.precision == there.precision == "float64"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fingerprint, "TOLERANCES", dict.fromkeys(TOLERANCES, 1e-6))
            assert difference(here, there) is None, name
