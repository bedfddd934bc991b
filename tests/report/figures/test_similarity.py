"""Pictures of what tickets share: what they draw, from hand-made tables and from a run's folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.report_frames import tables
from tombola.comparison.consensus import CONSENSUS
from tombola.comparison.table import SCHEMA
from tombola.errors import UserError
from tombola.report.collect import with_structure
from tombola.report.figures.base import FIGURES, Picture
from tombola.report.figures.export import rows, save
from tombola.report.tables import NothingToDrawError, Tables

NAMES = ("overlap", "sign-agreement", "aligned", "consensus", "similarity", "degrees", "kernels")
LAYERS = ("fc1.weight", "fc2.weight", "all")
ALIGNED = {"raw": 0.0, "mask": 0.5}


class Folder:
    """A run as far as pictures ask for it."""

    def __init__(self, path: Path) -> None:
        self.path = path


def pair_rows(name: str) -> list[tuple[Any, ...]]:
    """Two replicates of ticket and reinit at levels 1 and 2: Jaccard 0.3 (0.2 across arms) where chance is 0.25, 0.05
    less at level 2 for both; sign agreement 0.6 at the end and 0.5 at the start where chance is 0.5; 0.5 more under
    alignment by mask, and 0.4 by chance."""
    cells = [(f"{name}:r{r}/L0{level}/{arm}/0", r, level, arm)
             for level in (1, 2) for r in (0, 1) for arm in ("ticket", "reinit")]  # fmt: skip
    found: list[tuple[Any, ...]] = []
    for index, (a, r, level, arm) in enumerate(cells):
        for b, r_b, level_b, arm_b in cells[index + 1 :]:
            if level != level_b:
                continue
            less = 0.05 * (level - 1)
            jaccard = 1.0 if r == r_b else (0.3 if arm == arm_b else 0.2) - less
            for layer in LAYERS:
                for aligned, more in ALIGNED.items():
                    null = ("layer-shuffle", 5)
                    found += [
                        (
                            a,
                            b,
                            layer,
                            "jaccard",
                            None,
                            aligned,
                            *null,
                            jaccard + more,
                            0.25 - less + 0.8 * more,
                            1.0,
                            0.1,
                        ),
                        (a, b, layer, "sign-agreement", "end", aligned, *null, 0.6, 0.5, 1.0, 0.1),
                        (a, b, layer, "kernel-overlap", "end", aligned, *null, 0.8, 0.5, 1.0, 0.1),
                        (a, b, layer, "sign-agreement", "start", aligned, *null, 0.5, 0.5, 1.0, 0.1),
                        (
                            a,
                            b,
                            layer,
                            "sign-similarity",
                            "end",
                            aligned,
                            *null,
                            0.1 + more,
                            0.05 + more,
                            1.0,
                            0.1,
                        ),
                    ]
        for layer in LAYERS:
            null = ("layer-shuffle", 5)
            found.append((a, None, layer, "out-degree-gini", None, "raw", *null, 0.2 * level, 0.1, 1.0, 0.1))
        found.append((a, None, "all", "positive-share", "end", "raw", "fair-signs", 0, 0.5, 0.5, 0.0, 0.5))
    found.append(
        (cells[0][0], "other:r0/L01/ticket/0", "all", "jaccard", None, "raw", "x", 0, 0.9, 0.1, 1.0, 0.1)
    )
    found.append((cells[0][0], "elsewhere.pt", "all", "jaccard", None, "raw", "x", 0, 0.9, 0.1, 1.0, 0.1))
    draws = [f"{name}:r0/L01/reinit/{draw}" for draw in (0, 1)]  # of one replicate, with one mask
    found.append((*draws, "all", "jaccard", None, "raw", "x", 0, 1.0, 0.25, 1.0, 0.1))
    near = [f"{name.replace('.', 'x')}:r{r}/L01/ticket/0" for r in (0, 1)]
    found.append((*near, "all", "jaccard", None, "raw", "x", 0, 0.9, 0.1, 1.0, 0.1))
    return found


def consensus_rows(name: str) -> list[tuple[Any, ...]]:
    """Of 100 weights the arms' two replicates keep 60, 30, 10 (reinit, as the ticket) and 50, 40, 10 (random-mask)."""
    found: list[tuple[Any, ...]] = []
    for run in (name, "other"):
        for arm, seen in {
            "ticket": (60, 30, 10),
            "reinit": (60, 30, 10),
            "random-mask": (50, 40, 10),
        }.items():
            for density in (0.5, 0.25):
                for layer in LAYERS:
                    place = (run, arm, density, 2, layer, "raw", "layer-shuffle", 0)
                    found += [
                        (*place, "weights", k, float(n), 0.3 if k == 2 else 49.0, 1.0, None)
                        for k, n in enumerate(seen)
                    ]
                    found.append((*place, "dispersion", None, 1.5, 1.0, 2.0, 0.02))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    run = Folder(tmp_path / "study.1-0123abcd")  # a dot is a dot
    run.path.mkdir()
    write(run, pair_rows(run.path.name), consensus_rows(run.path.name))
    return run


