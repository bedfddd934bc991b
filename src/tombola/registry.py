"""Named parts. A decorator registers one; the catalogue, the CLI and the contract tests find it by itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from tombola.errors import UserError, nearest

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping of name -> part of one kind ("criterion", "model", ...).

    Looking up an unknown name raises UserError with the nearest valid one. `describe` returns the first
    line of a part's docstring, which is what `tombola catalog` prints.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, T] = {}
        self._lines: dict[str, str] = {}

    def register(self, name: str, line: str = "") -> Callable[[T], T]:
        """Decorator that adds a part under `name`, described by `line` or the docstring's first line."""

        def add(part: T) -> T:
            if name in self._parts:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._parts[name] = part
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

    def describe(self, name: str) -> str:
        """One line on what the part is."""
        self[name]
        return self._lines[name]
