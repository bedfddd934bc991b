"""How well membership in a ticket is told before training: models fitted on some replicates, tried on another.

Each replicate is the tested one once, so that its numbers are an observation; models of two of them share most of what
they were fitted on, which the interval over replicates does not know of. Nothing is told from the tested ticket: votes
are those of tickets that a model is fitted on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tombola.alignment.words import WHOLE
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.seeds import Seeds
from tombola.transfer.features import AT_START, EARLY, Floats, Table, earlier, joined
from tombola.transfer.predictor import EXAMPLES, MODELS, Kind, Predictor, fit, living

Bits = NDArray[np.bool_]
SHUFFLED = "shuffled labels"
"""A model fitted on labels in random order, tensor by tensor: what it seems to know is chance."""
BINS = 10
FEWEST = 3
"""Replicates, of which two are fitted on at least: each of them needs another's ticket as a vote."""


@dataclass(frozen=True)
class Told:
    """A replicate whose ticket is known: its features without those of other tickets, its mask and its streams."""

    replicate: int
    table: Table
    mask: Mask
    seeds: Seeds


@dataclass(frozen=True)
class Finding:
    """One number: `by` a model, a plain score or the null, in one tensor (or all) of one tested replicate.

    `quantity` is "auc", "brier", "brier of the share" (of always saying the share that lives) or "importance" of a
    `feature`: what is lost of the AUC where that column is in random order.
    """

    by: str
    layer: str
    replicate: int
    quantity: str
    feature: str
    value: float


@dataclass(frozen=True)
class Reliable:
    """Of weights that a model gave a chance in one tenth of 0..1: how many, what it said on average, what lived."""

    by: str
    replicate: int
    tenth: int
    weights: int
    said: float
    lived: float


Aligned = Mapping[tuple[int, int], Mask]
"""(Replicate, another) -> the ticket of the other, its units in the order of the first."""


def cross_validated(
    architecture: Architecture, told: Sequence[Told], aligned: Aligned, kinds: Sequence[Kind] = tuple(MODELS)
) -> tuple[list[Finding], list[Reliable]]:
    """Every replicate in turn told from the others. Raises UserError for fewer than `FEWEST` replicates."""
    if len(told) < FEWEST:
        raise UserError(f"prediction needs {FEWEST} replicates with a ticket at least, found {len(told)}")
    findings: list[Finding] = []
    reliable: list[Reliable] = []
    for one in told:
        known, table = tables_for(architecture, one, [each for each in told if each is not one], aligned)
        findings += _plain(one, table)
        for kind in kinds:
            model = fit(kind, known, one.seeds.stream("predict", kind))
            chances = model.chances(table)
            findings += [*_scored(kind, one, chances), *_importances(kind, one, table, model, chances)]
            reliable += _reliability(kind, one, chances)
        rng = one.seeds.stream("predict", "shuffled")
        guess = fit(kinds[0], [(features, shuffled(mask, rng)) for features, mask in known], rng)
        findings += [each for each in _scored(SHUFFLED, one, guess.chances(table)) if each.quantity == "auc"]
    return findings, reliable


def tables_for(
    architecture: Architecture, one: Told, others: Sequence[Told], aligned: Aligned
) -> tuple[list[tuple[Table, Mask]], Table]:
    """What the others' tickets are fitted by, and what `one` is told by: features with the votes of the others, of
    each of which the ticket does not vote for itself."""

    def whole(each: Told) -> Table:
        voters = [aligned[each.replicate, other.replicate] for other in others if other is not each]
        return joined(each.table, earlier(architecture, voters))

    return [(whole(each), each.mask) for each in others], whole(one)


def auc(scores: Floats, lives: Bits) -> float | None:
    """The chance that a weight that lives scores above one that is dead, ties counted half; None without both."""
    from scipy.stats import rankdata

    here = int(lives.sum())
    pairs = here * (len(lives) - here)
    if not pairs:
        return None
    return float((rankdata(scores)[lives].sum() - here * (here + 1) / 2) / pairs)


