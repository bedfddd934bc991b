"""A network tried out before anything rests on it: it is shown a few examples, as in evaluation and as in training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from tombola.errors import UserError, brief
from tombola.models.generators import seeded
from tombola.several import Several

EXAMPLES = 4
"""How many it is shown: batch norm wants two, and four tell a batch from its classes or channels more often."""
EVALUATION, TRAINING = "evaluation", "training"


@dataclass(frozen=True)
class Answers:
    """Logits [examples, classes] in evaluation and in training mode, from one state and one seed."""

    evaluation: Tensor
    training: Tensor

    def alike(self, other: Answers) -> bool:
        """Whether two networks compute the same. Not to the bit: how a product is rounded may depend on where in
        memory its operands lie."""
        return _alike(self.evaluation, other.evaluation) and _alike(self.training, other.training)


class WholeNumbersError(UserError):
    """A network makes whole numbers of inputs that are none."""


class Calls(TorchFunctionMode):
    """Within it every call of a function of torch goes through `call`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.call(func, args, kwargs or {})

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What is done instead: by default the call itself."""
        return func(*args, **kwargs)


def random_examples(shape: tuple[int, ...]) -> Tensor:
    """Normal examples for a network that comes without any, [n, *shape]."""
    return torch.randn(EXAMPLES, *shape, generator=torch.Generator().manual_seed(0))


def hooked(module: nn.Module) -> bool:
    """Whether a part of a network does more or something else than its type says."""
    return any(
        part._forward_hooks
        or part._forward_pre_hooks
        or part._backward_hooks
        or part._backward_pre_hooks
        or "forward" in vars(part)
        for part in module.modules()
    )


def well_known(module: nn.Module) -> bool:
    """Whether all parts of a network are torch's or ours, and nothing was hooked in: such compute with their own
    weights and remember nothing beside their buffers."""
    ours = ("torch.nn.modules.", "tombola.")
    return not hooked(module) and all(type(part).__module__.startswith(ours) for part in module.modules())


def require_sizes(name: str, module: nn.Module) -> None:
    """Raise UserError for lazy layers, whose tensors have no shape yet."""
    if any(is_lazy(tensor) for tensor in [*module.parameters(), *module.buffers()]):
        raise UserError(f"model '{name}': it has lazy layers, expected layers of fixed sizes")


def require_fit(name: str, module: nn.Module, prunable: Collection[str]) -> None:
    """Raise UserError for a network that has nothing to prune, or tensors that cannot be trained or pruned."""
    if not prunable:
        raise UserError(f"model '{name}': it has no Linear or Conv weights, so there is nothing to prune")
    for key, parameter in module.named_parameters():
        # Whole numbers elsewhere are indices and the like, and stay as they are.
        if parameter.is_complex() or (key in prunable and not parameter.is_floating_point()):
            kind = str(parameter.dtype).removeprefix("torch.")
            raise UserError(f"model '{name}': parameter '{key}' is of type {kind}, expected real numbers")


def try_out(name: str, module: nn.Module, x: Tensor, classes: int) -> Answers:
    """What the network answers to examples [n, *shape], of which n >= 2.

    The weights and buffers of the module are as before, its mode is not. Raises UserError for a network that fails in
    one of the modes, answers anything else than logits [n, classes], cannot be differentiated, makes whole numbers of
    inputs that are none, or answers otherwise when it is asked again, or seeds the generator itself.
    """
    first = answers(name, module, x, classes, learn=True)
    if not well_known(module) and not first.alike(answers(name, module, x, classes)):
        raise UserError(
            f"model '{name}' cannot be repeated: the same weights, inputs and seeds gave two outputs (it draws noise "
            "of its own, or remembers earlier calls outside of its buffers); expected noise from torch's generator, "
            "numpy's global one or Python's random"
        )
    if not well_known(module) and _seeds_itself(module, x):
        raise UserError(
            f"model '{name}' seeds torch's generator as it computes, so that its noise would be the same at every "
            "step; leave the seeding out, or do it within torch.random.fork_rng"
        )
    return first


def says_probabilities(answers: Answers) -> bool:
    """Whether outputs are shares of several classes, as behind a softmax."""
    said = answers.evaluation
    sums = torch.ones(len(said), dtype=said.dtype)
    return said.shape[1] > 1 and bool((said >= 0).all()) and torch.allclose(said.sum(1), sums, atol=1e-5)


def _seeds_itself(module: nn.Module, x: Tensor) -> bool:
    """Whether a forward pass in training mode leaves torch's generator the same, whatever it was before."""
    buffers = {key: buffer.clone() for key, buffer in module.named_buffers()}
    module.train()
    left = []
    for seed in (1, 2):
        with seeded(seed), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            module(x.clone())
            left.append(torch.get_rng_state())
    _restore(module, buffers)
    return torch.equal(*left)


