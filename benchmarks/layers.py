"""Single convolutions, forwards and both gradients, on one thread: the compiled loops beside torch's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from turns import Budget, clocked, rounds

from tombola.bench import random_mask
from tombola.models.architecture import architecture
from tombola.seeds import Seeds, stream
from tombola.training.engines.compiled import conv_kernels as kernels
from tombola.training.engines.compiled.conv_graph import Graph
from tombola.training.engines.compiled.conv_layout import Convolved
from tombola.training.engines.compiled.conv_reader import graph_of
from tombola.training.stack import Stack
from tombola.training.start import Start

LAYERS = (
    ("lenet-5 conv2", 6, 16, 14, 5, 1, 64),
    ("conv-2 conv2", 64, 64, 32, 3, 1, 64),
    ("conv-4 conv3", 64, 128, 16, 3, 1, 64),
    ("conv-4 conv4", 128, 128, 16, 3, 1, 64),
    ("conv-6 conv5", 128, 256, 8, 3, 1, 64),
    ("conv-6 conv6", 256, 256, 8, 3, 1, 64),
    ("resnet-20, first stage", 16, 16, 32, 3, 1, 128),
    ("resnet-20, to the second", 16, 32, 32, 3, 2, 128),
    ("resnet-20, second stage", 32, 32, 16, 3, 1, 128),
    ("resnet-20, third stage", 64, 64, 8, 3, 1, 128),
)
"""Which layer it is, channels in and out, side of the image, kernel, stride, batch."""

DENSITY = 0.1


def layer_rows(budget: Budget) -> Iterator[dict[str, Any]]:
    """A row for each layer; what the time does not last for is left out, and said so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, *sizes in LAYERS:
        seconds = budget.share()
        budget.done += 1
        if seconds <= 0:
            budget.lost.append(name)
            continue
        row = {"what": "layer", "network": name, "density": f"{100 * DENSITY:g}%", "engine": "sparse-conv"}
        yield row | {"baseline": "torch", "device": "cpu"} | _layer(*sizes, seconds)  # type: ignore[arg-type]
    torch.set_num_threads(threads)


def _layer(
    entering: int, leaving: int, side: int, kernel: int, stride: int, batch: int, seconds: float
) -> dict[str, Any]:
    """A padded convolution: forwards, and both gradients; GFLOP/s are those of the living weights."""

    def convolution(channels: int, result: int, step: int) -> nn.Conv2d:
        return nn.Conv2d(channels, result, kernel, stride=step, padding=kernel // 2, bias=False)

    def build() -> nn.Module:
        before, measured = convolution(entering, entering, 1), convolution(entering, leaving, stride)
        return nn.Sequential(before, measured, nn.Flatten(), nn.Linear(leaving * places, 2))

    places = (-(-side // stride)) ** 2
    net = architecture(build, (entering, side, side), 2)
    graph = net.ask(graph_of)
    assert isinstance(graph, Graph)
    begun = Start(net.initial(stream("bench")), random_mask(net, DENSITY, 0), Seeds.replicate(0, 0))
    trunk, room = Convolved(Stack(net, [begun], torch.device("cpu")), graph, 0).room(batch, batch)
    step, source, result = trunk.steps[1], trunk.values[1], trunk.values[2]
    room.h[:], room.d[:] = 0.5, 0.5

    def ours(steps: int) -> None:
        for block in [block for _ in range(steps) for block in range(batch // kernels.LANES)]:
            at = source[kernels.BASE] + block * source[kernels.SIZE]
            to = result[kernels.BASE] + block * result[kernels.SIZE]
            kernels.convolve(
                trunk, step[kernels.PASS], room.h, at, room.h, to, result[kernels.PLANE], trunk.source, trunk.w,
                room.none, True, False, room.h, 0, False,
            )  # fmt: skip
            kernels.back(trunk, step, block, room.h, room.d, room.gc, room.gb, room.none)

    whole = convolution(entering, leaving, stride).to(memory_format=torch.channels_last)
    x = torch.randn(batch, entering, side, side).to(memory_format=torch.channels_last).requires_grad_()
    delta = torch.randn_like(whole(x)).detach()

    def theirs(steps: int) -> None:
        for _ in range(steps):
            torch.autograd.grad(whole(x), (x, whole.weight), delta)

    found = rounds(clocked(ours, time.thread_time), clocked(theirs, time.thread_time), seconds)
    operations = 3 * 2 * int(step[kernels.COUNT]) * places * batch
    return found | {"living_gflops": operations / found["this_us"] / 1e3}
