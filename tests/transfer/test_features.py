"""What is seen of weights, worked out by hand on a network of three hidden units."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from support.transfer_parts import small
from tombola.masks.mask import Mask
from tombola.masks.probe import prober
from tombola.models.architecture import architecture
from tombola.transfer.features import AT_START, EARLY, VOTES, Young, earlier, joined, saliency, seen

ARCH = architecture("lenet-3", (2,), 2)
START = {
    "fc1.weight": torch.tensor([[1.0, -2.0], [3.0, 4.0], [-5.0, 5.0]]),
    "fc1.bias": torch.zeros(3),
    "out.weight": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    "out.bias": torch.zeros(2),
}
EARLIER = {**START, "fc1.weight": torch.tensor([[-2.0, -2.0], [3.0, 1.0], [-5.0, 6.0]])}


def test_magnitudes_signs_ranks_and_strengths() -> None:
    found = seen(ARCH, Young(START, START))["fc1.weight"]
    assert found.column(AT_START).tolist() == [1, 2, 3, 4, 5, 5]
    assert found.column("sign at start").tolist() == [1, -1, 1, 1, -1, 1]
    # Of two in a row the smaller stands at 1/4, the larger at 3/4, equal ones at 1/2.
    assert found.column("rank into unit at start").tolist() == [0.25, 0.75, 0.25, 0.75, 0.5, 0.5]
    assert found.column("rank out of input at start") == pytest.approx([1 / 6, 1 / 6, 0.5, 0.5, 5 / 6, 5 / 6])
    assert found.column("strength of unit at start").tolist() == [1.5, 1.5, 3.5, 3.5, 5, 5]
    assert found.column("strength of input at start") == pytest.approx([3, 11 / 3] * 3)
    assert EARLY not in found.names, "no step was taken"


def test_after_some_steps() -> None:
    found = seen(ARCH, Young(START, EARLIER))["fc1.weight"]
    assert found.column(AT_START).tolist() == [1, 2, 3, 4, 5, 5]
    assert found.column(EARLY).tolist() == [2, 2, 3, 1, 5, 6]
    assert found.column("growth").tolist() == [1, 0, 0, -3, 0, 1]
    assert found.column("movement").tolist() == [3, 0, 0, 3, 0, 1]
    assert found.column("strength of unit after k").tolist() == [2, 2, 2, 2, 5.5, 5.5]


def test_inputs_belong_to_the_first_tensor() -> None:
    inputs = np.array([[10.0, 20.0], [0.1, 0.2]])
    found = seen(ARCH, Young(START, START, inputs=inputs))
    assert found["fc1.weight"].column("input mean").tolist() == [10, 20] * 3
    assert found["fc1.weight"].column("input deviation").tolist() == [0.1, 0.2] * 3
    assert "input mean" not in found["out.weight"].names
    assert "input row" not in found["fc1.weight"].names, "inputs in no rows and columns"


def test_pixels_have_places() -> None:
    image = architecture("lenet-2", (1, 2, 3), 2)
    state = {name: torch.ones(shape) for name, shape in image.shapes.items()}
    found = seen(image, Young(state, state, inputs=np.zeros((2, 1, 2, 3))))["fc1.weight"]
    assert found.column("input row").tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert found.column("input column").tolist() == [0, 1, 2, 0, 1, 2] * 2


def test_votes_and_the_ends_that_no_unit_hides() -> None:
    masks = [
        small([[1, 1], [0, 0], [1, 0]], [[1, 0, 0], [1, 1, 1]]),
        small([[1, 0], [0, 0], [1, 0]], [[0, 0, 0], [1, 1, 1]]),
    ]
    found = earlier(ARCH, masks)
    assert found["fc1.weight"].names == (VOTES, "votes at input")
    assert found["fc1.weight"].column(VOTES).tolist() == [1, 0.5, 0, 0, 1, 0]
    assert found["fc1.weight"].column("votes at input") == pytest.approx([2 / 3, 1 / 6] * 3)
    assert found["out.weight"].names == (VOTES, "votes at output")
    assert found["out.weight"].column("votes at output") == pytest.approx([1 / 6] * 3 + [1] * 3)
    both = joined(seen(ARCH, Young(START, START)), found)["out.weight"]
    assert both.column(AT_START).tolist() == [1, 2, 3, 4, 5, 6]
    assert both.column(VOTES).tolist() == [0.5, 0, 0, 1, 1, 1]


def test_saliency_is_that_of_the_criteria() -> None:
    """SNIP is |w g|, GraSP has a sign, and the flow of SynFlow is the same out of a layer and into the next."""
    x, y = torch.tensor([[1.0, -1.0], [0.5, 2.0]]), torch.tensor([0, 1])
    probe = prober(ARCH, x, y)(START, Mask.dense(ARCH.prunable_shapes))
    found = saliency(probe, START, ARCH.prunable)
    assert set(found) == {"snip", "grasp", "synflow"}
    snip = (START["out.weight"] * probe.gradient["out.weight"]).abs()
    assert torch.allclose(found["snip"]["out.weight"], snip.double())
    into, out = found["synflow"]["fc1.weight"].sum(1), found["synflow"]["out.weight"].sum(0)
    assert torch.allclose(into, out)
    columns = seen(ARCH, Young(START, START, found))["out.weight"]
    order = np.argsort(columns.column("snip"))
    assert order.tolist() == np.argsort(snip.reshape(-1).numpy()).tolist()


def test_whole_numbers_have_no_flow() -> None:
    class Ids:
        reads_numbers = False
        gradient = START
        hessian_gradient = staticmethod(lambda temperature: START)

    assert set(saliency(Ids(), START, ARCH.prunable)) == {"snip", "grasp"}  # type: ignore[arg-type]
