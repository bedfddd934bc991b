"""What is computed together, and which gradients share room, worked out by hand."""

from __future__ import annotations

from support.training_parts import CLASSES
from tombola.models.architecture import architecture
from tombola.training.engines.compiled.conv_drains import classes, fused, rooms, shares_norm, shares_sum
from tombola.training.engines.compiled.conv_graph import Graph, Norm, Step, Window
from tombola.training.engines.compiled.conv_reader import graph_of

WINDOW, NORM = Window(3, 3, up=1, left=1), Norm("m", "v", "n", 1e-5, 0.1)


def conv(source: int) -> Step:
    return Step(source, WINDOW, "w")


def norm(source: int, relu: bool = True, other: int | None = None) -> Step:
    return Step(source, weight="w", norm=NORM, relu=relu, other=other)


def graph(*steps: Step) -> Graph:
    return Graph(((4, 8, 8),) * (len(steps) + 1), steps, ())


# A stem, a block with the identity, and a mean: values 1 to 8, of which 7 is the sum.
BLOCK = graph(
    conv(0),
    norm(1),
    conv(2),
    norm(3),
    conv(4),
    norm(5, relu=False),
    Step(2, other=6, relu=True),
    Step(7, WINDOW),
)


def test_a_sum_is_computed_with_the_norm_before_it() -> None:
    assert fused(BLOCK) == graph(*BLOCK.steps[:5], norm(5, other=2), Step(6, WINDOW))


def test_a_norm_that_others_read_or_that_ends_in_a_relu_is_not() -> None:
    for steps in (
        (conv(0), norm(1), norm(2), Step(2, other=3)),  # a ReLU before the sum
        (conv(0), norm(1), conv(2), norm(3, relu=False), Step(2, other=4), Step(4, other=5)),  # read again
        (conv(0), norm(1, relu=False), Step(1, other=2)),  # what is normalised is added
        (conv(0), conv(1), Step(1, other=2)),  # no norm
    ):
        assert fused(graph(*steps)) == graph(*steps)


def test_gradients_that_are_the_same_lie_in_one_place() -> None:
    whole = fused(BLOCK)
    assert [shares_sum(whole, i) for i in range(7)] == [False] * 5 + [True, False]
    assert [shares_norm(whole, i) for i in range(7)] == [False, True, False, True] + [False] * 3
    # 1 and 2 are a norm, 3 and 4 as well; 2 is added to what 6 is, and 5 is neither.
    assert classes(whole) == [0, 1, 1, 3, 3, 5, 1, 7]


def test_a_gate_at_the_sum_keeps_gradients_apart() -> None:
    """A value that ends in a ReLU and that only the sum reads, or a norm first: none of them gates all of it."""
    assert not shares_sum(graph(conv(0), norm(1), conv(0), norm(3, other=2)), 3)
    assert not shares_sum(graph(conv(0), norm(1), norm(2), conv(3), norm(4, other=2)), 4)
    assert shares_sum(graph(conv(0), norm(1, relu=False), norm(2), conv(3), norm(4, other=2)), 4)


def test_rooms_are_used_again() -> None:
    """Two blocks: the values inside of the second lie where those of the first did; what is pooled lies alone."""
    inner = [conv(0), norm(1)]
    for at in (2, 6):
        inner += [conv(at), norm(at + 1), conv(at + 2), norm(at + 3, other=at)]
    found = rooms(graph(*inner, Step(10, WINDOW)))
    # Values 3, 4 (norm in place), 5 and then 7, 8, 9; 1, 2, 6 and 10 are one class, and a pool reads the last of them.
    assert found[3:6] == found[7:10]
    assert found[3] == found[4] != found[5]
    assert len({found[1], found[2], found[6], found[10]}) == 1
    assert len({found[0], found[1], found[3], found[5], found[11]}) == 5


def test_resnets_have_no_sums_left() -> None:
    for name in ("resnet-20", "resnet-18", "wrn-10-2"):
        found = architecture(name, (3, 32, 32), CLASSES).ask(graph_of)
        assert isinstance(found, Graph)
        sums = [step for step in fused(found).steps if step.other is not None]
        # wrn adds what a convolution makes, with no norm between.
        assert all(step.norm for step in sums) == (name != "wrn-10-2")
