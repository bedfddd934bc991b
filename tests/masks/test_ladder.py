"""The density ladders the papers print, from sizes and rates alone."""

from __future__ import annotations

import pytest

from tombola.errors import UserError
from tombola.masks.ladder import ladder
from tombola.masks.rule import PruneRule, rates_for
from tombola.models.architecture import architecture

# F19: rates of Figure 2, half the rate for the output layer; percentages printed in the text and captions.
LENET = {3: 51.3, 7: 21.1, 9: 13.5, 12: 7.0, 15: 3.6, 16: 2.9, 18: 1.9}
# The same ladder to two digits, from the rates by pencil: 0.8**k of 265,200 weights and 0.9**k of 1,000.
LENET_FINE = {1: 80.04, 2: 64.06, 4: 41.05, 7: 21.07, 10: 10.83, 15: 3.58, 18: 1.85, 20: 1.19}
CONV = {"conv": 0.1, "output": 0.1}


def densities(name: str, shape: tuple[int, ...], rates: dict[str, float], levels: int) -> list[float]:
    """Percent of weights alive at each level."""
    arch = architecture(name, shape, 10)
    module = dict(arch.build().named_parameters())
    sizes = {weight: module[weight].numel() for weight in arch.prunable}
    rungs = ladder(sizes, rates_for(PruneRule(rates=rates), arch.roles), "layerwise", levels)
    return [100 * sum(rung.values()) / sum(sizes.values()) for rung in rungs]


@pytest.mark.parametrize(("printed", "digits"), [(LENET, 1), (LENET_FINE, 2)])
def test_lenet(printed, digits) -> None:
    found = densities("lenet-300-100", (1, 28, 28), {"output": 0.1}, 20)
    assert found[0] == 100
    assert {level: round(found[level], digits) for level in printed} == printed


@pytest.mark.parametrize(
    ("name", "rates", "printed", "digits"),
    [
        ("conv-2", CONV, {6: 26.47, 7: 21.23, 11: 8.81, 14: 4.57, 16: 2.97}, 2),
        ("conv-4", CONV, {11: 11.06, 12: 9.18, 13: 7.65, 15: 5.37}, 2),
        # The printed 26.4 and 15.1 do not follow from the stated rates; 26.6 and 15.3 do.
        ("conv-6", {"conv": 0.15, "output": 0.1}, {7: 26.6, 10: 15.3}, 1),
    ],
)
def test_conv(name, rates, printed, digits) -> None:
    found = densities(name, (3, 32, 32), rates, max(printed))
    assert {level: round(found[level], digits) for level in printed} == printed


def test_a_layerwise_ladder_by_hand() -> None:
    # 10 -> 8 -> 8 - 2 (1.6 + 0.5) -> 6 - 1 (1.2 + 0.5); 5 -> 5 - 1 (0.5 + 0.5) -> 4 - 0 (0.4 + 0.5) -> 4.
    rungs = ladder({"fc": 10, "out": 5}, {"fc": 0.2, "out": 0.1}, "layerwise", 3)
    assert rungs == [{"fc": 10, "out": 5}, {"fc": 8, "out": 4}, {"fc": 6, "out": 4}, {"fc": 5, "out": 4}]


def test_a_global_ladder_gives_the_totals_of_the_pool() -> None:
    # 15 -> 12 -> 12 - 2 (2.4 + 0.5); what stays out is counted under its own name.
    rungs = ladder({"fc": 10, "conv": 5, "out": 3}, {"fc": 0.2, "conv": 0.2, "out": 0.0}, "global", 2)
    assert rungs == [{"global": 15, "out": 3}, {"global": 12, "out": 3}, {"global": 10, "out": 3}]


def test_resnet_20_of_the_paper_is_a_global_ladder() -> None:
    # F19, appendix I.3: 267,696 prunable, 2,560 shortcut and 640 output weights that are never pruned.
    sizes = {"convs": 267_696, "shortcuts": 2_560, "out": 640}
    rungs = ladder(sizes, {"convs": 0.2, "shortcuts": 0.0, "out": 0.0}, "global", 10)
    found = [round(100 * sum(rung.values()) / 270_896, 2) for rung in rungs]
    assert (found[4], found[6], found[7], found[10]) == (41.66, 27.09, 21.91, 11.79)


def test_a_ladder_that_empties_a_layer_is_refused_with_its_level() -> None:
    # 3 -> 3 - 2 (1.8 + 0.5) -> 1 - 1 (0.6 + 0.5).
    with pytest.raises(
        UserError, match=r"level 2 would remove the last weights of 'out' \(1 left, rate 0.6\)"
    ):
        ladder({"fc": 100, "out": 3}, {"fc": 0.1, "out": 0.6}, "layerwise", 2)
    assert ladder({"fc": 100, "out": 3}, {"fc": 0.1, "out": 0.6}, "layerwise", 1)[-1]["out"] == 1


def test_a_ladder_needs_a_known_allocation_and_a_rate_for_each_tensor() -> None:
    with pytest.raises(UserError, match="unknown allocation 'layer-wise'; did you mean 'layerwise'"):
        ladder({"fc": 10}, {"fc": 0.2}, "layer-wise", 1)
    with pytest.raises(UserError, match="pruning rates lack 'fc'"):
        ladder({"fc": 10}, {}, "layerwise", 1)
