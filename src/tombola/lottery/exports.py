"""Tickets for other programs: files and folders from which a plain module finds the accuracy that was reported."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tombola.errors import UserError
from tombola.files import new_folder, write_bytes, write_json, write_tensors
from tombola.lottery.checkpoint import write_checkpoint
from tombola.lottery.ticket import CONFIG, MASK_FILE, MODEL_FILE, ExportForm, Ticket, Weights
from tombola.metrics import metric_in
from tombola.models.state import load_state, state_dict_names, state_of
from tombola.several import Several
from tombola.text import percent

OPSET = 18


def write_state_dict(ticket: Ticket, path: Path, form: ExportForm, which: Weights) -> None:
    """A state dict; in `.safetensors` with what is to be done to inputs in the metadata. Raises UserError."""
    write_checkpoint(
        path, ticket.export(form, which), {"input": ticket.provenance.get("input"), "weights": which}
    )


def write_pretrained(ticket: Ticket, folder: Path, which: Weights) -> None:
    """A folder for the Hugging Face Hub: model.safetensors with the keys of the network's state_dict(), the mask,
    config.json, and a card. `Ticket.from_pretrained` reads it. Raises UserError where the ticket lacks the weights."""
    state = ticket.export("dense", which)
    about = {
        "weights": which,
        "provenance": dict(ticket.provenance),
        "keys": ticket.keys and dict(ticket.keys),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(folder) as place:
        write_tensors(place / MODEL_FILE, state, {"weights": which})
        ticket.mask.save(place / MASK_FILE)
        write_json(place / CONFIG, {"model_type": "tombola", "tombola": about})
        write_bytes(place / "README.md", _card(ticket, which).encode())


def write_onnx(ticket: Ticket, path: Path, which: Weights, build: Callable[[], nn.Module]) -> None:
    """The network as one file of ONNX, with a batch of any size; inputs are normalised ones, `inputs`, or of several
    `input_1`, `input_2`, ... `build` makes the module.

    Raises UserError where `onnx` is not installed, the ticket does not say what its inputs are, or its weights are not
    those of the module.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError(
            "ONNX files are written by onnx and onnxscript: pip install 'tombola[onnx]'"
        ) from None
    examples = _examples(input_of(ticket))
    names = ["inputs"] if len(examples) == 1 else [f"input_{i + 1}" for i in range(len(examples))]
    module = build()
    # Buffers that are not persistent are as they were built, where the ticket was read from a file without them.
    built, stored = state_of(module), set(state_dict_names(module).values())
    fixed = {name: tensor for name, tensor in built.items() if name not in stored}
    load_state(module, {**fixed, **ticket.weights(which)})
    module.eval()
    batch = torch.export.Dim("batch")
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), _quiet("torch.onnx"):
        warnings.simplefilter("ignore")  # of what torch will change in itself
        torch.onnx.export(
            module,
            examples,
            path,
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=tuple({0: batch} for _ in examples),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )


def _examples(given: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """Two of each input, as the network takes them."""
    kind = torch.int64 if given.get("type") == "int64" else torch.float32
    rows, several = torch.zeros(2, *given["shape"], dtype=kind), Several.read(given.get("several"))
    return several.apart(rows) if several else (rows,)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Within it a library does not log that others are not installed."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def input_of(ticket: Ticket) -> Mapping[str, Any]:
    """The shape of an input (`several` where it takes several), the number of classes, and the mean and deviation of
    each channel. Raises UserError for a ticket that does not say."""
    found = ticket.provenance.get("input")
    if not isinstance(found, dict) or not {"shape", "classes", "mean", "deviation"} <= found.keys():
        raise UserError("this ticket does not say which inputs it is for (it was made by an older Tombola)")
    return found


def in_words(ticket: Ticket) -> str:
    """What is to be done to an input, in a line; empty where the ticket does not say."""
    found = ticket.provenance.get("input")
    if not isinstance(found, dict):
        return ""
    means, deviations = found.get("mean", ()), found.get("deviation", ())
    several = bool(found.get("several"))
    pairs = zip(means, deviations, strict=True) if several else [(means, deviations)]
    return "; ".join(
        f"input{f' {i + 1}' if several else 's'}: {_normalised(mean, deviation)}"
        for i, (mean, deviation) in enumerate(pairs)
    )


def _normalised(mean: Sequence[float], deviation: Sequence[float]) -> str:
    shifts, scales = (", ".join(f"{number:.6g}" for number in each) for each in (mean, deviation))
    return f"({'x' if len(mean) < 2 else 'x of each channel'} - [{shifts}]) / [{scales}]"


def _card(ticket: Ticket, which: Weights) -> str:
    model = ticket.provenance.get("model")
    name = model.get("name") if isinstance(model, Mapping) else "a network"
    data = ticket.provenance.get("data")
    of = f" on {data.get('name')}" if isinstance(data, Mapping) else ""
    scores = ticket.provenance.get("scores")
    scores = scores if isinstance(scores, Mapping) else {}
    metric = metric_in(scores)
    value = (
        scores.get(metric.early_stop if which == "best" else metric.final_test) if which != "start" else None
    )
    said = f" Test {metric.noun} {metric.shown(value)}." if value is not None else ""
    inputs = f"\n\n{in_words(ticket)}" if in_words(ticket) else ""
    return (
        "---\nlibrary_name: tombola\ntags:\n- pruning\n- lottery-ticket-hypothesis\n---\n\n"
        f"# {name}{of}, {percent(ticket.mask.density(), 1)} of its weights\n\n"
        f"A lottery ticket, its weights at {'the early stop' if which == 'best' else f'the {which}'}.{said}{inputs}\n\n"
        '```python\nimport tombola\n\nticket = tombola.Ticket.from_pretrained("FOLDER")\n```\n\n'
        "model.safetensors has the keys of the network's `state_dict()`, with zeros where weights are pruned.\n"
    )
