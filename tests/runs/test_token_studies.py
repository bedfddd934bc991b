"""Token ids through an embedding and an LSTM: inputs as they are, and matrices that are pruned because a study names
them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

import tombola
from tombola.data.arrays import from_arrays
from tombola.errors import Notice, UserError
from tombola.lottery.cell import Cell
from tombola.lottery.ticket import Ticket
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import load_state
from tombola.report.paper.material import material_of_run
from tombola.report.paper.methods import network
from tombola.runs.estimate import estimate_time
from tombola.seeds import Seeds, stream
from tombola.study.plan import make_plan
from tombola.study.spec import Study
from tombola.training.engines.base import Job
from tombola.training.engines.select import choose
from tombola.training.stack import Stack
from tombola.training.start import Start

WORDS, LENGTH, WIDTH, HIDDEN, CLASSES = 12, 5, 6, 8, 3
RECURRENT = ["lstm.weight_ih_l0", "lstm.weight_hh_l0"]
PRUNE = ("lstm.weight_*", "emb.weight")
SIZES = {"emb.weight": 72, "lstm.weight_ih_l0": 192, "lstm.weight_hh_l0": 256, "out.weight": 24}
"""12 x 6; four gates of 8 units by 6 inputs, and by 8 of their own; 3 x 8."""
PARAMETERS = 72 + 192 + 256 + 2 * 32 + 24 + 3


class Tagger(nn.Module):
    """Embedding -> LSTM -> the last state -> logits, of ids [batch, length]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(WORDS, WIDTH)
        self.lstm = nn.LSTM(WIDTH, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN, classes)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.out(self.lstm(self.emb(ids))[0][:, -1])
        return out


def tokens(kind: type = np.int64) -> tombola.Dataset:
    """Sequences of words 0..11; which third of them the last word is in is the class."""
    ids = stream("tokens").integers(0, WORDS, (150, LENGTH))
    labels = ids[:, -1] // 4
    return from_arrays((ids[:90].astype(kind), labels[:90]), (ids[90:].astype(kind), labels[90:]))


RECIPE = tombola.Recipe(iterations=60, batch=20, lr=0.05, evaluate_every=20)


def net(prune: tuple[str, ...] = PRUNE) -> Architecture:
    return architecture(Tagger, (LENGTH,), CLASSES, torch.zeros(2, LENGTH, dtype=torch.int64), prune=prune)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_token_ids_train_as_they_are(kind: type) -> None:
    ticket, trained = tombola.train(Tagger, tokens(kind), recipe=RECIPE, normalisation="none")
    assert trained.final_test_accuracy > 0.9, "a third by chance"
    assert set(ticket.mask) == {"out.weight"}


def test_ids_that_a_network_makes_whole_itself_may_come_as_floats() -> None:
    class Whole(Tagger):
        def forward(self, ids: Tensor) -> Tensor:
            assert ids.dtype == torch.float32
            return super().forward(ids.long())

    trained = tombola.train(Whole, tokens(np.float64), recipe=RECIPE, normalisation="none")[1]
    assert trained.final_test_accuracy > 0.9


def test_ids_are_refused_in_a_sentence_where_they_are_normalised_or_not_taken() -> None:
    with pytest.raises(UserError, match=r"fails on inputs of shape \(\d, 5\)"):
        tombola.train(Tagger, tokens(), recipe=RECIPE)
    with pytest.raises(UserError, match=r"fails on inputs of shape \(\d, 5\)"):
        tombola.train("lenet-8-6", tokens(), recipe=RECIPE, normalisation="none")


def test_evaluate_measures_a_ticket_of_ids() -> None:
    ticket, trained = tombola.train(Tagger, tokens(), recipe=RECIPE, normalisation="none", prune=PRUNE)
    assert ticket.provenance["model"]["prune"] == list(PRUNE)
    known = {**ticket.provenance, "model": {**ticket.provenance["model"], "name": f"{__name__}:Tagger"}}
    again = tombola.evaluate(Ticket(ticket.mask, None, ticket.end, known), tokens())
    assert again.accuracy == trained.final_test_accuracy


def test_what_is_opted_in_is_prunable_and_counted() -> None:
    arch = net()
    assert {name: int(np.prod(arch.shapes[name])) for name in arch.prunable} == SIZES
    assert list(arch.prunable) == list(SIZES), "in module order"
    assert arch.roles == dict.fromkeys(["emb.weight", *RECURRENT], "matrix") | {"out.weight": "output"}
    assert str(arch.scope) == f"544 of {PARAMETERS} parameters are prunable"
    assert arch.scope.warning() is None


