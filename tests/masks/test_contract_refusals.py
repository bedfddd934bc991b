"""What every criterion x allocation x structure must refuse with a sentence, on an MLP and a conv net."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from support.mask_networks import Net, net
from support.mask_rules import (
    MATRIX,
    RULES,
    both_nets,
    every_part,
    every_rule,
    has_ratio,
    once,
    over,
    rates,
    refused,
)
from tombola.errors import UserError
from tombola.masks.criteria import CRITERIA
from tombola.masks.ladder import ladder
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.masks.structure import structure
from tombola.seeds import stream


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rounds where a criterion takes a hundred: what happens in them is the same."""
    for name in CRITERIA:
        facts = CRITERIA.facts(name)
        about = replace(CRITERIA._about[name], facts={**facts, "rounds": min(facts["rounds"], 3)})
        monkeypatch.setitem(CRITERIA._about, name, about)


@every_rule
@both_nets
def test_more_than_lives_cannot_be_kept(rule: PruneRule, of: Net) -> None:
    whole = ladder(of.shapes, rates(of, rule), rule.allocation, 0, rule.structure)[0]
    for label, count in whole.items():
        with pytest.raises(
            UserError, match=f"count to keep in '{label}' is {count + 1}, expected 0 to {count}"
        ):
            Pruner(rule, rates(of, rule), stream(0), of.probe).to_counts(
                of.dense, of.state(0), of.state(1), whole | {label: count + 1}
            )
    thin = once(of, rule, of.dense)
    with pytest.raises(UserError, match=r"count to keep in '.*' is \d+, expected 0 to \d+"):
        Pruner(rule, rates(of, rule), stream(0), of.probe).to_counts(thin, of.state(0), of.state(1), whole)


@every_part
@both_nets
def test_a_score_that_is_not_finite_is_told_unless_the_weight_is_dead(rule: PruneRule, of: Net) -> None:
    hit = next(iter(of.shapes))
    for broken in (math.nan, math.inf):
        initial, final = of.state(0), of.state(1)
        initial[hit].view(-1)[3] = final[hit].view(-1)[3] = broken
        if rule.criterion == "random":
            once(of, rule, of.dense, initial=initial, final=final)
            continue
        with pytest.raises(UserError, match=r"\d+ of \d+ scores of '.*' are not finite"):
            once(of, rule, of.dense, initial=initial, final=final)
        if structure(rule.structure).most is None and rule.allocation in ("layerwise", "global"):
            alive = Mask({name: initial[name].isfinite() for name in of.shapes})
            assert once(of, rule, alive, initial=initial, final=final) <= alive


@every_part
@both_nets
def test_states_and_rates_that_do_not_fit_are_told(rule: PruneRule, of: Net) -> None:
    good, hit = of.state(0), next(iter(of.shapes))
    lacking = {key: value for key, value in good.items() if key != hit}
    with pytest.raises(UserError, match=f"final state lacks '{hit}'"):
        once(of, rule, of.dense, final=lacking)
    with pytest.raises(UserError, match=f"initial state lacks '{hit}'"):
        once(of, rule, of.dense, initial=lacking)
    with pytest.raises(UserError, match=f"final state: '{hit}' has shape .*, expected "):
        once(of, rule, of.dense, final=good | {hit: torch.zeros(3)})
    some = rates(of, rule)

    def call(rates: dict[str, float]) -> Mask:
        return Pruner(rule, rates, stream(0), of.probe).by_rate(of.dense, good, good)

    with pytest.raises(UserError, match=f"pruning rates lack '{hit}'"):
        call({key: rate for key, rate in some.items() if key != hit})
    for rate in (-0.1, 1.0, math.nan):
        with pytest.raises(UserError, match=f"pruning rate of '{hit}' is .*, expected 0 to below 1"):
            call(some | {hit: rate})
    with pytest.raises(UserError, match=r"count to keep in '.*' is none, expected 0 to"):
        Pruner(rule, some, stream(0), of.probe).to_counts(of.dense, good, good, {})


@pytest.mark.parametrize(("criterion", "allocation", "kind"), [row for row in MATRIX if refused(*row)])
def test_what_cannot_combine_is_refused_with_a_sentence(criterion: str, allocation: str, kind: str) -> None:
    for name in ("mlp", "conv"):
        with pytest.raises(ValueError, match=r"structure '2:4'[\s\S]*; expected "):
            once(
                net(name),
                PruneRule(criterion=criterion, allocation=allocation, structure=kind),
                net(name).dense,
            )


@over([rule for rule in RULES if CRITERIA.facts(rule.criterion)["probe"]])
@both_nets
def test_a_criterion_that_needs_a_probe_says_so(rule: PruneRule, of: Net) -> None:
    with pytest.raises(
        UserError, match=f"criterion '{rule.criterion}' looks at the network .* expected a probe"
    ):
        Pruner(rule, rates(of, rule), stream(0)).by_rate(of.dense, of.state(0), of.state(1))


@over([rule for rule in RULES if not has_ratio(rule) and rule.allocation in ("uniform", "erk")])
@both_nets
def test_densities_that_a_mask_does_not_have_are_refused_with_the_tensor(rule: PruneRule, of: Net) -> None:
    first, *_ = of.shapes
    thin = Mask(
        {
            key: torch.zeros(shape) > 0 if key == first else torch.ones(shape) > 0
            for key, shape in of.shapes.items()
        }
    )
    with pytest.raises(
        UserError, match=f"{rule.allocation} allocation asks '{first}' to keep .*, but only 0 live"
    ):
        once(of, rule, thin)
