"""Does a graph say all that its module does? Both are tried on made-up weights and examples, in float64.

A trace has the operations of a forward pass and nothing else: not that some ran without gradients, nor what one did to
a tensor in place, nor what hooks changed. And what was read may have been read wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tombola.training.engines.compiled.conv_drains import fused
from tombola.training.engines.compiled.conv_graph import Graph, Step
from tombola.training.noise import dropouts

EXAMPLES = 2
Tensors = Mapping[str, Tensor]


def computes(module: nn.Module, graph: Graph) -> bool:
    """Whether a module gives the logits, gradients and buffers of a graph, in training and evaluation, with its dropout
    at zero. The module is left in float64, with other weights."""
    draw = torch.Generator().manual_seed(0)
    module.double()
    for layer in dropouts(module):
        setattr(layer, "p", 0.0)  # noqa: B010
    params, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    with torch.no_grad():
        for param in params.values():
            # Of the size that keeps values about 1; those of batch norms and biases of about a half.
            size = param[0].numel() ** -0.5 if param.dim() > 1 else 0.5
            param.copy_(
                torch.randn(param.shape, generator=draw, dtype=param.dtype) * size + (param.dim() == 1) / 2
            )
    own = {name: tensor.detach().clone().requires_grad_() for name, tensor in params.items()}
    kept = {name: tensor.clone() for name, tensor in buffers.items()}
    whole = fused(graph)
    for training in (True, False):
        module.train(training)
        x = torch.randn(EXAMPLES, *graph.values[0], generator=draw, dtype=torch.float64)
        try:
            theirs = module(x)
        except Exception:  # foreign code, which may not like other numbers than it was made for
            return False
        ours = compute(whole, {**own, **kept}, x, training)
        if not isinstance(theirs, Tensor) or theirs.shape != ours.shape or not theirs.requires_grad:
            return False
        weights = torch.randn(ours.shape, generator=draw, dtype=torch.float64)
        found, expected = (
            torch.autograd.grad((each * weights).sum(), list(given.values()), allow_unused=True)
            for each, given in ((ours, own), (theirs, params))
        )
        alike = [(ours, theirs), *zip(found, expected, strict=True)]
        alike += [(kept[name], tensor) for name, tensor in buffers.items() if tensor.is_floating_point()]
        if not all(_same(one, other) for one, other in alike):
            return False
    return True


def compute(graph: Graph, tensors: Tensors, x: Tensor, training: bool) -> Tensor:
    """The logits of images x [n, channels, height, width] by torch's operations, dropout left out; in training the
    running statistics among the tensors are updated."""
    values = [x]
    for step in graph.steps:
        value = _made(step, values[step.source], tensors, training)
        if step.other is not None:
            value = value + values[step.other]
        values.append(value.relu() if step.relu else value)
    flat = values[-1].flatten(1)
    for layer in graph.head:
        flat = F.linear(flat, tensors[layer.weight], tensors[layer.bias] if layer.bias else None)
        flat = flat.relu() if layer.relu else flat
    return flat


def _made(step: Step, source: Tensor, tensors: Tensors, training: bool) -> Tensor:
    """What a step makes of its first source, before it adds another and before its ReLU."""
    weight, bias = (tensors[name] if name else None for name in (step.weight, step.bias))
    if step.norm:
        mean, variance = tensors[step.norm.mean], tensors[step.norm.variance]
        return F.batch_norm(source, mean, variance, weight, bias, training, step.norm.momentum, step.norm.eps)
    if step.window is None:
        return source
    window = step.window
    size, padding = (window.rows, window.columns), (window.up, window.left)
    if weight is not None:
        return F.conv2d(source, weight, bias, window.stride, padding, window.gap, step.groups)
    if step.largest:
        return F.max_pool2d(source, size, window.stride, padding)
    return F.avg_pool2d(source, size, window.stride, padding)


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two tensors are equal but for the rounding of float64; no gradient is one of zeros."""
    if one is None or other is None:
        return all(each is None or not each.any() for each in (one, other))
    return torch.allclose(one, other, rtol=1e-7, atol=1e-9)
