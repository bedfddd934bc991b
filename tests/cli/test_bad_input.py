"""A user's mistake: one clear sentence, exit code 2, no traceback, nothing damaged."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from filelock import FileLock

from support.program import TINY, Said, Tombola


def assert_one_sentence(said: Said, *parts: str) -> None:
    assert said.code == 2, said
    assert "Traceback" not in said.err
    for part in parts:
        assert part in said.err, said.err


MISTAKES = [
    (["run", "quikc"], ["unknown preset 'quikc'", "did you mean 'quick'"]),
    (["run", "nowhere.toml"], ["nowhere.toml", "no such study file"]),
    (
        ["run", "quick", "--set", "recipe.itertions=5"],
        ["recipe.itertions", "did you mean 'recipe.iterations'?"],
    ),
    (["run", "quick", "--set", "itertions=5"], ["itertions", "did you mean 'iterations'"]),
    (["run", "quick", "--set", "recipe.iterations=many"], ["recipe.iterations", "many", "integer"]),
    (["run", "quick", "--set", "recipe.nesterov=maybe"], ["recipe.nesterov", "maybe"]),
    (["run", "quick", "--set", "pruning.rate=1.5"], ["pruning.rate", "1.5", "less than 1"]),
    (["run", "quick", "--set", "pruning.rate=0"], ["pruning.rate", "greater than 0"]),
    (["run", "quick", "--set", "levels"], ["key=value"]),
    (["run", "quick", "--set", "name=a/b"], ["name", "a/b"]),
    (["run", "quick", "--set", "model.name=lenet-300_100"], ["lenet-300_100", "lenet-300-100"]),
    (["run", "quick", "--set", "data.name=digitz"], ["digitz", "did you mean 'digits'"]),
    (["run", "quick", "--set", "data.normalisation=standart"], ["standart", "standard"]),
    (["run", "quick", "--set", "recipe.schedule=cosin"], ["cosin", "did you mean 'cosine'"]),
    (["run", "quick", "--set", "pruning.criterion=large-fina"], ["large-fina", "large-final"]),
    (["run", "quick", "--set", "pruning.rewind=99999"], ["rewind", "99999"]),
    (["run", "quick", "--set", "data.validation=5000"], ["validation", "5000"]),
    (["run", "quick", "--device", "gpu"], ["unknown device 'gpu'"]),
    (["run", "quick", "--engine", "mpl"], ["unknown engine 'mpl'", "did you mean 'mlp'"]),
    (["run", "quick", "--nope"], ["--nope"]),
    (["run", "quick", "--replicate", "4"], ["run has no option --replicate", "--set replicates=4\n"]),
    (["run", "quick", "--levels=4", "--json"], ["run has no option --levels", "--set levels=4\n"]),
    (["run", "quick", "--iterations"], ["run has no option --iterations", "--set iterations=VALUE\n"]),
    (["run", "quick", "--set", "data.validation=3600"], ["study 'quick': data.validation is 3600, which"]),
    (["run", "quick", "--engine", "sparse-conv"], ["engine 'sparse-conv' cannot"]),
    (["verdicts", "nothing"], ["no run 'nothing' under runs; there are none\n"]),
    (["figure", "nothing", "gapp"], ["no run 'nothing' under runs", "no figure 'gapp'; did you mean 'gap'?"]),
    (
        ["run", "lenet-mnist", "--data-dir", "empty"],
        ["mnist", "train-images-idx3-ubyte", "tombola data fetch mnist"],
    ),
    (["run", "conv2-cifar10", "--data-dir", "empty"], ["cifar-10-batches-py", "tombola data fetch cifar10"]),
    (["run", "quick", "--set", "pruning.rates={ ouput = 0.1 }"], ["ouput", "output"]),
    (["run", "quick", "--set", "pruning.rate=0.9", "--set", "levels=30"], ["level", "last weights"]),
    (["run", "quick", "--set", "model.name=nowhere:net"], ["nowhere"]),
    (
        ["run", "quick", "--out", "s3://bucket/runs", "--mirror", "gs://other"],
        ["--out s3://bucket/runs and --mirror gs://other", "expected one of them"],
    ),
    (["status", "gs://bucket/runs/quick"], ["gs://bucket/runs/quick: runs are read in folders", "--mirror"]),
    (["results", "quick", "--runs", "s3://bucket/runs"], ["s3://bucket/runs: runs are read in folders"]),
    (["status", "nothing"], ["no run 'nothing'"]),
    (["results", "nothing"], ["no run 'nothing'"]),
    (["catalog", "arm"], ["unknown kind 'arm'", "did you mean 'arms'"]),
    (["data", "fetch", "minst"], ["minst", "mnist"]),
    (["evaluate", "absent.safetensors", "--data", "digits"], ["absent.safetensors", "no such file"]),
    (["ticket", "show", "absent"], ["absent", "no such file"]),
    (["train", "lenet-5", "--data", "digits", "--out", "x.pt"], ["x.pt", ".safetensors"]),
    (["train", "lenet-5", "--data", "digits", "--out", "x.safetensors", "--set", "levels=3"], ["levels"]),
]


@pytest.mark.parametrize(("args", "parts"), MISTAKES, ids=[" ".join(args)[:60] for args, _ in MISTAKES])
def test_mistake(tombola: Tombola, tmp_path: Path, args: list[str], parts: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert_one_sentence(tombola(*args), *parts)
    assert not list(tmp_path.glob("runs/*"))


def test_study_file_mistakes(tombola: Tombola, tmp_path: Path) -> None:
    def said(text: str) -> Said:
        (tmp_path / "bad.toml").write_text(text)
        return tombola("run", "bad.toml")

    assert_one_sentence(said(TINY.replace("[model]", "[model")), "bad.toml", "TOML")
    assert_one_sentence(said(TINY.replace("levels = 2", "level = 2")), "unknown key 'level'", "'levels'")
    assert_one_sentence(said(TINY.replace('name = "reinit"', 'name = "renit"')), "renit", "reinit")
    assert_one_sentence(said(TINY.replace('name = "reinit"', 'name = "random-mask"')), "random-mask", "twice")
    assert_one_sentence(said(TINY.replace('[model]\nname = "lenet-12-8"', "")), "'model' is missing")


def test_truncated_files(tombola: Tombola, tmp_path: Path, done: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"\x10\x00\x00")
    assert_one_sentence(tombola("ticket", "show", "broken.safetensors"), "broken.safetensors")
    mask = done / "cells/r0/L01/ticket/0/mask.safetensors"
    mask.write_bytes(mask.read_bytes()[:-5])
    assert_one_sentence(tombola("ticket", "show", mask.parent), "mask.safetensors")
    record = done / "cells/r0/L01/ticket/0/cell.json"
    record.write_text(record.read_text()[:20])
    assert_one_sentence(tombola("results", done), "cell.json")


def test_nothing_is_overwritten(tombola: Tombola, tmp_path: Path, done: Path) -> None:
    (tmp_path / "kept.safetensors").write_text("mine")
    cell = done / "cells/r0/L01/ticket/0"
    for args in (
        ["train", "lenet-5", "--data", "digits", "--out", "kept.safetensors"],
        ["ticket", "export", cell, "--out", "kept.safetensors"],
    ):
        assert_one_sentence(tombola(*args), "kept.safetensors", "exists already")
    assert (tmp_path / "kept.safetensors").read_text() == "mine"


def test_second_process_on_the_same_run(tombola: Tombola, study_file: Path, done: Path) -> None:
    with FileLock(done / ".lock"):
        assert_one_sentence(tombola("run", study_file), "another process")


def test_folder_of_another_spec(tombola: Tombola, study_file: Path, done: Path) -> None:
    spec = done / "study.toml"
    spec.write_text(spec.read_text().replace("seed = 0", "seed = 7"))
    before = _digests(done)
    assert_one_sentence(
        tombola("run", study_file), str(done.name), "study.toml says seed = 7", "trained with 0;"
    )
    assert _digests(done) == before


def test_full_disk_is_exit_1_and_keeps_what_was_done(
    tombola: Tombola, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def full(handle: int) -> None:
        if list(tmp_path.glob("runs/*/cells/r0/L01/ticket/0/cell.json")):
            raise OSError(errno.ENOSPC, "No space left on device", "some file")
        flush(handle)

    monkeypatch.setattr(os, "fsync", full)
    said = tombola("run", study_file)
    assert (said.code, "No space left" in said.err, "Traceback" in said.err) == (1, True, False)
    monkeypatch.undo()
    assert not list(tmp_path.glob("runs/*/cells/r*/L*/*/.*.tmp"))
    monkeypatch.chdir(tmp_path)
    assert tombola("run", study_file).code == 0


def _digests(folder: Path) -> dict[str, str]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
