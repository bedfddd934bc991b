"""Networks in Python, any module on any arrays: train one, draw its tickets, prune it, measure it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tombola.data.dataset import DATASETS
from tombola.data.given import Data, dataset_of
from tombola.data.resident import Resident
from tombola.data.spec import DataSpec
from tombola.errors import UserError, notice, require_seed, require_type
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Begin, Cell, Drawn, train_cells
from tombola.lottery.draw import draw as draw_levels
from tombola.lottery.exports import input_of
from tombola.lottery.modes import check_rewind
from tombola.lottery.ticket import Ticket, Weights
from tombola.masks.mask import Mask
from tombola.masks.probe import Probe
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule, rates_for
from tombola.metrics import ACCURACY, METRICS
from tombola.models.architecture import Architecture, architecture
from tombola.models.spec import ModelSpec
from tombola.models.state import roles_of, state_of
from tombola.models.trial import EXAMPLES
from tombola.plugins.trusted import accept
from tombola.seeds import Seeds, stream
from tombola.several import Several
from tombola.study.plan import make_plan, probing
from tombola.study.pruning import Pruning
from tombola.study.spec import Study
from tombola.training.device import pick_device, prepare
from tombola.training.engines.base import Demand, Job
from tombola.training.engines.select import choose
from tombola.training.fingerprint import recorded, require_same
from tombola.training.loop import train_stack
from tombola.training.loss import require_kind
from tombola.training.made_up import spread_of
from tombola.training.recipe import SQUARED, Recipe
from tombola.training.scoring import Examples
from tombola.training.search.base import Search
from tombola.training.search.early_bird import Watch
from tombola.training.stack import Stack
from tombola.training.start import Start
from tombola.training.trained import Trained, numbers_of
from tombola.transfer.route import make

Model = str | ModelSpec | nn.Module | Callable[..., nn.Module]
"""A name, a spec, a factory that builds a network, or a network."""


def train(
    model: Model,
    data: Data,
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    validation: int | float = 0.1,
    normalisation: str = "standard",
    prune: Sequence[str] = (),
    data_dir: Path | None = None,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Ticket, Trained]:
    """Train one dense network from a seed; the ticket holds its start and end weights, `Trained` its scores.

    `prune` are patterns of matrices that are prunable beside Linear and Conv weights, as in `[model] prune`. The same
    seed gives the same bits on the same kind of machine. `threads` is how many of the CPU's torch uses from now on
    (default: as many as before). Raises UserError for a user's mistake.
    """
    prepare(threads)
    recipe = recipe or Recipe()
    require_type(recipe, Recipe, "recipe", "tombola.Recipe(iterations=1000)")
    require_seed(seed)
    net, resident, spec = _bind(
        model, data, normalisation, validation, data_dir, device, prune, recipe.metric
    )
    seeds = Seeds.single(seed)
    mask = Mask.dense(net.prunable_shapes)
    state = net.initial(seeds.stream("init"))
    start = Start(state, mask, seeds)
    trained = train_stack(net, [start], resident, recipe, validation, engine=engine, progress=progress)[0]
    named = _named(model, net, prune)
    accept(named.code)
    provenance = {
        "model": named.model_dump(mode="json"),
        "data": spec.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "scores": numbers_of(trained),
        "input": resident.input,
        "function": recorded(net, spread_of(net, state), resident),
    }
    return Ticket(mask, state, trained.end, provenance, net.keys, trained.best), trained


def draw(
    model: Model,
    data: Data,
    *,
    levels: int = 10,
    recipe: Recipe | None = None,
    pruning: Pruning | None = None,
    seed: int = 0,
    validation: int | float = 0.1,
    normalisation: str = "standard",
    prune: Sequence[str] = (),
    data_dir: Path | None = None,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
) -> Iterator[Ticket]:
    """Draw the tickets of one replicate, level by level, dense first.

    `prune` are patterns of matrices to prune beside Linear and Conv weights, as in `[model] prune`. Each ticket holds
    its mask, the weights it starts from, the weights it trained to, and in its provenance the level, the density and
    its scores. `threads` as in `train`. Raises UserError for a user's mistake.
    """
    prepare(threads)
    recipe, pruning = recipe or Recipe(), pruning or Pruning()
    require_type(recipe, Recipe, "recipe", "tombola.Recipe(iterations=1000)")
    require_type(pruning, Pruning, "pruning", "tombola.Pruning(rate=0.2)")
    require_seed(seed)
    net, resident, spec = _bind(
        model, data, normalisation, validation, data_dir, device, prune, recipe.metric
    )
    check_rewind(pruning.rewind, recipe.iterations)
    whole = Study(
        model=_named(model, net, prune),
        data=spec,
        recipe=recipe,
        pruning=pruning,
        levels=levels,
        replicates=1,
    )
    plan, seeds = make_plan(whole, net), Seeds.single(seed)
    for sentence in plan.notices:
        notice(sentence)
    lottery = replace(plan.lottery, probing=lambda r: probing(plan, resident, seeds))

    def train_all(search: Search | None, watch: Watch | None, starts: Sequence[Start]) -> list[Trained]:
        snapshot = pruning.rewind if pruning.rewind and starts[0].level == 0 else None
        own = whole.recipe_at(starts[0].level)
        return train_stack(
            net,
            starts,
            resident,
            own,
            validation,
            engine=engine,
            search=search,
            watch=watch,
            snapshot_at=snapshot,
        )

    def train_level(cells: Sequence[Cell], begin: Begin) -> Mapping[Cell, Drawn]:
        search, watch = (lottery.search(cells[0]), lottery.watch(cells[0])) if cells else (None, None)
        return train_cells(cells, begin, partial(train_all, search, watch))

    for drawn in draw_levels(lottery, {0: seeds}, train_level):
        for cell, result in drawn.items():
            if cell.arm != TICKET:
                continue
            assert result.start is not None
            mask = result.start.mask
            about: dict[str, Any] = {"level": cell.level, "density": mask.density(), "status": result.status}
            if result.trained is not None:
                about["scores"] = numbers_of(result.trained)
            about["input"] = resident.input
            end, best = (
                (result.trained.end, result.trained.best) if result.trained is not None else (None, None)
            )
            yield Ticket(mask, mask.apply(result.start.state), end, about, net.keys, best)


def prune(
    network: nn.Module,
    *,
    mask: Mask | None = None,
    initial: dict[str, torch.Tensor] | None = None,
    examples: tuple[torch.Tensor, torch.Tensor] | None = None,
    rule: PruneRule | None = None,
    prune: Sequence[str] = (),
    seed: int = 0,
) -> Mask:
    """One pruning of a trained network's Linear and Conv weights, and of the matrices whose names match a pattern in
    `prune`; returns the new mask, the network is as before.

    `mask` is the mask so far (dense when left out); `initial` the state training began from, for criteria that
    look at it; `examples` are inputs as the network takes them, and labels, for criteria that look at gradients.
    Raises UserError when they do not fit the network.
    """
    rule = rule or PruneRule()
    require_type(rule, PruneRule, "rule", "tombola.PruneRule(rate=0.2)")
    require_seed(seed)
    if not isinstance(network, nn.Module):
        raise UserError(f"network is of type {type(network).__name__}, expected a torch module")
    final = state_of(network)
    roles = roles_of(network, prune)
    before = mask or Mask.dense({name: tuple(final[name].shape) for name in roles})
    rates = rates_for(rule, roles)
    probe = None if examples is None else partial(Probe, copy.deepcopy(network), *examples)
    return Pruner(rule, rates, stream(seed, "ties"), probe).by_rate(before, initial or final, final)


def carry_over(
    route: str,
    tickets: Sequence[Ticket],
    *,
    model: str | ModelSpec | None = None,
    data: Data | None = None,
    options: Mapping[str, Any] | None = None,
    scores: Mapping[str, torch.Tensor] | None = None,
    seed: int = 0,
    data_dir: Path | None = None,
) -> Ticket:
    """A ticket made from others by a route of `tombola catalog routes`, for a network of their kind.

    `model` is the network it is for (default: that of the first ticket), `data` a data set of the same shape (default:
    the first ticket's). `options` are the route's, `scores` measured scores of output channels, for routes that ask for
    them. Raises UserError for a user's mistake.
    """
    known = tickets[0].provenance if tickets else {}
    if "model" not in known or "data" not in known:
        raise UserError(f"route '{route}': the first ticket does not say which model and data it is of")
    own = ModelSpec.model_validate(known["model"])
    named = own if model is None or model == own.name else model
    spec = named if isinstance(named, ModelSpec) else ModelSpec(name=named)
    normalisation = known["data"]["normalisation"]
    net, resident, of_data = _bind(spec, data or known["data"]["name"], normalisation, 0.1, data_dir, "cpu")
    about = {"seed": seed, "model": spec.model_dump(mode="json"), "input": resident.input}
    if data is not None or any(ticket.provenance.get("data") != known["data"] for ticket in tickets):
        about["data"] = of_data.model_dump(mode="json")
    rng = stream(seed, "transfer", route)
    return make(route, tickets, net, options or {}, rng, scores=scores, about=about)


@dataclass(frozen=True)
class Evaluation:
    """Test loss (nats) and accuracy (0..1) of one network on `examples` test examples; by another metric its loss is
    that, and it has no accuracy."""

    loss: float
    accuracy: float | None
    examples: int
    metric: str = ACCURACY.name


def evaluate(
    ticket: Ticket,
    data: Data,
    *,
    weights: Weights = "end",
    model: Model | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
) -> Evaluation:
    """Measure a ticket's weights, at the end of training or at the early stop ("best"), on the test set of a data set.

    The model and the normalisation are those in its provenance, or the `model` that is handed in; `threads` as in
    `train`. Raises UserError when it has
    none, when the data do not fit the network, or when the model computes something else than when the weights were
    trained.
    """
    prepare(threads)
    require_type(ticket, Ticket, "ticket", "tombola.Ticket.load(path)")
    known = ticket.provenance
    if "model" not in known or "data" not in known:
        raise UserError("this ticket does not say which model and data it is of, so it cannot be measured")
    spec = ModelSpec.model_validate(known["model"])
    normalisation = known["data"]["normalisation"]
    prune = spec.prune if model is not None else ()
    net, resident, _ = _bind(
        spec if model is None else model, data, normalisation, 0.1, data_dir, device, prune
    )
    state = ticket.weights(weights)
    start = Start(state, ticket.mask, Seeds.single(0))
    for name, shape in net.shapes.items():
        if name not in state or tuple(state[name].shape) != tuple(shape):
            raise UserError(
                f"data '{resident.name}' {resident.shape} with {resident.classes} classes does not fit this "
                f"network: {name} would be {tuple(shape)}, the file has {tuple(state[name].shape)}"
            )
    require_same(net, known.get("function"), "this network was trained")
    stack = Stack(net, [start], resident.device)
    # Measured in the arithmetic that it was trained in.
    trained_by = known.get("recipe", {})
    recipe = Recipe(precision=trained_by.get("precision", "float32"))
    metric = METRICS.get(trained_by.get("metric"), ACCURACY)
    require_kind(metric, resident.name, resident.train_y)
    if metric.of_targets:
        recipe = recipe.model_copy(update={"metric": metric.name, "loss": SQUARED})
    kind = choose(engine, net, resident.device, Demand(recipe, streamed=resident.streamed))
    computing = kind(Job(net, stack, [0], [0], recipe))
    score = computing.score(Examples(resident, "test"))
    accuracy = float(score.metric[0]) if computing.metric is ACCURACY else None
    return Evaluation(float(score.loss[0]), accuracy, resident.n_test, computing.metric.name)


def network_of(ticket: Ticket) -> nn.Module:
    """A fresh module of a ticket's network, see `architecture_of`."""
    return architecture_of(ticket).build()


def architecture_of(ticket: Ticket) -> Architecture:
    """A ticket's network, by the model, shape and classes in its provenance. Raises UserError where it does not have
    them."""
    if "model" not in ticket.provenance:
        raise UserError("this ticket does not say which model it is of")
    spec, given = ModelSpec.model_validate(ticket.provenance["model"]), input_of(ticket)
    several = Several.read(given.get("several"))
    return architecture(spec, tuple(given["shape"]), given["classes"], several=several)


def _bind(
    model: Model,
    data: Data,
    normalisation: str,
    validation: int | float,
    data_dir: Path | None,
    device: str,
    prune: Sequence[str] = (),
    metric: str | None = None,
) -> tuple[Architecture, Resident, DataSpec]:
    dataset = dataset_of(data, data_dir)
    if metric is not None:
        require_kind(METRICS[metric], dataset.name, dataset.train_y)
    name = data if isinstance(data, str) else dataset.name if dataset.name in DATASETS else "arrays"
    about: dict[str, Any] = {"normalisation": normalisation, "validation": validation}
    spec = DataSpec(name=name, digest=dataset.digest, **about)
    prune = (prune,) if isinstance(prune, str) else prune
    resident = Resident(dataset, normalisation, pick_device(device))
    shown, several = resident.shown(EXAMPLES), resident.several
    net = architecture(model, dataset.shape, dataset.classes, shown, prune=prune, several=several)
    return net, resident, spec


def _named(model: Model, net: Architecture, prune: Sequence[str]) -> ModelSpec:
    """The spec of a model, or what stands for one that has none."""
    spec = model if isinstance(model, ModelSpec) else ModelSpec(name=net.name)
    return spec.model_copy(update={"prune": (*spec.prune, *((prune,) if isinstance(prune, str) else prune))})
