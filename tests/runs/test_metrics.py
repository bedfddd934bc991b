"""A study that is measured by an error: no accuracy anywhere, less is better, and what is of classes says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tombola
from support.study_kit import tiny
from tombola.analysis.contrasts import claims, contrasts, diff_results
from tombola.cli import main
from tombola.errors import UserError
from tombola.metrics import ACCURACY, METRICS, MSE, metric_in
from tombola.report.collect import tables_of
from tombola.runs.cells.record import CellRecord
from tombola.runs.folder import Run
from tombola.runs.results import summary
from training.test_targets import drawn

RECIPE = {"loss": "mse", "metric": "mse", "iterations": 60, "evaluate_every": 10, "curve_every": 20}
CLAIMS = [
    {
        "name": name,
        "claim": "The ticket errs less.",
        "quantity": quantity,
        "arms": arms,
        "direction": "less",
        "densities": [0.7],
        **more,
    }
    for name, quantity, arms, more in (
        ("wins", "early_stop_test_mse", ["ticket", "reinit"], {}),
        ("matches", "early_stop_test_mse", ["ticket", "dense"], {"margin": 5.0}),
        ("gap", "gap_mse", ["ticket", "dense"], {}),
    )
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    study = tiny(
        name="errs", recipe=RECIPE, replicates=6, levels=1, model={"name": "lenet-8-6"},
        data={"name": "arrays", "validation": 20}, hypothesis=CLAIMS,
    )  # fmt: skip
    return tombola.run(study, data=drawn(), out=tmp_path_factory.mktemp("runs"), threads=1)


def test_a_metric_says_its_columns_and_how_it_is_shown() -> None:
    assert MSE.columns == ("early_stop_test_mse", "final_test_mse", "final_train_mse")
    assert (MSE.shown(0.12345), ACCURACY.shown(0.12345)) == ("0.1235", "12.35%")
    assert (MSE.head, ACCURACY.head) == ("mse", "%")
    assert MSE.titled("Accuracy against what is left") == "Mean squared error against what is left"
    assert ACCURACY.titled("Accuracy") == "Accuracy"
    assert all(metric_in(metric.columns) is metric for metric in METRICS.values())


def test_it_is_stored_with_the_run(run: Run) -> None:
    assert run.environment["metric"] == {"name": "mse", "unit": "", "better": "less"}
    cell = run.cells()[0]
    record = CellRecord.read(run.folder(cell) / "cell.json", cell)
    assert record.measured is not None
    assert list(record.measured) == list(MSE.columns)
    assert record.early_stop_test_accuracy is record.final_test_accuracy is None
    assert record.numbers.keys().isdisjoint(ACCURACY.columns)


def test_results_have_its_columns_and_none_of_accuracy(run: Run) -> None:
    frame = tombola.results(run)
    assert not [name for name in frame.columns if "accuracy" in name]
    assert frame.select(MSE.columns).null_count().sum_horizontal().item() == 0
    cell = run.cells()[0]
    last = run.history(cell).filter(split="test").sort("iteration")["loss"][-1]
    first = frame.filter(replicate=cell.replicate, level=cell.level, arm=cell.arm)
    assert first["final_test_mse"].item() == pytest.approx(last)
    assert summary(frame, "final_test_mse")["low"].min() >= 0  # type: ignore[operator]


def test_verdicts_take_less_for_better(run: Run) -> None:
    found = {row["name"]: row for row in tombola.verdicts(run).frame().to_dicts()}
    frame = tombola.results(run).filter(pl.col("arm") == "ticket", pl.col("status") == "ok")
    means = dict(frame.group_by("level").agg(pl.col("early_stop_test_mse").mean()).iter_rows())
    assert found["matches"]["difference"] == pytest.approx(means[1] - means[0])
    gaps = frame.with_columns(gap=pl.col("final_test_mse") - pl.col("final_train_mse"))
    gap = dict(gaps.group_by("level").agg(pl.col("gap").mean()).iter_rows())
    assert found["gap"]["difference"] == pytest.approx(gap[1] - gap[0])
    assert found["matches"]["decision"] == "yes", "within so wide a margin"


def test_the_sparsest_match_is_not_above_dense(run: Run) -> None:
    said = str(tombola.verdicts(run))
    assert "early stop test mse not more than 5.0000 above dense" in said
    assert "at least down to 70.5% (level 1)" in said


def test_without_a_margin_there_is_no_match(tmp_path: Path) -> None:
    study = tiny(recipe=RECIPE, levels=1, arms=[], hypothesis=[])
    small = tombola.run(study, data=drawn(), out=tmp_path, threads=1)
    assert "no hypothesis says how much more mean squared error than dense still matches" in str(
        tombola.verdicts(small)
    )


def test_claims_and_contrasts_are_in_its_unit(run: Run) -> None:
    frame = tombola.results(run)
    said = [str(claim) for claim in claims(frame)]
    assert re.match(
        r"ticket at 70.5% against dense, test mean squared error at early stop: [+-]\d\.\d{4} \[", said[0]
    )
    assert "pp" not in "".join(said)
    assert diff_results(frame, frame)["test_a"].null_count() == 0
    of_classes = frame.rename(dict(zip(MSE.columns, ACCURACY.columns, strict=True)))
    assert contrasts({"a": frame, "b": of_classes}) == []
    with pytest.raises(
        UserError, match="one run is measured by mean squared error and the other by accuracy"
    ):
        diff_results(frame, of_classes)


def test_nothing_on_its_page_or_in_its_paper_is_called_accuracy(run: Run) -> None:
    page = tombola.write_report(run).read_text()
    shown = re.sub(r"<(script|style).*?</\1>|<[^>]*>", "", page, flags=re.DOTALL)
    told = [
        line for line in shown.splitlines() if "ccurac" in line and "validation accuracy past" not in line
    ]
    assert not told
    assert "test mse at early stop" in shown
    assert "Mean squared error" in shown
    tables = tables_of(run)
    assert tables.metric is MSE
    assert {"early_stop_test_mse", "final_test_mse", "gap_mse"} <= tables.summaries.keys()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["results"], "test mse at early stop"),
        (["results", "--cost"], "told beside accuracy, and this study is measured by mean squared error"),
        (["results", "--per-class"], "accuracy by class needs classes"),
        (["connect"], "the error along a path between networks needs classes"),
        (["compare", "--measures", "disagreement"], "a measure of what networks predict needs classes"),
        (["status"], "ticket"),
        (["report", "--format", "md"], "paper.md"),
    ],
)  # fmt: skip
def test_commands(run: Run, command: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    name, *options = command
    main_of([name, run.path.name, "--runs", str(run.path.parent), *options])
    out = "".join(capfd.readouterr())
    assert said in out
    if command == ["results"]:
        assert "accuracy" not in out
        assert "%" not in out.partition("density")[0]


def main_of(words: list[str]) -> None:
    """As the program is called; how it ends is left to what it says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["tombola", *words])
        try:
            main()
        except SystemExit:
            return


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"hypothesis": [CLAIMS[0] | {"quantity": "early_stop_test_accuracy"}]},
            r"hypothesis 'wins' is on 'early_stop_test_accuracy', and the study is measured by mean squared error "
            r"\(recipe.metric = 'mse'\); expected 'early_stop_test_mse', of which less is better",
        ),
        ({"hypothesis": [CLAIMS[0] | {"quantity": "gap"}]}, "expected 'gap_mse', of which less is better"),
        ({"recipe": {}, "hypothesis": [CLAIMS[0]]}, "expected 'early_stop_test_accuracy', of which more is better"),
        ({"pruning": {"criterion": "snip"}}, "criterion 'snip' looks at gradients by class, and recipe.metric = 'mse'"),
    ],
)  # fmt: skip
def test_what_is_asked_in_another_metric_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tiny(**{"recipe": RECIPE, **changes})