def test_what_is_not_opted_in_is_said() -> None:
    with pytest.warns(Notice) as said:
        list(tombola.draw(Tagger, tokens(), levels=1, recipe=RECIPE, normalisation="none"))
    assert str(said[0].message) == (
        "only 24 of 611 parameters are prunable, so that densities speak of a small part of this network; the largest "
        "that are not are lstm.weight_hh_l0 (256), lstm.weight_ih_l0 (192), emb.weight (72) and 3 smaller ones; "
        '[model] prune = ["lstm.weight_hh_l0", "lstm.weight_ih_l0", "emb.weight"] would opt the largest matrices in'
    )


@pytest.mark.parametrize("criterion", ["large-final", "movement", "snip", "grasp"])
def test_tickets_of_matrices_have_the_counts_of_the_ladder(criterion: str) -> None:
    rates = {"matrix": 0.5, "emb.weight": 0.25, "output": 0}
    pruning = tombola.Pruning(criterion=criterion, rates=rates)
    drawn = tombola.draw(
        Tagger, tokens(), levels=1, recipe=RECIPE, pruning=pruning, normalisation="none", prune=PRUNE
    )
    ticket = list(drawn)[1]
    assert ticket.mask.counts() == {
        "emb.weight": 54,
        "lstm.weight_ih_l0": 96,
        "lstm.weight_hh_l0": 128,
        "out.weight": 24,
    }
    assert ticket.end is not None
    for name, living in ticket.mask.items():
        assert not ticket.end[name][~living].any(), "dead through the training"
    assert ticket.provenance["scores"]["final_test_accuracy"] > 0.5


def masked(arch: Architecture, seed: int = 0) -> Start:
    state = arch.initial(Seeds.single(seed).stream("init"))
    rng = stream("mask", seed)
    mask = Mask({n: torch.from_numpy(rng.random(arch.shapes[n]) < 0.5) for n in arch.prunable})
    return Start(state, mask, Seeds.single(seed))


def test_an_engine_computes_with_the_masked_matrices_of_an_lstm() -> None:
    """Logits and gradients of a stack of two are those of modules whose weights were set to zero by hand."""
    arch, cpu = net(), torch.device("cpu")
    starts = [masked(arch, 0), masked(arch, 1)]
    engine = choose("auto", arch, cpu)
    assert engine.name == "modules"
    computing = engine(Job(arch, Stack(arch, starts, cpu), [0, 0], [0, 0]))
    ids, labels = (
        torch.from_numpy(stream("ids").integers(0, WORDS, (1, 7, LENGTH))),
        torch.arange(7)[None] % CLASSES,
    )
    found = computing.logits(ids)
    computing.backward(ids, labels, 0)
    for r, start in enumerate(starts):
        module = Tagger(CLASSES)
        load_state(module, start.state)
        with torch.no_grad():
            for name, living in start.mask.items():
                module.get_parameter(name).mul_(living)
        logits = module(ids[0])
        torch.testing.assert_close(found[r], logits)
        torch.nn.functional.cross_entropy(logits, labels[0]).backward()
        for name in arch.prunable:
            torch.testing.assert_close(computing.stack.params[name].grad[r], module.get_parameter(name).grad)


def test_the_stacked_engine_refuses_an_lstm() -> None:
    with pytest.raises(UserError, match="engine 'stacked' cannot hold"):
        choose("stacked", net(), torch.device("cpu"))


def test_an_export_for_torch_prune_loads_into_a_pruned_lstm() -> None:
    arch = net()
    start = masked(arch)
    ticket = Ticket(start.mask, start.state, None, {}, arch.keys)
    module = Tagger(CLASSES)
    for name in ticket.mask:
        place, _, leaf = name.rpartition(".")
        torch_prune.identity(module.get_submodule(place), leaf)
    module.load_state_dict(ticket.export("torch-prune"), strict=True)
    plain = Tagger(CLASSES)
    plain.load_state_dict(ticket.export(), strict=True)
    ids = torch.from_numpy(stream("ids").integers(0, WORDS, (7, LENGTH)))
    torch.testing.assert_close(module(ids), plain(ids))


