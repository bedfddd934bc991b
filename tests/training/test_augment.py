"""Flips and crops: against numpy's own, who shares the noise, and what is refused."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from support.rounding import assert_same_in_double
from support.training_parts import CLASSES, CPU, IMAGES, arrays, calm, recipe, resident, same, start
from tombola.data.dataset import Dataset
from tombola.data.resident import Resident
from tombola.data.split import split
from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.models.trial import EXAMPLES
from tombola.seeds import Seeds
from tombola.training.augment import Augment
from tombola.training.batches import Group
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe

SHAPE = (2, 5, 7)


def groups(*path: tuple[int, int]) -> list[Group]:
    """Groups of (replicate, level)."""
    every = [(Seeds.replicate(0, r), level) for r, level in path]
    return [Group(seeds, level, split(20, 5, seeds.stream("split"))) for seeds, level in every]


def images(count: int = 1, batch: int = 400, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """Images whose every number is another one, and none is 0."""
    size = int(np.prod(shape))
    return torch.arange(1.0, count * batch * size + 1).view(count, batch, *shape)


def augment(flip: bool = False, crop: int = 0, iteration: int = 3, who: list[Group] | None = None) -> Augment:
    made = Augment(Recipe(flip=flip, crop=crop), who or groups((0, 1)), CPU)
    made.begin(iteration)
    return made


def every_view(image: NDArray[np.float32], flip: bool, crop: int) -> list[NDArray[np.float32]]:
    """All that may come of an image: numpy pads, cuts and flips."""
    padded = np.pad(image, ((0, 0), (crop, crop), (crop, crop)))
    _, height, width = image.shape
    places = [(a, b) for a in range(2 * crop + 1) for b in range(2 * crop + 1)]
    cuts = [padded[:, a : a + height, b : b + width] for a, b in places]
    return cuts + [cut[:, :, ::-1] for cut in cuts] if flip else cuts


@pytest.mark.parametrize(("flip", "crop"), [(True, 0), (False, 1), (True, 2), (False, 4)])
def test_every_view_comes_up_equally_often_and_no_other(flip: bool, crop: int) -> None:
    x = images()
    out = augment(flip, crop)(x)
    assert out.shape == x.shape
    counts = np.zeros(len(every_view(x[0, 0].numpy(), flip, crop)))
    for before, after in zip(x[0].numpy(), out[0].numpy(), strict=True):
        hits = [i for i, view in enumerate(every_view(before, flip, crop)) if np.array_equal(view, after)]
        assert hits, "a view that numpy does not know"
        counts[hits[0]] += 1
    expected = len(x[0]) / len(counts)
    chi = ((counts - expected) ** 2 / expected).sum()
    # Mean len - 1 and variance 2 (len - 1) where all are equally likely; five deviations.
    assert chi < len(counts) - 1 + 5 * (2 * (len(counts) - 1)) ** 0.5


def test_images_are_changed_independently_of_one_another_and_of_the_step_before() -> None:
    x = images()
    flipped = [(augment(flip=True, iteration=t)(x) != x)[0, :, 0, 0, 0] for t in (3, 4)]
    pairs = [(flipped[0][1:], flipped[0][:-1]), (flipped[0], flipped[1]), (flipped[0][1:], flipped[1][:-1])]
    for a, b in pairs:
        assert abs(float((a == b).double().mean()) - 0.5) < 5 * 0.5 / len(a) ** 0.5


def test_a_flip_says_nothing_about_the_crop() -> None:
    x = images(batch=2000)
    made = augment(flip=True, crop=2)
    drawn = made._draws(2000)
    flips, down = (drawn & 1)[0].double(), made._shift(drawn, 64)[0].double()
    along = made._shift(drawn, 64 - 24)[0].double()
    for a, b in ((flips, down), (flips, along), (down, along)):
        assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 5 / len(x[0]) ** 0.5


def test_the_noise_is_that_of_replicate_level_iteration_and_position() -> None:
    x = images(batch=60)
    here = augment(True, 2)(x)
    assert torch.equal(augment(True, 2)(x), here)
    assert torch.equal(augment(True, 2)(x[:, :10]), here[:, :10]), (
        "the position counts, not the size of the batch"
    )
    for other in (
        augment(True, 2, iteration=4),
        augment(True, 2, who=groups((1, 1))),
        augment(True, 2, who=groups((0, 2))),
    ):
        assert not torch.equal(other(x), here)
    both = augment(True, 2, who=groups((1, 1), (0, 1)))(torch.cat([x, x]))
    assert torch.equal(both[1], here[0])
    assert torch.equal(both[0], augment(True, 2, who=groups((1, 1)))(x)[0])


def test_what_it_is_given_stays_as_it_is() -> None:
    x = images(batch=5)
    before = x.clone()
    augment(True, 2)(x)
    assert torch.equal(x, before)


def test_the_padding_is_the_mean_of_the_channel() -> None:
    """Images all of one colour, which is the mean: after any crop they are what they were."""
    shape = (2, 6, 6)
    x = torch.tensor([40, 200], dtype=torch.uint8).view(2, 1, 1).expand(30, *shape).contiguous()
    y = torch.arange(30) % CLASSES
    data = Resident(Dataset("flat", x, y, x[:3], y[:3], CLASSES), "standard", CPU)
    batch = data.train(torch.arange(8)[None])
    assert torch.equal(augment(crop=5)(batch), batch)


class Watch(nn.Module):
    """Remembers what it is shown."""

    seen: ClassVar[list[tuple[bool, Tensor]]] = []

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(72, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, Tensor):  # and not what stands for one while a network is read
            Watch.seen.append((self.training, x.detach().clone()))
        out: Tensor = self.fc(x.flatten(1))
        return out


def test_training_sees_changed_images_and_evaluation_whole_ones() -> None:
    arch, data = architecture(Watch, IMAGES, CLASSES), resident(arrays(IMAGES))
    shown = []
    for options in ({}, {"flip": True, "crop": 2}):
        Watch.seen.clear()
        train_stack(arch, [start(arch, level=1)], data, recipe(curve_every=4, **options), 5)
        shown.append([each for each in Watch.seen if len(each[1]) != EXAMPLES])  # those are trials
    assert len(shown[0]) == len(shown[1])
    step = 0
    made = augment(True, 2)
    for (training, plain), (_, changed) in zip(*shown, strict=True):
        if training:
            made.begin(step)
            assert torch.equal(changed, made(plain[None])[0])
            step += 1
        else:
            assert torch.equal(changed, plain)
    assert step == 12


@pytest.mark.usefixtures("float64")
def test_a_stack_a_lone_network_and_a_rewound_one_see_the_same_images() -> None:
    arch, data = architecture(calm, IMAGES, CLASSES), resident(arrays(IMAGES))
    chosen = recipe(flip=True, crop=1, optimizer="sgd")
    starts = [start(arch, r, level=level) for r, level in ((0, 1), (0, 1), (1, 1), (0, 2))]
    stack = train_stack(arch, starts, data, chosen, 5, engine="modules", snapshot_at=5)
    for r, each in enumerate(starts):
        alone = train_stack(arch, [each], data, chosen, 5, engine="modules")[0]
        assert_same_in_double(stack[r].end, alone.end)
    assert same(stack[0].end, stack[1].end)
    kept = stack[0].snapshot
    assert kept is not None
    again = start(arch, 0, level=1, iteration=5, state=kept)
    assert same(train_stack(arch, [again], data, chosen, 5, engine="modules")[0].end, stack[0].end)


REFUSED = [
    ((6,), {"flip": True}, r"recipe.flip = true needs images .* found data of shape \[6\]"),
    ((6,), {"crop": 4}, r"recipe.crop = 4 needs images"),
    (IMAGES, {"crop": 6}, r"recipe.crop is 6, expected less than .* \[6, 6\]"),
]


@pytest.mark.parametrize(("shape", "options", "sentence"), REFUSED)
@pytest.mark.parametrize("engine", ["auto", "modules"])
def test_what_cannot_be_augmented_is_refused(shape, options, sentence: str, engine: str) -> None:
    arch = architecture("lenet-4", shape, CLASSES)
    with pytest.raises(UserError, match=sentence):
        train_stack(arch, [start(arch)], resident(arrays(shape)), recipe(**options), 5, engine=engine)
