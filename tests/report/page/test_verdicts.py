"""The verdicts as the page shows them: rows of text, and the template that sets them."""

from __future__ import annotations

import html
import shutil
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
import pytest

from tombola.analysis.verdicts import wording
from tombola.analysis.verdicts.wording import DECIDED
from tombola.data.arrays import from_arrays
from tombola.report.page.compose import write_page
from tombola.report.page.tables import MARKS, verdict_rows, verdict_section
from tombola.runs.folder import Run
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_study
from tombola.stats.verdict import DECISIONS
from tombola.study.spec import Study

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot be resolved with:tombola.errors.Notice")
"""The studies here are small: what they ask is more than their replicates can decide."""

CLAIM = {
    "name": "worse",
    "claim": "Fresh weights are <b>worse</b>.",
    "quantity": "early_stop_test_accuracy",
    "arms": ["ticket", "reinit"],
    "densities": [0.7],
    "direction": "greater",
}
EXPECT = {"quantity": "final_test_accuracy", "value": 2.0, "tolerance": 0.1, "source": "Somebody 2019"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    points = rng.normal(size=(3, 6))[labels] + rng.normal(size=(60, 6))
    data = from_arrays((points, labels), (points[:30], labels[:30]))
    study = Study.model_validate(
        {
            "name": "tiny",
            "replicates": 2,
            "levels": 1,
            "model": {"name": "lenet-8-6"},
            "data": {"name": "arrays", "validation": 15},
            "recipe": {"iterations": 10, "batch": 10, "evaluate_every": 5, "curve_every": 5},
            "pruning": {"rate": 0.3},
            "arms": [{"name": "reinit"}],
            "hypothesis": [CLAIM, {**CLAIM, "name": "far", "densities": [0.01], "family": "far"}],
            "expect": [EXPECT, {**EXPECT, "arm": "invert", "density": 0.7}],
        }
    )
    out = tmp_path_factory.mktemp("runs")
    options = RunOptions(out, dataset=data, device="cpu", threads=1, engine="mlp")
    return run_study(study, options).path


def page(folder: Path) -> str:
    text = (resources.files("tombola.report") / "templates" / "verdicts.html.j2").read_text()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(text).render(verdicts=verdict_section(Run(folder)))


def test_rows_say_claim_estimate_test_and_decision(folder: Path) -> None:
    near, far = verdict_rows(Run(folder))
    assert near.claim == CLAIM["claim"]
    assert near.estimate.startswith("ticket less reinit at 71.1% (level 1), early stop test accuracy: ")
    assert near.test.startswith("exact sign-flip, above: p = ")
    assert (
        near.decision
        == "not resolvable with this n (n = 2 is too small: p is 0.25 at least, above alpha 0.05; it takes 5 "
        "replicates)"
    )
    assert (near.kind, near.mark, near.changed) == ("not-resolvable", "?", "")
    assert (far.kind, far.test, far.decision) == ("not-tested", "", "not tested")


def test_published_numbers_are_paper_here_agrees(folder: Path) -> None:
    dense, other = verdict_section(Run(folder)).published
    assert dense.what == "ticket at 100.0%, final test accuracy"
    assert dense.paper == "200.00% ± 10.00% in Somebody 2019"
    assert dense.here.endswith("n = 2")
    assert (dense.agrees, other.agrees, other.here) == ("no", "", "not measured here")


def test_the_template_shows_all_of_it_and_escapes(folder: Path) -> None:
    text = page(folder)
    assert "Fresh weights are &lt;b&gt;worse&lt;/b&gt;." in text
    assert 'class="verdict not-resolvable" id="verdict-worse-1"' in text
    assert "Somebody 2019" in text
    assert "Sparsest matching level" in text
    assert verdict_section(Run(folder)).digest in text
    for word, meaning in wording.BOX:
        assert f"<dt>{word}</dt><dd>{html.escape(meaning).replace('&#x27;', '&#39;')}</dd>" in text
    assert "interval" not in verdict_section(Run(folder)).how, "two replicates have none"


def test_a_change_shows_on_the_page(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "run")
    path = copy / "study.toml"
    path.write_text(path.read_text().replace("densities = [\n    0.7,", "densities = [\n    0.71,"))
    assert all(row.changed == "not recorded before the results" for row in verdict_rows(Run(copy)))
    assert "Hypothesis not recorded before the results." in page(copy)


def test_every_decision_has_a_mark_of_its_own() -> None:
    assert set(MARKS) == set(DECIDED) == set(DECISIONS)
    assert len(set(MARKS.values())) == len(DECISIONS)


def test_the_answer_comes_first_with_its_verdict_and_the_box_after(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / folder.name
    shutil.copytree(folder, place)
    spec = place / "study.toml"
    spec.write_text(spec.read_text().replace('name = "worse"', 'name = "worse"\nanswers = "wins"', 1))
    text = html.unescape(write_page(Run(place), tmp_path / "page", beside=()).read_text())
    order = [
        text.index(part)
        for part in ("Does the ticket win?", '<section id="findings">', "What the verdicts say")
    ]
    assert order == sorted(order)
    assert 'class="answer verdict not-resolvable"' in text
    assert "Not resolvable with this n (" in text
