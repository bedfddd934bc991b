from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pypdfium2
import pytest
import typst

from support.program import TINY, Tombola
from tombola.report.paper import write
from tombola.report.paper.write import FORMATS


def text_of(pdf: Path | bytes) -> str:
    data = pdf if isinstance(pdf, bytes) else pdf.read_bytes()
    with pypdfium2.PdfDocument(data) as document:
        pages = [document[i].get_textpage().get_text_range() for i in range(len(document))]
    return re.sub(r"\s+", " ", " ".join(pages))


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are blank: what they show is tested elsewhere."""
    blank: bytes = typst.compile(b"#set page(width: 40pt, height: 30pt, margin: 2pt)\nx")
    monkeypatch.setattr(write, "fitted", lambda *_: blank)


def test_the_paper_of_a_run_whole(tombola: Tombola, done: Path) -> None:
    said = tombola("report", "tiny", "--format", "pdf")
    assert (said.code, said.out.strip()) == (0, f"runs/{done.name}/report/paper.pdf")
    text = text_of(done / "report" / "paper.pdf")
    assert "A tiny study" in text
    # 64 x 12 + 12 x 8 + 8 x 10 weights, and the letters of a figure.
    assert "944 prunable weights of 974 parameters in 3 layers" in text
    assert "density (% of prunable weights that remain)" in text
    assert "a random mask with the ticket’s count in each layer" in text
    assert sorted(path.name for path in (done / "report").iterdir() if path.suffix != ".html") == [
        "figures",
        "paper.pdf",
    ]


@pytest.mark.usefixtures("quickly")
def test_every_format(tombola: Tombola, done: Path) -> None:
    places = {"pdf": "paper.pdf", "md": "paper/paper.md", "typst": "paper/main.typ", "slides": "slides.pdf"}
    assert set(places) == set(FORMATS)
    for form, place in places.items():
        said = tombola("report", done, "--format", form)
        assert said.code == 0, said.err
        assert Path(said.out.strip()) == done / "report" / place
        assert (done / "report" / place).stat().st_size > 1000
    files = re.findall(r"\]\((figures/.*?)\)", (done / "report" / "paper" / "paper.md").read_text())
    assert files
    for file in files:
        assert (done / "report" / "paper" / file).is_file()
    assert "A tiny study" in text_of(
        typst.compile(done / "report" / "paper" / "main.typ", ignore_system_fonts=True)
    )


@pytest.mark.usefixtures("quickly")
def test_an_unfinished_run_says_so(tombola: Tombola, done: Path) -> None:
    shutil.rmtree(done / "cells" / "r1" / "L02")
    for file in done.glob("cells/*/*/*/*/timing.json"):
        file.write_text(json.dumps({"seconds": 100.0}))
    assert tombola("report", "tiny", "--format", "pdf").code == 0
    assert "This run is not finished: 11 of 14 cells are done" in text_of(done / "report" / "paper.pdf")
    assert tombola("report", "tiny", "--template", "proposal").code == 0
    text = text_of(done / "report" / "proposal.pdf")
    assert (
        "3 cells are still to be trained: ticket, random-mask and reinit, level 2, in 1 of 2 replicates."
        in text
    )
    assert "This takes about 5 min, at the speed of those that are done." in text


@pytest.mark.usefixtures("quickly")
def test_a_proposal_of_a_study_file(tombola: Tombola, study_file: Path) -> None:
    said = tombola("report", study_file, "--template", "proposal")
    assert said.code == 0, said.err
    text = text_of(Path(said.out.strip()))
    assert "Proposal: A tiny study" in text
    assert "14 cells are still to be trained" in text
    assert "by a short probe of this machine" in text
    assert "944 prunable weights" in text
    # The run can still be made: nothing lies in its place.
    assert not list(Path("runs").glob("tiny-*"))


@pytest.mark.usefixtures("quickly")
def test_a_proposal_without_the_data(tombola: Tombola, tmp_path: Path) -> None:
    (tmp_path / "far.toml").write_text(TINY.replace('"digits"', '"mnist"'))
    said = tombola("report", "far.toml", "--template", "proposal")
    assert said.code == 0, said.err
    text = text_of(Path(said.out.strip()))
    assert "its layers could not be counted here" in text
    assert "How long it takes is not known here: data set ‘mnist’ was not found on this machine." in text
    assert str(tmp_path) not in text.replace(" ", "")


ODD = {
    "one replicate, one level, one arm": ("replicates=1", "levels=1", "arms=[]"),
    "dense alone": ("levels=0", "replicates=1"),
    "a training that diverges": ("lr=1e30", "optimizer=sgd", "replicates=1"),
}


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("what", ODD)
def test_odd_runs(tombola: Tombola, study_file: Path, what: str) -> None:
    sets = [part for setting in ODD[what] for part in ("--set", setting)]
    assert tombola("run", study_file, *sets).code == 0
    said = tombola("report", "tiny", "--format", "pdf")
    assert said.code == 0, said.err
    text = text_of(Path(said.out.strip()))
    assert not re.search(r"\b(None|nan|inf)\b", text)
    assert "There is one replicate" in text
    assert ("diverged" in text) == ("diverges" in what)


FOREIGN = """
from torch import nn
def net(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, classes))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_a_foreign_network_without_images(
    tombola: Tombola, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    parts = {
        f"{part}_{kind}": value
        for part, n in (("train", 200), ("test", 50))
        for kind, value in (("x", rng.random((n, 5), dtype=np.float32)), ("y", rng.integers(0, 3, n)))
    }
    np.savez(tmp_path / "points.npz", **parts)
    (tmp_path / "foreign_net_of_papers.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = TINY.replace('"lenet-12-8"', '"foreign_net_of_papers:net"').replace('"digits"', '"npz:points.npz"')
    (tmp_path / "foreign.toml").write_text(text)
    assert tombola("run", "foreign.toml").code == 0
    (tmp_path / "points.npz").unlink()  # a report takes the run alone
    said = tombola("report", "tiny", "--format", "pdf")
    assert said.code == 0, said.err
    found = text_of(Path(said.out.strip()))
    assert re.search(r"56 prunable weights of \d+ parameters in 2 layers", found)
    assert "foreign_net_of_papers:net" in found.replace("\u200b", "")


@pytest.mark.usefixtures("quickly")
def test_several_runs_have_a_paper_each(tombola: Tombola, done: Path) -> None:
    other = done.parent / "other-01234567"
    shutil.copytree(done, other)
    said = tombola("report", done, "--compare", other, done, "--format", "slides")
    assert said.code == 0, said.err
    assert said.out.split() == [str(each / "report" / "slides.pdf") for each in (done, other)]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["tiny", "--format", "docx"], "unknown format 'docx'"),
        (["tiny", "--template", "papper"], "unknown template 'papper'; did you mean 'paper'?"),
        (["tiny", "--format", "html", "--template", "paper"], "the page has no templates"),
        (["tinny", "--format", "pdf"], "no run 'tinny' under runs"),
        (["nowhere.toml", "--template", "proposal"], "nowhere.toml: no such study file"),
        (["quick", "--format", "pdf"], "was not run, and a paper takes a run; --template proposal"),
    ],
)
def test_mistakes(tombola: Tombola, done: Path, args: list[str], sentence: str) -> None:
    said = tombola("report", *args)
    assert said.code == 2
    assert sentence in said.err
    assert said.err.count("\n") == 1
