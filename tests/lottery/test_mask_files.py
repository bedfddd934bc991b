"""Masks in files made elsewhere: every wrapping gives the mask that was put in, for compare, show, apply and arms."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from tombola.errors import Notice, UserError
from tombola.lottery.mask_files import MaskFile, fitted, read_mask_file, ticket_in
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask

MASK = {
    "0.weight": torch.tensor([[1, 0, 1], [0, 1, 1]]).bool(),
    "2.weight": torch.tensor([[1, 0], [1, 1]]).bool(),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """CSR tensors are in beta, says torch."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse .* tensor support is in beta")
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")
        warnings.filterwarnings("ignore", category=Notice)
        yield


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))


def pruned() -> nn.Sequential:
    """As torch.nn.utils.prune leaves it."""
    module = net()
    for name, living in MASK.items():
        prune.custom_from_mask(module[int(name[0])], "weight", living)
    return module


class Masked(nn.Module):
    """A parametrization that masks."""

    def __init__(self, living: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", living.float())

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def parametrized() -> nn.Sequential:
    module = net()
    for name, living in MASK.items():
        parametrize.register_parametrization(module[int(name[0])], "weight", Masked(living))
    return module


def dense() -> dict[str, Tensor]:
    """Zeros in place."""
    return {key: value * MASK[key] if key in MASK else value for key, value in net().state_dict().items()}


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def each(change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    return {key: change(value) if value.ndim == 2 else value for key, value in dense().items()}


MADE: dict[str, Callable[[], Any]] = {
    "torch.nn.utils.prune": lambda: pruned().state_dict(),
    "made permanent": dense,
    "parametrizations": lambda: parametrized().state_dict(),
    "DataParallel": lambda: prefixed("module.", dict(pruned().state_dict())),
    "compiled": lambda: prefixed("_orig_mod.", dict(pruned().state_dict())),
    "compiled within DataParallel": lambda: prefixed("module._orig_mod.", dense()),
    "compiled parts": lambda: {key.replace(".", "._orig_mod.", 1): value for key, value in dense().items()},
    "a checkpoint": lambda: {"epoch": 2, "model_state_dict": dict(pruned().state_dict()), "loss": 0.5},
    "net": lambda: {"net": prefixed("module.", dense()), "acc": 93.1, "epoch": 9},
    "half": lambda: {key: value.half() for key, value in pruned().state_dict().items()},
    "bfloat16": lambda: {key: value.bfloat16() for key, value in dense().items()},
    "coordinates": lambda: each(lambda value: value.to_sparse()),
    "compressed rows": lambda: each(lambda value: value.to_sparse_csr()),
    "masks alone": lambda: dict(MASK),
    "our dense export": lambda: Ticket(Mask(MASK), end=net().state_dict()).export("dense", "end"),
    "our export for torch": lambda: Ticket(Mask(MASK), end=net().state_dict()).export("torch-prune", "end"),
}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE.keys())
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_the_mask_that_was_put_in_comes_out(made: Callable[[], Any], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w.{suffix}"
    state = made()
    if suffix == "pt":
        torch.save(state, path)
    elif any(not isinstance(value, Tensor) or value.layout != torch.strided for value in state.values()):
        pytest.skip("a safetensors file holds plain tensors under their names")
    else:
        save_file(state, path)
    found = read_mask_file(path)
    assert found.mask == Mask(MASK)
    assert found.start is None
    if made is not MADE["masks alone"]:
        assert found.end is not None
        expected = dense()
        for key in MASK:
            assert found.end[key].dtype == torch.float32
            assert torch.allclose(found.end[key], expected[key], rtol=1e-2)


def test_tied_weights_are_one(tmp_path: Path) -> None:
    weight = torch.randn(4, 3) * torch.tensor([[1, 0, 1]] * 4)
    torch.save({"emb.weight": weight, "out.weight": weight}, tmp_path / "w.pt")
    assert set(read_mask_file(tmp_path / "w.pt").mask) == {"emb.weight"}


def test_what_a_weight_is_computed_from_by_other_ways_is_refused(tmp_path: Path) -> None:
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))
    torch.save(module.state_dict(), tmp_path / "w.pt")
    with pytest.raises(
        UserError, match=r"'0\.parametrizations\.weight' computes its weight from '0\..*original0'"
    ):
        read_mask_file(tmp_path / "w.pt")


def test_a_whole_module_is_refused_without_torchs_advice(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "w.pt")
    with pytest.raises(UserError) as problem:
        read_mask_file(tmp_path / "w.pt")
    said = str(problem.value)
    assert "it holds an object of torch.nn.modules" in said
    assert "save the module's state_dict()" in said
    assert "\x1b" not in said
    assert "two options" not in said


def test_a_checkpoint_without_a_state_dict_names_its_keys(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "best": 0.5, "ema": {"a": 1}}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=re.escape("found dict with 'epoch', 'best' and 'ema'")):
        read_mask_file(tmp_path / "w.pt")


SHAPES = {"0.weight": (2, 3), "2.weight": (2, 2), "4.weight": (5, 2)}


def test_a_mask_is_fitted_to_a_network() -> None:
    given = prefixed("backbone.", dict(MASK))
    found = fitted(Mask(given), SHAPES, "w.pt")
    assert found.shapes == SHAPES
    assert torch.equal(found["0.weight"], MASK["0.weight"])
    assert found.count("4.weight") == 10, "what the file says nothing of is whole"


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ({"fc1.weight": torch.eye(2).bool()},
         "w.pt: its mask of 'fc1.weight' is of no prunable weight of the network; did you mean '4.weight'?"
         "; found masks of 'fc1.weight'"),
        ({**MASK, "conv.weight": torch.eye(2).bool()}, "w.pt: its mask of 'conv.weight' is of no prunable weight"),
        ({"0.weight": torch.eye(2).bool()}, "w.pt: its mask of '0.weight' has shape (2, 2), the network's weight (2"),
    ],
)  # fmt: skip
def test_a_mask_that_does_not_fit_names_what_was_found(masks: dict[str, Tensor], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        fitted(Mask(masks), SHAPES, "w.pt")


def test_a_foreign_mask_is_put_on_another_checkpoint(tmp_path: Path) -> None:
    torch.save(pruned().state_dict(), tmp_path / "w.pt")
    other = {key: torch.ones_like(value) for key, value in net().state_dict().items()}
    masked = ticket_in(tmp_path / "w.pt").apply_to(prefixed("module._orig_mod.", other))
    assert torch.equal(masked["module._orig_mod.0.weight"] != 0, MASK["0.weight"])


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (lambda: pruned().state_dict(), "has '0.weight_orig' in the place of '0.weight'"),
        (
            lambda: parametrized().state_dict(),
            "has '0.parametrizations.weight.original' in the place of '0.weight'",
        ),
    ],
)
def test_it_is_not_put_where_a_weight_is_computed(state: Callable[[], Any], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        Ticket(Mask(MASK)).apply_to(copy.deepcopy(state()))


def test_files_of_ours(tmp_path: Path) -> None:
    Ticket(Mask(MASK), start=net().state_dict()).save(tmp_path / "t.safetensors")
    Mask(MASK).save(tmp_path / "m.safetensors")
    assert read_mask_file(tmp_path / "m.safetensors") == MaskFile(Mask(MASK))
    assert read_mask_file(tmp_path / "t.safetensors").start is not None
    assert ticket_in(tmp_path / "t.safetensors").provenance == {}
    assert ticket_in(tmp_path / "m.safetensors").provenance == {"file": "m.safetensors"}
