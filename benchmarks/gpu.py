"""What is to be checked and measured where there is a GPU, in eight minutes at most; writes JSON and a table.

    python benchmarks/gpu.py [--device cuda] [--seconds 480] [--out FOLDER] [--tiny]

First the checks that are skipped without a GPU: its tests, captured steps against steps one by one, and the bits of a
run that was stopped and went on. Then stacks of networks beside the plain loop and the floors that are measured on
the device, and one level of three presets, multiplied out from a few seconds of it. What is done is written at once, so
that a cut loses nothing; what fails is written as such, and the rest goes on. With --tiny it goes through small
networks in a few seconds, on a CPU as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from baselines import Plain
from turns import rounds

from tombola.bench import Floors, Timed, Workload, images, random_mask
from tombola.data.resident import Resident
from tombola.models.architecture import Architecture, architecture
from tombola.seeds import Seeds
from tombola.study.load import load_study
from tombola.study.plan import make_plan
from tombola.training.batches import Batches
from tombola.training.checkpoint import Checkpoint
from tombola.training.device import pick_device, prepare
from tombola.training.engines.base import ENGINES, Course, Demand
from tombola.training.engines.select import PREFERENCE
from tombola.training.engines.steps import GradientEngine, Graphed, Step, Steps, captured
from tombola.training.loop import train_stack
from tombola.training.memory import networks_that_fit
from tombola.training.recipe import Recipe
from tombola.training.record import Record
from tombola.training.start import Start

ROOT = Path(__file__).parents[1]
TESTS = ("engines/test_graphed.py", "engines/test_stacked.py", "test_memory.py", "test_bfloat16_here.py")
NETWORKS = {"lenet-300-100": (1, 28, 28), "conv-2": (3, 32, 32), "resnet-20": (3, 32, 32)}
PRESETS = {"lenet-mnist": "lenet-300-100", "conv2-cifar10": "conv-2", "resnet20-cifar10": "resnet-20"}
TINY = {
    "lenet-300-100": ("lenet-8-4", (1, 8, 8)),
    "conv-2": ("lenet-5", (1, 12, 12)),
    "resnet-20": ("resnet-14", (3, 8, 8)),
}
"""What stands for a network with --tiny, and the shape of its images."""
DENSITY = 0.1
Row = dict[str, Any]


class Session:
    """A device, the seconds that are left on it, and what was found so far, on disk."""

    def __init__(self, device: torch.device, seconds: float, out: Path, tiny: bool) -> None:
        self.device, self.out, self.tiny = device, out, tiny
        self.end, self.rows = time.monotonic() + seconds, list[Row]()
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        self.facts = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "tiny": tiny}
        out.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    def keep(self, what: str, work: Callable[[], Row]) -> None:
        """Do it, if there is time, and write down what comes out, also that it failed."""
        begin = time.monotonic()
        if self.left <= 0:
            found: Row = {"left out": "the time was up"}
        else:
            try:
                found = work()
            except Exception as problem:  # whatever fails, the rest is still to be seen
                found = {"failed": f"{type(problem).__name__}: {problem}"}
        self.rows.append({"what": what} | found | {"seconds": round(time.monotonic() - begin, 2)})
        (self.out / "gpu.json").write_text(json.dumps({**self.facts, "rows": self.rows}, indent=1) + "\n")
        told = ", ".join(f"{key} {_said(value)}" for key, value in self.rows[-1].items() if key != "what")
        lines = [f"{self.facts['device']}\n\n| what | found |\n|---|---|\n"] if len(self.rows) == 1 else []
        with (self.out / "gpu.md").open("w" if lines else "a") as table:
            table.writelines([*lines, f"| {what} | {told} |\n"])
        print(f"[{self.left:4.0f} s left]  {what}: {told}", flush=True)

    def network(self, name: str, recipe: Recipe) -> Workload:
        """A network on random images, two networks in a stack."""
        model, shape = TINY[name] if self.tiny else (name, NETWORKS[name])
        data = images(shape, 240 if self.tiny else 6_000)
        return Workload(architecture(model, shape, 10), data, recipe, 1, 2)

    def engine(self, net: Architecture, recipe: Recipe) -> str:
        """What a GPU would train the network with."""
        names = PREFERENCE["cuda"]
        return next(each for each in names if ENGINES[each].holds(net, self.device, Demand(recipe)))


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# --- checks --------------------------------------------------------------------------------------------------


def tests(session: Session) -> Row:
    """The tests that need a GPU, and those beside them."""
    if session.device.type != "cuda":
        return {"left out": "no GPU"}
    files = [str(ROOT / "tests/training" / name) for name in TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cuda or gpu", *files]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=session.left / 3, check=False
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("FAILED") or " in " in line]
    return {"passed": done.returncode == 0, "said": " / ".join(said[-6:])}


def against_steps(session: Session, name: str) -> Row:
    """Steps as they are captured against steps one by one, and captured again."""
    case = session.network(name, Recipe(batch=8 if session.tiny else 60, lr=1e-3))
    recorder = captured if session.device.type == "cuda" else _as_it_is
    ends = []
    for kind in (Steps, Graphed, Graphed):
        timed = Timed(session.engine(case.net, case.recipe), case, DENSITY, session.device)
        assert isinstance(timed.engine, GradientEngine)
        course = Course(case.recipe, Batches(timed.groups, case.recipe.batch, session.device), timed.data)
        trainer = Steps(timed.engine, course) if kind is Steps else Graphed(timed.engine, course, recorder)
        trainer.advance(0, 10)
        ends.append({key: value.clone() for key, value in timed.stack.tensors().items()})
    largest = max(float((ends[0][key] - ends[1][key]).abs().max()) for key in ends[0])
    again = all(torch.equal(ends[1][key], ends[2][key]) for key in ends[1])
    return {"passed": again and largest < 1e-3, "largest difference": largest, "same bits again": again}


def _as_it_is(step: Step, device: torch.device) -> Step:
    return step


def resumed(session: Session, name: str) -> Row:
    """A training that was stopped in its middle and went on, against one that was not."""
    steps = 4 if session.tiny else 40
    rule = Recipe(iterations=2 * steps, evaluate_every=steps, batch=8 if session.tiny else 60)
    case = session.network(name, rule)
    data = Resident(case.dataset, "standard", session.device)
    seeds = Seeds.replicate(0, 0)
    begun = [
        Start(case.net.initial(seeds.stream("init")), random_mask(case.net, DENSITY, r), seeds)
        for r in range(2)
    ]
    asked: dict[str, Any] = {"engine": session.engine(case.net, rule)}

    def off(iteration: int) -> None:
        if iteration == steps:
            raise InterruptedError

    whole = train_stack(case.net, begun, data, rule, 0.2, **asked)
    with TemporaryDirectory() as folder:
        kept = Checkpoint(Path(folder) / "kept.safetensors", seconds=0)
        with suppress(InterruptedError):
            train_stack(case.net, begun, data, rule, 0.2, checkpoint=kept, progress=off, **asked)
        seen: list[int] = []
        again = train_stack(case.net, begun, data, rule, 0.2, checkpoint=kept, progress=seen.append, **asked)
    pairs = [(a.end[key], b.end[key]) for a, b in zip(whole, again, strict=True) for key in a.end]
    same = all(torch.equal(a, b) for a, b in pairs)
    return {"passed": same and seen[0] == steps, "same bits": same, "went on from": seen[0]}


# --- measures ------------------------------------------------------------------------------------------------


def floors_of(device: torch.device, tiny: bool) -> Floors:
    """Matrix products in float32 and copies on the device, the best of several."""
    side, count = (256, 1 << 18) if tiny else (8192, 1 << 28)
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    source = torch.randn(count, device=device)
    target = torch.empty_like(source)
    product, copy = _best(lambda: torch.mm(a, b), device), _best(lambda: target.copy_(source), device)
    return Floors({"float32": 2 * side**3 / product}, 2 * 4 * count / copy)


def _best(work: Callable[[], object], device: torch.device) -> float:
    taken = []
    for _ in range(6):
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - begin)
    return min(taken)


def stacks(session: Session, name: str, floors: Floors) -> Iterator[tuple[str, Callable[[], Row]]]:
    """A stack of each size beside the plain loop."""
    for arms in (1, 2) if session.tiny else (1, 5, 25, 100):
        recipe = Recipe(batch=8 if session.tiny else 128 if name.startswith("resnet") else 60)
        base = session.network(name, recipe)

        def one(arms: int = arms, base: Workload = base) -> Row:
            engine = session.engine(base.net, base.recipe)
            if session.device.type == "cuda":
                fits = networks_that_fit(base.net, session.device, base.recipe, engine)
                if arms > fits:
                    return {"left out": f"{fits} networks fit"}
            case = Workload(base.net, base.dataset, base.recipe, 1, arms)
            ours, theirs = Timed(engine, case, DENSITY, session.device), Plain(case, DENSITY, session.device)
            found = rounds(
                ours.seconds, theirs.seconds, 0.1 if session.tiny else min(10.0, session.left / 12), arms
            )
            floor = floors.microseconds(case, 1.0)  # a mask saves a GPU nothing
            ratio = found["ratio"]
            told = {"engine": engine, "us": found["this_us"], "plain us": found["baseline_us"]}
            told |= {"faster": ratio["median"], "low": ratio["low"], "high": ratio["high"], "n": ratio["n"]}
            return told | {"of the floor": floor / found["this_us"]}

        yield f"{base.net.name}, stack of {arms}", one


def level(session: Session, preset: str) -> Row:
    """One level of a preset: all its networks, multiplied out from a few seconds of steps and an evaluation."""
    study, (model, shape) = load_study(preset), TINY[PRESETS[preset]]
    if not session.tiny:
        model, shape = study.model.name, NETWORKS[PRESETS[preset]]
    net = architecture(model, shape, 10)
    plan = make_plan(study, net)
    half = study.levels // 2
    networks = sum(cell.level == half for cell in plan.cells())
    engine = session.engine(net, study.recipe)
    fits = (
        networks_that_fit(net, session.device, study.recipe, engine) if session.device.type == "cuda" else 2
    )
    size = min(fits, networks)
    data = images(shape, 600 if session.tiny else 60_000)
    timed = Timed(engine, Workload(net, data, study.recipe, 1, size), plan.densities[half], session.device)
    step = timed.best(0.1 if session.tiny else 5.0)  # seconds of one network's
    record = Record(timed.engine, timed.stack, timed.data, timed.groups, study.recipe)
    record.evaluate(0)
    begin = time.perf_counter()
    record.evaluate(study.recipe.evaluate_every)
    if session.device.type == "cuda":
        torch.cuda.synchronize(session.device)
    measured = (time.perf_counter() - begin) / size
    minutes = networks * (study.recipe.iterations * step + len(study.recipe.evaluations()) * measured) / 60
    told = {"networks": networks, "in stacks of": size, "engine": engine, "us a step": 1e6 * step}
    return told | {"ms an evaluation": 1e3 * measured, "minutes of the level": minutes}


def main(arguments: list[str] | None = None) -> None:
    """Check, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--seconds", type=float, default=450.0, help="what has begun by then is still finished"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args(arguments)
    prepare()
    session = Session(pick_device(given.device), given.seconds, given.out, given.tiny)
    for name in NETWORKS:
        session.keep(f"captured steps, {name}", lambda name=name: against_steps(session, name))  # type: ignore[misc]
        session.keep(f"stopped and gone on, {name}", lambda name=name: resumed(session, name))  # type: ignore[misc]
    session.keep("tests", lambda: tests(session))
    floors = floors_of(session.device, session.tiny)
    rates = {"GFLOP/s": floors.flops["float32"] / 1e9, "GB/s": floors.bandwidth / 1e9}
    session.keep("floors", lambda: rates)
    for name in NETWORKS:
        for what, one in stacks(session, name, floors):
            session.keep(what, one)
    for preset in PRESETS:
        session.keep(f"one level of {preset}", lambda preset=preset: level(session, preset))  # type: ignore[misc]
    failed = [row["what"] for row in session.rows if "failed" in row or row.get("passed") is False]
    print(f"wrote {session.out}; " + (f"failed: {', '.join(failed)}" if failed else "nothing failed"))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
