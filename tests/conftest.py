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
    from rounding import doubled

    with doubled():
        yield
