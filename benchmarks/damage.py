"""What becomes of damaged files: `python benchmarks/damage.py FOLDER`, the table in docs/reliability.md.

Every kind of file in a run is damaged in every way, and everything that reads runs is asked. An answer is as that of
the whole run, or the file is named, or the reader breaks down, or it gives another answer in silence.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from support import damage
from tombola.errors import UserError
from tombola.runs.folder import Run

OUTCOMES = ("same", "named", "broken", "silent")
FOREIGN = ("connect", "subjects")
"""Readers of runs with copies and a comparison."""


def asked(path: Path, reader: str) -> tuple[Any, str]:
    """What a reader makes of a run, and what it says beside it or instead."""
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        try:
            made = damage.plain(damage.READERS[reader](Run(path)))
        except UserError as problem:
            return None, str(problem)
        except Exception:
            return None, ""
    return made, "\n".join(str(each.message) for each in notices)


def outcome(made: Any, words: str, expected: Any, names: list[str]) -> str:
    """What came of one reader."""
    if made == expected:
        return "same"
    if made is None:
        return "named" if words else "broken"
    return "named" if any(name in words + str(made) for name in names) else "silent"


def main(out: Path) -> None:
    """Damage, ask, and print what came of it: a row a damage, then what was used in silence."""
    whole = {make.__name__: make(out / make.__name__) for make in (damage.finished, damage.watched)}
    found: dict[str, Counter[str]] = {how: Counter() for how in damage.DAMAGES}
    silent: Counter[str] = Counter()
    for kind in damage.FILES:
        origin = whole["watched" if kind == "early bird" else "finished"].path
        readers = [name for name in damage.READERS if kind != "early bird" or name not in FOREIGN]
        expected = {name: asked(origin, name)[0] for name in readers}
        for how, spoil in damage.DAMAGES.items():
            place = out / "now" / origin.name
            shutil.rmtree(place.parent, ignore_errors=True)
            shutil.copytree(origin, place)
            asked(place, "status")  # the copy's own index
            path, other = damage.files_of(Run(place), kind)
            if how == "swap" and (other is None or path.read_bytes() == other.read_bytes()):
                continue
            spoil(path, other)
            names = [str(each) for each in (path, other) if each]
            names += [str(each.parent) for each in (path, other) if each and each.name == "cell.json"]
            for reader in readers:
                came = outcome(*asked(place, reader), expected[reader], names)
                found[how][came] += 1
                if came in ("silent", "broken"):
                    silent[f"{came}: {kind}, {how}, {reader}"] += 1
    for how, counts in found.items():
        print(how, json.dumps({each: counts[each] for each in OUTCOMES}), flush=True)
    print("\n".join(sorted(silent)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    damage.with_index()
    main(Path(sys.argv[1]))
