"""The replicates of a run before and early in their training: dense networks, trained anew for a few steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from tombola.alignment.network import Network
from tombola.alignment.weights import match_weights
from tombola.data.dataset import Dataset
from tombola.data.resident import Resident
from tombola.data.split import split
from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.masks.mask import Mask
from tombola.masks.probe import Probing
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.models.units import permute
from tombola.runs.environment import EngineRecord
from tombola.runs.folder import Run
from tombola.seeds import Seeds
from tombola.study.bind import bind
from tombola.study.plan import Plan, make_plan, probing
from tombola.training.device import prepare
from tombola.training.loop import first_steps, train_stack
from tombola.training.memory import networks_that_fit
from tombola.training.start import Start
from tombola.training.trained import Trained
from tombola.transfer.features import Columns, Floats, Young, saliency, seen
from tombola.transfer.prediction import Aligned, Told

T = TypeVar("T")
EXAMPLES = 5000
"""Training examples that means and deviations of inputs are taken over."""


@dataclass(frozen=True)
class Replicates:
    """Those of a run that have a ticket at a level, with what trains them again."""

    run: Run
    plan: Plan
    data: Resident
    engine: str
    level: int
    masks: dict[int, Mask]
    """Replicate -> its ticket's mask."""

    @classmethod
    def of(
        cls,
        run: Run,
        level: int | None = None,
        *,
        device: str = "auto",
        data_dir: Path | None = None,
        dataset: Dataset | None = None,
        model: nn.Module | Callable[..., nn.Module] | None = None,
    ) -> Replicates:
        """Those of a run; by default at the deepest level of its study. Raises UserError for a level that it has not,
        and level 0, where everything lives."""
        prepare()
        level = run.study.levels if level is None else level
        if not 1 <= level <= run.study.levels:
            raise UserError(f"--level {level}: expected a level with tickets, 1 to {run.study.levels}")
        spec, dataset, net = bind(run.study, data_dir, dataset, model)
        record = EngineRecord.of(run, net, dataset, spec.seed, spec.recipe, False, False, device=device)
        cells = [Cell(r, level, TICKET, 0) for r in range(spec.replicates)]
        masks = {
            cell.replicate: run.mask(cell)
            for cell in cells
            if run.has(cell) and run.record(cell).status == "ok"
        }
        data = record.resident(dataset, spec.data.normalisation, device)
        return cls(run, make_plan(spec, net), data, record.record["engine"], level, masks)

    @property
    def net(self) -> Architecture:
        """Their architecture."""
        return self.plan.architecture

    def starts(self) -> dict[int, Start]:
        """What their dense networks start from, drawn again."""
        study, dense = self.plan.study, Mask.dense(self.net.prunable_shapes)
        seeds = {r: study.seeds(r) for r in self.masks}
        return {r: Start(self.net.initial(each.stream("init")), dense, each) for r, each in seeds.items()}

    def after(self, steps: Sequence[int]) -> dict[int, dict[int, State]]:
        """Replicate -> steps -> the state of its dense network then. Raises UserError for steps that the recipe has
        not."""
        study, starts = self.plan.study, self.starts()
        for k in steps:
            if not 0 <= k <= study.recipe.iterations:
                raise UserError(
                    f"--steps {k}: expected 0 to the recipe's {study.recipe.iterations} iterations"
                )
        found: dict[int, dict[int, State]] = {}
        for part in self._stacks(list(starts)):
            states = first_steps(
                self.net,
                [starts[r] for r in part],
                self.data,
                study.recipe,
                study.data.validation,
                steps,
                engine=self.engine,
            )
            found |= dict(zip(part, states, strict=True))
        return found

    def trained(self, starts: Sequence[Start]) -> list[Trained]:
        """Networks trained to the end of the study's recipe from these starts."""
        study = self.plan.study
        return [
            trained
            for part in self._stacks(starts)
            for trained in train_stack(
                self.net, part, self.data, study.recipe, study.data.validation, engine=self.engine
            )
        ]

    def prober(self, seeds: Seeds) -> Probing:
        """What makes the probes of a replicate, from its training examples."""
        return probing(self.plan, self.data, seeds)

    def _stacks(self, networks: Sequence[T]) -> list[Sequence[T]]:
        size = networks_that_fit(self.net, self.data.device, self.plan.study.recipe, self.engine)
        return [networks[place : place + size] for place in range(0, len(networks), size)]

    def told(self, states: dict[int, dict[int, State]], steps: int) -> list[Told]:
        """Their features after so many steps (0 is among `states`), their tickets and their streams."""
        return [
            Told(r, self._seen(r, states[r], steps), self.masks[r], self.plan.study.seeds(r))
            for r in self.masks
        ]

    def aligned(self, early: dict[int, State]) -> Aligned:
        """The tickets of all in the order of units of each, by the weights that their networks have early on."""
        network, names = self.net.ask(Network.of), list(self.net.prunable)
        study = self.plan.study
        found = {}
        for a in self.masks:
            for b in self.masks:
                if a != b:
                    rng = study.seeds(a).stream("predict", "match", b)
                    order = match_weights(early[a], early[b], network, names, rng)
                    found[a, b] = Mask(permute(self.masks[b], network.groups, order))
        return found

    def _seen(self, r: int, states: dict[int, State], steps: int) -> dict[str, Columns]:
        early = states[steps]
        probe = self.prober(self.plan.study.seeds(r))
        scores = saliency(probe(early, Mask.dense(self.net.prunable_shapes)), early, self.net.prunable)
        return seen(self.net, Young(states[0], early, scores, self._inputs))

    @cached_property
    def _inputs(self) -> Floats:
        """Mean and deviation of each input over the first replicate's training examples, [2, *input shape]; empty where
        they are whole numbers, such as token ids."""
        seeds = self.plan.study.seeds(0)
        part = split(self.data.n_train, self.plan.study.data.validation, seeds.stream("split")).train
        x = self.data.train(torch.from_numpy(part[:EXAMPLES]).to(self.data.device)).cpu()
        if not x.is_floating_point():
            return np.empty((2, 0))
        values = x.double().numpy()
        return np.stack([values.mean(0), values.std(0)])
