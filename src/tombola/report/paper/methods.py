"""Methods in words: what a study trains, how it prunes, what it holds its tickets against, and how it decides."""

from __future__ import annotations

from tombola import parts
from tombola.data.dataset import DATASETS
from tombola.lottery.arms.catalog import ARMS, CONTINUED, TICKET
from tombola.lottery.modes import MODES
from tombola.metrics import METRICS
from tombola.report.paper.bibliography import referring
from tombola.report.paper.document import Block, Grid, Items, Paragraph, Words, paragraph
from tombola.report.paper.material import Material
from tombola.report.paper.routes import drawn_at, routes
from tombola.stats.intervals import FEWEST
from tombola.stats.permutation import WAYS
from tombola.text import counted, listed, percent
from tombola.training.recipe import LOSSES, SQUARED, Recipe
from tombola.training.search.base import SEARCHES


def network(m: Material) -> list[Block]:
    """The network with its counts."""
    options = ", ".join(f"{key} = {value}" for key, value in m.study.model.options.items())
    name = f"{m.study.model.name}{f' ({options})' if options else ''}"
    if not m.layers:
        why = f": {m.unknown}" if m.unknown else ""
        return [paragraph(f"The network is {name}; its layers could not be counted here{why}.")]
    patterns = [f"'{pattern}'" for pattern in m.study.model.prune]
    also = f", and the matrices called {listed(patterns)}" if patterns else ""
    of = f" of {m.tables.scope.parameters:,} parameters" if m.tables and m.tables.scope else ""
    said = paragraph(
        f"The network is {name}, with {m.weights:,} prunable weights{of} in {counted(len(m.layers), 'layer')}. "
        f"Prunable are the weights of linear and convolutional layers{also}; biases and parameters of normalisation "
        "are trained and never pruned. Density is the share of prunable weights that remain."
    )
    most = max(m.layers, key=lambda each: each.weights)
    caption = f"The prunable layers: {most.name} has {most.weights / m.weights:.1%} of the weights."
    rows = tuple(
        (each.name, " × ".join(map(str, each.shape)), f"{each.weights:,}", f"{each.weights / m.weights:.1%}")
        for each in m.layers
    )
    return [said, Grid(("layer", "shape", "weights", "share"), rows, (caption,), left=2)]


NORMALISATIONS = {
    "standard": "standardised by the mean and deviation of the training set",
    "unit": "scaled to the interval from 0 to 1",
    "none": "given to the network as they are",
}


def data(m: Material) -> Paragraph:
    """The data, and what is kept for validation."""
    spec, kept = m.study.data, m.study.data.validation
    known = f": {plain_start(DATASETS.describe(spec.name).rstrip('.'))}" if spec.name in DATASETS else ""
    digest = f" with digest {spec.digest}" if spec.digest else ""
    rule = str(spec.normalisation)
    inputs = NORMALISATIONS.get(rule, f"normalised by the rule '{rule}'")
    held = f"{kept:,} training examples" if isinstance(kept, int) else f"{kept:.0%} of the training examples"
    of = (
        f"{held[:1].upper()}{held[1:]}, the same for all networks of the study,"
        if spec.split == "study"
        else f"Of each replicate {held}, drawn by its own split,"
    )
    return paragraph(
        f"The data are {spec.name}{known}{digest}. Inputs are {inputs}. {of} are held out for validation; nothing is "
        "selected on the test set."
    )


