"""Networks from elsewhere: factories by name and as themselves, bare instances, and all their mistakes."""

from __future__ import annotations

import itertools
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.models.spec import ModelSpec
from tombola.seeds import stream

SHAPE = (1, 4, 4)

names = (f"foreign_{number}" for number in itertools.count())


class Net(nn.Module):
    """A foreign network with batch norm and dropout, that knows nothing of `shape`."""

    def __init__(self, classes: int = 10, width: int = 6) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(width * 4, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x)).relu().flatten(1)
        out: torch.Tensor = self.head(self.drop(x))
        return out


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a module into the current folder and returns its name; forgets it afterwards."""
    written = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(source: str) -> str:
        name = next(names)
        (tmp_path / f"{name}.py").write_text(source)
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


def test_a_factory_gets_the_keywords_it_takes_and_the_options() -> None:
    seen = []

    def factory(classes, *, width=3, shape):
        seen.append((classes, width, shape))
        return Net(classes, width)

    arch = architecture(factory, SHAPE, 7)
    assert set(seen) == {(7, 3, SHAPE)}
    assert arch.shapes["head.weight"] == (7, 12)
    assert arch.prunable == ("conv.weight", "head.weight")
    assert arch.can_reinit


def test_a_factory_without_these_parameters_gets_options_only(module) -> None:
    name = module("from torch import nn\ndef make(**k):\n    assert k == {'n': 16}, k\n"
                  "    return nn.Sequential(nn.Flatten(), nn.Linear(k['n'], 10))\n")  # fmt: skip
    arch = architecture(ModelSpec(name=f"{name}:make", options={"n": 16}), SHAPE, 10)
    assert arch.shapes["1.weight"] == (10, 16)
    assert arch.name == f"{name}:make"


def test_a_class_and_a_partial_are_factories() -> None:
    assert architecture(Net, SHAPE, 5).classes == 5
    assert architecture(partial(Net, width=2), SHAPE, 5).shapes["conv.weight"] == (2, 1, 3, 3)


def test_initial_follows_the_stream_and_leaves_torchs_generator_alone() -> None:
    before = torch.random.get_rng_state()
    arch = architecture(Net, SHAPE, 5)
    first, same, other = (arch.initial(stream(seed, "init")) for seed in (0, 0, 1))
    arch.build()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert set(first) == {
        "conv.weight", "conv.bias", "head.weight", "head.bias", "norm.weight", "norm.bias",
        "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
    }  # fmt: skip
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["conv.weight"], other["conv.weight"])


def test_initial_does_not_depend_on_torchs_generator() -> None:
    arch = architecture(Net, SHAPE, 5)
    states = []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            states.append(arch.initial(stream(0)))
    assert torch.equal(states[0]["conv.weight"], states[1]["conv.weight"])


@pytest.mark.parametrize("model", ["lenet-3", Net, Net()], ids=["named", "factory", "instance"])
def test_build_and_initial_put_torchs_generator_back(model) -> None:
    arch = architecture(model, SHAPE, 10)
    before = torch.random.get_rng_state()
    arch.build()
    arch.initial(stream(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_bare_instance_keeps_its_weights_and_cannot_be_drawn_anew() -> None:
    net = Net()
    weight = net.conv.weight.detach().clone()
    arch = architecture(net, SHAPE, 10)
    assert not arch.can_reinit
    assert net.training, "probing must not touch the caller's module"
    with torch.no_grad():
        net.conv.weight.add_(1)
    state = arch.initial(stream(0))
    assert torch.equal(state["conv.weight"], weight)
    state["conv.weight"].zero_()
    assert torch.equal(arch.initial(stream(1))["conv.weight"], weight)
    assert arch.build() is not arch.build()


def test_a_factory_that_loads_its_weights_cannot_be_drawn_anew() -> None:
    def pretrained():
        net = Net()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.fill_(0.5)
        return net

    assert not architecture(pretrained, SHAPE, 10).can_reinit


def test_a_factory_that_hands_out_one_module_is_refused() -> None:
    net = Net()
    with pytest.raises(UserError, match="returns the same tensors again"):
        architecture(lambda: net, SHAPE, 10)


def test_a_factory_with_randomness_of_its_own_is_refused() -> None:
    unseeded = np.random.default_rng()

    def factory():
        net = Net()
        with torch.no_grad():
            net.conv.weight.fill_(unseeded.standard_normal())
        return net

    with pytest.raises(UserError, match="other weights for the same seed"):
        architecture(factory, SHAPE, 10)


class TwoHeads(Net):
    def forward(self, x):
        return super().forward(x), x


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (lambda: 3, "returned type int, expected an nn.Module"),
        (lambda: Net(classes=3), r"into \(4, 3\), expected logits of shape \(4, 10\)"),
        (TwoHeads, "into tuple, expected logits"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3, 10)), r"fails on inputs of shape \(4, 1, 4, 4\)"),
        (lambda depth: Net(), "needs 'depth', which neither the data nor the options give"),
        (lambda: 1 / 0, "factory failed .ZeroDivisionError: division by zero"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LayerNorm(16)), "nothing to prune"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "lazy layers"),
    ],
)
def test_a_factory_that_is_wrong_is_told_in_a_sentence(model, sentence) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        architecture(model, SHAPE, 10)
    assert "\n" not in str(caught.value)


def test_a_factory_by_name_is_found_in_the_current_folder(module) -> None:
    name = module("from torch import nn\nclass Here:\n    @staticmethod\n"
                  "    def make(shape, classes):\n"
                  "        return nn.Sequential(nn.Flatten(), nn.Linear(16, classes))\n")  # fmt: skip
    assert architecture(f"{name}:Here.make", SHAPE, 3).shapes["1.weight"] == (3, 16)


@pytest.mark.parametrize(
    ("source", "attribute", "sentence"),
    [
        ("def make_net(): ...", "make_nte", "has no 'make_nte'; did you mean 'make_net'"),
        ("size = 3", "size", "this is of type int, expected a function or class"),
        ("from torch import nn\nnet = nn.Linear(1, 1)", "net", "already built"),
        ("def broken(:", "broken", "importing '.*' failed .SyntaxError"),
        ("import not_there_at_all", "x", "importing '.*' failed .ModuleNotFoundError.*not_there_at_all"),
        ("raise SystemExit(3)", "x", "importing '.*' failed .SystemExit: 3"),
        ("def make(width): ...", "make", "no option 'widht'; did you mean 'width'"),
        ("def make(width, classes): ...", "make", "no option 'widht'; did you mean 'width'"),
    ],
)
def test_a_wrong_factory_name_is_told_in_a_sentence(module, source, attribute, sentence) -> None:
    name = module(source)
    with pytest.raises(UserError, match=sentence):
        architecture(ModelSpec(name=f"{name}:{attribute}", options={"widht": 2}), SHAPE, 10)


@pytest.mark.parametrize("name", [":make", "torch:", "no_such_package:make", "torch.no_such_module:make"])
def test_a_module_that_is_not_there_is_told(name) -> None:
    expected = "no module 'no_such_package'|no module 'torch.no_such_module'|expected the form"
    with pytest.raises(UserError, match=f"model '{name}': ({expected})"):
        architecture(name, SHAPE, 10)


def test_the_spec_keeps_option_types_and_refuses_strange_keys() -> None:
    spec = ModelSpec(name="a:b", options={"flag": True, "n": 1, "x": 1.0, "s": "1"})
    assert [type(value) for value in spec.options.values()] == [bool, int, float, str]
    with pytest.raises(UserError, match="nmae"):
        ModelSpec(name="conv-2", nmae="x")
    with pytest.raises(UserError, match="valid string"):
        ModelSpec(name=3)
