"""How a study draws its tickets, step by step."""

from __future__ import annotations

from tombola.lottery import MODES
from tombola.masks import CRITERIA
from tombola.report.bibliography import LOTTERY, referring
from tombola.report.blocks import Block, Cite, Items, Paragraph, Words, paragraph
from tombola.report.material import Material
from tombola.training import SEARCHES


def algorithm(m: Material) -> list[Block]:
    """Drawing a ticket, step by step."""
    pruning = m.study.pruning
    scored: Words = (
        f"Weights are scored by the criterion '{pruning.criterion}': ",
        *referring(plain_start(CRITERIA.describe(pruning.criterion))),
        " ",
    )
    by = Items(tuple(_steps(m)), numbered=True)
    where = {"layerwise": "within each layer", "global": "over all layers together"}
    place = where.get(pruning.allocation, f"with layer densities by the rule '{pruning.allocation}'")
    rates = "".join(f", {100 * rate:g}% in layers of kind '{name}'" for name, rate in pruning.rates.items())
    unit = "" if pruning.structure == "weights" else f" Weights live or die in groups ({pruning.structure})."
    return [
        paragraph("A ticket is drawn as follows."),
        by,
        Paragraph(
            (
                # A search has scores of its own.
                *(() if pruning.mode in SEARCHES else scored),
                f"Each step removes {100 * pruning.rate:g}% of the weights that are left{rates}, {place}.{unit} "
                "Ties are broken by a seeded rule, and a weight once pruned stays pruned."
                if pruning.mode in ("iterative", "continued")
                else f"Levels have the counts of a ladder that removes {100 * pruning.rate:g}% of what is left at "
                f"each step{rates}, {place}.{unit}",
            )
        ),
    ]


def _steps(m: Material) -> list[Words]:
    """The steps of the study's mode."""
    pruning, recipe = m.study.pruning, m.study.recipe
    back = (
        "the initial weights"
        if pruning.rewind == 0
        else f"the weights of iteration {pruning.rewind:,}, together with the schedule"
    )
    goes_on: dict[str, Words] = {
        "rewind": (f"Put the weights that remain back to {back}, the others to zero.",),
        "learning-rate": (
            "Keep the trained weights and put the learning rate back ",
            Cite("renda2020comparing"),
            ".",
        ),
        "fine-tune": (
            "Keep the trained weights and the last learning rate ",
            Cite("renda2020comparing"),
            ".",
        ),
    }
    begin: Words = (
        f"Draw initial weights and train the dense network for {recipe.iterations:,} iterations.",
    )
    train: Words = (
        f"Train again, up to iteration {recipe.iterations:,}: this is the ticket of the next level.",
    )
    steps: dict[str, list[Words]] = {
        "iterative": [
            begin,
            ("Prune the trained network by one step.",),
            goes_on[pruning.after],
            train,
            ("Repeat from step 2 down the ladder ", Cite(LOTTERY), "."),
        ],
        "continued": [
            begin,
            ("Prune the trained network by one step and train it on, without ever resetting it.",),
            ("Train a ticket of the same mask from ", f"{back}."),
            ("Repeat from step 2 down the ladder ", Cite(LOTTERY, "App. B"), "."),
        ],
        "one-shot": [
            begin,
            ("Prune the trained network once for each level, to its counts.",),
            goes_on[pruning.after],
            train,
        ],
        "at-init": [
            ("Draw initial weights.",),
            ("Prune the untrained network for each level, to its counts.",),
            (f"Train what is left up to iteration {recipe.iterations:,}: this is the ticket of the level.",),
        ],
        "early-bird": [
            (
                "Draw initial weights and train the dense network, watching the masks that pruning would leave.",
            ),
            ("For each level take the mask as soon as it stands still.",),
            (f"Put the weights that remain back to {back}, the others to zero.",),
            train,
        ],
    }
    return steps.get(
        pruning.mode,
        [
            ("Draw initial weights.",),
            (
                f"Search the mask of each level by a training of its own (mode '{pruning.mode}'): ",
                *referring(plain_start(MODES[pruning.mode]).rstrip(".")),
                ".",
            ),
            (f"Put the weights that the mask keeps to {back}, the others to zero.",),
            train,
        ],
    )


def plain_start(description: str) -> str:
    """A description of the catalogue that goes on in a sentence, its source kept."""
    return description[:1].lower() + description[1:]
