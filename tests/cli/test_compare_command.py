"""compare: pairs and decisions of a run, of masks made elsewhere, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import tombola as library
from support.program import Tombola
from tombola.comparison.consensus import CONSENSUS
from tombola.comparison.decisions import DECISIONS
from tombola.comparison.measures.base import MEASURES
from tombola.comparison.table import SCHEMA
from tombola.runs.results import results_of


@pytest.fixture
def folder(done: Path) -> Path:
    return done.relative_to(Path.cwd())


def test_means_and_decisions_are_printed_and_kept(tombola: Tombola, folder: Path) -> None:
    said = tombola("compare", "tiny", "--level", "2", "--measures", "jaccard,sign-agreement", "--all")
    assert said.code == 0
    for part in (
        "jaccard",
        "sign-agreement",
        "ticket - ticket",
        "ticket - reinit, one replicate",
        "not resolvable",
        "Nothing can be resolved at 5%: the smallest p that 2 replicates can give is 0.5.",
    ):
        assert part in said.out
    pairs, decisions = (pl.read_parquet(folder / f"{name}.parquet") for name in ("measures", "decisions"))
    assert dict(pairs.schema) == SCHEMA
    assert dict(decisions.schema) == {"run": pl.String, **DECISIONS}
    assert set(pairs["a"].str.slice(len(folder.name))) >= {":r0/L02/ticket/0"}
    assert set(decisions["arm_b"]) == {"reinit", "random-mask"}


def test_a_reinit_has_the_tickets_own_mask(tombola: Tombola, folder: Path) -> None:
    said = tombola(
        "compare", "tiny", "--density", "0.64", "--arms", "ticket,reinit", "--measures", "jaccard", "--csv",
        "--aligned", "raw",
    )  # fmt: skip
    rows = [row for row in csv.DictReader(io.StringIO(said.out)) if row["layer"] == "all"]
    own = [row for row in rows if row["a"].split(":")[1][:2] == row["b"].split(":")[1][:2]]
    assert [float(row["value"]) for row in own] == [1.0, 1.0]
    assert len(rows) == 6  # four cells in pairs


def test_the_answer_is_a_dozen_lines_at_most(tombola: Tombola, folder: Path) -> None:
    for options in (
        (),
        ("--measures", "overlap,signs,topology", "--n-null", "2"),
        ("--arms", "ticket,reinit"),
    ):
        said = tombola("compare", "tiny", *options)
        assert said.code == 0, said.err
        assert len(said.out.splitlines()) <= 12
        assert said.out.endswith("\n`tombola report tiny` draws them on the run's page\n")
        assert "--all has the table" in said.out
        assert ("reinit" in said.out) == (
            "--arms" in options
        )  # else it has the ticket's own masks: nothing to tell
    said = tombola("compare", "tiny", "--measures", "jaccard,sign-agreement")
    lines = said.out.splitlines()
    assert lines[0].startswith("are tickets more alike than random-mask masks?")
    assert lines[0].endswith("n = 2, units matched by weights@dense-held-out")
    assert ("sign-agreement start" in lines[1], "sign-agreement end" in lines[1]) == (True, True)
    assert [line.split()[0] for line in lines[3:]] == [
        "all",
        "fc1.weight",
        "fc2.weight",
        "out.weight",
        "all",
        "nothing",
        "`tombola",
    ]
    raw = tombola("compare", "tiny", "--aligned", "raw").out
    assert raw.splitlines()[0].endswith("units as they come")


def test_too_few_nulls_for_five_percent_are_said(tombola: Tombola, folder: Path) -> None:
    options = ("--level", "1", "--measures", "jaccard", "--aligned", "mask", "--all", "--n-null")
    few, enough = (tombola("compare", "tiny", *options, n).out for n in ("19", "20"))
    assert "-: no p can be below 5% by so few nulls; --n-null 20 are the fewest." in few
    assert "so few nulls" not in enough
    row = next(line for line in few.splitlines() if line.startswith("jaccard"))
    assert row.split()[-1] == "-"


def test_json_and_aligned(tombola: Tombola, folder: Path) -> None:
    said = tombola(
        "compare", "tiny", "--level", "1", "--arms", "ticket", "--measures", "jaccard", "--n-null", "3",
        "--aligned", "raw,weights@dense,mask", "--json",
    )  # fmt: skip
    assert said.code == 0
    pairs = json.loads(said.out)["pairs"]
    assert {row["aligned"] for row in pairs} == {"raw", "weights@dense", "mask"}
    assert {row["n_null"] for row in pairs if row["aligned"] == "mask"} == {3}


def test_masks_made_elsewhere(tombola: Tombola, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        bits = torch.from_numpy(np.random.default_rng(seed).random((30, 20)) < 0.5)
        torch.save(
            {"fc.weight": torch.ones(30, 20) * bits, "fc.bias": torch.zeros(30)}, tmp_path / f"{name}.pt"
        )
    said = tombola("compare", tmp_path / "a.pt", tmp_path / "b.pt", "--measures", "jaccard")
    assert said.code == 0
    assert "jaccard" in said.out
    found = library.compare(tmp_path / "a.pt", tmp_path / "b.pt", measures=["jaccard"])
    assert found.decisions is None
    assert found.pairs.filter(pl.col("layer") == "all")["value"].item() == pytest.approx(1 / 3, abs=0.1)


def test_consensus_of_replicates_is_kept_and_printed(tombola: Tombola, folder: Path) -> None:
    assert "how many" not in tombola("compare", "tiny", "--level", "2", "--measures", "jaccard").out
    said = tombola("compare", "tiny", "--level", "2", "--measures", "jaccard", "--all")
    assert "how many replicates keep a weight" in said.out
    frame = pl.read_parquet(folder / "consensus.parquet")
    keys = {"run": pl.String, "arm": pl.String, "density": pl.Float64}
    assert dict(frame.schema) == keys | CONSENSUS
    assert set(frame["run"]) == {folder.name}
    assert set(frame["arm"]) == {"ticket", "reinit", "random-mask"}
    assert set(frame["tickets"]) == {2}
    both, pairs = (
        frame.filter(layer="all", kept=2, arm="ticket", aligned="raw"),
        pl.read_parquet(folder / "measures.parquet"),
    )
    tickets = [f"{folder.name}:r{r}/L02/ticket/0" for r in (0, 1)]
    [jaccard] = pairs.filter(
        pl.col("a") == tickets[0], pl.col("b") == tickets[1], layer="all", aligned="raw"
    )["value"]
    alone = frame.filter(layer="all", kept=1, arm="ticket", aligned="raw")["value"].item()
    assert jaccard == pytest.approx(both["value"].item() / (both["value"].item() + alone))


def test_several_levels_and_densities_at_once(tombola: Tombola, folder: Path) -> None:
    options = ("--arms", "ticket,random-mask", "--measures", "jaccard")
    said = tombola("compare", "tiny", "--level", "1,2", *options)
    pairs = pl.read_parquet(folder / "measures.parquet")
    assert set(pairs["a"].str.extract(r"/L(\d+)/")) == {"01", "02"}
    assert (pairs["a"].str.extract(r"/L(\d+)/") == pairs["b"].str.extract(r"/L(\d+)/")).all()
    assert pl.read_parquet(folder / "decisions.parquet")["density"].n_unique() == 2
    assert "64" in said.out
    assert "80" in said.out
    assert tombola("compare", "tiny", "--density", "0.8,0.64", *options).code == 0
    assert pl.read_parquet(folder / "measures.parquet").equals(pairs)
    found = library.compare(folder, level=[1, 2], arms=["ticket", "random-mask"], measures=["jaccard"])
    assert set(pairs["aligned"]) == {"raw", "weights@dense-held-out"}
    assert found.pairs.equals(pairs)
    assert tombola("compare", "tiny", "--all-levels", "--level", "1,2", *options).code == 0
    assert len(pl.read_parquet(folder / "measures.parquet")) > len(pairs)


def test_a_comparison_without_decisions_leaves_none_behind(tombola: Tombola, folder: Path) -> None:
    tombola("compare", "tiny", "--level", "1", "--measures", "jaccard")
    assert (folder / "decisions.parquet").is_file()
    said = tombola("compare", "tiny", "--level", "1", "--arms", "ticket", "--measures", "jaccard")
    assert "verdict" not in said.out
    assert not (folder / "decisions.parquet").exists()
    assert (folder / "consensus.parquet").is_file()


def test_measures_of_function(tombola: Tombola, folder: Path) -> None:
    said = tombola(
        "compare",
        "tiny",
        "--level",
        "2",
        "--measures",
        "function",
        "--aligned",
        "raw,weights@end",
        "--n-null",
        "4",
    )
    assert said.code == 0, said.err
    pairs = pl.read_parquet(folder / "measures.parquet")
    assert dict(pairs.schema) == SCHEMA
    assert set(pairs["measure"]) == {name for name, measure in MEASURES.items() if measure.of_outputs}
    assert set(pairs.filter(measure="barrier")["aligned"]) == {"raw", "weights@end"}
    assert set(pairs.filter(pl.col("measure") != "barrier")["aligned"]) == {"raw"}
    decisions = pl.read_parquet(folder / "decisions.parquet")
    barriers = decisions.filter(measure="barrier", layer="all")
    assert barriers["mean_a"].null_count() == 0  # a barrier has no null and is decided on as it is
    [shown] = barriers.filter(arm_b="random-mask", aligned="raw")["mean_a"]
    tickets = pairs.filter(
        pl.col("a").str.contains("/ticket/"),
        pl.col("b").str.contains("/ticket/"),
        measure="barrier",
        aligned="raw",
    )
    assert shown == pytest.approx(tickets["value"].mean())
    # What two networks disagree on is what their accuracies say at the least.
    cells = {row["replicate"]: row for row in results_of(library.Run(folder)).to_dicts()
             if (row["arm"], row["level"]) == ("ticket", 2)}  # fmt: skip
    [apart] = pairs.filter(
        pl.col("a").str.contains("/ticket/"), pl.col("b").str.contains("/ticket/"), measure="disagreement"
    )["value"]
    assert apart >= abs(cells[0]["final_test_accuracy"] - cells[1]["final_test_accuracy"]) - 1e-9


def test_measures_of_function_are_in_the_catalogue_and_need_a_run(tombola: Tombola, tmp_path: Path) -> None:
    listed = json.loads(tombola("catalog", "measures", "--json").out)["measures"]
    assert {"jaccard", "nnstd", "cka", "barrier"} <= listed.keys()
    said = tombola("compare", *bare_masks(tmp_path), "--measures", "jaccard,cka")
    assert said.code == 2
    assert "measure 'cka' needs the network and the data" in said.err


def test_two_runs_are_kept_apart(tombola: Tombola, folder: Path, study_file: Path) -> None:
    """The same seeds under another normalisation: the same random masks, so what they share is no finding."""
    assert tombola("run", "tiny.toml", "--set", "data.normalisation=unit").code == 0
    [other] = [path for path in folder.parent.iterdir() if path.name != folder.name]
    arms = ("--arms", "ticket,random-mask", "--level", "2")
    asked = (*arms, "--measures", "jaccard,disagreement,barrier")
    short = tombola("compare", folder.name, other.name, *asked)
    assert f"{folder.name}: are tickets more alike than random-mask masks?" in short.out
    assert f"{other.name}: are tickets more alike than random-mask masks?" in short.out
    said = tombola("compare", folder.name, other.name, *asked, "--all")
    assert said.code == 0, said.err
    first, second = sorted([folder.name, other.name])  # whose hashes alone differ
    assert f"{folder.name}:ticket - {folder.name}:ticket" in said.out
    assert f"{first}:ticket - {second}:ticket" in said.out
    pairs = pl.read_parquet(folder / "measures.parquet").filter(layer="all")
    across = pairs.filter(
        pl.col("a").str.starts_with(folder.name) != pl.col("b").str.starts_with(folder.name)
    )
    random = across.filter(
        pl.col("a").str.contains("r0/L02/random"),
        pl.col("b").str.contains("r0/L02/random"),
        measure="jaccard",
    )
    assert random["value"].to_list() == [1.0]
    assert across.filter(measure="barrier")["value"].null_count() == len(across.filter(measure="barrier"))
    assert across.filter(measure="disagreement")["value"].null_count() == 0
    for name in ("decisions", "consensus"):
        assert set(pl.read_parquet(folder / f"{name}.parquet")["run"]) == {folder.name, other.name}
        assert not (other / f"{name}.parquet").exists()
    # Each run is decided on as if the other were not there.
    together = pl.read_parquet(folder / "decisions.parquet").filter(run=other.name)
    tombola("compare", other.name, *arms, "--measures", "jaccard,disagreement,barrier")
    assert pl.read_parquet(other / "decisions.parquet").equals(together)
    said = tombola("compare", folder.name, other.name, *arms, "--aligned", "activations@dense")
    assert said.code == 2
    assert "activations are compared on the same inputs" in said.err


def bare_masks(place: Path) -> list[Path]:
    """Two checkpoints of two linear layers that follow one another."""
    paths = []
    for name, seed in (("a", 0), ("b", 1)):
        rng = np.random.default_rng(seed)
        state = {
            f"l{i}.weight": torch.from_numpy((rng.random(size) < 0.5) * 1.0)
            for i, size in enumerate([(6, 5), (3, 6)])
        }
        torch.save({**state, "bias": torch.full((3,), 0.5)}, place / f"{name}.pt")
        paths.append(place / f"{name}.pt")
    return paths


def test_masks_made_elsewhere_are_aligned_as_a_chain_of_layers(tombola: Tombola, tmp_path: Path) -> None:
    said = tombola(
        "compare",
        *bare_masks(tmp_path),
        "--measures",
        "nnstd,jaccard",
        "--aligned",
        "raw,mask",
        "--n-null",
        "3",
        "--json",
    )
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert {row["aligned"] for row in told["pairs"]} == {"raw", "mask"}
    assert {row["measure"] for row in told["pairs"]} == {"nnstd", "jaccard"}
    assert told["decisions"] == told["consensus"] == []


WRONG = [
    (("--level", "one"), "--level takes whole numbers"),
    (("--level", "1,9"), "level 9"),
    (("--density", "0.5,x"), "--density takes numbers"),
    (("--measures", "ckaa"), "cka"),
    (("--measures", "jacard"), "jaccard"),
    (("--aligned", "weight@dense"), "weights@dense"),
    (("--nulls", "layer-shufle"), "layer-shuffle"),
    (("--arms", "tickets"), "ticket"),
    (("--level", "9"), "level 9"),
    (("--level", "1", "--density", "0.5"), "not both"),
    (("--density", "2"), "density"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[" ".join(options) for options, _ in WRONG])
def test_wrong_options(options: tuple[str, ...], words: str, tombola: Tombola, folder: Path) -> None:
    said = tombola("compare", "tiny", *options)
    assert said.code == 2
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_broken_mask_file_is_one_sentence(tombola: Tombola, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    said = tombola("compare", "tiny", tmp_path / "x.safetensors")
    assert said.code == 2
    assert "x.safetensors" in said.err


def test_masks_of_tasks_and_pruners_in_each_replicate(tombola: Tombola, done: Path) -> None:
    said = tombola("compare", done, "--sources", "--level", "2")
    assert said.code == 0, said.err
    assert "ticket, random-mask" in said.out
    assert "reinit" not in said.out, "it has the ticket's mask"
    rows = json.loads(tombola("compare", done, "--sources", "--json").out)
    assert {(row["level"], row["quantity"], row["n"]) for row in rows} == {
        (level, quantity, 2) for level in (1, 2) for quantity in ("jaccard", "shared")
    }
    wrong = tombola("compare", done, "--sources", "--measures", "jaccard")
    assert "--sources compares the masks within one run, by --level alone" in wrong.err
