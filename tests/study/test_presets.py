"""The studies that come with Tombola: what they say is what the paper says, and their ids stay what they are."""

from __future__ import annotations

import hashlib
import math

import pytest

from tombola.models.architecture import architecture
from tombola.study.load import load_study, load_sweep, parse_study, presets
from tombola.study.plan import make_plan
from tombola.study.prospects import prospects, unanswerable
from tombola.study.spec import Study

SHAPES = {
    "mnist": (1, 28, 28),
    "fashion-mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
    "digits": (1, 8, 8),
    "imagenet": (3, 224, 224),
}

# Frankle & Carbin 2019, Figure 2; the dropout rows are section 3 and App. H.5 (three times the iterations).
# name -> model, data, iterations, lr, rates by role, dropout
PAPER = {
    "lenet-mnist": ("lenet-300-100", "mnist", 50_000, 1.2e-3, {"linear": 0.2, "output": 0.1}, None),
    "conv2-cifar10": ("conv-2", "cifar10", 20_000, 2e-4, {"conv": 0.1, "linear": 0.2, "output": 0.1}, None),
    "conv4-cifar10": ("conv-4", "cifar10", 25_000, 3e-4, {"conv": 0.1, "linear": 0.2, "output": 0.1}, None),
    "conv6-cifar10": ("conv-6", "cifar10", 30_000, 3e-4, {"conv": 0.15, "linear": 0.2, "output": 0.1}, None),
    "conv2-cifar10-dropout": (
        "conv-2",
        "cifar10",
        60_000,
        3e-4,
        {"conv": 0.1, "linear": 0.2, "output": 0.1},
        0.5,
    ),
    "conv4-cifar10-dropout": (
        "conv-4",
        "cifar10",
        75_000,
        2e-4,
        {"conv": 0.1, "linear": 0.2, "output": 0.1},
        0.5,
    ),
    "conv6-cifar10-dropout": (
        "conv-6",
        "cifar10",
        90_000,
        2e-4,
        {"conv": 0.15, "linear": 0.2, "output": 0.1},
        0.5,
    ),
}

# The ids of run folders in the world. When this fails, an id has changed and people can no longer extend their
# runs. An option was added: give it a default that does what was done before, and the old ids come back. A
# preset was changed on purpose: give it a new name, or pin its new id here and say so in the changelog.
IDS = {
    "conv2-cifar10": "345ffb63",
    "conv2-cifar10-dropout": "a16df762",
    "conv2-cifar10-short": "826b3744",
    "conv4-cifar10": "0654450c",
    "conv4-cifar10-dropout": "a1839e5b",
    "conv6-cifar10": "2fbe7708",
    "conv6-cifar10-dropout": "fe088304",
    "consensus-mnist": "d976cf83",
    "elastic-14-56-cifar10": "024230fc",
    "elastic-20-32-cifar10": "940a1157",
    "elastic-32-20-cifar10": "8fdd0c53",
    "findings-conv2-cifar10": "82f77917",
    "findings-digits": "b70e2064",
    "findings-fashion": "d75ad548",
    "findings-lenet5-fashion": "0079c26d",
    "findings-lenet5-mnist": "aaa94dd1",
    "findings-mnist": "bbe3b2b5",
    "lenet-mnist": "bc868d19",
    "lenet5-fashion": "3d8e0fbd",
    "lenet5-mnist": "4945f5a3",
    "lenet-mnist-claims": "da094455",  # the cells of lenet-mnist-short, more of them
    "lenet-mnist-short": "da094455",
    "quick": "8f87fc28",
    "resnet50-imagenet": "dc3e637e",
    "resnet20-cifar10": "0fc731fb",
    "resnet20-cifar10-low": "211b920b",
    "resnet20-cifar10-reset": "43a30152",
    "resnet20-cifar10-warmup": "f48e6f51",
    "travel-digits": "50650721",
    "travel-mnist": "131a611c",
    "vgg16-cifar10": "69118fb4",
    "vgg19-cifar10": "c55f5983",
    "vgg19-cifar10-low": "406f5a8f",
    "vgg19-cifar10-reset": "63cb8ee5",
    "vgg19-cifar10-warmup": "35121275",
}


# The ids of the members of a preset that sweeps, in its order.
SWEEPS = {"criteria-digits": ("45cc5509", "6243164d", "16f14abb", "2c1c5dc4")}


