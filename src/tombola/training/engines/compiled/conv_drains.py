"""Where gradients of values lie, and what is computed together, so that little passes through memory.

With batch norms a step of a network is bound by memory: a value of 16 channels at 32x32 and 128 examples takes 8 MB. So
a sum is computed with the batch norm before it, and gradients share room where one is no longer needed once the other
is written.
"""

from __future__ import annotations

from dataclasses import replace

from tombola.training.engines.compiled.conv_graph import Graph, Step


def fused(graph: Graph) -> Graph:
    """The same network, where a batch norm adds the other value of a sum that alone reads what it makes."""
    for i, step in enumerate(graph.steps):
        one, two = sorted(step.sources) if step.other is not None else (0, 0)
        before = graph.steps[i - 1]
        alone = sum(i in each.sources for each in graph.steps) == 1
        # Its last value, which the step before made; what is added must not be what is normalised.
        plain = step.norm is None and before.other is None  # a sum and no more, after a norm and no more
        if not (
            two == i > 0 and plain and before.norm and alone and not before.relu and before.source != one
        ):
            continue
        joined = replace(before, other=one, relu=step.relu)
        later = [_without(each, two) for each in graph.steps[i + 1 :]]
        steps = (*graph.steps[: i - 1], joined, *later)
        return fused(replace(graph, values=graph.values[:two] + graph.values[two + 1 :], steps=steps))
    return graph


def _without(step: Step, value: int) -> Step:
    """A later step, where that value is no longer counted."""
    other = None if step.other is None else step.other - (step.other > value)
    return replace(step, source=step.source - (step.source > value), other=other)


def shares_sum(graph: Graph, i: int) -> bool:
    """Whether the gradient of what batch norm i adds can lie where that of its result does.

    It is the same to begin with; those of the other readers are added once the norm has handed its own down. They
    must be earlier steps, and where a ReLU ends the value, the first of them a convolution, which gates all of it.
    """
    step = graph.steps[i]
    if step.norm is None or step.other is None:
        return False
    readers = [n for n, each in enumerate(graph.steps) if step.other in each.sources]
    gated = graph.steps[step.other - 1].relu
    return readers[-1] == i and (not gated or graph.steps[readers[0]].convolves)


def shares_norm(graph: Graph, i: int) -> bool:
    """Whether a batch norm can turn the gradient of its result into that of its source where it lies: its source has
    no later reader, and nobody else is handed the gradient of the result."""
    step = graph.steps[i]
    later = any(step.source in each.sources for each in graph.steps[i + 1 :])
    return step.norm is not None and not later and not shares_sum(graph, i)


def classes(graph: Graph) -> list[int]:
    """Of each value, the first one whose gradient lies where its own does."""
    found = list(range(len(graph.values)))
    for i, step in enumerate(graph.steps):
        if shares_sum(graph, i) and step.other is not None:
            found = _joined(found, step.other, i + 1)
        if shares_norm(graph, i):
            found = _joined(found, step.source, i + 1)
    return found


def _joined(found: list[int], one: int, two: int) -> list[int]:
    """Two classes as one."""
    first, second = sorted((found[one], found[two]))
    return [first if each == second else each for each in found]


def rooms(graph: Graph) -> list[int]:
    """Of each value, which room its gradient lies in.

    A room is used again for another class of values once the step that made the last one has handed its gradient down;
    by values of one shape and the same `classes` that no pool reads, since what a pool leaves out must be zero.
    """
    found, where = classes(graph), dict[int, int]()
    spans = {
        each: _span(graph, [v for v, own in enumerate(found) if own == each]) for each in sorted(set(found))
    }
    lying: list[list[int]] = []
    for each, (first, last) in spans.items():
        for number, others in enumerate(lying):
            apart = all(first > spans[other][1] or last < spans[other][0] for other in others)
            if apart and all(_alike(graph, each, other) for other in others):
                where[each] = number
                others.append(each)
                break
        else:
            where[each] = len(lying)
            lying.append([each])
    return [where[each] for each in found]


def _span(graph: Graph, members: list[int]) -> tuple[int, int]:
    """The steps between which gradients of a class are needed: from what makes its first value to the last reader.

    Throughout, so that it shares nothing, if a pool or dropout reads one of them or anything but a convolution or a
    norm makes one: these look at all channels, also at those of which nothing is written since they lead nowhere.
    """
    readers = [n for n, step in enumerate(graph.steps) if set(step.sources) & set(members)]
    read = all(_by_channel(graph.steps[n]) or graph.steps[n].other is not None for n in readers)
    made = all(value > 0 and _by_channel(graph.steps[value - 1]) for value in members)
    if not (read and made):
        return -1, len(graph.steps)
    ends = len(graph.values) - 1 in members
    return min(members) - 1, len(graph.steps) if ends else max(readers)


def _by_channel(step: Step) -> bool:
    """Whether it looks at the gradient of channels that lead to the output alone."""
    return step.convolves or step.norm is not None


def _alike(graph: Graph, one: int, other: int) -> bool:
    return graph.values[one] == graph.values[other]
