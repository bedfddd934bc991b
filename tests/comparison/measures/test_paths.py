"""Paths, live weights, dead units, components and chains: by hand, and beside networkx."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch

from support.compare_parts import mlp, random_subject, ternary
from tombola.alignment.network import Network
from tombola.alignment.subject import Subject
from tombola.comparison.measures.paths import Wiring
from tombola.comparison.pairs import compare
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.models.units import UnitGroup

# Hidden unit 0 reads inputs 0 and 1 and feeds both outputs; unit 1 reads input 2 and feeds nothing; unit 2 reads
# nothing and feeds output 1. Input 3 is read by unit 0 alone.
FC1 = [[1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]
FC2 = [[1, 0, 0], [1, 0, 1]]


def values(subject: Subject, measure: str, network: Network | None = None) -> dict[str, float]:
    frame = compare([subject], measures=[measure], network=network, n_null=2, nulls=["layer-shuffle"])
    return dict(frame.select("layer", "value").rows())


def test_by_hand():
    tiny = ternary("a", fc1=FC1, fc2=FC2)
    assert values(tiny, "paths") == {"all": pytest.approx(np.log10(1 + 3 * 2))}
    assert values(tiny, "effective-density") == {
        "fc1.weight": 3 / 12,
        "fc2.weight": 2 / 6,
        "all": pytest.approx(5 / 18),
    }
    assert values(tiny, "dead-units") == {"fc1.weight": pytest.approx(2 / 3), "fc2.weight": 0, "all": 2 / 5}
    # fc1: unit 0 with three inputs, unit 1 with one. fc2: output 1 ties both its units to output 0.
    # Whole: unit 2 hangs on output 1, so only (input 2, unit 1) is apart.
    assert values(tiny, "components") == {"fc1.weight": 2, "fc2.weight": 1, "all": 2}
    assert values(tiny, "chains") == {"fc1.weight": 3 * 2 + 1 * 0 + 0 * 1, "all": 6}


def test_more_paths_than_a_float_can_count():
    wiring = Wiring.of(Mask.dense({f"fc{i}.weight": (1, 1) for i in range(110)}), Network())
    assert wiring.log_paths([np.full((1, 1), 1000.0)] * 110) == pytest.approx(330)


def test_no_path_at_all():
    cut = ternary("a", fc1=[[1, 0], [0, 0]], fc2=[[0, 1]])
    assert values(cut, "paths") == {"all": 0}
    assert values(cut, "effective-density")["all"] == 0
    assert values(cut, "dead-units")["all"] == 1


def graph_of(subject: Subject) -> nx.DiGraph:
    """Nodes (layer, unit), an edge a living weight, in a chain of linear layers."""
    graph = nx.DiGraph()
    for depth, (_, living) in enumerate(sorted(subject.living().items())):
        graph.add_nodes_from(
            [(depth, i) for i in range(living.shape[1])] + [(depth + 1, i) for i in range(len(living))]
        )
        graph.add_edges_from(((depth, i), (depth + 1, j)) for j, i in zip(*np.nonzero(living), strict=True))
    return graph


@pytest.mark.parametrize("seed", range(6))
def test_beside_networkx(seed):
    widths = (7, 6, 5, 3)
    subject = random_subject(seed, widths, 0.2)
    graph = graph_of(subject)
    sources = [node for node in graph if node[0] == 0]
    sinks = [node for node in graph if node[0] == 3]
    count = sum(len(list(nx.all_simple_paths(graph, s, t))) for s in sources for t in sinks)
    fed = set(sources).union(*(nx.descendants(graph, node) for node in sources))
    useful = set(sinks).union(*(nx.ancestors(graph, node) for node in sinks))
    live = [edge for edge in graph.edges if edge[0] in fed and edge[1] in useful]
    dead = [node for node in graph if node[0] > 0 and not (node in fed and node in useful)]
    assert values(subject, "paths")["all"] == pytest.approx(np.log10(1 + count))
    assert values(subject, "effective-density")["all"] == pytest.approx(len(live) / subject.mask.size())
    assert values(subject, "dead-units")["all"] == pytest.approx(len(dead) / sum(widths[1:]))
    parts = [part for part in nx.weakly_connected_components(graph) if len(part) > 1]
    assert values(subject, "components")["all"] == len(parts)
    assert values(subject, "chains")["all"] == sum(graph.in_degree(n) * graph.out_degree(n) for n in graph)


def test_several_weights_between_two_units_are_several_paths():
    """One channel of two pixels, flattened: three weights lead to it, and three from it to the outputs."""
    network = Network((UnitGroup(1, (("conv.weight", 0, 1), ("out.weight", 1, 2))),))
    state = {"conv.weight": torch.ones(1, 1, 1, 3), "out.weight": torch.tensor([[1.0, 1.0], [0.0, 1.0]])}
    subject = Subject("a", Mask({name: value != 0 for name, value in state.items()}))
    assert values(subject, "paths", network)["all"] == pytest.approx(np.log10(1 + 3 * 3))
    assert values(subject, "chains", network)["all"] == 9
    assert values(subject, "effective-density", network)["all"] == 6 / 7


# A stream of 2 units: written by `a` from 2 inputs, a block (b, c) through one hidden unit adds to it, `d` reads it.
STREAM = Network(
    (
        UnitGroup(2, (("a.weight", 0, 1), ("b.weight", 1, 1), ("c.weight", 0, 1), ("d.weight", 1, 1))),
        UnitGroup(1, (("b.weight", 0, 1), ("c.weight", 1, 1))),
    )
)


def test_a_residual_stream_keeps_what_it_holds():
    subject = ternary("a", a=[[1, 1], [0, 0]], b=[[1, 0]], c=[[0], [1]], d=[[0, 1]])
    # input -> stream 0 (2 paths) -> block -> stream 1 -> output: stream 0 itself does not reach the output.
    assert values(subject, "paths", STREAM)["all"] == pytest.approx(np.log10(1 + 2))
    assert values(subject, "effective-density", STREAM)["all"] == pytest.approx(5 / 10)
    direct = ternary("a", a=[[1, 1], [0, 0]], b=[[1, 0]], c=[[0], [1]], d=[[1, 1]])
    assert values(direct, "paths", STREAM)["all"] == pytest.approx(np.log10(1 + 2 + 2))
    # chains: a-b 2, a-c none (c reads the block), b-c 1, c-d 1, a-d 2 (over the stream)
    assert values(direct, "chains", STREAM) == {"a.weight": 4, "b.weight": 1, "c.weight": 1, "all": 6}
    # Unit 1 matters to the block alone, unit 0 to the output alone.
    split = ternary("a", a=[[1, 0], [0, 1]], b=[[0, 1]], c=[[1], [0]], d=[[1, 0]])
    assert values(split, "effective-density", STREAM)["all"] == pytest.approx(5 / 10)
    # What the block writes is not read by the block itself, although it goes to units that `b` reads.
    late = ternary("a", a=[[0, 0], [1, 0]], b=[[1, 0]], c=[[1], [0]], d=[[1, 0]])
    assert values(late, "paths", STREAM)["all"] == 0


def test_layers_are_taken_in_the_order_of_the_forward_pass():
    names = ("fc10", "fc2", "fc1")
    network = Network(
        (
            UnitGroup(3, (("fc1.weight", 0, 1), ("fc2.weight", 1, 1))),
            UnitGroup(2, (("fc2.weight", 0, 1), ("fc10.weight", 1, 1))),
        )
    )
    subject = ternary(
        "a", fc1=np.ones((3, 4)).tolist(), fc2=np.ones((2, 3)).tolist(), fc10=np.ones((5, 2)).tolist()
    )
    wiring = Wiring.of(subject.mask, network)
    assert [wire.name for wire in wiring.wires] == [f"{name}.weight" for name in reversed(names)]
    assert (
        values(subject, "paths", network) == values(subject, "paths") == {"all": pytest.approx(np.log10(121))}
    )


@pytest.mark.parametrize("name", ["resnet-14-w1", "conv-2", "vgg-11-w1"])
def test_dense_networks_of_the_house_are_all_alive(name):
    net = architecture(name, (3, 32, 32), 10)
    mask = Mask.dense({weight: net.shapes[weight] for weight in net.prunable})
    found = values(Subject("dense", mask), "effective-density", Network.of(net))
    assert set(found.values()) == {1.0}


def test_what_cannot_be_told_is_refused_or_left_out():
    loop = Network((UnitGroup(2, (("a.weight", 0, 1), ("a.weight", 1, 1))),))
    with pytest.raises(UserError, match=r"it cannot be told what 'a.weight' reads"):
        Wiring.of(ternary("x", a=[[1, 0], [0, 1]]).mask, loop)
    kernels = Subject(
        "conv",
        Mask(
            {
                "c.weight": torch.ones(2, 1, 3, 3, dtype=torch.bool),
                "d.weight": torch.ones(3, 2, dtype=torch.bool),
            }
        ),
    )
    with pytest.raises(UserError, match=r"does not follow"):
        compare([kernels], measures=["paths"], n_null=2)
    family = compare([kernels], measures=["topology"], n_null=2)
    assert "butterflies" in set(family["measure"])
    assert "paths" not in set(family["measure"])


def test_rewiring_keeps_chains_and_unit_order_does_not():
    subject = random_subject(1, (9, 8, 7, 3), 0.4)
    frame = compare(
        [subject], network=mlp(9, 8, 7, 3), measures=["chains"], nulls=["rewire", "unit-shuffle"], n_null=30
    )
    rewired, shuffled = (
        frame.filter(layer="all", null=null).row(0, named=True) for null in ("rewire", "unit-shuffle")
    )
    assert rewired["expected"] == rewired["value"]
    assert rewired["z"] is None
    degrees = subject.living()
    by_hand = 0.0
    for first, second in (("fc1", "fc2"), ("fc2", "fc3")):
        into, out = degrees[f"{first}.weight"].sum(1), degrees[f"{second}.weight"].sum(0)
        by_hand += len(into) * into.mean() * out.mean()
    assert shuffled["expected"] == pytest.approx(by_hand, rel=0.05)
