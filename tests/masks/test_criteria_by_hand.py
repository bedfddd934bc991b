"""Every criterion's scores on two layers, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tombola.errors import UserError
from tombola.masks.criteria import CRITERIA, Weights
from tombola.masks.mask import Mask
from tombola.masks.probe import Probe
from tombola.seeds import stream

NAN, INF = math.nan, math.inf

INITIAL = {"a": [[1.0, -2.0, 0.5, 3.0]], "b": [[-1.0], [4.0]]}
FINAL = {"a": [[-3.0, -1.0, 0.25, 3.5]], "b": [[2.0], [4.0]]}

FROM_WEIGHTS = {
    "large-final": {"a": [[3.0, 1.0, 0.25, 3.5]], "b": [[2.0], [4.0]]},
    "small-final": {"a": [[-3.0, -1.0, -0.25, -3.5]], "b": [[-2.0], [-4.0]]},
    "large-init": {"a": [[1.0, 2.0, 0.5, 3.0]], "b": [[1.0], [4.0]]},
    "small-init": {"a": [[-1.0, -2.0, -0.5, -3.0]], "b": [[-1.0], [-4.0]]},
    # Smaller ones among |initial| of a: 1, 2, 0, 3 of four; among |final|: 2, 1, 0, 3.
    "large-init-large-final": {"a": [[0.25, 0.25, 0.0, 0.75]], "b": [[0.0], [0.5]]},
    # Larger ones: 2, 1, 3, 0 and 1, 2, 3, 0.
    "small-init-small-final": {"a": [[0.25, 0.25, 0.75, 0.0]], "b": [[0.5], [0.0]]},
    "magnitude-increase": {"a": [[2.0, -1.0, -0.25, 0.5]], "b": [[1.0], [0.0]]},
    "movement": {"a": [[4.0, 1.0, 0.25, 0.5]], "b": [[3.0], [0.0]]},
    "large-final-same-sign": {"a": [[0.0, 1.0, 0.25, 3.5]], "b": [[0.0], [4.0]]},
    "large-final-diff-sign": {"a": [[3.0, 0.0, 0.0, 0.0]], "b": [[2.0], [0.0]]},
}

# Two linear layers without bias: input (1, 2), hidden a @ (1, 2) = (1, 2), logits b @ (1, 2) = (4, 4), label 0.
# Softmax is (1/2, 1/2), so the loss's slope by the logits is d = (-1/2, 1/2).
LINEAR = {"a": [[1.0, 0.0], [0.0, 1.0]], "b": [[2.0, 1.0], [1.0, 1.5]]}
# By b it is d x (1, 2); by a it is (d @ b) x (1, 2) with d @ b = (-1/2, 1/4).
GRADIENT = {"a": [[-0.5, -1.0], [0.25, 0.5]], "b": [[-0.5, -1.0], [0.5, 1.0]]}


def curvature() -> dict[str, list[list[float]]]:
    """w * Hg for GraSP, whose logits are divided by T = 200: d and the gradient g are too.

    Along g, hidden values move by g_a @ (1, 2) = (-5/2, 5/4) / T, and logits by g_b @ (1, 2) + b @ that, which is
    (-5/2 - 15/4, 5/2 - 5/8) / T = (-25/4, 15/8) / T. The softmax (1/2, 1/2) of logits / T moves by
    1/4 * (-25/4 - 15/8) / T**2 = -65/32 / T**2 in its first place and back in its second, and d by a T-th of it.
    """
    t = 200.0
    hidden, d = np.array([-5 / 2, 5 / 4]) / t, np.array([-1 / 2, 1 / 2]) / t
    d_moves = np.array([-65 / 32, 65 / 32]) / t**3
    b, b_moves = np.array(LINEAR["b"]), np.array(GRADIENT["b"]) / t
    h_b = np.outer(d_moves, [1, 2]) + np.outer(d, hidden)
    h_a = np.outer(b.T @ d_moves + b_moves.T @ d, [1, 2])
    return {"a": (np.eye(2) * h_a).tolist(), "b": (b * h_b).tolist()}


FROM_THE_NETWORK = {
    "gradient": {"a": [[0.5, 1.0], [0.25, 0.5]], "b": [[0.5, 1.0], [0.5, 1.0]]},
    "snip": {"a": [[0.5, 0.0], [0.0, 0.5]], "b": [[1.0, 1.0], [0.5, 1.5]]},
    "grasp": curvature(),
    # An input of ones: a weight times what reaches it times what leaves it. Columns of b add up to 3 and 5/2, rows
    # of a to 1.
    "synflow": {"a": [[3.0, 0.0], [0.0, 2.5]], "b": [[2.0, 1.0], [1.0, 1.5]]},
}


def tensors(values: dict[str, list[list[float]]]) -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


class Linear(nn.Module):
    """logits = b a x."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.a.T @ self.b.T


