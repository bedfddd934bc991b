"""Workers that share a run, all of them in this process: who trains what when is up to chance."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from support.study_kit import tiny_options
from tombola.runs.folder import Run
from tombola.runs.presence import Presence
from tombola.runs.run_options import RunOptions
from tombola.runs.work.part import Share, TakingPart
from tombola.runs.work.prepared import Prepared
from tombola.study.spec import Study


def prepared_in(out: Path, study: Study, **options: Any) -> Prepared:
    """A study in a folder of `out`, with nothing trained of what is missing."""
    settings: RunOptions = tiny_options(out, study, **options)
    settings.prepare()
    bound = settings.plan(study)
    with Run(out / bound[0].study.folder).held():
        prepared = Prepared.of(bound, settings)
        prepared.begin()
    return prepared


def run_by_several(out: Path, study: Study, seed: int, stop_after: int = 10_000, workers: int = 2) -> Run:
    """Run a study by workers whose turns, and the units that they choose, are up to chance; at most so many units."""
    chance = random.Random(seed)
    prepared = prepared_in(out, study)
    with ExitStack() as stack:
        parts = [
            TakingPart(prepared, stack.enter_context(Presence(prepared.folder.path)), Share())
            for _ in range(workers)
        ]
        for _ in range(stop_after):
            part = chance.choice(parts)
            ready = part.units.ready()
            if not ready:
                assert not part.units.left(), "nobody trains anything, and something is left"
                break
            assert part.take(chance.choice(ready))
    if not part.units.left():
        prepared.finish()
    return prepared.folder
