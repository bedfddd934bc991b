"""Two and three processes of torchrun take the steps of one, to rounding; whatever cannot be shared is refused."""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from support.ranked import CASES, trained
from support.rounding import assert_same_in_double, doubled
from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.models.state import State
from tombola.training.engines.base import Demand
from tombola.training.engines.select import choose
from tombola.training.noise import CounterDropout, Noise
from tombola.training.parallel import Ranks, SharedNorm, ranks, share_norms
from tombola.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def torchrun(size: int, *words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT / "src"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        size,
        *words,
    ]
    return subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_processes_take_the_steps_of_one(size: int, tmp_path: Path) -> None:
    done = torchrun(size, ROOT / "tests" / "support" / "ranked.py", tmp_path)
    assert done.returncode == 0, done.stderr
    each = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(size)]
    with doubled():
        alone = {case: trained(case) for case in CASES}
        other = trained("plain", seed=1)
    for case, networks in alone.items():
        for r, one in enumerate(networks):
            for found in each:
                end, history = found[case][r]
                assert_same_in_double(end, one.end)
                assert history["accuracy"] == one.history["accuracy"]
                assert history["loss"] == pytest.approx(one.history["loss"], abs=1e-9)
            assert all(equal(found[case][r][0], each[0][case][r][0]) for found in each)
    assert not torch.allclose(other[0].end["out.weight"], alone["plain"][0].end["out.weight"], atol=1e-2)


def equal(one: State, other: State) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def single() -> Iterator[Ranks]:
    """A group of this process alone, so that sums are what they are of."""
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield Ranks(0, 1, CPU)
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(4), (5, 4)),
        (nn.BatchNorm1d(4, affine=False), (5, 4, 3)),
        (nn.BatchNorm2d(4, momentum=None), (5, 4, 3, 2)),
        (nn.BatchNorm3d(4, track_running_stats=False), (2, 4, 3, 2, 2)),
    ],
    ids=str,
)
def test_a_shared_norm_is_torchs_where_nobody_else_is_there(layer: Any, shape: Any, single: Ranks) -> None:
    torch.manual_seed(0)
    own = copy.deepcopy(layer).double()
    shared = share_norms(nn.Sequential(copy.deepcopy(own)))
    assert type(shared[0]) is SharedNorm
    for _ in range(3):
        x, y = (torch.randn(shape, dtype=torch.float64).mul(3).add(1).requires_grad_() for _ in range(2))
        y.data.copy_(x.data)
        one, two = own(x), shared(y)
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)
        one.pow(3).sum().backward()
        two.pow(3).sum().backward()
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(own.state_dict(), shared[0].state_dict(), rtol=1e-10, atol=1e-10)
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(own.eval()(x), shared.eval()(x))


def test_parts_make_up_a_batch() -> None:
    for size in (1, 2, 3, 7):
        for batch in (7, 8, 60):
            parts = [Ranks(rank, size, CPU).part(batch) for rank in range(size)]
            assert [i for part in parts for i in range(batch)[part]] == list(range(batch))
            assert {part.stop - part.start for part in parts} <= {batch // size, math.ceil(batch / size)}


@pytest.mark.parametrize("by_channel", [False, True])
def test_dropout_is_of_the_place_in_the_whole_batch(by_channel: bool) -> None:
    x = torch.ones(9, 4, 5)
    whole = CounterDropout(0.5, by_channel, 0, noise := Noise(3, CPU))
    noise.begin(2)
    expected = whole(x)
    for first, last in ((0, 4), (4, 9)):
        part = CounterDropout(0.5, by_channel, 0, noise := Noise(3, CPU, first))
        noise.begin(2)
        assert torch.equal(part(x[first:last]), expected[first:last])


def test_alone_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE"):
        monkeypatch.delenv(variable, raising=False)
    assert ranks() is None
    ranks.cache_clear()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert ranks() is None
    ranks.cache_clear()


class Own(nn.BatchNorm1d):
    """A batch norm of one's own."""


class Drawing(nn.Module):
    """A network that draws as it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x + torch.randn_like(x) if self.training else x)


def test_what_cannot_be_shared_is_said() -> None:
    net = architecture("lenet-8", (6,), 3)
    assert choose("auto", net, CPU, Demand(ranks=2)).name == "modules"
    refused = {
        "by engine 'mlp'; expected 'modules'": ("mlp", net, Recipe()),
        "on batches of 1; expected recipe.batch = 2 at least": ("auto", net, Recipe(batch=1)),
        "which may be no mean over examples": ("auto", net, Recipe(loss="own:loss")),
        "which draws random numbers of its own": ("auto", architecture(Drawing(), (6,), 3), Recipe()),
    }
    for sentence, (engine, network, recipe) in refused.items():
        with pytest.raises(UserError, match=f"2 processes of torchrun cannot train together .*{sentence}"):
            choose(engine, network, CPU, Demand(recipe, ranks=2))
    with pytest.raises(UserError, match=r"'0' is a Own, a batch norm of one's own"):
        share_norms(nn.Sequential(Own(4)))
