"""Masks from elsewhere: what is read, what it is compared as, and what is refused in one sentence."""

from __future__ import annotations

from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.sparse import csr_matrix, save_npz
from torch import nn
from torch.nn.utils import prune

from support.compare_parts import tensors
from tombola.alignment.network import chain
from tombola.comparison.importers import subject_from_file
from tombola.comparison.pairs import compare
from tombola.errors import Notice, UserError
from tombola.files import write_tensors
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask

STATE = tensors(fc1=[[1, 0], [0, -2]], fc2=[[0, 3]]) | {"fc1.bias": torch.tensor([0.0, 1.0])}
LIVING = Mask({"fc1.weight": torch.tensor([[1, 0], [0, 1]]) > 0, "fc2.weight": torch.tensor([[0, 1]]) > 0})


def pruned_by_torch() -> dict[str, torch.Tensor]:
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    for layer in module:
        prune.random_unstructured(layer, "weight", amount=0.5)
    return module.state_dict()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_zeros_in_weights(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    save_file(STATE, path) if suffix == ".safetensors" else torch.save({"state_dict": STATE}, path)
    with pytest.warns(
        Notice, match=r"no mask stands beside a weight, so the zeros in 'fc1.weight', 'fc2.weight'"
    ):
        subject = subject_from_file(path)
    assert subject.mask == LIVING  # biases are not masked, zero or not
    assert subject.name == str(path)
    assert not subject.holds("start")
    assert torch.equal(subject.end["fc1.weight"], STATE["fc1.weight"])


def test_weight_mask_keys_of_torch_pruning(tmp_path):
    state = pruned_by_torch()
    torch.save(state, tmp_path / "net.pth")
    subject = subject_from_file(tmp_path / "net.pth", "mine")
    assert subject.name == "mine"
    assert set(subject.mask) == {"0.weight", "1.weight"}
    assert subject.mask["0.weight"].equal(state["0.weight_mask"] > 0)
    assert subject.mask.count() == 9
    assert subject.end["0.weight"].equal(state["0.weight_orig"] * state["0.weight_mask"])


def test_mask_keys_beside_plain_weights_and_alone(tmp_path):
    masks = {
        "fc1.weight_mask": LIVING["fc1.weight"].float(),
        "fc2.weight_mask": LIVING["fc2.weight"].to(torch.uint8),
    }
    full = {**STATE, "fc1.weight": torch.tensor([[1.0, 9.0], [9.0, -2.0]])}
    save_file({**full, **masks}, tmp_path / "both.safetensors")
    both = subject_from_file(tmp_path / "both.safetensors")
    assert both.mask == LIVING
    assert both.end["fc1.weight"].equal(STATE["fc1.weight"])
    save_file(masks, tmp_path / "alone.safetensors")
    alone = subject_from_file(tmp_path / "alone.safetensors")
    assert alone.mask == LIVING
    assert not alone.holds("end")


def test_zeros_and_ones_are_a_bare_mask(tmp_path):
    save_file({name: bits.float() for name, bits in LIVING.items()}, tmp_path / "m.safetensors")
    subject = subject_from_file(tmp_path / "m.safetensors")
    assert subject.mask == LIVING
    assert not subject.holds("end")


def test_files_of_our_own(tmp_path):
    LIVING.save(tmp_path / "mask.safetensors")
    assert subject_from_file(tmp_path / "mask.safetensors").mask == LIVING
    Ticket(LIVING, start=STATE, end={name: 2 * x for name, x in STATE.items()}).save(
        tmp_path / "t.safetensors"
    )
    subject = subject_from_file(tmp_path / "t.safetensors")
    assert subject.mask == LIVING
    assert subject.start["fc1.weight"].equal(STATE["fc1.weight"])
    assert subject.end["fc1.weight"].equal(2 * STATE["fc1.weight"])


def topology(
    folder: Path, seed: int, widths: tuple[int, ...] = (5, 4, 4, 3), bias: int = 1
) -> list[np.ndarray]:
    """A folder of random sparse layers [inputs (+ bias), outputs], and the matrices without the bias."""
    folder.mkdir(parents=True)
    rng, layers = np.random.default_rng(seed), []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        dense = rng.standard_normal((inputs + bias, outputs)) * (rng.random((inputs + bias, outputs)) < 0.5)
        save_npz(folder / f"weight_l{index + 8}.npz", csr_matrix(dense.astype(np.float32)))  # l8, l9, l10
        layers.append(dense[:inputs])
    return layers


@pytest.mark.parametrize("bias", [0, 1])
def test_a_folder_of_sparse_matrices(tmp_path, bias):
    layers = topology(tmp_path / "net", 1, bias=bias)
    subject = subject_from_file(tmp_path / "net")
    assert subject.mask.shapes == {
        "weight_l8.weight": (4, 5),
        "weight_l9.weight": (4, 4),
        "weight_l10.weight": (3, 4),
    }
    assert (subject.mask["weight_l10.weight"].numpy() == (layers[2].T != 0)).all()
    assert ("weight_l8.bias" in subject.end) == bool(bias)
    assert np.allclose(subject.end["weight_l8.weight"], layers[0].T)


def nnstd(one: list[np.ndarray], two: list[np.ndarray]) -> list[float]:
    """Papers' distance by brute force: sets of inputs, all matchings; outputs stay in their places."""
    distances, order = [], None
    for depth, (a, b) in enumerate(zip(one, two, strict=True)):
        b = b if order is None else b[list(order)]
        sets = [[set(np.flatnonzero(m[:, j])) for j in range(m.shape[1])] for m in (a, b)]
        cost = [[1 - len(x & y) / len(x | y) if x | y else 0.0 for y in sets[1]] for x in sets[0]]
        width = range(len(cost))
        last = depth == len(one) - 1
        ways = [tuple(width)] if last else list(permutations(width))
        order = min(ways, key=lambda way: sum(cost[i][way[i]] for i in width))
        distances.append(float(np.mean([cost[i][order[i]] for i in width])))
    return distances


def test_nnstd_distances_of_folders(tmp_path):
    for seed in range(4):
        layers = [
            topology(tmp_path / f"{seed}" / side, 10 * seed + k, (9, 5, 5, 3)) for k, side in enumerate("ab")
        ]
        pair = [subject_from_file(tmp_path / f"{seed}" / side, side) for side in "ab"]
        frame = compare(
            pair, network=chain(pair[0].mask), measures=["unit-distance"], alignments=["mask"], n_null=3
        )
        found = dict(frame.select("layer", "value").rows())
        by_hand = nnstd(*layers)
        # the first layer's matching is best in any case; later ones may go on from another equally good one
        assert found["weight_l8.weight"] == pytest.approx(by_hand[0])
        assert found["all"] == pytest.approx(
            np.average([found[f"weight_l{i}.weight"] for i in (8, 9, 10)], weights=[5, 5, 3])
        )


def test_a_chain_of_layers_is_followed_by_the_numbers_in_its_names():
    mask = Mask.dense({"l10.weight": (2, 4), "l9.weight": (4, 3), "l1.weight": (3, 6)})
    groups = chain(mask).groups
    assert [group.size for group in groups] == [3, 4]
    assert groups[1].places == (("l9.weight", 0, 1), ("l9.bias", 0, 1), ("l10.weight", 1, 1))
    with pytest.raises(
        UserError, match=r"'b.weight' of shape \(2, 5\) does not follow 'a.weight' of shape \(3, 6\)"
    ):
        chain(Mask.dense({"a.weight": (3, 6), "b.weight": (2, 5)}))


def broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "x.safetensors"
    if kind == "cut":
        save_file(STATE, path)
        path.write_bytes(path.read_bytes()[:50])
    elif kind == "dense":
        save_file({"fc1.weight": torch.ones(2, 2) * 3}, path)
    elif kind == "no weights":
        save_file({"fc1.bias": torch.zeros(2)}, path)
    elif kind == "grey mask":
        save_file({"fc1.weight_mask": torch.full((2, 2), 0.5)}, path)
    elif kind == "shape":
        save_file({"fc1.weight": torch.ones(2, 3), "fc1.weight_mask": torch.ones(2, 2)}, path)
    elif kind == "no zero":
        topology(path := tmp_path / "net", 1)
        for file in path.glob("*.npz"):
            save_npz(file, csr_matrix(np.ones((3, 3))))
    elif kind == "pickle":
        path = tmp_path / "x.pt"
        torch.save({"a": Path("/")}, path)
    elif kind == "empty folder":
        path = tmp_path / "net"
        path.mkdir()
    elif kind in ("no matrix", "cut matrix"):
        topology(path := tmp_path / "net", 1)
        file = path / "weight_l9.npz"
        if kind == "no matrix":
            np.savez(file, a=np.ones(3))
        else:
            file.write_bytes(file.read_bytes()[:100])
    elif kind in ("far index", "huge matrix", "matrix of texts", "matrix of objects"):
        topology(path := tmp_path / "net", 1)
        parts = {"indices": [0, 10_000_000], "indptr": [0, 1, 2], "data": np.ones(2), "shape": [2, 3]}
        changed = {
            "far index": {},
            "huge matrix": {"shape": [1 << 20, 1 << 20]},
            "matrix of texts": {"data": np.array([b"a", b"b"])},
            "matrix of objects": {"data": np.array([{}, {}])},
        }[kind]
        np.savez(path / "weight_l9.npz", format=b"csr", **{**parts, **changed})
    elif kind == "no chain":
        topology(path := tmp_path / "net", 1)
        save_npz(path / "weight_l9.npz", csr_matrix(np.ones((9, 4))))
    elif kind == "not ours":
        write_tensors(
            path, {"fc1.weight": torch.zeros(1, dtype=torch.uint8)}, {"shapes": {"fc1.weight": [99]}}
        )
    return path


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("absent", "no such file"),
        ("cut", "not a readable safetensors file"),
        ("dense", "found no mask: no 'NAME_mask' stands beside a weight 'NAME_orig' or 'NAME' of its shape"),
        ("no weights", "found no mask"),
        ("grey mask", "'fc1.weight_mask' is no mask: expected zeros and ones, found [0.5]"),
        ("shape", "'fc1.weight_mask' has shape (2, 2), 'fc1.weight' beside it (2, 3)"),
        ("pickle", "not a checkpoint that torch.load reads safely"),
        ("empty folder", "expected a folder of .npz files"),
        ("no matrix", "weight_l9.npz: not a sparse matrix that scipy can read"),
        ("cut matrix", "weight_l9.npz: not a readable .npz file"),
        ("far index", "weight_l9.npz: not a sparse matrix that scipy can read"),
        ("huge matrix", "which has more than 1,073,741,824 numbers"),
        ("matrix of texts", "its data are |S1"),
        ("matrix of objects", "is of type object, expected numbers"),
        ("no chain", "its layers do not follow one another"),
        ("no zero", "found no mask: no weight is zero"),
        ("not ours", "not a mask file"),
    ],
)
def test_broken_files_get_one_clear_sentence(tmp_path, kind, sentence):
    path = broken(tmp_path, kind)
    with pytest.raises(UserError) as caught:
        subject_from_file(path)
    assert sentence in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
