"""Many cases of one contract: in one test, or some of them in `make check` alone."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def each(
    name: str, values: Iterable[Any], label: Callable[[Any], object] = str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As `pytest.mark.parametrize(name, values)`, in one test: thousands of tests take pytest longer than what they
    test. The first value that fails ends it, and is named."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def every(**others: Any) -> None:
            for value in values:
                try:
                    test(**{name: value}, **others)
                except BaseException as problem:
                    problem.add_note(f"with {name}: {label(value)}")
                    raise

        signature = inspect.signature(test)
        rest = [p for p in signature.parameters.values() if p.name != name]
        every.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        return every

    return decorate


def also_slow(quick: Iterable[Any], every: Iterable[Any]) -> list[Any]:
    """Values to parametrise by: those that show the contract, and as slow tests the rest of `every`. A tuple is for
    several names."""
    first = list(quick)
    rest = [value if isinstance(value, tuple) else (value,) for value in every if value not in first]
    return [*first, *(pytest.param(*values, marks=pytest.mark.slow) for values in rest)]
