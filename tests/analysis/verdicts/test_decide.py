"""Decisions on results: what is paired, what is left out, Holm within families, calibration of the whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from scipy import stats

from support.simulated import (
    ACCURACY,
    DENSITIES,
    Place,
    claim,
    decide_all,
    frame_of,
    normal_pair,
    row,
    study_of,
)
from tombola.analysis.verdicts import wording
from tombola.analysis.verdicts.decide import decided
from tombola.analysis.verdicts.verdict import VERDICTS, Verdict
from tombola.errors import UserError
from tombola.runs.results import SCHEMA

RNG = np.random.default_rng
CLEAR = {(3, "ticket"): [0.95, 0.96, 0.97, 0.98, 0.99], (3, "reinit"): [0.90] * 5}


def one(study_claim: dict[str, object], frame: pl.DataFrame, replicates: int = 5) -> Verdict:
    [found] = decide_all(study_of(study_claim, replicates=replicates), frame)
    return found


def test_five_clear_replicates_are_a_yes_by_one_in_thirty_two() -> None:
    found = one(claim(), frame_of(CLEAR))
    answer = found
    assert (found.decision, found.p_holm, answer.p, answer.p_smallest) == (
        "yes",
        1 / 32,
        1 / 32,
        1 / 32,
    )
    assert (answer.n, found.planned, found.tests, answer.left_out) == (5, 5, 1, 0)
    assert answer.difference == pytest.approx(0.07)
    # deviation of 5, 6, 7, 8, 9 hundredths is sqrt(2.5); t(4, 97.5%) = 2.776445
    margin = 2.776445 * 0.01 * 2.5**0.5 / 5**0.5
    assert (answer.low, answer.high) == pytest.approx((0.07 - margin, 0.07 + margin))
    assert answer.effect == pytest.approx(7 / 2.5**0.5)
    assert found.n_needed is None


def test_four_replicates_are_too_few_and_it_takes_five() -> None:
    frame = frame_of({place: values[:4] for place, values in CLEAR.items()})
    found = one(claim(), frame, replicates=4)
    assert (found.decision, found.p_holm, found.n_needed) == ("not resolvable", 1 / 16, 5)


# Gaps at the end, ticket less dense, in points: mean 0.30, deviation 0.0967, half the interval 2.776445 * 0.0967 /
# sqrt(5) = 0.1200.
WIDER = [0.17, 0.25, 0.30, 0.36, 0.42]


def gaps(points: Sequence[float]) -> pl.DataFrame:
    """Results whose tickets at level 3 have a gap larger than dense by so many points."""
    rows = [
        row(r, place, final_train_accuracy=0.95 + extra, final_test_accuracy=0.95)
        for r, by in enumerate(points)
        for place, extra in (((3, "ticket"), by / 100), ((0, "ticket"), 0.0))
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


SMALLER = claim("smaller-gap", quantity="gap", arms=["ticket", "dense"], direction="less")


def test_an_effect_the_other_way_speaks_against_the_claim() -> None:
    found = one(SMALLER, gaps(WIDER))
    assert (found.decision, found.p, found.p_opposite) == ("no", 1.0, 1 / 32)
    assert (found.low, found.high) == pytest.approx((0.0018, 0.0042), abs=1e-5)
    assert wording.decision(found) == "no, the data speak against it (the other way p = 0.031)"
    assert found.n_needed is None


def test_an_effect_the_other_way_is_said_where_so_few_can_show_nothing() -> None:
    """Of seven claims five replicates can show neither one nor its opposite; where the interval lies is said."""
    others = [claim(f"other-{i}", densities=[0.512]) for i in range(6)]
    found = decide_all(study_of(SMALLER, *others), gaps(WIDER))[0]
    assert (found.tests, found.p_holm_smallest, found.p_opposite_holm) == (7, 7 / 32, 7 / 32)
    assert (found.decision, found.n_needed) == ("not resolvable", 8)
    assert wording.decision(found).endswith(
        "above alpha 0.05; it takes 8 replicates; the interval lies on the other side of zero)"
    )


def test_an_interval_that_holds_zero_stays_a_matter_of_n() -> None:
    others = [claim(f"other-{i}", densities=[0.512]) for i in range(6)]
    found = decide_all(study_of(SMALLER, *others), gaps([-0.1, 0.1, 0.1, 0.2, 0.2]))[0]
    assert found.decision == "not resolvable"
    assert wording.decision(found) == (
        "not resolvable with this n (n = 5 is too small: p is 0.22 at least by Holm over 7 tests, above alpha 0.05; "
        "it takes 8 replicates)"
    )


@pytest.mark.parametrize(
    ("direction", "margin", "by", "decision"),
    [
        ("greater", 0.002, -0.01, "no"),  # "not worse by more than 0.2 points", and it is worse by one
        ("greater", 0.002, -0.001, "yes"),
        ("less", 0.002, 0.01, "no"),
        ("less", 0.002, 0.001, "yes"),
        ("same", 0.002, 0.001, "yes"),
        ("same", 0.002, 0.01, "no"),
        ("same", 0.002, -0.01, "no"),
        ("different", 0.0, 0.01, "yes"),
        ("different", 0.0, 0.0, "too close"),  # to be the same takes a margin
    ],
)
def test_what_the_opposite_is(direction: str, margin: float, by: float, decision: str) -> None:
    jitter = [-0.0004, -0.0002, 0.0001, 0.0002, 0.0003, 0.0]
    frame = frame_of({(3, "ticket"): [0.9 + by + each for each in jitter], (3, "reinit"): [0.9] * 6})
    [found] = decide_all(study_of(claim(direction=direction, margin=margin), replicates=6), frame)
    assert found.decision == decision


def test_either_side_of_a_margin_counts_twice() -> None:
    """Outside the margin is on one of two sides, so its p is twice that of one: 2 / 64, and 2 / 32 would not do."""
    for n, decision in ((6, "no"), (5, "too close")):
        frame = frame_of({(3, "ticket"): [0.95 + r / 1000 for r in range(n)], (3, "reinit"): [0.9] * n})
        [found] = decide_all(study_of(claim(direction="same", margin=0.002), replicates=n), frame)
        assert (found.p_opposite, found.decision) == (2 / 2**n, decision)


def test_opposites_are_corrected_together() -> None:
    two = [claim("a", direction="less"), claim("b", direction="less")]
    five = decide_all(study_of(*two), frame_of(CLEAR))
    assert [(v.p_opposite_holm, v.decision) for v in five] == [(2 / 32, "not resolvable")] * 2
    # a claim of a difference has no opposite, and so takes no part
    a, b = decide_all(study_of(two[0], claim("d", direction="different")), frame_of(CLEAR))
    assert (a.p_opposite_holm, a.decision, b.p_opposite_holm) == (1 / 32, "no", None)


def test_a_margin_makes_a_match() -> None:
    worse = {(3, "ticket"): [0.899, 0.898, 0.8985, 0.8999, 0.9], (3, "reinit"): [0.90] * 5}
    assert one(claim(), frame_of(worse)).decision == "too close"
    assert one(claim(margin=0.003), frame_of(worse)).decision == "yes"
    assert one(claim(margin=0.003, direction="same"), frame_of(worse)).decision == "yes"
    assert one(claim(margin=0.0005, direction="same"), frame_of(worse)).decision == "too close"


def test_draws_are_averaged_within_their_replicate_first() -> None:
    rows = [row(r, (3, "ticket"), early_stop_test_accuracy=0.9) for r in range(2)]
    rows += [
        row(0, (3, "reinit"), draw, early_stop_test_accuracy=value)
        for draw, value in enumerate([0.6, 0.8, 1.0])
    ]
    rows += [row(1, (3, "reinit"), 0, early_stop_test_accuracy=0.4)]
    found = one(claim(), pl.DataFrame(rows, schema=SCHEMA))
    assert found.n == 2
    assert found.mean_b == pytest.approx((0.8 + 0.4) / 2)  # not (0.6 + 0.8 + 1.0 + 0.4) / 4


def test_the_dense_network_is_level_zero_of_the_same_replicate() -> None:
    values = {(3, "ticket"): [0.9, 0.8], (0, "ticket"): [0.7, 0.9]}
    found = one(claim(arms=["ticket", "dense"]), frame_of(values))
    assert found.difference == pytest.approx((0.2 - 0.1) / 2)
    swapped = one(claim(arms=["dense", "ticket"]), frame_of(values))
    assert swapped.difference == pytest.approx(-0.05)


def test_cells_without_a_number_stay_out_and_are_counted() -> None:
    values = {(3, "ticket"): [0.9, None, 0.9, float("nan"), 0.9], (3, "reinit"): [0.8, 0.8, None, 0.8, 0.8]}
    found = one(claim(), frame_of(values))
    assert (found.n, found.left_out) == (2, 3)  # replicates 0 and 4
    assert found.difference == pytest.approx(0.1)
    diverged_with_a_number = frame_of(CLEAR).with_columns(
        status=pl.when(pl.col("replicate") == 0).then(pl.lit("diverged")).otherwise("status")
    )
    assert (
        one(claim(), diverged_with_a_number).n,
        one(claim(), diverged_with_a_number).left_out,
    ) == (4, 2)


def test_the_gap_is_training_minus_test_accuracy_at_the_end() -> None:
    both = [
        row(r, (3, arm), final_train_accuracy=train, final_test_accuracy=test)
        for r in range(2)
        for arm, train, test in (("ticket", 0.99, 0.95), ("reinit", 1.0, 0.9))
    ]
    found = one(claim(quantity="gap", direction="less"), pl.DataFrame(both, schema=SCHEMA))
    assert found.difference == pytest.approx(0.04 - 0.1)


def test_nothing_done_yet_is_said() -> None:
    found = one(claim(), pl.DataFrame(schema=SCHEMA))
    assert (found.decision, found.n, found.p_holm) == ("not tested", 0, None)
    assert found.why == "no replicate has both arms at level 3 (replicates with a number: ticket 0, reinit 0)"
    half = frame_of({(3, "ticket"): [0.9, 0.9]})
    assert "ticket 2, reinit 0" in one(claim(), half).why


def test_one_replicate_decides_nothing() -> None:
    frame = frame_of({(3, "ticket"): [0.9], (3, "reinit"): [0.8]})
    signs, by_t = one(claim(), frame, 1), one(claim(test="t"), frame, 1)
    assert (signs.decision, signs.low) == ("not resolvable", None)
    assert (by_t.decision, by_t.why) == ("not resolvable", "one replicate has no t-test")


def test_t_without_variation_decides_nothing() -> None:
    found = one(claim(test="t"), frame_of({(3, "ticket"): [0.5, 0.75], (3, "reinit"): [0.25, 0.5]}))
    assert found.decision == "not resolvable"
    assert "do not vary" in found.why


def test_what_is_too_close_says_what_it_would_take() -> None:
    values = {(3, "ticket"): [1.0, 0.0, 0.5, 0.6], (3, "reinit"): [0.0, 0.4, 0.3, 0.6]}  # 1, -0.4, 0.2, 0
    found = one(claim(test="t"), frame_of(values))
    assert found.decision == "too close"
    # d = 0.2 / sqrt(1.04 / 3) = 0.3397; (1.645 + 0.842)^2 / d^2 = 53.6, and 1.645^2 / 2 = 1.4 more since it is t
    assert found.n_needed == 55
    assert wording.decision(found) == "too close to say (n would be 55)"
    assert one(claim(test="t", direction="less"), frame_of(values)).n_needed == 55, "to tell its opposite"
    by_signs = one(claim(alpha=0.1), frame_of(values))
    assert (by_signs.decision, by_signs.n_needed) == ("too close", 40), "by t, at 0.1"


def test_holm_is_over_the_family_and_no_further() -> None:
    claims = [claim("a"), claim("b", direction="less"), claim("c", family="own")]
    a, b, c = decide_all(study_of(*claims), frame_of(CLEAR))
    assert (a.tests, a.p_holm, a.decision, a.n_needed) == (2, 2 / 32, "not resolvable", 6)
    assert (b.tests, b.p_holm) == (2, 1.0)
    assert (c.tests, c.p_holm, c.decision) == (1, 1 / 32, "yes")


def test_every_density_is_a_test_of_its_own() -> None:
    values = {
        place: CLEAR[3, place[1]]
        for place in [(level, arm) for level in (1, 3) for arm in ("ticket", "reinit")]
    }
    found = decide_all(study_of(claim(densities=[0.8, 0.512])), frame_of(values))
    assert [(v.level, v.p_holm) for v in found] == [(1, 2 / 32), (3, 2 / 32)]


def test_a_family_does_not_shrink_while_results_are_missing() -> None:
    """A test without results counts as one that fails; a test that the study cannot answer was never in the family."""
    claims = [claim("a"), claim("later", densities=[0.8]), claim("never", densities=[0.1])]
    a, later, never = decide_all(study_of(*claims), frame_of(CLEAR))
    assert (a.tests, a.p_holm) == (2, 2 / 32)
    assert (later.decision, later.p_holm) == ("not tested", None)
    assert (never.decision, never.tests) == ("not tested", 0)
    assert "within 10%" in never.why


def test_a_measure_that_cannot_be_taken_is_said_and_the_rest_goes_on() -> None:
    def refuse(*_: object) -> Verdict:
        raise UserError("no weights were kept")

    study = study_of(claim("m", quantity="measure:jaccard"), claim("a"))
    m, a = decided(study, frame_of(CLEAR), DENSITIES, refuse)
    assert (m.decision, m.why) == ("not tested", "no weights were kept")
    assert a.p == 1 / 32


FOUR = ["ticket", "reinit", "random-mask", "dense"]


def four(ticket: list[float], reinit: list[float], random: list[float], dense: list[float]) -> pl.DataFrame:
    values = {(3, "ticket"): ticket, (3, "reinit"): reinit, (3, "random-mask"): random, (0, "ticket"): dense}
    return frame_of(values)  # type: ignore[arg-type]


def test_an_interaction_is_one_difference_a_replicate() -> None:
    """(a - b) - (c - d) = 4, 5, 6, 7, 8 hundredths; neither a - b nor c - d alone is the same in all."""
    frame = four(
        [0.90, 0.93, 0.91, 0.95, 0.97],
        [0.80, 0.81, 0.78, 0.80, 0.80],
        [0.86, 0.86, 0.87, 0.88, 0.89],
        [0.80, 0.79, 0.80, 0.80, 0.80],
    )
    found = one(claim(arms=FOUR), frame)
    assert found.arms == tuple(FOUR)
    assert (found.n, found.p, found.decision) == (5, 1 / 32, "yes")
    assert found.difference == pytest.approx(0.06)
    assert (found.mean_a, found.mean_b) == pytest.approx((0.134, 0.074))
    half = 2.776445 * 0.01 * 2.5**0.5 / 5**0.5  # of 4, 5, 6, 7, 8
    assert (found.low, found.high) == pytest.approx((0.06 - half, 0.06 + half))
    said = "ticket less reinit, beyond random-mask less dense at 51.2% (level 3), early stop test accuracy: +6.00 pp"
    assert wording.estimate(found).startswith(said)
    assert [found.row()[key] for key in "abcd"] == FOUR
    swapped = one(claim(arms=[*FOUR[2:], *FOUR[:2]], direction="less"), frame)
    assert (swapped.difference, swapped.p) == (pytest.approx(-0.06), 1 / 32)


def test_an_interaction_takes_all_four_arms() -> None:
    lacking = frame_of({(3, "ticket"): [0.9], (3, "reinit"): [0.9], (0, "ticket"): [0.9]})
    found = one(claim(arms=FOUR), lacking)
    assert found.why == (
        "no replicate has all arms at level 3 (replicates with a number: ticket 1, reinit 1, random-mask 0, dense 1)"
    )
    [untrained] = decide_all(study_of(claim(arms=[*FOUR[:3], "invert"])), lacking)
    assert untrained.why == "this study does not train invert at level 3 (51.2%)"
    [nowhere] = decide_all(study_of(claim(arms=[*FOUR[:3], "invert"], densities="all")), lacking)
    assert nowhere.why == "no level of this study has ticket, reinit, random-mask and invert"


def test_the_interval_of_an_interaction_ends_at_two_hundred_points() -> None:
    found = one(claim(arms=FOUR), four([1.0, 0.9, 1.0], [0.0] * 3, [0.0, 0.1, 0.0], [1.0] * 3))
    assert (found.difference, found.high) == (pytest.approx((2 + 1.8 + 2) / 3), 2.0)


@pytest.mark.parametrize(
    ("control", "needs", "decision"),
    [
        ({"direction": "greater"}, ["control"], "yes"),
        ({"direction": "less"}, ["control"], "not resolvable"),  # it came out the other way
        ({"direction": "greater", "alpha": 0.01}, ["control"], "not resolvable"),  # it cannot come out
        ({"direction": "less"}, [], "yes"),
    ],
)
def test_a_claim_needs_its_control(control: dict[str, object], needs: list[str], decision: str) -> None:
    claims = [claim("main", needs=needs), claim("control", family="controls", **control)]
    main, _ = decide_all(study_of(*claims), frame_of(CLEAR))
    assert (main.decision, main.p_holm, main.needs) == (decision, 1 / 32, ", ".join(needs))
    if needs and decision != "yes":
        assert (main.control, main.why) == ("control", "'control' had to come out first, and did not")
        assert wording.decision(main) == (
            "not resolvable with this control ('control' had to come out first, and did not)"
        )


def test_controls_of_controls_and_of_other_levels() -> None:
    first = claim("first", direction="less", family="controls")
    second = claim("second", needs=["first"], family="controls-too")
    main = claim("main", needs=["second"], direction="less")
    found = decide_all(study_of(main, second, first), frame_of(CLEAR))
    assert [each.decision for each in found] == ["not resolvable", "not resolvable", "no"]
    here, there = (
        claim("here", densities=[0.512, 0.8], family="h", alpha=0.1),
        claim("there", densities=[0.8], family="t"),
    )
    values = {**CLEAR, (1, "ticket"): [0.9] * 5, (1, "reinit"): [0.9] * 5}
    of_level, of_any = (
        decide_all(study_of(claim("main", needs=[name]), here, there), frame_of(values))[0]
        for name in ("here", "there")
    )
    assert of_level.decision == "yes", "it came out at the level that is asked"
    assert of_any.decision == "not resolvable", "it is asked at another level alone, and did not"
    elsewhere = claim("main", needs=["here"], densities=[0.64])
    values |= {(2, "ticket"): CLEAR[3, "ticket"], (2, "reinit"): CLEAR[3, "reinit"]}
    assert decide_all(study_of(elsewhere, here), frame_of(values))[0].decision == "not resolvable", (
        "of two other levels it came out at one"
    )
    untested = decide_all(study_of(claim("main", needs=["x"]), claim("x", densities=[0.1])), frame_of(CLEAR))
    assert untested[0].decision == "not resolvable"
    nothing = decide_all(study_of(claim("main", needs=["x"]), claim("x")), pl.DataFrame(schema=SCHEMA))
    assert nothing[0].decision == "not tested"


STOPS = "early_stop_iteration"


def stops(level: int, arm: str, *values: int) -> list[dict[str, object]]:
    """Early stops of a training of 1000 iterations."""
    return [
        row(r, (level, arm), **{STOPS: value, "early_stop_at_end": value == 1000})
        for r, value in enumerate(values)
    ]


def about_stops(direction: str, margin: float, *rows: dict[str, object]) -> Verdict:
    asked = claim(quantity=STOPS, direction=direction, margin=margin)
    return one(asked, pl.DataFrame(list(rows), schema=SCHEMA))


def test_stops_that_are_not_reached_are_tested_by_their_signs() -> None:
    """a - b is -200, -100, at most -50, anything, and at least 300."""
    rows = (*stops(3, "ticket", 600, 700, 950, 1000, 1000), *stops(3, "reinit", 800, 800, 1000, 1000, 700))
    less = about_stops("less", 0.0, *rows)
    # three are below for sure: 800 and 800, and 950 against what is 1000 or more. P(3 or more heads of 5) = 16 / 32
    assert (less.p, less.p_opposite) == (16 / 32, 31 / 32)
    assert (less.low, less.high, less.effect, less.test, less.n) == (None, None, None, "sign", 5)
    assert (less.at_end, less.trainings) == (4, 10)
    assert less.difference == pytest.approx((-200 - 100 - 50 + 0 + 300) / 5)
    # not above by more than 400: known of the first three alone
    assert about_stops("less", 400.0, *rows).p == 16 / 32
    # above by more than nothing: only the fifth is, for sure
    assert about_stops("greater", 0.0, *rows).p == 31 / 32
    assert about_stops("different", 0.0, *rows).p == 1.0
    assert about_stops("same", 400.0, *rows).p == 16 / 32, "three for sure on each side"


def test_stops_of_an_interaction_that_are_not_reached() -> None:
    """(a - b) - (c - d) is 100 of each; c may be larger than it was seen, so that it may be less: nothing is known."""
    rows = (
        *stops(3, "ticket", *[700] * 5),
        *stops(3, "reinit", *[600] * 5),
        *stops(3, "random-mask", *[1000] * 5),
        *stops(0, "ticket", *[1000 - 1] * 5),
    )
    frame = pl.DataFrame(list(rows), schema=SCHEMA)
    greater, less = (one(claim(quantity=STOPS, arms=FOUR, direction=d), frame) for d in ("greater", "less"))
    assert (greater.p, less.p, greater.difference) == (1.0, 1.0, 99.0)
    # with the arms the other way round what is not reached only adds to it
    turned = [FOUR[0], FOUR[1], FOUR[3], FOUR[2]]
    assert one(claim(quantity=STOPS, arms=turned, direction="greater"), frame).p == 1 / 32


def test_all_reached_is_tested_as_ever() -> None:
    rows = (*stops(3, "ticket", 600, 700, 900, 650, 800), *stops(3, "reinit", 800, 800, 950, 700, 850))
    found = about_stops("less", 0.0, *rows)
    assert (found.p, found.test, found.at_end) == (1 / 32, "sign-flip", 0)
    assert found.low is not None


def test_unequal_draws_are_said() -> None:
    rows = [row(r, (3, "ticket"), early_stop_test_accuracy=0.9) for r in range(3)]
    rows += [row(r, (3, "reinit"), draw, early_stop_test_accuracy=0.8) for r in range(3) for draw in range(3)]
    found = one(claim(), pl.DataFrame(rows, schema=SCHEMA))
    assert found.draws == "1 draw of ticket, 3 of reinit"
    assert wording.estimate(found).endswith(", n = 3 of 5, 1 draw of ticket, 3 of reinit")
    assert wording.test_of(found).startswith("sign-flip, "), "of unequal draws it is not exact"
    equal = one(claim(), pl.DataFrame([each for each in rows if not each["draw"]], schema=SCHEMA))
    assert equal.draws == ""


def test_a_row_has_the_columns_and_types_of_the_table() -> None:
    rows = [v.row() for v in decide_all(study_of(claim(), claim("x", densities=[0.1])), frame_of(CLEAR))]
    table = pl.DataFrame(rows, schema=VERDICTS, orient="row")
    assert list(rows[0]) == list(VERDICTS)
    first = table.row(0, named=True)
    assert (first["name"], first["a"], first["b"], first["level"]) == ("claim", "ticket", "reinit", 3)
    assert (first["n"], first["p"], first["decision"], first["quantity"]) == (5, 1 / 32, "yes", ACCURACY)
    assert table["level"].to_list() == [3, None]


@pytest.mark.parametrize("test", ["sign-flip", "t"])
def test_families_without_an_effect_err_at_alpha_together(test: str) -> None:
    """Three tests that share a replicate's noise: the chance of any yes is at most alpha, by Holm."""
    study = study_of(
        *(claim(f"c{level}", densities=[DENSITIES[level]], test=test, alpha=0.2) for level in (1, 2, 3)),
        replicates=7,
    )
    rng, trials, wrong, opposed, single = RNG(21), 120, 0, 0, 0
    for _ in range(trials):
        values: dict[Place, list[float | None]] = {}
        for level in (1, 2, 3):
            pair = normal_pair(rng, 7)
            values |= {(level, arm): column for (_, arm), column in pair.items()}
        found = decide_all(study, frame_of(values))
        wrong += any(v.decision == "yes" for v in found)
        opposed += any(v.decision == "no" for v in found)
        single += sum(v.p <= 0.2 for v in found)  # type: ignore[operator]
    error = 4 * np.sqrt(0.2 * 0.8 / trials)
    assert wrong / trials <= 0.2 + error
    assert opposed / trials <= 0.2 + error, "the opposites err at alpha together as well"
    assert opposed, "and they can"
    assert wrong / trials >= 0.18 - error, (
        "Holm over three independent tests errs with 1 - (1 - 0.2 / 3)^3 = 0.187"
    )
    assert single / trials / 3 == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / trials / 3))


def test_a_planted_effect_is_found_as_often_as_its_power_says() -> None:
    """By t at n = 8 and d = 1: the non-central t distribution with centre sqrt(8), at 0.05 one-sided."""
    power = float(stats.nct.sf(stats.t.isf(0.05, 7), 7, np.sqrt(8)))
    study, rng, trials = study_of(claim(test="t"), replicates=8), RNG(22), 250
    yes = sum(
        decide_all(study, frame_of(normal_pair(rng, 8, 1.0)))[0].decision == "yes" for _ in range(trials)
    )
    assert yes / trials == pytest.approx(power, abs=4 * np.sqrt(power * (1 - power) / trials))


def test_intervals_of_verdicts_cover_95_percent() -> None:
    study, rng, trials = study_of(claim(), replicates=6), RNG(23), 250
    covered = 0
    for _ in range(trials):
        found = decide_all(study, frame_of(normal_pair(rng, 6, 0.7)))[0]
        covered += found.low <= 0.007 <= found.high  # type: ignore[operator]
    assert covered / trials == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / trials))


def test_the_frame_is_left_alone() -> None:
    frame = frame_of(CLEAR)
    before = frame.clone()
    one(claim(quantity="gap"), frame)
    assert frame.equals(before)