def answers(name: str, module: nn.Module, x: Tensor, classes: int, learn: bool = False) -> Answers:
    """What the network answers, asked once; `learn`: and whether it can be differentiated. Raises as `try_out` does."""
    buffers = {key: buffer.clone() for key, buffer in module.named_buffers()}
    logits: dict[str, Tensor] = {}
    for mode in (EVALUATION, TRAINING):
        module.train(mode == TRAINING)  # a statement: some override it and return nothing
        _restore(module, buffers)
        lying = {key: parameter.data_ptr() for key, parameter in module.named_parameters()}
        watch = _Casts(x)
        try:
            with (
                seeded(0),
                warnings.catch_warnings(),
                torch.set_grad_enabled(learn and mode == TRAINING),
                watch,
            ):
                warnings.simplefilter("ignore")  # they will come again
                found = module(x.clone())  # some write into their input
        except Exception as problem:
            # An embedding, or what else looks things up, says so itself.
            whole = watch.found or (x.is_floating_point() and INDICES in str(problem))
            kind = WholeNumbersError if whole else UserError
            raise kind(
                f"model '{name}' fails on inputs of shape {_shape(module, x)} in {mode} mode ({brief(problem)})"
                f"{WHOLE if whole else ''}"
            ) from problem
        if watch.found:
            raise WholeNumbersError(
                f"model '{name}' makes whole numbers of its inputs, and normalised examples are none{WHOLE}"
            )
        _require_logits(name, found, (len(x), classes), _shape(module, x), mode)
        for key, parameter in module.named_parameters():
            if parameter.data_ptr() != lying[key]:
                raise UserError(
                    f"model '{name}': its forward gives parameter '{key}' other memory (`.data = ...`), which what "
                    "trains it would not see; change it in place (`.data.copy_(...)`)"
                )
        if learn and mode == TRAINING:
            _require_gradient(name, module, found)
        logits[mode] = found.detach()
    _restore(module, buffers)
    return Answers(logits[EVALUATION], logits[TRAINING])


INDICES = "scalar types: Long, Int"
"""What torch says of numbers that are no indices."""
WHOLE = '; where inputs are token ids or the like, set normalisation = "none"'


def _restore(module: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    """Put back what a forward pass has changed, in place or by assigning it anew."""
    with torch.no_grad():
        for key, buffer in module.named_buffers():
            if not torch.equal(buffer, buffers[key]):
                buffer.copy_(buffers[key])


def _shape(module: nn.Module, x: Tensor) -> str:
    """That of inputs as a network takes them, apart where it takes several."""
    several = [each for hook in module._forward_pre_hooks.values() for each in getattr(hook, "args", ())]
    apart = several[0].apart(x) if several and isinstance(several[0], Several) else (x,)
    return " and ".join(str(tuple(each.shape)) for each in apart)


def _require_logits(name: str, found: object, expected: tuple[int, int], shape: str, mode: str) -> None:
    if isinstance(found, Tensor) and tuple(found.shape) == expected:
        return
    what = str(tuple(found.shape)) if isinstance(found, Tensor) else type(found).__name__
    hint = ""
    if not isinstance(found, Tensor):
        if fields := getattr(found, "_fields", None) or (list(found) if isinstance(found, Mapping) else None):
            what += f" ({', '.join(map(str, fields))})"
        hint = "; let its forward return the logits alone"
    raise UserError(
        f"model '{name}' in {mode} mode turns inputs of shape {shape} into {what}, "
        f"expected logits of shape {expected}{hint}"
    )


def _require_gradient(name: str, module: nn.Module, logits: Tensor) -> None:
    """Raise UserError where a step of training would fail."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not trained:
        return
    if not logits.requires_grad:
        raise UserError(
            f"model '{name}': its outputs in training mode depend on no parameter that is trained "
            "(computed under no_grad, or detached)"
        )
    own = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
    if any(id(leaf) not in own for leaf in _leaves(logits)):
        raise UserError(
            f"model '{name}': its forward computes with a parameter that is not its own, as where a function holds "
            "`self` of the network that this is a copy of; give a function that builds it, and call layers as "
            "`self.layer` in forward"
        )
    try:
        with torch.enable_grad():  # whatever the caller has switched off
            loss = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64))
            torch.autograd.grad(loss, trained, allow_unused=True)
    except Exception as problem:
        raise UserError(
            f"model '{name}' cannot be differentiated in training mode ({brief(problem)})"
        ) from problem


def _leaves(tensor: Tensor) -> Iterator[Tensor]:
    """What autograd would give a gradient to, if asked for that of a tensor."""
    seen, waiting = set[Node](), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(leaf := getattr(node, "variable", None), Tensor):
            yield leaf
        waiting += [each for each, _ in node.next_functions]


def _alike(one: Tensor, other: Tensor) -> bool:
    finite = one[one.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(one, other, rtol=1e-4, atol=1e-4 * scale, equal_nan=True)


class _Casts(Calls):
    """Notices when inputs that are no whole numbers are made such, as for an embedding."""

    NAMES = frozenset({"long", "int", "short", "char", "byte", "to", "type"})

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.found = False
        self._x = x

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        out = func(*args, **kwargs)
        if getattr(func, "__name__", "") in self.NAMES and isinstance(out, Tensor) and args:
            given = args[0]
            whole = not (out.is_floating_point() or out.is_complex() or out.dtype == torch.bool)
            if whole and given.is_floating_point() and given.numel() == self._x.numel():
                inputs = torch.equal(given.reshape(-1), self._x.reshape(-1))
                self.found |= inputs and not torch.equal(given, given.round())
        return out
