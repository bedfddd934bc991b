"""What the networks of runs have in common, and what their subjects are asked in a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.comparison.exam import Exam
from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.metrics import METRICS
from tombola.runs.environment import require_same_function
from tombola.runs.folder import Run
from tombola.seeds import stream
from tombola.study.bind import bind

EXAMPLES = 500
"""Training examples that activations are taken on."""


def require_classes(run: Run, what: str) -> None:
    """Raise UserError for `what` of a run whose networks predict numbers, not classes."""
    metric = METRICS[run.study.recipe.metric]
    if metric.of_targets:
        raise UserError(
            f"{run.path.name}: {what} needs classes, and this study is measured by {metric.noun} of targets that are "
            "numbers"
        )


def network_of(runs: Sequence[Run], data_dir: Path | None = None) -> Network:
    """The network that runs have in common, with training examples of the first for activations.

    Raises UserError for runs of different networks, a network that computes something else than when a run was made,
    data that are not there, and hidden units that cannot be told apart.
    """
    study, dataset, net = bind(runs[0].study, data_dir)
    for run in runs[1:]:
        if run.study.model != study.model:
            raise UserError(
                f"{run.path.name} trains {run.study.model.name}, {runs[0].path.name} {study.model.name}; "
                "only runs of one network can be aligned"
            )
    for run in runs:
        require_same_function(run, net)
    data = Resident(dataset, study.data.normalisation, torch.device("cpu"))
    return Network.of(net, data.train(examples_of(data)))


def examples_of(data: Resident) -> torch.Tensor:
    """The training examples that activations are taken on, int64 [n]: the same in every comparison."""
    order = stream("compare", "examples").permutation(data.n_train)
    return torch.from_numpy(np.sort(order[:EXAMPLES]))


def exams_of(runs: Sequence[Run], data_dir: Path | None) -> Callable[[Subject], Exam]:
    """What each subject is asked: the data of its run, as its run normalises them; others as the first run does."""

    @cache
    def exam_of(index: int) -> Exam:
        require_classes(runs[index], "a measure of what networks predict")
        study, dataset, net = bind(runs[index].study, data_dir)
        require_same_function(runs[index], net)
        data = Resident(dataset, study.data.normalisation, torch.device("cpu"))
        return Exam(net, data, examples_of(data))

    places = {run.path.name: index for index, run in enumerate(runs)}
    return lambda subject: exam_of(places.get(run_of(subject), 0))


def run_of(subject: Subject) -> str:
    """The name of the run that a subject is a cell of, empty for one made elsewhere."""
    return subject.replicate.rpartition(":")[0]
