"""What each weights action keeps of the ticket's weights, and how what it draws is distributed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from support.arm_table import every_network, scene
from tombola.lottery.arms.catalog import ARMS, Arm
from tombola.lottery.arms.context import WEIGHT_ACTIONS, Scene
from tombola.lottery.arms.treat import treat
from tombola.masks.mask import Mask
from tombola.models.state import State


def weights(action: str, where: Scene) -> State:
    state = WEIGHT_ACTIONS[action](where)
    return {name: state[name] for name in where.mask}


def wide() -> Scene:
    """One layer large enough for the moments of what is drawn in it; the initial deviation is 0.3."""
    where = scene("lenet")
    rng = np.random.default_rng(0)
    initial = torch.from_numpy(rng.standard_normal((200, 100)) * 0.3).float()
    rewound = initial + torch.from_numpy(rng.standard_normal((200, 100)) * 0.1).float()
    mask = Mask({"fc2.weight": torch.from_numpy(rng.random((200, 100)) < 0.3)})
    return replace(where, mask=mask, initial={"fc2.weight": initial}, rewound={"fc2.weight": rewound})


def deviation(values: Tensor) -> float:
    """Root of the mean squared distance from the mean."""
    numbers = values.double().numpy()
    return float(np.sqrt(np.mean((numbers - numbers.mean()) ** 2)))


@every_network
def test_reinit_signs_are_the_draws_of_reinit_with_the_tickets_signs(network: str) -> None:
    where = scene(network, draw=1)
    kept, fresh = weights("reinit-signs", where), weights("reinit", where)
    for name, old in where.rewound.items():
        if name in where.mask:
            assert torch.equal(kept[name].abs(), fresh[name].abs())
            assert torch.equal(kept[name].sign(), old.sign())
            assert not torch.equal(fresh[name].sign(), old.sign())


@every_network
def test_reinit_ticket_draws_from_what_the_ticket_keeps(network: str) -> None:
    where = scene(network)
    drawn = weights("reinit-ticket", where)
    for name, values in drawn.items():
        own = where.rewound[name][where.mask[name]]
        assert torch.isin(values, own).all()


def test_reinit_ticket_draws_every_kept_weight_as_often_also_under_another_mask() -> None:
    where = wide()
    own = where.rewound["fc2.weight"][where.mask["fc2.weight"]][:50]
    where = replace(where, rewound={"fc2.weight": torch.zeros(200, 100)})
    bits = torch.zeros(200, 100, dtype=torch.bool)
    bits.view(-1)[:50] = True
    where.rewound["fc2.weight"].view(-1)[:50] = own
    where = replace(where, mask=Mask({"fc2.weight": bits}), treated=Mask({"fc2.weight": ~bits}))
    values = weights("reinit-ticket", where)["fc2.weight"].view(-1)
    counts = torch.tensor([(values == each).sum() for each in own])
    assert counts.sum() == 20_000
    assert (counts - 400).abs().max() < 5 * (20_000 * (1 / 50) * (49 / 50)) ** 0.5


def test_a_collapsed_layer_has_nothing_to_draw_from_and_is_left() -> None:
    where = scene("lenet")
    mask = Mask({**where.mask, "fc2.weight": torch.zeros(10, 20, dtype=torch.bool)})
    for action in WEIGHT_ACTIONS:
        state = WEIGHT_ACTIONS[action](replace(where, mask=mask))
        if action == "reinit-ticket":
            assert torch.equal(state["fc2.weight"], where.rewound["fc2.weight"])


@every_network
@pytest.mark.parametrize("action", ["reshuffle", "reshuffle-signs"])
def test_a_reshuffle_keeps_the_values_of_the_kept_places_and_all_others(action: str, network: str) -> None:
    where = scene(network)
    for name, values in weights(action, where).items():
        old, living = where.rewound[name], where.mask[name]
        assert torch.equal(values[~living], old[~living])
        assert torch.equal(values[living].sort().values, old[living].sort().values)
        assert torch.equal(values.sign(), old.sign()) == (action == "reshuffle-signs")


def test_a_reshuffle_is_among_the_places_that_the_mask_action_chose() -> None:
    where = scene("lenet")
    mask, state, _ = treat(Arm("rewire", "reshuffle"), where)
    for name in ("fc1.weight", "fc2.weight"):
        old, new = where.rewound[name], state[name]
        assert torch.equal(new[mask[name]].sort().values, old[mask[name]].sort().values)
        assert not torch.equal(new[where.mask[name]].sort().values, old[where.mask[name]].sort().values)


def test_a_reshuffle_takes_every_value_everywhere() -> None:
    """Three kept places: all six orders, as likely as any other; two negative ones and one positive: two."""
    where = scene("lenet")
    bits = torch.zeros(20, 6, dtype=torch.bool)
    bits[0, :3] = True
    old = torch.zeros(20, 6)
    old[0, :3] = torch.tensor([-1.0, -2.0, 3.0])
    where = replace(where, mask=Mask({"fc1.weight": bits}), rewound={"fc1.weight": old})
    for action, orders in (("reshuffle", 6), ("reshuffle-signs", 2)):
        found = [
            tuple(weights(action, replace(where, draw=draw))["fc1.weight"][0, :3].tolist())
            for draw in range(600)
        ]
        counts = [found.count(order) for order in set(found)]
        assert len(counts) == orders
        p = 1 / orders
        assert max(abs(count - 600 * p) for count in counts) < 5 * (600 * p * (1 - p)) ** 0.5
        if action == "reshuffle-signs":
            assert {order[2] for order in found} == {3.0}


@every_network
def test_constants_are_the_deviation_of_the_whole_initial_layer_and_nothing_else(network: str) -> None:
    where = scene(network)
    random, signed = weights("constant", where), weights("constant-signs", where)
    for name in where.mask:
        sigma = deviation(where.initial[name])
        for values in (random[name], signed[name]):
            assert len(values.abs().unique()) == 1
            assert float(values.abs().max()) == pytest.approx(sigma, rel=1e-6)
        assert torch.equal(signed[name].sign(), where.rewound[name].sign())


def test_random_signs_are_as_often_plus_as_minus() -> None:
    positive = int((weights("constant", wide())["fc2.weight"] > 0).sum())
    assert abs(positive - 10_000) < 5 * (20_000 / 4) ** 0.5


@pytest.mark.parametrize("times", [0.5, 1, 2, 3])
def test_noise_has_so_many_deviations_of_the_initial_layer(times: float) -> None:
    where = wide()
    noise = (weights(f"noise-{times:g}", where)["fc2.weight"] - where.rewound["fc2.weight"]).double()
    sigma, n = deviation(where.initial["fc2.weight"]), 20_000
    assert sigma == pytest.approx(0.3, rel=0.03)
    assert abs(float(noise.mean())) < 5 * times * sigma / n**0.5
    assert abs(deviation(noise) / (times * sigma) - 1) < 5 / (2 * n) ** 0.5
    inside = int((noise.abs() < times * sigma).sum())  # 68.27% of a Gaussian
    assert abs(inside - 0.6827 * n) < 5 * (n * 0.6827 * 0.3173) ** 0.5


def test_noise_of_all_sizes_is_the_same_but_for_its_size() -> None:
    where = wide()
    shifts = {
        times: weights(f"noise-{times:g}", where)["fc2.weight"] - where.rewound["fc2.weight"]
        for times in (0.5, 1, 2, 3)
    }
    for times, shift in shifts.items():
        torch.testing.assert_close(shift, shifts[1] * times, rtol=1e-4, atol=1e-6)


def test_zero_towards_begins_at_zero_where_training_made_a_weight_smaller() -> None:
    where = scene("lenet")
    initial, trained = (
        torch.tensor([[0.5, -0.5, 0.5, -0.5, 0.5, 0.0]]),
        torch.tensor([[0.4, -0.6, -0.4, 0.6, 0.5, 0.0]]),
    )
    rewound = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    where = replace(
        where,
        mask=Mask({"w": torch.ones(1, 6, dtype=torch.bool)}),
        initial={"w": initial},
        trained={"w": trained},
        rewound={"w": rewound, "b": torch.ones(2)},
    )
    state = WEIGHT_ACTIONS["zero-towards"](where)
    assert state["w"].tolist() == [[0.0, 2.0, 0.0, 4.0, 5.0, 6.0]]
    assert state["b"].tolist() == [1.0, 1.0]


def test_weights_keep_their_type() -> None:
    where = scene("lenet")
    halves = replace(
        where,
        rewound={name: tensor.half() for name, tensor in where.rewound.items()},
        initial={name: tensor.half() for name, tensor in where.initial.items()},
        trained={name: tensor.half() for name, tensor in (where.trained or {}).items()},
    )
    for arm in ARMS:
        if not ARMS[arm].traits & {"initialiser", "prunes"}:
            _, state, dead = treat(ARMS[arm], halves)
            assert {tensor.dtype for tensor in [*state.values(), *dead.values()]} == {torch.float16}, arm
