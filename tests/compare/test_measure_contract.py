"""What every registered measure, alignment and null must be like; one that is added is tested by this alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from compare_parts import mlp, random_subject

from tombola.compare import ALIGNMENTS, MEASURES, NULLS, align, compare
from tombola.registry import Registry

WIDTHS = (9, 8, 7, 3)
PAIRS = [name for name, measure in MEASURES.items() if measure.subjects == 2]


def values(measure: str, *subjects, **options) -> list[float | None]:
    return (
        compare(list(subjects), measures=[measure], n_null=2, **options)
        .filter(measure=measure)["value"]
        .to_list()
    )


@pytest.mark.parametrize("registry", [MEASURES, ALIGNMENTS, NULLS], ids=lambda registry: registry.kind)
def test_each_says_what_it_is_and_where_it_comes_from(registry: Registry):
    for name in registry:
        line = registry.describe(name).rstrip(".")
        assert line.endswith(")"), line
        assert "\n" not in line


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_names_a_null_that_exists(measure):
    null = MEASURES[measure].null
    assert null in NULLS or (MEASURES[measure].subjects == 1 and MEASURES[measure].exact)


@pytest.mark.parametrize("measure", PAIRS)
def test_raw_measures_are_symmetric(measure):
    a, b = random_subject(1, WIDTHS, 0.5), random_subject(2, WIDTHS, 0.3)
    there, back = values(measure, a, b), values(measure, b, replace(a, replicate="RUN:r3"))
    assert there == pytest.approx(back, nan_ok=True)


@pytest.mark.parametrize("measure", PAIRS)
def test_nothing_is_more_alike_than_a_subject_and_its_copy(measure):
    a = random_subject(1, WIDTHS, 0.5)
    copy, other = replace(a, name="copy"), random_subject(2, WIDTHS, 0.5)
    alike = MEASURES[measure].alike
    same, different = (np.array(values(measure, a, b)) * alike for b in (copy, other))
    assert (same >= different).all()
    assert same[-1] > different[-1]  # the whole network


@pytest.mark.parametrize("measure", MEASURES)
def test_counts_add_up_to_the_whole(measure):
    """One layer, and the same layer cut in two along its units, say the same of the whole."""
    found = MEASURES[measure]
    a, b = (random_subject(seed, (9, 8), 0.5) for seed in (1, 2))
    one, two = (
        s.living()["fc1.weight"] if found.reads == "mask" else s.signs("end")["fc1.weight"] for s in (a, b)
    )
    whole, parts = found.counts(one, two), found.counts(one[:3], two[:3]) + found.counts(one[3:], two[3:])
    assert np.allclose(whole, parts)
    assert found.at(whole) == pytest.approx(found.at(parts))


@pytest.mark.parametrize("alignment", [name for name in ALIGNMENTS if name != "activations@dense"])
def test_alignments_give_permutations_and_leave_subjects_as_they_are(alignment):
    network, pair = mlp(*WIDTHS), [random_subject(seed, WIDTHS, 0.5) for seed in (1, 2)]
    before = [{name: x.clone() for name, x in s.dense.items()} for s in pair]
    found = align(*pair, network, alignment)
    assert [sorted(units) for units in found] == [list(range(8)), list(range(7))]
    for subject, dense in zip(pair, before, strict=True):
        assert all(x.equal(dense[name]) for name, x in subject.dense.items())


@pytest.mark.parametrize("null", NULLS)
def test_nulls_are_at_chance_by_every_measure_that_they_randomise(null):
    """Means over draws of a null lie where the closed form, or the other half of the draws, puts them."""
    a, b = random_subject(1, (30, 20, 5), 0.4), random_subject(2, (30, 20, 5), 0.15)
    frame = compare([a, b], measures=["jaccard", "sign-agreement"], nulls=[null], n_null=60).filter(
        layer="all"
    )
    exact = compare([a, b], measures=["jaccard", "sign-agreement"]).filter(layer="all")
    for measure, side in (("jaccard", None), ("sign-agreement", "end")):
        here = pl.col("side").eq_missing(pl.lit(side))
        sampled, closed = (x.filter(here, measure=measure).row(0, named=True) for x in (frame, exact))
        assert sampled["expected"] == pytest.approx(closed["expected"], abs=0.05)
