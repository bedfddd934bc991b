"""Subjects that were asked: trained networks, with what they answer to examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from torch import Tensor

from tombola.alignment.outputs import Integers, Predictions, predictions_of
from tombola.alignment.subject import Subject
from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.models.architecture import Architecture


@dataclass(frozen=True)
class Exam:
    """What a network is asked: the test examples of `data`, and its training examples `rows` (int64 [n])."""

    architecture: Architecture
    data: Resident
    rows: Tensor

    @property
    def examples(self) -> Tensor:
        """The training examples [n, *input shape]."""
        return self.data.train(self.rows)


@dataclass(frozen=True, kw_only=True)
class Answered(Subject):
    """A subject, what it was asked, and what it answered."""

    exam: Exam
    answers: Predictions


def answered(subjects: Sequence[Subject], exam: Callable[[Subject], Exam], hidden: bool) -> list[Answered]:
    """The subjects with their answers to `exam`, with `hidden` also those of hidden layers.

    Raises UserError for a subject without end weights, weights that are not of the architecture, and other test
    examples.
    """
    found = [_answered(subject, exam(subject), hidden) for subject in subjects]
    for other in found[1:]:
        if not np.array_equal(other.answers.labels, found[0].answers.labels):
            raise UserError(
                f"{found[0].name} and {other.name} have other test examples; what they say cannot be compared"
            )
    return found


def _answered(subject: Subject, exam: Exam, hidden: bool) -> Answered:
    examples = exam.examples if hidden else None
    answers = predictions_of(subject, exam.architecture, exam.data, examples)
    known = {field.name: getattr(subject, field.name) for field in fields(Subject)}
    return Answered(**known, exam=exam, answers=answers)


def asked(subject: Subject) -> Answered:
    """The subject, known to have answered: measures of function are given no others."""
    assert isinstance(subject, Answered)
    return subject


def example_shuffle(subject: Subject, rng: np.random.Generator) -> Subject:
    """The answers of hidden layers with the examples in random order."""
    answers = asked(subject).answers
    order = rng.permutation(max((len(gram) for gram in answers.grams.values()), default=0))
    grams = {layer: gram[np.ix_(order, order)] for layer, gram in answers.grams.items()}
    return replace(asked(subject), answers=replace(answers, grams=grams))


def class_shuffle(subject: Subject, rng: np.random.Generator) -> Subject:
    """The predictions dealt anew among the test examples of each class: all errors stay, on other examples."""
    answers = asked(subject).answers
    return replace(asked(subject), answers=replace(answers, predicted=within_classes(answers, rng)))


def within_classes(answers: Predictions, rng: np.random.Generator) -> Integers:
    """The predictions in random order among the test examples of each class."""
    dealt = np.empty_like(answers.predicted)
    places = np.argsort(answers.labels, kind="stable")
    dealt[places] = answers.predicted[np.lexsort((rng.random(len(places)), answers.labels))]
    return dealt


NULLS_OF_ANSWERS: Mapping[str, Callable[[Subject, np.random.Generator], Subject]] = {
    "example-shuffle": example_shuffle,
    "class-shuffle": class_shuffle,
}
"""What answers would be by chance, each the null of measures that read answers and of no others."""
