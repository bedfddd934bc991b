"""The engine that gets faster as convolutions get sparser: networks of convolutions and pools on a CPU."""

from __future__ import annotations

from typing import ClassVar

import torch

from tombola.models.architecture import Architecture
from tombola.training.engines.base import ENGINES, LEAST, Demand, Job
from tombola.training.engines.compiled.conv_graph import Graph
from tombola.training.engines.compiled.conv_layout import Convolved
from tombola.training.engines.compiled.conv_reader import graph_of
from tombola.training.engines.sparse import SparseEngine, in_loops


@ENGINES.register("sparse-conv")
class SparseConvEngine(SparseEngine):
    """Convolutions, batch norms, pools, ReLU, dropout and sums on images, then linear layers: compiled loops over
    living weights, one network a core.

    Channels from which no living weight leads to the output are not computed. As in compact.py, the running statistics
    of a batch norm are left alone for them; nothing that is computed depends on them.
    """

    name: ClassVar[str] = "sparse-conv"
    stack_size: ClassVar[int] = 8

    def __init__(self, job: Job) -> None:
        graph = job.architecture.ask(graph_of)
        assert isinstance(graph, Graph), "holds() was asked first"
        self.nets = [Convolved(job.stack, graph, r, key) for r, key in enumerate(job.dropout_keys)]
        self._take(job)

    @staticmethod
    def holds(architecture: Architecture, device: torch.device, demand: Demand = LEAST) -> bool:
        return in_loops(device, demand) and isinstance(architecture.ask(graph_of), Graph)

    @staticmethod
    def unknown(architecture: Architecture) -> str:
        found = architecture.ask(graph_of)
        return found if isinstance(found, str) else ""
