"""The reports: of a run, of a sweep, and of several runs on one page."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tombola.analysis.contrasts import claims, contrasts
from tombola.analysis.verdicts.published import expectations
from tombola.report.collect import require_cells, tables_of, tables_together
from tombola.report.page.page import BESIDE, write
from tombola.report.page.provenance import commands, registered
from tombola.report.page.tables import verdict_rows, verdict_section
from tombola.report.tables import Tables
from tombola.runs.folder import Run
from tombola.runs.sweeps import SweepRun
from tombola.study.diff import diff_many
from tombola.study.spec import Study
from tombola.study.sweep import label_of, shown


def write_page(run: Run, folder: Path | None = None, beside: Sequence[str] = BESIDE) -> Path:
    """Write `report/index.html` of a run, finished or not (or into another folder), and return its path."""
    with run.at_rest():
        tables, verdicts, study = tables_of(run), verdict_section(run), run.study
    facts, spec = {"run": run.path.name, **provenance_of(run)}, study.to_toml()
    place = folder or run.path / "report"
    return write(place, tables, _claims(tables), facts, spec, verdicts=verdicts, beside=beside)


def write_reports(found: Sequence[Run | SweepRun], out: Path | None = None) -> Path:
    """Write the report of a run or a sweep, or of several on one page, which lies in `out`, else in the first one's
    `report/`.

    Returns the page's path. Raises UserError where no cell is trained yet.
    """
    for each in found:
        require_cells(each)
    first, *others = {each.path.resolve(): each for each in found}.values()
    if not others:
        if isinstance(first, Run):
            return write_page(first, out)
        return write_together(out or first.path / "report", first.title, first.runs)
    names = [each.path.name for each in others]
    beside = names[0] if len(names) == 1 else f"{len(names)}-others-{_digest(names)}"
    labels = _labels([each for each in (first, *others) if isinstance(each, Run)])
    runs: dict[str, Run] = {}
    for each in (first, *others):
        members = each.runs if isinstance(each, SweepRun) else {labels[each.path]: each}
        known = {run.path.resolve() for run in runs.values()}
        runs |= {
            label: run for label, run in _apart(members, runs).items() if run.path.resolve() not in known
        }
    title = " beside ".join(dict.fromkeys(each.path.name for each in (first, *others)))
    return write_together(out or first.path / "report" / f"with-{beside}", title, runs)


def write_together(folder: Path, title: str, runs: Mapping[str, Run]) -> Path:
    """Write the page of several runs, by label: what is different between them, then every figure with all of them.

    Returns the page's path.
    """
    tables = tables_together(title, runs)
    studies = {label: run.study for label, run in runs.items()}
    own = {label: provenance_of(run) for label, run in runs.items()}
    facts = {
        key: _merged({label: facts.get(key, "–") for label, facts in own.items()})
        for key in _keys(own.values())
    }
    return write(
        folder,
        tables,
        [str(claim) for claim in contrasts({label: each.results for label, each in tables.runs.items()})],
        facts,
        "\n".join(f"# --- {label}\n\n{study.to_toml()}" for label, study in studies.items()),
        [
            f"{label}: {line}"
            for label, each in tables.runs.items()
            for line in _published(each, studies[label])
        ],
        within={label: _verdicts(runs[label]) + _claims(each) for label, each in tables.runs.items()},
        differences={
            "run": [run.path.name for run in runs.values()],
            **{
                key: [shown(value) for value in values]
                for key, values in diff_many(list(studies.values())).items()
            },
        },
    )


def provenance_of(run: Run) -> dict[str, Any]:
    """What repeating a run takes: commands, hypotheses as they were fixed, seed, versions, machine, engine record."""
    study, environment = run.study, run.environment
    return {
        "repeat with": "\n".join(commands(run)),
        **({"hypotheses": fixed} if (fixed := registered(run)) else {}),
        "seed": study.seed,
        "replicates": study.replicates,
        **{f"{name} version": number for name, number in environment.get("versions", {}).items()},
        **{key: environment[key] for key in ("python", "processor", "gpu", "commit") if environment.get(key)},
        **{key: value for key, value in environment.get("record", {}).items() if key != "stacks"},
    }


def _claims(tables: Tables) -> list[str]:
    return [str(claim) for claim in claims(tables.results)]


def _verdicts(run: Run) -> list[str]:
    return [f"{row.claim}: {row.decision} ({row.estimate})" for row in verdict_rows(run)]


def _published(tables: Tables, study: Study) -> list[str]:
    return [str(checked) for checked in expectations(tables.results, study.expect)]


FEW = 2
"""Differences of specs that make a name which can still be read."""


def _labels(runs: Sequence[Run]) -> dict[Path, str]:
    """What runs are called beside each other: by their studies' names, else by what few things differ, else by their
    folders."""
    studies = [run.study for run in runs]
    differences = diff_many(studies) if len(runs) > 1 else {}
    names = [study.name for study in studies]
    if len(set(names)) < len(names) and 0 < len(differences) <= FEW:
        names = [label_of({key: values[i] for key, values in differences.items()}) for i in range(len(runs))]
    if len(set(names)) < len(names):
        names = [run.path.name for run in runs]
    return {run.path: name for run, name in zip(runs, names, strict=True)}


def _apart(members: Mapping[str, Run], taken: Collection[str]) -> dict[str, Run]:
    """The members under labels that no other run of the page has."""
    return {f"{label} ({run.path.name})" if label in taken else label: run for label, run in members.items()}


def _merged(values: Mapping[str, Any]) -> str:
    """One value where all runs have the same, else each run's."""
    texts = {label: str(value) for label, value in values.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    if any("\n" in text for text in texts.values()):
        return "\n".join(f"{label}:\n{text}" for label, text in texts.items())
    return "; ".join(f"{label}: {text}" for label, text in texts.items())


def _keys(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for table in tables for key in table))


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
