"""Masks, and pruning: criterion, allocation and structure, three choices that do not depend on each other."""

from tombola.masks import saliency  # noqa: F401  (it registers its criteria)
from tombola.masks.allocation import ALLOCATIONS, LIKE, Allocation, Pool, allocation_like, removals
from tombola.masks.criteria import CRITERIA, Criterion, Needs, Weights
from tombola.masks.dynamic import drop_fraction, rigl_update, set_update
from tombola.masks.early_bird import EarlyBird, channel_mask, distance_map, mask_distance, norm_scales
from tombola.masks.gradual import cubic_counts, cubic_density
from tombola.masks.ladder import ladder
from tombola.masks.mask import Mask, restore
from tombola.masks.probe import Probe, Probing, balanced_batch, prober
from tombola.masks.prune import prune, prune_to, prune_to_counts
from tombola.masks.rule import PruneRule, rates_for
from tombola.masks.structure import EXAMPLES, STRUCTURES, Structure, lowest, structure

__all__ = [
    "ALLOCATIONS",
    "CRITERIA",
    "EXAMPLES",
    "LIKE",
    "STRUCTURES",
    "Allocation",
    "Criterion",
    "EarlyBird",
    "Mask",
    "Needs",
    "Pool",
    "Probe",
    "Probing",
    "PruneRule",
    "Structure",
    "Weights",
    "allocation_like",
    "balanced_batch",
    "channel_mask",
    "cubic_counts",
    "cubic_density",
    "distance_map",
    "drop_fraction",
    "ladder",
    "lowest",
    "mask_distance",
    "norm_scales",
    "prober",
    "prune",
    "prune_to",
    "prune_to_counts",
    "rates_for",
    "removals",
    "restore",
    "rigl_update",
    "set_update",
    "structure",
]
