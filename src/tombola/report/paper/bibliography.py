"""The works that a paper cites, and how the sources named in descriptions become references."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tombola.report.paper.document import Cite, Words

FILE = "works.bib"
LOTTERY = "frankle2019lottery"
BACKGROUND = (LOTTERY, "zhou2019deconstructing", "renda2020comparing", "frankle2020linear")
"""Works that every study of tickets stands beside."""

ABBREVIATED = {"F&C 2019": "Frankle & Carbin 2019"}
"""Labels as they stand in descriptions -> labels of works."""


@dataclass(frozen=True)
class Work:
    """A work of the bibliography: authors are as BibTeX has them, surname first; `finding` completes a sentence that
    begins with its authors."""

    key: str
    authors: tuple[str, ...]
    title: str
    venue: str
    year: str
    arxiv: str
    finding: str

    @property
    def names(self) -> str:
        """Who wrote it, as a sentence calls them; the title's first part where nobody is named."""
        surnames = [author.partition(",")[0] for author in self.authors]
        if not surnames:
            return self.title.partition(":")[0]
        if len(surnames) > 2 or "others" in surnames:
            return f"{surnames[0]} et al."
        return " & ".join(surnames)

    @property
    def label(self) -> str:
        """How the descriptions of parts name it: 'Zhou et al. 2019'."""
        return f"{self.names} {self.year}"

    def __str__(self) -> str:
        """The entry of a list of references."""
        *front, last = [_initialled(author) for author in self.authors] or [""]
        last = "et al." if last == "others" else last
        authors = f"{', '.join(front)} {'' if last == 'et al.' else 'and '}{last}" if front else last
        found = [authors, f"“{self.title}”", self.venue, self.arxiv and f"arXiv:{self.arxiv}", self.year]
        return ", ".join(part for part in found if part) + "."


@cache
def bibliography() -> str:
    """The text of the `.bib` file."""
    return (resources.files("tombola.report") / "templates" / FILE).read_text()


@cache
def works() -> dict[str, Work]:
    """Key -> work, in the order of the file (ours: one field a line)."""
    found = {}
    for key, body in re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", bibliography(), re.MULTILINE | re.DOTALL):
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, re.MULTILINE))
        plain = {name: re.sub(r"[{}]", "", value) for name, value in fields.items()}
        authors = tuple(plain["author"].split(" and ")) if "author" in plain else ()
        venue = plain.get("booktitle") or plain.get("note", "")
        found[key] = Work(
            key, authors, plain["title"], venue, plain["year"], plain.get("eprint", ""), plain["abstract"]
        )
    return found


def referring(text: str) -> Words:
    """The text with the sources that it names as references: '(after Zhou et al. 2019, section 2)' becomes 'after' and
    a Cite. Sources that are not in the bibliography stay as they are."""
    parts: list[str | Cite] = []
    end = 0
    for match in _sources().finditer(text):
        after, label, where = match["after"] or "", match["label"], match["where"] or ""
        whole = text[match.start()] == "(" and text[match.end() - 1] == ")"
        before = text[end : match.start()] + ("" if whole or not match["open"] else "(") + after
        where = where.removeprefix(", ").strip()
        parts += [before, Cite(_labels()[label], f"Section {where}" if where[:1].isdigit() else where)]
        if match["close"] and not whole:
            parts.append(")")
        end = match.end()
    return tuple(part for part in (*parts, text[end:]) if part)


@cache
def _labels() -> dict[str, str]:
    """Label -> key."""
    known = {work.label: key for key, work in works().items()}
    return known | {short: known[label] for short, label in ABBREVIATED.items()}


@cache
def _sources() -> re.Pattern[str]:
    labels = "|".join(re.escape(label) for label in sorted(_labels(), key=len, reverse=True))
    return re.compile(
        rf"(?P<open>\()?(?P<after>after )?(?P<label>{labels})(?P<where>, [^;()]*)?(?P<close>\))?"
    )


def listed_works(keys: Sequence[str]) -> list[Work]:
    """The works of these keys, in their order."""
    return [works()[key] for key in keys]


def _initialled(author: str) -> str:
    """'Frankle, Jonathan' -> 'J. Frankle'."""
    surname, _, given = author.partition(", ")
    return " ".join([*(f"{name[0]}." for name in given.split()), surname])
