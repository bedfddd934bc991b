"""Tables for pandas: the same rows where it is there, one sentence where it is not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

import tombola
from support.study_kit import run_tiny, tiny
from tombola.errors import UserError
from tombola.frames import pandas_of
from tombola.runs.folder import Run

FRAME = pl.DataFrame({"arm": ["ticket", None], "level": [0, 1], "test": [0.5, None]})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_tiny(tmp_path_factory.mktemp("runs"), tiny(levels=1, arms=[], replicates=2))


def every(run: Run) -> list[tuple[Any, pl.DataFrame]]:
    """What can be had for pandas, and the table that it is."""
    verdicts, compared = tombola.verdicts(run), tombola.compare(run, measures=["jaccard"], n_null=1)
    return [
        (lambda: tombola.to_pandas(run), tombola.results(run)),
        (lambda: tombola.to_pandas(run.path.name[:3], runs=run.path.parent), tombola.results(run)),
        (lambda: tombola.to_pandas(FRAME), FRAME),
        (verdicts.to_pandas, verdicts.frame()),
        (compared.to_pandas, compared.pairs),
    ]


def test_without_pandas_one_sentence_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for made, _ in every(run):
        with pytest.raises(
            UserError, match=r"^to_pandas\(\) needs pandas, which is not installed: pip install pandas$"
        ):
            made()


def test_pandas_is_given_the_columns_as_they_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda columns: ("pandas", columns)))
    for made, frame in every(run):
        assert made() == ("pandas", frame.to_dict(as_series=False))


@pytest.mark.skipif(
    importlib.util.find_spec("pandas") is None, reason="pandas is not installed: no table is made of it here"
)
def test_pandas_itself_makes_the_same_of_them(run: Run, tmp_path: Path) -> None:
    import pandas as pd

    found = pandas_of(FRAME)
    assert isinstance(found, pd.DataFrame)
    assert found["level"].tolist() == [0, 1]
    assert found["test"].isna().tolist() == [False, True]
    assert tombola.to_pandas(run).shape == tombola.results(run).shape
