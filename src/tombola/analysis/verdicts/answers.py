"""What a study comes to: the questions that its hypotheses answer, a sentence each, and counts by family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tombola.analysis.verdicts import plain, wording
from tombola.analysis.verdicts.verdict import Verdict
from tombola.stats.verdict import CLOSE, DECISIONS, UNRESOLVED
from tombola.study.claims import QUESTIONS, Question
from tombola.text import counted, listed, percent


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
                " ".join(filter(None, (share + _main(first, bool(share)), _beside(beside, main)))),
                _more([each for each in others if each not in beside], main),
                _word(main, question, verdicts),
                main.decision,
                main.difference,
                main.low,
                main.high,
                main.n,
                tuple(dict.fromkeys(each.name for each in own)),
            )
        )
    return found


def _word(main: Verdict, question: Question, verdicts: Sequence[Verdict]) -> str:
    """The verdict in words; where a share is asked for, that first: '37% [-9, 76]; the claim on it: yes'."""
    share = _share(verdicts) if question == "gap" else ""
    return f"{share}; the claim on it: {wording.decided(main)}" if share else wording.decided(main)


def families(verdicts: Sequence[Verdict]) -> list[list[Verdict]]:
    """The tests of each family, in the order of the study."""
    found: dict[str, list[Verdict]] = {}
    for each in verdicts:
        found.setdefault(each.family, []).append(each)
    return list(found.values())


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many tests came out how."""
    return f"Of {counted(len(verdicts), 'test')} of the claims, {counts(verdicts)}."


def by_family(verdicts: Sequence[Verdict]) -> str:
    """How many tests of each family came out how: 'Of 3 tests of ‘answer’ 3 are “yes”; of 2 tests of ...'."""
    said = "; ".join(
        f"of {counted(len(family), 'test')} of ‘{family[0].family}’ {counts(family)}"
        for family in families(verdicts)
    )
    return f"{said[:1].upper()}{said[1:]}."


def counts(verdicts: Sequence[Verdict]) -> str:
    """'9 are “yes” and 1 is “too close to say”'."""
    number = Counter(each.decision for each in verdicts)
    return listed(
        f"{number[each]} {'is' if number[each] == 1 else 'are'} “{wording.DECIDED[each]}”"
        for each in DECISIONS
        if number[each]
    )


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
    decided = wording.decided(verdict)
    if named:
        said = f"{verdict.claim.rstrip('.')} ({decided}{f'; {why}' if why else ''})"
    else:
        said = _capital(decided) + (f" ({why})" if why else "")
    where = f"{place(verdict)}, " if place(verdict) else ""
    return f"{said}: {where}{plain.compared(verdict)} (n = {verdict.n}{wording.lenders(verdict)})."


def _beside(verdicts: Sequence[Verdict], main: Verdict) -> str:
    """Other verdicts on whole networks at one density, in one sentence where they ask the same of the main one's arm;
    where that is another density than the main one's, the sentence begins with it."""
    if not verdicts:
        return ""
    where = f"{place(verdicts[0])} " if place(verdicts[0]) != place(main) else ""
    one = all((each.a, each.quantity) == (main.a, main.quantity) for each in verdicts)
    if one and all(
        each.difference is not None and (not each.c or each.arms == main.arms) for each in verdicts
    ):
        known = main.of_measure or [each.arms for each in verdicts] == [main.arms]
        found = listed(f"{_difference(each, main, known)} ({_decided(each)})" for each in verdicts)
        said = [found if known else f"it is {found}"]
    else:
        said = [f"{plain.compared(each)} ({_decided(each)})" for each in verdicts]
    return " ".join(f"{_capital(where + each)}." for each in said)


def _difference(verdict: Verdict, main: Verdict, known: bool) -> str:
    """The difference alone, where it is `known` what it is of and of the main one's arms; else against which arm."""
    if known and verdict.arms == main.arms:
        return f"the difference is {plain.amount(verdict)}"
    return plain.against(verdict)


def _decided(verdict: Verdict) -> str:
    """The verdict in a word or two; of a claim with a margin also what was claimed."""
    word = wording.decided(verdict)
    return f"{wording.claimed(verdict).replace(' pp', ' points')}: {word}" if verdict.margin else word


def _more(verdicts: Sequence[Verdict], main: Verdict) -> str:
    """Other densities and layers, a sentence for each density: 'At 1.6% of the weights the difference is 1.09 points
    (yes). Layer by layer: fc1 0.37 points (yes), ... Layer by layer at 1.6%: fc1 ...'."""
    groups: dict[tuple[str, tuple[str, ...]], list[Verdict]] = {}
    for each in verdicts:
        groups.setdefault((place(each), each.arms if plain.layer(each) else ()), []).append(each)
    return " ".join(
        _layers(found, main) if layered else _beside(found, main) for (_, layered), found in groups.items()
    )


def _layers(verdicts: Sequence[Verdict], main: Verdict) -> str:
    """Verdicts on layers at one density, of one pair of arms."""
    first = verdicts[0]
    arms = f" of {wording.contrast(first.arms)}" if first.arms != main.arms else ""
    at = f" {_density(first)}" if place(first) != place(main) else ""
    found = (
        f"{plain.layer(each)} {plain.amount(each) if each.difference is not None else '–'} ({_decided(each)})"
        for each in verdicts
    )
    return f"Layer by layer{arms}{at}: {', '.join(found)}."


def where_beside(verdict: Verdict, main: Verdict) -> str:
    """Where it is asked, as far as it is not where the main one is: 'fc1', 'at 1.7%', 'fc1 at 1.7%'."""
    density = _density(verdict) if place(verdict) != place(main) else ""
    return " ".join(filter(None, (plain.layer(verdict), density)))


def _density(verdict: Verdict) -> str:
    """'at 1.7%'."""
    return place(verdict).removesuffix(" of the weights")


def _of_the_gap(verdicts: Sequence[Verdict]) -> str:
    """The share that what carries over has of a gap; '' where no claim asks for one."""
    asked = [each for each in verdicts if each.answers == "transfers" and each.share_of]
    if not asked:
        return ""
    one = asked[0]
    if one.control:
        return f"No share can be told, since {one.control} did not come out. "
    gap, share = " and ".join(map(plain.arm, one.share_of.split(" less "))), _share(verdicts)
    if not share:
        return f"No share can be told, since there may be no gap between {gap}. "
    return f"What carries over is {share} of the gap between {gap}. "


def _share(verdicts: Sequence[Verdict]) -> str:
    """'25% [2, 49]'; '' where no claim asks for a share, where a control did not come out, or where there may be no
    gap."""
    one = next((each for each in verdicts if each.answers == "transfers" and each.share_of), None)
    if one is None or one.control or one.share is None or one.share_low is None or one.share_high is None:
        return ""
    return f"{percent(one.share, 0)} [{100 * one.share_low:.0f}, {100 * one.share_high:.0f}]"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
