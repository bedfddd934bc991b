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
from program import Tombola

import tombola as library
from tombola.compare import DECISIONS, SCHEMA


@pytest.fixture
def folder(done: Path) -> Path:
    return done.relative_to(Path.cwd())


def test_means_and_decisions_are_printed_and_kept(tombola: Tombola, folder: Path) -> None:
    said = tombola("compare", "tiny", "--level", "2", "--measures", "jaccard,sign-agreement")
    assert said.code == 0
    for part in (
        "jaccard",
        "sign-agreement",
        "ticket - ticket",
        "ticket - reinit, one replicate",
        "not resolved",
    ):
        assert part in said.out
    pairs, decisions = (pl.read_parquet(folder / f"{name}.parquet") for name in ("measures", "decisions"))
    assert dict(pairs.schema) == SCHEMA
    assert dict(decisions.schema) == DECISIONS
    assert set(pairs["a"].str.slice(len(folder.name))) >= {":r0/L02/ticket/0"}
    assert set(decisions["arm_b"]) == {"reinit", "random-mask"}


def test_a_reinit_has_the_tickets_own_mask(tombola: Tombola, folder: Path) -> None:
    said = tombola(
        "compare", "tiny", "--density", "0.64", "--arms", "ticket,reinit", "--measures", "jaccard", "--csv"
    )
    rows = [row for row in csv.DictReader(io.StringIO(said.out)) if row["layer"] == "all"]
    own = [row for row in rows if row["a"].split(":")[1][:2] == row["b"].split(":")[1][:2]]
    assert [float(row["value"]) for row in own] == [1.0, 1.0]
    assert len(rows) == 6  # four cells in pairs


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


WRONG = [
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