def test_the_presets_are_those_that_are_promised() -> None:
    assert set(presets()) == set(IDS) | set(SWEEPS)
    assert all(presets().values()), "every preset has a title for the catalogue"


@pytest.mark.parametrize("name", sorted(IDS))
def test_a_preset_keeps_its_id(name: str) -> None:
    assert load_study(name).identity() == IDS[name]
    assert load_study(name).folder == f"{name}-{IDS[name]}"


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_the_members_of_a_sweep_keep_their_ids(name: str) -> None:
    assert [m.study.folder for m in load_sweep(name).members] == [f"{name}-{own}" for own in SWEEPS[name]]


def test_an_id_is_the_digest_of_what_is_not_at_its_default() -> None:
    # quick.toml without name, title, levels, replicates, arms, hypotheses and comparison, and without batch, optimizer
    # and lr, which are the recipe's defaults; written out by hand.
    deciding = (
        '{"data":{"name":"digits","split":"study","validation":200},"donors":16,"model":{"name":"lenet-300-100"},'
        '"pruning":{"rate":0.5,"rates":{"output":0.3}},'
        '"recipe":{"curve_every":100,"evaluate_every":25,"iterations":500}}'
    )
    assert hashlib.sha256(deciding.encode()).hexdigest()[:8] == IDS["quick"]


@pytest.mark.parametrize("name", sorted(PAPER))
def test_a_preset_says_what_the_paper_says(name: str) -> None:
    model, data, iterations, lr, rates, dropout = PAPER[name]
    study = load_study(name)
    recipe = study.recipe
    assert (study.model.name, study.data.name) == (model, data)
    assert (recipe.iterations, recipe.batch, recipe.optimizer, recipe.lr) == (iterations, 60, "adam", lr)
    assert (recipe.schedule, recipe.warmup, recipe.weight_decay, recipe.evaluate_every) == (
        "constant",
        0,
        0.0,
        100,
    )
    assert study.model.options == ({} if dropout is None else {"dropout": dropout})
    assert (study.data.normalisation, study.data.validation) == ("standard", 5000)
    assert (study.pruning.mode, study.pruning.allocation, study.pruning.criterion) == (
        "iterative",
        "layerwise",
        "large-final",
    )
    assert study.pruning.rewind == 0
    net = architecture(study.model, SHAPES[data], 10)
    by_role = {net.roles[p]: rate for p, rate in make_plan(study, net).lottery.rates.items()}
    assert by_role == rates
    assert study.replicates == 5
    assert {arm.name: arm.draws for arm in study.arms} == {"reinit": 3, "random-mask": 1}
    assert all(arm.levels is None for arm in study.arms)


# Frankle & Carbin 2019, Figure 2 and App. I; iterations to rewind to: Frankle et al. 2019, section 4.
# name -> network, iterations, batch, milestones, lr, warmup, rewind
RESIDUAL = {
    "resnet20-cifar10": ("resnet-20", 30_000, 128, (20_000, 25_000), 0.1, 0, 500),
    "resnet20-cifar10-reset": ("resnet-20", 30_000, 128, (20_000, 25_000), 0.1, 0, 0),
    "resnet20-cifar10-low": ("resnet-20", 30_000, 128, (20_000, 25_000), 0.01, 0, 0),
    "resnet20-cifar10-warmup": ("resnet-20", 30_000, 128, (20_000, 25_000), 0.03, 20_000, 0),
    "vgg19-cifar10": ("vgg-19", 112_480, 64, (56_240, 84_360), 0.1, 0, 100),
    "vgg19-cifar10-reset": ("vgg-19", 112_480, 64, (56_240, 84_360), 0.1, 0, 0),
    "vgg19-cifar10-low": ("vgg-19", 112_480, 64, (56_240, 84_360), 0.01, 0, 0),
    "vgg19-cifar10-warmup": ("vgg-19", 112_480, 64, (56_240, 84_360), 0.1, 10_000, 0),
}

# Frankle & Carbin 2019: values of P_m printed in the paper, in percent, by level.
DEEP_LADDERS = {
    "resnet20-cifar10": {4: 41.66, 6: 27.09, 7: 21.91, 10: 11.79},
    "vgg19-cifar10": {12: 6.90, 15: 3.54, 19: 1.47},
}


