"""Adam and SGD by torch's fused kernels: one pass over the memory per step.

These are the kernels, and to the bit the numbers, of `torch.optim` with `fused=True`. Calling them without it saves its
import of the compiler, which takes longer than a hundred steps of a small network.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tombola.errors import UserError, brief, nearest
from tombola.training.recipe import TORCH, Recipe


class Optimizer(ABC):
    """Steps parameters by the gradients in their `.grad`, in place; those without one stay as they are.

    `lr` is a number, or a scalar on the device that a recorded graph reads. `state[parameter]` holds tensors by name,
    made at the first step of that parameter.
    """

    def __init__(self, params: Sequence[Tensor], lr: float | Tensor, weight_decay: float = 0.0) -> None:
        self.params, self.lr, self.weight_decay = list(params), lr, weight_decay
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    @torch.no_grad()
    def step(self) -> None:
        """One step."""
        alike: dict[torch.dtype, list[Tensor]] = {}
        for param in self.params:
            if param.grad is not None:
                alike.setdefault(param.dtype, []).append(param)
        for params in alike.values():
            for param in params:
                if param not in self.state:
                    self.state[param] = self._fresh(param)
            self._step(params, [param.grad for param in params])

    def tensors(self) -> dict[str, Tensor]:
        """The state by names, for a checkpoint: `restore` puts it back."""
        return {
            f"{i}.{key}": value
            for i, param in enumerate(self.params)
            for key, value in self.state.get(param, {}).items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` returned."""
        self.state.clear()
        for name, tensor in tensors.items():
            index, _, key = name.partition(".")
            param = self.params[int(index)]
            self.state[param][key] = tensor.to(param.device, copy=True)

    def _of(self, params: Sequence[Tensor], key: str) -> list[Tensor]:
        return [self.state[param][key] for param in params]

    @abstractmethod
    def _fresh(self, param: Tensor) -> dict[str, Tensor]: ...

    @abstractmethod
    def _step(self, params: list[Tensor], gradients: list[Any]) -> None: ...


class Adam(Optimizer):
    """Kingma & Ba 2015, with weight decay in the gradient."""

    def __init__(
        self,
        params: Sequence[Tensor],
        lr: float | Tensor,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.betas, self.eps = betas, eps

    def _fresh(self, param: Tensor) -> dict[str, Tensor]:
        count = torch.zeros((), dtype=torch.float32, device=param.device)
        return {"step": count, "exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.zeros_like(param)}

    def _step(self, params: list[Tensor], gradients: list[Any]) -> None:
        counts = self._of(params, "step")
        torch._foreach_add_(counts, 1)
        torch._fused_adam_(
            params, gradients, self._of(params, "exp_avg"), self._of(params, "exp_avg_sq"), [], counts,
            lr=self.lr, beta1=self.betas[0], beta2=self.betas[1], weight_decay=self.weight_decay, eps=self.eps,
            amsgrad=False, maximize=False,
        )  # fmt: skip


class AdamW(Adam):
    """Loshchilov & Hutter 2019: weight decay beside the gradient, not in it."""

    def _step(self, params: list[Tensor], gradients: list[Any]) -> None:
        counts = self._of(params, "step")
        torch._foreach_add_(counts, 1)
        torch._fused_adamw_(
            params, gradients, self._of(params, "exp_avg"), self._of(params, "exp_avg_sq"), [], counts,
            lr=self.lr, beta1=self.betas[0], beta2=self.betas[1], weight_decay=self.weight_decay, eps=self.eps,
            amsgrad=False, maximize=False,
        )  # fmt: skip


class OfTorch(Optimizer):
    """An optimizer of `torch.optim` that steps each weight by itself. Raises UserError for options that it lacks or
    refuses."""

    def __init__(self, params: Sequence[Tensor], recipe: Recipe) -> None:
        super().__init__(params, recipe.lr, recipe.weight_decay)
        name = recipe.optimizer.removeprefix(TORCH)
        made, options = getattr(torch.optim, name), dict(recipe.optimizer_options)
        known = [
            each for each in inspect.signature(made).parameters if each not in ("params", "lr", *NOT_OPTIONS)
        ]
        for key in options:
            if key not in known:
                raise UserError(
                    f"recipe.optimizer_options: {recipe.optimizer} has no option '{key}'{nearest(key, known)}"
                )
        takes = inspect.signature(made).parameters
        if recipe.weight_decay or "weight_decay" in takes:  # 0, too: the default of some is another
            options["weight_decay"] = recipe.weight_decay
        for key in ("betas", "eps"):
            if (given := getattr(recipe, key)) == Recipe.model_fields[key].default:
                continue
            if key not in takes:
                raise UserError(f"recipe.{key}: {recipe.optimizer} has no {key}, expected to leave it out")
            options.setdefault(key, given)
        try:
            self.inner = made(self.params, lr=recipe.lr, **options)
        except (TypeError, ValueError) as problem:
            raise UserError(
                f"recipe.optimizer_options: {recipe.optimizer} refuses them ({brief(problem)})"
            ) from None
        self.state = self.inner.state

    @torch.no_grad()
    def step(self) -> None:
        for group in self.inner.param_groups:
            group["lr"] = self.lr
        self.inner.step()

    def _fresh(self, param: Tensor) -> dict[str, Tensor]:
        return {}

    def _step(self, params: list[Tensor], gradients: list[Any]) -> None:
        raise NotImplementedError  # `step` does it all


NOT_OPTIONS = ("weight_decay", "foreach", "maximize", "capturable", "differentiable", "fused", "amsgrad")
"""Keywords of torch's optimizers that are keys of the recipe, or would change what a step is."""


class Sgd(Optimizer):
    """Gradient descent with momentum, Nesterov's or the heavy ball's, and weight decay in the gradient."""

    def __init__(
        self,
        params: Sequence[Tensor],
        lr: float | Tensor,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.momentum, self.nesterov = momentum, nesterov

    def _fresh(self, param: Tensor) -> dict[str, Tensor]:
        # From zero the first step gives the gradient itself, as torch begins.
        return {"momentum_buffer": torch.zeros_like(param)} if self.momentum else {}

    def _step(self, params: list[Tensor], gradients: list[Any]) -> None:
        torch._fused_sgd_(
            params, gradients, self._of(params, "momentum_buffer") if self.momentum else [],
            weight_decay=self.weight_decay, momentum=self.momentum, lr=self.lr, dampening=0.0,
            nesterov=self.nesterov, maximize=False, is_first_step=False,
        )  # fmt: skip


def make_optimizer(params: Sequence[Tensor], recipe: Recipe) -> Optimizer:
    """The recipe's optimizer over those of the parameters that are not whole numbers."""
    real = [param for param in params if param.is_floating_point()]
    if recipe.optimizer == "adam":
        return Adam(real, recipe.lr, recipe.betas, recipe.eps, recipe.weight_decay)
    if recipe.optimizer == "adamw":
        return AdamW(real, recipe.lr, recipe.betas, recipe.eps, recipe.weight_decay)
    if recipe.optimizer.startswith(TORCH):
        return OfTorch(real, recipe)
    return Sgd(real, recipe.lr, recipe.momentum, recipe.nesterov, recipe.weight_decay)
