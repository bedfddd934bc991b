"""Methods in words: what a study trains, how it prunes, what it holds its tickets against, and how it decides."""

from __future__ import annotations

from tombola.data.dataset import DATASETS
from tombola.lottery.arms.catalog import ARMS, CONTINUED, TICKET
from tombola.lottery.modes import MODES
from tombola.masks.criteria import CRITERIA
from tombola.report.paper.bibliography import LOTTERY, referring
from tombola.report.paper.document import Block, Cite, Grid, Items, Paragraph, Words, paragraph
from tombola.report.paper.material import Material
from tombola.stats.intervals import FEWEST
from tombola.text import listed, percent
from tombola.training.recipe import Recipe
from tombola.training.search.base import SEARCHES


def network(m: Material) -> list[Block]:
    """The network with its counts."""
    options = ", ".join(f"{key} = {value}" for key, value in m.study.model.options.items())
    name = f"{m.study.model.name}{f' ({options})' if options else ''}"
    if not m.layers:
        why = f": {m.unknown}" if m.unknown else ""
        return [paragraph(f"The network is {name}; its layers could not be counted here{why}.")]
    count = f"{len(m.layers)} layer{'s' * (len(m.layers) > 1)}"
    patterns = [f"'{pattern}'" for pattern in m.study.model.prune]
    also = f", and the matrices called {listed(patterns)}" if patterns else ""
    of = f" of {m.tables.scope.parameters:,} parameters" if m.tables and m.tables.scope else ""
    said = paragraph(
        f"The network is {name}, with {m.weights:,} prunable weights{of} in {count}. Prunable are the weights of "
        f"linear and convolutional layers{also}; biases and parameters of normalisation are trained and never pruned. "
        "Density is the share of prunable weights that remain."
    )
    rows = tuple(
        (
            layer.name,
            " × ".join(map(str, layer.shape)),
            f"{layer.weights:,}",
            f"{layer.weights / m.weights:.1%}",
        )
        for layer in m.layers
    )
    return [said, Grid(("layer", "shape", "weights", "share"), rows, ("The prunable layers.",), left=2)]


def data(m: Material) -> Paragraph:
    """The data, and what is kept for validation."""
    spec = m.study.data
    known = DATASETS.describe(spec.name).rstrip(".") if spec.name in DATASETS else ""
    what = f"{spec.name}: {known[:1].lower()}{known[1:]}" if known else spec.name
    digest = f" with digest {spec.digest}" if spec.digest else ""
    kept = (
        f"{spec.validation:,} training examples"
        if isinstance(spec.validation, int)
        else (f"{spec.validation:.0%} of the training examples")
    )
    normalisation = {
        "standard": "standardised by the mean and deviation of the training set",
        "unit": "scaled to the interval from 0 to 1",
        "none": "given to the network as they are",
    }
    said = normalisation.get(str(spec.normalisation), f"normalised by the rule '{spec.normalisation}'")
    return paragraph(
        f"The data are {what}{digest}. Inputs are {said}. Of each replicate {kept}, drawn by its own split, are "
        "held out for validation; nothing is selected on the test set."
    )


def training(m: Material) -> Paragraph:
    """The recipe."""
    recipe = m.study.recipe
    more = [
        f"weight decay {recipe.weight_decay:g}" * (recipe.weight_decay > 0),
        f"label smoothing {recipe.label_smoothing:g}" * (recipe.label_smoothing > 0),
        f"a linear warmup of {recipe.warmup:,} iterations" * (recipe.warmup > 0),
        "random horizontal flips" * recipe.flip,
        f"random crops from {recipe.crop} pixels of padding" * (recipe.crop > 0),
        f"{recipe.precision} arithmetic" * (recipe.precision != "float32"),
    ]
    extra = [part for part in more if part]
    return paragraph(
        f"Every network is trained for {recipe.iterations:,} iterations in batches of {recipe.batch} by "
        f"{_optimizer(recipe)}, learning rate {recipe.lr:g}, {_schedule(recipe)}"
        f"{', with ' + listed(extra) if extra else ''}. The validation loss is measured every "
        f"{recipe.evaluate_every:,} iterations. Early stop is its first minimum, found after the full training; "
        "test accuracy is reported for the network of that iteration, and at the end."
    )


def ladder(m: Material) -> Paragraph:
    """The levels and their densities."""
    study = m.study
    if study.levels == 0:
        return paragraph("The study has the dense network alone: nothing is pruned.")
    count = f"{study.levels} level{'s' * (study.levels > 1)} below the dense network"
    if len(m.densities) < 2:
        return paragraph(f"There are {count}.")
    return paragraph(
        f"There are {count}, at densities of {listed(percent(each) for each in m.densities[1:])}."
    )


