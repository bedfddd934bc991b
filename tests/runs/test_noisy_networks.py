"""Studies of a foreign network with stochastic depth: refused where a stack cannot hold it, repeated to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from support.study_kit import Notes, contents, run_tiny, tiny, toy_data
from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.runs.estimate import estimate_time
from tombola.study.plan import make_plan


class Depth(nn.Module):
    """In training, half of the time a block is passed by; the dropout layer writes in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.block, self.out = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.drop = nn.Dropout(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        if not self.training or torch.rand(1) < 0.5:
            x = x + self.drop(self.block(x))
        out: Tensor = self.out(x)
        return out


def test_the_vectorised_engine_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    words = (
        r"engine 'stacked' cannot hold .*:Depth on cpu, which draws random numbers of its own as it computes"
    )
    with pytest.raises(UserError, match=words):
        run_tiny(tmp_path, model=Depth, engine="stacked")
    assert not list(tmp_path.rglob("*.toml"))
    study = tiny()
    plan = make_plan(study, architecture(Depth, (6,), 3))
    with pytest.raises(UserError, match=words):
        estimate_time(plan, toy_data(), torch.device("cpu"), "stacked")


def test_a_stopped_run_of_a_noisy_network_ends_with_the_same_bits(tmp_path: Path) -> None:
    study = tiny(arms=[{"name": "reinit"}, {"name": "fresh"}])
    torch.manual_seed(1)
    whole = run_tiny(tmp_path / "whole", study, model=Depth)
    assert whole.environment["record"]["engine"] == "modules"
    assert {whole.record(cell).status for cell in whole.cells()} == {"ok"}
    torch.manual_seed(2)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "parts", study, model=Depth, progress=Notes(stop_after=120))
    parts = run_tiny(tmp_path / "parts", study, model=Depth)
    assert contents(parts.path) == contents(whole.path)
