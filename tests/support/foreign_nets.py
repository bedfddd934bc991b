"""Small networks of the kinds that people bring, and what each is trained on."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Recurrent(nn.Module):
    """A GRU over the rows of an image; its matrices are opted in."""

    prune = ("gru.weight_*",)

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(8, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.gru(x[:, 0])[0][:, -1])


class Lstm(nn.Module):
    """Two layers of LSTM, one of them backwards too."""

    prune = ("lstm.weight_*",)

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(x[:, 0])[0].mean(1))


class Encoder(nn.Module):
    """A class token before patches, and a layer of torch's transformer (Dosovitskiy et al. 2021)."""

    prune = ("layer.self_attn.in_proj_weight",)

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(1, 8, 4, stride=4), nn.Parameter(torch.zeros(1, 1, 8))
        self.place = nn.Parameter(torch.randn(1, 5, 8) / 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True, norm_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.place
        return self.out(self.layer(tokens)[:, 0])


class Attention(nn.Module):
    """Self-attention over the rows, with its projection opted in."""

    prune = ("attention.in_proj_weight",)

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = x[:, 0]
        return self.out(self.norm(rows + self.attention(rows, rows, rows, need_weights=False)[0]).mean(1))


class UNet(nn.Module):
    """Down, up again, and across; then the mean of each class's map."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.low = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(4, 4, 2, stride=2), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.down(x).relu()
        low = self.low(F.max_pool2d(wide, 2)).relu()
        return self.out(torch.cat([wide, self.up(low)], 1)).mean((2, 3))


class Siamese(nn.Module):
    """One tower for two images, and a head on how they differ (Bromley et al. 1994)."""

    def __init__(self) -> None:
        super().__init__()
        self.tower, self.out = nn.Linear(64, 6), nn.Linear(6, 3)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return self.out((self.tower(one.flatten(1)).relu() - self.tower(other.flatten(1)).relu()).abs())


class ImageAndWords(nn.Module):
    """An image beside the ids of two words."""

    def __init__(self) -> None:
        super().__init__()
        self.see, self.read, self.out = nn.Linear(64, 6), nn.Embedding(10, 4), nn.Linear(10, 3)

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        return self.out(torch.cat([self.see(image.flatten(1)).relu(), self.read(words).mean(1)], 1))


class Experts(nn.Module):
    """A gate over three experts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(64, 3)
        self.experts = nn.ModuleList(nn.Linear(64, 3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        answers = torch.stack([expert(x) for expert in self.experts], 2)
        return (answers * self.gate(x).softmax(1)[:, None]).sum(2)


class Depthwise(nn.Module):
    """A convolution for each channel, and one across them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=4)
        self.point, self.norm, self.out = nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.point(self.deep(self.stem(x).relu()))).relu().mean((2, 3)))


class Dense(nn.Module):
    """Every layer reads all before it (Huang et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(1 + 2 * i, 2, 3, padding=1) for i in range(3))
        self.norm, self.out = nn.BatchNorm2d(7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x).relu()], 1)
        return self.out(self.norm(x).mean((2, 3)))


class SqueezeExcite(nn.Module):
    """Channels weighed by what all of the image says (Hu et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 2, 1)
        self.excite, self.out = nn.Conv2d(2, 6, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        weights = self.excite(self.squeeze(F.adaptive_avg_pool2d(x, 1)).relu()).sigmoid()
        return self.out((x * weights).mean((2, 3)))


class Tied(nn.Module):
    """An embedding of pixels whose matrix is that of the classifier behind, in both directions (Press & Wolf 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.up, self.down = (
            nn.Linear(64, 6),
            nn.Linear(6, 6, bias=False),
            nn.Linear(6, 6, bias=False),
        )
        self.down.weight, self.out = self.up.weight, nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.first(x.flatten(1)).relu()).relu()
        return self.out(self.down(x).relu())


class Shared(nn.Module):
    """One block, three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.block, self.out = nn.Linear(64, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.again = self.block

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1)).relu()
        for block in (self.block, self.again, self.block):
            x = x + block(x).relu()
        return self.out(x)


class StochasticDepth(nn.Module):
    """A block that half of the training steps pass by (Huang et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.block, self.out = nn.Linear(64, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1)).relu()
        if not self.training or torch.rand(()) < 0.5:
            x = x + self.block(x).relu()
        return self.out(x)


class Auxiliary(nn.Module):
    """A second head in training, of which the loss knows nothing: a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.side, self.out = nn.Linear(64, 6), nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.first(x.flatten(1)).relu()
        return (self.out(x), self.side(x)) if self.training else self.out(x)


class Worded(nn.Module):
    """A network that answers with a table, as those of other libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.out(x.flatten(1))}


TRAINED: dict[str, type[nn.Module]] = {
    "recurrent (GRU)": Recurrent,
    "recurrent (LSTM, two layers, both ways)": Lstm,
    "attention": Attention,
    "transformer encoder on patches (ViT)": Encoder,
    "U-Net": UNet,
    "siamese, two inputs": Siamese,
    "an image and token ids, two inputs": ImageAndWords,
    "mixture of experts": Experts,
    "depthwise convolutions (MobileNet)": Depthwise,
    "every layer reads all before it (DenseNet)": Dense,
    "squeeze and excite": SqueezeExcite,
    "one block several times": Shared,
    "one matrix in two layers (tied)": Tied,
    "stochastic depth": StochasticDepth,
}
"""What is pruned and trained, by what it is called in the documentation."""
REFUSED: dict[str, type[nn.Module]] = {
    "an auxiliary head in training (GoogLeNet)": Auxiliary,
    "outputs in a table": Worded,
}
"""What is refused by name."""


def data_for(kind: type[nn.Module]) -> tuple[Any, dict[str, Any]]:
    """Data of three classes for a network, in which they are told apart by nothing, and what `draw` is told besides."""
    generator = torch.Generator().manual_seed(0)
    images, more = (torch.randn(60, 1, 8, 8, generator=generator) for _ in range(2))
    words, y = torch.randint(0, 10, (60, 2), generator=generator), torch.arange(60) % 3
    several = {Siamese: (images, more), ImageAndWords: (images, words)}.get(kind)
    options = {
        "normalisation": "none" if kind is ImageAndWords else "standard",
        "prune": getattr(kind, "prune", ()),
    }
    if several is None:
        return ((images[:42], y[:42]), (images[42:], y[42:])), options
    parts = [tuple(each[rows] for each in several) for rows in (slice(42), slice(42, 60))]
    return ((parts[0], y[:42]), (parts[1], y[42:])), options
