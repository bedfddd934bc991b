"""Registries that a test adds to."""

from __future__ import annotations

from typing import Any

import pytest

from tombola.registry import Registry


def put_back(monkeypatch: pytest.MonkeyPatch, *registries: Registry[Any]) -> None:
    """What is registered from now on is gone after the test, or when `monkeypatch` is undone."""
    for registry in registries:
        len(registry)  # complete, with what is registered in its homes
        for name in ("_known", "_about"):
            monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
