"""What a study comes to: the questions that its hypotheses answer, a sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tombola.alignment.words import WHOLE
from tombola.analysis import wording
from tombola.analysis.verdict import Verdict
from tombola.study.claims import QUESTIONS, MeasureAt, Question
from tombola.text import percent


@dataclass(frozen=True)
class Sentence:
    """The answer to one question.

    `asked` is the question and `said` the answer in words. `decision`, `difference`, `low`, `high` and `n` are those of
    the main verdict, the first that answers it; `verdicts` are the names of all that do, in the order of the study.
    """

    question: Question
    asked: str
    said: str
    decision: str
    difference: float | None
    low: float | None
    high: float | None
    n: int
    verdicts: tuple[str, ...]

    def table(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


def sentences(verdicts: Sequence[Verdict]) -> list[Sentence]:
    """An answer to each question that some verdict answers, in the order of `QUESTIONS`."""
    found = []
    for question, asked in QUESTIONS.items():
        own = [each for each in verdicts if each.answers == question]
        if own:
            main = own[0]
            said = _of_the_gap(verdicts) if question == "gap" else ""
            found.append(
                Sentence(
                    question,
                    asked,
                    said + "; ".join(_told(each, first=each is main) for each in own) + ".",
                    main.decision,
                    main.difference,
                    main.low,
                    main.high,
                    main.n,
                    tuple(each.name for each in own),
                )
            )
    return found


def _told(verdict: Verdict, first: bool) -> str:
    """A verdict in half a sentence: the decision before the estimate where it is the main one, else after it."""
    decided = wording.decided(verdict)
    what = f"{label(verdict)}: {wording.difference(verdict)}"
    if not first:
        return f"{what} ({decided})"
    why = f" ({verdict.why})" if verdict.why else ""
    return f"{decided[:1].upper()}{decided[1:]}{why}. {_capital(what)}, n = {verdict.n}"


def label(verdict: Verdict) -> str:
    """What is compared: 'ticket less rewire at 3.4%, jaccard in fc1.weight'."""
    density = verdict.density if verdict.density is not None else verdict.wanted
    where = f" at {percent(density)}" if density else ""
    measure = f", {measured(verdict.quantity)}" if verdict.of_measure else ""
    return f"{wording.contrast(verdict.arms)}{where}{measure}"


def measured(quantity: str) -> str:
    """A measure as people call it: 'measure:jaccard@weights@dense-held-out,fc1.weight' is 'jaccard (fc1.weight)'."""
    at = MeasureAt.parse(quantity)
    places = [part for part in (at.side, None if at.layer == WHOLE else at.layer) if part]
    return at.name.replace("-", " ") + (f" ({', '.join(places)})" if places else "")


def _of_the_gap(verdicts: Sequence[Verdict]) -> str:
    """The share that what carries over has of a gap; '' where no claim asks for one."""
    asked = [each for each in verdicts if each.answers == "transfers" and each.share_of]
    if not asked:
        return ""
    one = asked[0]
    if one.share is None or one.share_low is None or one.share_high is None:
        return f"No share can be told, since {one.share_of} may be 0. "
    low, high = (f"{100 * end:.0f}" for end in (one.share_low, one.share_high))
    return f"{percent(one.share, 0)} [{low}, {high}] of {one.share_of}. "


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
