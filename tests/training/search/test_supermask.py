"""Scores over frozen weights, step by step: edge-popup and supermasks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from support.no_sync import NoReadingMethod, NoReadingOperation
from support.rounding import assert_same_in_double
from support.score_parts import BOTH, LEVEL, long, scorer, search, starts_of
from support.training_parts import dense, kind, same
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule
from tombola.training.search.base import SEARCHES
from tombola.training.search.supermask import Contest, ScoreSteps


def contest(order: list[list[int]], count: int) -> Contest:
    return Contest(["a", "b"], count, torch.tensor(order))


def picked(found: dict[str, Tensor]) -> list[list[bool]]:
    return torch.cat([found["a"].flatten(1), found["b"].flatten(1)], 1).tolist()


def test_the_highest_scores_by_hand() -> None:
    scores = {
        "a": torch.tensor([[[0.3, -1.0]], [[5.0, 2.0]]]),
        "b": torch.tensor([[0.2, 0.9, -0.5], [3.0, 1.0, 4.0]]),
    }
    found = contest([[0, 1, 2, 3, 4]] * 2, 2).highest(scores)
    assert found["a"].shape == scores["a"].shape
    assert picked(found) == [[True, False, False, True, False], [True, False, False, False, True]]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_ties_go_by_the_order(count: int) -> None:
    """Of 9 1 1 1 0 the ones stand in the order 3, 1, 2 in the first network and 2, 3, 1 in the second."""
    scores = {"a": torch.tensor([[9.0, 1.0]] * 2), "b": torch.tensor([[1.0, 1.0, 0.0]] * 2)}
    places = [[0, 3, 1, 2, 4], [0, 2, 3, 1, 4]]
    found = picked(contest([[4, 3, 1, 2, 0], [0, 2, 4, 3, 1]], count).highest(scores))
    assert found == [[i in row[:count] for i in range(5)] for row in places]


def test_scores_that_are_not_numbers_come_last() -> None:
    scores = {"a": torch.tensor([[math.nan, -3.0]]), "b": torch.tensor([[math.nan, -4.0, -math.inf]])}
    assert picked(contest([[0, 1, 2, 3, 4]], 2).highest(scores)) == [[False, True, False, True, False]]


def forward(x: Tensor, params: dict[str, Tensor]) -> Tensor:
    """Of lenet-7-5: three Linear layers, ReLU between them."""
    names = [name for name in params if name.endswith("weight")]
    for name in names:
        x = F.linear(x, params[name], params[name.replace("weight", "bias")])
        x = x if name == names[-1] else x.relu()
    return x


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("what", ["mlp", "mlp by module"])
@pytest.mark.parametrize(
    ("name", "rescale"), [("edge-popup", False), ("supermask", False), ("supermask", True)]
)
def test_two_steps_follow_the_formulas(what: str, name: str, rescale: bool) -> None:
    """Autograd through w * (m + straight-through term), then momentum and decay by hand."""
    arch = kind(what)[0]
    options: dict[str, Any] = {
        "lr": 0.7,
        "momentum": 0.5,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "rescale": rescale,
    }
    sought = search(arch, name, **options)
    steps = scorer(what, sought, starts_of(arch, sought, 0, 1))
    weights = {n: t.clone() for n, t in steps.frozen.items()}
    scores = {n: t.clone() for n, t in steps.scores.items()}
    others = {n: t.clone() for n, t in steps.stack.params.items() if n not in weights}
    velocity = {n: torch.zeros_like(t) for n, t in scores.items()}
    for t in range(2):
        masks = {n: m.clone() for n, m in sought.method.drawn(steps, t).items()}  # type: ignore[attr-defined]
        rows = steps.batches.at(t)
        steps.advance(t, t + 1)
        for r in (0, 1):
            leaves = {n: s[r].clone().requires_grad_() for n, s in scores.items()}
            params = {n: b[r] for n, b in others.items()}
            for n, leaf in leaves.items():
                soft = leaf if name == "edge-popup" else torch.sigmoid(leaf)
                through = masks[n][r].float() + soft - soft.detach()
                factor = masks[n][r].numel() / masks[n][r].sum() if rescale else 1.0
                params[n] = weights[n][r] * through * factor
            x, y = steps.data.train(rows[r]), steps.data.train_y[rows[r]]
            loss = F.cross_entropy(forward(x, {n: params[n] for n in steps.stack.params}), y)
            for n, gradient in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
                velocity[n][r] = 0.5 * velocity[n][r] + gradient + 0.01 * scores[n][r]
                scores[n][r] -= 0.7 * 0.5 * (1 + math.cos(math.pi * t / 20)) * velocity[n][r]
        for n in scores:
            torch.testing.assert_close(steps.scores[n], scores[n])
            scores[n] = steps.scores[n].clone()  # so that rounding does not choose another mask


def walked(
    what: str, name: str, rule: PruneRule | None = None, *replicates: int, **options: Any
) -> ScoreSteps:
    arch = kind(what)[0]
    sought = search(arch, name, rule, **options)
    return scorer(what, sought, starts_of(arch, sought, *(replicates or (0, 1))))


@pytest.mark.parametrize("allocation", ["layerwise", "global", "erk"])
@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("what", ["mlp", "odd"])
def test_counts_are_exact_and_weights_never_move(what: str, name: str, allocation: str) -> None:
    arch = kind(what)[0]
    rule = PruneRule(rate=0.5, allocation=allocation)
    steps = walked(what, name, rule, lr=3.0)
    counts = search(arch, name, rule).goal.counts
    initial = [steps.engine.stack.state(r) for r in (0, 1)]
    plain = [starts_of(arch, search(arch, name, rule), r)[0].state for r in (0, 1)]
    seen = []
    for iteration in range(20):
        for r, mask in enumerate(steps.masks()):
            assert mask.count() == sum(counts.values())
            if allocation != "global":
                assert mask.counts() == counts
            held = steps.stack.state(r)
            for n in steps.stack.params:
                if n not in mask:
                    assert torch.equal(held[n], plain[r][n]), "biases and norms stay"
                    continue
                scale = mask.size(n) / max(mask.count(n), 1) if name == "supermask" else 1.0
                factor = torch.tensor(scale, dtype=torch.float32)
                assert torch.equal(held[n], torch.where(mask[n], plain[r][n] * factor, 0.0))
        seen.append(steps.masks())
        steps.advance(iteration, iteration + 1)
    assert seen[0] != seen[-1], "something is learnt"
    assert seen[-1][0] != seen[-1][1]
    if what == "odd":
        end = steps.stack.state(0)
        assert not torch.equal(end["norm.running_mean"], initial[0]["norm.running_mean"])


@pytest.mark.parametrize("name", BOTH)
def test_a_tensor_that_keeps_all_its_weights_has_no_scores(name: str) -> None:
    arch = kind("mlp")[0]
    rule = PruneRule(rate=0.5, rates={"output": 0.0})
    steps = walked("mlp", name, rule)
    steps.advance(0, 5)
    last = arch.prunable[-1]
    assert last not in steps.scores
    for r, mask in enumerate(steps.masks()):
        assert mask.density(last) == 1
        assert torch.equal(steps.stack.params[last][r], starts_of(arch, search(arch, name), r)[0].state[last])


@pytest.mark.parametrize("name", BOTH)
def test_where_all_weights_live_nothing_happens(name: str) -> None:
    arch = kind("mlp")[0]
    steps = walked("mlp", name, PruneRule(rate=0.5, rates={"linear": 0.0, "output": 0.0}))
    steps.advance(0, 3)
    assert steps.masks() == [dense(arch)] * 2
    assert same(steps.stack.state(1), starts_of(arch, search(arch, name), 1)[0].state)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", BOTH)
def test_a_network_does_not_depend_on_who_else_is_there(name: str) -> None:
    together, alone = walked("mlp by module", name, None, 0, 1), walked("mlp by module", name, None, 1)
    for steps in (together, alone):
        steps.advance(0, 20)
    assert_same_in_double(*(
        {n: scores[r] for n, scores in steps.scores.items()} for steps, r in ((alone, 0), (together, 1))
    ))  # fmt: skip
    for n, scores in alone.scores.items():
        assert not torch.equal(scores[0], together.scores[n][0])
    assert alone.masks()[0] == together.masks()[1]


def test_weights_live_with_their_chance() -> None:
    """42 places x 2 networks x 2000 steps: means within 5 deviations of the chances."""
    steps = walked("mlp", "supermask")
    name = next(iter(steps.scores))
    scores = torch.linspace(-3, 3, 42).view(7, 6)
    steps.scores[name].copy_(scores.expand(2, 7, 6))
    draws = torch.stack([steps.at_random(t)[name] for t in range(2000)]).double()
    chance = 1 / (1 + (-scores.double()).exp())
    off = (draws.mean(0) - chance).abs() / (chance * (1 - chance) / 2000).sqrt()
    assert off.max() < 5
    assert not torch.equal(draws[:, 0], draws[:, 1]), "networks draw for themselves"
    both = (draws[1:] * draws[:-1]).mean(0) - chance**2
    assert both.abs().max() < 5 * math.sqrt(0.25 / 1999), "and steps too"
    other = next(n for n in steps.scores if n != name)
    assert not torch.equal(
        steps.at_random(0)[other][0].flatten()[:15], steps.at_random(0)[name][0].flatten()[:15]
    )


def test_chances_begin_at_the_density_and_masks_at_random() -> None:
    steps = walked("mlp", "supermask")
    goal = search(kind("mlp")[0], "supermask").goal
    for name, score in steps.scores.items():
        density = goal.counts[name] / score[0].numel()
        torch.testing.assert_close(score.sigmoid(), torch.full_like(score, density))
    first, second = steps.masks()
    assert first != second


def test_scores_of_edge_popup_begin_within_the_bound_of_the_fan_in() -> None:
    steps = walked("odd", "edge-popup")
    for name, fan_in in {"conv.weight": 2 * 9, "depth.weight": 9, "fc.weight": 4}.items():
        scores = steps.scores[name]
        assert scores.abs().max() <= 1 / math.sqrt(fan_in)
        assert scores.abs().max() > 0.6 / math.sqrt(fan_in)
        assert scores.min() < 0 < scores.max()


@pytest.mark.parametrize("name", BOTH)
def test_scores_that_are_lost_are_a_divergence(name: str) -> None:
    steps = walked("mlp", name)
    next(iter(steps.scores.values()))[1, 0, 0] = torch.inf
    steps.advance(0, 1)
    sound = [all(bool(t.isfinite().all()) for t in steps.stack.state(r).values()) for r in (0, 1)]
    assert sound == [True, False]
    assert all(isinstance(mask, Mask) for mask in steps.masks())


@pytest.mark.parametrize("name", BOTH)
def test_steps_say_no_word_to_the_host(name: str) -> None:
    steps = walked("mlp", name)
    with NoReadingOperation(), NoReadingMethod():
        steps.advance(0, 3)


def test_levels_draw_for_themselves() -> None:
    arch = kind("mlp")[0]
    for name in BOTH:
        sought = search(arch, name)
        (start,) = starts_of(arch, sought, 0)
        other = type(start)(start.state, start.mask, start.seeds, LEVEL + 1)
        a, b = (scorer("mlp", sought, [s]) for s in (start, other))
        assert a.masks() != b.masks()


REFUSED = [
    (PruneRule(criterion="snip"), "found criterion 'snip'; leave it out"),
    (PruneRule(structure="channels"), "found structure 'channels'; expected structure = 'weights'"),
]


@pytest.mark.parametrize(("rule", "words"), REFUSED)
@pytest.mark.parametrize("name", BOTH)
def test_what_cannot_work_is_refused(name: str, rule: PruneRule, words: str) -> None:
    with pytest.raises(UserError, match=words):
        SEARCHES[name]().require(rule, long())
    SEARCHES[name]().require(PruneRule(allocation="global"), long())
