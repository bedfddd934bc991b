"""A plug-in with a part of every kind, and a registry that forgets it again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.registries import put_back
from tombola.comparison.measures.base import MEASURES
from tombola.data.dataset import DATASETS
from tombola.lottery.arms.catalog import ARMS
from tombola.lottery.arms.context import MASK_ACTIONS
from tombola.masks.criteria import CRITERIA
from tombola.models.catalog import MODELS
from tombola.plugins import trusted
from tombola.report.figures.base import FIGURES
from tombola.transfer.route import ROUTES

MINE = '''
import altair as alt
import numpy as np
import tombola
from torch import nn
from tombola.comparison.measures.base import MEASURES, Layerwise, Measure, masks
from tombola.data.dataset import DATASETS
from tombola.lottery.arms.catalog import ARMS, Arm
from tombola.lottery.arms.context import MASK_ACTIONS
from tombola.masks.criteria import CRITERIA
from tombola.masks.mask import Mask
from tombola.models.catalog import MODELS
from tombola.report.figures.base import figure
from tombola.transfer.route import ROUTES


@CRITERIA.register("my-move")
def move(weights):
    """How far training moved a weight (mine, 2026)."""
    return (weights.final - weights.initial).abs()


@MASK_ACTIONS.register("my-mirror")
def mirror(scene):
    """The mask with the inputs of every layer in reverse order (mine, 2026)."""
    return Mask({name: living.flip(1) for name, living in scene.mask.items()})


ARMS.register("mirrored", "the ticket's weights under its mirrored mask (mine, 2026)")(Arm("my-mirror"))


def both(a, b):
    return float((~a & ~b).mean())


line = "share of weights that neither keeps (mine, 2026)"
MEASURES.register("dead-in-both", line)(
    Measure(Layerwise(masks, both), family="overlap", reads="mask", nulls=("layer-shuffle",))
)


@DATASETS.register("stripes")
def stripes(data_dir=None):
    """Noisy images of stripes, which lie or stand (mine, 2026)."""
    rng, labels = np.random.default_rng(0), np.arange(160) % 2
    images = rng.normal(size=(160, 4, 4)) + np.indices((4, 4))[labels] % 2
    return tombola.from_arrays((images[:120], labels[:120]), (images[120:], labels[120:]), "stripes")


@MODELS.register("two-layers")
def two_layers(shape, classes):
    """Two layers (mine, 2026)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, classes))


@figure("my-spread", "Spread of networks", "Accuracy", "Test accuracy of each network.")
def spread(tables):
    """Test accuracy of every network."""
    rows = tables.results.select("arm", accuracy=100 * tables.results["final_test_accuracy"]).to_dicts()
    chart = alt.Chart(alt.InlineData(rows)).mark_tick().encode(x="accuracy:Q", y="arm:N")
    return chart.properties(description="Test accuracy of every network.")


@ROUTES.register("my-route")
def first(request):
    """The first ticket as it is (mine, 2026)."""
    raise NotImplementedError
'''
PARTS = {
    "criteria": "my-move",
    "mask-actions": "my-mirror",
    "arms": "mirrored",
    "measures": "dead-in-both",
    "data": "stripes",
    "models": "two-layers",
    "figures": "my-spread",
    "routes": "my-route",
}
"""Kind -> the name of the part of it that `MINE` registers."""

STUDY = """
name = "own"
replicates = 5
levels = 1
[model]
name = "two-layers"
[data]
name = "stripes"
[recipe]
iterations = 20
evaluate_every = 10
[[arms]]
name = "mirrored"
[compare]
measures = ["dead-in-both"]
[[hypothesis]]
name = "mirrors"
claim = "Tickets share more dead weights than mirrored ones."
quantity = "measure:dead-in-both"
arms = ["ticket", "mirrored"]
densities = [0.8]
direction = "greater"
"""


@contextmanager
def forgotten(*modules: str) -> Iterator[None]:
    """Within it parts may be registered and modules imported; afterwards neither is there, as in another process."""
    with pytest.MonkeyPatch.context() as patch:
        put_back(patch, CRITERIA, MASK_ACTIONS, ARMS, MEASURES, DATASETS, MODELS, FIGURES, ROUTES)
        patch.setattr(sys, "path", [*sys.path])
        patch.setattr(trusted, "OWN", set())
        patch.setattr(trusted.Accepting, "on", False)
        try:
            yield
        finally:
            for name in modules:
                sys.modules.pop(name, None)
