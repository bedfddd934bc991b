"""Residual networks: the CIFAR family of He et al., and ResNet-18 and ResNet-50 in their ImageNet layout."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn

from tombola.errors import UserError
from tombola.models.catalog import MODELS, Shape, require_depth, require_few, require_image

CIFAR_DEPTHS = (8, 14, 20, 32, 44, 56, 110)
LAYOUTS = {depth: (16, 3 * ((depth - 2) // 6,)) for depth in CIFAR_DEPTHS} | {
    18: (64, (2, 2, 2, 2)),
    50: (64, (3, 4, 6, 3)),
}
"""Depth -> the width of the first stage, and the blocks of each; every further stage is twice as wide."""
BOTTLENECKS = (50,)
"""Depths whose blocks are bottlenecks."""
IMAGENET_SIDE = 128
"""From this side up the ImageNet layout begins with the strided stem it was made with."""


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The identity, or where shapes differ a 1x1 convolution with batch norm (option B of He et al. 2016)."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    projection = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(OrderedDict(conv=projection, norm=nn.BatchNorm2d(outputs)))


class BasicBlock(nn.Module):
    """relu(F(x) + shortcut(x)), where F is two 3x3 convolutions with batch norm (He et al. 2016, Figure 2).

    Input [batch, inputs, h, w], output [batch, outputs, h / stride, w / stride]. Where the two differ in
    shape the shortcut is a 1x1 convolution with batch norm (option B there), else it is the identity.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm1(self.conv1(x)).relu()
        out: Tensor = self.norm2(self.conv2(inner)) + self.shortcut(x)
        return out.relu()


class Bottleneck(nn.Module):
    """relu(F(x) + shortcut(x)), where F is a 1x1, a 3x3 and a 1x1 convolution with batch norm, the last of which is
    four times as wide (He et al. 2016, Figure 5).

    Input [batch, inputs, h, w], output [batch, 4 * width, h / stride, w / stride]. The 3x3 convolution has the stride,
    as in most code that trains it since, where the paper has it in the first.
    """

    WIDER = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = self.WIDER * width
        self.conv1 = nn.Conv2d(inputs, width, kernel_size=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, kernel_size=1, bias=False)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm1(self.conv1(x)).relu()
        inner = self.norm2(self.conv2(inner)).relu()
        out: Tensor = self.norm3(self.conv3(inner)) + self.shortcut(x)
        return out.relu()


@MODELS.register(
    "resnet-D-wK",
    "the resnet of depth D with every width times K (He et al. 2016): resnet-20-w4",
    example="resnet-20-w4",
)
def resnet(numbers: tuple[int, int], /, shape: Shape, classes: int) -> nn.Module:
    """Stem, stages of basic blocks, average pool, one linear layer (He et al. 2016, sections 4.2 and 4.1).

    `numbers` are the depth and the factor of the widths. The CIFAR family of depth 6n + 2 has three stages of
    n blocks, 16, 32 and 64 wide; depth 18 has four of 2 blocks, 64 to 512 wide; depth 50 four of 3, 4, 6 and 3
    bottlenecks. The first block of each stage but the first halves the image. The stem is a 3x3 convolution of
    stride 1, with nothing pooled; only these two on images with sides of at least 128 have the 7x7 one of stride 2
    and the 3x3 max-pool instead.
    Pruning rates name the projections of the shortcuts by the role "shortcut".

    Raises UserError for another depth or an input that is no image.
    """
    depth, factor = numbers
    name = f"resnet-{depth}-w{factor}" if factor > 1 else f"resnet-{depth}"
    require_depth(name, depth, LAYOUTS)
    channels, *sides = require_image(name, shape, 1)
    first, blocks = LAYOUTS[depth]
    width = first * factor
    strided = depth not in CIFAR_DEPTHS and min(sides) >= IMAGENET_SIDE
    block, wider = (Bottleneck, Bottleneck.WIDER) if depth in BOTTLENECKS else (BasicBlock, 1)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if strided:
        layers["conv"] = nn.Conv2d(channels, width, kernel_size=7, stride=2, padding=3, bias=False)
    else:
        layers["conv"] = nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
    layers["norm"] = nn.BatchNorm2d(width)
    layers["relu"] = nn.ReLU()
    if strided:
        layers["pool"] = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    inputs = width
    for stage, count in enumerate(blocks):
        own, stride = width * 2**stage, 1 if stage == 0 else 2
        outputs = wider * own
        layers[f"stage{stage + 1}"] = nn.Sequential(
            block(inputs, own, stride), *(block(outputs, own, 1) for _ in range(count - 1))
        )
        inputs = outputs
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["out"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)


