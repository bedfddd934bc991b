"""A small vision transformer, all of whose matrices are plain layers that can be pruned."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tombola.errors import UserError
from tombola.models.catalog import MODELS, Shape, require_few, require_image

HEAD = 64  # numbers per attention head (Vaswani et al. 2017, section 3.2.2)
EXPANSION = 4  # of the hidden layer of a block over its width (same, section 3.3)
EPSILON = 1e-6  # of the layer norms (the authors' code for Dosovitskiy et al. 2021)


class Attention(nn.Module):
    """Multi-head self-attention of four linear layers. Input and output [batch, tokens, width].

    Written out, since torch's own keeps three of these matrices in one bare parameter, which no mask is for.
    Keys have no bias: the softmax would undo it, and Adam would make steps of the rounding in its gradient.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        def heads(of: Tensor) -> Tensor:  # [batch, heads, tokens, HEAD]
            return of.reshape(*of.shape[:2], -1, HEAD).transpose(1, 2)

        query, key, value = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        shares = (query @ key.transpose(2, 3) / math.sqrt(HEAD)).softmax(dim=3)
        out: Tensor = self.out((shares @ value).transpose(1, 2).flatten(2))
        return out


class TransformerBlock(nn.Module):
    """Attention, then a two-layer perceptron, each added to what it is given the layer norm of (pre-norm)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attention = Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.fc1 = nn.Linear(width, EXPANSION * width)
        self.fc2 = nn.Linear(EXPANSION * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        x = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return x


class VisionTransformer(nn.Module):
    """Patches -> blocks -> mean over the tokens -> logits. Input [batch, channels, height, width]."""

    places: Tensor

    def __init__(self, shape: tuple[int, int, int], classes: int, patch: int, depth: int, width: int) -> None:
        super().__init__()
        channels, *sides = shape
        self.patches = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        self.register_buffer("places", torch.from_numpy(places(sides[0] // patch, sides[1] // patch, width)))
        self.blocks = nn.Sequential(*(TransformerBlock(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        out: Tensor = self.out(self.norm(self.blocks(tokens)).mean(dim=1))
        return out


def places(rows: int, columns: int, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """What tells the tokens of a grid apart: [rows * columns, width] (Vaswani et al. 2017, section 3.5).

    A quarter of the width each is sine and cosine of the row, and sine and cosine of the column, at
    wavelengths from 2 pi up to nearly 10,000 times that (in two dimensions as in Beyer et al. 2022).
    """
    frequencies = 10_000.0 ** (-np.arange(width // 4) / (width // 4))
    row, column = np.divmod(np.arange(rows * columns), columns)
    angles = [place[:, None] * frequencies for place in (row, column)]
    return np.hstack([wave(angle) for angle in angles for wave in (np.sin, np.cos)]).astype(np.float32)


@MODELS.register(
    "vit-P-D-W",
    "the vit with patches of PxP pixels, D blocks and width W (Dosovitskiy et al. 2021)",
    example="vit-4-6-192",
)
def vit(numbers: tuple[int, int, int], /, shape: Shape, classes: int) -> nn.Module:
    """Pre-norm vision transformer without dropout (Dosovitskiy et al. 2021; plain as in Beyer et al. 2022).

    `numbers` are the side of a patch, the blocks and the width, in heads of 64. There is no class token, and
    the code of the places is fixed: so every parameter but biases and layer norms is a prunable matrix. The
    patches are cut by a convolution, whose role is "conv".

    Raises UserError for a width that is no multiple of 64, or an input that is no image of whole patches.
    """
    patch, depth, width = numbers
    name = f"vit-{patch}-{depth}-{width}"
    require_few(name, depth)
    image = require_image(name, shape, patch)
    if width % HEAD:
        near = max(HEAD, round(width / HEAD) * HEAD)
        raise UserError(
            f"model '{name}': width {width}, expected a multiple of {HEAD}; the nearest is {near}"
        )
    if image[1] % patch or image[2] % patch:
        raise UserError(
            f"model '{name}': input of shape {shape}, expected sides that are multiples of the patch, {patch}"
        )
    return VisionTransformer(image, classes, patch, depth, width)


@MODELS.register("vit")
def small_vit(shape: Shape, classes: int) -> nn.Module:
    """Pre-norm vision transformer: 4x4 patches, 6 blocks, width 192, 3 heads (Dosovitskiy et al. 2021)."""
    return vit((4, 6, 192), shape, classes)
