"""Compaction: units and channels from which no living weight leads on to the output are cut out of a network.

Such a unit cannot influence the output: its error is exactly zero, and so are the gradients of the weights that
lead to it. Leaving it out of the forward and backward passes changes nothing but the order of sums. What is cut
stays in the stack, where the optimizer sees the zero gradient that it would have had, and weight decay and
momentum go on as before. A channel all of whose inputs are dead is not cut for that: its bias, or the shift of its
batch norm, still feeds the living weights behind it.

Two things differ from the whole network. Running statistics of batch norm are not updated for channels that are
cut; no output, gradient or statistic of a channel that is left depends on them. And gradients of dead weights are
zero where they touch what is cut; the stack silences them anyhow, but a search that grows weights by their gradients
needs the whole network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import EllipsisType

import torch
from torch import Tensor, nn

from tombola.models.architecture import Architecture
from tombola.models.generators import CPU
from tombola.training.engines.chain import Link, links
from tombola.training.noise import CounterDropout, Noise, swap_dropout

WORTHWHILE = 0.75
"""A network is compacted when at most this share of its multiply-adds is left. Gathering the small weights and
putting back their gradients costs about a quarter of what the products of a linear layer cost at the batch sizes
of the papers, and next to nothing beside those of a convolution. Counts decide, never clocks: equal runs have
equal bits."""

Place = EllipsisType | tuple[Tensor, ...]
"""Where a tensor of the small network lies in that of the whole one, as an index; `...` where it is whole."""


def chain_of(architecture: Architecture) -> list[Link] | None:
    """The `links` of an architecture; `architecture.ask(chain_of)` works them out once."""
    return links(swap_dropout(architecture.build(), Noise(0, CPU)), architecture.input_shape)


def compact(module: nn.Module, chain: Sequence[Link], living: Mapping[str, Tensor]) -> dict[str, Place]:
    """Cut dead ends out of the layers of `module`, in place; returns where each tensor that shrank lies in its whole.

    `living` says which entries of each Linear and Conv weight carry a signal (weight name -> bool tensor). The answer
    is empty, and the module as it was, when too little would go, and when no path at all leads to the output.
    """
    kept = units_left(chain, living)
    steps = list(zip(chain, kept, kept[1:], strict=False))
    whole = left = 0
    for link, entering, leaving in steps:
        if link.weight:
            products = link.uses * living[link.weight].numel()
            whole += products
            left += products * len(entering) * len(leaving) // (link.entering * link.leaving)
    if not all(map(len, kept)) or left > WORTHWHILE * whole:
        return {}
    places: dict[str, Place] = {}
    for link, entering, leaving in steps:
        if len(entering) < link.entering or len(leaving) < link.leaving:
            shrunk = cut(module.get_submodule(link.name), link, entering, leaving)
            places |= {f"{link.name}.{leaf}": place for leaf, place in shrunk.items()}
    return places


def units_left(chain: Sequence[Link], living: Mapping[str, Tensor]) -> list[Tensor]:
    """The numbers of the units that stay: those of the input, all of them, then those that leave each layer."""
    first = next(link for link in chain if link.weight)
    device = next(iter(living.values())).device
    stay = torch.ones(chain[-1].leaving, dtype=torch.bool, device=device)
    kept = [stay]
    for link in reversed(chain):
        if link.weight:
            stay = living[link.weight].reshape(link.leaving, link.entering, -1).any(2)[stay].any(0)
        if link is first:
            stay = torch.ones_like(stay)
        kept.append(stay)
    return [stay.nonzero().squeeze(1) for stay in reversed(kept)]


def cut(part: nn.Module, link: Link, entering: Tensor, leaving: Tensor) -> dict[str, Place]:
    """Leave these units in a layer; returns where its tensors lie in the whole ones, by their names in the layer."""
    if isinstance(part, CounterDropout):
        part.kept = leaving, link.leaving
    within = torch.arange(link.features, device=entering.device)
    columns = (entering.unsqueeze(1) * link.features + within).view(-1)
    places: dict[str, Place] = {}
    for leaf, tensor in [*part.named_parameters(), *part.named_buffers()]:
        if tensor.dim() > 0:  # batch norm's counter of batches is whole
            place = (leaving.unsqueeze(1), columns) if tensor.dim() > 1 else (leaving,)
            small = tensor.detach()[place]
            setattr(part, leaf, nn.Parameter(small) if isinstance(tensor, nn.Parameter) else small)
            places[leaf] = place
    return places
