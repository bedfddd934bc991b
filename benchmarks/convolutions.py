"""Networks with convolutions on a CPU: the compiled engine beside the plain loop, and single layers beside torch's.

    python benchmarks/convolutions.py [--shared] [OUT.json]

Rounds go A B A B ...; a ratio is taken within a round, and its median and spread over rounds are reported. The plain
loop has all threads and the engine one network a core, and times are wall time of the machine per network-iteration.
With --shared, for a machine that does other things too, both have one thread, and times are processor time.
Single layers always have one thread.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from baselines import Plain
from torch import nn

from tombola.bench import Density, Timed, Workload, images, random_mask
from tombola.models.architecture import Architecture, architecture
from tombola.seeds import Seeds, stream
from tombola.training.device import prepare
from tombola.training.engines import conv_kernels as kernels
from tombola.training.engines.conv_graph import Graph, graph_of
from tombola.training.engines.conv_layout import Convolved
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.start import Start

ROUNDS = 5
SECONDS = 0.3
"""About what one side of a round takes."""

LADDER = (0.28, 0.07)
"""Convolutions and linear layers at level 12 of the paper's ladder for Conv-2 (Frankle & Carbin 2019, Figure 2)."""

NETWORKS: tuple[tuple[str, tuple[int, int, int], tuple[float | tuple[float, float], ...]], ...] = (
    ("lenet-5", (1, 28, 28), (1.0, 0.1, 0.03)),
    ("conv-2", (3, 32, 32), (1.0, LADDER, 0.1)),
    ("conv-4", (3, 32, 32), (0.1,)),
    ("conv-6", (3, 32, 32), (0.1,)),
    ("resnet-20", (3, 32, 32), (1.0, 0.2, 0.07)),
)
"""Name, shape of images, densities."""

LAYERS = ((64, 32), (128, 16))
"""Channels and side of single 3x3 convolutions, at a batch of 64 and density of 0.1."""


def rounds(ours: Callable[[int], float], theirs: Callable[[int], float]) -> dict[str, Any]:
    """Seconds of both, taken in turns, and the median and spread of their ratio; both take a number of steps."""
    counts = [max(1, round(SECONDS / side(1))) for side in (ours, theirs)]
    pairs = [(ours(counts[0]), theirs(counts[1])) for _ in range(ROUNDS)]
    ratios = sorted(b / a for a, b in pairs)
    seconds = {
        name: sorted(side) for name, side in zip(("this", "torch"), zip(*pairs, strict=True), strict=True)
    }
    return {
        "ratio": {"median": statistics.median(ratios), "low": ratios[0], "high": ratios[-1], "n": ROUNDS},
        "least_ms": {name: 1e3 * side[0] for name, side in seconds.items()},
        "median_ms": {name: 1e3 * statistics.median(side) for name, side in seconds.items()},
    }


def clocked(work: Callable[[int], object], clock: Callable[[], float]) -> Callable[[int], float]:
    """Seconds a step, by a clock, of what takes a number of steps."""

    def seconds(steps: int) -> float:
        begin = clock()
        work(steps)
        return (clock() - begin) / steps

    return seconds


def network(
    name: str, shape: tuple[int, int, int], density: float | tuple[float, float], shared: bool
) -> dict[str, Any]:
    """A training step of a network."""
    net, cores = architecture(name, shape, 10), 1 if shared else torch.get_num_threads()
    recipe = Recipe(batch=128 if name.startswith("resnet") else 60)
    case = Workload(net, images(shape, 6_000), recipe, cores, 1)
    each: Density = density if isinstance(density, float) else by_kind(net, *density)
    ours, theirs = Timed("sparse-conv", case, each), Plain(case, each)
    if shared:
        return rounds(clocked(ours.seconds, time.process_time), clocked(theirs.seconds, time.process_time))
    return rounds(ours.seconds, theirs.seconds)


def by_kind(net: Architecture, convolutions: float, linear: float) -> dict[str, float]:
    """A density for convolutions and one for linear layers."""
    return {name: convolutions if len(net.shapes[name]) == 4 else linear for name in net.prunable}