def training(m: Material) -> Paragraph:
    """The recipe."""
    recipe = m.study.recipe
    more = [
        f"weight decay {recipe.weight_decay:g}" * (recipe.weight_decay > 0),
        "the squared error as loss" * (recipe.loss == SQUARED),
        f"the loss {recipe.loss}" * (recipe.loss not in LOSSES),
        f"label smoothing {recipe.label_smoothing:g}" * (recipe.label_smoothing > 0),
        f"a linear warmup of {recipe.warmup:,} iterations" * (recipe.warmup > 0),
        "random horizontal flips" * recipe.flip,
        f"random crops from {recipe.crop} pixels of padding" * (recipe.crop > 0),
        "random crops of 8 to 100% of an image, resized" * recipe.resized_crop,
        f"{recipe.precision} arithmetic" * (recipe.precision != "float32"),
    ]
    return paragraph(
        f"Every network is trained for {recipe.iterations:,} iterations in batches of {recipe.batch} by "
        f"{_optimizer(recipe)}, learning rate {recipe.lr:g}, {_schedule(recipe)}"
        f"{', with ' + listed(filter(None, more)) if any(more) else ''}. The validation loss is measured every "
        f"{recipe.evaluate_every:,} iterations. Early stop is its first minimum, found after the full training; "
        f"test {METRICS[recipe.metric].noun} is reported for the network of that iteration, and at the end."
    )


NAMES = {"adam": "Adam", "adamw": "AdamW"}


def _optimizer(recipe: Recipe) -> str:
    if recipe.optimizer != "sgd":
        options = ", ".join(f"{key} {value:g}" for key, value in recipe.optimizer_options.items())
        return NAMES.get(recipe.optimizer, recipe.optimizer.partition(":")[2]) + (
            f" ({options})" if options else ""
        )
    kind = "Nesterov momentum" if recipe.nesterov else "momentum"
    return "stochastic gradient descent" + (f" with {kind} {recipe.momentum:g}" if recipe.momentum else "")


def _schedule(recipe: Recipe) -> str:
    if recipe.schedule == "milestones":
        return f"times {recipe.gamma:g} at iterations {listed(f'{each:,}' for each in recipe.milestones)}"
    return "falling to zero along a cosine" if recipe.schedule == "cosine" else recipe.schedule


def ladder(m: Material) -> Paragraph:
    """The levels and their densities."""
    if m.study.levels == 0:
        return paragraph("The study has the dense network alone: nothing is pruned.")
    below = m.densities[1:]
    where = f", at densities of {listed(map(percent, below))}" if below else ""
    return paragraph(f"There are {counted(m.study.levels, 'level')} below the dense network{where}.")


MANY = 8
"""Arms from which on their list is set small, and levels that most have are said once."""


def arms(m: Material) -> list[Block]:
    """The ticket and its controls, each with its meaning and where it comes from."""
    study, controls = m.study, {each.name: each for each in m.study.trained_arms}
    ticket = "continued" if study.pruning.after != "rewind" else TICKET
    items: list[Words] = [(f"{TICKET}: ", *referring(ARMS.describe(ticket)), ", at every level.")]
    levels = [entry.levels for entry in controls.values()]
    usual = max(levels, key=levels.count) if len(levels) > MANY else None
    if study.pruning.mode == "continued" and CONTINUED not in controls:
        items.append((f"{CONTINUED}: ", *referring(ARMS.describe(CONTINUED)), "."))
    for name, entry in controls.items():
        meaning = referring(parts.line(ARMS.kind, name) or str(entry.arm))
        items.append((f"{name}: ", *meaning, f"{_drawn_but_usual(entry.draws, entry.levels, usual)}."))
    items += [
        (f"{arm.name}: {arm}{_drawn_but_usual(arm.draws, arm.levels, usual)}.",)
        for arm in study.trained_routes
    ]
    said = (
        "Each level trains the following networks, which share the order of the data within a replicate, so that "
        "their differences are paired."
        if controls or study.trained_routes
        else "The study has no controls: tickets can be held against the dense network alone."
    )
    if usual:
        said += (
            f" Where nothing else is said, arms beside the ticket are at levels {listed(map(str, usual))}."
        )
    return [paragraph(said), Items(tuple(items), small=len(items) > MANY), *donors(m), *routes(m)]


def _drawn_but_usual(draws: int, levels: tuple[int, ...] | None, usual: tuple[int, ...] | None) -> str:
    """Draws and levels of an arm, where they are not what is usual in the study."""
    if levels == usual:
        return drawn_at(draws, None)
    return drawn_at(draws, levels) + ", at every level" * (levels is None)


