"""A probe: the masked network at fixed weights and on a fixed batch, for criteria that look at more than weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from tombola.errors import UserError, brief, nearest
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.state import State

Probing = Callable[[Mapping[str, Tensor], Mask], "Probe"]
"""Makes the probe of a network at a state and a mask."""


class Probe:
    """What a network says about its weights at a state, under a mask, on a batch. Each answer is worked out once.

    `x` [n, *input shape] and `y` [n] lie on one device, where the work is done; answers lie on the CPU, in the type of
    the weights. Batches are used as they are, without augmentation. Batch norm takes the statistics of the batch, as
    at a step of training, and keeps its own; everything else is in evaluation mode, so that no dropout makes scores
    a matter of chance. State, mask and module stay as they are, and no random number is drawn.
    """

    def __init__(
        self, module: nn.Module, x: Tensor, y: Tensor, state: Mapping[str, Tensor], mask: Mask
    ) -> None:
        """Raises UserError for a state whose names are not those of the module, and a mask that does not fit it."""
        names = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        for name in sorted(names.keys() ^ state.keys()):
            if name in names:
                raise UserError(f"state lacks '{name}' of the network{nearest(name, state)}")
            raise UserError(f"state holds '{name}', which the network does not have{nearest(name, names)}")
        self._module, self._x, self._y, self._mask = module, x, y, mask
        self._state = {name: value.to(x.device) for name, value in mask.apply(state).items()}
        self._products: dict[float, State] = {}

    @property
    def reads_numbers(self) -> bool:
        """False where inputs are whole numbers, such as token ids."""
        return self._x.is_floating_point()

    @cached_property
    def gradient(self) -> State:
        """Gradient of the mean cross-entropy by every prunable weight, also by those that are dead (at zero)."""
        weights = self._leaves(self._state)
        return _on_cpu(_slopes(self._loss(weights, temperature=1.0), weights))

    def hessian_gradient(self, temperature: float) -> State:
        """Hessian times gradient, of the loss with logits divided by the temperature, over the living weights."""
        if temperature not in self._products:
            weights = self._leaves(self._state)
            with sdpa_kernel(SDPBackend.MATH):  # other forms of attention have no second derivative
                first = _slopes(self._loss(weights, temperature), weights, again=True)
                living = {name: first[name].detach() * self._mask[name].to(self._x.device) for name in first}
                product = torch.stack([(first[name] * living[name]).sum() for name in first]).sum()
                self._products[temperature] = _on_cpu(_slopes(product, weights))
        return self._products[temperature]

    @cached_property
    def flow(self) -> State:
        """Synaptic flow |w| dR/d|w|: R is the sum of the outputs for one input of ones, when all parameters and buffers
        are replaced by their absolute values (Tanaka et al. 2020, section 6).

        Batch norm uses its own statistics, as in the authors' code: one input has none. In double precision, since
        the product of many layers leaves the range of single precision; in the network's own precision where it makes
        tensors of that as it computes, and fails in another. Raises UserError where the sum leaves that range,
        and for inputs of whole numbers, such as token ids, of which none stands for one.
        """
        if not self.reads_numbers:
            raise UserError(
                "criterion 'synflow' feeds the network an input of ones, and this one reads whole numbers such as "
                "token ids; expected another criterion"
            )
        try:
            return self._flow(torch.float64)
        except Exception:  # whatever foreign code raises when types do not fit together
            pass
        try:
            flow = self._flow(torch.float32)
        except Exception as problem:
            raise UserError(
                f"no synaptic flow: the network fails on inputs of ones ({brief(problem)})"
            ) from problem
        for name, scores in flow.items():
            if not bool(scores.isfinite().all()):
                raise UserError(
                    f"the synaptic flow through '{name}' is too large for float32, and the network cannot compute in "
                    "float64 (it makes tensors of float32 as it computes); let them follow the type of its input"
                )
        return flow

    def _flow(self, precision: torch.dtype) -> State:
        state = {name: _absolute(value, precision) for name, value in self._state.items()}
        weights = self._leaves(state)
        # Two alike, of which one counts: some networks take no batch of one.
        ones = torch.ones(2, *self._x.shape[1:], dtype=precision, device=self._x.device)
        slopes = _slopes(self._outputs(state | weights, ones, by_batch=False)[0].sum(), weights)
        return _on_cpu({name: state[name] * slopes[name] for name in slopes})

    def _leaves(self, state: Mapping[str, Tensor]) -> State:
        return {name: state[name].clone().requires_grad_() for name in self._mask}

    def _loss(self, weights: Mapping[str, Tensor], temperature: float) -> Tensor:
        logits = self._outputs({**self._state, **weights}, self._x, by_batch=True)
        return F.cross_entropy(logits / temperature, self._y)

    def _outputs(self, state: Mapping[str, Tensor], x: Tensor, by_batch: bool) -> Tensor:
        buffers = {name: state[name].clone() for name, _ in self._module.named_buffers()}
        with _scoring(self._module, by_batch):
            outputs: Tensor = functional_call(self._module, {**state, **buffers}, (x,))
        return outputs


def prober(architecture: Architecture, x: Tensor, y: Tensor) -> Probing:
    """What a `Pruner` makes probes by: of one network on one batch, all with one module."""
    module = architecture.build()

    def probe(state: Mapping[str, Tensor], mask: Mask) -> Probe:
        return Probe(module, x, y, state, mask)

    return probe


def balanced_batch(labels: NDArray[np.int64], each: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of `each` examples of every class, drawn without replacement: SNIP and GraSP take 10 (Frankle et al.
    2021, Appendix). `labels` [n] are those of the training part; class by class.

    Raises UserError for a class with fewer examples.
    """
    drawn = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        if len(places) < each:
            raise UserError(
                f"class {label} has {len(places)} training examples, expected {each} for the batch"
            )
        drawn.append(rng.choice(places, each, replace=False))
    return np.concatenate(drawn).astype(np.int64)


def _slopes(of: Tensor, by: Mapping[str, Tensor], again: bool = False) -> State:
    """Derivatives of a scalar by tensors, zero where it does not depend on one; `again`: to be differentiated."""
    slopes = torch.autograd.grad(of, list(by.values()), create_graph=again, materialize_grads=True)
    return dict(zip(by, slopes, strict=True))


def _absolute(value: Tensor, precision: torch.dtype) -> Tensor:
    """Absolute values in a precision; whole numbers and truth values, which are indices and the like, as they are, and
    so is -inf, which masks attention."""
    if not value.is_floating_point():
        return value
    return torch.where(value.isneginf(), value, value.abs()).to(precision)


def _on_cpu(tensors: State) -> State:
    return {name: tensor.cpu() for name, tensor in tensors.items()}


@contextmanager
def _scoring(module: nn.Module, by_batch: bool) -> Iterator[None]:
    """Evaluation mode, but for batch norms if `by_batch`; afterwards every part is in the mode it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    for part in modes:
        if isinstance(part, _BatchNorm):
            part.training = by_batch
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
