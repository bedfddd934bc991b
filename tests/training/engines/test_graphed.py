"""Steps that read everything from the device: the bits of `Steps`, however they are recorded and replayed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from support.no_sync import NoReadingMethod, NoReadingOperation
from support.rounding import assert_same_in_double
from support.training_parts import CPU, arrays, kind, recipe, same, sparse, start
from tombola.data.resident import Resident
from tombola.data.split import split
from tombola.seeds import Seeds
from tombola.training.batches import Batches, Group
from tombola.training.checkpoint import Checkpoint
from tombola.training.engines import steps
from tombola.training.engines.base import ENGINES, Course, Engine, Job
from tombola.training.engines.stacked import StackedEngine
from tombola.training.engines.steps import WARMUP, GradientEngine, Graphed, Recorder, Step, Steps
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.start import Start
from tombola.training.trained import Trained


def as_it_is(step: Step, device: torch.device) -> Step:
    return step


def warming_up(step: Step, device: torch.device) -> Step:
    """What a capture does to the tensors: steps are run, the captured one itself is not."""
    for _ in range(WARMUP):
        step()
    return step


def refusing(step: Step, device: torch.device) -> Step:
    """What a step does that cannot be captured: it fails in the middle."""
    step()
    raise RuntimeError("operation not permitted when stream is capturing\nmore of this")


class Recorded:
    """Runs the recorded steps, and forbids to read from the device while one is run."""

    def __init__(self) -> None:
        self.made, self.run = 0, 0

    def __call__(self, step: Step, device: torch.device) -> Step:
        self.made += 1

        def replay() -> None:
            self.run += 1
            with NoReadingOperation(), NoReadingMethod():
                step()

        return replay


RECIPES = {
    "adam": recipe(weight_decay=0.1, warmup=5),
    "sgd": recipe(optimizer="sgd", lr=0.1, schedule="cosine", label_smoothing=0.1),
    "momentum": recipe(
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=0.1,
        schedule="milestones",
        milestones=(2, 7),
    ),
}
every_recipe = pytest.mark.parametrize("chosen", RECIPES.values(), ids=RECIPES.keys())


@pytest.fixture
def record_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Recorder | None], None]:
    """Every engine trains by `Graphed` with the recorder given, or by `Steps`."""

    def use(recorder: Recorder | None) -> None:
        def trainer(self: Engine, course: Course) -> Steps:
            return Steps(self, course) if recorder is None else Graphed(self, course, recorder)

        monkeypatch.setattr(GradientEngine, "trainer", trainer)

    return use


WHAT = {"mlp": "mlp", "odd": StackedEngine.name, "mlp by module": "modules"}
every_engine = pytest.mark.parametrize(("what", "engine"), WHAT.items(), ids=WHAT.values())


def train(
    what: str, engine: str, chosen: Recipe, starts: list[Start] | None = None, **options
) -> list[Trained]:
    arch, data, _ = kind(what)
    pins = {arch.prunable[0]: torch.ones(arch.shapes[arch.prunable[0]])}
    several = [start(arch), start(arch, 0, sparse(arch)), start(arch, 1, sparse(arch, 1), dead=pins)]
    return train_stack(arch, starts or several, data, chosen, 5, engine=engine, **options)


def assert_same(found: list[Trained], expected: list[Trained]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert same(a.end, b.end)
        assert same(a.best, b.best)
        assert same(a.snapshot, b.snapshot)
        assert a.history == b.history


@every_engine
@every_recipe
@pytest.mark.parametrize("recorder", [as_it_is, warming_up])
def test_the_bits_are_those_of_steps(what, engine, chosen, recorder, record_by) -> None:
    record_by(None)
    expected = train(what, engine, chosen, snapshot_at=6)
    record_by(recorder)
    assert_same(train(what, engine, chosen, snapshot_at=6), expected)


def test_flips_and_crops_are_those_of_steps(record_by) -> None:
    chosen = recipe(flip=True, crop=2)
    record_by(None)
    expected = train("odd", "stacked", chosen)
    record_by(warming_up)
    assert_same(train("odd", "stacked", chosen), expected)
    assert not same(expected[0].end, train("odd", "stacked", recipe())[0].end)


@every_recipe
def test_a_rewound_stack_begins_at_its_iteration(chosen, record_by) -> None:
    arch, _, _ = kind("odd")
    starts = [start(arch, 0, iteration=5), start(arch, 1, sparse(arch), iteration=5)]
    record_by(None)
    expected = train("odd", "stacked", chosen, starts)
    record_by(warming_up)
    assert_same(train("odd", "stacked", chosen, starts), expected)


@every_recipe
def test_batches_laid_out_in_several_goes_are_the_same(chosen, record_by, monkeypatch) -> None:
    record_by(None)
    expected = train("mlp", "mlp", chosen)
    monkeypatch.setattr(steps, "AHEAD", WARMUP)
    record_by(warming_up)
    assert_same(train("mlp", "mlp", chosen), expected)


def test_a_step_is_recorded_once_and_run_without_the_host(record_by) -> None:
    recorded = Recorded()
    record_by(recorded)
    train("odd", "stacked", recipe(flip=True, crop=1))
    assert (recorded.made, recorded.run) == (1, 12)


@every_recipe
def test_a_resumed_run_ends_with_the_same_bits(chosen, record_by, tmp_path) -> None:
    record_by(warming_up)
    expected = train("odd", "stacked", chosen)

    class StoppedError(Exception):
        pass

    def stop(iteration: int) -> None:
        if iteration == 8:
            raise StoppedError

    kept = Checkpoint(tmp_path / "c.safetensors", seconds=0)
    with pytest.raises(StoppedError):
        train("odd", "stacked", chosen, checkpoint=kept, progress=stop)
    points: list[int] = []
    assert_same(train("odd", "stacked", chosen, checkpoint=kept, progress=points.append), expected)
    assert points == [8, 12]


def trainer_by(recorder: Recorder, chosen: Recipe) -> Graphed:
    """A trainer of two small networks, to be advanced by hand."""
    arch, data, _ = kind("mlp")
    stack = Stack(arch, [start(arch), start(arch, 0, sparse(arch))], CPU)
    seeds = Seeds.replicate(0, 0)
    groups = [Group(seeds, 0, split(data.n_train, 5, seeds.stream("split")))]
    engine = ENGINES["mlp"](Job(arch, stack, [0, 0], [1, 1], chosen))
    return Graphed(engine, Course(chosen, Batches(groups, chosen.batch, CPU), data), recorder)


def test_the_last_step_alone_is_the_same(record_by) -> None:
    """Warming up there runs past the end of the schedule."""
    arch, _, _ = kind("mlp")
    chosen, starts = recipe(schedule="cosine"), [start(arch, iteration=11)]
    record_by(None)
    expected = train("mlp", "mlp", chosen, starts)
    record_by(warming_up)
    assert_same(train("mlp", "mlp", chosen, starts), expected)


@every_recipe
def test_what_is_restored_in_mid_training_is_recorded_anew(chosen) -> None:
    recorded = Recorded()
    one, other = trainer_by(as_it_is, chosen), trainer_by(recorded, chosen)
    one.advance(0, 4)
    other.advance(0, 2)
    other.engine.stack.load({n: t.clone() for n, t in one.engine.stack.tensors().items()})
    other.restore({n: t.clone() for n, t in one.tensors().items()})
    for trainer in (one, other):
        trainer.advance(4, 9)
    assert recorded.made == 2
    assert same(one.engine.stack.tensors(), other.engine.stack.tensors())
    assert same(one.tensors(), other.tensors())


@every_recipe
def test_a_step_that_cannot_be_recorded_is_run_as_it_is(chosen, record_by) -> None:
    record_by(None)
    expected = train("odd", "stacked", chosen)
    record_by(refusing)
    line = "steps run one by one, since they cannot be a CUDA graph: operation not permitted .* capturing$"
    with pytest.warns(UserWarning, match=line):
        found = train("odd", "stacked", chosen)
    assert_same(found, expected)


def test_recording_leaves_everything_as_it_was() -> None:
    seen: dict[str, Tensor] = {}

    def only_looking(step: Step, device: torch.device) -> Step:
        warming_up(step, device)
        return lambda: seen.update({n: t.clone() for n, t in trainer.tensors().items()})

    trainer = trainer_by(only_looking, recipe())
    before = {n: t.clone() for n, t in trainer.engine.stack.tensors().items()}
    trainer.advance(0, 1)
    assert same(trainer.engine.stack.tensors(), before)
    assert seen
    assert all((tensor == 0).all() for tensor in seen.values())


def test_engines_on_a_gpu_are_graphed_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    for kind_of in ("Graphed", "Steps"):
        monkeypatch.setattr(f"tombola.training.engines.steps.{kind_of}", lambda *_, k=kind_of: made.append(k))
    trainer = trainer_by(as_it_is, recipe())
    for device in ("cpu", "cuda"):
        trainer.engine.stack.device = torch.device(device)
        trainer.engine.trainer(trainer.course)
    assert made == ["Steps", "Graphed"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_recipe
@every_engine
@pytest.mark.usefixtures("float64")
def test_a_cuda_graph_ends_as_a_cpu_does(what, engine, chosen) -> None:
    arch, dataset, cuda = kind(what)[0], arrays(kind(what)[1].shape), torch.device("cuda")
    data, starts = Resident(dataset, "standard", cuda), [start(arch), start(arch, 0, sparse(arch))]
    expected = train(what, engine, chosen, starts)
    found = train_stack(arch, starts, data, chosen, 5, engine=engine)  # warnings are errors: it was captured
    again = train_stack(arch, starts, data, chosen, 5, engine=engine)
    for a, b, c in zip(found, expected, again, strict=True):
        assert_same_in_double(a.end, b.end)
        assert same(a.end, c.end)