def donors(m: Material) -> list[Block]:
    """What donors and twins are, and what follows for claims; none where no arm takes from them."""
    study = m.study
    traits = {trait for entry in study.trained_arms for trait in entry.arm.traits}
    said = []
    if study.donors and "donor" in traits:
        said.append(
            f"Donors are {counted(study.donors, 'further ladder')} with seeds of their own and without controls, whose "
            "tickets lend their structure; they are never replicates, nor the other way round. Replicate r takes from "
            f"donor r (mod {study.donors}). All share one validation split, since a donor's mask has otherwise seen "
            "the validation examples of the replicate that takes it. To align a donor is to put its hidden units in "
            "the order in which its dense network matches that of the replicate. Claims that rest on donors are "
            f"conditional on this pool of donors (donor_pool = {study.donor_pool})."
        )
    if "twin" in traits:
        said.append(
            "A twin is a ladder from the replicate's own start with another order of the data, its units put in random "
            "order and aligned like those of a donor: what it does not recover, the matching loses."
        )
    return [paragraph(" ".join(said))] if said else []


TESTS = {
    "sign-flip": "{exact}sign-flip tests of the paired differences",
    "swap": "swapping whole replicates and the standard error of a U-statistic, the larger p of the two",
    "t": "paired t-tests, which take the differences to be normal",
}


def statistics(m: Material) -> Paragraph:
    """Replicates, intervals and tests."""
    n, study = m.study.replicates, m.study
    tests = sorted({"swap" if each.measure else each.test for each in study.hypothesis})
    exact = "exact " if 2**n <= WAYS else ""
    more_is_better = METRICS[study.recipe.metric].more_is_better
    averaged = "draws are averaged within it first, and " * any(arm.draws > 1 for arm in study.arms)
    decided = (
        f" Hypotheses are decided by {listed(TESTS[test].format(exact=exact) for test in tests)}, corrected by Holm's "
        "method within each family; so are, among themselves, the tests of their opposites. A test that could not have "
        "come out at its level whatever had been found is called not resolvable, and one that needs a control that did "
        "not come out. Where an early stop was not reached, the sign test takes the place of these."
    )
    return paragraph(
        f"There {f'are {n} replicates' if n > 1 else 'is one replicate'}, with initial weights, split and data order "
        f"of their own. The replicate is the unit of every statistic: {averaged}means "
        f"come with 95% t-intervals over replicates{', which fewer than three lack' * (n < FEWEST)}; "
        f"those of {'accuracies are cut at 0 and 100%' if more_is_better else 'errors are cut at 0'}."
        f"{decided if tests else ''}"
    )


def machine(m: Material) -> Paragraph:
    """Seeds, engine, machine and versions."""
    environment, record = m.environment, m.environment.get("record", {})
    said = (
        f"Random numbers are named Philox streams of seed {m.study.seed}, so that the same study gives the same bits "
        "on the same kind of processor."
    )
    if not environment:
        return paragraph(said)
    engine = f"the engine '{record['engine']}'" if record.get("engine") else "an engine that was not recorded"
    gpu = environment.get("gpu") if str(record.get("device", "")).startswith("cuda") else None
    hardware = gpu or environment.get("processor") or "a machine that was not recorded"
    threads = f" ({record['threads']} threads)" if record.get("threads") and not gpu else ""
    parts = [f"{name} {version}" for name, version in environment.get("versions", {}).items()]
    parts += [f"Python {environment['python']}"] if environment.get("python") else []
    versions = f", with {listed(parts)}" if parts else ""
    return paragraph(f"{said} This run used {engine} on {hardware}{threads}{versions}.")


