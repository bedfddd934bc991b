"""Named streams: independent of each other, of order and of how many there are; 0 is a seed."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from tombola.seeds import Seeds, key, stream


def numbers(generator: np.random.Generator) -> list[int]:
    return generator.integers(2**63, size=8).tolist()


def test_a_key_is_128_bits_of_sha_256_over_the_path() -> None:
    digest = hashlib.sha256(b'[0,"replicate",3,"init"]').digest()
    assert key(0, "replicate", 3, "init") == int.from_bytes(digest[:16], "little")
    assert numbers(stream(0, "a")) == numbers(np.random.Generator(np.random.Philox(key=key(0, "a"))))


def test_paths_are_told_apart() -> None:
    paths: list[tuple[str | int, ...]] = [
        (), ("",), ("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), ("a,b",), ("a\",\"b",), (0,), (1,), ("1",), (1, 0),
        (10,), (0, "replicate", 1), (0, "replicate", 11), (-1,),
    ]  # fmt: skip
    assert len({key(*path) for path in paths}) == len(paths)


def test_the_same_path_gives_the_same_numbers_and_another_does_not() -> None:
    assert numbers(stream("x", 1)) == numbers(stream("x", 1))
    assert numbers(stream("x", 1)) != numbers(stream("x", 2))


def test_a_stream_does_not_notice_what_others_draw() -> None:
    seeds = Seeds.replicate(0, 0)
    alone = numbers(seeds.stream("init"))
    order = seeds.stream("order", 1)
    order.permutation(1000)
    assert numbers(seeds.stream("init")) == alone
    np.random.seed(0)  # noqa: NPY002 - the global state is to be shown of no influence
    torch.manual_seed(0)
    assert numbers(seeds.stream("init")) == alone


def test_replicates_purposes_levels_and_draws_all_differ() -> None:
    drawn = {
        tuple(numbers(Seeds.replicate(seed, r).stream(purpose, level, draw)))
        for seed in (0, 1)
        for r in range(3)
        for purpose in ("reinit", "shuffle")
        for level in range(3)
        for draw in range(3)
    }
    assert len(drawn) == 2 * 3 * 2 * 3 * 3


def test_zero_is_a_seed_like_any_other() -> None:
    assert Seeds.single(0).root == (0,)
    assert numbers(Seeds.single(0).stream("init")) == numbers(Seeds.single(0).stream("init"))
    assert numbers(Seeds.single(0).stream("init")) != numbers(Seeds.single(1).stream("init"))


def test_a_study_and_a_lone_network_of_one_seed_have_other_roots() -> None:
    assert Seeds.replicate(5, 0).root == (5, "replicate", 0)
    assert numbers(Seeds.replicate(5, 0).stream("init")) != numbers(Seeds.single(5).stream("init"))


@pytest.mark.parametrize("purpose", ["dropout", "init"])
def test_a_device_key_is_63_bits_that_torch_can_hold(purpose: str) -> None:
    keys = {Seeds.replicate(0, r).key(purpose, level) for r in range(50) for level in range(20)}
    assert len(keys) == 1000
    assert all(0 <= k < 2**63 for k in keys)
    assert max(keys) > 2**62
    assert int(torch.tensor(max(keys), dtype=torch.int64)) == max(keys)
