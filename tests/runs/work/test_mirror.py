"""A copy of a run elsewhere: whole at any moment, and a run can be gone on with from it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from support.study_kit import Notes, contents, run_tiny, tiny
from tombola.errors import Notice, UserError
from tombola.runs.folder import Run
from tombola.runs.progress import missing
from tombola.runs.run_options import RunOptions
from tombola.runs.work import mirror

STUDY = tiny(arms=[{"name": "reinit"}, {"name": "donor"}], data={"split": "study"}, pruning={"rewind": 5})
NUMBERS = itertools.count()


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    """A place of its own, in memory, to which every new cell is sent at once."""
    monkeypatch.setattr(mirror, "SELDOM", 0.0)
    return f"memory://bucket-{next(NUMBERS)}/runs"


def brought(url: str, out: Path) -> Run:
    """What is there, as a folder."""
    files, root = fsspec.core.url_to_fs(url)
    for name in files.find(root):
        path = out / name.removeprefix(root).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files.cat_file(name))
    return Run(next(out.iterdir()))


def test_the_copy_is_equal(tmp_path: Path, url: str) -> None:
    run = run_tiny(tmp_path / "here", STUDY, mirror=url)
    there = brought(url, tmp_path / "there")
    assert contents(there.path) == contents(run.path)
    assert there.environment == run.environment
    assert not list(there.path.rglob(".*"))


def test_a_url_as_the_place_of_runs(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--out s3://bucket/runs` is the mirror; the folder lies in `runs`, as a sentence says."""
    monkeypatch.chdir(tmp_path)
    with pytest.warns(Notice, match=f"are trained in .*runs, and copied to {url}"):
        assert RunOptions.of({"out": url}).mirror == url
    run = run_tiny(Path(url), STUDY)
    assert run.path.parent == Path("runs")
    assert contents(brought(url, tmp_path / "there").path) == contents(run.path)
    with pytest.raises(UserError, match="expected one of them"):
        run_tiny(Path(url), STUDY, mirror="memory://other")


def test_it_is_a_run_at_any_moment(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As read after each file that is sent: what is there is whole, and rests on nothing that is not."""
    moments = 0
    real: Callable[[mirror.Mirror, str, bool], None] = mirror.Mirror._put

    def put(self: mirror.Mirror, name: str, again: bool = False) -> None:
        nonlocal moments
        real(self, name, again)
        moments += 1
        if moments % 7 == 0:  # not all, for time's sake
            out = tmp_path / f"moment-{moments}"
            run = brought(url, out)
            for part in (run, *run.ladders()) if run.has_study() else ():
                records = (path.parent for path in part.path.glob("cells/*/*/*/*/cell.json"))
                for folder in records:
                    cell = next(each for each in part.cells() if part.folder(each) == folder)
                    part.start(cell)
                    part.history(cell)
                    part.weights(cell, "best")
            shutil.rmtree(out)

    monkeypatch.setattr(mirror.Mirror, "_put", put)
    run_tiny(tmp_path / "here", STUDY, mirror=url)
    assert moments > 100


def test_a_run_goes_on_from_it_on_another_machine(tmp_path: Path, url: str) -> None:
    whole = contents(run_tiny(tmp_path / "whole", STUDY).path)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "first", STUDY, mirror=url, progress=Notes(stop_after=150))
    begun = next((tmp_path / "first").iterdir())
    cells = len(Run(begun).cells())
    assert 0 < cells < len(STUDY.cells())
    shutil.rmtree(begun)
    notes = Notes()
    run = run_tiny(tmp_path / "second", STUDY, mirror=url, progress=notes)
    assert notes.done > 0
    assert contents(run.path) == whole
    # And back: the first machine finds all of it there.
    again = run_tiny(tmp_path / "first", STUDY, mirror=url, progress=(back := Notes()))
    assert (back.advanced, contents(again.path)) == (0, whole)


def test_half_a_cell_is_none(tmp_path: Path, url: str) -> None:
    run = run_tiny(tmp_path / "here", STUDY, mirror=url)
    whole = contents(run.path)
    files, root = fsspec.core.url_to_fs(url)
    lost = f"{run.path.name}/cells/r0/L02/ticket/0/cell.json"
    files.rm_file(f"{root}/{lost}")
    shutil.rmtree(run.path)
    notes = Notes()
    again = run_tiny(tmp_path / "here", STUDY, mirror=url, progress=notes)
    assert notes.advanced == 15, "the one that lacked its record"
    assert contents(again.path) == whole
    assert files.exists(f"{root}/{lost}")


def test_weights_that_are_dropped_here_are_dropped_there(tmp_path: Path, url: str) -> None:
    run = run_tiny(tmp_path / "here", tiny(store={"keep": "masks"}), mirror=url)
    assert not list(run.path.rglob("end.safetensors"))
    assert contents(brought(url, tmp_path / "there").path) == contents(run.path)


def test_another_run_is_left_alone(tmp_path: Path, url: str) -> None:
    run_tiny(tmp_path / "one", STUDY, mirror=url)
    run_tiny(tmp_path / "two", STUDY, engine="modules")
    with pytest.raises(UserError, match="holds another run of this study"):
        run_tiny(tmp_path / "two", STUDY, engine="modules", mirror=url)


@pytest.mark.parametrize("wrong", ["nothing://bucket/runs", "s3-without-a-scheme://x"])
def test_a_place_that_cannot_be_reached_is_said_before_anything_is_trained(
    wrong: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="cannot be reached"):
        run_tiny(tmp_path, mirror=wrong)
    assert not list(tmp_path.rglob("cells"))


def test_while_it_cannot_be_written_to_the_run_goes_on(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = fsspec.core.url_to_fs(url)
    tries = 0

    def full(self: Any, path: str, value: bytes, **_: Any) -> None:
        nonlocal tries
        tries += 1
        raise OSError("the bucket is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(files), "pipe_file", full)
        with (
            pytest.warns(Notice, match="cannot be written to now .*the bucket is full"),
            pytest.raises(UserError, match=r"the bucket is full.*the same command sends it"),
        ):
            run_tiny(tmp_path, STUDY, mirror=url)
    assert tries > 2
    run = Run(next(tmp_path.iterdir()))
    assert missing(run, run.study) == []
    run_tiny(tmp_path, STUDY, mirror=url, progress=(notes := Notes()))
    assert notes.advanced == 0
    assert contents(brought(url, tmp_path / "there").path) == contents(run.path)


# --- an object store --------------------------------------------------------------------------------------------


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of an S3-compatible server on loopback."""
    moto = pytest.importorskip("moto.server", reason="moto is not there: pip install 'moto[server]'")
    pytest.importorskip("s3fs", reason="s3fs is not there: pip install 'tombola[s3]'")
    import s3fs

    monkeypatch.setattr(mirror, "SELDOM", 0.0)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().call_s3(
        "create_bucket", Bucket="tickets", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    yield "s3://tickets/runs"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_on_an_object_store(tmp_path: Path, s3: str) -> None:
    whole = contents(run_tiny(tmp_path / "whole", STUDY).path)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "first", STUDY, mirror=s3, progress=Notes(stop_after=150))
    shutil.rmtree(tmp_path / "first")
    notes = Notes()
    run = run_tiny(tmp_path / "second", STUDY, mirror=s3, progress=notes)
    assert notes.done > 0
    assert contents(run.path) == whole
    assert contents(brought(s3, tmp_path / "there").path) == whole
    with pytest.raises(UserError, match="cannot be reached"):
        run_tiny(tmp_path / "third", STUDY, mirror="s3://no-such-bucket/runs")