def algorithm(m: Material) -> list[Block]:
    """Drawing a ticket, step by step."""
    pruning = m.study.pruning
    criterion = referring(plain_start(parts.line("criterion", pruning.criterion)))
    scored: Words = (f"Weights are scored by the criterion '{pruning.criterion}': ", *criterion, " ")
    where = {"layerwise": "within each layer", "global": "over all layers together"}
    place = where.get(pruning.allocation, f"with layer densities by the rule '{pruning.allocation}'")
    rates = "".join(f", {100 * rate:g}% in layers of kind '{name}'" for name, rate in pruning.rates.items())
    unit = "" if pruning.structure == "weights" else f" Weights live or die in groups ({pruning.structure})."
    rate = f"{100 * pruning.rate:g}% of"
    removed = (
        f"Each step removes {rate} the weights that are left{rates}, {place}.{unit} Ties are broken by a seeded rule, "
        "and a weight once pruned stays pruned."
        if pruning.mode in ("iterative", "continued")
        else f"Levels have the counts of a ladder that removes {rate} what is left at each step{rates}, {place}.{unit}"
    )
    # A search has scores of its own.
    by = () if pruning.mode in SEARCHES else scored
    return [
        paragraph("A ticket is drawn as follows."),
        Items(tuple(map(referring, _steps(m))), numbered=True),
        Paragraph((*by, removed)),
    ]


def _steps(m: Material) -> list[str]:
    """The steps of the study's mode; sources in brackets become references."""
    pruning, iterations = m.study.pruning, m.study.recipe.iterations
    late = f"the weights of iteration {pruning.rewind:,}, together with the schedule"
    back = late if pruning.rewind else "the initial weights"
    rewound = f"Put the weights that remain back to {back}, the others to zero."
    goes_on = {
        "rewind": rewound,
        "learning-rate": "Keep the trained weights and put the learning rate back (Renda et al. 2020).",
        "fine-tune": "Keep the trained weights and the last learning rate (Renda et al. 2020).",
    }[pruning.after]
    draw, dense = "Draw initial weights.", "Draw initial weights and train the dense network"
    begin = f"{dense} for {iterations:,} iterations."
    train = f"Train again, up to iteration {iterations:,}: this is the ticket of the next level."
    repeat = "Repeat from step 2 down the ladder (Frankle & Carbin 2019"
    cut = ""
    if pruning.rounds is not None:
        levels = listed(map(str, pruning.whole))
        cut = f", with trainings of {pruning.rounds:,} iterations but for those at level {levels}"
    steps = {
        "iterative": [begin, "Prune the trained network by one step.", goes_on, train, f"{repeat}){cut}."],
        "continued": [
            begin,
            "Prune the trained network by one step and train it on, without ever resetting it.",
            f"Train a ticket of the same mask from {back}.",
            f"{repeat}, App. B).",
        ],
        "one-shot": [begin, "Prune the trained network once for each level, to its counts.", goes_on, train],
        "at-init": [
            draw,
            "Prune the untrained network for each level, to its counts.",
            f"Train what is left up to iteration {iterations:,}: this is the ticket of the level.",
        ],
        "short-rounds": [
            f"{begin} Watch the mask that pruning by one step would leave.",
            "Take that mask as soon as it stands still.",
            rewound,
            f"{train} Watch it in turn.",
            f"{repeat}, You et al. 2020).",
        ],
        "early-bird": [
            f"{dense}, watching the masks that pruning would leave.",
            "For each level take the mask as soon as it stands still.",
            rewound,
            train,
        ],
    }
    if pruning.mode in steps:
        return steps[pruning.mode]
    search = plain_start(MODES[pruning.mode]).rstrip(".")
    return [
        draw,
        f"Search the mask of each level by a training of its own (mode '{pruning.mode}'): {search}.",
        f"Put the weights that the mask keeps to {back}, the others to zero.",
        train,
    ]


def meaning_in_short(arm: str, actions: str) -> str:
    """What an arm is, without its source; of one that the study made itself, its actions."""
    if arm not in ARMS:
        return actions
    text = ARMS.describe(arm).rstrip(".")
    return text.rpartition(" (")[0] if text.endswith(")") else text


def plain_start(description: str) -> str:
    """A description of the catalogue that goes on in a sentence, its source kept."""
    return description[:1].lower() + description[1:]
