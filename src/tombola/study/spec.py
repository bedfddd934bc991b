"""Studies as data: typed, validated, with an identity that survives new options."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Annotated, Any, Literal, Self, TypeVar

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from tombola import parts
from tombola.data.spec import DataSpec
from tombola.errors import UserError, nearest
from tombola.files import canonical
from tombola.lottery.arms.catalog import ARMS, CONTINUED, TICKET, Arm
from tombola.lottery.cell import Cell, level_cells
from tombola.lottery.modes import check_rewind
from tombola.metrics import METRICS
from tombola.models.spec import ModelSpec
from tombola.plugins.source import Code
from tombola.seeds import Seeds
from tombola.study.arm_spec import ArmSpec, check_starts
from tombola.study.claims import Expectation, Hypothesis, check_hypotheses, check_metric
from tombola.study.compare_table import CompareTable
from tombola.study.fields import MOST_CELLS, MOST_LEVELS, MOST_REPLICATES, Name, Replicates
from tombola.study.pruning import Pruning
from tombola.study.routes import DONORS, OWN, RouteArm, RouteSpec, SourceSpec
from tombola.table import Table, place_of
from tombola.text import counted
from tombola.training.recipe import Recipe

DECIDING = ("seed", "model", "data", "recipe", "pruning", "store", "donors", "donor_pool")
"""The keys of a study that decide what comes out of a cell."""


class StoreSpec(BaseModel):
    """The [store] table: which weights are kept on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: Literal["all", "living", "masks"] = "living"
    """`living` weights, `all` of them, or `masks` alone."""


