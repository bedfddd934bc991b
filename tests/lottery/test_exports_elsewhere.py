"""What is written for others: a plain module that loads it finds the accuracy that was reported."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import tombola
from tombola.data.catalog import load
from tombola.errors import UserError
from tombola.files import read_tensors
from tombola.lottery.exports import in_words, write_onnx, write_pretrained, write_state_dict
from tombola.lottery.ticket import Ticket
from tombola.networks import network_of


@pytest.fixture(scope="module")
def trained() -> Ticket:
    """A ticket whose early stop is not its end."""
    recipe = tombola.Recipe(iterations=120, lr=0.02, evaluate_every=10)
    ticket, scores = tombola.train("lenet-24", "digits", recipe=recipe, seed=3)
    assert scores.early_stop_test_accuracy != scores.final_test_accuracy
    return ticket


def plain() -> nn.Module:
    """The network as anybody would write it."""
    module = nn.Module()
    module.fc1, module.out = nn.Linear(64, 24), nn.Linear(24, 10)
    return module


def accuracy(state: dict[str, Any], given: dict[str, Any]) -> float:
    """Test accuracy of a plain module with this state, on inputs normalised as the file says."""
    module, data = plain(), load("digits")
    module.load_state_dict(state, strict=True)
    x = (data.test_x.float() - given["mean"][0]) / given["deviation"][0]
    with torch.no_grad():
        logits = module.out(module.fc1(x.flatten(1)).relu())
    return float((logits.argmax(1) == data.test_y).double().mean())


REPORTED = {"best": "early_stop_test_accuracy", "end": "final_test_accuracy"}


@pytest.mark.parametrize("which", REPORTED)
def test_a_state_dict_has_the_accuracy_that_was_reported(which: Any, trained: Ticket, tmp_path: Path) -> None:
    write_state_dict(trained, tmp_path / "w.safetensors", "dense", which)
    state, about = read_tensors(tmp_path / "w.safetensors")
    assert about["weights"] == which
    expected = trained.provenance["scores"][REPORTED[which]]
    assert accuracy(state, about["input"]) == pytest.approx(expected, abs=1e-9)
    assert tombola.evaluate(trained, "digits", weights=which).accuracy == pytest.approx(expected)


@pytest.mark.parametrize("which", REPORTED)
def test_a_folder_for_the_hub_too(which: Any, trained: Ticket, tmp_path: Path) -> None:
    folder = tmp_path / "hub/ticket"
    write_pretrained(trained, folder, which)
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors",
        "mask.safetensors",
        "config.json",
        "README.md",
    }
    given = json.loads((folder / "config.json").read_text())["tombola"]["provenance"]["input"]
    expected = trained.provenance["scores"][REPORTED[which]]
    assert accuracy(load_file(folder / "model.safetensors"), given) == pytest.approx(expected, abs=1e-9)
    again = Ticket.from_pretrained(folder)
    assert (again.held, again.mask, again.keys) == ([which], trained.mask, trained.keys)
    assert again.provenance == trained.provenance
    assert tombola.evaluate(again, "digits", weights=which).accuracy == pytest.approx(expected)
    card = (folder / "README.md").read_text()
    assert f"Test accuracy {100 * expected:.2f}%." in card
    assert "# lenet-24 on digits, 100.0% of its weights" in card


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no ticket in it"),
        (lambda folder: (folder / "config.json").write_text('{"tombola": 3}'), "no ticket in it"),
        (
            lambda folder: (folder / "config.json").write_text(
                '{"tombola": {"weights": "end", "keys": {"a": "b"}}}'
            ),
            "a broken ticket",
        ),
        (lambda folder: (folder / "mask.safetensors").write_bytes(b"x"), "not a readable safetensors file"),
    ],
)
def test_a_broken_folder_is_named(
    change: Callable[[Path], Any], said: str, trained: Ticket, tmp_path: Path
) -> None:
    write_pretrained(trained, tmp_path / "t", "end")
    change(tmp_path / "t")
    with pytest.raises(UserError, match=said):
        Ticket.from_pretrained(tmp_path / "t")


def test_a_ticket_file_keeps_all_its_weights(trained: Ticket, tmp_path: Path) -> None:
    trained.save(tmp_path / "t.safetensors")
    again = Ticket.load(tmp_path / "t.safetensors")
    assert again.held == ["start", "end", "best"]
    assert again.best is not None
    assert trained.best is not None
    assert all(torch.equal(again.best[name], tensor) for name, tensor in trained.best.items())
    with pytest.raises(UserError, match="this ticket holds no best weights; expected one of: end, start"):
        Ticket(trained.mask, trained.start, trained.end).weights("best")


def test_what_is_done_to_inputs_is_said(trained: Ticket) -> None:
    data = load("digits").train_x.double()
    mean, deviation = float(data.mean()), float(data.std(correction=0))
    assert in_words(trained) == f"inputs: (x - [{mean:.6g}]) / [{deviation:.6g}]"
    assert in_words(Ticket(trained.mask)) == ""


ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))


class TwoInputs(nn.Module):
    """A picture and two token ids, with a batch norm between."""

    def __init__(self) -> None:
        super().__init__()
        self.see, self.read = nn.Linear(16, 6), nn.Embedding(10, 4)
        self.norm, self.out = nn.BatchNorm1d(10), nn.Linear(10, 3)

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        return self.out(
            self.norm(torch.cat([self.see(image.flatten(1)), self.read(words).mean(1)], 1)).relu()
        )


class Words(nn.Module):
    """Token ids alone."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.out = nn.Embedding(10, 6), nn.Linear(6, 3)

    def forward(self, words: Tensor) -> Tensor:
        return self.out(self.read(words).mean(1))


