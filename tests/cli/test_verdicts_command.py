"""tombola verdicts, what `run` says of hypotheses at its end, and what --dry-run says of them before."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from support.program import TINY, Tombola
from tombola.analysis.verdicts import wording
from tombola.seals import sealed

CLAIMS = """
[[hypothesis]]
name = "reinit-is-worse"
claim = "Drawn afresh, the weights are less accurate."
quantity = "early_stop_test_accuracy"
arms = ["reinit", "ticket"]
densities = [0.64]
direction = "less"
[[hypothesis]]
name = "shared"
claim = "Tickets share structure."
quantity = "measure:jaccard"
arms = ["ticket", "random-mask"]
densities = [0.64, 0.01]
direction = "greater"
family = "structure"
[[expect]]
quantity = "final_test_accuracy"
value = 0.5
tolerance = 0.5
source = "Somebody 2019"
"""


@pytest.fixture
def claims_file(tmp_path: Path) -> Path:
    path = tmp_path / "claims.toml"
    path.write_text(TINY + CLAIMS)
    return path


@pytest.mark.filterwarnings("always:.*cannot be resolved with:tombola.errors.Notice")
def test_run_and_verdicts(tombola: Tombola, claims_file: Path, tmp_path: Path) -> None:
    ran = tombola("run", claims_file)
    assert ran.code == 0, ran.err
    assert (
        "note: 2 of 2 tests of hypotheses cannot be resolved with 2 replicates, whatever is found" in ran.err
    )
    [stored] = tmp_path.glob("runs/*/verdicts.json")  # `run` leaves them there
    stored.unlink()
    said = tombola("verdicts", "tiny")
    assert said.code == 0
    for part in (
        "Drawn afresh, the weights are less accurate.",
        "reinit less ticket at 64.0% (level 2)",
        "reinit-is-worse: not resolvable with this n (n = 2 is too small: p is 0.25 at least, above alpha 0.05;",
        "no level of this study is within 10%",
        "Sparsest matching level",
        *(f"  {word}: {meaning}" for word, meaning in wording.BOX),
    ):
        assert part in ran.out
        assert part in said.out
    assert ran.out.count("Somebody 2019") == said.out.count("Somebody 2019") == 1
    [folder] = (tmp_path / "runs").iterdir()
    assert f"stored in runs/{folder.name}/verdicts.json" in said.out

    table = json.loads(tombola("verdicts", folder, "--json").out)
    stored = json.loads((folder / "verdicts.json").read_text())
    assert stored == sealed(table, "verdicts.json")
    decisions = [row["decision"] for row in table["verdicts"]]
    assert decisions == ["not resolvable", "not resolvable", "not tested"]
    rows = list(csv.DictReader(io.StringIO(tombola("verdicts", folder, "--csv").out)))
    assert [row["name"] for row in rows] == ["reinit-is-worse", "shared", "shared"]
    assert float(rows[0]["p"]) == table["verdicts"][0]["p"]

    both = tombola("verdicts", folder, "--csv", "--json")
    assert (both.code, both.err) == (2, "tombola: --json and --csv exclude each other\n")


def test_a_run_without_hypotheses(tombola: Tombola, done: Path) -> None:
    said = tombola("verdicts", done)
    assert said.code == 0
    assert "This study has no hypotheses" in said.out


def test_no_such_run(tombola: Tombola) -> None:
    said = tombola("verdicts", "nothing")
    assert said.code == 2
    assert said.err.startswith("tombola: no run 'nothing'")
    assert "Traceback" not in said.err


def test_a_dry_run_says_what_cannot_be_resolved(tombola: Tombola, claims_file: Path) -> None:
    said = tombola("run", claims_file, "--dry-run")
    assert "hypotheses, with the smallest p that 2 replicates can give" in said.out
    assert (
        "reinit-is-worse at 64.0% (level 2): sign-flip, p >= 0.25, 0.25 by Holm in 'claims', alpha 0.05: "
        "WARNING: cannot be resolved, it takes 5 replicates"
    ) in said.out
    assert "shared at 1.0%: WARNING: not tested, no level of this study is within 10%" in said.out
    enough = tombola("run", claims_file, "--dry-run", "--set", "replicates=8")
    assert "p >= 0.0039, 0.0039 by Holm in 'claims', alpha 0.05\n" in enough.out
    rows = json.loads(tombola("run", claims_file, "--dry-run", "--json").out)["hypotheses"]
    assert [row["level"] for row in rows] == [2, 2, None]
    assert [row["p_smallest"] for row in rows] == [0.25, 0.25, 1.0]
    assert [row["n_needed"] for row in rows] == [5, 5, None]


def test_a_dry_run_without_hypotheses_says_nothing_of_them(tombola: Tombola, study_file: Path) -> None:
    said = tombola("run", study_file, "--dry-run")
    assert said.code == 0
    assert "hypotheses" not in said.out


def test_a_wrong_hypothesis_is_one_sentence(tombola: Tombola, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(TINY + CLAIMS.replace('"reinit", "ticket"', '"reinitt", "ticket"'))
    said = tombola("run", path)
    assert said.code == 2
    assert "unknown arm 'reinitt'; did you mean 'reinit'?" in said.err
    assert said.err.count("\n") == 1
