"""VGG networks for small images, with batch norm and one linear layer."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from tombola.models.catalog import MODELS, Shape, require_depth, require_image

GROUPS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Depth -> the 3x3 convolutions of each group (Simonyan & Zisserman 2015, Table 1: columns A, B, D, E)."""
WIDTHS = (64, 128, 256, 512, 512)


@MODELS.register(
    "vgg-D-wK",
    "the vgg of depth D with every width times K (Simonyan & Zisserman 2015): vgg-16-w2",
    example="vgg-16-w2",
)
def vgg(numbers: tuple[int, int], /, shape: Shape, classes: int) -> nn.Module:
    """Five groups of 3x3 convolutions with batch norm and ReLU, then one linear layer (F19, Appendix I.2).

    `numbers` are the depth and the factor of the widths. A 2x2 max-pool ends each group but the last, which
    the mean over all places ends. The depth counts three linear layers, as the networks had for ImageNet.
    Convolutions have no bias, since the batch norm after each would undo it.

    Raises UserError for another depth, or an input that is no image or has a side below 16.
    """
    depth, factor = numbers
    name = f"vgg-{depth}-w{factor}" if factor > 1 else f"vgg-{depth}"
    require_depth(name, depth, GROUPS)
    channels, *_ = require_image(name, shape, 2 ** (len(WIDTHS) - 1))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    place = 0
    for group, (count, width) in enumerate(zip(GROUPS[depth], WIDTHS, strict=True), start=1):
        for _ in range(count):
            place += 1
            layers[f"conv{place}"] = nn.Conv2d(channels, width * factor, kernel_size=3, padding=1, bias=False)
            layers[f"norm{place}"] = nn.BatchNorm2d(width * factor)
            layers[f"relu{place}"] = nn.ReLU()
            channels = width * factor
        if group < len(WIDTHS):
            layers[f"pool{group}"] = nn.MaxPool2d(2)
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["out"] = nn.Linear(channels, classes)
    return nn.Sequential(layers)


for _depth, _counts in GROUPS.items():
    MODELS.register(
        f"vgg-{_depth}",
        f"VGG of {sum(_counts)} convolutions with batch norm, average pool and one linear layer "
        "(Simonyan & Zisserman 2015; Frankle & Carbin 2019, Appendix I.2)",
    )(partial(vgg, (_depth, 1)))