def test_every_criterion_is_worked_out_here() -> None:
    assert set(CRITERIA) == {*FROM_WEIGHTS, *FROM_THE_NETWORK, "random"}


@pytest.mark.parametrize("criterion", FROM_WEIGHTS)
def test_scores_of_weights(criterion: str) -> None:
    initial, final = tensors(INITIAL), tensors(FINAL)
    for name, expected in FROM_WEIGHTS[criterion].items():
        assert CRITERIA[criterion](Weights(initial[name], final[name], stream(0))).tolist() == expected


@pytest.mark.parametrize("criterion", FROM_THE_NETWORK)
def test_scores_in_a_network(criterion: str) -> None:
    state = tensors(LINEAR)
    mask = Mask({name: torch.ones(2, 2) > 0 for name in state})
    probe = Probe(Linear(), torch.tensor([[1.0, 2.0]]).double(), torch.tensor([0]), state, mask)
    for name, expected in FROM_THE_NETWORK[criterion].items():
        score = CRITERIA[criterion](Weights(state[name], state[name], stream(0), name, mask[name], probe))
        assert score.numpy() == pytest.approx(np.array(expected), rel=1e-12, abs=1e-20)


def test_grasp_by_hand_is_not_all_zero_and_has_both_signs() -> None:
    # b[0, 0]: 2 * (-65/32 / T**3 + (1/2 * 5/2) / T**2), which the second term decides: positive.
    # b[0, 1]: 1 * (2 * -65/32 / T**3 - (1/2 * 5/4) / T**2): negative.
    assert curvature()["b"][0] == pytest.approx(
        [2 * (-65 / 32 / 200**3 + 5 / 4 / 200**2), 2 * -65 / 32 / 200**3 - 5 / 8 / 200**2], rel=1e-12
    )


def test_percentiles_are_among_the_living() -> None:
    # Of the three that live, |initial| 1, 2, 3 and |final| 3, 1, 3.5: smaller ones 0, 1, 2 and 1, 0, 2.
    initial, final = tensors(INITIAL)["a"], tensors(FINAL)["a"]
    mask = torch.tensor([[True, True, False, True]])
    score = CRITERIA["large-init-large-final"](Weights(initial, final, stream(0), "a", mask))
    assert score[mask].tolist() == [0.0, 0.0, 2 / 3]


def test_a_weight_that_was_zero_has_neither_the_same_sign_nor_another() -> None:
    weights = Weights(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([2.0, -2.0, 0.0]), stream(0))
    for criterion in ("large-final-same-sign", "large-final-diff-sign"):
        assert CRITERIA[criterion](weights).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("criterion", FROM_WEIGHTS)
def test_a_broken_weight_has_a_broken_score(criterion: str) -> None:
    for value in (NAN, INF, -INF):
        broken = torch.tensor([1.0, value, 2.0]).double()
        score = CRITERIA[criterion](Weights(broken, broken, stream(0)))
        assert score.isfinite().tolist() == [True, False, True]


def test_random_scores_are_those_of_the_stream() -> None:
    zeros = torch.zeros(50, 40)
    one, same, other = (CRITERIA["random"](Weights(zeros, zeros, stream(seed))) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    # 2,000 uniform numbers: a mean beyond 0.46 .. 0.54 is more than six standard errors away.
    assert 0.46 < float(one.mean()) < 0.54


def test_what_a_criterion_needs_is_declared() -> None:
    found = {name: (CRITERIA.facts(name)["probe"], CRITERIA.facts(name)["rounds"]) for name in CRITERIA}
    assert found == {
        **dict.fromkeys([*FROM_WEIGHTS, "random"], (False, 1)),
        **dict.fromkeys(["gradient", "snip", "grasp"], (True, 1)),
        "synflow": (True, 100),
    }
    with pytest.raises(UserError, match="unknown criterion 'snap'; did you mean 'snip'"):
        CRITERIA.facts("snap")


def test_a_criterion_without_its_probe_says_so() -> None:
    with pytest.raises(UserError, match="looks at the network and its data"):
        CRITERIA["snip"](Weights(torch.ones(1), torch.ones(1), stream(0)))
