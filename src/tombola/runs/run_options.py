"""How a study or a sweep is run: where to, on what, and who is told. None of it is part of the study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from torch import nn

from tombola.data.dataset import Dataset
from tombola.data.given import Data, dataset_of
from tombola.errors import UserError, notice
from tombola.models.architecture import Architecture
from tombola.runs.progress import Progress, Silent
from tombola.runs.trackers.base import Tracker, open_trackers
from tombola.study.bind import bind, bind_sources, require_split
from tombola.study.plan import Plan, make_plan
from tombola.study.spec import Study
from tombola.text import as_url
from tombola.training.device import pick_device, prepare
from tombola.training.engines.base import ENGINES

HERE = Path("runs")
"""Where run folders lie."""


@dataclass(frozen=True)
class RunOptions:
    """What a run is told beside its study.

    Its folder lies in `out`. `device`, `engine` and `threads` decide the rounding: "auto" and None take what an
    earlier part of the run was trained with. Data sets are looked for in `data_dir`; `dataset` and `model` take the
    place of what the study names. `progress` watches, and the trackers named in `track` are told of every cell. `on`
    says which workers train ("local:4", see `tombola.runs.work.places`), with the settings of `each` ("cpus=2");
    `shard` makes this process one of several ("2/8") that are started by hand. `mirror` is where a copy is kept up, an
    URL of fsspec; where `out` is such an URL it is the mirror, and the folders lie in `runs`. Raises UserError where
    both are.
    """

    out: Path = HERE
    device: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    data_dir: Path | None = None
    dataset: Dataset | None = None
    model: nn.Module | Callable[..., nn.Module] | None = None
    progress: Progress = field(default_factory=Silent)
    track: Sequence[str] = ()
    on: str = ""
    each: Sequence[str] = ()
    shard: str = ""
    mirror: str = ""

    def __post_init__(self) -> None:
        url = as_url(self.out)
        if url is None:
            return
        if self.mirror:
            raise UserError(
                f"--out {url} and --mirror {self.mirror}: a run is kept in one place; expected one of them"
            )
        object.__setattr__(self, "out", HERE)
        object.__setattr__(self, "mirror", url)

    @classmethod
    def of(cls, keywords: RunKeywords) -> RunOptions:
        """The options that these keywords are; None is the default."""
        named: dict[str, Any] = dict(keywords)
        given = {name: value for name, value in named.items() if value is not None}
        if "data" in given:
            given["dataset"] = dataset_of(given.pop("data"))
        given |= {name: Path(given[name]) for name in ("out", "data_dir") if name in given}
        found = cls(**given)
        if as_url(given.get("out", HERE)):
            notice(found.kept())
        return found

    def kept(self) -> str:
        """Where runs are and where they are kept, as a sentence."""
        return f"runs are trained in {self.out.absolute()}, and copied to {self.mirror} while they go on"

    def prepare(self) -> dict[str, Tracker]:
        """Set torch up and open the trackers. Raises UserError for a tracker, an engine or a device that is not
        there."""
        trackers = open_trackers(self.track)
        if self.engine != "auto":
            ENGINES[self.engine]
        prepare(self.threads)
        pick_device(self.device)
        return trackers

    def bind(self, study: Study) -> tuple[Study, Dataset, Architecture]:
        """The study with its data set and its architecture, see `tombola.study.bind.bind`."""
        return bind(study, self.data_dir, self.dataset, self.model)

    def plan(self, study: Study) -> tuple[Plan, Dataset]:
        """The whole plan of a study with its data set, the sources of its routes among it. Raises UserError for what
        cannot be run."""
        study, dataset, net = self.bind(study)
        study, sources = bind_sources(study, dataset, self.data_dir, self.model)
        try:
            require_split(study, dataset)
            return make_plan(study, net, sources), dataset
        except UserError as problem:
            raise UserError(f"study '{study.name}': {problem}") from None


class RunKeywords(TypedDict, total=False):
    """The same as the keywords of `tombola.run`; folders may be text there, and `data` is the data set."""

    out: Path | str
    model: nn.Module | Callable[..., nn.Module] | None
    data: Data | None
    data_dir: Path | str | None
    device: str
    engine: str
    threads: int | None
    progress: Progress | None
    track: Sequence[str]
    on: str
    each: Sequence[str]
    shard: str
    mirror: str
