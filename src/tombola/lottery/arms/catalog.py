"""Arms: the treatments that are trained beside the winning ticket, to show what makes it win.

An arm is a triple of registered actions: what happens to the mask, to the living weights, and to the dead
weights. Everything an action may draw on is in its `Scene`. Named arms are short names for triples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tombola import parts
from tombola.registry import Registry

ACTIONS = {"mask": "mask action", "weights": "weights action", "dead": "dead-weights action"}
"""Field of an arm -> the kind of the action that it names."""

Trait = Literal[
    "random", "initialiser", "partner", "units", "inputs", "trained", "prunes", "ladder", "donor", "twin"
]
"""What an action does or needs: it draws at random (so that a second draw is another one), it draws new weights, it
takes the partner replicate's mask (so that replicates come in pairs), it tells hidden units apart, it looks at which
inputs the first layer reads, it looks at how the ticket was trained, it prunes to the ticket's count in each layer, it
prunes what the arm's own training left a level before (so that the arm has to be trained at every level), it takes from
donors, it takes from the replicate's twin."""

AT_INIT: Mapping[str, tuple[str, str]] = {
    "magnitude-at-init": ("large-init", "magnitude (Frankle & Carbin 2019, App. F.4)"),
    "snip-at-init": ("snip", "SNIP (Lee et al. 2019)"),
    "grasp-at-init": ("grasp", "GraSP (Wang et al. 2020)"),
    "synflow-at-init": ("synflow", "SynFlow (Tanaka et al. 2020)"),
}
"""Mask actions that prune the untrained network: the criterion they prune by, and what people call it."""

NOISES = (0.5, 1.0, 2.0, 3.0)
"""Deviations of the layer's initial weights that arms put on the ticket's as noise."""
LAYER_ARMS = {f"donor-layer-{layer}": layer for layer in range(1, 7)}
"""Mask actions that align one tensor alone, counted in the order of the forward pass."""
DOSES = (0, 25, 50, 75)
"""Percent of a ticket that arms keep."""
DOSE_ARMS = tuple(f"dose-{percent}" for percent in DOSES)


FROM_FILE = "mask:"
"""Mask actions `mask:FILE` take the mask of a file made elsewhere, see `lottery.mask_files`; `mask:FILE@DIGEST`, once
it was read."""


def action_facts(kind: str, name: str) -> Any:
    """The facts of an action. Raises UserError for an unknown one."""
    if kind == ACTIONS["mask"] and name.startswith(FROM_FILE):
        return {"traits": []}
    return parts.facts(kind, name)


@dataclass(frozen=True)
class Arm:
    """Names of a mask action, a weights action and a dead-weights action."""

    mask: str = "keep"
    weights: str = "rewind"
    dead: str = "zero"

    def __str__(self) -> str:
        return f"mask '{self.mask}', weights '{self.weights}', dead '{self.dead}'"

    @property
    def traits(self) -> frozenset[Trait]:
        """What its actions do or need, taken together. Raises UserError for an unknown action."""
        return frozenset(
            trait
            for key, kind in ACTIONS.items()
            for trait in action_facts(kind, getattr(self, key))["traits"]
        )

    @property
    def rewinds(self) -> bool:
        """Whether it starts from the ticket's own state, which is stored once for all that do."""
        return self.weights == "rewind"

    @property
    def pins(self) -> bool:
        """Whether it freezes dead weights, at values that may not be zero."""
        return self.dead != "zero"


ARMS: Registry[Arm] = Registry("arm", asked=tuple(ACTIONS))
TICKET, CONTINUED = "ticket", "continued"

