"""Papers, proposals and talks: what `tombola report` writes besides the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tombola.errors import UserError
from tombola.report.paper.write import write_document
from tombola.runs.folder import Run
from tombola.runs.locate import find
from tombola.study.load import load_sweep, presets
from tombola.study.spec import Study
from tombola.training.device import prepare


def write_documents(
    names: Sequence[str],
    form: str,
    template: str,
    runs: Path,
    data_dir: Path | None,
    out: Path | None = None,
) -> list[Path]:
    """One document for each run that is named; of a sweep for each member. Returns their paths: in the run's `report`,
    or in `out`, where several have a folder each.

    A proposal may also be of a study file or preset that was not run; it is written beside the runs.
    """
    if form == "html":
        raise UserError("the page has no templates; --template goes with --format pdf, md, typst or slides")
    found = {
        each.path if isinstance(each, Run) else Path(each.folder): each
        for name in names
        for each in _found(name, template, runs)
    }
    places = {path: out if len(found) == 1 or out is None else out / path.name for path in found}
    return [
        write_document(each, form, template, out=places[path] or _place(each, runs), data_dir=data_dir)
        for path, each in found.items()
    ]


def _place(what: Run | Study, runs: Path) -> Path:
    return what.path / "report" if isinstance(what, Run) else runs / "proposals" / what.folder


def _found(name: str, template: str, out: Path) -> list[Run | Study]:
    """The runs of a name, else the study of a file or preset: its run, if there is one."""
    try:
        return list(find(name, out).runs.values())
    except UserError as absent:
        if not name.endswith(".toml") and name not in presets():
            raise absent from None
    prepare()
    members = [member.study for member in load_sweep(name).members]
    return [
        Run(out / each.folder) if (out / each.folder / "study.toml").is_file() else each for each in members
    ]
