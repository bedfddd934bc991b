"""The engine that computes a whole stack of any architecture at once, by vectorising one module over the networks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, vmap

from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.state import state_of
from tombola.models.trial import Calls
from tombola.seeds import Seeds
from tombola.training.engines.base import ENGINES, LEAST, PLAIN, Demand, Job, autocast, takes, widened
from tombola.training.engines.steps import GradientEngine
from tombola.training.foreign_noise import habits
from tombola.training.noise import Noise, swap_dropout
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.start import Start

Tensors = dict[str, Tensor]

NARROW = frozenset({F.linear, F.conv1d, F.conv2d, F.conv3d})


class Bfloat16(Calls):
    """What autocast does for the layers that vmap rewrites before autocast sees them.

    Without it convolutions on a CPU would stay in float32 and biases of Linear layers be added in it, and batch norm
    would refuse to keep float32 statistics of bfloat16 inputs. Everything else is left to autocast.
    """

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func in NARROW:
            args = [_cast(each, torch.float32, torch.bfloat16) for each in args]
        elif func is F.batch_norm:
            args = [_cast(each, torch.bfloat16, torch.float32) for each in args]
        return func(*args, **kwargs)


def _cast(each: Any, old: torch.dtype, new: torch.dtype) -> Any:
    """A tensor of the old type in the new one, anything else as it is."""
    return each.to(new) if isinstance(each, Tensor) and each.dtype == old else each


@ENGINES.register("stacked")
class StackedEngine(GradientEngine):
    """Networks that torch.func.vmap can batch, as one computation: what keeps a GPU busy with small networks.

    Linear layers become batched matrix products and convolutions grouped ones. The gradient is taken of the sum of
    all losses: no network's loss depends on another's weights, so each gets its own.
    """

    name: ClassVar[str] = "stacked"
    chunk: ClassVar[int] = 250
    stack_size: ClassVar[int] = 8

    def __init__(self, job: Job) -> None:
        self.stack, self.recipe, device = job.stack, job.recipe, job.stack.device
        self.groups = torch.tensor(list(job.groups), device=device)
        self._keys = torch.tensor(list(job.dropout_keys), dtype=torch.int64, device=device)
        self._noise = Noise(0, device)
        # Its own weights are never used: every call brings the stack's.
        self._module = swap_dropout(job.architecture.build(), self._noise).to(device)
        self._remembers = job.architecture.ask(habits).remembers
        # A frozen parameter has no gradient, and the optimizer passes it by.
        self._trained = [name for name, param in self._module.named_parameters() if param.requires_grad]

    @staticmethod
    def holds(architecture: Architecture, device: torch.device, demand: Demand = LEAST) -> bool:
        """Found out by one step of two networks on the CPU: there is no other way to know what a forward does."""
        if not takes(demand.recipe, device):
            return False
        return architecture.ask(_vectorises, demand.recipe.precision, demand.recipe.label_smoothing)

    def _one(self, params: Tensors, buffers: Tensors, key: Tensor, x: Tensor) -> tuple[Tensor, Tensors]:
        """Logits of one network and its buffers afterwards, as vmap sees it; x is [batch, *shape]."""
        self._noise.key = key
        tensors = {**params, **buffers}
        logits = functional_call(self._module, tensors, (x,))
        # functional_call leaves in `tensors` what the module assigned anew.
        return logits, {name: tensors[name] for name in buffers}

    def _forward(self, params: Tensors, kept: Tensors, x: Tensor) -> tuple[Tensor, Tensors]:
        """Logits [R, batch, classes] and buffers afterwards, given those `kept`; networks that share a batch share one
        copy of it."""
        shared = x.shape[0] == 1
        over = vmap(self._one, in_dims=(0, 0, 0, None if shared else 0), randomness="error")
        layers = Bfloat16() if self.recipe.precision == "bfloat16" else nullcontext()
        with autocast(self.recipe, self.stack.device), layers:
            logits, buffers = over(params, kept, self._keys, x[0] if shared else x[self.groups])
        return widened(logits), buffers

    def backward(self, x: Tensor, y: Tensor, iteration: int | Tensor) -> None:
        self._noise.begin(iteration)
        self._module.train()
        params = {name: param.detach() for name, param in self.stack.params.items()}
        leaves = [params[name].requires_grad_() for name in self._trained]
        logits, buffers = self._forward(params, self.stack.buffers, x)
        targets = y.expand(self.stack.size, -1) if y.shape[0] == 1 else y[self.groups]
        smoothing = self.recipe.label_smoothing
        total = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="sum", label_smoothing=smoothing
        )
        gradients = torch.autograd.grad(total / targets.shape[1], leaves, materialize_grads=True)
        for name, gradient in zip(self._trained, gradients, strict=True):
            # Fused optimizers walk through memory: a transposed gradient would update the wrong weights.
            self.stack.params[name].grad = gradient.contiguous()
        with torch.no_grad():
            # Assigned anew, not updated in place; it may be what another buffer was, as of now.
            own = self.stack.buffers
            anew = {
                name: found.clone()
                for name, found in buffers.items()
                if found.data_ptr() != own[name].data_ptr()
            }
            for name, found in anew.items():
                own[name].copy_(found)

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        self._module.eval()
        kept = (
            self.stack.buffers
        )  # being measured keeps none that is assigned anew, nor one that is changed in place
        if self._remembers:
            kept = {name: tensor.clone() for name, tensor in kept.items()}
        return self._forward(self.stack.params, kept, x)[0]


def _vectorises(architecture: Architecture, precision: str, label_smoothing: float) -> bool:
    """Whether `_try` goes through."""
    recipe = PLAIN.model_copy(update={"precision": precision, "label_smoothing": label_smoothing})
    try:
        _try(architecture, recipe)
    except Exception:  # whatever a foreign forward raises there, another engine has to take it
        return False
    return True


def _try(architecture: Architecture, recipe: Recipe) -> None:
    """One step of two networks on a batch that they share and on one each; raises what vmap raises, and for noise
    that vmap does not know of (Python's, numpy's), which would be one for the whole stack."""
    cpu = torch.device("cpu")
    if architecture.ask(habits).draws:
        raise UserError(f"{architecture.name} draws random numbers as it computes")
    mask = Mask.dense(architecture.prunable_shapes)
    start = Start(state_of(architecture.build()), mask, Seeds.single(0))
    x, y = architecture.blank(2, 2), torch.zeros(2, 2, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # An operation that vmap has no rule for would run network by network, with this warning.
        warnings.filterwarnings("error", message="There is a performance drop")
        for count in (1, 2):
            stack = Stack(architecture, [start] * 2, cpu)
            engine = StackedEngine(Job(architecture, stack, [0, count - 1], [1, 2], recipe))
            # What a forward finds otherwise than as an attribute, in a plain list for one, is the engine's own.
            with torch.no_grad():
                for tensor in (*engine._module.parameters(), *engine._module.buffers()):
                    if tensor.is_floating_point():
                        tensor.fill_(torch.nan)
            engine.backward(x[:count], y[:count], 0)
            found = [engine.logits(x[:count]), *(param.grad for param in stack.params.values())]
            if any(tensor is not None and tensor.isnan().any() for tensor in found):
                raise UserError(
                    f"{architecture.name} computes with tensors that are not found by their names"
                )