# A table: the name of an arm, its triple, and what it is.
# fmt: off
for _name, _arm, _line in (
    (TICKET, Arm(),
     "the winning ticket: its mask, its own weights rewound (Frankle & Carbin 2019, 2)"),
    (CONTINUED, Arm(weights="trained"),
     "the ticket's mask, trained on from the weights it was found by: learning rate rewinding (Renda et "
     "al. 2020)"),
    ("reinit", Arm(weights="reinit"),
     "the ticket's mask with freshly drawn weights (Frankle & Carbin 2019, 3)"),
    ("random-mask", Arm("shuffle"),
     "a random mask with the ticket's count in each layer, its own weights (F&C 2019, App. E)"),
    ("random-mask-global", Arm("shuffle-global"),
     "a random mask with the ticket's total count, spread over all layers (after F&C 2019, App. E)"),
    # Other weights under the ticket's mask.
    ("reinit-signs", Arm(weights="reinit-signs"),
     "the ticket's mask and signs, magnitudes drawn afresh (Zhou et al. 2019)"),
    ("reinit-ticket", Arm(weights="reinit-ticket"),
     "the ticket's mask, weights drawn from those it keeps in each layer (Frankle & Carbin 2019, App. F.3)"),
    ("reshuffle", Arm(weights="reshuffle"),
     "the ticket's mask, its own weights in random order in each layer (Zhou et al. 2019)"),
    ("reshuffle-signs", Arm(weights="reshuffle-signs"),
     "the ticket's mask and signs, its own weights in random order in each layer (Zhou et al. 2019)"),
    ("constant", Arm(weights="constant"),
     "the ticket's mask, weights of one magnitude a layer and random sign (Zhou et al. 2019)"),
    ("constant-signs", Arm(weights="constant-signs"),
     "the ticket's mask and signs, weights of one magnitude a layer (Zhou et al. 2019)"),
    *((f"noise-{times:g}", Arm(weights=f"noise-{times:g}"),
       f"the ticket with Gaussian noise of {times:g} deviations of the layer's initial weights on its weights "
       "(Frankle & Carbin 2019, App. F.7)")
      for times in NOISES),
    # Other masks over the ticket's weights.
    ("invert", Arm("invert"),
     "the weights that the ticket lacks, and only those (Frankle et al. 2021)"),
    ("partner", Arm("partner"),
     "the mask of the partner replicate, 1 for 0 and 0 for 1, over its own weights; it has seen the validation "
     "examples that choose the early stop, unless [data] split = \"study\" (Adnan et al. 2025, 'naive')"),
    ("rewire", Arm("rewire"),
     "random connections with the ticket's in- and out-degree of every unit (after Strona et al. 2014)"),
    ("input-map", Arm("input-map"),
     "a random mask with the ticket's count from each input and in each layer (after F&C 2019, App. F.6)"),
    ("permute-units", Arm("permute", "permute"),
     "the ticket with its hidden units in another order: must train as it does (Ainsworth et al. 2023)"),
    ("permute-mask", Arm("permute"),
     "the ticket's mask with its hidden units in another order (after Ainsworth et al. 2023)"),
    # Other masks with the ticket's count in each layer, found by pruning.
    ("one-shot", Arm("one-shot"),
     "the ticket's count in each layer, found by pruning the trained dense network once (Frankle & "
     "Carbin 2019, 2)"),
    *((action, Arm(action),
       f"the ticket's count in each layer, found in the untrained network by {called}")
      for action, (_, called) in AT_INIT.items()),
    ("fresh", Arm("own-ladder", "reinit"),
     "the ticket's count in each layer, found by a ladder that draws fresh weights at every level "
     "(after Frankle & Carbin 2019, 2)"),
    # Other values of dead weights.
    ("freeze", Arm(dead="freeze"),
     "the ticket with its dead weights frozen at initialisation (Zhou et al. 2019)"),
    ("zero-towards", Arm(dead="zero-towards"),
     "as freeze, but zero for dead weights that training had moved towards zero (Zhou et al. 2019, "
     "variant 1)"),
    ("zero-towards-all", Arm(weights="zero-towards", dead="zero-towards"),
     "as zero-towards, and living weights that training moved towards zero begin at zero (Zhou et al. "
     "2019, variant 2)"),
    # Structure from donors: ladders of other seeds.
    ("donor", Arm("donor"),
     "a donor's mask as it is: the same graph, units in no order that the weights know (after Adnan et "
     "al. 2025)"),
    ("donor-aligned", Arm("donor-aligned"),
     "a donor's mask, its units in the order of the dense networks' match (after Adnan et al. 2025)"),
    ("donor-shuffled", Arm("donor-shuffled"),
     "a donor's mask, units in random order: must do as `donor` does (after Ainsworth et al. 2023)"),
    ("donor-transplant", Arm("donor", "donor-start"),
     "a donor's mask and all that it starts from: must do as the donor's ticket does (after Adnan et "
     "al. 2025)"),
    ("donor-rewired", Arm("donor-rewired"),
     "random connections with the degree of every unit of a donor's mask (after Strona et al. 2014)"),
    ("donor-aligned-rewired", Arm("donor-aligned-rewired"),
     "random connections with the degree of every unit of a donor's aligned mask (after Strona et al. 2014)"),
    ("donor-fit", Arm("donor-fit"),
     "a donor's mask scrambled with its dense network, degrees kept (after Strona et al. 2014)"),
    ("donor-fit-aligned", Arm("donor-fit-aligned"),
     "that mask aligned by its dense network: what aligning gives by itself (after Ainsworth et al. 2023)"),
    ("donor-layers-apart", Arm("donor-layers-apart"),
     "a donor's mask, each tensor in an order of its own (after Ainsworth et al. 2023)"),
    *((name, Arm(name),
       f"a donor's mask, tensor {layer} aligned, every other in an order of its own (after Ainsworth et al. 2023)")
      for name, layer in LAYER_ARMS.items()),
    ("donor-input-map", Arm("donor-input-map"),
     "a random mask with a donor's count from each input, in each layer (after F&C 2019, App. E)"),
    ("twin", Arm("twin"),
     "the mask of a ladder from the same start with other noise, shuffled and aligned (after Ainsworth "
     "et al. 2023)"),
    ("shared-rewired", Arm("shared-rewired"),
     "the ticket, what it shares with aligned donors moved elsewhere (after Ainsworth et al. 2023)"),
    ("private-rewired", Arm("private-rewired"),
     "the ticket, as many matched weights moved that it does not share (after Ainsworth et al. 2023)"),
    ("fit-shared-rewired", Arm("fit-shared-rewired"),
     "the ticket, as many moved that it shares with scrambled donors (after Ainsworth et al. 2023)"),
    ("core", Arm("core"),
     "half of each layer where most aligned donors have weights, the rest random (after Ainsworth et "
     "al. 2023)"),
    ("core-apart", Arm("core-apart"),
     "as `core`, donors' units in random order (after Ainsworth et al. 2023)"),
    ("core-fit", Arm("core-fit"),
     "as `core`, by scrambled donors (after Ainsworth et al. 2023)"),
    ("core-fit-apart", Arm("core-fit-apart"),
     "as `core-fit`, units in random order (after Ainsworth et al. 2023)"),
    ("guided", Arm("guided"),
     "the dense network pruned in one step to the ticket's counts, by magnitude and aligned donors' votes "
     "(after Ainsworth et al. 2023)"),
    ("guided-fit", Arm("guided-fit"),
     "as `guided`, by scrambled donors (after Ainsworth et al. 2023)"),
    ("donor-signs", Arm("donor-aligned", "donor-signs"),
     "a donor's mask and signs aligned, its own magnitudes (after Adnan et al. 2025)"),
    ("donor-signs-shuffled", Arm("donor-aligned", "donor-signs-shuffled"),
     "a donor's aligned mask, the donor's signs in random order, its own magnitudes (after Adnan et al. "
     "2025)"),
    ("flip-shared", Arm(weights="flip-shared"),
     "the ticket, shared signs turned (after Ainsworth et al. 2023)"),
    ("flip-private", Arm(weights="flip-private"),
     "the ticket, as many private signs turned (after Ainsworth et al. 2023)"),
    *((f"dose-{percent}", Arm(f"dose-{percent}"),
       f"{percent}% of the ticket, the rest of it moved elsewhere (after F&C 2019, App. E)")
      for percent in DOSES),
):
    ARMS.register(_name, _line)(_arm)
# fmt: on