@pytest.mark.parametrize("name", sorted(RESIDUAL))
def test_a_deep_preset_says_what_the_paper_says(name: str) -> None:
    model, iterations, batch, milestones, lr, warmup, rewind = RESIDUAL[name]
    study = load_study(name)
    recipe = study.recipe
    assert (study.model.name, study.data.name, study.data.validation) == (model, "cifar10", 5000)
    assert (recipe.iterations, recipe.batch, recipe.milestones) == (iterations, batch, milestones)
    assert (recipe.optimizer, recipe.lr, recipe.momentum, recipe.weight_decay) == ("sgd", lr, 0.9, 1e-4)
    assert (recipe.schedule, recipe.gamma, recipe.warmup) == ("milestones", 0.1, warmup)
    assert (recipe.flip, recipe.crop) == (True, 4)
    assert (study.pruning.allocation, study.pruning.rate, study.pruning.rewind) == ("global", 0.2, rewind)


def test_the_imagenet_preset_says_what_the_paper_says() -> None:
    """Frankle et al. 2019 (arXiv 1903.01611): epochs of 1,281,167 images in batches of 1,024."""
    study, epoch = load_study("resnet50-imagenet"), 1_281_167 // 1024
    recipe = study.recipe
    assert (study.model.name, study.data.name, study.pruning.rewind) == ("resnet-50", "imagenet", 6 * epoch)
    assert (recipe.iterations, recipe.batch, recipe.warmup) == (90 * epoch, 1024, 5 * epoch)
    assert recipe.milestones == (30 * epoch, 60 * epoch, 80 * epoch)
    assert (recipe.optimizer, recipe.lr, recipe.gamma) == ("sgd", 0.4, 0.1)
    assert (recipe.resized_crop, recipe.flip) == (True, True)
    densities = make_plan(study, architecture(study.model, (3, 224, 224), 1000)).densities
    assert densities[9] > 0.2 > densities[10]


@pytest.mark.parametrize("name", sorted(DEEP_LADDERS))
def test_the_ladder_of_a_deep_preset_is_the_papers(name: str) -> None:
    study = load_study(name)
    densities = make_plan(study, architecture(study.model, (3, 32, 32), 10)).densities
    for level, percent in DEEP_LADDERS[name].items():
        assert 100 * densities[level] == pytest.approx(percent, abs=0.01)


def test_every_expectation_can_be_met_by_its_preset() -> None:
    for study in (member.study for name in presets() for member in load_sweep(name).members):
        densities = make_plan(study, architecture(study.model, SHAPES[study.data.name], 10)).densities
        for expected in study.expect:
            assert min(abs(math.log(d / expected.density)) for d in densities) < 0.1
            assert expected.arm in {"ticket", *(arm.name for arm in (*study.arms, *study.route_arms))}


ELASTIC = {
    "elastic-20-32-cifar10": (20, 32),
    "elastic-32-20-cifar10": (32, 20),
    "elastic-14-56-cifar10": (14, 56),
}


@pytest.mark.parametrize("name", sorted(ELASTIC))
def test_an_elastic_preset_says_what_the_paper_says(name: str) -> None:
    """Chen et al. 2021, section 4: rewound to iteration 1,000, and 89.26% sparse after 10 rounds."""
    there, here = ELASTIC[name]
    study = load_study(name)
    assert study.model.name == f"resnet-{here}"
    assert study.source("other").model == study.model.model_copy(update={"name": f"resnet-{there}"})
    assert (study.pruning.allocation, study.pruning.rate, study.pruning.rewind) == ("global", 0.2, 1000)
    recipe = study.recipe
    assert (recipe.iterations, recipe.batch, recipe.milestones) == (160 * 352, 128, (80 * 352, 120 * 352))
    assert {arm.name for arm in study.route_arms} >= {
        "elastic",
        "elastic-random",
        "elastic-reinit",
        "elastic-both",
    }
    plan = make_plan(study, architecture(study.model, (3, 32, 32), 10))
    assert 1 - plan.densities[10] == pytest.approx(0.8926, abs=0.0025)  # the output layer stays whole


CLAIMED = {
    "lenet-mnist": {"matches": 15},
    "quick": {"beats-reinit": 5, "shares": 5, "carries-over": 5, "shared-matters": 5, "twin-recovers": 5},
}
CLAIMED["lenet-mnist-short"] = CLAIMED["lenet-mnist"]
CLAIMED["lenet-mnist-claims"] = {
    **CLAIMED["lenet-mnist"],
    "more-accurate": 9,
    "reinit-falls": 7,
    "reinit-learns-slower": 7,
    "signs-matter": 15,
    "stops-earlier": 7,
    "shared-structure": 15,
}