def images(*shape: int) -> Tensor:
    return torch.randn(60, *shape, generator=torch.Generator().manual_seed(1))


WORDS = torch.randint(0, 10, (60, 2), generator=torch.Generator().manual_seed(2))


@pytest.mark.skipif(
    not ONNX, reason="onnx, onnxscript or onnxruntime is not installed: ONNX files are NOT tested here"
)
@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        ("lenet-24", (images(1, 8, 8),)),
        ("lenet-5", (images(1, 28, 28),)),
        pytest.param("resnet-20", (images(3, 32, 32),), marks=pytest.mark.slow),
        (TwoInputs, (images(1, 4, 4), WORDS)),
        (Words, (WORDS,)),
    ],
    ids=["lenet-24", "lenet-5", "resnet-20", "two inputs", "words"],
)
def test_onnx_gives_the_same_logits(
    model: Any, inputs: tuple[Tensor, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    parts: list[Any] = [tuple(each[rows] for each in inputs) for rows in (slice(40), slice(40, 60))]
    parts = [part if len(part) > 1 else part[0] for part in parts]
    y = torch.arange(60) % 3
    data = (parts[0], y[:40]), (parts[1], y[40:])
    words = any(not each.is_floating_point() for each in inputs)
    ticket, _ = tombola.train(
        model,
        data,
        recipe=tombola.Recipe(iterations=4, batch=10, evaluate_every=2),
        validation=10,
        normalisation="none" if words else "standard",
    )
    write_onnx(ticket, tmp_path / "t.onnx", "best", lambda: network_of(ticket))
    assert [path.name for path in tmp_path.iterdir()] == ["t.onnx"], "one file, weights and all"
    assert "".join(capfd.readouterr()) == "", "torch's progress is not printed"
    session = onnxruntime.InferenceSession(str(tmp_path / "t.onnx"))
    module = network_of(ticket)
    module.load_state_dict(ticket.export("dense", "best"))
    names = [each.name for each in session.get_inputs()]
    assert names == (["inputs"] if len(inputs) == 1 else ["input_1", "input_2"])
    for count in (1, 7):
        shown = [each[:count] for each in inputs]
        found = session.run(None, {name: each.numpy() for name, each in zip(names, shown, strict=True)})[0]
        assert torch.allclose(torch.from_numpy(found), module.eval()(*shown).detach(), atol=1e-5)


class Fixed(nn.Module):
    """As `plain`, with a buffer that no state dict has."""

    def __init__(self, hidden: str = "fc1") -> None:
        super().__init__()
        self.add_module(hidden, nn.Linear(64, 24))
        self.out = nn.Linear(24, 10)
        self.register_buffer("scale", torch.tensor(2.0), persistent=False)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The modules that torch was asked to write."""
    found: list[nn.Module] = []
    for name in ("onnx", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(torch.onnx, "export", lambda module, *_, **__: found.append(module))
    return found


def test_what_is_written_has_the_weights_of_the_ticket(
    trained: Ticket, exported: list[nn.Module], tmp_path: Path
) -> None:
    write_onnx(trained, tmp_path / "t.onnx", "end", Fixed)
    state, weights = exported[0].state_dict(), trained.weights("end")
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weights[name]) for name in weights)


def test_a_module_that_is_not_the_tickets_is_not_written_with_random_weights(
    trained: Ticket, exported: list[nn.Module], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"state holds 'fc1\.(weight|bias)', which Fixed does not have"):
        write_onnx(trained, tmp_path / "t.onnx", "end", lambda: Fixed("fc"))
    assert exported == []


@pytest.mark.skipif(ONNX, reason="it is installed")
def test_onnx_is_asked_for_where_it_is_not_installed(trained: Ticket, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pip install 'tombola\[onnx\]'"):
        write_onnx(trained, tmp_path / "t.onnx", "best", lambda: network_of(trained))
    assert sum(parameter.numel() for parameter in network_of(trained).parameters()) == 64 * 24 + 24 + 240 + 10
