"""`tombola run` as one of several workers, and with a copy elsewhere."""

from __future__ import annotations

from pathlib import Path

from support.program import Tombola
from tombola.runs.folder import Run
from tombola.runs.presence import Presence


def test_a_worker_that_leaves_others_behind_leaves_them_the_rest(
    tombola: Tombola, study_file: Path, tmp_path: Path
) -> None:
    said = tombola("run", study_file, "--set", "levels=1", "--shard", "1/1", "--until", "training")
    assert said.code == 0, said.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert said.out.split() == ["run", f"runs/{folder.name}"]
    with Presence(folder):
        said = tombola("run", study_file, "--shard", "2/2")
        assert said.code == 0, said.err
        assert "others are still at it; the last of them goes on to the report" in said.out
        assert ": running, " in tombola("status", folder.name).out
    assert Run(folder).headway().state == "finished"
    assert not (folder / "report").exists()
    assert "report" in tombola("run", study_file, "--shard", "1/2").out
    assert (folder / "report").is_dir()


def test_the_copy_has_the_report_too(tombola: Tombola, study_file: Path, tmp_path: Path) -> None:
    said = tombola("run", study_file, "--set", "levels=1", "--mirror", tmp_path / "copies")
    assert said.code == 0, said.err
    (folder,) = (tmp_path / "copies").iterdir()
    assert (folder / "report").is_dir()
    assert (folder / "verdicts.json").read_bytes() == (
        tmp_path / "runs" / folder.name / "verdicts.json"
    ).read_bytes()


def test_mistakes_are_one_sentence(tombola: Tombola, study_file: Path) -> None:
    for options, sentence in (
        (["--on", "moon"], "tombola: --on is 'moon'; expected one of: local, ray, slurm\n"),
        (["--shard", "3/2"], "tombola: --shard is '3/2', expected i/n, the number of this worker"),
        (["--shard", "1/2", "--mirror", "x"], "tombola: --mirror has one writer, and --shard makes several"),
    ):
        said = tombola("run", study_file, *options)
        assert said.code == 2
        assert said.err.startswith(sentence)
