"""State dicts made elsewhere: which tensors are masks, which only look like one, and what cannot be told."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune

from tombola.comparison.importers import subject_from_file
from tombola.comparison.pairs import compare
from tombola.errors import Notice, UserError
from tombola.lottery.checkpoint import write_checkpoint
from tombola.lottery.identify_masks import pruned
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask

CAUSAL = torch.ones(9, 9, dtype=torch.bool).tril()
REAL = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.1, 3.0]])
HALF = torch.tensor([[1, 0, 1], [0, 1, 0]])
HOLED = REAL * HALF
DISTRACTORS = {
    "attn.causal_mask": CAUSAL,
    "attn.mask": CAUSAL.view(1, 1, 9, 9).float(),
    "attn.bias": CAUSAL.view(1, 1, 9, 9).to(torch.uint8),  # as GPT-2 calls its attention mask
    "window.attn_mask": torch.where(CAUSAL, 0.0, -100.0),  # as Swin adds it
    "position_ids": torch.arange(9).view(1, 9),
    "token_type_ids": torch.zeros(1, 9, dtype=torch.int64),
    "norm.num_batches_tracked": torch.tensor(0),
    "norm.running_mean": torch.zeros(4),
    "fc.bias": torch.zeros(2),
    "cls_token": torch.zeros(1, 1, 4),
    "pos_embed": torch.tensor([[[0.0, 1.0], [0.8, 0.5]]]),
    "image_norm.weight": torch.tensor([[0.0, 1.0], [1.0, 1.0]]),
    "image_norm.bias": torch.zeros(2, 2),
    "embed.weight": torch.cat([torch.zeros(1, 3), REAL]),  # the first word is padding
}


def random_masks(seed: int) -> dict[str, Tensor]:
    """Three layers that torch pruned at random: 51% of 9,000 weights live, independently of any other seed."""
    torch.manual_seed(seed)
    sizes = {"l0": (100, 20), "l1": (60, 100), "l2": (50, 20)}
    state = {}
    for name, shape in sizes.items():
        state[f"{name}.weight_orig"] = torch.randn(shape)
        state[f"{name}.weight_mask"] = (torch.rand(shape) < 0.51).float()
    return state


@pytest.mark.parametrize("form", ["beside", "zeros"])
def test_independent_masks_beside_an_attention_mask_agree_as_by_chance(form, tmp_path):
    subjects = []
    for name in "ab":
        with torch.random.fork_rng():
            state = random_masks(ord(name))
        plain = Mask({key.removesuffix("_mask"): v > 0 for key, v in state.items() if key.endswith("_mask")})
        if form == "zeros":
            state = {key: state[f"{key}_orig"] * state[f"{key}_mask"] for key in plain}
        torch.save({**state, "attn.causal_mask": torch.ones(96, 96).bool().tril()}, tmp_path / name)
        with pytest.warns(Notice):
            subjects.append(subject_from_file(tmp_path / name, name))
        assert subjects[-1].mask == plain
    table = compare(subjects, measures=["jaccard"]).filter(layer="all")
    # Masks that keep each weight with probability d by themselves share d d of d + d - d d: d / (2 - d).
    assert table["value"].item() == pytest.approx(
        0.51 / (2 - 0.51), abs=0.02
    )  # 0.342; 4,650 more ones gave 0.5
    assert abs(table["z"].item()) < 3
    assert table["p"].item() > 0.01


def test_masks_beside_weights_are_told_from_all_that_looks_like_them():
    state = {**DISTRACTORS, "fc.weight_orig": REAL, "fc.weight_mask": HALF}
    found = pruned(state)
    assert found.mask == Mask({"fc.weight": HALF > 0})
    assert found.weights["fc.weight"].equal(HOLED)
    assert found.weights["attn.causal_mask"].equal(CAUSAL)
    assert not {"fc.weight_orig", "fc.weight_mask"} & found.weights.keys()
    assert found.said.startswith("the masks of 'fc.weight' are taken for pruning, 'attn.causal_mask'")


def test_zeros_in_weights_are_told_from_all_that_looks_like_them():
    found = pruned({**DISTRACTORS, "fc.weight": HOLED, "head.weight": REAL})
    assert found.mask == Mask({"fc.weight": HALF > 0, "head.weight": torch.ones(2, 3) > 0})
    assert found.said == (
        "no mask stands beside a weight, so the zeros in 'fc.weight', 'head.weight' are taken for pruning (9 of 12 "
        "alive), those in 'attn.causal_mask', 'attn.mask', 'attn.bias', 'window.attn_mask', 'position_ids', "
        "'token_type_ids', 'cls_token', 'pos_embed' and 2 more are not"
    )


SQUARE = torch.eye(9) * 0.5


@pytest.mark.parametrize(
    ("state", "weight"),
    [
        ({"w": HOLED, "attn_mask": torch.where(CAUSAL, 0.0, -100.0)}, "w"),
        ({"w": HOLED, "h": torch.zeros(2, 3)}, "w"),
        ({"w": HOLED, "w_bias": HOLED + 1 - 2 * HALF, "bias": HOLED}, "w"),
        ({"attn.w": SQUARE, "attn.causal": CAUSAL}, "attn.w"),  # of one shape, but a triangle is no pruning
        ({"0.weight": DISTRACTORS["embed.weight"], "0.bias": torch.zeros(3)}, "0.weight"),  # a dead unit
    ],
)
def test_zeros_count_only_in_weights(state, weight):
    assert pruned(state).mask == Mask({weight: state[weight] != 0})


def test_weights_of_zeros_and_ones_may_stand_under_a_mask():
    found = pruned({"fc.weight": 1.0 - HALF, "fc.weight_mask": HALF})
    assert found.mask == Mask({"fc.weight": HALF > 0})
    assert not found.weights["fc.weight"].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8, torch.int64])
def test_a_mask_beside_its_weight_may_be_stored_in_any_way(dtype):
    found = pruned({"fc.weight": REAL, "fc.weight_mask": HALF.to(dtype)})
    assert found.mask == Mask({"fc.weight": HALF > 0})
    assert found.weights["fc.weight"].equal(HOLED)
    assert found.said == ""


def test_biases_and_norms_with_masks_are_masked_but_not_counted():
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.LayerNorm((2, 3)))
    for layer in network:
        prune.l1_unstructured(layer, "weight", amount=1)
    prune.l1_unstructured(network[0], "bias", amount=1)
    found = pruned(network.state_dict())
    assert list(found.mask) == ["0.weight"]
    assert found.mask.count() == 11
    for name in ("0.weight", "0.bias", "1.weight", "2.weight"):
        module, _, part = name.partition(".")
        assert found.weights[name].equal(getattr(network[int(module)], part).detach()), name
        assert int((found.weights[name] == 0).sum()) == 1, name
    assert (
        found.said
        == "the masks of '0.weight' are taken for pruning, '0.bias_mask', '1.weight_mask', '2.weight_mask' for none"
    )


def test_of_a_weight_and_its_original_the_weight_is_what_was_trained():
    found = pruned({"w.weight": REAL, "w.weight_orig": REAL + 1, "w.weight_mask": HALF})
    assert found.weights["w.weight"].equal(HOLED)


@pytest.mark.parametrize(
    "state",
    [
        {"fc1.weight": HALF.bool(), "fc2.weight": HALF.float(), "fc1.bias": torch.tensor([0.5, 1.0])},
        {"fc1.weight_mask": HALF, "fc2.weight_mask": HALF},
        {"a": HALF.to(torch.uint8), "b": HALF.to(torch.int8)},
        {"a": HALF.bool(), "attn.bias": CAUSAL, "c": torch.tensor([0.5])},
        {"made.weight": CAUSAL},  # a name says what it is
        {"fc1.weight_mask": torch.ones(2, 2)},  # dense
    ],
)
def test_nothing_but_masks(state):
    state = {key: v.to(torch.uint8) if v.dtype == torch.int64 else v for key, v in state.items()}
    found = pruned(state)
    masks = {key: value > 0 for key, value in state.items() if value.ndim > 1 and "bias" not in key}
    wide = {key.removesuffix("_mask"): bits for key, bits in masks.items()}
    assert found.mask == Mask(wide)
    assert found.weights is None


MASKS = {"fc1.weight_mask": HALF.to(torch.uint8), "fc2.weight_mask": HALF.to(torch.uint8)}


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({**MASKS, "attn.causal_mask": CAUSAL}, "'attn.causal_mask' is a triangle of ones, as attention masks are"),
        ({**MASKS, "attn.mask": ~CAUSAL}, "'attn.mask' is a triangle of ones"),
        ({"attn.causal": CAUSAL}, "'attn.causal' is a triangle of ones"),
        ({**MASKS, "padding": HALF.bool()}, "'padding' does not name a weight as others do"),
        ({**MASKS, "types": HALF}, "'types' holds integers wider than a byte"),
        ({"a": HALF.bool(), "a_mask": HALF.bool()}, "'a' is there twice"),
        ({**MASKS, "ids": torch.arange(6).view(1, 6)}, "'fc1.weight_mask' masks no weight"),
        ({**MASKS, "fc1.weight": REAL}, "'fc2.weight_mask' masks no weight: expected 'fc2.weight_orig'"),
        ({"fc.weight": REAL, "attn.causal_mask": CAUSAL}, "found no mask"),
        ({"fc.weight": REAL, "position_ids": torch.zeros(2, 3, dtype=torch.int64)}, "found no mask"),
        ({"fc.weight": REAL, "fc.bias": torch.zeros(2)}, "found no mask"),
        ({"fc.weight": REAL.long(), "b": torch.zeros(2, 2)}, "found no mask"),
        ({}, "found no mask"),
        ({"fc.weight": REAL, "fc.mask": HALF}, "'fc.mask' holds zeros and ones in the shape of 'fc.weight'"),
        ({"w": HOLED, "m": HALF.float()}, "in the shape of 'w': if it is its mask, call it 'w_mask', else"),
        ({"0.weight": DISTRACTORS["embed.weight"], "1.weight": HOLED}, "zeros of '0.weight' are one whole row"),
        ({"fc.weight": REAL, "fc.weight_mask": REAL}, "'fc.weight_mask' is no mask: expected zeros and ones"),
        ({"fc.weight": HOLED.to_sparse()}, "'fc.weight' is no plain tensor"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_apart_is_refused(state, sentence):
    with pytest.raises(UserError) as refused:
        pruned(state)
    assert str(refused.value).count(sentence) == 1


def test_a_refusal_names_the_first_tensors_of_the_file_and_counts_the_others():
    state = {f"fc{i}.weight": REAL for i in range(11)}
    with pytest.raises(UserError, match=r"found 'fc0.weight', .*'fc7.weight' and 3 more$"):
        pruned(state)


@pytest.mark.parametrize("form", ["dense", "torch-prune"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_a_ticket_is_exported_as_is_read_back(form, suffix, tmp_path):
    ticket = Ticket(
        Mask({"fc.weight": HALF > 0}),
        start={"fc.weight": HOLED, "fc.bias": torch.zeros(2), "n.weight": torch.ones(2)},
        keys={name: name for name in ("fc.weight", "fc.bias", "n.weight")},
    )
    write_checkpoint(tmp_path / f"w{suffix}", ticket.export(form))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        found = subject_from_file(tmp_path / f"w{suffix}")
    assert found.mask == ticket.mask
    assert found.end.keys() == ticket.start.keys()
    assert all(found.end[name].equal(value) for name, value in ticket.start.items())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(DISTRACTORS)), unique=True),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_whatever_stands_beside_masks_leaves_them_as_they_are(others, shapes, seed, originals):
    rng = torch.Generator().manual_seed(seed)
    state, living = {key: DISTRACTORS[key] for key in others}, {}
    for index, shape in enumerate(shapes):
        bits = torch.rand(shape, generator=rng) < 0.5
        living[f"l{index}.weight"] = bits
        state[f"l{index}.weight" + "_orig" * originals] = torch.randn(shape, generator=rng)
        state[f"l{index}.weight_mask"] = bits
    found = pruned(state)
    assert found.mask == Mask(living)
    assert all(bool((found.weights[name][~bits] == 0).all()) for name, bits in living.items())
    assert all(found.weights[key] is not None for key in others)
