"""What a stranger hands in from PyTorch that is wrong or unusual: taken, or named in a sentence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Subset, TensorDataset, random_split

import tombola
from tombola.errors import Notice, UserError

X, Y = torch.randn(80, 6, generator=torch.Generator().manual_seed(0)), torch.arange(80) % 3
RECIPE = tombola.Recipe(iterations=4, batch=8, evaluate_every=2)


def net(last: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3), *([last] if last else []))


def data(x: Tensor = X, y: Any = Y) -> Any:
    return (x[:60], y[:60]), (x[60:], y[60:])


def train(model: Any = net, given: Any = None, **options: Any) -> tombola.Ticket:
    options = {"recipe": RECIPE, "validation": 10, **options}
    return tombola.train(model, data() if given is None else given, **options)[0]


def weights(ticket: tombola.Ticket) -> Tensor:
    assert ticket.end is not None
    return torch.cat([tensor.flatten() for tensor in ticket.end.values()])


TAKEN: dict[str, Callable[[], tombola.Ticket]] = {
    "a torch.device": lambda: train(device=torch.device("cpu")),
    "parts of a data set": lambda: train(
        given=(Subset(TensorDataset(X, Y), range(60)), Subset(TensorDataset(X, Y), range(60, 80)))
    ),
    "examples that ask for gradients": lambda: train(given=data(X.clone().requires_grad_())),
    "one pattern to prune": lambda: train(prune="0.weight"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_taken_as_what_it_stands_for(name: str) -> None:
    assert torch.equal(weights(TAKEN[name]()), weights(train()))


def test_sparse_tensors_are_laid_out() -> None:
    sparse = (X[:60].to_sparse(), Y[:60]), (X[60:].to_sparse(), Y[60:])
    assert torch.equal(weights(train(given=sparse)), weights(train()))


def test_a_random_split_is_read_in_its_order() -> None:
    parts = random_split(TensorDataset(X, Y), [60, 20], generator=torch.Generator().manual_seed(1))
    order = [part.indices for part in parts]
    same = (X[order[0]], Y[order[0]]), (X[order[1]], Y[order[1]])
    assert torch.equal(weights(train(given=tuple(parts))), weights(train(given=same)))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: train(given=data(y=Y + 1)), "labels go up to 3 but no example has label 0"),
        (lambda: train(given=data(y=Y.float())), "labels are numbers of type float, .*, and metric 'accuracy' is of"),
        (lambda: train(given=((X[:60], Y[:59]), (X[60:], Y[60:]))), "60 examples but 59 labels"),
        (lambda: train(lambda: net().double()), "fails on inputs of shape .*dtype, but got Float and Double"),
        (lambda: train(lambda: nn.Linear(6, 2)), r"into \(4, 2\), expected logits of shape \(4, 3\)"),
        (lambda: train(nn.Linear), "its factory needs 'in_features'"),
        (lambda: train(net().state_dict()), "ModelSpec: name is OrderedDict"),
        (lambda: train(recipe={"iterations": 4}), "recipe is a dict, expected a tombola.Recipe"),
        (lambda: train(validation=0), "DataSpec: validation: validation is 0; expected a count"),
        (lambda: train(normalisation="standart"), "DataSpec: normalisation: unknown normalisation 'standart'"),
        (lambda: train(seed=1.5), "seed is 1.5, expected a whole number, 0 or more"),
        (lambda: train(seed="a"), "seed is 'a', expected a whole number, 0 or more"),
        (lambda: next(tombola.draw(net, data(), pruning=0.2)), "pruning is a float, expected a tombola.Pruning"),
        (lambda: tombola.prune(net(), rule=0.2), "rule is a float, expected a tombola.PruneRule"),
        (lambda: tombola.prune(net().state_dict()), "network is of type OrderedDict, expected a torch module"),
        (lambda: tombola.evaluate("t.safetensors", data()), "ticket is a str, expected a tombola.Ticket"),
        (lambda: tombola.evaluate(net(), data()), "ticket is a Sequential, expected a tombola.Ticket"),
        (lambda: tombola.compare(train(), train()), "what is compared is of type Ticket, expected a run"),
        (lambda: tombola.run({"name": "x"}), "what is run is of type dict, expected a tombola.Study"),
        (lambda: tombola.run("quick", settings="levels=1"), "settings is 'levels=1', expected a list of 'key=value'"),
    ],
)  # fmt: skip
def test_it_is_named_in_a_sentence(call: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()


def test_a_softmax_at_the_end_is_told_of() -> None:
    with pytest.warns(
        Notice, match="answers with probabilities .* leave the softmax out, or it is taken twice"
    ):
        train(lambda: net(nn.Softmax(1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(lambda: net(nn.LogSoftmax(1)))  # of these the softmax is the same again


def test_a_ticket_of_a_nameless_network_is_measured_with_it() -> None:
    def made() -> nn.Module:
        return net()

    ticket, trained = tombola.train(made, data(), recipe=RECIPE, validation=10)
    with pytest.raises(UserError, match="has no"):
        tombola.evaluate(ticket, data())
    assert tombola.evaluate(ticket, data(), model=made).accuracy == trained.final_test_accuracy
    with pytest.raises(UserError, match="computes something else than when this network was trained"):
        tombola.evaluate(
            ticket, data(), model=lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
        )
