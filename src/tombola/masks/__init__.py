"""Masks, and pruning: criterion, allocation and structure, three choices that do not depend on each other."""

from tombola.masks.allocation import ALLOCATIONS, Allocation, Pool, ladder, removals
from tombola.masks.criteria import CRITERIA, Criterion, Weights
from tombola.masks.mask import Mask, restore
from tombola.masks.prune import PruneRule, prune, prune_to, rates_for
from tombola.masks.structure import STRUCTURES, Contest, Structure, lowest

__all__ = [
    "ALLOCATIONS",
    "CRITERIA",
    "STRUCTURES",
    "Allocation",
    "Contest",
    "Criterion",
    "Mask",
    "Pool",
    "PruneRule",
    "Structure",
    "Weights",
    "ladder",
    "lowest",
    "prune",
    "prune_to",
    "rates_for",
    "removals",
    "restore",
]
