"""What every test shares: one thread, so that tests in parallel do not fight over two cores."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