def brier(chances: Floats, lives: Bits) -> float:
    """The mean square of what a chance misses what came by (Brier 1950)."""
    return float(np.mean((chances - lives) ** 2))


def reliability(chances: Floats, lives: Bits) -> list[tuple[int, int, float, float]]:
    """For each tenth of 0..1 with chances in it: its number, how many, their mean and the share that lived."""
    tenths = np.minimum((chances * BINS).astype(int), BINS - 1)
    found = [(tenth, tenths == tenth) for tenth in range(BINS)]
    return [
        (tenth, int(there.sum()), float(chances[there].mean()), float(lives[there].mean()))
        for tenth, there in found
        if there.any()
    ]


def _plain(one: Told, table: Table) -> Iterator[Finding]:
    """Scores that need no model: the magnitude, at the start and after k steps."""
    for feature in (AT_START, EARLY):
        if all(feature in columns.names for columns in table.values()):
            scores = {name: columns.column(feature) for name, columns in table.items()}
            yield from _aucs(feature, one, scores)


def _scored(by: str, one: Told, chances: Mapping[str, Floats]) -> Iterator[Finding]:
    yield from _aucs(by, one, chances)
    said = np.concatenate([chances[name] for name in chances])
    lives = np.concatenate([living(one.mask, name) for name in chances])
    share = np.concatenate([np.full(one.mask.size(name), one.mask.density(name)) for name in chances])
    for quantity, values in (("brier", said), ("brier of the share", share)):
        yield Finding(by, WHOLE, one.replicate, quantity, "", brier(values, lives))


def _aucs(by: str, one: Told, scores: Mapping[str, Floats]) -> Iterator[Finding]:
    """Of each tensor; of all of them the mean, by weights: how many live in which tensor is known beforehand, and no
    credit is given for it."""
    found = {name: auc(scores[name], living(one.mask, name)) for name in scores}
    known = {name: value for name, value in found.items() if value is not None}
    for name, value in known.items():
        yield Finding(by, name, one.replicate, "auc", "", value)
    if known:
        mean = np.average(list(known.values()), weights=[one.mask.size(name) for name in known])
        yield Finding(by, WHOLE, one.replicate, "auc", "", float(mean))


def _importances(
    by: str, one: Told, table: Table, model: Predictor, chances: Mapping[str, Floats]
) -> Iterator[Finding]:
    """What is lost of the AUC of a tensor where one column of its features is in random order (Breiman 2001); over at
    most `EXAMPLES` weights, drawn."""
    for name, columns in table.items():
        rng = one.seeds.stream("predict", by, "importance", name)
        rows = rng.permutation(len(columns.values))[:EXAMPLES]
        lives = living(one.mask, name)[rows]
        before = auc(chances[name][rows], lives)
        for place, feature in enumerate(columns.names) if before is not None else ():
            values = columns.values[rows]
            values[:, place] = rng.permutation(values[:, place])
            after = auc(model.chances_of(name, values), lives)
            assert before is not None
            assert after is not None
            yield Finding(by, name, one.replicate, "importance", feature, before - after)


def _reliability(by: str, one: Told, chances: Mapping[str, Floats]) -> Iterator[Reliable]:
    said = np.concatenate([chances[name] for name in chances])
    lives = np.concatenate([living(one.mask, name) for name in chances])
    for tenth, weights, mean, lived in reliability(said, lives):
        yield Reliable(by, one.replicate, tenth, weights, mean, lived)


def shuffled(mask: Mask, rng: np.random.Generator) -> Mask:
    """As many living weights in each tensor, at random places."""
    return Mask(
        {
            name: torch.from_numpy(rng.permutation(bits.reshape(-1).numpy())).view(bits.shape)
            for name, bits in mask.items()
        }
    )
