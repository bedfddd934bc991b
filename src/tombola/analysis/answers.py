"""What a study comes to: the questions that its hypotheses answer, a sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tombola.analysis import plain, wording
from tombola.analysis.verdict import Verdict
from tombola.stats.verdict import CLOSE, UNRESOLVED
from tombola.study.claims import QUESTIONS, Question
from tombola.text import listed, percent


@dataclass(frozen=True)
class Sentence:
    """The answer to one question.

    `asked` is the question, `said` the answer in words, by whole networks where it is first asked; `more` holds the
    layers and the other densities, '' where there are none. `word` is the verdict in words. `decision`, `difference`,
    `low`, `high` and `n` are those of the main verdict, the first that answers it; `verdicts` are the names of all
    that do, in the order of the study.
    """

    question: Question
    asked: str
    said: str
    more: str
    word: str
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
        if not own:
            continue
        main, *others = own
        first, *beside = [each for each in own if _leads(each, main)]
        share = _of_the_gap(verdicts) if question == "gap" else ""
        found.append(
            Sentence(
                question,
                asked,
                share + _main(first, bool(share)) + _beside(beside, main),
                _more([each for each in others if each not in beside], main),
                wording.decided(main),
                main.decision,
                main.difference,
                main.low,
                main.high,
                main.n,
                tuple(dict.fromkeys(each.name for each in own)),
            )
        )
    return found


def place(verdict: Verdict) -> str:
    """'at 3.4% of the weights'; '' of a verdict without a density."""
    density = verdict.density if verdict.density is not None else verdict.wanted
    return f"at {percent(density)} of the weights" if density else ""


def _leads(verdict: Verdict, main: Verdict) -> bool:
    """Whether it is of whole networks at the density of the main one."""
    return verdict is main or (not plain.layer(verdict) and place(verdict) == place(main))


def _main(verdict: Verdict, named: bool) -> str:
    """The verdict, then what was found; with the claim, where the verdict is not on the question itself (`named`)."""
    why = wording.reason(verdict) if verdict.decision in (CLOSE, UNRESOLVED) else ""
    decided = wording.decided(verdict) + (f" ({why})" if why else "")
    said = f"{verdict.claim.rstrip('.')}: {decided}" if named else _capital(decided)
    where = f"{place(verdict)}, " if place(verdict) else ""
    return f"{said}: {where}{plain.compared(verdict)} (n = {verdict.n})."


def _beside(verdicts: Sequence[Verdict], main: Verdict) -> str:
    """Other verdicts on whole networks at the same density, in one sentence where they ask the same of another arm."""
    if not verdicts:
        return ""
    if all((each.a, each.quantity) == (main.a, main.quantity) and not each.c for each in (main, *verdicts)):
        said = listed(f"{plain.against(each)} ({_decided(each)})" for each in verdicts)
        return f" {_capital(said) if main.of_measure else f'It is {said}'}."
    return "".join(f" {_capital(plain.compared(each))} ({_decided(each)})." for each in verdicts)


def _decided(verdict: Verdict) -> str:
    """The verdict in a word or two; of a claim with a margin also what was claimed."""
    word = wording.decided(verdict)
    return f"{wording.claimed(verdict).replace(' pp', ' points')}: {word}" if verdict.margin else word


def _more(verdicts: Sequence[Verdict], main: Verdict) -> str:
    """Layers and other densities, a list for each pair of arms: 'Layer by layer: fc1 0.37 points (yes), ...'."""
    groups: dict[str, list[str]] = {}
    for each in verdicts:
        where = where_beside(each, main)
        found = plain.amount(each) if each.difference is not None else "–"
        groups.setdefault(wording.contrast(each.arms), []).append(f"{where} {found} ({_decided(each)})")
    layers = all(plain.layer(each) for each in verdicts)
    named = {wording.contrast(main.arms): "layer by layer" if layers else "elsewhere"}
    return " ".join(
        f"{_capital(named.get(arms, arms))}: {', '.join(parts)}." for arms, parts in groups.items()
    )


def where_beside(verdict: Verdict, main: Verdict) -> str:
    """Where it is asked, as far as it is not where the main one is: 'fc1', 'at 1.7%', 'fc1 at 1.7%'."""
    density = place(verdict).removesuffix(" of the weights") if place(verdict) != place(main) else ""
    return " ".join(filter(None, (plain.layer(verdict), density)))


def _of_the_gap(verdicts: Sequence[Verdict]) -> str:
    """The share that what carries over has of a gap; '' where no claim asks for one."""
    asked = [each for each in verdicts if each.answers == "transfers" and each.share_of]
    if not asked:
        return ""
    one = asked[0]
    if one.control:
        return f"No share can be told, since {one.control} did not come out. "
    gap = " and ".join(map(plain.arm, one.share_of.split(" less ")))
    if one.share is None or one.share_low is None or one.share_high is None:
        return f"No share can be told, since there may be no gap between {gap}. "
    low, high = (f"{100 * end:.0f}" for end in (one.share_low, one.share_high))
    return f"What carries over is {percent(one.share, 0)} [{low}, {high}] of the gap between {gap}. "


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
