"""What every registered measure, alignment and null must be like; one that is added is tested by this alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from support.compare_parts import convnet, mlp, random_convnet, random_subject
from tombola.alignment.align import ALIGNMENTS, align, align_tensors
from tombola.alignment.subject import Subject
from tombola.comparison.exam import NULLS_OF_ANSWERS
from tombola.comparison.measures.base import MEASURES, Additive, Case
from tombola.comparison.nulls import NULLS
from tombola.comparison.pairs import compare
from tombola.masks.mask import Mask
from tombola.registry import Registry

WIDTHS = (9, 8, 7, 3)
OF_TICKETS = [name for name, measure in MEASURES.items() if not measure.of_outputs]
"""Measures that need no trained network and no data; those that do are in test_function.py."""
PAIRS = [name for name in OF_TICKETS if MEASURES[name].subjects == 2]
COUNTED = [name for name in OF_TICKETS if isinstance(MEASURES[name].of, Additive)]
PAIRS_OF_UNITS = {"butterflies"}
"""Measures that count pairs of units, which a cut through a layer parts."""


def pair(measure: str, densities: tuple[float, float] = (0.5, 0.3)) -> list[Subject]:
    """Two subjects of a network that the measure has something to say of."""
    if MEASURES[measure].family == "kernels":
        return [random_convnet(seed, density) for seed, density in zip((1, 2), densities, strict=True)]
    return [random_subject(seed, WIDTHS, density) for seed, density in zip((1, 2), densities, strict=True)]


def values(measure: str, *subjects, **options) -> list[float | None]:
    frame = compare(list(subjects), measures=[measure], n_null=2, **options).filter(measure=measure)
    assert len(frame)
    return frame["value"].to_list()


@pytest.mark.parametrize("registry", [MEASURES, ALIGNMENTS, NULLS], ids=lambda registry: registry.kind)
def test_each_says_what_it_is_and_where_it_comes_from(registry: Registry):
    for name in registry:
        line = registry.describe(name).rstrip(".")
        assert line.endswith(")"), line
        assert "\n" not in line


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_names_a_null_that_exists(measure):
    for null in MEASURES[measure].nulls:
        closed = MEASURES[measure].exact and (MEASURES[measure].subjects == 1 or MEASURES[measure].of_outputs)
        assert null in (NULLS_OF_ANSWERS if MEASURES[measure].of_outputs else NULLS) or closed


@pytest.mark.parametrize("measure", PAIRS)
def test_raw_measures_are_symmetric(measure):
    a, b = pair(measure)
    there, back = values(measure, a, b), values(measure, b, replace(a, replicate="RUN:r3"))
    assert there == pytest.approx(back, nan_ok=True)


@pytest.mark.parametrize("measure", PAIRS)
def test_nothing_is_more_alike_than_a_subject_and_its_copy(measure):
    a, other = pair(measure, (0.5, 0.5))
    copy = replace(a, name="copy")
    alike = MEASURES[measure].alike
    same, different = (np.array(values(measure, a, b)) * alike for b in (copy, other))
    assert (same >= different).all()
    assert same[-1] > different[-1]  # the whole network


@pytest.mark.parametrize("measure", [name for name in COUNTED if name not in PAIRS_OF_UNITS])
def test_counts_add_up_to_the_whole(measure):
    """One layer, and the same layer cut in two along its units, say the same of the whole."""
    found = MEASURES[measure].additive
    a, b = pair(measure)
    layer = next(iter(found.read(Case(a, b, "end", mlp(*WIDTHS))).values()))
    whole = found.counts(*layer)
    parts = found.counts(*(x[:3] for x in layer)) + found.counts(*(x[3:] for x in layer))
    assert np.allclose(whole, parts)
    assert found.at(whole) == pytest.approx(found.at(parts))


@pytest.mark.parametrize("measure", OF_TICKETS)
@pytest.mark.parametrize("case", ["one layer empty", "all empty", "all alive"])
def test_nothing_and_everything_are_measured_without_a_warning(measure, case):
    def cut(subject: Subject) -> Subject:
        living = {
            name: bits if case == "one layer empty" else bits & False for name, bits in subject.mask.items()
        }
        living = {name: ~bits for name, bits in living.items()} if case == "all alive" else living
        last = sorted(living)[-1]
        mask = Mask(living | {last: living[last] & (case == "all alive")})
        return replace(subject, mask=mask, start=mask.apply(subject.start), end=mask.apply(subject.end))

    subjects = [cut(subject) for subject in pair(measure)]
    frame = compare(
        subjects,
        measures=[measure],
        n_null=10,
        network=convnet() if "conv1.weight" in subjects[0].mask else None,
    )
    assert np.isfinite(frame["value"].drop_nulls().to_numpy()).all()
    assert not frame["p"].is_nan().any()


@pytest.mark.parametrize("measure", OF_TICKETS)
def test_measures_and_nulls_leave_subjects_as_they_are(measure):
    subjects = pair(measure)
    states = [state for s in subjects for state in (s.start, s.end, s.dense, s.dense_start)]
    before = [{name: x.clone() for name, x in state.items()} for state in states]
    first = values(measure, *subjects)
    assert values(measure, *subjects) == first
    for state, copy in zip(states, before, strict=True):
        assert all(torch.equal(state[name], x) for name, x in copy.items())


@pytest.mark.parametrize("alignment", [name for name in ALIGNMENTS if name != "activations@dense"])
def test_alignments_give_permutations_and_leave_subjects_as_they_are(alignment):
    network, pair = mlp(*WIDTHS), [random_subject(seed, WIDTHS, 0.5) for seed in (1, 2)]
    before = [{name: x.clone() for name, x in s.dense.items()} for s in pair]
    if ALIGNMENTS[alignment].held_out:
        each = list(align_tensors(*pair, network, alignment).values())
    else:
        each = [align(*pair, network, alignment)]
    for found in each:
        assert [sorted(units) for units in found] == [list(range(8)), list(range(7))]
    for subject, dense in zip(pair, before, strict=True):
        assert all(x.equal(dense[name]) for name, x in subject.dense.items())


@pytest.mark.parametrize("null", NULLS)
def test_nulls_are_at_chance_by_every_measure_that_they_randomise(null):
    """Means over draws of a null lie where the closed form, or the other half of the draws, puts them."""
    a, b = random_subject(1, (60, 40, 5), 0.4), random_subject(2, (60, 40, 5), 0.15)
    frame = compare([a, b], measures=["jaccard", "sign-agreement"], nulls=[null], n_null=60).filter(
        layer="all"
    )
    exact = compare([a, b], measures=["jaccard", "sign-agreement"]).filter(layer="all")
    for measure, side in (("jaccard", None), ("sign-agreement", "end")):
        here = pl.col("side").eq_missing(pl.lit(side))
        sampled, closed = (x.filter(here, measure=measure).row(0, named=True) for x in (frame, exact))
        if sampled["z"] is not None:  # else the null leaves the measure as it is
            assert sampled["expected"] == pytest.approx(closed["expected"], abs=0.05)
