"""Named parts. A decorator registers one; the catalogue, the CLI and the contract tests find it by itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Generic, TypeVar

from tombola.errors import UserError, nearest

T = TypeVar("T")
HOUSE = __name__.partition(".")[0] + "."
"""How the names of the house's own modules begin."""
OPEN: defaultdict[str, list[Registry[Any]]] = defaultdict(list)
"""Kind -> the registries of it that are imported by now."""


class Registry(Mapping[str, T], Generic[T]):
    """A mapping of name -> part of one kind ("criterion", "model", ...).

    `homes` are the modules and packages whose files register parts; they are imported when the registry is first
    read, so that a part is found by itself and nothing is imported before it is needed.

    Looking up an unknown name raises UserError with the nearest valid one. `describe` returns the first
    line of a part's docstring, which is what `tombola catalog` prints. `asked` are the attributes of a part that
    a study is checked against, see `facts`.
    """

    def __init__(self, kind: str, *homes: str, asked: Collection[str] = ()) -> None:
        self.kind, self.homes, self.asked = kind, homes, asked
        OPEN[kind].append(self)
        self._known: dict[str, T] = {}
        self._lines: dict[str, str] = {}
        self._complete = not homes

    def register(self, name: str, line: str = "") -> Callable[[T], T]:
        """Decorator that adds a part under `name`, described by `line` or the docstring's first line."""

        def add(part: T) -> T:
            # One's own part meets those of the house here, and not when these are imported later.
            if not sys._getframe(1).f_globals.get("__name__", "").startswith(HOUSE):
                self._complete_it()
            if name in self._known:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._known[name] = part
            self._lines[name] = line or (inspect.getdoc(part) or "").partition("\n")[0]
            return part

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._parts[name]
        except KeyError:
            raise UserError(f"unknown {self.kind} '{name}'{nearest(name, self._parts)}") from None

    def __contains__(self, name: object) -> bool:
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
        """Import the homes, once; a registry that is read while they are imported holds what is there by then."""
        if self._complete:
            return
        self._complete = True
        for home in self.homes:
            module = importlib.import_module(home)
            for file in pkgutil.iter_modules(getattr(module, "__path__", ())):
                importlib.import_module(f"{home}.{file.name}")

    @property
    def so_far(self) -> Collection[str]:
        """The names that are registered by now; nothing is imported."""
        return self._known

    def facts(self, name: str) -> Any:
        """What a study is checked against, as JSON."""
        return {key: getattr(self[name], key) for key in self.asked}

    def describe(self, name: str) -> str:
        """One line on what the part is."""
        self[name]
        return self._lines[name]
