"""From a study to its cells: what will be trained, at which densities, and what it will cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch

from tombola.data.dataset import Dataset
from tombola.data.resident import Resident
from tombola.data.split import split
from tombola.errors import UserError
from tombola.lottery.arms.catalog import LAYER_ARMS, Arm
from tombola.lottery.arms.masks import rule_of
from tombola.lottery.cell import Cell
from tombola.lottery.lottery import Lottery
from tombola.masks.ladder import ladder
from tombola.masks.probe import Probing, balanced_batch, prober
from tombola.masks.rule import rates_for
from tombola.masks.structure import structure
from tombola.models.architecture import Architecture
from tombola.models.state import MATRIX
from tombola.models.units import unit_axes
from tombola.seeds import Seeds
from tombola.study.arm_spec import ArmSpec
from tombola.study.ladders import SOURCES, SourceStudy, ladders_of, steps_at_most
from tombola.study.routing import try_routes
from tombola.study.spec import Study
from tombola.training.foreign_noise import require_batch
from tombola.training.search.base import Method
from tombola.training.search.early_bird import EarlyBirds

CURVE_ROW, SMALL_FILES = 14, 4_000
"""Bytes of one row of a history, packed, and of a cell's records and headers: measured, and about right."""


@dataclass(frozen=True)
class Source:
    """A source of routes bound to its data and its network, with its own plan."""

    plan: Plan
    dataset: Dataset


@dataclass(frozen=True)
class Plan:
    """A study bound to an architecture: its lottery with the exact ladder, and its cells."""

    study: Study
    architecture: Architecture
    lottery: Lottery
    sources: Mapping[str, Source] = field(default_factory=dict)
    """What its routes take from, by name."""

    @property
    def densities(self) -> list[float]:
        """Density of each level, dense first."""
        size = sum(prod(self.architecture.shapes[name]) for name in self.architecture.prunable)
        return [sum(counts.values()) / size for counts in self.lottery.alive]

    @property
    def pinned(self) -> bool:
        """Whether some arm freezes dead weights, at values that may not be zero."""
        return any(arm.pins for arm in self.lottery.treatments.values())

    @property
    def moving(self) -> bool:
        """Whether some trainings change masks on their way."""
        return self.lottery.method is not None

    @property
    def notices(self) -> list[str]:
        """What should be said before anything is trained: of frozen layers that are pruned, and of a network of which
        less than half is prunable."""
        return [said for said in (self._frozen_and_pruned(), self.architecture.scope.warning()) if said]

    def cells(self) -> list[Cell]:
        """Every cell of the study, in the order of training."""
        return self.study.cells()

    def ladder_cells(self) -> list[Cell]:
        """The cells of the ladders of its own network that its arms take from, donors and twins."""
        return [
            cell
            for kind, study in ladders_of(self.study).items()
            if not kind.startswith(SOURCES)
            for cell in study.cells()
        ]

    def trainings(self) -> list[Cell]:
        """Everything that is trained, sources of routes aside: they have plans of their own."""
        return [*self.ladder_cells(), *(cell for cell in self.cells() if self.network_iterations(cell))]

    def _frozen_and_pruned(self) -> str | None:
        names = [
            n for n in self.architecture.prunable if n in self.architecture.frozen and self.lottery.rates[n]
        ]
        if not names or self.study.levels == 0:
            return None
        first, others = names[0], len(names) - 1
        more = f" and {others} other layer{'s are' if others > 1 else ' is'}" if others else " is"
        how = (
            "by a mask that stays as it is drawn"
            if self._draws_masks
            else f"by '{self.lottery.rule.criterion}'"
        )
        return (
            f"'{first}'{more} frozen (requires_grad = False): never trained, and pruned all the same, {how}; a rate "
            f'of 0 keeps it whole ([pruning.rates] "{first}" = 0)'
        )

    @property
    def _draws_masks(self) -> bool:
        """Whether the mode draws at random the masks of what is not trained."""
        return self.lottery.method is not None and not self.lottery.method.scores_frozen

    def network_iterations(self, cell: Cell) -> int:
        """Optimizer steps that a cell takes, at the most where its training ends when masks stand still."""
        return steps_at_most(self.study, cell)

    def bytes_on_disk(self) -> int:
        """About how much the run folder will hold: masks, curves, and the kept weights as float32."""
        study, shapes = self.study, self.architecture.shapes
        params = sum(prod(shape) for shape in shapes.values())
        prunable = sum(prod(shapes[name]) for name in self.architecture.prunable)
        keep, rewound = study.store.keep, study.pruning.rewind > 0
        # A replicate's initial weights, and those of the iteration that its tickets go back to.
        total = study.replicates * params * 4 * ((keep != "masks") + rewound)
        if self.lottery.watcher:  # a mask for each level, and distances
            total += int(study.replicates * study.levels * (prunable / 8 + SMALL_FILES))
        for cell in self.trainings():
            living = params - prunable + prunable * self.densities[cell.level]
            # The end, the best, and a start of its own where the weights are not the ticket's.
            arm = self.lottery.treatments.get(cell.arm, Arm())  # a search starts from the initial weights
            best = params if cell.arm == study.search_arm else living
            ends = 2 * params if keep == "all" or arm.pins else living + best
            own = 0 if arm.rewinds else params if arm.pins else living
            start = study.first_iteration(cell)
            recipe = study.recipe_at(cell.level)
            rows = len(recipe.evaluations(start)) + 2 * len(recipe.curve_points(start))
            weights = 0 if keep == "masks" else 4 * (ends + own)
            total += int(prunable / 8 + weights + CURVE_ROW * rows + SMALL_FILES)
        return total + sum(source.plan.bytes_on_disk() for source in self.sources.values())


