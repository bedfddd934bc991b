"""LeNets: fully connected ones, Conv-2, Conv-4 and Conv-6 (Frankle & Carbin 2019), and LeNet-5 (LeCun et al. 1998)."""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial

from torch import nn

from tombola.errors import UserError
from tombola.models.catalog import MODELS, Shape, require_image


@MODELS.register("lenet-A-B-...", example="lenet-300-100")
def lenet(widths: tuple[int, ...], /, shape: Shape, classes: int) -> nn.Module:
    """Fully connected ReLU network with hidden layers of widths A, B, ... (Frankle & Carbin 2019, Figure 2).

    `lenet-5` is not one of these but LeCun's network of that name.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    inputs = math.prod(shape)
    for place, width in enumerate(widths, start=1):
        layers[f"fc{place}"] = nn.Linear(inputs, width)
        layers[f"relu{place}"] = nn.ReLU()
        inputs = width
    layers["out"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)


CONV_CHANNELS = (64, 128, 256)  # of the first, second and third module (F19, Figure 2)
CONV_HIDDEN = (256, 256)


def conv(depth: int, /, shape: Shape, classes: int, dropout: float = 0.0) -> nn.Module:
    """Conv-2, Conv-4 or Conv-6: modules of two padded 3x3 convolutions and a 2x2 max-pool (F19, Figure 2).

    `dropout` is the rate after each hidden fully connected layer (F19, section 3 uses 0.5).
    Raises UserError for an input that is not [channels, height, width] or too small for the pools.
    """
    name, pools = f"conv-{depth}", depth // 2
    if isinstance(dropout, bool | str) or not 0 <= dropout < 1:
        raise UserError(
            f"model '{name}': option 'dropout' is {dropout!r}, expected a number from 0 to below 1"
        )
    channels, height, width = require_image(name, shape, 2**pools)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for pool in range(pools):
        for place in (2 * pool + 1, 2 * pool + 2):
            layers[f"conv{place}"] = nn.Conv2d(channels, CONV_CHANNELS[pool], kernel_size=3, padding=1)
            layers[f"conv{place}_relu"] = nn.ReLU()
            channels = CONV_CHANNELS[pool]
        layers[f"pool{pool + 1}"] = nn.MaxPool2d(2)
        height, width = height // 2, width // 2
    layers["flatten"] = nn.Flatten()
    inputs = channels * height * width
    for place, hidden in enumerate(CONV_HIDDEN, start=1):
        layers[f"fc{place}"] = nn.Linear(inputs, hidden)
        layers[f"fc{place}_relu"] = nn.ReLU()
        if dropout:
            layers[f"fc{place}_dropout"] = nn.Dropout(dropout)
        inputs = hidden
    layers["out"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)


for _depth in (2, 4, 6):
    MODELS.register(
        f"conv-{_depth}",
        f"{_depth} 3x3 convolutions and three linear layers, like VGG; option: dropout "
        "(Frankle & Carbin 2019, Figure 2)",
    )(partial(conv, _depth))


def lenet5(kernel: int, /, shape: Shape, classes: int) -> nn.Module:
    """Convolutions of 6 and 16 channels, each with a max-pool, linear layers of 120 and 84, ReLU.

    With 5x5 kernels images with a side below 32 get two zeros all around, as LeCun brought the 28 of MNIST to 32. So
    both kernels leave 5x5 places of an image of 28x28: 400 inputs to the first linear layer.

    Raises UserError for an input that is no image, or too small for the convolutions and pools.
    """
    name, least = ("lenet-5", 12) if kernel == 5 else ("lenet-5-3x3", 10)
    channels, height, width = require_image(name, shape, least)
    padding = 2 if kernel == 5 and min(height, width) < 32 else 0
    lost = kernel - 1
    height, width = (((side + 2 * padding - lost) // 2 - lost) // 2 for side in (height, width))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 6, kernel_size=kernel, padding=padding),
            conv1_relu=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, kernel_size=kernel),
            conv2_relu=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * height * width, 120),
            fc1_relu=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            fc2_relu=nn.ReLU(),
            out=nn.Linear(84, classes),
        )
    )


# The network of LeCun et al. as it is built today: its own units, pools and output were others.
MODELS.register(
    "lenet-5",
    "5x5 convolutions of 6 and 16, linear layers of 120 and 84, ReLU and max-pool (LeCun et al. 1998)",
)(partial(lenet5, 5))
MODELS.register(
    "lenet-5-3x3", "lenet-5 with 3x3 convolutions, without padding (Paganini & Forde 2020, section 3)"
)(partial(lenet5, 3))
