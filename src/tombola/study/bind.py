"""A study with what it names: its data set, its network, and the sources of its routes; or objects in their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from tombola.data.catalog import load
from tombola.data.dataset import DATASETS, Dataset
from tombola.data.resident import Resident
from tombola.data.split import validation_count
from tombola.errors import UserError, notice
from tombola.metrics import METRICS
from tombola.models.architecture import Architecture, architecture
from tombola.models.spec import ModelSpec
from tombola.models.trial import EXAMPLES
from tombola.plugins.load import load_imports
from tombola.study.ladders import called, ladders_of
from tombola.study.plan import Source, make_plan
from tombola.study.spec import Study
from tombola.training.loss import require_kind


def bind(
    study: Study,
    data_dir: Path | None = None,
    dataset: Dataset | None = None,
    model: nn.Module | Callable[..., nn.Module] | None = None,
) -> tuple[Study, Dataset, Architecture]:
    """The study with what it names: its data set and its architecture, or the objects handed in instead.

    Objects take their place in the spec too, so that it does not name what was not used. Data that a name does
    not fix enters the identity of the study by digest. Raises UserError.
    """
    load_imports(study.imports)
    spec, handed_in = study.data, dataset is not None
    if dataset is None:
        dataset = load(spec.name, data_dir)
    elif dataset.name != spec.name:
        spec = spec.model_copy(update={"name": dataset.name if dataset.name in DATASETS else "arrays"})
    if spec.digest not in (None, dataset.digest):
        raise UserError(
            f"data '{spec.name}' has digest {dataset.digest}, the study was made with {spec.digest}"
        )
    if handed_in or spec.name not in DATASETS:
        spec = spec.model_copy(update={"digest": dataset.digest})
    require_kind(METRICS[study.recipe.metric], spec.name, dataset.train_y)
    resident = Resident(dataset, spec.normalisation, torch.device("cpu"))
    prune = () if model is None else study.model.prune  # a spec brings its own
    net = architecture(
        study.model if model is None else model,
        dataset.shape,
        dataset.classes,
        resident.shown(EXAMPLES),
        prune=prune,
        several=resident.several,
    )
    _require_other_starts(net, study.replicates, instance=isinstance(model, nn.Module))
    named = study.model if model is None else ModelSpec(name=net.name, prune=study.model.prune)
    return study.model_copy(update={"data": spec, "model": named}), dataset, net


def bind_sources(
    study: Study,
    dataset: Dataset,
    data_dir: Path | None = None,
    model: nn.Module | Callable[..., nn.Module] | None = None,
) -> tuple[Study, dict[str, Source]]:
    """A bound study's sources, bound as it is; and the study with the digests of data that their names do not fix.

    A source on the study's data or model takes the very objects that were handed in. Raises UserError, naming the
    source.
    """
    found: dict[str, Source] = {}
    for name in study.sources:
        source = ladders_of(study).get(called(name)) or study.source(name)
        same_data = source.data.name == study.data.name
        same_model = model if source.model == study.model else None
        try:
            spec, own, net = bind(source, data_dir, dataset if same_data else None, same_model)
            if spec.data.digest and not same_data:
                table = study.sources[name]
                table = table.model_copy(update={"data": {**table.data, "digest": spec.data.digest}})
                study = study.model_copy(update={"sources": {**study.sources, name: table}})
            require_split(spec, own)
            found[name] = Source(make_plan(spec, net), own)
        except UserError as problem:
            raise UserError(f"[sources.{name}]: {problem}") from None
    return study, found


def require_split(study: Study, dataset: Dataset) -> None:
    """Raise UserError where the data have too few examples for what the study keeps for validation."""
    try:
        validation_count(len(dataset.train_y), study.data.validation)
    except UserError as problem:
        raise UserError(f"data.{problem}") from None


def _require_other_starts(net: Architecture, replicates: int, instance: bool) -> None:
    """Raise UserError for several replicates of a network that always starts from the same weights: they would not be
    replicates. Where only some of its weights are always the same, say which."""
    if replicates == 1:
        return
    if instance:
        raise UserError(
            f"{net.name} is a network instance and can run one replicate only, found replicates = "
            f"{replicates}; hand in a factory that builds it instead"
        )
    if not net.can_reinit:
        raise UserError(
            f"{net.name} gives the same weights for every seed (it seeds itself, or loads them) and can run one "
            f"replicate only, found replicates = {replicates}; leave the seeding to Tombola, or set replicates = 1"
        )
    if net.fixed:
        listed = ", ".join(net.fixed[:3]) + (", ..." if len(net.fixed) > 3 else "")
        notice(
            f"{net.name}: {len(net.fixed)} of its {len(net.prunable)} prunable tensors start from the same weights in "
            f"every replicate ({listed}), so that replicates differ in the others only"
        )
