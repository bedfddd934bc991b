"""Tied weights and buffers that are not stored: tickets of such networks load strictly, and no dead weight returns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

import tombola
from tombola.data.arrays import from_arrays
from tombola.errors import Notice, UserError
from tombola.files import write_tensors
from tombola.lottery.checkpoint import read_checkpoint, write_checkpoint
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.models.state import load_state, state_dict_names
from tombola.seeds import stream


class Tied(nn.Module):
    """Two layers of one 16 x 16 weight, a buffer that is stored and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.b.weight = self.a.weight
        self.register_buffer("stored", torch.full((16,), 0.5))
        self.register_buffer("derived", torch.full((16,), 2.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.b(self.a(x).relu() + self.stored).relu() * self.derived)
        return out


KEPT = 205
"""Of 256 weights at the first level: 256 - floor(0.2 * 256 + 1/2)."""


def data() -> tombola.Dataset:
    rng = stream("tied", "data")
    y = torch.arange(90) % 3
    x = torch.from_numpy(rng.standard_normal((3, 16)))[y] + torch.from_numpy(rng.standard_normal((90, 16)))
    return from_arrays((x[:60], y[:60]), (x[60:], y[60:]))


@pytest.fixture(scope="module")
def drawn() -> Ticket:
    """A ticket of level 1, as `tombola.draw` gives it."""
    return list(tombola.draw(Tied, data(), levels=1, recipe=tombola.Recipe(iterations=3, batch=10)))[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tombola.Run:
    """A run with that ticket."""
    study = tombola.Study(
        model={"name": "tied"},
        data={"name": "arrays"},
        levels=1,
        replicates=1,
        recipe={"iterations": 3, "batch": 10},
    )
    found = tombola.run(study, model=Tied, data=data(), out=tmp_path_factory.mktemp("tied"))
    assert isinstance(found, tombola.Run)
    return found


def of_run(run: tombola.Run) -> Ticket:
    return run.ticket(next(cell for cell in run.cells() if cell.level == 1))


def living(weight: Tensor) -> int:
    return int(weight.count_nonzero())


def test_the_names_are_those_of_the_state_dict() -> None:
    module = Tied()
    names = state_dict_names(module)
    assert list(names) == list(module.state_dict())
    assert names["b.weight"] == "a.weight"
    assert {key for key, name in names.items() if key != name} == {"b.weight"}
    assert "derived" not in names.values()


@pytest.mark.parametrize("source", ["drawn", "of a run", "read from a file"])
@pytest.mark.parametrize("which", ["start", "end"])
def test_a_dense_export_loads_strictly_into_the_tied_module(
    source: str, which: str, drawn: Ticket, run: tombola.Run, tmp_path: Path
) -> None:
    ticket = of_run(run) if source == "of a run" else drawn
    if source == "read from a file":
        drawn.save(tmp_path / "t.safetensors")
        ticket = Ticket.load(tmp_path / "t.safetensors")
    for suffix in ("pt", "safetensors"):
        write_checkpoint(tmp_path / f"dense.{suffix}", ticket.export("dense", which))
        module = Tied()
        exported = read_checkpoint(tmp_path / f"dense.{suffix}")
        assert exported.keys() == module.state_dict().keys()
        module.load_state_dict(exported, strict=True)
        assert living(module.b.weight) == KEPT
        assert not module.b.weight[~ticket.mask["a.weight"]].any()


def test_an_export_for_torch_prune_loads_strictly_and_masks_both_layers(drawn: Ticket) -> None:
    module = Tied()
    for layer in (module.a, module.b, module.out):
        torch_prune.identity(layer, "weight")
    module.load_state_dict(drawn.export("torch-prune", "end"), strict=True)
    x = torch.randn(5, 16)
    found = module.eval()(x)
    assert (living(module.a.weight), living(module.b.weight)) == (KEPT, KEPT)
    plain = Tied().eval()
    load_state(plain, drawn.weights("end"))
    assert torch.equal(found, plain(x))


def foreign() -> nn.Module:
    torch.manual_seed(1)
    return Tied()


def as_pt(path: Path, module: nn.Module) -> Path:
    torch.save(module.state_dict(), path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def as_copies(path: Path, module: nn.Module) -> Path:
    write_tensors(path.with_suffix(".safetensors"), module.state_dict())
    return path.with_suffix(".safetensors")


def with_one_name(path: Path, module: nn.Module) -> Path:
    """As safetensors' own `save_model` keeps a shared tensor: here under its second name."""
    state = {key: tensor for key, tensor in module.state_dict().items() if key != "a.weight"}
    write_tensors(path.with_suffix(".safetensors"), state)
    return path.with_suffix(".safetensors")


@pytest.mark.parametrize("save", [as_pt, as_copies, with_one_name])
def test_a_mask_holds_under_every_name_of_a_foreign_checkpoint(
    save: Callable[[Path, nn.Module], Path], drawn: Ticket, tmp_path: Path
) -> None:
    masked = drawn.apply_to(read_checkpoint(save(tmp_path / "foreign", foreign())))
    module = foreign()
    module.load_state_dict(masked, strict="a.weight" in masked)
    assert living(module.a.weight) == living(module.b.weight) == KEPT
    assert torch.equal(module.a.weight != 0, drawn.mask["a.weight"])


def test_a_ticket_that_knows_no_keys_masks_what_shares_memory(drawn: Ticket, tmp_path: Path) -> None:
    """However it came by two names: one tensor, a second view of it, or its transpose."""
    weight = torch.randn(16, 16)
    state = {
        "a.weight": weight,
        "b.weight": weight.view(16, 16),
        "c": weight.T,
        "out.weight": torch.randn(3, 16),
    }
    torch.save(state, tmp_path / "shared.pt")
    masked = Ticket(drawn.mask).apply_to(read_checkpoint(tmp_path / "shared.pt"))
    for each in (masked["a.weight"], masked["b.weight"], masked["c"].T):
        assert torch.equal(each, torch.where(drawn.mask["a.weight"], weight, 0.0))


def test_a_ticket_that_knows_no_keys_says_which_tensor_looks_like_a_second_name(
    drawn: Ticket, tmp_path: Path
) -> None:
    path = as_copies(tmp_path / "foreign", foreign())
    with pytest.warns(
        Notice, match=r"checkpoint's 'b.weight' has the very values of 'a.weight' and was left unmasked"
    ):
        masked = Ticket(drawn.mask).apply_to(read_checkpoint(path))
    assert living(masked["b.weight"]) == 256


def test_a_ticket_that_knows_no_keys_says_so_when_it_is_exported(drawn: Ticket) -> None:
    with pytest.warns(Notice, match=r"does not say which keys its network's state_dict\(\) has"):
        exported = Ticket(drawn.mask, drawn.start).export()
    assert "derived" in exported


def test_one_memory_under_two_masks_is_refused() -> None:
    weight = torch.ones(2, 2)
    one, other = torch.eye(2, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool)
    shared = {"a": weight, "b": weight.view(2, 2)}
    with pytest.raises(UserError, match="'b' in the memory of another masked weight, and their masks differ"):
        Ticket(Mask({"a": one, "b": other})).apply_to(shared)
    assert Ticket(Mask({"a": one, "b": one})).apply_to(shared)["b"].sum() == 2


def test_weights_that_are_not_numbers_do_not_count_as_another_mask() -> None:
    mask = Mask({"a": torch.tensor([[True, False]])})
    applied = Ticket(mask).apply_to({"a": torch.tensor([[float("nan"), 1.0]])})["a"]
    assert applied[0, 0].isnan()
    assert applied[0, 1] == 0


class Halves(nn.Module):
    """Two parameters over one memory, which copies would hold apart."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = nn.Parameter(self.a.weight.data.T)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(self.a(x))
        return out


@pytest.mark.parametrize("model", [Halves, Halves()], ids=["factory", "instance"])
def test_two_parameters_over_one_memory_are_refused(model: object) -> None:
    with pytest.raises(UserError, match=r"'a.weight' and 'b.weight' are two parameters that share memory"):
        architecture(model, (3,), 3)  # type: ignore[arg-type]
