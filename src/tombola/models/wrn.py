"""Wide residual networks: few, wide blocks that normalise before they convolve."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from tombola.errors import UserError
from tombola.models.named import MODELS, Shape, require_image

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


@MODELS.register("wrn-D-K")
def wrn(numbers: tuple[int, int], /, shape: Shape, classes: int) -> nn.Module:
    """Wide residual network of depth D, K times as wide (Zagoruyko & Komodakis 2016, Table 1): wrn-32-2.

    Three groups of n blocks, 16K, 32K and 64K wide. A depth counts the 6n convolutions of the blocks, the
    stem, and either the three projections of the shortcuts (6n + 4: wrn-28-10, as its authors count) or the
    linear layer (6n + 2: the wrn-32-2 of Chen et al. 2022). Both are taken, and wrn-34-2 is wrn-32-2.

    Raises UserError for a depth of neither kind or an input that is no image.
    """
    depth, factor = numbers
    name = f"wrn-{depth}-{factor}"
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
