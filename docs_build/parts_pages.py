"""A page for every kind of named part: what it is, its formula, its null, its source, and how to ask for it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from docs_build.tables import anchor, code, prose, sentence, source, table
from tombola.cli.kinds import KINDS, lines
from tombola.comparison.measures.base import MEASURES, Measure
from tombola.lottery.arms.catalog import ARMS, Arm
from tombola.registry import Registry
from tombola.report.figures.base import Figure

DOCS = Path(__file__).parents[1] / "docs"
TITLES = {
    "models": "Models",
    "data": "Data sets",
    "mask-actions": "Actions on masks",
    "weights-actions": "Actions on weights",
    "dead-actions": "Actions on dead weights",
    "pairs": "Pairs for connect",
}
USE: Mapping[str, str] = {
    "models": '`[model] name = "NAME"`, `tombola train NAME`, or `--set model.name=NAME`.',
    "data": '`[data] name = "NAME"`, or `--data NAME`. `tombola data list` says which are here.',
    "criteria": '`[pruning] criterion = "NAME"`. What a weight scores; the lowest scores are pruned.',
    "allocations": '`[pruning] allocation = "NAME"`. How what is pruned is shared out among the layers.',
    "structures": '`[pruning] structure = "NAME"`. In which groups weights are pruned.',
    "modes": '`[pruning] mode = "NAME"`. When masks are made; options go into `[pruning.search]`.',
    "rewinds": '`[pruning] after = "NAME"`. What a ticket starts from.',
    "schedules": '`[recipe] schedule = "NAME"`. How the learning rate goes on.',
    "arms": '`[[arms]] name = "NAME"`. An arm is three actions: on the mask, on the weights that live, on the dead.',
    "mask-actions": '`[[arms]] mask = "NAME"`, in an arm of your own.',
    "weights-actions": '`[[arms]] weights = "NAME"`, in an arm of your own.',
    "dead-actions": '`[[arms]] dead = "NAME"`, in an arm of your own.',
    "measures": "`tombola compare RUN --measures NAME`, or `[compare] measures`. "
    "[Comparing tickets](../compare.md) says how to read them.",
    "alignments": "`tombola compare RUN --aligned NAME`, or `[compare] alignments`.",
    "nulls": "`tombola compare RUN --nulls NAME`, in the place of a measure's own.",
    "pairs": "`tombola connect RUN --kinds NAME`.",
    "engines": "`tombola run STUDY --engine NAME`; by default the fastest that can compute the network.",
    "routes": "`tombola transfer NAME TICKET ... --out FILE`. "
    "[Tickets from other tickets](../transfer.md) has examples.",
    "figures": "`tombola figure RUN NAME`. The [gallery](../gallery.md) shows them.",
    "trackers": "`tombola run STUDY --track NAME`. They log offline, under `track/` in the run folder.",
}


def pages() -> dict[str, str]:
    """Path -> Markdown of a page for each kind, and of their list."""
    made = {path_of(kind): page(kind) for kind in KINDS}
    rows = [[f"[{title(kind)}]({kind}.md)", len(KINDS[kind])] for kind in KINDS]
    index = (
        "# Named parts\n\nEverything that a study can be made of, by kind. `tombola catalog` prints the same. A part "
        "that you register yourself is used in the same way: [Adding a part](../adding-parts.md).\n\n"
    )
    return {"reference/parts.md": index + table(["kind", "how many"], rows), **made}


def path_of(kind: str) -> str:
    """Where the page of a kind stands."""
    return f"reference/{kind}.md"


def title(kind: str) -> str:
    """What a kind is called on its page."""
    return TITLES.get(kind) or kind.replace("-", " ").capitalize()


def page(kind: str) -> str:
    """The page of a kind."""
    parts, described = KINDS[kind], lines(kind)
    text = [f"# {title(kind)}", USE.get(kind, f"`tombola catalog {kind}` lists them.")]
    if kind == "measures":
        text.append(_families())
    for name, line in described.items():
        text.append(f"## {code(name)} {{ #{anchor(name)} }}")
        text.append(prose(sentence(line)))
        if isinstance(parts, Registry):
            text.extend(_of_part(kind, parts, name))
    return "\n\n".join(text) + "\n"


def _of_part(kind: str, parts: Registry[Any], name: str) -> list[str]:
    part = parts[name]
    found = []
    if body := _body(part, parts.describe(name)):
        found.append(prose(body))
    rows: list[list[object]] = [*FACTS[kind](name, part)] if kind in FACTS else []
    about = parts._about_of(name)
    if about.example:
        rows.append(["example", code(about.example)])
    rows += [[key.replace("_", " "), _said(value)] for key, value in about.facts.items()]
    if works := source(parts.describe(name)):
        rows.append(["source", works])
    if rows:
        found.append(table(["", ""], rows))
    return found


def _body(part: object, line: str) -> str:
    """What a docstring says after its first line; of a part that is a value and not code, nothing."""
    if not (inspect.isroutine(part) or inspect.isclass(part)):
        return ""
    first, _, rest = (inspect.getdoc(part) or "").partition("\n")
    return rest.strip() if first.strip() else ""


def _said(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else code(value)


def _of_measure(name: str, measure: Measure) -> list[list[object]]:
    formula, cost = FORMULAS.get(name, ("", ""))
    nulls = ", ".join(
        f"[`{null}`](nulls.md#{anchor(null)})" if null in KINDS["nulls"] else code(null)
        for null in measure.nulls
    )
    exact = " (in closed form where units are as they come)" if measure.exact else ""
    return [
        ["formula", formula],
        ["family", code(measure.family)],
        ["reads", measure.reads],
        ["of", "two networks" if measure.subjects == 2 else "one network"],
        ["null", (nulls or "none") + (exact if nulls else "")],
        ["alike is", "large" if measure.alike > 0 else "small"],
        ["cost", cost],
        ["under alignments", "yes" if measure.ordered else "the order of hidden units is all the same to it"],
    ]


def _families() -> str:
    """The measures by family."""
    names: dict[str, list[str]] = {}
    for name, measure in MEASURES.items():
        names.setdefault(measure.family, []).append(f"[`{name}`](#{anchor(name)})")
    return table(
        ["family", "measures"], [[code(family), ", ".join(found)] for family, found in names.items()]
    )


def _of_arm(name: str, arm: Arm) -> list[list[object]]:
    actions = [("mask", "mask-actions"), ("weights", "weights-actions"), ("dead", "dead-actions")]
    made: list[list[object]] = [
        [field, f"[`{getattr(arm, field)}`]({kind}.md#{anchor(getattr(arm, field))})"]
        for field, kind in actions
    ]
    return [*made, ["traits", ", ".join(sorted(arm.traits)) or "none"]]


def _of_action(field: str) -> Callable[[str, object], list[list[object]]]:
    def rows(name: str, part: object) -> list[list[object]]:
        using = [f"[`{arm}`](arms.md#{anchor(arm)})" for arm in ARMS if getattr(ARMS[arm], field) == name]
        return [["arms", ", ".join(using) or "none by name"]]

    return rows


def _of_figure(name: str, figure: Figure) -> list[list[object]]:
    return [
        ["section", figure.section],
        ["reading", figure.reading],
        ["drawn", f"[here](../gallery.md#{anchor(name)})"],
    ]


FACTS: Mapping[str, Callable[[str, Any], list[list[object]]]] = {
    "measures": _of_measure,
    "arms": _of_arm,
    "mask-actions": _of_action("mask"),
    "weights-actions": _of_action("weights"),
    "dead-actions": _of_action("dead"),
    "figures": _of_figure,
}


def _formulas() -> dict[str, tuple[str, str]]:
    """Measure -> its formula and cost, of the tables of docs/compare.md, which a test holds complete."""
    found: dict[str, tuple[str, str]] = {}
    heads: list[str] = []
    for line in (DOCS / "compare.md").read_text().splitlines():
        cells = [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0] == "measure":
            heads = cells
        elif heads and cells and "formula" in heads and (names := re.findall(r"`([^`]+)`", cells[0])):
            row = dict(zip(heads, cells, strict=False))
            stem = names[0].rpartition("-")[0]
            for name in names:
                full = f"{stem}{name}" if name.startswith("-") else name
                found[full] = row["formula"].replace("\\|", "|"), row.get("cost", "")
        elif not cells:
            heads = []
    return found


FORMULAS = _formulas()
