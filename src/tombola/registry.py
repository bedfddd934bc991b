"""Named parts. A decorator registers one; the catalogue, the CLI and the contract tests find it by itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from types import FrameType
from typing import Any, Generic, TypeVar

from tombola.errors import UserError, brief, nearest, notice

T = TypeVar("T")
HOUSE = __name__.partition(".")[0] + "."
"""How the names of the house's own modules begin."""
GROUP = "tombola.plugins"
"""The entry points by which installed packages announce modules that register parts."""
OPEN: defaultdict[str, list[Registry[Any]]] = defaultdict(list)
"""Kind -> the registries of it that are imported by now."""


class Registry(Mapping[str, T], Generic[T]):
    """A mapping of name -> part of one kind ("criterion", "model", ...).

    `homes` are the modules and packages whose files register parts; they are imported when the registry is first
    read, so that a part is found by itself and nothing is imported before it is needed.

    Looking up an unknown name raises UserError with the nearest valid one. `describe` returns the first
    line of a part's docstring, which is what `tombola catalog` prints. What studies are checked against are the facts
    of a part: the attributes that `asked` names, and the keywords it is registered with, which have `defaults`.

    A family of parts has capitals in its name that stand for whole numbers ("N:M", "resnet-D-wK"; `-A-B-...` for one
    or more) and an example of a name; `match` finds it by the names of its members.
    """

    def __init__(
        self, kind: str, *homes: str, asked: Collection[str] = (), defaults: Mapping[str, Any] | None = None
    ) -> None:
        self.kind, self.homes, self.asked, self.defaults = kind, homes, asked, defaults or {}
        OPEN[kind].append(self)
        self._known: dict[str, T] = {}
        self._about: dict[str, About] = {}
        self._complete = not homes

    def register(self, name: str, line: str = "", *, example: str = "", **facts: Any) -> Callable[[T], T]:
        """Decorator that adds a part under `name`, described by `line` or the docstring's first line.

        Raises ValueError for a name that is taken, and TypeError for facts that parts of this kind do not have.
        """
        if strange := [key for key in facts if key not in self.defaults]:
            raise TypeError(f"{self.kind} '{name}': nothing is asked about {strange[0]}")

        def add(part: T) -> T:
            module = _running_module()
            # One's own part meets those of the house here, and not when these are imported later.
            if not module.startswith(HOUSE):
                self._complete_it()
            if name in self._known:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._known[name] = part
            described = line or (inspect.getdoc(part) or "").partition("\n")[0]
            self._about[name] = About(described, example, {**self.defaults, **facts}, module)
            return part

        return add

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise UserError(f"unknown {self.kind} '{name}'{nearest(name, self._parts)}")
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._parts:
            load_announced()
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._parts))

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def _parts(self) -> dict[str, T]:
        self._complete_it()
        return self._known

    def _complete_it(self) -> None:
        """Import the homes, once; a registry that is read while they are imported holds what is there by then. Where
        one fails to import, the next reader tries again."""
        if self._complete:
            return
        self._complete = True
        try:
            for home in self.homes:
                module = importlib.import_module(home)
                for file in pkgutil.iter_modules(getattr(module, "__path__", ())):
                    importlib.import_module(f"{home}.{file.name}")
        except BaseException:
            self._complete = False
            for registry in chain.from_iterable(OPEN.values()):
                registry._forget_what_failed()
            raise

    def _forget_what_failed(self) -> None:
        """Drop the parts of modules that failed after they had registered them: they will do so again."""
        for name, about in list(self._about.items()):
            if about.module.startswith(HOUSE) and about.module not in sys.modules:
                del self._known[name], self._about[name]

    @property
    def so_far(self) -> Collection[str]:
        """The names that are registered by now; nothing is imported."""
        return self._known

    @property
    def foreign(self) -> list[str]:
        """The names that are registered by now by code that is not the house's."""
        return sorted(name for name, about in self._about.items() if not about.module.startswith(HOUSE))

    @property
    def examples(self) -> list[str]:
        """A name of each part as it can be used: of a family its example."""
        return [self._about[name].example or name for name in self]

    def match(self, name: str) -> tuple[T, tuple[int, ...]] | None:
        """The part of a name and, where it is of a family, the numbers in that name; None where there is none.

        Raises UserError for a number of more than 6 digits, which nothing can be built of.
        """
        if name in self and not self._about[name].example:
            return self[name], ()
        for key in self:
            if self._about[key].example and re.fullmatch(_pattern(key), name):
                if re.search("[0-9]{7}", name):
                    raise UserError(f"{self.kind} '{name[:60]}': numbers in names have up to 6 digits")
                return self[key], tuple(map(int, re.findall("[0-9]+", name)))
        return None

    def facts(self, name: str) -> Any:
        """What a study is checked against, as JSON. Raises UserError for an unknown name."""
        return {**{key: getattr(self[name], key) for key in self.asked}, **self._about_of(name).facts}

    def describe(self, name: str) -> str:
        """One line on what the part is."""
        return self._about_of(name).line

    def _about_of(self, name: str) -> About:
        self[name]
        return self._about[name]


@dataclass(frozen=True)
class About:
    """How a part was registered: its line, an example of a name where it is a family, facts, and by which module."""

    line: str
    example: str
    facts: Mapping[str, Any]
    module: str


@cache
def load_announced() -> None:
    """Import what installed packages announce as entry points `tombola.plugins`, once, when a name is asked for that
    the house does not have. One that fails is left out, and a notice says so."""
    from importlib.metadata import entry_points  # here: few commands come to this

    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as problem:
            notice(f"plug-in '{point.name}' ({point.value}) cannot be loaded: {brief(problem)}")


def _pattern(family: str) -> str:
    """The names of a family, as a regular expression: numbers above 0, without leading zeros."""
    number = "[1-9][0-9]*"
    return re.sub("[A-Z]", number, family.replace("-A-B-...", f"(-{number})+"))


def _running_module() -> str:
    """The name of the innermost module that is being executed, "" where there is none (in a thread)."""
    frame: FrameType | None = sys._getframe()
    while frame and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "")) if frame else ""