def write(run: Folder, pairs: list[tuple[Any, ...]], consensus: list[tuple[Any, ...]]) -> None:
    pl.DataFrame(pairs, schema=SCHEMA, orient="row").write_parquet(run.path / "measures.parquet")
    schema = {"run": pl.String, "arm": pl.String, "density": pl.Float64, **CONSENSUS}
    pl.DataFrame(consensus, schema=schema, orient="row").write_parquet(run.path / "consensus.parquet")


@pytest.fixture
def found(folder: Folder) -> Tables:
    return with_structure(tables(), folder)  # type: ignore[arg-type]


def test_the_rows_of_the_runs_own_cells_are_collected_with_what_their_names_say(found: Tables) -> None:
    assert found.pairs is not None
    assert "elsewhere.pt" not in found.pairs["b"].to_list()
    assert found.pairs["a"].str.starts_with("study.1-0123abcd:").all()
    assert found.pairs["b"].drop_nulls().str.starts_with("study.1-0123abcd:").all()
    assert set(found.pairs.filter(pl.col("b").is_null())["measure"]) == {"positive-share", "out-degree-gini"}
    [row] = found.pairs.head(1).rows(named=True)
    assert (row["replicate_a"], row["level_a"], row["arm_a"], row["draw_a"]) == (0, 1, "ticket", 0)
    assert (row["replicate_b"], row["level_b"], row["arm_b"], row["density"]) == (0, 1, "reinit", 0.5)
    assert found.consensus is not None
    assert found.consensus["run"].n_unique() == 1


def test_overlap_is_of_one_arm_and_two_replicates_over_chance(found: Tables) -> None:
    frame = rows(FIGURES["overlap"](found))
    assert set(frame["panel"]) == {"fc1", "fc2", "whole network"}
    assert set(frame["density"]) == {50.0, 25.0}
    assert set(frame["pairs"]) == {1}
    ticket = frame.filter(arm="ticket", panel="fc1").sort("density")
    assert ticket["times"].to_list() == pytest.approx([0.25 / 0.20, 0.30 / 0.25], rel=1e-5)


def test_sign_agreement_is_that_at_the_end(found: Tables) -> None:
    assert set(rows(FIGURES["sign-agreement"](found))["times"]) == {1.2}


def test_kernels_are_of_pairs_and_degrees_of_each_network(found: Tables) -> None:
    assert set(rows(FIGURES["kernels"](found))["times"]) == {1.6}
    frame = rows(FIGURES["degrees"](found))
    assert set(frame["panel"]) == {"fc1", "fc2", "whole network"}
    assert set(frame["pairs"]) == {2}  # two replicates
    assert set(zip(frame["density"], frame["times"], strict=True)) == {(50.0, 2.0), (25.0, 4.0)}


def test_aligned_shows_values_and_chance_at_the_sparsest_density(found: Tables) -> None:
    frame = rows(FIGURES["aligned"](found))
    assert set(frame["measure"]) == {"jaccard", "sign-similarity"}
    assert set(frame["density"]) == {0.25}
    [raw] = frame.filter(measure="jaccard", aligned="raw", arm="ticket").rows(named=True)
    [mask] = frame.filter(measure="jaccard", aligned="mask", arm="ticket").rows(named=True)
    assert (raw["value"], raw["expected"]) == (0.25, 0.2)
    assert (mask["value"], mask["expected"]) == (0.75, 0.6)


def test_consensus_leaves_out_copies_of_the_ticket_and_less_than_half_a_weight(found: Tables) -> None:
    frame = rows(FIGURES["consensus"](found))
    assert set(frame["arm"]) == {"ticket", "random-mask"}
    assert set(frame["density"]) == {0.25}
    ticket = frame.filter(arm="ticket", panel="fc2").sort("kept")
    assert ticket["value"].to_list() == [60, 30, 10]
    assert ticket["expected"].to_list() == [49, 49, None]
    assert "ticket 1.500 (raw)" in FIGURES["consensus"](found).to_dict()["description"]


def test_consensus_under_alignments_has_a_panel_for_each_in_order(folder: Folder) -> None:
    more = [(*row[:5], "mask", *row[6:]) for row in consensus_rows(folder.path.name)]
    write(folder, pair_rows(folder.path.name), more + consensus_rows(folder.path.name))
    chart = FIGURES["consensus"](with_structure(tables(), folder))  # type: ignore[arg-type]
    layers = ["fc1", "fc2", "whole network"]
    expected = [f"{layer} ({aligned})" for aligned in ("raw", "mask") for layer in layers]
    assert chart.to_dict()["facet"]["sort"] == expected


