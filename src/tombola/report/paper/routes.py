"""Routes in words: what they take their tickets from."""

from __future__ import annotations

from collections.abc import Sequence

from tombola.report.paper.document import Paragraph, paragraph
from tombola.report.paper.material import Material
from tombola.study.diff import flat
from tombola.study.sweep import shown
from tombola.text import counted, listed


def routes(m: Material) -> list[Paragraph]:
    """What routes are, and the ladders that they take from; none where there are none."""
    study = m.study
    if not study.trained_routes:
        return []
    said = [
        "A route makes a ticket from other tickets, without drawing it; it is then trained as every other arm is. "
        "Tickets are the replicate's own of that level, donors those of the donors."
    ]
    for name, table in study.sources.items():
        changes = [
            f"{key} = {shown(value)}" for key, value in flat(table.model_dump(exclude_defaults=True)).items()
        ]
        count = study.source(name).replicates
        said.append(
            f"Source {name} is {counted(count, 'ladder')} beside the study's, the same but for "
            f"{listed(changes) or 'nothing'}; replicate r takes from ladder r (mod {count})."
        )
    return [paragraph(" ".join(said))]


def drawn_at(draws: int, levels: Sequence[int] | None) -> str:
    """How many draws an arm has and at which levels, where that is not one at every level."""
    several = f", {draws} draws" if draws > 1 else ""
    at = f", at level{'s' * (len(levels) > 1)} {listed(map(str, levels))}" if levels else ""
    return f"{several}{at}"
