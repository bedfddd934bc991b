"""A network is shown a few examples in both modes before anything rests on it: one sentence for each way to fail."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tombola
from tombola.data.arrays import from_arrays
from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.training.recipe import Recipe


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.fc(x).relu())
        return out


GoogLeNetOutputs = namedtuple("GoogLeNetOutputs", ["logits", "aux_logits2", "aux_logits1"])


class Auxiliary(Net):
    """As torchvision's GoogLeNet: one tensor in evaluation, three in training."""

    def forward(self, x):
        out = super().forward(x)
        return GoogLeNetOutputs(out, out, out) if self.training else out


class Pair(Net):
    def forward(self, x):
        out = super().forward(x)
        return (out, x) if self.training else out


class Halved(Net):
    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out[::2] if self.training else out


class FailsInTraining(Net):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise KeyError("no labels")
        return super().forward(x)


class Detached(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class Overwritten(Net):
    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc(x).sigmoid()
        out: Tensor = self.out(hidden)
        hidden.add_(1)
        return out


class Integers(Net):
    def forward(self, x: Tensor) -> Tensor:
        return F.one_hot(super().forward(x).argmax(1), 3)


class Renormed(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.fc.weight.data = torch.renorm(self.fc.weight.data, 2, 0, 1.0)
        return super().forward(x)


class Tied(Net):
    tied: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("tied", self.fc.weight.data)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x @ self.tied.T)


class Kept(Net):
    def __init__(self) -> None:
        super().__init__()
        self.kept = [self.fc.weight.detach()]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x @ self.kept[0].T)


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (Renormed, r"its forward gives parameter 'fc\.weight' other memory"),
        (Tied, r"buffer 'tied' shares its memory with parameter 'fc\.weight' and would not follow its training"),
        (Kept, r"the tensors in the plain list 'kept' shares its memory with parameter 'fc\.weight'"),
        (Auxiliary, r"in training mode turns inputs of shape \(4, 6\) into GoogLeNetOutputs "
                    r"\(logits, aux_logits2, aux_logits1\), expected logits of shape \(4, 3\); let its forward return"),
        (Pair, r"in training mode turns inputs of shape \(4, 6\) into tuple, expected logits"),
        (Halved, r"in training mode turns inputs of shape \(4, 6\) into \(2, 3\), expected logits of shape \(4, 3\)$"),
        (FailsInTraining, r"fails on inputs of shape \(4, 6\) in training mode \(KeyError: 'no labels'\)"),
        (Detached, "outputs in training mode depend on no parameter that is trained"),
        (Integers, "outputs in training mode depend on no parameter that is trained"),
        (Overwritten, "cannot be differentiated in training mode .RuntimeError: .*inplace operation"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("built", [False, True], ids=["factory", "instance"])
def test_a_network_that_cannot_be_trained_is_told_in_a_sentence(factory, sentence: str, built: bool) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        architecture(factory() if built else factory, (6,), 3)
    assert "\n" not in str(caught.value)


class Tokens(nn.Module):
    """Takes token ids, as floats."""

    def __init__(self, words: int = 9) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(words, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.embed(x.long()).mean(1))
        return out


def sentences() -> tombola.Dataset:
    """Token ids 0..8, six to a sentence."""
    rng = np.random.default_rng(0)
    return from_arrays(
        (rng.integers(0, 9, (40, 6)), np.arange(40) % 3), (rng.integers(0, 9, (9, 6)), np.arange(9) % 3)
    )


ADVICE = 'where inputs are token ids or the like, set normalisation = "none"'


def test_token_ids_that_were_normalised_are_told_of() -> None:
    brief = Recipe(iterations=2, batch=4)
    with pytest.raises(
        UserError, match=rf"fails on .*\(4, 6\) in evaluation mode \(IndexError.*\); {ADVICE}"
    ):
        tombola.train(Tokens, sentences(), recipe=brief)
    # Numbers from 0 to 1 would all be word 0, and nothing would fail.
    with pytest.raises(
        UserError, match=f"makes whole numbers of its inputs, and normalised examples.*; {ADVICE}"
    ):
        tombola.train(Tokens, sentences(), recipe=brief, normalisation="unit")


def test_ids_that_are_looked_up_as_they_come_are_told_of_too() -> None:
    class LooksUp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.out = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.out(self.words(x).mean(1))
            return out

    with pytest.raises(UserError, match=rf"fails on .* in evaluation mode \(RuntimeError: .*\); {ADVICE}"):
        tombola.train(LooksUp, sentences(), recipe=Recipe(iterations=2, batch=4))


def test_a_network_that_seeds_the_generator_as_it_computes_is_refused() -> None:
    """Its dropout would be the same at every step. Within a fork that is put back it is its own affair."""

    class Seeds(Net):
        def forward(self, x: Tensor) -> Tensor:
            torch.manual_seed(0)
            return super().forward(nn.functional.dropout(x, 0.2, self.training))

    class Forks(Net):
        def forward(self, x: Tensor) -> Tensor:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                x = nn.functional.dropout(x, 0.2, self.training)
            return super().forward(x)

    with pytest.raises(
        UserError, match="seeds torch's generator as it computes, so that its noise would be the same"
    ):
        architecture(Seeds, (6,), 3)
    assert architecture(Forks, (6,), 3).classes == 3


def test_token_ids_as_they_are_pass() -> None:
    ids = torch.arange(24.0).view(4, 6) % 9
    assert torch.equal(architecture(Tokens, (6,), 3, ids).examples, ids)
    assert torch.equal(architecture(Tokens, (6,), 3).examples, torch.zeros(4, 6))


@dataclass
class Seen:
    batches: list[Tensor]


def test_networks_are_shown_normalised_examples_of_the_data_they_will_train_on() -> None:
    seen = Seen([])

    class Looks(Net):
        def forward(self, x: Tensor) -> Tensor:
            seen.batches.append(x.clone())
            return super().forward(x)

    rng = np.random.default_rng(0)
    x = 100 + 5 * rng.standard_normal((40, 6))
    data = from_arrays((x, np.arange(40) % 3), (x[:9], np.arange(9) % 3))
    tombola.train(Looks, data, recipe=Recipe(iterations=1, batch=4))
    rows = torch.from_numpy(x[[0, 10, 20, 30]])
    expected = ((rows - x.mean()) / x.std()).float()
    torch.testing.assert_close(seen.batches[0], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen.batches[1], expected, rtol=1e-4, atol=1e-4)


class Silent(Net):
    """Overrides train() as many do, and returns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.norm(x))

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)
        self.norm.eval()


def test_train_and_eval_need_not_return_the_module() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 6)), np.arange(50) % 3
    for engine in ("modules", "stacked"):
        ticket, trained = tombola.train(
            Silent, from_arrays((x, y), (x, y)), recipe=Recipe(iterations=3, batch=8), engine=engine
        )
        assert torch.equal(ticket.end["norm.running_mean"], torch.zeros(6)), (
            "its norm stays in evaluation mode"
        )
        assert trained.iterations == 3


def test_trying_a_network_out_leaves_the_callers_module_alone() -> None:
    module = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3))
    arch = architecture(module, (6,), 3)
    for net in (module, arch.build()):
        assert net.training
        assert int(net[0].num_batches_tracked) == 0
        assert torch.equal(net[0].running_mean, torch.zeros(6))
        assert net[1].weight.count_nonzero() == 18
