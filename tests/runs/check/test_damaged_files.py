"""Kinds of file x what can become of them x all that reads runs: nothing damaged is used without a word."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cases import also_slow
from support.damage import DAMAGES, FILES, READERS, files_of, finished, plain, watched, with_index
from tombola.errors import Notice, UserError
from tombola.runs.check.damage import damages_of
from tombola.runs.folder import Run

pytestmark = pytest.mark.filterwarnings("ignore::tombola.errors.Notice")
"""The study is small: what it asks is more than its replicates can decide. Other notices are looked for below."""

TABLES = [(kind, how) for kind in FILES for how in DAMAGES if (kind, how) != ("study", "swap")]
MADE_ANEW = {"verdicts", "early bird", "claims"}
"""Kinds that may be missing: verdicts before they are decided, birds and claims, of whose absence is told."""


@pytest.fixture(scope="module", autouse=True)
def indexed() -> Iterator[None]:
    """The runs have an index, which must hide nothing."""
    with pytest.MonkeyPatch.context() as patch:
        with_index(patch.setattr)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Runs, and what readers make of them."""
    found = {}
    for make in (finished, watched):
        run = make(tmp_path_factory.mktemp(make.__name__))
        found[make.__name__] = (
            run.path,
            {name: said(run.path, name)[0] for name in READERS if name in readers_of(make.__name__)},
        )
    return found


def readers_of(run: str) -> list[str]:
    return (
        list(READERS)
        if run == "finished"
        else [name for name in READERS if name not in ("connect", "subjects")]
    )


def said(path: Path, reader: str) -> tuple[Any, str]:
    """What a reader makes of a run, and what it says beside it or instead."""
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        try:
            made = plain(READERS[reader](Run.open(path)))
        except UserError as problem:
            return None, str(problem)
    return made, "\n".join(str(each.message) for each in notices if issubclass(each.category, Notice))


@pytest.mark.parametrize(("kind", "how"), also_slow([(kind, "bit") for kind in FILES], TABLES))
def test_nothing_damaged_is_used_without_a_word(
    kind: str, how: str, whole: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    name = "watched" if kind == "early bird" else "finished"
    origin, before = whole[name]
    run = Run(Path(shutil.copytree(origin, tmp_path / "runs" / origin.name)))
    said(run.path, "status")  # the copy's own index
    path, other = files_of(run, kind)
    DAMAGES[how](path, other)
    named = {each.path for each in damages_of(run)} if path != run.path / "study.toml" else {path}
    if kind == "index":  # of which nobody need know
        assert not named
        assert {reader: said(run.path, reader)[0] for reader in before} == before
        return
    may_miss = how == "delete" and kind in MADE_ANEW
    for reader in before:
        made, words = said(run.path, reader)
        if made != before[reader] and not may_miss:
            words += str(made)  # a verdict says why it is none
            assert any(name in words for name in names_of(run, path, other)), f"{reader} says {words!r}"
    if how == "delete" and kind in {*MADE_ANEW, "results", "compared", "connected"}:
        return  # what is not there at all is told by those who need it
    assert path in named
    assert named <= {path, other} | tables_of_one_index(run, kind)


def names_of(run: Run, path: Path, other: Path | None) -> list[str]:
    """What a sentence may call the damaged file; where a cell's record is lost it is the cell's folder."""
    named = [str(each) for each in (path, other) if each]
    named += [str(each.parent) for each in (path, other) if each and each.name == "cell.json"]
    return [*named, str(run.path)] if path.name == "study.toml" else named


def tables_of_one_index(run: Run, kind: str) -> set[Path]:
    """With an index, and with a table that lies in its place, other tables are not those of the index."""
    names = ("measures", "decisions", "consensus", "connect", "paths")
    tables = {run.path / f"{name}.parquet" for name in names}
    return tables if kind in ("compared", "connected", "claims", *names, "results") else set()
