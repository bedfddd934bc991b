"""Commands about single networks and tickets: train, evaluate, ticket show|export|apply|measure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tombola.cli import complete
from tombola.cli.options import (
    DataDir,
    DataName,
    Device,
    EngineName,
    Json,
    OutFile,
    Settings,
    Threads,
    argument,
    option,
)
from tombola.errors import UserError

Which = Annotated[
    Literal["start", "end", "best"],
    option("--weights", "Before or after training, or those at the early stop."),
]
TicketPath = Annotated[Path, argument("FILE", "A cell folder of a run, or a .safetensors ticket.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(train)
    app.command()(evaluate)
    ticket = typer.Typer(
        name="ticket", help="Look into tickets and carry them elsewhere.", no_args_is_help=True
    )
    for command in (show, export, apply, measure):
        ticket.command()(command)
    app.add_typer(ticket)


def train(
    model: Annotated[
        str, argument("MODEL", "A model's name, or package.module:factory.", complete.one_of("models"))
    ],
    data: DataName,
    out: OutFile,
    seed: Annotated[int, option("--seed", "The root of every random stream.", min=0)] = 0,
    settings: Settings = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    engine: EngineName = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train one network from a data set and a seed, print its test performance, and save it."""
    from tombola import networks
    from tombola.cli.show.tables import print_json
    from tombola.metrics import metric_in
    from tombola.runs.stops import AT_END
    from tombola.study.load import parse_study
    from tombola.training.trained import numbers_of

    if out.suffix != ".safetensors":
        raise UserError(f"--out {out}: expected a name ending in .safetensors")
    _refuse_existing(out)
    spec = parse_study(
        f"levels = 0\nreplicates = 1\n[model]\nname = {_quoted(model)}\n[data]\nname = {_quoted(data)}\n",
        "train",
        settings or [],
        tables=("model", "data", "recipe"),
    )
    begin = time.perf_counter()
    ticket, trained = networks.train(
        spec.model,
        spec.data.name,
        recipe=spec.recipe,
        seed=seed,
        validation=spec.data.validation,
        normalisation=spec.data.normalisation,
        data_dir=data_dir,
        device=device,
        engine=engine,
        threads=threads,
    )
    ticket.save(out)
    if as_json:
        ends = {"early_stop_at_end": trained.stops_at_end}
        print_json(
            {**ticket.provenance["scores"], **ends, "seconds": time.perf_counter() - begin, "file": str(out)}
        )
        return
    if trained.diverged:
        print("the training diverged: weights or validation loss are not finite")
    scores = numbers_of(trained)
    metric = metric_in(scores)
    what, wide = f"test {metric.noun} at the", len(f"test {metric.noun} at the early stop") + 2
    print(f"{what} end".ljust(wide) + metric.shown(scores[metric.final_test]))
    if scores[metric.early_stop] is not None:
        print(f"{what} early stop".ljust(wide) + metric.shown(scores[metric.early_stop]))
        print(f"early stop at iteration          {trained.early_stop_iteration} of {trained.iterations}")
        if trained.stops_at_end:
            print(f"                                 {AT_END}")
    print(f"saved {out}")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def evaluate(
    file: TicketPath,
    data: DataName,
    weights: Which = "end",
    data_dir: DataDir = None,
    device: Device = "auto",
    engine: EngineName = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure a saved network (its weights at the end of training, unless told otherwise) on a test set."""
    from tombola import networks
    from tombola.cli.show.tables import print_json
    from tombola.metrics import METRICS
    from tombola.runs.locate import open_ticket
    from tombola.text import percent

    ticket = open_ticket(file)
    found = networks.evaluate(
        ticket, data, weights=weights, data_dir=data_dir, device=device, engine=engine, threads=threads
    )
    if as_json:
        of = {} if found.accuracy is None else {"test_accuracy": found.accuracy}
        print_json({**of, "test_loss": found.loss, "metric": found.metric, "examples": found.examples})
        return
    if found.accuracy is None:
        print(f"test {METRICS[found.metric].noun}  {found.loss:.4f} of {found.examples}")
        return
    print(f"test accuracy  {percent(found.accuracy, 2)} of {found.examples}")
    print(f"test loss      {found.loss:.4f}")


def show(file: TicketPath, as_json: Json = False) -> None:
    """Print a ticket's layers, densities and provenance."""
    from tombola.cli.show.tables import print_json, print_table
    from tombola.runs.ticket_facts import ticket_facts
    from tombola.text import percent

    facts = ticket_facts(file)
    if as_json:
        layers = {
            name: {"alive": facts.alive[name], "size": prod(facts.shapes[name])} for name in facts.alive
        }
        print_json({"density": facts.density(), "layers": layers, "provenance": dict(facts.provenance)})
        return
    rows = [
        [name, " x ".join(map(str, shape)), f"{facts.alive[name]:,}", percent(facts.density(name), 2)]
        for name, shape in facts.shapes.items()
    ]
    rows.append(["all", "", f"{sum(facts.alive.values()):,}", percent(facts.density(), 2)])
    print_table(["layer", "shape", "alive", "density"], rows, left=2)
    print(f"\nweights held: {', '.join(facts.held) or 'none'}")
    for key, value in facts.provenance.items():
        if key != "function":  # numbers for the machine, which --json has
            print(f"{key}: {_in_words(value)}")


def _in_words(value: Any) -> str:
    """A value of a provenance: of a table those of its keys that say something, 'lr 0.01, momentum 0.9'."""
    if isinstance(value, Mapping):
        said = {key: each for key, each in value.items() if each not in (None, "", {}, [], ())}
        return ", ".join(f"{key} {_in_words(each)}" for key, each in said.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_in_words, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def export(
    file: TicketPath,
    out: OutFile,
    form: Annotated[
        Literal["dense", "torch-prune", "hf", "onnx"],
        option(
            "--form",
            "Zeros in place, torch.nn.utils.prune's names, a folder for the Hugging Face Hub, or ONNX.",
        ),
    ] = "dense",
    weights: Which = "start",
) -> None:
    """Write a ticket as a plain state dict (.safetensors, .pt or .pth), as a folder, or as ONNX."""
    from tombola.lottery.exports import in_words, write_onnx, write_pretrained, write_state_dict
    from tombola.runs.locate import open_ticket

    _refuse_existing(out)
    ticket = open_ticket(file)
    if form == "hf":
        write_pretrained(ticket, out, weights)
    elif form == "onnx":
        from tombola.networks import network_of

        write_onnx(ticket, out, weights, lambda: network_of(ticket))
    else:
        write_state_dict(ticket, out, form, weights)
    print(f"saved {out}")
    if said := in_words(ticket):
        print(said)


def apply(
    file: TicketPath,
    to: Annotated[Path, option("--to", "A foreign state dict: .safetensors, .pt or .pth.")],
    out: OutFile,
) -> None:
    """Put a ticket's mask on a foreign checkpoint."""
    from tombola.lottery.checkpoint import read_checkpoint, write_checkpoint
    from tombola.runs.locate import open_ticket

    _refuse_existing(out)
    masked = open_ticket(file).apply_to(read_checkpoint(to))
    write_checkpoint(out, masked)
    print(f"saved {out}")


def measure(
    file: TicketPath,
    weights: Annotated[
        Literal["start", "end"], option("--weights", "Before or after training; those it has, by default.")
    ]
    | None = None,
    batch: Annotated[int, option("--batch", "Examples at a time.", min=1)] = 64,
    repeats: Annotated[int, option("--repeats", "Measurements of each form, in turns.", min=1)] = 50,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure how fast a ticket's network computes masked, cut out, and in dense blocks."""
    from dataclasses import asdict

    from tombola.cli.show.tables import print_json, print_table
    from tombola.networks import architecture_of
    from tombola.runs.locate import open_ticket
    from tombola.training.device import prepare
    from tombola.transfer import latency

    prepare(threads)
    ticket = open_ticket(file)
    which = weights or ("start" if ticket.end is None else "end")
    found = latency.measure(ticket, architecture_of(ticket), which, batch=batch, repeats=repeats)
    if as_json:
        print_json(asdict(found))
        return
    rows = [
        [FORMS[name], f"{each.multiply_adds:,}", f"{each.median:.3f}", f"{each.low:.3f} to {each.high:.3f}"]
        for name, each in found.forms.items()
    ]
    print_table(["network", "multiply-adds", "median, ms", "quartiles, ms"], rows, left=1)
    print(f"\n{repeats} measurements of each, in turns; batches of {batch}, threads: {found.threads}")


FORMS = {
    "masked": "masked, whole with zeros",
    "cut": "cut out",
    "blocks": "cut out, in dense blocks",
}


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise UserError(f"--out {out}: exists already; nothing is overwritten")
