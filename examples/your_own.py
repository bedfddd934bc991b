"""One's own of everything: module, data, criterion, arm, measure, loss, optimizer, and a mask made elsewhere.

`python examples/your_own.py` runs a study with them from Python. From the command line the same file is a plug-in:

    tombola run study.toml --import examples/your_own.py
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.data import TensorDataset

import tombola
from tombola.comparison.measures.base import MEASURES, Layer, Layerwise, Measure, masks
from tombola.data.dataset import DATASETS, Dataset
from tombola.lottery.arms.catalog import ARMS, Arm
from tombola.lottery.arms.context import MASK_ACTIONS, Scene
from tombola.masks.criteria import CRITERIA, Weights
from tombola.masks.mask import Mask


class Net(nn.Module):
    """Two layers with a batch norm between them."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first, self.norm, self.out = nn.Linear(20, 16), nn.BatchNorm1d(16), nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.first(x)).relu())


def parts() -> tuple[TensorDataset, TensorDataset]:
    """Points around two centres: 300 + 100 of them, as data sets of torch."""
    x, y = torch.randn(400, 20, generator=torch.Generator().manual_seed(0)), torch.arange(400) % 2
    x[:, :4] += y[:, None]
    return TensorDataset(x[:300], y[:300]), TensorDataset(x[300:], y[300:])


@DATASETS.register("two-centres")
def two_centres(data_dir: Path | None = None) -> Dataset:
    """Points around two centres (example, 2026)."""
    (x, y), (test_x, test_y) = (each.tensors for each in parts())
    return tombola.from_arrays((x, y), (test_x, test_y), "two-centres")


@CRITERIA.register("my-move")
def my_move(weights: Weights) -> Tensor:
    """How far training moved a weight (example, 2026)."""
    return (weights.final - weights.initial).abs()


@MASK_ACTIONS.register("my-mirror")
def my_mirror(scene: Scene) -> Mask:
    """The ticket's mask with the inputs of every layer in reverse order (example, 2026)."""
    return Mask({name: living.flip(1) for name, living in scene.mask.items()})


ARMS.register("mirrored", "the ticket's weights under its mirrored mask (example, 2026)")(Arm("my-mirror"))


def _dead_in_both(a: Layer, b: Layer) -> float:
    return float((~a & ~b).mean())


_line = "share of weights that neither keeps (example, 2026)"
MEASURES.register("dead-in-both", _line)(
    Measure(Layerwise(masks, _dead_in_both), family="overlap", reads="mask", nulls=("layer-shuffle",))
)


def hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """A margin between the right class and every other."""
    return nn.functional.multi_margin_loss(logits, labels)


def pruned_elsewhere(path: Path) -> None:
    """A checkpoint as others leave it: pruned by torch, trained in parallel, under a key of its own."""
    net = Net(2)
    prune.random_unstructured(net.first, "weight", 0.5)
    torch.save({"epoch": 3, "net": {f"module.{key}": value for key, value in net.state_dict().items()}}, path)


SETTINGS = [
    "name=own", "replicates=2", "levels=1", "criterion=my-move", "optimizer=torch.optim:RMSprop", "iterations=60",
    "evaluate_every=20", "curve_every=0", "validation=50", "donors=0", "hypothesis=[]", "rates={}",
    'compare={measures=["dead-in-both"]}', 'arms=[{name="mirrored"}, {name="theirs", mask="mask:theirs.pt"}]',
]  # fmt: skip


if __name__ == "__main__":
    pruned_elsewhere(Path("theirs.pt"))
    run = tombola.run("quick", model=Net, data=parts(), settings=SETTINGS)
    rows = tombola.results(run).select("arm", "final_test_accuracy")
    print(rows.group_by("arm").mean().sort("arm"))
    print(tombola.compare(run, measures=["dead-in-both"], level=1))
    print(tombola.write_report(run))