@pytest.mark.parametrize("name", sorted(CLAIMED))
def test_a_claim_is_asked_where_the_paper_makes_it(name: str) -> None:
    """Of LeNet's ladder 21.1% is level 7, 13.5% level 9 and 3.6% level 15, as printed in the paper."""
    study = load_study(name)
    densities = make_plan(study, architecture(study.model, SHAPES[study.data.name], 10)).densities
    found = prospects(study, densities)
    assert all(each.asked.level is not None for each in found), "every claim can be answered"
    levels = {each.asked.hypothesis.name: each.asked.level for each in found}
    assert levels.items() >= CLAIMED[name].items()
    assert len(levels) == len(found)


@pytest.mark.parametrize("name", sorted(presets()))
def test_no_preset_asks_what_it_cannot_answer(name: str) -> None:
    for member in load_sweep(name).members:
        study = member.study
        densities = make_plan(study, architecture(study.model, SHAPES[study.data.name], 10)).densities
        for each in prospects(study, densities):
            assert each.asked.level is not None, each.asked.why
            assert each.resolvable, f"{each.asked.hypothesis.name} takes {each.n_needed} replicates"
        assert unanswerable(study, densities) == ""


def test_the_claims_preset_has_the_cells_of_the_short_study() -> None:
    claims, short = load_study("lenet-mnist-claims"), load_study("lenet-mnist-short")
    assert claims.identity() == short.identity()
    assert (claims.replicates, claims.levels) == (8, 15)
    assert {arm.name for arm in claims.arms} == {"reinit", "reinit-signs", "random-mask"}
    assert set(short.hypothesis) < set(claims.hypothesis)


def test_short_lenet_differs_from_the_paper_in_its_budget_alone() -> None:
    short, paper = load_study("lenet-mnist-short"), load_study("lenet-mnist")
    assert (short.model, short.data, short.pruning) == (paper.model, paper.data, paper.pruning)
    budget = {"iterations": paper.recipe.iterations, "curve_every": paper.recipe.curve_every}
    assert short.recipe.model_copy(update=budget) == paper.recipe
    assert {arm.name for arm in short.arms} >= {"reinit"}
    assert all(max(arm.levels or ()) <= short.levels for arm in short.arms)


def test_quick_is_as_long_as_promised() -> None:
    quick = load_study("quick")
    assert quick.replicates == quick.donors == 16
    assert quick.levels == 5
    assert {arm.name for arm in quick.arms} >= {"reinit", "random-mask"}


@pytest.mark.parametrize("name", sorted(IDS))
def test_a_preset_plans(name: str) -> None:
    study = load_study(name)
    plan = make_plan(study, architecture(study.model, SHAPES[study.data.name], 10))
    assert len(plan.densities) == study.levels + 1
    assert plan.densities[0] == 1.0
    assert all(a > b > 0 for a, b in zip(plan.densities, plan.densities[1:], strict=False))


@pytest.mark.parametrize("name", sorted(IDS))
def test_the_resolved_spec_reads_back_as_itself(name: str) -> None:
    study = load_study(name)
    text = study.to_toml()
    assert parse_study(text, "study.toml") == study
    assert "weight_decay" in text, "defaults are in it"
    assert parse_study(text, "study.toml").to_toml() == text


# Values of P_m that the paper prints (bold in Figure 3 ff. and in its text), in percent: rounds -> value.
LADDERS = {
    "lenet-mnist": {3: 51.28, 7: 21.07, 9: 13.52, 12: 6.95, 15: 3.58, 16: 2.87, 18: 1.85},
    "conv2-cifar10": {6: 26.47, 11: 8.81, 14: 4.57, 16: 2.97},
    "conv4-cifar10": {11: 11.06, 12: 9.18, 15: 5.37},
}
DENSE = {"lenet-mnist": 266_200, "conv2-cifar10": 4_300_992, "conv4-cifar10": 2_425_024}


@pytest.mark.parametrize("name", sorted(LADDERS))
def test_densities_are_those_of_the_paper(name: str) -> None:
    study: Study = load_study(name)
    plan = make_plan(study, architecture(study.model, SHAPES[study.data.name], 10))
    assert sum(plan.lottery.alive[0].values()) == DENSE[name]
    for level, percent in LADDERS[name].items():
        assert math.isclose(100 * plan.densities[level], percent, abs_tol=0.006), level
