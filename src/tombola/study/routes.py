"""The [[route]] tables of a study: arms whose tickets are made from other tickets, and where these come from.

A route takes from the replicate's own ticket, from the study's donors, or from `[sources.NAME]`: ladders beside the
study's own, on another model, other data or by another pruning. What it makes is trained as any other arm is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tombola import parts
from tombola.errors import nearest
from tombola.lottery.arms.catalog import ARMS
from tombola.study.fields import Draws, Level, Name, Replicates

OWN, DONORS = "tickets", "donors"
"""What a route calls the study's own tickets, each replicate its own, and those of its donors."""
SOURCE_TABLES = ("model", "data", "recipe", "pruning")
"""The tables of a study that a source may have otherwise."""
Laid = Literal["route", "own"]
"""What a made ticket starts from: what the route gives it, or what the replicate's own tickets start from."""


@dataclass(frozen=True)
class RouteArm:
    """One arm of a route: the route itself, or a control for it, which differs in options or in what it starts from."""

    name: str
    kind: str
    sources: tuple[str, ...]
    start: Laid
    aligned: bool
    options: Mapping[str, Any]
    draws: int
    levels: tuple[int, ...] | None

    @property
    def several(self) -> bool:
        """Whether it takes several tickets: of donors, all of them."""
        return bool(parts.facts("route", self.kind)["several"])

    @property
    def reads_end(self) -> bool:
        """Whether it looks at the weights that tickets were trained to."""
        return bool(parts.facts("route", self.kind).get("reads_end", True))  # not noted in runs of old

    @property
    def actions(self) -> dict[str, Any]:
        """What decides its cells beside the sources, as JSON."""
        found = asdict(self)
        return {key: found[key] for key in ("kind", "sources", "start", "aligned", "options")} | {
            "sources": list(self.sources)
        }

    def __str__(self) -> str:
        given = ", ".join(f"{key} = {value!r}" for key, value in self.options.items())
        start = ", starting as the replicate's own tickets do" if self.start == "own" else ""
        apart = ", as they come" if DONORS in self.sources and not self.aligned else ""
        return f"route '{self.kind}' from {' and '.join(self.sources)}{apart}{f' ({given})' * bool(given)}{start}"


class Control(BaseModel):
    """A control for a route: what it has different, everything else being as in the route."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    """What follows the route's name and a dash in the name of its arm; alone, a registered control of the route."""
    start: Laid | None = None
    """What its tickets start from, if not from what those of the route do."""
    aligned: bool | None = None
    """Whether donors are aligned, if not as in the route."""
    options: dict[str, Any] = {}
    """The options that are different."""


def _named(given: Any) -> Any:
    return {"name": given} if isinstance(given, str) else given


class RouteSpec(BaseModel):
    """A [[route]] table: an arm of this `name`, whose tickets are made by the route `kind` `from` others.

    `from` is `tickets` (the replicate's own ticket of the level), `donors` (the study's, each `aligned` to the
    replicate unless that is false), a name of [sources], or several of these where the route takes several tickets:
    then all donors, else the replicate's own donor. `controls` are the route's registered ones by name, or tables with
    what they have different; each is an arm called `NAME-CONTROL`. `start` is `own` where the mask alone is taken
    and the weights are those that the replicate's own tickets start from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    name: Name
    """The name of its arm."""
    kind: str
    """How tickets are made. A name of `tombola catalog routes`."""
    sources: Annotated[
        tuple[str, ...],
        Field(alias="from", min_length=1),
        BeforeValidator(lambda v: (v,) if isinstance(v, str) else v),
    ]
    """Whose tickets it takes: `tickets`, `donors` or names of [sources]; one may stand without the list."""
    levels: tuple[Level, ...] | None = None
    """The levels it is trained at; all from 1 when left out."""
    draws: Draws = 1
    """How many times each replicate makes and trains such a ticket; their mean is the replicate's value."""
    start: Laid = "route"
    """What its tickets start from: what the route gives them, or what the replicate's own tickets start from."""
    aligned: bool = True
    """Whether the hidden units of donors are put into the order of the replicate's first."""
    options: dict[str, Any] = {}
    """The options of the route, see `tombola catalog routes`."""
    controls: tuple[Annotated[Control, BeforeValidator(_named)], ...] = ()
    """Its controls: names of registered ones, or tables."""

    @model_validator(mode="after")
    def _is_a_route(self) -> Self:
        facts = parts.facts("route", self.kind)
        if self.name in ARMS:
            raise ValueError(f"route '{self.name}' has the name of a registered arm; give it another name")
        if len(self.sources) > 1 and not facts["several"]:
            raise ValueError(
                f"route '{self.name}': '{self.kind}' takes one ticket, found from = {list(self.sources)}, expected one "
                "of them"
            )
        for control in self.controls:
            changes = control.options or control.start is not None or control.aligned is not None
            if not changes and control.name not in facts["controls"]:
                close = nearest(control.name, facts["controls"]) or "; it has none"
                raise ValueError(
                    f"route '{self.name}': '{self.kind}' has no control '{control.name}'{close} (or give a table with "
                    "what it has different)"
                )
        return self

    @property
    def arms(self) -> list[RouteArm]:
        """The arm that the route is, and those of its controls."""
        own = RouteArm(
            self.name,
            self.kind,
            self.sources,
            self.start,
            self.aligned,
            self.options,
            self.draws,
            self.levels,
        )
        registered = parts.facts("route", self.kind)["controls"]
        found = [own]
        for control in self.controls:
            changed = control.options or registered.get(control.name, {})
            found.append(
                RouteArm(
                    f"{self.name}-{control.name}",
                    self.kind,
                    self.sources,
                    self.start if control.start is None else control.start,
                    self.aligned if control.aligned is None else control.aligned,
                    {**self.options, **changed},
                    self.draws,
                    self.levels,
                )
            )
        return found


class SourceSpec(BaseModel):
    """A [sources.NAME] table: ladders beside the study's own, which routes take tickets from.

    Each is a study without arms. What the table does not say is as in the study; `model`, `data`, `recipe` and
    `pruning` change the keys that they name. Source r has the seeds of replicate r, so that a source of the same model
    starts from the same weights, and the split of its data; replicate r takes from source r (mod `replicates`), by
    default its own. A `study` (a preset or a TOML file) takes the study's place as what the table changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: dict[str, Any] = {}
    """The keys of [model] that are different."""
    data: dict[str, Any] = {}
    """The keys of [data] that are different."""
    recipe: dict[str, Any] = {}
    """The keys of [recipe] that are different."""
    pruning: dict[str, Any] = {}
    """The keys of [pruning] that are different."""
    seed: Annotated[int, Field(ge=0, strict=True)] | None = None
    """The seed of its ladders; the study's when left out."""
    replicates: Replicates | None = None
    """How many ladders it has; as many as the study has replicates when left out."""

    def over(self, study: Mapping[str, Any]) -> dict[str, Any]:
        """The tables of the source, given those of the study as JSON."""
        found = {key: {**study.get(key, {}), **getattr(self, key)} for key in SOURCE_TABLES}
        if "name" in self.data and "digest" not in self.data:
            found["data"].pop("digest", None)
        if "mode" in self.pruning and "search" not in self.pruning:
            found["pruning"].pop("search", None)
        own = {"seed": self.seed, "replicates": self.replicates}
        return {**found, **{key: study[key] if value is None else value for key, value in own.items()}}


def taking_from(arms: Sequence[RouteArm], source: str) -> list[RouteArm]:
    """The arms that take from a source."""
    return [arm for arm in arms if source in arm.sources]
