"""Small networks of the kinds that people bring: each is pruned twice, rewound and trained, or refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import tombola
from support.foreign_nets import REFUSED, TRAINED, ImageAndWords, Shared, Siamese, data_for
from tombola.data.given import dataset_of
from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.models.architecture import Architecture, architecture
from tombola.models.trial import EXAMPLES
from tombola.models.units import unit_axes
from tombola.networks import network_of
from tombola.training.engines.select import choose
from tombola.training.engines.stacked import StackedEngine

CPU = torch.device("cpu")
PAGE = Path(__file__).parents[2] / "docs" / "your-own.md"
RECIPE = tombola.Recipe(iterations=6, batch=12, evaluate_every=3)


@pytest.mark.parametrize("kind", TRAINED.values(), ids=lambda kind: kind.__name__)
def test_it_is_pruned_twice_rewound_and_loads_into_its_module(kind: type[nn.Module]) -> None:
    data, options = data_for(kind)
    pruning = tombola.Pruning(rate=0.5, rewind=2)
    dense, first, second = tombola.draw(
        kind, data, levels=2, recipe=RECIPE, pruning=pruning, validation=6, **options
    )
    assert [each.mask.density() for each in (dense, first, second)] == pytest.approx([1, 0.5, 0.25], abs=0.03)
    patterns = options["prune"]
    opted = [name for name in first.mask if patterns and re.match(patterns[0].replace("*", ".*"), name)]
    assert bool(opted) == bool(patterns)
    module = kind()
    module.load_state_dict(second.export("dense", "end"), strict=True)
    parameters = dict(module.named_parameters())
    assert dense.start is not None
    assert first.start is not None
    assert first.end is not None
    assert second.start is not None
    moved = [
        name
        for name in first.mask
        if not torch.equal(first.start[name], first.mask[name] * dense.start[name])
    ]
    assert moved, "tickets start from where training had come after two steps, not from the initial weights"
    for name, living in second.mask.items():
        assert not torch.equal(first.end[name], first.start[name]), "living weights were trained"
        assert not (living & ~first.mask[name]).any(), "what is dead stays dead"
        assert torch.equal(second.start[name], living * first.start[name]), "both start from one place"
        assert not parameters[name][~living].any(), "dead weights are zero"
    dataset = dataset_of(data)
    inputs = dataset.several.apart(dataset.test_x) if dataset.several else (dataset.test_x,)
    assert module.eval()(*inputs).isfinite().all()


@pytest.mark.parametrize("kind", REFUSED.values(), ids=lambda kind: kind.__name__)
def test_it_is_refused_by_name(kind: type[nn.Module]) -> None:
    with pytest.raises(UserError, match=rf"{kind.__name__}.*expected logits of shape"):
        next(iter(tombola.draw(kind, data_for(kind)[0], levels=1, recipe=RECIPE)))


def bound(kind: type[nn.Module]) -> Architecture:
    data, options = data_for(kind)
    resident = Resident(dataset_of(data), options["normalisation"], CPU)
    shown, several = resident.shown(EXAMPLES), resident.several
    return architecture(kind, resident.shape, 3, shown, prune=options["prune"], several=several)


def row(name: str, kind: type[nn.Module]) -> str:
    """What the documentation says of a network that is trained."""
    net = bound(kind)
    engine = choose("auto", net, CPU).name
    at_once = "yes" if StackedEngine.holds(net, CPU) else "no"
    try:
        unit_axes(net)
        aligned = "yes"
    except UserError as problem:
        said = str(problem)
        step = re.search(r"through (\w+ '\w+')", said)
        aligned = f"no: {step[1] if step else 'cannot be traced'}"
    opted = ", ".join(f"`{pattern}`" for pattern in getattr(kind, "prune", ()))
    return f"| {name} | {opted} | `{engine}` | {at_once} | {aligned} |"


def refusal(name: str, kind: type[nn.Module]) -> str:
    try:
        bound(kind)
    except UserError as problem:
        said = (
            str(problem).partition(" in evaluation mode")[2] or str(problem).partition(" in training mode")[2]
        )
        return f"| {name} | refused: {said.strip()} ||||"
    raise AssertionError(f"{name} is not refused")


def test_the_table_in_the_documentation_is_what_they_give() -> None:
    text = PAGE.read_text()
    expected = [row(*each) for each in TRAINED.items()] + [refusal(*each) for each in REFUSED.items()]
    assert "\n".join(expected) in text, "\n".join(expected)


def test_a_network_of_ours_and_one_that_takes_one_input_are_refused_several() -> None:
    data, _ = data_for(Siamese)
    with pytest.raises(UserError, match=r"model 'lenet-12' takes one input.*\(1, 8, 8\) and \(1, 8, 8\)"):
        tombola.train("lenet-12", data, recipe=RECIPE)
    with pytest.raises(
        UserError, match=r"fails on inputs of shape \(4, 1, 8, 8\) and \(4, 1, 8, 8\) in evaluation"
    ):
        tombola.train(Shared, data, recipe=RECIPE)


def test_engines_of_plain_layers_refuse_several_inputs_by_name() -> None:
    data, _ = data_for(Siamese)
    for engine in ("mlp", "sparse", "sparse-conv"):
        with pytest.raises(UserError, match=f"engine '{engine}' cannot hold .*, which takes several inputs"):
            tombola.train(Siamese, data, recipe=RECIPE, engine=engine)


def test_stacked_and_modules_agree_on_two_inputs() -> None:
    data, options = data_for(ImageAndWords)
    one, other = (
        tombola.train(ImageAndWords, data, recipe=RECIPE, validation=6, engine=engine, **options)[0]
        for engine in ("modules", "stacked")
    )
    assert one.end is not None
    assert other.end is not None
    for name, tensor in one.end.items():
        assert torch.allclose(tensor, other.end[name], atol=1e-5), name


def test_a_study_of_two_inputs_is_run_measured_compared_and_written(tmp_path: Path) -> None:
    data, _ = data_for(Siamese)
    settings = [
        "iterations=6",
        "batch=12",
        "evaluate_every=3",
        "levels=1",
        "replicates=2",
        "validation=6",
        "donors=0",
    ]
    settings += ["arms=[]", "hypothesis=[]", "curve_every=0", "rates={}", "compare={measures=['jaccard']}"]
    run = tombola.run("quick", model=Siamese, data=data, settings=settings, out=tmp_path)
    assert run.environment["network"]["several"]["shapes"] == [[1, 8, 8], [1, 8, 8]]
    again = tombola.run("quick", model=Siamese, data=data, settings=settings, out=tmp_path)
    assert again.path == run.path
    assert tombola.results(run).height == 4
    assert tombola.compare(run, measures=["jaccard"], level=1).pairs.height


def test_its_ticket_builds_a_network_that_takes_two() -> None:
    data, options = data_for(Siamese)
    ticket, trained = tombola.train(Siamese, data, recipe=RECIPE, validation=6, **options)
    assert tombola.evaluate(ticket, data).accuracy == trained.final_test_accuracy
    network, (image, other) = network_of(ticket), torch.randn(2, 3, 1, 8, 8)
    assert network(image, other).shape == (3, 3)
    rows = torch.cat([image.flatten(1), other.flatten(1)], 1)
    assert torch.equal(network(rows), network(image, other)), (
        "a row is taken apart, two inputs are left as they are"
    )