def test_one_level_has_its_arms_beside_each_other_and_several_an_axis_of_their_own(folder: Folder) -> None:
    chart = FIGURES["overlap"](with_structure(tables(), folder))  # type: ignore[arg-type]
    low, high = x_of(chart)["scale"]["domain"]
    assert 20 < low < 25
    assert 50 < high < 55
    write(folder, [row for row in pair_rows(folder.path.name) if "/L02/" in row[0]], [])
    x = x_of(FIGURES["overlap"](with_structure(tables(), folder)))  # type: ignore[arg-type]
    assert (x["field"], x["title"]) == ("arm", "arms, at 25% density")
    assert x["sort"] == ["ticket", "reinit"]


def x_of(chart: Picture) -> dict[str, Any]:
    """The x encoding of the points in a chart of panels."""
    found: dict[str, Any] = chart.to_dict()["spec"]["layer"][-1]["encoding"]["x"]
    return found


def test_panels_of_alignments_have_names_of_two_lines_and_ticks_that_stand_apart(
    folder: Folder, tmp_path: Path
) -> None:
    aligned = [(*row[:5], "weights@dense-held-out", *row[6:]) for row in consensus_rows(folder.path.name)]
    write(folder, pair_rows(folder.path.name), aligned + consensus_rows(folder.path.name))
    chart = FIGURES["consensus"](with_structure(tables(), folder))  # type: ignore[arg-type]
    assert x_of(chart)["axis"]["labelSeparation"] > 0
    save(chart, tmp_path / "x.svg")
    drawn = (tmp_path / "x.svg").read_text()
    assert ">(weights@dense-held-out)<" in drawn
    assert ">whole network<" in drawn


def test_of_many_masks_the_arms_alone_are_written(folder: Folder, tmp_path: Path) -> None:
    def likeness(count: int) -> set[str]:
        cells = [f"{folder.path.name}:r{r}/L01/{arm}/0" for arm in ("ticket", "reinit") for r in range(count)]
        found = [
            (a, b, "all", "jaccard", None, "raw", "x", 0, 0.3, 0.25, 1.0, 0.1)
            for i, a in enumerate(cells)
            for b in cells[i + 1 :]
        ]
        write(folder, found, [])
        save(FIGURES["similarity"](with_structure(tables(), folder)), tmp_path / "x.svg")  # type: ignore[arg-type]
        return set(re.findall(">((?:ticket|reinit)[ 0-9]*)<", (tmp_path / "x.svg").read_text()))

    assert likeness(12) == {f"{arm} {r}" for arm in ("ticket", "reinit") for r in range(12)}
    assert likeness(16) == {"ticket", "reinit"}


def test_similarity_is_symmetric_and_saturates_at_the_most_alike_of_two_replicates(found: Tables) -> None:
    chart = FIGURES["similarity"](found)
    frame = rows(chart)
    assert len(frame) == 4 * 3  # four masks at the sparsest level, both ways
    value = {(one, other): times for one, other, times in frame.select("one", "other", "times").iter_rows()}
    assert all(value[other, one] == times for (one, other), times in value.items())
    assert value["ticket 0", "ticket 1"] == pytest.approx(0.25 / 0.2)
    assert value["ticket 0", "reinit 0"] == pytest.approx(1 / 0.2)
    encoding = chart.to_dict()["encoding"]
    assert encoding["color"]["scale"]["domain"] == pytest.approx([0.15 / 0.2, 1.25])
    assert encoding["x"]["sort"] == ["ticket 0", "ticket 1", "reinit 0", "reinit 1"]


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_can_be_saved_and_says_what_it_shows(name: str, found: Tables, tmp_path: Path) -> None:
    chart = FIGURES[name](found)
    save(chart, tmp_path / "x.svg")
    assert (tmp_path / "x.svg").stat().st_size > 1000
    assert len(chart.to_dict()["description"]) > 60


@pytest.mark.parametrize("name", NAMES)
def test_without_a_comparison_the_command_that_makes_one_is_named(name: str, tmp_path: Path) -> None:
    run = Folder(tmp_path / "study-0123abcd")
    run.path.mkdir()
    with pytest.raises(NothingToDrawError, match="tombola compare RUN"):
        FIGURES[name](with_structure(tables(), run))  # type: ignore[arg-type]
    write(run, [], [])
    with pytest.raises(NothingToDrawError, match="tombola compare RUN"):
        FIGURES[name](with_structure(tables(), run))  # type: ignore[arg-type]


def test_only_raw_rows_are_no_comparison_of_alignments(folder: Folder) -> None:
    write(folder, [row for row in pair_rows(folder.path.name) if row[5] == "raw"], [])
    with pytest.raises(NothingToDrawError, match="--aligned raw"):
        FIGURES["aligned"](with_structure(tables(), folder))  # type: ignore[arg-type]


def test_tables_of_an_earlier_version_are_passed_over_and_broken_ones_named(folder: Folder) -> None:
    pl.DataFrame({"a": ["x"]}).write_parquet(folder.path / "measures.parquet")
    assert with_structure(tables(), folder).pairs is None  # type: ignore[arg-type]
    (folder.path / "consensus.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"consensus\.parquet: not a readable parquet file"):
        with_structure(tables(), folder)  # type: ignore[arg-type]
