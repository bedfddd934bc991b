"""Measures of function: by hand and by other formulas, invariant to the order of units, against their nulls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import hypergeom
from torch import nn

from support.compare_parts import shuffled, trained_looking
from tombola.alignment.network import Network
from tombola.alignment.outputs import Predictions, gram, predictions_of
from tombola.alignment.subject import Subject
from tombola.comparison.exam import NULLS_OF_ANSWERS, Answered, Exam, within_classes
from tombola.comparison.measures.base import MEASURES, Case
from tombola.comparison.pairs import compare
from tombola.comparison.significance import BesideNull, judged_by_samples, judged_exactly
from tombola.comparison.table import SCHEMA
from tombola.data.arrays import from_arrays
from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture


class Normed(nn.Module):
    """One convolution with batch norm, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.fc, self.out = nn.Linear(5 * 16, 7), nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        return self.out(torch.relu(self.fc(x.flatten(1))))


FUNCTION = [name for name, measure in MEASURES.items() if measure.family == "function"]
NET: Architecture = architecture(Normed, (1, 4, 4), 3)


def data(normalisation: str = "standard", seed: int = 0) -> Resident:
    rng = np.random.default_rng(seed)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.random((count, 4, 4)), np.arange(count) % 3

    return Resident(from_arrays(part(60), part(90)), normalisation, torch.device("cpu"))


def exam(seed: int = 0, normalisation: str = "standard") -> Exam:
    return Exam(NET, data(normalisation, seed), torch.arange(40))


def subject(seed: int) -> Subject:
    state = trained_looking(NET.build(), seed)
    mask = Mask({name: state[name].abs() > 0.3 for name in NET.prunable})
    return Subject(f"RUN:r{seed}/L01/ticket/0", mask, end=mask.apply(state), replicate=f"RUN:r{seed}")


def rows(*subjects: Subject, **options: object) -> pl.DataFrame:
    its = exam()
    return compare(subjects, exam=lambda _: its, n_null=9, **{"measures": ["function"], **options})


def asked(a: list[int], b: list[int], labels: list[int]) -> Case:
    """Two networks that predict these classes."""
    its, one = exam(), subject(0)
    a_said, b_said = (
        Answered(
            name=one.name, mask=one.mask, exam=its, answers=Predictions(np.array(labels), np.array(said))
        )
        for said in (a, b)
    )
    return Case(a_said, b_said, "end", Network())


def exact(name: str, case: Case) -> BesideNull:
    """The value of the whole network beside its closed form."""
    return judged_exactly(MEASURES[name], case)["all"]


def sampled(name: str, case: Case, draws: int) -> BesideNull:
    """The value of the whole network beside as many nulls."""
    measure = MEASURES[name]
    null = NULLS_OF_ANSWERS[measure.null]
    others = [null(case.b, np.random.default_rng(seed)) for seed in range(draws)]
    drawn = [measure.of(replace(case, b=other))["all"] for other in others]
    return judged_by_samples(measure.of(case)["all"], np.array(drawn), measure.alike)


def test_the_table_has_the_columns_of_all_pairs() -> None:
    frame = rows(subject(1), subject(2), subject(3))
    assert dict(frame.schema) == SCHEMA
    assert set(frame["measure"]) == set(FUNCTION)
    assert set(frame["side"]) == {"end"}
    assert len(frame.select("a", "b").unique()) == 3
    assert set(frame.filter(measure="cka")["layer"]) == {
        "conv.weight",
        "fc.weight",
        "all",
    }  # the logits stay out
    assert set(frame.filter(pl.col("measure") != "cka")["layer"]) == {"all"}


