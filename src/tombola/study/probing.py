"""Probes of a study's network, for criteria that look at the network and its data."""

from __future__ import annotations

import torch

from tombola.data import Resident, split
from tombola.masks import Probing, balanced_batch, prober
from tombola.seeds import Seeds
from tombola.study.plan import Plan

EACH = 10
"""Examples of every class in a probe's batch (Lee et al. 2019 and Wang et al. 2020 take as many)."""


def probing(plan: Plan, data: Resident, seeds: Seeds) -> Probing:
    """What makes the probes of one replicate: always on the same examples, all of them from its training part."""
    train = split(data.n_train, plan.study.data.validation, seeds.stream("split")).train
    picked = balanced_batch(data.train_y.cpu().numpy()[train], EACH, seeds.stream("probe"))
    rows = torch.from_numpy(train[picked]).to(data.device)
    return prober(plan.architecture, data.train(rows), data.train_y[rows])