class Study(Table):
    """A whole experiment. `levels = n` means levels 0..n, 0 being the dense network.

    `donors` are ladders beside the replicates, without arms and with seeds of their own, whose tickets lend their
    structure to arms that ask for it: replicate r takes from donor r (mod donors). By default, and where an arm asks,
    there are as many as replicates. A claim on a consensus of donors is conditional on that pool of them; another
    `donor_pool` draws others, for the same replicates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = "study"
    """What its run folder is called."""
    title: str = ""
    """What its report is called."""
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    """The root of all random streams."""
    replicates: Replicates = 3
    """Networks of independent seeds: the unit of every statistic."""
    levels: Annotated[int, Field(ge=0, le=MOST_LEVELS, strict=True)] = 10
    """How often the ladder is pruned; level 0 is dense."""
    donors: Annotated[int, Field(ge=0, le=MOST_REPLICATES, strict=True)] = 0
    """How many further ladders lend their structure to arms."""
    donor_pool: Annotated[int, Field(ge=0, strict=True)] = 0
    """Which pool of donors; another number draws others."""
    imports: tuple[str, ...] = ()
    """Modules, and files of Python, that register parts of one's own; relative to the current folder."""
    model: ModelSpec
    """The network."""
    data: DataSpec
    """The data set and how it is split."""
    recipe: Recipe = Recipe()
    """How a network is trained."""
    pruning: Pruning = Pruning()
    """What is pruned, when, and where tickets start from."""
    arms: tuple[ArmSpec, ...] = ()
    """What is trained beside the ticket."""
    route: tuple[RouteSpec, ...] = ()
    """Tickets that are made from other tickets, and trained beside the ordinary ones."""
    sources: dict[Name, SourceSpec] = {}  # noqa: RUF012 (pydantic copies it)
    """Ladders beside the study that routes take from."""
    hypothesis: tuple[Hypothesis, ...] = ()
    """What is claimed before anything is trained."""
    expect: tuple[Expectation, ...] = ()
    """Published numbers that the report holds beside its own."""
    compare: CompareTable | None = None
    """How tickets are compared once they are trained; left out, they are not, but for what hypotheses ask."""
    store: StoreSpec = StoreSpec()
    """What is kept on disk."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_rewind(self.pruning.rewind, self.recipe.iterations)
        if (self.pruning.rounds or 0) > self.recipe.iterations:
            raise ValueError(
                f"pruning.rounds is {self.pruning.rounds}, expected at most the recipe's {self.recipe.iterations} "
                "iterations"
            )
        if self.pruning.search:
            self.pruning.search.require(self.pruning.rule, self.recipe)
        names = [*(arm.name for arm in self.arms), *(arm.name for arm in self.route_arms)]
        for arm in self.arms if self.pruning.after == "fine-tune" else ():
            if arm.arm.weights != "trained":
                raise ValueError(
                    f"after = 'fine-tune' trains at the last learning rate, from which arm '{arm.name}' could not "
                    "learn: expected weights = 'trained'"
                )
        check_starts(self.arms, self.pruning.mode, self.pruning.after)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"arm '{name}' is listed twice; use draws = n for repetitions")
        self._is_of_a_size()
        self._is_measured_so()
        check_hypotheses(self.hypothesis, [*names, *([self.search_arm] if self.search_arm else [])])
        for arm_name in self.compare.arms if self.compare else ():
            if arm_name not in (known := [TICKET, *names]):
                raise ValueError(
                    f"[compare] has arm '{arm_name}', which is not trained{nearest(arm_name, known)}"
                )
        taking = [arm.name for arm in self.arms if "donor" in arm.arm.traits]
        if taking := taking + [arm.name for arm in self.route_arms if DONORS in arm.sources]:
            self._can_be_lent_to(taking[0])
        if self.donor_pool and not self.donors:
            raise ValueError(
                f"donor_pool = {self.donor_pool} names a pool of donors, and this study has none; expected donors = 1 "
                "or more, or an arm that takes from them"
            )
        self._routes_fit()
        return self

    def _is_measured_so(self) -> None:
        """Raises ValueError for what is asked in another metric than the study's, and for criteria that are of classes
        where it has none."""
        metric = METRICS[self.recipe.metric]
        asked = [(f"hypothesis '{each.name}'", each.quantity) for each in self.hypothesis]
        asked += [(f"[[expect]] of '{each.source}'", each.quantity) for each in self.expect]
        check_metric(metric, asked)
        if metric.of_targets and parts.facts("criterion", self.pruning.criterion).get("probe"):
            raise ValueError(
                f"pruning.criterion '{self.pruning.criterion}' looks at gradients by class, and recipe.metric = "
                f"'{metric.name}' is of targets that are numbers; expected one of weights, such as 'large-final'"
            )

    def _routes_fit(self) -> None:
        """Raises ValueError for routes from sources that are not there, and for sources that none takes from or that
        cannot lend."""
        arms = self.route_arms
        if arms and self.pruning.after == "fine-tune":
            raise ValueError(
                f"after = 'fine-tune' trains at the last learning rate, from which route '{arms[0].name}' could not "
                "learn: expected 'rewind' or 'learning-rate'"
            )
        for arm in arms if self.pruning.after == "learning-rate" else ():
            if arm.start == "own" or OWN in arm.sources:
                raise ValueError(
                    f"after = 'learning-rate' has tickets start from trained weights, and route '{arm.name}' is "
                    f"{arm}, which takes those of the iteration of rewinding for theirs: expected after = 'rewind', or "
                    "tickets of others and start = 'route'"
                )
        for arm in arms:
            if arm.name in parts.names("search"):
                raise ValueError(f"route '{arm.name}' has the name of a mode; give it another name")
            for source in arm.sources:
                if source not in (known := [OWN, DONORS, *self.sources]):
                    raise ValueError(
                        f"route '{arm.name}': there is no [sources.{source}] to take from{nearest(source, known)}"
                    )
        for name in self.sources:
            if name in (OWN, DONORS) or not any(name in arm.sources for arm in arms):
                why = (
                    "is what the study's own are called"
                    if name in (OWN, DONORS)
                    else "is a source of no route"
                )
                raise ValueError(f"[sources.{name}] {why}; give it another name, or leave it out")
            if self.store.keep == "masks":
                raise ValueError(
                    f'[sources.{name}] lends its start weights, which [store] keep = "masks" drops; expected "living" '
                    'or "all"'
                )
            self._shares_its_split(name, self.source(name))

    def _shares_its_split(self, name: str, source: Study) -> None:
        """Raises ValueError where tickets of a source were selected by what a replicate that takes one has to learn."""
        if source.data.name != self.data.name or source.data.digest != self.data.digest:
            return
        if (source.data.validation, source.data.split) != (self.data.validation, self.data.split):
            raise ValueError(
                f"[sources.{name}] has the study's data, and another validation set; leave that out"
            )
        if self.data.split == "replicate" and (source.seed, source.replicates) != (
            self.seed,
            self.replicates,
        ):
            raise ValueError(
                f"[sources.{name}] has the study's data, and its masks have seen the validation examples of other "
                'replicates: expected [data] split = "study", one validation set for all'
            )
        if self.data.split == "study" and source.seed != self.seed:
            raise ValueError(
                f"[sources.{name}] has the study's data and seed {source.seed}, which draws another validation set, so "
                f"that its masks have seen the study's: expected the study's seed, {self.seed}, or other data"
            )

    def source(self, name: str) -> Study:
        """The study that a source is, without arms and with as many levels as this one. Raises UserError for a table
        that is none."""
        own = self.model_dump(mode="json", exclude_defaults=True, exclude={"route", "sources"})
        own |= {"seed": self.seed, "replicates": self.replicates}
        try:
            return Study.model_validate(
                {
                    **self.sources[name].over(own),
                    "name": name,
                    "levels": self.levels,
                    "store": self.store.model_dump(),
                }
            )
        except ValidationError as problem:
            error = problem.errors()[0]
            place, said = place_of(error["loc"]), error["msg"].removeprefix("Value error, ")
            raise UserError(f"[sources.{name}] {place}: {said[:1].lower()}{said[1:]}") from None

    @property
    def route_arms(self) -> tuple[RouteArm, ...]:
        """The arms of routes, each route's own before its controls."""
        return tuple(arm for route in self.route for arm in route.arms)

    def _is_of_a_size(self) -> None:
        """Raises ValueError for more cells than anyone can train: they are listed more than once."""
        drawn = sum(
            draws
            for level in range(1, self.levels + 1)
            for name, draws in self.arms_at(level)
            if name != TICKET
        )
        count = self.replicates * (1 + self.levels * (2 if self.search_arm else 1) + drawn)
        if count > MOST_CELLS:
            raise ValueError(
                f"{counted(self.replicates, 'replicate')} of {counted(self.levels, 'level')} with these arms are "
                f"{count:,} networks; expected at most {MOST_CELLS:,}"
            )

    def _can_be_lent_to(self, arm: str) -> None:
        """Raises ValueError where donors cannot lend; fills in how many there are."""
        if self.data.split != "study":
            raise ValueError(
                f"arm '{arm}' takes from donors, whose masks have seen the validation examples of other replicates: "
                'expected [data] split = "study", one validation set for all'
            )
        if self.store.keep == "masks":
            raise ValueError(
                f'arm \'{arm}\' is aligned by dense networks, which [store] keep = "masks" drops; expected "living" or '
                '"all"'
            )
        if not self.donors:
            self.__dict__["donors"] = self.replicates
            self.__pydantic_fields_set__.add("donors")

    def arms_at(self, level: int) -> list[tuple[str, int]]:
        """(name, draws) of the arms at a level."""
        every: list[ArmSpec | RouteArm] = [*self.arms, *self.route_arms]
        listed = [(arm.name, arm.draws) for arm in every if arm.levels is None or level in arm.levels]
        if self.pruning.mode == "continued":  # what is pruned has to be trained, listed or not
            return [(CONTINUED, 1), *(arm for arm in listed if arm[0] != CONTINUED)]
        return listed

    def cells(self) -> list[Cell]:
        """Every cell, in the order of training."""
        return [
            cell
            for level in range(self.levels + 1)
            for r in range(self.replicates)
            for cell in level_cells(r, level, self.arms_at(level), self.search_arm)
        ]

    @property
    def code(self) -> list[Code]:
        """Code of one's own that it names."""
        return [*map(Code, self.imports), *self.model.code, *self.recipe.code]

    @property
    def trained_arms(self) -> tuple[ArmSpec, ...]:
        """The arms as this ladder has them: each at those of its levels that are on it, without those of no level."""
        found = []
        for arm in self.arms if self.levels else ():
            here = arm.levels and tuple(level for level in arm.levels if level <= self.levels)
            if here != ():
                found.append(arm.model_copy(update={"levels": here}))
        return tuple(found)

    @property
    def trained_routes(self) -> tuple[RouteArm, ...]:
        """The arms of routes as this ladder has them, see `trained_arms`."""
        found = []
        for arm in self.route_arms if self.levels else ():
            here = arm.levels and tuple(level for level in arm.levels if level <= self.levels)
            if here != ():
                found.append(replace(arm, levels=here))
        return tuple(found)

    @property
    def pruned_arms(self) -> tuple[str, ...]:
        """The arms whose end decides whether a ladder goes on; the last of them is what is pruned, below dense."""
        return (TICKET, CONTINUED) if self.pruning.mode == "continued" else (TICKET,)

    @property
    def search_arm(self) -> str | None:
        """What the cells are called whose trainings find the masks of their levels; None where masks are pruned."""
        return self.pruning.mode if self.pruning.mode in parts.names("search") else None

    @property
    def ladder_arms(self) -> frozenset[str]:
        """The arms whose every draw has a ladder of its own."""
        return frozenset(arm.name for arm in self.arms if "ladder" in arm.arm.traits)

    @property
    def source_arms(self) -> frozenset[str]:
        """The arms whose trained weights masks of later levels are made from."""
        return self.ladder_arms | {TICKET, CONTINUED}

    def first_iteration(self, cell: Cell) -> int:
        """The iteration that a cell's training begins at: a dense network and a search begin at 0."""
        return self.pruning.rewind if cell.level and cell.arm != self.search_arm else 0

    def recipe_at(self, level: int) -> Recipe:
        """How the networks of a level are trained."""
        pruning = self.pruning
        if pruning.rounds is not None and level not in pruning.whole:
            return self.recipe.model_copy(update={"iterations": pruning.rounds})
        return self.recipe.at_its_end() if level and pruning.after == "fine-tune" else self.recipe

    @property
    def treatments(self) -> dict[str, Arm]:
        """Name -> arm: of the ticket, of what goes on beside it, and of the study's own."""
        ticket = ARMS[TICKET] if self.pruning.after == "rewind" else ARMS[CONTINUED]
        goes_on = {CONTINUED: ARMS[CONTINUED]} if self.pruning.mode == "continued" else {}
        return {**goes_on, **{each.name: each.arm for each in self.arms}, TICKET: ticket}

    def deciding(self) -> dict[str, Any]:
        """What decides a cell's bits: seed, model, data, recipe, pruning and the kept weights, as JSON.

        What can be extended or changed without changing a cell is left out, and options at their default do
        not enter, so an old id stays valid when an option is added.
        """
        content = self.model_dump(mode="json", include=set(DECIDING), exclude_defaults=True)
        if content.get("pruning", {}).get("search") == {}:
            del content["pruning"]["search"]  # which search it is, `mode` says
        if self.sources:
            content["sources"] = {name: self.source(name).deciding() for name in sorted(self.sources)}
        return content

    def identity(self) -> str:
        """8 hex digits of what decides a cell's bits."""
        return hashlib.sha256(canonical(self.deciding()).encode()).hexdigest()[:8]

    def seeds(self, replicate: int) -> Seeds:
        """The random streams of a replicate."""
        return Seeds.replicate(self.seed, replicate, shared_split=self.data.split == "study")

    @property
    def folder(self) -> str:
        """Name of the run folder: `<name>-<identity>`."""
        return f"{self.name}-{self.identity()}"

    def to_toml(self, defaults: bool = True) -> str:
        """The whole resolved spec, or without `defaults` what it sets, short lists on a line each."""
        if defaults:
            return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))
        text = tomli_w.dumps(self.model_dump(mode="json", exclude_none=True, exclude_defaults=True))
        lists = re.compile(r"= \[\n((?:    [^\[{\n]*,\n)+)\]")
        return lists.sub(lambda found: f"= [{' '.join(found[1].split()).rstrip(',')}]", text)

    def widened(self, other: Study) -> Study:
        """This study with the levels, replicates and arms of both: what a run folder holds after an extension.

        Draws are the larger number, and an arm is at the levels of either. Raises UserError where an arm of one
        name is another arm here than there.
        """
        arms = {arm.name: arm for arm in other.arms}
        routes = {route.name: route for route in other.route}
        was = {**{arm.name: str(arm.arm) for arm in other.arms}, **{a.name: str(a) for a in other.route_arms}}
        now = {**{arm.name: str(arm.arm) for arm in self.arms}, **{a.name: str(a) for a in self.route_arms}}
        for name in now:
            if was.get(name, now[name]) != now[name]:
                raise UserError(
                    f"arm '{name}' is {now[name]}, but the run has an arm of that name that is {was[name]}; give it "
                    "another name"
                )
        for arm in self.arms:
            arms[arm.name] = _of_both(arm, arms.get(arm.name, arm))
        for route in self.route:
            both = _of_both(route, old := routes.get(route.name, route))
            controls = {each.name: each for each in (*old.controls, *route.controls)}
            routes[route.name] = both.model_copy(update={"controls": tuple(controls.values())})
        return self.model_copy(
            update={
                "levels": max(self.levels, other.levels),
                "replicates": max(self.replicates, other.replicates),
                "arms": tuple(arms.values()),
                "route": tuple(routes.values()),
                "imports": tuple(dict.fromkeys([*other.imports, *self.imports])),
            }
        )


Entry = TypeVar("Entry", ArmSpec, RouteSpec)


def _of_both(new: Entry, old: Entry) -> Entry:
    """An arm's or a route's table with the draws and the levels of either."""
    levels = (
        None
        if None in (new.levels, old.levels)
        else tuple(sorted({*(new.levels or ()), *(old.levels or ())}))
    )
    return new.model_copy(update={"draws": max(new.draws, old.draws), "levels": levels})
