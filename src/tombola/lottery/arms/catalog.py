"""Arms: the treatments that are trained beside the winning ticket, to show what makes it win.

An arm is a triple of registered actions: what happens to the mask, to the living weights, and to the dead
weights. Everything an action may draw on is in its `Scene`. Named arms are short names for triples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tombola.lottery.arms.context import Scene, Trait
from tombola.lottery.arms.masks import AT_INIT, MASK_ACTIONS
from tombola.lottery.arms.weights import DEAD_ACTIONS, NOISES, WEIGHT_ACTIONS
from tombola.masks.mask import Mask
from tombola.models.state import State
from tombola.registry import Registry


@dataclass(frozen=True)
class Arm:
    """Names of a mask action, a weights action and a dead-weights action."""

    mask: str = "keep"
    weights: str = "rewind"
    dead: str = "zero"

    def __str__(self) -> str:
        return f"mask '{self.mask}', weights '{self.weights}', dead '{self.dead}'"

    def treat(self, scene: Scene) -> tuple[Mask, State, State]:
        """The mask, the state and the dead values that training starts from."""
        mask = MASK_ACTIONS[self.mask](scene)
        treated = replace(scene, treated=mask)
        return mask, WEIGHT_ACTIONS[self.weights](treated), DEAD_ACTIONS[self.dead](treated)

    @property
    def traits(self) -> frozenset[Trait]:
        """What its actions do or need, taken together. Raises UserError for an unknown action."""
        mask, weights = MASK_ACTIONS.traits(self.mask), WEIGHT_ACTIONS.traits(self.weights)
        return mask | weights | DEAD_ACTIONS.traits(self.dead)

    @property
    def rewinds(self) -> bool:
        """Whether it starts from the ticket's own state, which is stored once for all that do."""
        return self.weights == "rewind"

    @property
    def pins(self) -> bool:
        """Whether it freezes dead weights, at values that may not be zero."""
        return self.dead != "zero"


ARMS: Registry[Arm] = Registry("arm")
TICKET, CONTINUED = "ticket", "continued"

ARMS.register(TICKET, "the winning ticket: its mask, its own weights rewound (Frankle & Carbin 2019, 2)")(
    Arm()
)
ARMS.register(
    CONTINUED,
    "the ticket's mask, trained on from the weights it was found by: learning rate rewinding (Renda et al. 2020)",
)(Arm(weights="trained"))
ARMS.register("reinit", "the ticket's mask with freshly drawn weights (Frankle & Carbin 2019, 3)")(
    Arm(weights="reinit")
)
ARMS.register(
    "random-mask", "a random mask with the ticket's count in each layer, its own weights (F&C 2019, App. E)"
)(Arm("shuffle"))
ARMS.register(
    "random-mask-global",
    "a random mask with the ticket's total count, spread over all layers (after F&C 2019, App. E)",
)(Arm("shuffle-global"))

# Other weights under the ticket's mask.
ARMS.register("reinit-signs", "the ticket's mask and signs, magnitudes drawn afresh (Zhou et al. 2019)")(
    Arm(weights="reinit-signs")
)
ARMS.register(
    "reinit-ticket",
    "the ticket's mask, weights drawn from those it keeps in each layer (Frankle & Carbin 2019, App. F.3)",
)(Arm(weights="reinit-ticket"))
ARMS.register(
    "reshuffle", "the ticket's mask, its own weights in random order in each layer (Zhou et al. 2019)"
)(Arm(weights="reshuffle"))
ARMS.register(
    "reshuffle-signs",
    "the ticket's mask and signs, its own weights in random order in each layer (Zhou et al. 2019)",
)(Arm(weights="reshuffle-signs"))
ARMS.register(
    "constant", "the ticket's mask, weights of one magnitude a layer and random sign (Zhou et al. 2019)"
)(Arm(weights="constant"))
ARMS.register(
    "constant-signs", "the ticket's mask and signs, weights of one magnitude a layer (Zhou et al. 2019)"
)(Arm(weights="constant-signs"))
for _times in NOISES:
    ARMS.register(
        f"noise-{_times:g}",
        f"the ticket with Gaussian noise of {_times:g} deviations of the layer's initial weights on its "
        "weights (Frankle & Carbin 2019, App. F.7)",
    )(Arm(weights=f"noise-{_times:g}"))

# Other masks over the ticket's weights.
ARMS.register("invert", "the weights that the ticket lacks, and only those (Frankle et al. 2021)")(
    Arm("invert")
)
ARMS.register(
    "partner",
    "the mask of the partner replicate, 1 for 0 and 0 for 1, over its own weights (Adnan et al. 2025, 'naive')",
)(Arm("partner"))
ARMS.register(
    "rewire",
    "random connections with the ticket's in- and out-degree of every unit (after Strona et al. 2014)",
)(Arm("rewire"))
ARMS.register(
    "input-map",
    "a random mask with the ticket's count from each input and in each layer (after F&C 2019, App. F.6)",
)(Arm("input-map"))
ARMS.register(
    "permute-units",
    "the ticket with its hidden units in another order: must train as it does (Ainsworth et al. 2023)",
)(Arm("permute", "permute"))
ARMS.register(
    "permute-mask", "the ticket's mask with its hidden units in another order (after Ainsworth et al. 2023)"
)(Arm("permute"))

# Other masks with the ticket's count in each layer, found by pruning.
ARMS.register(
    "one-shot",
    "the ticket's count in each layer, found by pruning the trained dense network once (Frankle & Carbin 2019, 2)",
)(Arm("one-shot"))
for _action, (_, _called) in AT_INIT.items():
    ARMS.register(_action, f"the ticket's count in each layer, found in the untrained network by {_called}")(
        Arm(_action)
    )
ARMS.register(
    "fresh",
    "the ticket's count in each layer, found by a ladder that draws fresh weights at every level (after Frankle & "
    "Carbin 2019, 2)",
)(Arm("own-ladder", "reinit"))

# Other values of dead weights.
ARMS.register("freeze", "the ticket with its dead weights frozen at initialisation (Zhou et al. 2019)")(
    Arm(dead="freeze")
)
ARMS.register(
    "zero-towards",
    "as freeze, but zero for dead weights that training had moved towards zero (Zhou et al. 2019, variant 1)",
)(Arm(dead="zero-towards"))
ARMS.register(
    "zero-towards-all",
    "as zero-towards, and living weights that training moved towards zero begin at zero (Zhou et al. 2019, "
    "variant 2)",
)(Arm(weights="zero-towards", dead="zero-towards"))
