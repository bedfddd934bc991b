"""Who trains, as it is written: what is understood, and what is refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.study_kit import run_tiny, tiny, tiny_options
from tombola.errors import UserError
from tombola.runs.run_options import RunOptions
from tombola.runs.work.part import Share
from tombola.runs.work.places import Here, Local, Ray, Slurm, placed


@pytest.mark.parametrize(
    ("on", "each", "place"),
    [
        ("", (), Here),
        ("local:3", (), Local(3)),
        ("ray", (), Ray("", {})),
        ("ray:10.0.0.1:6379", ("cpus=2", "gpus=0.25"), Ray("10.0.0.1:6379", {"cpus": 2.0, "gpus": 0.25})),
        ("ray://head:10001", ("tpu=1",), Ray("ray://head:10001", {"tpu": 1.0})),
        ("slurm:20", ("partition=gpu", "minutes=90"), Slurm(20, {"partition": "gpu", "minutes": "90"})),
    ],
)
def test_places_are_read(on: str, each: tuple[str, ...], place: object) -> None:
    found = placed(RunOptions(on=on, each=each))
    assert isinstance(found, Here) if place is Here else found == place


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on": "locl:2"}, "--on is 'locl:2'; did you mean 'local'"),
        ({"on": "local"}, "expected local:N with the number of workers, such as local:4"),
        ({"on": "local:0"}, "expected local:N"),
        ({"on": "slurm:many"}, "expected slurm:N"),
        ({"on": "local:2", "each": ["cpus=1"]}, "those of --on local have what --threads says"),
        ({"on": "ray", "each": ["cpus"]}, "--each is 'cpus', expected KEY=VALUE"),
        ({"on": "ray", "each": ["gpus=half"]}, "--each is 'gpus=half', expected a number"),
        ({"on": "local:2", "shard": "1/2"}, "--on local:2 starts others; expected one"),
        (
            {"shard": "1/2", "track": ["tensorboard"]},
            "--track with --shard would tell of every cell several times",
        ),
        ({"each": ["cpus=1"]}, "--each is for workers of --on"),
    ],
)
def test_mistakes_are_said(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        placed(RunOptions(**options))  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["", "3", "0/2", "3/2", "a/b", "1/2/3", "-1/2", "1.0/2"])
def test_a_share_is_a_number_of_how_many(text: str) -> None:
    with pytest.raises(UserError, match="expected i/n"):
        Share.parse(text)
    assert Share.parse("2/3") == Share(2, 3)


def test_a_refusal_leaves_no_folder(tmp_path: Path) -> None:
    for wrong in ({"on": "moon"}, {"shard": "5/4"}):
        with pytest.raises(UserError):
            run_tiny(tmp_path / "runs", **wrong)
    assert not (tmp_path / "runs").exists()


def test_processes_of_one_machine_share_its_threads_where_a_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 16)
    options = tiny_options(tmp_path, tiny(), threads=None)
    assert Local(3).settled(options, fresh=True).threads == 5
    assert Local(99).settled(options, fresh=True).threads == 1
    assert Local(3).settled(options, fresh=False).threads is None, "as recorded"
    assert Local(3).settled(tiny_options(tmp_path, tiny(), threads=2), fresh=True).threads == 2
    assert Ray("", {"cpus": 4.0}).settled(options, fresh=True).threads == 4
    assert Ray("", {"cpus": 0.5}).settled(options, fresh=True).threads == 1
    assert Slurm(2, {"cpus": "8"}).settled(options, fresh=True).threads == 8
