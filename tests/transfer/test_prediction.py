"""Membership told from other replicates: scores by hand, and worlds in which it can and cannot be told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from support.transfer_parts import random_mask
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.models.state import State
from tombola.seeds import Seeds, stream
from tombola.transfer.features import AT_START, VOTES, Young, seen
from tombola.transfer.prediction import (
    SHUFFLED,
    Aligned,
    Finding,
    Told,
    auc,
    brier,
    cross_validated,
    reliability,
    tables_for,
)
from tombola.transfer.predictor import fit, predicted_mask

ARCH = architecture("lenet-10", (8,), 4)


def bits(*values: int) -> Any:
    return np.array(values, dtype=bool)


def test_auc_by_hand() -> None:
    assert auc(np.array([1.0, 2, 3, 4]), bits(0, 0, 1, 1)) == 1
    assert auc(np.array([1.0, 2, 3, 4]), bits(1, 1, 0, 0)) == 0
    # Of the pairs (3 over 1), (3 over 4), (2 over 1), (2 over 4) two are in order.
    assert auc(np.array([1.0, 2, 3, 4]), bits(0, 1, 1, 0)) == 0.5
    assert auc(np.array([1.0, 1, 2]), bits(0, 1, 1)) == 0.75, "a tie is half"
    assert auc(np.ones(3), bits(1, 1, 1)) is None


def test_brier_and_reliability_by_hand() -> None:
    chances, lives = np.array([0.0, 0.05, 0.5, 1.0]), bits(0, 1, 1, 1)
    assert brier(chances, lives) == pytest.approx((0.95**2 + 0.25) / 4)
    assert reliability(chances, lives) == [
        (0, 2, pytest.approx(0.025), 0.5),
        (5, 1, 0.5, 1.0),
        (9, 1, 1.0, 1.0),
    ]


def replicate(r: int, mask: Mask | None = None) -> Told:
    """A replicate whose ticket is its largest third, where no mask is given."""
    state = ARCH.initial(stream(r, "state"))
    return Told(r, seen(ARCH, Young(state, state)), mask or largest(state), Seeds.single(r))


def largest(state: State) -> Mask:
    return Mask(
        {name: state[name].abs() >= state[name].abs().quantile(2 / 3) for name in ARCH.prunable_shapes}
    )


def as_they_are(told: list[Told]) -> Aligned:
    return {(a.replicate, b.replicate): b.mask for a in told for b in told if a is not b}


def mean(findings: list[Finding], by: str, quantity: str, layer: str = "all", feature: str = "") -> float:
    values = [
        each.value
        for each in findings
        if (each.by, each.quantity, each.layer, each.feature) == (by, quantity, layer, feature)
    ]
    return float(np.mean(values))


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_what_can_be_told_is_told(kind: Any) -> None:
    told = [replicate(r) for r in range(4)]
    findings, reliable = cross_validated(ARCH, told, as_they_are(told), [kind])
    assert mean(findings, kind, "auc") > 0.95
    assert mean(findings, AT_START, "auc") == 1
    assert 0.2 < mean(findings, SHUFFLED, "auc") < 0.8
    assert mean(findings, kind, "brier") < mean(findings, kind, "brier of the share") / 2
    sizes = [each.weights for each in reliable if each.replicate == 2]
    assert sum(sizes) == 120, "every weight has one chance"
    assert all(abs(each.said - each.tenth / 10 - 0.05) <= 0.0501 for each in reliable)


def test_of_random_tickets_nothing_is_told() -> None:
    """Also where they vote: a ticket among its own voters, or one that a model was fitted on, would be known."""
    told = [replicate(r, random_mask(ARCH, 0.3, r)) for r in range(8)]
    findings, _ = cross_validated(ARCH, told, as_they_are(told))
    for by in ("logistic", "boosting"):
        assert 0.4 < mean(findings, by, "auc") < 0.6


def test_one_ticket_for_all_is_told_by_the_votes() -> None:
    same = random_mask(ARCH, 0.3, 7)
    told = [replicate(r, same) for r in range(3)]
    findings, _ = cross_validated(ARCH, told, as_they_are(told), ["logistic"])
    assert mean(findings, "logistic", "auc") == 1
    lost = [mean(findings, "logistic", "importance", "fc1.weight", name) for name in (VOTES, AT_START)]
    assert lost[0] > 0.3 > abs(lost[1])


def test_nobody_votes_for_itself() -> None:
    """Ticket b has one column of fc1 alive, the b-th: the votes at an input tell who voted."""
    told = []
    for b in range(4):
        mask = {name: torch.zeros(shape, dtype=torch.bool) for name, shape in ARCH.prunable_shapes.items()}
        mask["fc1.weight"][:, b] = True
        told.append(replicate(b, Mask(mask)))
    known, table = tables_for(ARCH, told[0], told[1:], as_they_are(told))

    def voters(features: Any) -> list[int]:
        return np.flatnonzero(features["fc1.weight"].column(VOTES).reshape(10, 8)[0]).tolist()

    assert voters(table) == [1, 2, 3]
    assert [voters(features) for features, _ in known] == [[2, 3], [1, 3], [1, 2]]


def test_a_layer_of_one_fate_has_no_auc() -> None:
    told = [replicate(r) for r in range(3)]
    whole = {"out.weight": torch.ones(4, 10, dtype=torch.bool)}
    told = [replicate(each.replicate, Mask({**each.mask, **whole})) for each in told]
    findings, _ = cross_validated(ARCH, told, as_they_are(told), ["logistic"])
    assert {each.layer for each in findings if each.quantity == "auc"} == {"fc1.weight", "all"}
    model = fit("logistic", [(each.table, each.mask) for each in told], stream("fit"))
    assert set(model.chances(told[0].table)["out.weight"].tolist()) == {1.0}


def test_the_likeliest_at_exact_counts() -> None:
    like = random_mask(ARCH)
    rng = stream("chances")
    chances = {name: rng.random(like.size(name)) for name in like}
    counts = {"fc1.weight": 7, "out.weight": 0}
    mask = predicted_mask(chances, like, counts, rng)
    assert mask.counts() == counts
    living = mask["fc1.weight"].reshape(-1).numpy()
    assert chances["fc1.weight"][living].min() > chances["fc1.weight"][~living].max()


def test_two_replicates_do_not_do() -> None:
    told = [replicate(r) for r in range(2)]
    with pytest.raises(UserError, match="3 replicates"):
        cross_validated(ARCH, told, as_they_are(told))