def layer(channels: int, side: int, density: float, batch: int = 64) -> dict[str, Any]:
    """A padded 3x3 convolution: forwards, and both gradients."""

    def build() -> nn.Module:
        two = [nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)]
        return nn.Sequential(*two, nn.Flatten(), nn.Linear(channels * side * side, 2))

    net = architecture(build, (channels, side, side), 2)
    graph = net.ask(graph_of)
    assert isinstance(graph, Graph)
    begun = Start(net.initial(stream("bench")), random_mask(net, density, 0), Seeds.replicate(0, 0))
    trunk, room = Convolved(Stack(net, [begun], torch.device("cpu")), graph, 0).room(batch, batch)
    step, source, result = trunk.steps[1], trunk.values[1], trunk.values[2]
    room.h[:], room.d[:] = 0.5, 0.5
    number, ahead = step[kernels.PASS], source[kernels.BASE] - source[kernels.DRAIN]

    def ours(steps: int) -> None:
        for block in [block for _ in range(steps) for block in range(batch // kernels.LANES)]:
            at = source[kernels.BASE] + block * source[kernels.SIZE]
            to = result[kernels.BASE] + block * result[kernels.SIZE]
            kernels.convolve(
                trunk, number, room.h, at, room.h, to, result[kernels.PLANE], trunk.source, trunk.w, room.none,
                True, False, room.h, 0, False,
            )  # fmt: skip
            kernels.weigh(
                trunk, number, step[kernels.KEYS], room.d, result[kernels.DRAIN], result[kernels.PLANE],
                room.h, at, room.gc, 0, room.gb,
            )  # fmt: skip
            kernels.convolve(
                trunk, number + 1, room.d, result[kernels.DRAIN], room.d, source[kernels.DRAIN],
                source[kernels.PLANE], trunk.drain, trunk.back, room.none, True, False, room.h, ahead, False,
            )  # fmt: skip

    whole = nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    x = torch.randn(batch, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()
    delta = torch.randn(batch, channels, side, side).to(memory_format=torch.channels_last)

    def theirs(steps: int) -> None:
        for _ in range(steps):
            torch.autograd.grad(whole(x), (x, whole.weight), delta)

    found = rounds(clocked(ours, time.thread_time), clocked(theirs, time.thread_time))
    operations = 3 * 2 * len(trunk.turned) * side * side * batch
    return found | {"living_gflops": operations / found["median_ms"]["this"] / 1e6}


def main() -> None:
    """Measure, print, write."""
    names = [argument for argument in sys.argv[1:] if argument != "--shared"]
    shared = len(names) < len(sys.argv) - 1
    prepare(1 if shared else None)
    cases = [
        (name, density, partial(network, name, shape, density, shared))
        for name, shape, densities in NETWORKS
        for density in densities
    ]
    threads = torch.get_num_threads()
    found = []
    for name, density, measured in cases:
        found.append({"what": name, "density": density} | measured())
        tell(found[-1])
    torch.set_num_threads(1)
    for channels, side in LAYERS:
        found.append({"what": f"3x3 {channels} at {side}", "density": 0.1} | layer(channels, side, 0.1))
        tell(found[-1])
    torch.set_num_threads(threads)
    for name in names:
        Path(name).write_text(
            json.dumps({"shared": shared, "threads": threads, "rows": found}, indent=1) + "\n"
        )


def tell(row: dict[str, Any]) -> None:
    """Print a row."""
    ratio, least, median = row["ratio"], row["least_ms"], row["median_ms"]
    rate = f"  {row['living_gflops']:.0f} GFLOP/s on living weights" if "living_gflops" in row else ""
    print(
        f"{row['what']:14} {row['density']!s:12} {median['this']:8.2f} ms (least {least['this']:.2f})  "
        f"torch {median['torch']:8.2f} ms (least {least['torch']:.2f})  "
        f"{ratio['median']:5.1f}x [{ratio['low']:.1f}, {ratio['high']:.1f}]{rate}",
        flush=True,
    )


if __name__ == "__main__":
    main()