def test_a_network_in_hand_is_pruned_with_the_matrices_that_are_named() -> None:
    module = Tagger(CLASSES)
    assert tombola.prune(module, rule=PruneRule(rate=0.5)).counts() == {"out.weight": 12}
    rule = PruneRule(rate=0.5, rates={"lstm.*": 0.25})
    assert tombola.prune(module, prune=["lstm.weight_*"], rule=rule).counts() == {
        "lstm.weight_hh_l0": 192,
        "lstm.weight_ih_l0": 144,
        "out.weight": 12,
    }


def study(**more: Any) -> Study:
    table = {
        "model": {"name": f"{__name__}:Tagger", "prune": list(PRUNE)},
        "data": {"name": "arrays", "normalisation": "none"},
        "recipe": {"iterations": 20, "batch": 20, "evaluate_every": 20},
        "levels": 1,
        "replicates": 2,
    }
    return Study.model_validate({**table, **more})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tombola.Run:
    arms = [{"name": "reinit"}, {"name": "random-mask"}]
    place, data = tmp_path_factory.mktemp("tokens"), tokens()
    parts = {"x_train": data.train_x, "y_train": data.train_y, "x_test": data.test_x, "y_test": data.test_y}
    np.savez(place / "tokens.npz", **{name: part.numpy().astype(np.int64) for name, part in parts.items()})
    spec = {"name": f"npz:{place / 'tokens.npz'}", "normalisation": "none"}
    found = tombola.run(study(arms=arms, data=spec), out=place)
    assert isinstance(found, tombola.Run)
    return found


def test_a_study_prunes_the_matrices_that_it_names(run: tombola.Run) -> None:
    mask = run.mask(Cell(0, 1, "ticket", 0))
    assert mask.counts() == {name: size - int(0.2 * size + 0.5) for name, size in SIZES.items()}
    assert run.environment["network"]["prunable"] == list(SIZES)
    assert run.ticket(Cell(0, 1, "ticket", 0)).export().keys() == Tagger(CLASSES).state_dict().keys()


def test_masks_of_matrices_are_compared(run: tombola.Run) -> None:
    found = tombola.compare(run, level=1, measures=["jaccard", "function"]).pairs
    named = set(found.filter(found["measure"] == "jaccard")["layer"])
    assert set(SIZES) <= named
    with pytest.raises(UserError, match="hidden units cannot be followed"):
        tombola.compare(run, level=1, measures=["jaccard"], alignments=["weights"])


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"arms": [{"name": "rewire"}]}, ""),
    (
        {"arms": [{"name": "map", "mask": "input-map"}]},
        "arm 'map' looks at which inputs the first layer reads, and 'emb.weight' of .* is neither linear nor a conv",
    ),
    ({"arms": [{"name": "permuted", "mask": "permute"}]}, "reorders hidden units"),
    (
        {"pruning": {"structure": "channels"}},
        "structure 'channels' prunes units of linear layers and convolutions, and 'emb.weight' is neither",
    ),
    ({"pruning": {"structure": "channels", "rates": {"matrix": 0}}}, ""),
    ({"pruning": {"structure": "block-2x2"}}, ""),
    ({"pruning": {"rates": {"lstm.weight_hh_*": 0.1, "matrix": 0.3}}}, ""),
]


@pytest.mark.parametrize(("more", "sentence"), REFUSED)
def test_what_cannot_be_done_with_matrices_is_refused_before_anything_is_trained(
    more: dict[str, Any], sentence: str
) -> None:
    if not sentence:
        make_plan(study(**more), net())
        return
    with pytest.raises(UserError, match=sentence):
        make_plan(study(**more), net())


def test_a_plan_is_estimated_on_ids() -> None:
    spec = study(replicates=1)
    assert estimate_time(make_plan(spec, net()), tokens(), torch.device("cpu"), "auto").seconds > 0


def test_a_paper_says_which_matrices_are_prunable(run: tombola.Run) -> None:
    [said, _] = network(material_of_run(run))
    text = "".join(map(str, said.words))
    assert f"544 prunable weights of {PARAMETERS} parameters in 4 layers" in text
    assert (
        "linear and convolutional layers, and the matrices called 'lstm.weight_*' and 'emb.weight'; biases"
        in text
    )


def test_synflow_has_no_input_of_ones_for_ids() -> None:
    pruning = tombola.Pruning(criterion="synflow", mode="at-init")
    with pytest.raises(UserError, match="'synflow' feeds the network an input of ones"):
        list(
            tombola.draw(
                Tagger, tokens(), levels=1, recipe=RECIPE, pruning=pruning, normalisation="none", prune=PRUNE
            )
        )