for _depth in CIFAR_DEPTHS:
    _line = f"CIFAR residual network of {_depth} layers, widths 16/32/64 (He et al. 2016, section 4.2)"
    if _depth == 20:
        _line = _line[:-1] + "; the 'Resnet-18' of Frankle & Carbin 2019)"
    MODELS.register(f"resnet-{_depth}", _line)(partial(resnet, (_depth, 1)))
MODELS.register(
    "resnet-18",
    "four stages of two basic blocks, widths 64 to 512; 3x3 stem, ImageNet's from 128 pixels up "
    "(He et al. 2016, Table 1); not the 'Resnet-18' of Frankle & Carbin 2019, which is resnet-20",
)(partial(resnet, (18, 1)))
MODELS.register(
    "resnet-50",
    "four stages of 3, 4, 6 and 3 bottlenecks, 256 to 2,048 wide; 3x3 stem, ImageNet's from 128 pixels up "
    "(He et al. 2016, Table 1)",
)(partial(resnet, (50, 1)))


WIDTHS = (16, 32, 64)  # of the three groups, before the widening factor


class PreActivationBlock(nn.Module):
    """F(x) + shortcut(x), where F is twice batch norm, ReLU, 3x3 convolution (Zagoruyko & Komodakis 2016, 2).

    Input [batch, inputs, h, w], output [batch, outputs, h / stride, w / stride]. Where the two differ in
    shape the shortcut is a 1x1 convolution of what the first batch norm and ReLU give.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.norm1(x).relu()
        inner = self.norm2(self.conv1(active)).relu()
        out: Tensor = self.conv2(inner) + (x if self.shortcut is None else self.shortcut(active))
        return out


@MODELS.register("wrn-D-K", example="wrn-32-2")
def wrn(numbers: tuple[int, int], /, shape: Shape, classes: int) -> nn.Module:
    """Wide residual network of depth D, K times as wide (Zagoruyko & Komodakis 2016, Table 1): wrn-32-2.

    Three groups of n blocks, 16K, 32K and 64K wide. A depth counts the 6n convolutions of the blocks, the
    stem, and either the three projections of the shortcuts (6n + 4: wrn-28-10, as its authors count) or the
    linear layer (6n + 2: the wrn-32-2 of Chen et al. 2022). Both are taken, and wrn-34-2 is wrn-32-2.

    Raises UserError for a depth of neither kind or an input that is no image.
    """
    depth, factor = numbers
    name = f"wrn-{depth}-{factor}"
    require_few(name, depth)
    valid = [each for each in range(8, depth + 8) if each % 6 in (2, 4)]
    if depth not in valid:
        near = min(valid, key=lambda each: abs(each - depth))
        raise UserError(f"model '{name}': no depth {depth}, expected 6n + 2 or 6n + 4; the nearest is {near}")
    channels, *_ = require_image(name, shape, 1)
    blocks = (depth - 2) // 6
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(channels, WIDTHS[0], kernel_size=3, padding=1, bias=False)
    )
    inputs = WIDTHS[0]
    for stage, width in enumerate(WIDTHS, start=1):
        outputs, stride = width * factor, 1 if stage == 1 else 2
        layers[f"stage{stage}"] = nn.Sequential(
            PreActivationBlock(inputs, outputs, stride),
            *(PreActivationBlock(outputs, outputs, 1) for _ in range(blocks - 1)),
        )
        inputs = outputs
    layers["norm"] = nn.BatchNorm2d(inputs)
    layers["relu"] = nn.ReLU()
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["out"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)
