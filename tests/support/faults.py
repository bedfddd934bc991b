"""Files that once ended in a traceback, a hang or a crash, where they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

FAULTS = Path(__file__).parents[3] / "shared" / "faults"
NO_FAULTS = pytest.mark.skip(reason=f"NO FAULTS in {FAULTS}: the files found by fuzzing were not tried")
