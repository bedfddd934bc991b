"""What tickets cost: worked out by hand, and as torch counts operations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from support.transfer_parts import CLASSES, net, random_mask, small
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.transfer.cost import Cost, multiply_adds, of_ladder, of_route, of_training, uses_of


def test_by_hand() -> None:
    """4 living weights that read the input: forward and to weights. 5 behind them: to inputs as well."""
    arch = architecture("lenet-3", (2,), 2)
    mask = small([[1, 1], [1, 0], [1, 0]], [[1, 1, 1], [1, 1, 0]])
    assert multiply_adds(arch, mask) == {"fc1.weight": 4, "out.weight": 5}
    assert of_training(arch, mask, 10, 8, 3.0) == Cost(10, 2 * (2 * 4 + 3 * 5) * 10 * 8, 3.0)
    dense = Mask.dense(arch.prunable_shapes)
    whole = 2 * (2 * 6 + 3 * 6)
    assert of_ladder(arch, [dense, mask], 10, 8) == Cost(20, (whole + 46) * 80)


def test_convolutions_count_by_output_positions() -> None:
    """LeNet-5 on 28 x 28: padded to 28 x 28, pooled to 14, 10 x 10 after the second, and linear layers once."""
    arch = net("lenet-5", (1, 28, 28))
    found = {name: use.times for name, use in uses_of(arch).items()}
    assert found == {
        "conv1.weight": 784, "conv2.weight": 100, "fc1.weight": 1, "fc2.weight": 1, "out.weight": 1,
    }  # fmt: skip
    assert [use.inner for use in uses_of(arch).values()] == [False, True, True, True, True]
    mask = random_mask(arch)
    assert multiply_adds(arch, mask)["conv2.weight"] == 100 * mask.count("conv2.weight")


def tied(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A layer that is used twice, and a transposed convolution."""
    again = nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3, stride=2), again, nn.ReLU(), again,
        nn.ConvTranspose2d(4, 2, 3, stride=2), nn.Flatten(), nn.Linear(2 * 15 * 15, classes),
    )  # fmt: skip


@pytest.mark.parametrize("model", ["lenet-5", "resnet-14", "wrn-8-2", tied])
def test_torch_counts_the_same_for_a_dense_network(model: object) -> None:
    arch: Architecture = architecture(model, (3, 16, 16), CLASSES)  # type: ignore[arg-type]
    module, batch = arch.build(), 2
    with FlopCounterMode(display=False) as counter:
        y = module(torch.randn(batch, *arch.input_shape))
        F.cross_entropy(y, torch.zeros(batch, dtype=torch.int64)).backward()
    cost = of_training(arch, Mask.dense(arch.prunable_shapes), 1, batch)
    assert cost.operations == counter.get_total_flops()


def test_shares_of_sources() -> None:
    """A dense training that three use, and a ladder of its own for one: 30 / 3 + 8 + 5."""
    whole = of_route(Cost(5, 50, 1), [(Cost(30, 300, 6), 3), (Cost(8, 80, 2), 1)])
    assert whole == Cost(23, 230, 5)
    assert of_route(Cost(5, 50)) == Cost(5, 50)
    each = of_route(Cost(), [(Cost(9, 90), 4)])
    assert each + each + each + each == Cost(9, 90), "what is shared out is what was paid"
    with pytest.raises(UserError, match="shared by one user at least, found 0"):
        of_route(Cost(), [(Cost(1), 0)])