def make_plan(study: Study, architecture: Architecture, sources: Mapping[str, Source] | None = None) -> Plan:
    """Bind a study to an architecture, and to the sources of its routes where these are wanted (see `bind_sources`).

    Raises UserError when a rate names nothing, a ladder would empty a layer, an arm needs what is not there, a route
    cannot be gone, or the network cannot be trained on batches of one that the recipe asks for.
    """
    require_batch(architecture, study.recipe)
    rule, search = study.pruning.rule, study.pruning.search
    rates = rates_for(rule, architecture.roles)
    shapes = architecture.prunable_shapes
    alive = ladder(shapes, rates, rule.allocation, study.levels, rule.structure)
    for arm in study.arms:
        _require_what_it_needs(arm, study.replicates, architecture)
    lottery = Lottery(
        architecture=architecture,
        rule=rule,
        rates=rates,
        alive=alive,
        rewind=study.pruning.rewind,
        mode=study.pruning.mode,
        arms=study.arms_at,
        treatments=study.treatments,
        method=search if isinstance(search, Method) else None,
        watcher=search if isinstance(search, EarlyBirds) else None,
        asked=study.asked if isinstance(study, SourceStudy) else None,
    )
    for arm in study.arms:
        _require_layer_counts(arm, lottery)
    plan = Plan(study, architecture, lottery, sources or {})
    if sources is not None:
        networks = {name: source.plan.architecture for name, source in sources.items()}
        try_routes(study.trained_routes, lottery, plan.densities, networks)
    return plan


def _require_what_it_needs(entry: ArmSpec, replicates: int, architecture: Architecture) -> None:
    """Raise UserError for an arm that draws new weights where there is nothing to draw them from, takes the mask
    of a partner where some replicate has none, or reorders hidden units that cannot be told apart."""
    traits = entry.arm.traits
    if "donor" in traits and not architecture.can_reinit:
        raise UserError(
            f"arm '{entry.name}' takes from donors, which start from weights of their own, and {architecture.name} has "
            "no initialiser to draw them from; hand in a factory that draws its weights, or leave the arm out"
        )
    if "initialiser" in traits and not architecture.can_reinit:
        raise UserError(
            f"arm '{entry.name}' draws new weights, and {architecture.name} has no initialiser to draw them "
            "from; hand in a factory that draws its weights, or leave the arm out"
        )
    if "partner" in traits and replicates % 2:
        raise UserError(
            f"arm '{entry.name}' takes the mask of the partner replicate (0 and 1, 2 and 3, ...), so that "
            f"replicates must be even, found {replicates}"
        )
    first = architecture.prunable[0]
    if "inputs" in traits and architecture.roles[first] == MATRIX:
        raise UserError(
            f"arm '{entry.name}' looks at which inputs the first layer reads, and '{first}' of {architecture.name} is "
            "neither linear nor a convolution; leave the arm out"
        )
    layer = LAYER_ARMS.get(entry.arm.mask, 0)
    if layer > len(architecture.prunable):
        raise UserError(
            f"arm '{entry.name}' aligns tensor {layer}, and {architecture.name} has {len(architecture.prunable)} that "
            "are pruned; leave the arm out"
        )
    if "units" in traits:
        try:
            hidden = unit_axes(architecture)
        except UserError as problem:
            raise UserError(f"arm '{entry.name}' reorders hidden units: {problem}") from None
        if not hidden:
            raise UserError(f"arm '{entry.name}' reorders hidden units, and {architecture.name} has none")


def _require_layer_counts(entry: ArmSpec, lottery: Lottery) -> None:
    """Raise UserError for an arm that prunes to the ticket's counts where its criterion or the structure cannot, and
    for a ladder of its own where the ticket's counts may rise again on the way down."""
    if "prunes" not in entry.arm.traits:
        return
    rule, architecture = rule_of(entry.arm.mask, lottery.rule), lottery.architecture
    kind = structure(rule.structure)
    for name in architecture.prunable:
        sizes = np.bincount(kind.groups(architecture.shapes[name]))
        if lottery.rates[name] and kind.most is None and sizes.min() < sizes.max():
            raise UserError(
                f"arm '{entry.name}' prunes to the ticket's count in each layer, but groups of structure "
                f"'{rule.structure}' have {sizes.min()} to {sizes.max()} weights in '{name}'; expected a structure of "
                "equal groups, or no such arm"
            )
    fixed = set(architecture.prunable) <= set(lottery.alive[0])
    if "ladder" in entry.arm.traits and not fixed and lottery.mode not in ("iterative", "continued"):
        raise UserError(
            f"arm '{entry.name}' prunes its own mask to the ticket's counts, which may rise in a layer from one level "
            f"to the next by allocation '{rule.allocation}' in mode '{lottery.mode}'; expected mode 'iterative' or "
            "'continued', or an allocation that fixes the count of each layer"
        )


EACH = 10
"""Examples of every class in a probe's batch (Lee et al. 2019 and Wang et al. 2020 take as many)."""


def probing(plan: Plan, data: Resident, seeds: Seeds) -> Probing:
    """What makes the probes of one replicate: always on the same examples, all of them from its training part."""
    train = split(data.n_train, plan.study.data.validation, seeds.stream("split")).train
    picked = balanced_batch(data.train_y.cpu().numpy()[train], EACH, seeds.stream("probe"))
    rows = torch.from_numpy(train[picked]).to(data.device)
    return prober(plan.architecture, data.train(rows), data.train_y[rows])