def test_cka_by_the_formula_on_features() -> None:
    """|Y^T X|^2 / (|X^T X| |Y^T Y|) with centred features (Kornblith et al. 2019, equation 5)."""
    a, b = subject(1), subject(2)
    x, y = (hidden(each) for each in (a, b))
    found = dict(rows(a, b, measures=["cka"]).select("layer", "value").rows())
    for layer in ("conv.weight", "fc.weight"):
        one, other = (z[layer] - z[layer].mean(0) for z in (x, y))
        expected = np.linalg.norm(other.T @ one) ** 2
        expected /= np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other)
        assert found[layer] == pytest.approx(expected, rel=1e-5)
        assert 0.01 < expected < 0.99
    assert found["all"] == pytest.approx((found["conv.weight"] + found["fc.weight"]) / 2)


def hidden(one: Subject) -> dict[str, np.ndarray]:
    """What the hidden layers say of the 40 examples, worked out layer by layer."""
    x, end = exam().examples, one.weights("end")
    conv = nn.functional.conv2d(x, end["conv.weight"], end["conv.bias"], padding=1)
    stats = (end["norm.running_mean"], end["norm.running_var"], end["norm.weight"], end["norm.bias"])
    normed = torch.relu(nn.functional.batch_norm(conv, *stats, training=False))
    fc = normed.flatten(1) @ end["fc.weight"].T + end["fc.bias"]
    return {"conv.weight": conv.flatten(1).double().numpy(), "fc.weight": fc.double().numpy()}


def test_the_expectation_of_cka_is_that_of_examples_in_random_order() -> None:
    """E <K, PLP'> = tr K tr L / (n - 1) over all orders P, for centred K and L."""
    a, b = subject(1), subject(2)
    its = exam()
    frame = compare([a, b], exam=lambda _: its, measures=["cka"], n_null=400)
    grams = [predictions_of(each, NET, its.data, its.examples).grams for each in (a, b)]
    for layer in ("conv.weight", "fc.weight"):
        expected = np.trace(grams[0][layer]) * np.trace(grams[1][layer]) / 39
        [row] = frame.filter(layer=layer).rows(named=True)
        spread = (row["value"] - row["expected"]) / row["z"]
        assert abs(row["expected"] - expected) < 4 * spread / 20
        assert row["null"] == "example-shuffle"


def test_a_network_in_another_order_of_units_is_the_same() -> None:
    one = subject(4)
    network = Network.of(NET)
    copy = replace(network.relabelled(one, shuffled(network, 5)), name="copy", replicate="RUN:r5")
    its = exam()
    its.data.test_y = torch.from_numpy(
        predictions_of(one, NET, its.data).predicted
    )  # both are right everywhere
    its.data.test_y[:9] = (its.data.test_y[:9] + 1) % 3  # but there
    frame = compare(
        [one, copy],
        exam=lambda _: its,
        measures=["function"],
        network=network,
        alignments=["raw", "weights@end"],
        n_null=9,
    )
    value = dict(frame.select(pl.concat_str("measure", "layer", "aligned", separator=" "), "value").rows())
    for layer in ("conv.weight", "fc.weight", "all"):
        assert value[f"cka {layer} raw"] == pytest.approx(1, abs=1e-5)
    assert value["disagreement all raw"] == 0
    assert value["error-overlap all raw"] == value["error-kappa all raw"] == 1
    assert value["barrier all weights@end"] == pytest.approx(0, abs=1e-6)
    assert value["barrier all raw"] > 0.02
    assert set(frame.filter(pl.col("measure") != "barrier")["aligned"]) == {"raw"}


def test_predictions_are_those_of_the_network_on_every_test_example() -> None:
    one, its = subject(1), data()
    module = NET.build().eval()
    module.load_state_dict(one.end)
    with torch.no_grad():
        said = module(its.test(0, 90)).argmax(1)
    answers = predictions_of(one, NET, its)
    assert answers.predicted.tolist() == said.tolist()
    assert answers.wrong.mean() == pytest.approx(float((said != torch.arange(90) % 3).float().mean()))
    assert not answers.grams


