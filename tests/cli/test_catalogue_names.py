"""The catalogue has the papers' methods under these names, each with its source: other programs rely on them."""

from __future__ import annotations

import re

import pytest

from tombola.cli.kinds import KINDS, lines

SOURCE = re.compile(r"\b(19|20)\d\d\b")

NAMES = {
    "models": (
        "resnet-8 resnet-14 resnet-20 resnet-32 resnet-44 resnet-56 resnet-110 resnet-D-wK vgg-11 vgg-13 vgg-16 vgg-19 "
        "wrn-D-K resnet-18 lenet-5 lenet-5-3x3 vit lenet-A-B-... conv-2 conv-4 conv-6"
    ),
    "criteria": (
        "large-final small-final large-init small-init large-init-large-final small-init-small-final "
        "magnitude-increase movement large-final-same-sign large-final-diff-sign random gradient snip grasp synflow"
    ),
    "allocations": "layerwise global uniform erk like:TICKET",
    "structures": "weights channels block-HxW N:M",
    "modes": "iterative continued one-shot at-init",
    "rewinds": "rewind learning-rate fine-tune",
    "mask-actions": (
        "keep shuffle shuffle-global invert partner rewire input-map permute one-shot magnitude-at-init snip-at-init "
        "grasp-at-init synflow-at-init own-ladder"
    ),
    "weights-actions": (
        "rewind trained reinit reinit-signs reinit-ticket reshuffle reshuffle-signs constant constant-signs noise-0.5 "
        "noise-1 noise-2 noise-3 permute zero-towards"
    ),
    "dead-actions": "zero freeze zero-towards",
    "arms": (
        "ticket continued reinit random-mask random-mask-global reinit-signs reinit-ticket reshuffle reshuffle-signs "
        "constant constant-signs noise-0.5 noise-1 noise-2 noise-3 invert partner rewire input-map permute-units "
        "permute-mask one-shot magnitude-at-init snip-at-init grasp-at-init synflow-at-init fresh freeze zero-towards "
        "zero-towards-all"
    ),
}


@pytest.mark.parametrize("kind", NAMES)
def test_the_papers_methods_are_there_with_their_sources(kind: str) -> None:
    listed = lines(kind)
    assert set(NAMES[kind].split()) <= set(listed)
    assert kind in KINDS
    for name, line in listed.items():
        assert SOURCE.search(line), f"{name} does not say where it comes from"