def arms(m: Material) -> list[Block]:
    """The ticket and its controls, each with its meaning and where it comes from."""
    study, listing = m.study, {each.name: each for each in m.study.trained_arms}
    ticket = "continued" if study.pruning.after != "rewind" else TICKET
    items: list[Words] = [(f"{TICKET}: ", *_meaning(ticket), ", at every level.")]
    if study.pruning.mode == "continued" and CONTINUED not in listing:
        items.append((f"{CONTINUED}: ", *_meaning(CONTINUED), "."))
    for name, entry in listing.items():
        meaning = _meaning(name) if name in ARMS else (str(entry.arm),)
        draws = f", {entry.draws} draws" if entry.draws > 1 else ""
        levels = (
            f", at level{'s' * (len(entry.levels) > 1)} {listed(map(str, entry.levels))}"
            if entry.levels
            else ""
        )
        items.append((f"{name}: ", *meaning, f"{draws}{levels}."))
    said = (
        "Each level trains the following networks, which share the order of the data within a replicate, so that "
        "their differences are paired."
        if listing
        else "The study has no controls: tickets can be held against the dense network alone."
    )
    return [paragraph(said), Items(tuple(items))]


def _meaning(arm: str) -> Words:
    return referring(ARMS.describe(arm))


def meaning_in_short(arm: str, actions: str) -> str:
    """What an arm is, without its source; of one that the study made itself, its actions."""
    return plain(ARMS.describe(arm)) if arm in ARMS else actions


def statistics(m: Material) -> Paragraph:
    """Replicates, intervals and tests."""
    study = m.study
    count = f"{study.replicates} replicates" if study.replicates > 1 else "one replicate"
    tests = sorted({each.test for each in study.hypothesis})
    names = {
        "sign-flip": "exact sign-flip tests of the paired differences",
        "t": "paired t-tests, which take the differences to be normal",
    }
    decided = (
        f" Hypotheses are decided by {listed(names[test] for test in tests)}, corrected by Holm's method within each "
        "family; so are, among themselves, the tests of their opposites. A test that could not have come out at its "
        "level whatever had been found is called not resolved."
        if tests
        else ""
    )
    return paragraph(
        f"There {'are' if study.replicates > 1 else 'is'} {count}, with initial weights, split and data order of "
        "their own. The replicate is the unit of every statistic: draws are averaged within it first, and means come "
        f"with 95% t-intervals over replicates{'' if study.replicates >= FEWEST else ', which fewer than three lack'}; "
        f"those of accuracies are cut at 0 and 100%.{decided}"
    )


def machine(m: Material) -> Paragraph:
    """Seeds, engine, machine and versions."""
    environment = m.environment
    seeds = (
        f"Random numbers are named Philox streams of seed {m.study.seed}, so that the same study gives the same bits "
        "on the same kind of processor."
    )
    if not environment:
        return paragraph(seeds)
    record = environment.get("record", {})
    engine = f"the engine '{record['engine']}'" if record.get("engine") else "an engine that was not recorded"
    place = environment.get("gpu") if str(record.get("device", "")).startswith("cuda") else None
    hardware = place or environment.get("processor") or "a machine that was not recorded"
    threads = f" ({record['threads']} threads)" if record.get("threads") and not place else ""
    versions = [f"{name} {number}" for name, number in environment.get("versions", {}).items()]
    python = f"Python {environment['python']}" if environment.get("python") else ""
    with_what = listed([part for part in (*versions, python) if part]) if versions or python else ""
    return paragraph(
        f"{seeds} This run used {engine} on {hardware}{threads}{', with ' + with_what if with_what else ''}."
    )


def plain(description: str) -> str:
    """A description of the catalogue without its source and full stop, to stand in a sentence."""
    text = description.rstrip(".")
    return text.rpartition(" (")[0] if text.endswith(")") else text


def _optimizer(recipe: Recipe) -> str:
    if recipe.optimizer == "adam":
        return "Adam"
    if not recipe.momentum:
        return "stochastic gradient descent"
    kind = "Nesterov momentum" if recipe.nesterov else "momentum"
    return f"stochastic gradient descent with {kind} {recipe.momentum:g}"


def _schedule(recipe: Recipe) -> str:
    if recipe.schedule == "milestones":
        return f"times {recipe.gamma:g} at iterations {listed(f'{each:,}' for each in recipe.milestones)}"
    return {"constant": "constant", "cosine": "falling to zero along a cosine"}.get(
        recipe.schedule, recipe.schedule
    )


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