def test_disagreement_and_its_null_by_hand() -> None:
    """Eight examples of two classes; b's predictions are dealt anew within each of them."""
    case = asked([0, 0, 0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1])
    found = sampled("disagreement", case, 4000)
    assert found.value == 2 / 8
    # In each class one says something else once and the other twice, of four: dealt anew they differ in 1 place where
    # the one meets one of the two, else in 3, each with chance 1/2. So in 4 of 8 on average, in 2 with chance 1/4.
    assert found.expected == pytest.approx(4 / 8, abs=4 * 0.2 / 4000**0.5)
    assert found.p == pytest.approx(1 / 4, abs=4 * (3 / 16 / 4000) ** 0.5)


def test_dealing_within_classes_keeps_all_errors_and_their_kinds() -> None:
    labels = np.repeat([2, 0, 1], 30)
    answers = Predictions(labels, np.random.default_rng(0).integers(0, 3, 90))
    dealt = within_classes(answers, np.random.default_rng(1))
    for label in range(3):
        here = labels == label
        assert np.bincount(dealt[here]).tolist() == np.bincount(answers.predicted[here]).tolist()
    assert (dealt != answers.predicted).any()


def test_error_overlap_and_kappa_by_hand_and_against_scipy() -> None:
    """Ten examples; a is wrong on 0-3, b on 2-6: both on two of the seven that either misses."""
    labels = [0] * 10
    a, b = ([int(i in wrong) for i in range(10)] for wrong in (range(4), range(2, 7)))
    pair = asked(a, b, labels)
    overlap, kappa = (exact(name, pair) for name in ("error-overlap", "error-kappa"))
    chance = hypergeom(10, 4, 5)
    support = np.arange(5)
    assert overlap.value == pytest.approx(2 / 7)
    assert overlap.expected == pytest.approx(chance.pmf(support) @ (support / (9 - support)))
    assert overlap.p == kappa.p == pytest.approx(chance.sf(1))
    # Both right or both wrong in 2 + 3 of 10; by the rates 0.4 * 0.5 + 0.6 * 0.5 = 0.5.
    assert kappa.value == pytest.approx((0.5 - 0.5) / 0.5)
    assert kappa.expected == pytest.approx(0, abs=1e-12)


def test_networks_without_an_error_have_no_overlap_of_errors() -> None:
    pair = asked([0, 1, 1], [0, 1, 1], [0, 1, 1])
    assert np.isnan(exact("error-overlap", pair).value)
    assert np.isnan(exact("error-kappa", pair).value)
    assert sampled("disagreement", pair, 3).p == 1


def test_a_layer_that_answers_the_same_to_all_has_no_alignment() -> None:
    assert not gram(torch.full((6, 3), 0.1)).any()
    one, dead = subject(1), subject(2)
    state = {name: x * 0 if name.startswith("fc") else x for name, x in dead.end.items()}
    frame = rows(one, replace(dead, end=state), measures=["cka"])
    value = dict(frame.select("layer", "value").rows())
    assert value["fc.weight"] is None
    assert value["all"] == value["conv.weight"] > 0
    assert frame.filter(layer="fc.weight").select("expected", "z", "p").row(0) == (None, None, None)


def test_independent_networks_are_at_chance() -> None:
    """Two sets of errors thrown at random, two hundred times."""
    rng = np.random.default_rng(3)
    p = []
    for _ in range(200):
        a, b = (np.where(rng.random(300) < 0.3, 1, 0).tolist() for _ in range(2))
        p.append(exact("error-overlap", asked(a, b, [0] * 300)).p)
    assert 1 <= sum(value <= 0.05 for value in p) <= 19
    assert abs(np.mean(p) - 0.5) < 0.09


