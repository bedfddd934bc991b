"""Masks that move while networks train: gradual pruning, SET and RigL, step by step."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from support.search_parts import long, mover, search, starts_of, walk
from support.training_parts import CPU, kind, start
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule
from tombola.models.architecture import Architecture
from tombola.training.engines.base import ENGINES, Job
from tombola.training.engines.steps import Graphed
from tombola.training.recipe import Recipe
from tombola.training.search.moving import MovingMasks
from tombola.training.stack import Stack
from tombola.training.start import Start

SGD = long(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.01)
RECIPES = {"adam": long(weight_decay=0.01), "sgd": SGD}
WHAT = ["mlp", "odd"]


def sizes(arch: Architecture) -> dict[str, int]:
    return {name: math.prod(arch.shapes[name]) for name in arch.prunable}


def due(iteration: int) -> int | None:
    """The last time at which gradual pruning to 15 of 20 steps, every 2, had pruned when a step was taken."""
    return max((t for t in (2, 4, 6, 8, 10, 12, 14, 15) if t <= iteration), default=None)


def cubic(first: int, last: int, iteration: int) -> int:
    """Count that is to be left when a step has been taken: rounded half up, by the formula of the paper."""
    point = due(iteration)
    left = Fraction(15 - point, 15) ** 3 if point is not None else Fraction(1)
    return math.floor(last + (first - last) * left + Fraction(1, 2))


@pytest.mark.parametrize("allocation", ["layerwise", "global", "uniform"])
@pytest.mark.parametrize("what", WHAT)
def test_gradual_pruning_has_the_counts_of_the_formula_and_is_nested(what: str, allocation: str) -> None:
    arch = kind(what)[0]
    sought = search(arch, "gradual", PruneRule(rate=0.5, allocation=allocation))
    starts = starts_of(arch, sought, 0, 1)
    assert all(s.mask.density() == 1 for s in starts)
    before = [s.mask for s in starts]
    whole = sizes(arch)
    for iteration, masks in walk(mover(what, sought, long(), starts), 20):
        for mask, old in zip(masks, before, strict=True):
            assert mask <= old
            if allocation == "global":
                last = math.floor(Fraction(sum(whole.values()), 4) + Fraction(1, 2))  # half of half
                assert mask.count() == cubic(sum(whole.values()), last, iteration)
            else:
                expected = {name: cubic(whole[name], sought.goal.counts[name], iteration) for name in whole}
                assert mask.counts() == expected
        before = masks
    assert before[0] != before[1], "another replicate, another mask"


def test_what_is_pruned_little_by_little_is_what_scores_lowest() -> None:
    """One point: the weights that the network had just before it, the smallest of each layer gone."""
    arch = kind("mlp")[0]
    sought = search(arch, "gradual", every=50, end=0.5)
    trainer = mover("mlp", sought, long(), starts_of(arch, sought, 0))
    trainer.advance(0, 10)
    held = {name: trainer.stack.params[name][0].clone() for name in arch.prunable}
    trainer.advance(10, 11)
    for name, mask in trainer.masks()[0].items():
        count = sought.goal.counts[name]
        border = held[name].abs().flatten().sort(descending=True).values[count - 1]
        assert torch.equal(mask, held[name].abs() >= border)


def test_channels_are_pruned_whole_and_to_their_count() -> None:
    arch = kind("odd")[0]
    sought = search(arch, "gradual", PruneRule(rate=0.3, structure="channels", rates={"output": 0.0}))
    before = 4
    for _, (mask,) in walk(mover("odd", sought, long(), starts_of(arch, sought, 0)), 20):
        rows = mask["conv.weight"].flatten(1).float().mean(1)
        assert set(rows.tolist()) <= {0.0, 1.0}
        assert int(rows.sum()) <= before
        before = int(rows.sum())
    assert before == 2  # 4, then 4 - 1.2 ~ 3, then 3 - 0.9 ~ 2
    assert mask.count("head.weight") == 12, "a rate of 0 keeps a tensor whole"


def test_unlike_groups_are_as_many_as_one_pruning_would_leave() -> None:
    """Channels of all layers in one pool: 7 of 6 weights, 5 of 7 and 3 of 5, so that no count of weights is sure."""
    arch = kind("mlp")[0]
    sought = search(arch, "gradual", PruneRule(rate=0.4, structure="channels", allocation="global"))
    found = []
    for iteration, (mask,) in walk(mover("mlp", sought, long(), starts_of(arch, sought, 0)), 20):
        rows = [row for bits in mask.values() for row in bits.flatten(1).float().mean(1).tolist()]
        assert set(rows) <= {0.0, 1.0}
        weights = cubic(92, 31, iteration)  # 5 of 15 groups are 30.7 of 92 weights
        assert sum(rows) == math.floor(Fraction(weights * 15, 92) + Fraction(1, 2))
        found.append(mask.count())
    assert sum(rows) == 5  # 15, then 9, then 9 - 3.6 = 5.4 ~ 5
    assert found[-1] != 31


@pytest.mark.parametrize("allocation", ["layerwise", "global", "erk"])
@pytest.mark.parametrize("name", ["set", "rigl"])
@pytest.mark.parametrize("what", WHAT)
def test_dynamic_masks_keep_the_count_of_every_layer(what: str, name: str, allocation: str) -> None:
    arch = kind(what)[0]
    sought = search(arch, name, PruneRule(rate=0.5, allocation=allocation))
    starts = starts_of(arch, sought, 0, 1)
    first = [s.mask.counts() for s in starts]
    counts = sought.goal.counts
    assert all(sum(c.values()) == sum(counts.values()) for c in first)
    if allocation != "global":
        assert first[0] == first[1] == counts
    before = [s.mask for s in starts]
    changed = []
    for iteration, masks in walk(mover(what, sought, long(), starts), 20):
        assert [mask.counts() for mask in masks] == first
        changed += [iteration] if masks != before else []
        before = masks
    assert set(changed) <= {2, 4, 6, 8, 10, 12, 14}, "every 2 steps, while less than 15 of 20 are over"
    assert {2, 4} <= set(changed)


@pytest.mark.parametrize("chosen", RECIPES)
@pytest.mark.parametrize("name", ["gradual", "set", "rigl"])
@pytest.mark.parametrize("what", WHAT)
def test_dead_weights_and_their_optimizer_state_are_zero(what: str, name: str, chosen: str) -> None:
    arch = kind(what)[0]
    sought = search(arch, name)
    trainer = mover(what, sought, RECIPES[chosen], starts_of(arch, sought, 0, 1))
    for _, masks in walk(trainer, 20):
        for r, mask in enumerate(masks):
            for layer, living in mask.items():
                param = trainer.stack.params[layer]
                held = [s for s in trainer.steps.optimizer.state[param].values() if s.shape == param.shape]
                assert len(held) == (1 if chosen == "sgd" else 2)
                for tensor in (param.detach(), *held):
                    assert (tensor[r][~living] == 0).all()
                    if layer != "idle.weight":
                        assert (tensor[r][living] != 0).any()


def at_first_move(
    name: str, chosen: Recipe = SGD
) -> tuple[MovingMasks, Start, Mask, dict[str, torch.Tensor]]:
    """A search that moves once, at step 4, just before it; its start, first mask and weights."""
    arch = kind("mlp")[0]
    sought = search(arch, name, every=4, until=0.4, fraction=1.0)
    (begin,) = starts_of(arch, sought, 0)
    trainer = mover("mlp", sought, chosen, [begin])
    assert trainer.points == [4]
    trainer.advance(0, 4)
    held = {layer: trainer.stack.params[layer][0].clone() for layer in trainer.stack.params}
    return trainer, begin, trainer.masks()[0], held


@pytest.mark.usefixtures("float64")
def test_rigl_grows_where_the_gradient_of_the_batch_is_largest() -> None:
    trainer, _, before, held = at_first_move("rigl", long(optimizer="sgd", lr=0.1))
    # The same gradient by plain torch, of all weights, on the batch of step 4.
    leaves = {name: value.clone().requires_grad_() for name, value in held.items()}
    rows = trainer.steps.batches.at(4)
    x, y = trainer.steps.data.train(rows)[0], trainer.steps.data.train_y[rows][0]
    for layer in ("fc1", "fc2"):
        x = F.linear(x, leaves[f"{layer}.weight"], leaves[f"{layer}.bias"]).relu()
    F.cross_entropy(F.linear(x, leaves["out.weight"], leaves["out.bias"]), y).backward()
    trainer.advance(4, 5)
    moved = 0
    for name, after in trainer.masks()[0].items():
        living, weight = before[name].numpy().ravel(), held[name].numpy().ravel()
        gradient = leaves[name].grad
        assert gradient is not None
        slope = gradient.abs().numpy().ravel()
        number = math.floor(living.sum() / 2 + 0.5)  # half a cosine from all at 0 to none at 8: half at 4
        order = np.argsort(np.where(living, np.abs(weight), np.inf), kind="stable")
        left = living.copy()
        left[order[:number]] = False
        grown = np.argsort(np.where(left, -np.inf, slope), kind="stable")[::-1][:number]
        left[grown] = True
        assert np.array_equal(after.numpy().ravel(), left), name
        moved += number
    assert moved >= 3


@pytest.mark.parametrize("name", ["set", "rigl"])
def test_what_grows_starts_at_zero_and_what_stays_stays(name: str) -> None:
    trainer, _, before, held = at_first_move(name)
    trainer._move(4)
    (after,) = trainer.masks()
    assert after != before
    for layer, living in after.items():
        param = trainer.stack.params[layer].detach()[0]
        velocity = trainer.steps.optimizer.state[trainer.stack.params[layer]]["momentum_buffer"][0]
        fresh, kept = living & ~before[layer], living & before[layer]
        assert (param[fresh] == 0).all()
        assert (velocity[fresh] == 0).all()
        assert torch.equal(param[kept], held[layer][kept])
        assert (velocity[kept] != 0).any()
        assert (param[~living] == 0).all()


@pytest.mark.parametrize("name", ["set", "rigl"])
def test_what_grows_has_the_first_step_size_of_rprop(name: str) -> None:
    trainer, _, before, _ = at_first_move(name, long(optimizer="torch.optim:Rprop", lr=0.01))
    trainer._move(4)
    (after,) = trainer.masks()
    for layer, living in after.items():
        size = trainer.steps.optimizer.state[trainer.stack.params[layer]]["step_size"][0]
        anew = ~(living & before[layer])  # now, or whenever one that is dead grows
        assert torch.equal(size[anew].unique(), torch.tensor([0.01]))


def test_a_move_by_gradient_stands_for_the_step_and_a_random_one_does_not() -> None:
    for name, stands in (("rigl", True), ("set", False)):
        trainer, _, before, held = at_first_move(name)
        trainer.advance(4, 5)
        (after,) = trainer.masks()
        both = after["fc1.weight"] & before["fc1.weight"]
        same = torch.equal(trainer.stack.params["fc1.weight"].detach()[0][both], held["fc1.weight"][both])
        assert same is stands


def test_set_replaces_the_smallest() -> None:
    trainer, _, before, held = at_first_move("set")
    trainer._move(4)
    for name, after in trainer.masks()[0].items():
        gone = before[name] & ~after
        staying = before[name] & after
        if gone.any():
            number = math.floor(before.count(name) / 2 + 0.5)
            largest_dropped = held[name][before[name]].abs().sort().values[number - 1]
            assert (held[name][gone].abs() <= largest_dropped).all()
            assert (held[name][staying].abs() >= held[name][gone].abs().min()).any()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["gradual", "set", "rigl"])
def test_a_network_does_not_depend_on_who_is_in_its_stack(name: str) -> None:
    arch = kind("odd")[0]
    sought = search(arch, name)
    together = mover("odd", sought, long(), starts_of(arch, sought, 0, 1, 2))
    alone = mover("odd", sought, long(), starts_of(arch, sought, 1))
    for trainer in (together, alone):
        trainer.advance(0, 20)
    assert together.masks()[1] == alone.masks()[0]
    assert together.masks()[1] != together.masks()[0]
    again = mover("odd", sought, long(), starts_of(arch, sought, 1))
    for begin, end in ((0, 3), (3, 4), (4, 4), (4, 20)):
        again.advance(begin, end)
    assert again.masks() == alone.masks(), "however it is cut into pieces"


@pytest.mark.parametrize("name", ["gradual", "set", "rigl"])
def test_a_network_that_diverged_keeps_its_mask_and_the_others_go_on(name: str) -> None:
    arch = kind("odd")[0]
    sought = search(arch, name)
    starts = starts_of(arch, sought, 0, 1)
    trainer, undisturbed = (mover("odd", sought, long(), starts) for _ in range(2))
    trainer.stack.params["conv.weight"][0, 0] = torch.nan
    for each in (trainer, undisturbed):
        each.advance(0, 20)
    assert trainer.masks()[0] == starts[0].mask
    assert trainer.masks()[1] == undisturbed.masks()[1] != starts[1].mask


@pytest.mark.parametrize("name", ["gradual", "set", "rigl"])
def test_recorded_steps_see_the_moving_masks(name: str) -> None:
    """As on a GPU: all that a step reads is changed in place, so that a recorded one does what one by one does."""
    arch = kind("mlp")[0]
    sought = search(arch, name)
    plain, recorded = (mover("mlp", sought, SGD, starts_of(arch, sought, 0, 1)) for _ in range(2))
    steps = recorded.steps
    recorded.steps = Graphed(steps.engine, steps.course, lambda step, device: step)
    for trainer in (plain, recorded):
        trainer.advance(0, 20)
    assert plain.masks() == recorded.masks()
    for layer, param in plain.stack.params.items():
        assert torch.equal(param, recorded.stack.params[layer])


def test_the_engine_that_cuts_dead_units_out_leaves_them_in_when_masks_move() -> None:
    """Of a unit without living weights the gradients are asked for too: it may come to life."""
    arch, data, _ = kind("mlp")
    bits = {name: torch.ones(arch.shapes[name], dtype=torch.bool) for name in arch.prunable}
    bits["fc2.weight"][:, :5] = False  # from 5 of 7 units nothing leads on
    x, y = data.train(torch.arange(8)[None]), data.train_y[:8][None]
    gradients = []
    for name, moving in (("mlp", True), ("modules", True), ("modules", False)):
        stack = Stack(arch, [start(arch, 0, Mask(bits))], CPU, moving)
        ENGINES[name](Job(arch, stack, [0], [1])).backward(x, y, 0)
        gradient = stack.params["fc2.weight"].grad
        assert gradient is not None
        gradients.append(gradient[0, :, :5].clone())
    assert (gradients[0] != 0).any()
    torch.testing.assert_close(gradients[0], gradients[1])
    assert (gradients[2] == 0).all(), "or this shows nothing"
