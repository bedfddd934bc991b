"""The [pruning] table of a study: the prune rule, when it is applied, and where tickets start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator, model_validator

from tombola import parts
from tombola.errors import nearest
from tombola.lottery.modes import MODES, After, Mode
from tombola.lottery.ticket import Ticket
from tombola.masks.allocation import LIKE, allocation_like
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule
from tombola.training.recipe import Count, PositiveInt
from tombola.training.search.bird import EARLY_BIRD, SHORT_ROUNDS
from tombola.training.search.options import Options


def with_ticket_read(allocation: str) -> str:
    """The name of an allocation; where it is `like:` and a path, with the layers of the ticket there instead.

    The path is that of a cell folder or a ticket file, from the current folder. Raises UserError where there is none.
    """
    if not allocation.startswith(LIKE) or "=" in allocation:
        return allocation
    path = Path(allocation.removeprefix(LIKE))
    mask = Mask.load(path / "mask.safetensors") if path.is_dir() else Ticket.load(path).mask
    return allocation_like(mask)


def options_of(mode: str) -> type[Options]:
    """The options that a mode has in [pruning.search], of one that searches or watches."""
    from tombola.training.search.base import SEARCHES
    from tombola.training.search.early_bird import EarlyBirds, ShortRounds

    return {EARLY_BIRD: EarlyBirds, SHORT_ROUNDS: ShortRounds}.get(mode) or SEARCHES[mode]


class Pruning(PruneRule):
    """The [pruning] table: the prune rule, when it is applied, and where tickets start from.

    `mode`: `iterative` prunes the ticket of the level before (Frankle & Carbin 2019, Strategy 1); `continued` a network
    that is trained on and on and never reset, beside which each ticket is trained from its rewound weights (Strategy
    2, App. B); `one-shot` prunes the trained dense network once, to the same counts, and `at-init` the initial one.
    `early-bird` prunes the dense network once, to the same counts, as soon as its masks stand still;
    `short-rounds` the ticket of the level before, as soon as the next mask stands still. Any other mode is
    a search: a training of its own finds the mask of each level. `search` has the options of these two kinds.

    `rounds` is for mode `iterative`: how many iterations the ladder's trainings have, but for those at the levels that
    are listed in `whole`, which have all of the recipe's (0 is dense). Masks are pruned from what such a round ends
    with. A schedule that ends with the training does so in a round as well.

    `after`: `rewind` puts a ticket's weights and its schedule back to iteration `rewind`; `learning-rate` the schedule
    alone; `fine-tune` neither: it trains on for as many iterations at the last learning rate (Renda et al. 2020).
    """

    mode: Mode = "iterative"
    """When masks are made. A name of `tombola catalog modes`."""
    after: After = "rewind"
    """What a ticket starts from once it is pruned: a name of `tombola catalog rewinds`."""
    rewind: Count = 0
    """The iteration that weights and schedule go back to."""
    rounds: PositiveInt | None = None
    """How many iterations the trainings of the ladder are cut to; whole when left out."""
    whole: Annotated[tuple[Count, ...], Field(strict=False)] = ()
    """The levels whose trainings are whole all the same."""
    search: SerializeAsAny[Options] | None = Field(default=None, validate_default=True)
    """The options of a mode that searches or watches."""

    @field_validator("allocation", mode="before")
    @classmethod
    def _ticket_read(cls, name: object) -> object:
        return with_ticket_read(name) if isinstance(name, str) else name

    @field_validator("mode")
    @classmethod
    def _known_mode(cls, name: str) -> str:
        known = {*MODES, *parts.names("search")}
        if name not in known:
            raise ValueError(f"unknown mode '{name}'{nearest(name, known)}")
        return name

    @field_validator("search", mode="before")
    @classmethod
    def _options_of_the_mode(cls, given: object, info: ValidationInfo) -> Options | None:
        mode = info.data.get("mode", "")  # absent where it was refused
        if mode not in (known := [*parts.names("search"), EARLY_BIRD, SHORT_ROUNDS]):
            if given is not None and mode:
                raise ValueError(
                    f"mode = '{mode}' does not search; expected mode = {' or '.join(map(repr, known))}"
                )
            return None
        method = options_of(mode)
        if given is None or isinstance(given, method):
            return given or method()
        if not isinstance(given, dict):
            raise ValueError(f"is {given!r}, expected a table with {', '.join(method.model_fields)}")
        try:
            return method(**given)
        except ValidationError as problem:
            error = problem.errors()[0]
            key = str(error["loc"][0]) if error["loc"] else ""
            if error["type"] == "extra_forbidden":
                raise ValueError(
                    f"mode '{mode}' has no option '{key}'{nearest(key, method.model_fields)}"
                ) from None
            raise ValueError(
                f"{key} is {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
            ) from None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.after != "rewind" and (self.mode in ("continued", "at-init") or self.search):
            raise ValueError(
                f"mode = '{self.mode}' trains tickets from rewound weights; after = '{self.after}' needs mode = "
                "'iterative' or 'one-shot'"
            )
        return self

    @model_validator(mode="after")
    def _has_rounds_to_cut(self) -> Self:
        if self.rounds is None and self.whole:
            raise ValueError(
                "whole lists levels that are not cut to rounds = N iterations; rounds is missing"
            )
        if self.rounds is None:
            return self
        if self.mode != "iterative" or self.after != "rewind":
            raise ValueError(
                "rounds cuts the trainings that masks are pruned from, level by level: it needs mode = 'iterative' and "
                f"after = 'rewind', found '{self.mode}' and '{self.after}'"
            )
        if not self.whole:
            raise ValueError(
                "rounds cuts every training, and whole lists no level that is trained to the end; list the levels that "
                "are wanted, or change recipe.iterations"
            )
        if self.rounds <= self.rewind:
            raise ValueError(
                f"rounds is {self.rounds}, expected more than rewind ({self.rewind}), where its trainings begin"
            )
        return self

    @property
    def rule(self) -> PruneRule:
        """The prune rule alone."""
        return PruneRule(**{name: getattr(self, name) for name in PruneRule.model_fields})