def test_the_barrier_is_the_largest_error_between_two_over_their_mean() -> None:
    a, b, its = subject(4), subject(6), exam()
    its.data.test_y = torch.from_numpy(predictions_of(a, NET, its.data).predicted)
    [row] = compare([a, b], exam=lambda _: its, measures=["barrier"]).rows(named=True)
    assert (row["null"], row["n_null"], row["expected"], row["z"], row["p"]) == (None, 0, None, None, None)
    errors = []
    for step in range(11):
        state = {
            name: x + (b.end[name] - x) * step / 10 if x.is_floating_point() else x
            for name, x in a.end.items()
        }
        module = NET.build()
        module.load_state_dict(state)
        module.train()
        module.norm.momentum = 1.0
        with torch.no_grad():
            module(its.data.train(its.rows))  # one batch: its statistics
            x = its.data.test(0, 90)
            errors.append(float((module.eval()(x).argmax(1) != its.data.test_y).double().mean()))
    assert row["value"] > 0
    assert row["value"] == pytest.approx(max(errors) - (errors[0] + errors[-1]) / 2, abs=1e-6)


def test_networks_of_differently_normalised_inputs_are_asked_in_their_own_way() -> None:
    its = {"RUN:r1": exam(), "RUN:r2": exam(normalisation="unit")}
    a, b = subject(1), subject(2)
    frame = compare([a, b], measures=["function"], exam=lambda one: its[one.replicate], n_null=2)
    assert frame.filter(measure="barrier")["value"].to_list() == [None]
    said = predictions_of(b, NET, data("unit")).predicted
    assert said.tolist() != predictions_of(b, NET, data()).predicted.tolist()
    assert frame.filter(measure="disagreement")["value"].item() == pytest.approx(
        np.mean(predictions_of(a, NET, data()).predicted != said)
    )


def test_the_same_seed_gives_the_same_table_and_another_other_nulls() -> None:
    first, again, other = (rows(subject(1), subject(2), measures=["cka"], seed=seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert first["value"].equals(other["value"])
    assert not first["expected"].equals(other["expected"])


def test_pairs_that_are_not_wanted_are_left_out_and_subjects_stay_as_they_are() -> None:
    three = [subject(seed) for seed in (1, 2, 3)]
    before = [{name: x.clone() for name, x in each.end.items()} for each in three]
    frame = rows(*three, among=lambda a, b: "r1" in a.name)
    assert len(frame.select("a", "b").unique()) == 2
    for each, state in zip(three, before, strict=True):
        assert all(torch.equal(each.end[name], x) for name, x in state.items())


def test_rows_of_function_come_after_those_of_masks_and_keep_their_nulls() -> None:
    """Whatever the order that is asked in; a null that is asked for is one of masks."""
    frame = rows(
        subject(1), subject(2), measures=["function", "jaccard", "cka"], nulls=["layer-shuffle", "rewire"]
    )
    assert frame["measure"].unique(maintain_order=True).to_list() == ["jaccard", *FUNCTION]
    nulls = {name: set(part["null"]) for (name,), part in frame.group_by("measure")}
    assert nulls["jaccard"] == {"layer-shuffle", "rewire"}
    assert nulls["cka"] == {"example-shuffle"}
    assert nulls["barrier"] == {None}
    with pytest.raises(UserError, match=r"unknown measure 'disagreemnt'.*'disagreement'"):
        rows(subject(1), subject(2), measures=["disagreemnt"])


def test_mistakes_get_one_sentence() -> None:
    bare = replace(subject(1), end=None)
    with pytest.raises(UserError, match="holds no end weights"):
        rows(bare, subject(2))
    with pytest.raises(UserError, match="needs the hidden units"):
        rows(subject(1), subject(2), alignments=["weights@end"])
    other = subject(2)
    lacking = replace(other, end={name: x for name, x in other.end.items() if name != "norm.bias"})
    with pytest.raises(UserError, match=r"norm\.bias"):
        rows(subject(1), lacking)
    exams = {"RUN:r1": exam(), "RUN:r2": exam()}
    exams["RUN:r2"].data.test_y = torch.zeros(90, dtype=torch.int64)
    with pytest.raises(UserError, match="have other test examples"):
        compare([subject(1), subject(2)], measures=["cka"], exam=lambda one: exams[one.replicate])
    with pytest.raises(UserError, match="measure 'cka' needs the network and the data"):
        compare([subject(1), subject(2)], measures=["jaccard", "cka"])
