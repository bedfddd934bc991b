"""Study files: what is read is written again, and is the same study then."""

from __future__ import annotations

from pathlib import Path

from fuzz.target import Target
from fuzz.trees import TOML
from tombola.study.load import load_sweep, parse_study

PRESETS = Path(__file__).parents[2] / "src" / "tombola" / "study" / "presets"


def read(path: Path) -> None:
    """Read a study, or a sweep of some."""
    for member in load_sweep(str(path)).members[:3]:
        again = parse_study(member.study.to_toml(), "again", stored=True)
        assert again == member.study, "another study after it was written"


TARGET = Target(
    read, lambda: [file.read_bytes() for file in sorted(PRESETS.glob("*.toml"))], "fuzz.toml", TOML
)
