"""Tickets stretched and squeezed: every tensor is a copy of the right one, and controls are what they say."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from support.transfer_parts import CLASSES, IMAGE, made, net, pair
from tombola.data.arrays import from_arrays
from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.masks.probe import prober
from tombola.models.architecture import architecture
from tombola.seeds import Seeds, stream
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.start import Start
from tombola.transfer.route import make


@pytest.mark.parametrize(
    ("source", "target", "blocks", "expected"),
    [
        ("resnet-14", "resnet-20", "appending", (0, 1, 1)),
        ("resnet-20", "resnet-32", "interpolation", (0, 1, 1, 2, 2)),
        ("resnet-32", "resnet-20", "appending", (0, 1, 2)),
        ("resnet-32", "resnet-20", "interpolation", (0, 1, 3)),
        ("resnet-20", "resnet-14", [[[0], [], [1]]], (0, 2)),
        ("wrn-14-1", "wrn-20-1", "appending", (0, 1, 1)),
    ],
)
def test_blocks(source: str, target: str, blocks: object, expected: tuple[int, ...]) -> None:
    tickets = pair(net(source))
    ticket = made("elastic", tickets, net(target), blocks=blocks)
    start, old = ticket.start, tickets[0].start
    assert start is not None
    assert old is not None
    for name, value in start.items():
        found = re.match(r"(stage\d)\.(\d+)\.(.*)", name)
        origin = f"{found[1]}.{expected[int(found[2])]}.{found[3]}" if found else name
        assert torch.equal(value, old[origin]), name
        if name in ticket.mask:
            assert torch.equal(ticket.mask[name], tickets[0].mask[origin]), name
    # Norms, their statistics and counters, projections and the classifier are among them.
    for suffix in (
        "norm1.running_var",
        "num_batches_tracked",
        "stage2.0.shortcut" if "res" in source else "out.bias",
    ):
        assert any(suffix in name for name in start)
    assert ticket.provenance["report"]["blocks"] == 3 * [list(expected)]
    assert ticket.provenance["report"]["new_blocks"] == 3 * (len(expected) - len(set(expected)))


def test_vgg_units() -> None:
    """VGG-13 has convolutions 1 2, 3 4, 5 6, 7 8, 9 10; VGG-16 1 2, 3 4, 5 6 7, 8 9 10, 11 12 13."""
    origins = (1, 2, 3, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10)
    tickets = pair(net("vgg-13"))
    ticket = made("elastic", tickets[:1], net("vgg-16"))
    start, old = ticket.start, tickets[0].start
    assert start is not None
    assert old is not None
    for place, origin in enumerate(origins, start=1):
        assert torch.equal(start[f"conv{place}.weight"], old[f"conv{origin}.weight"])
        assert torch.equal(ticket.mask[f"conv{place}.weight"], tickets[0].mask[f"conv{origin}.weight"])
        for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            assert torch.equal(start[f"norm{place}.{leaf}"], old[f"norm{origin}.{leaf}"])
    assert torch.equal(start["out.weight"], old["out.weight"])


def test_hidden_layers_of_one_width() -> None:
    """8 and 8 are a stage, of which the first reads the inputs; 4 and 4 are the next."""
    tickets = pair(net("lenet-8-8-4-4"))
    ticket = made("elastic", tickets, net("lenet-8-8-8-4"))
    start, old = ticket.start, tickets[0].start
    assert start is not None
    assert old is not None
    for name, origin in {"fc1": "fc1", "fc2": "fc2", "fc3": "fc2", "fc4": "fc3", "out": "out"}.items():
        for leaf in ("weight", "bias"):
            assert torch.equal(start[f"{name}.{leaf}"], old[f"{origin}.{leaf}"])
        assert torch.equal(ticket.mask[f"{name}.weight"], tickets[0].mask[f"{origin}.weight"])
    report = ticket.provenance["report"]
    assert report["blocks"] == [[0, 1, 1], [0]]
    assert (report["new_blocks"], report["dropped_blocks"]) == (1, 1)


def test_a_ticket_that_was_stretched_can_be_squeezed_back() -> None:
    tickets = pair(net("resnet-14"))
    long = made("elastic", tickets, net("resnet-20"))
    back = made("elastic", [long], net("resnet-14"))
    assert back.mask == tickets[0].mask
    assert back.start is not None
    assert tickets[0].start is not None
    assert all(torch.equal(back.start[name], tickets[0].start[name]) for name in back.start)
    assert back.provenance["sources"][0]["route"] == "elastic"


def test_what_was_stretched_trains_as_any_ticket_does() -> None:
    ticket = made("elastic", pair(net("resnet-14")), net("resnet-20"))
    rng = stream(0, "images")
    images, labels = (
        rng.standard_normal((2, 24, *IMAGE)).astype(np.float32),
        np.tile(np.arange(CLASSES), (2, 6)),
    )
    data = from_arrays((images[0], labels[0]), (images[1], labels[1]))
    assert ticket.start is not None
    begin = Start(ticket.start, ticket.mask, Seeds.single(0))
    recipe = Recipe(iterations=2, evaluate_every=1, curve_every=0, batch=8)
    [end] = train_stack(net("resnet-20"), [begin], Resident(data, "standard", torch.device("cpu")), recipe, 4)
    assert not end.diverged
    for name, living in ticket.mask.items():
        assert not end.end[name][~living].any()
    moved = [name for name in ticket.mask if not torch.equal(end.end[name], ticket.start[name])]
    assert moved == [*ticket.mask]


def test_controls() -> None:
    source, target = net("resnet-14"), net("resnet-20")
    tickets, dense = pair(source), pair(source)[1]
    plain = made("elastic", tickets, target)
    random = made("elastic", tickets, target, mask="random")
    reinit = made("elastic", tickets[:1], target, weights="reinit")
    both = made("elastic", tickets[:1], target, mask="random", weights="reinit")
    assert random.mask.counts() == plain.mask.counts() == both.mask.counts()
    assert reinit.mask == plain.mask
    assert all(
        random.mask[name] is not None and not torch.equal(random.mask[name], plain.mask[name])
        for name in plain.mask
    )
    whole = made("elastic", [dense], target).start
    assert whole is not None
    for one in (random, plain):
        assert one.start is not None
        assert all(torch.equal(value, one.mask.apply(whole)[name]) for name, value in one.start.items())
    for one in (reinit, both):
        assert one.start is not None
        assert all(
            (one.start[name][one.mask[name]] != whole[name][one.mask[name]]).all() for name in one.mask
        )
        assert (one.start["stage1.0.norm1.running_var"] == 1).all(), "norms as they begin"


def test_masks_are_permuted_inside_new_blocks_alone() -> None:
    tickets = pair(net("resnet-14"))
    plain = made("elastic", tickets, net("resnet-20"))
    permuted = made("elastic", tickets, net("resnet-20"), permute_new=True)
    changed = {name for name in plain.mask if not torch.equal(plain.mask[name], permuted.mask[name])}
    assert changed == {f"stage{stage}.2.conv{conv}.weight" for stage in (1, 2, 3) for conv in (1, 2)}
    assert permuted.mask.counts() == plain.mask.counts()


def test_snip_finds_the_masks_of_new_blocks_alone() -> None:
    """By the largest |weight times gradient| of each, all else being there as it is."""
    tickets, target = pair(net("lenet-8-8", (1, 5, 5))), net("lenet-8-8-8", (1, 5, 5))
    x = torch.from_numpy(stream(3).standard_normal((8, 1, 5, 5))).float()
    probing = prober(target, x, torch.arange(8) % 4)
    scene: Any = SimpleNamespace(probing=lambda: probing)
    plain = made("elastic", tickets, target)
    found = make("elastic", tickets, target, {"snip_new": True}, stream(0), scene=scene)
    assert all(torch.equal(found.mask[name], plain.mask[name]) for name in found.mask if name != "fc3.weight")
    assert found.mask.counts() == plain.mask.counts()
    dense = tickets[1].weights("start")
    state = {name: dense[name.replace("fc3", "fc2")] for name in plain.weights("start")}
    full = Mask(
        {name: torch.ones_like(bits) if name == "fc3.weight" else bits for name, bits in plain.mask.items()}
    )
    scores = (probing(state, full).gradient["fc3.weight"] * state["fc3.weight"]).abs()
    kept = found.mask["fc3.weight"]
    assert scores[kept].min() > scores[~kept].max()
    start = found.weights("start")
    assert torch.equal(start["fc3.weight"][kept], state["fc3.weight"][kept])


def test_a_control_that_revives_weights_needs_the_dense_network() -> None:
    ticket, dense = pair(net("resnet-14"))
    stranger = pair(net("resnet-14"), seed=1)[1]
    for tickets, said in (
        ([ticket], "give the dense network"),
        ([ticket, ticket], "is not the dense network of the first"),
        ([ticket, stranger], "not drawn from the dense network beside it"),
        ([ticket, dense, dense], "takes one ticket, and the dense network that it was drawn from, found 3"),
    ):
        with pytest.raises(UserError, match=f"route 'elastic': .*{said}"):
            made("elastic", tickets, net("resnet-20"), mask="random")


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("resnet-14", "resnet-20-w2", "differ in more than their depth: '.*' of 'resnet-20-w2' has shape"),
        ("resnet-14", "vgg-13", "the source has 3 stages and 'vgg-13' has 5"),
        ("lenet-8-4", "lenet-8-8-4", "stage 1 of the source has its first unit alone"),
        ("lenet-8-8", "lenet-8-8-4", "has 1 stages and 'lenet-8-8-4' has 2"),
        ("conv-2", "conv-4", "'the source' has no units"),
        ("lenet-8-8", "lenet-5", "'lenet-5' has no units"),
    ],
)
def test_networks_that_differ_otherwise_are_refused(source: str, target: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        made("elastic", pair(net(source))[:1], net(target))


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"'out\.bias' of 'resnet-20' has shape \(7,\)|'out\.weight' of 'resnet-20'"
    ):
        made("elastic", pair(net("resnet-14")), architecture("resnet-20", (3, 16, 16), 7))
