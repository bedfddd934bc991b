"""What every test shares: one thread, so that tests in parallel do not fight over two cores, and whole trainings in
float64 for who asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture
def float64() -> Iterator[None]:
    """All that the test builds and trains is of float64: see rounding.py."""
    from support.rounding import doubled

    with doubled():
        yield


@pytest.fixture
def quick_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what surrounds pictures: those are not held against their grammar, which takes longer than all the
    rest of a report and is done in the tests of figures, and have fewer pixels."""
    from altair.utils import schemapi

    from tombola.report.figures import export

    monkeypatch.setattr(schemapi, "DEBUG_MODE", False)
    monkeypatch.setattr(schemapi.SchemaBase, "validate", classmethod(lambda *_, **__: None))
    monkeypatch.setattr(export, "PNG_SCALE", 1)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is flushed when does not show to a process that goes on."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(autouse=True)
def trust_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a test accepts and imports is forgotten after it, and never written into the state folder of who tests."""
    from tombola.plugins import trusted

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setattr(trusted, "STORED", {})
    monkeypatch.setattr(trusted, "OWN", set())
    monkeypatch.setattr(trusted.Accepting, "on", False)
