"""How many networks fit: counted by hand for small ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from support.training_parts import CLASSES, CPU, recipe
from tombola.models.architecture import architecture
from tombola.training.memory import Footprint, fitting, footprint, networks_that_fit


def small() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, CLASSES))


def test_the_footprint_of_a_perceptron() -> None:
    """Saved are the input (6), the ReLU's output (5) and the logits (3); weights count as parameters alone."""
    floats = 6 * 5 + 5 + 5 * 3 + 3
    assert footprint(architecture(small, (2, 3), CLASSES)) == Footprint(4 * floats, 0, 4 * (6 + 5 + 3), 4 * 6)


def test_the_footprint_of_a_convolution_with_batch_norm() -> None:
    def conv() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(2, 8, 3, bias=False),
            nn.BatchNorm2d(8),
            nn.AvgPool2d(4),
            nn.Flatten(),
            nn.Linear(8, CLASSES),
        )

    found = footprint(architecture(conv, (2, 6, 6), CLASSES))
    assert found.parameters == 4 * (8 * 2 * 9 + 8 + 8 + 8 * CLASSES + CLASSES)
    assert found.buffers == 4 * (8 + 8) + 8  # the count of batches is an int64
    # Input, outputs of convolution, norm and pool, logits; then the norm's mean and deviation, once for two examples.
    assert found.activations == 4 * (2 * 36 + 8 * 16 + 8 * 16 + 8 + CLASSES) + 4 * (8 + 8) // 2
    assert found.largest == 4 * 8 * 16


def test_measuring_draws_nothing_and_takes_a_network_that_draws() -> None:
    before = torch.random.get_rng_state()
    footprint(architecture(lambda: nn.Sequential(nn.RReLU(), nn.Linear(6, CLASSES)), (6,), CLASSES))
    assert torch.equal(torch.random.get_rng_state(), before)


FOOTPRINT = Footprint(parameters=1000, buffers=100, activations=30, largest=7)


def test_the_total_by_optimizer_batch_and_chunk() -> None:
    """Adam: 5 + 2 + 4 times the parameters, 3 + 1 times the buffers, twice the activations of a batch."""
    assert FOOTPRINT.total(recipe(batch=8), 10) == 11_000 + 400 + 2 * 8 * 30
    assert FOOTPRINT.total(recipe(batch=8), 100) == 11_000 + 400 + 2 * 100 * 7  # an evaluation takes more
    momentum = recipe(batch=8, optimizer="sgd", momentum=0.9)
    assert FOOTPRINT.total(momentum, 10) == 9_000 + 400 + 480
    assert FOOTPRINT.total(recipe(batch=8, optimizer="sgd"), 10) == 7_000 + 400 + 480


@pytest.mark.parametrize(
    ("free", "each", "count"), [(1000, 100, 8), (1000, 134, 5), (1000, 801, 1), (1000, 10**6, 1)]
)
def test_a_fifth_of_the_free_memory_is_left_and_one_network_always_tried(
    free: int, each: int, count: int
) -> None:
    assert fitting(free, each) == count


def test_on_a_gpu_it_is_the_free_memory_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = architecture(small, (2, 3), CLASSES)
    each = footprint(arch).total(recipe(), 1000)  # the mlp engine evaluates 1000 examples at a time
    asked: list[torch.device] = []

    def mem_get_info(device: torch.device) -> tuple[int, int]:
        asked.append(device)
        return 100 * each, 10**12

    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    assert networks_that_fit(arch, torch.device("cuda", 1), recipe(), "mlp") == 80
    assert asked == [torch.device("cuda", 1)]


def test_on_a_cpu_it_is_the_engine_that_says() -> None:
    arch = architecture(small, (2, 3), CLASSES)
    assert networks_that_fit(arch, CPU, recipe(), "mlp") == 32
    assert networks_that_fit(arch, CPU, recipe(), "modules") == 1
