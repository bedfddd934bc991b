"""Inputs made of trees: a value of a file in the place of another, of another type, missing, or twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from fuzz.target import Tree

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 1 << 31, -(1 << 63), 1 << 64, 0.0, 0.5, -0.5, 1e308, 1e-320),
    *("", "a", "0", "ticket", "\ud800", "\x1b[31m", "../..", "x" * 300, "é\n", "=1+1"),
    *([], {}, [[]], [None], [{}], {"a": 1}, {"": {}}, [1, "a"], [0] * 50),
)
BYTES = 0.25
"""How often bytes are changed where there is a tree."""


def of_trees(tree: Tree) -> Callable[[bytes, int, int], bytes]:
    """What makes an input of another (its bytes, the most that there may be, a seed)."""

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < BYTES:
            return _other_bytes(data, chance)[:longest]
        try:
            whole = tree.parse(data)
            for _ in range(chance.choice((1, 1, 2, 4))):
                whole = _changed(whole, chance)
            made = tree.write(whole)
        except Exception:  # no tree, or none that can be written
            made = b""
        return made if 0 < len(made) <= longest else _other_bytes(data, chance)[:longest]

    return mutate


def _other_bytes(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, put in, left out or repeated."""
    made = bytearray(data or b"0")
    for _ in range(chance.choice((1, 1, 2, 8))):
        place, what = chance.randrange(len(made)), chance.randrange(5)
        if what == 0:
            made[place] = chance.randrange(256)
        elif what == 1:
            made[place] ^= 1 << chance.randrange(8)
        elif what == 2:
            made[place:place] = chance.randbytes(chance.choice((1, 2, 4)))
        elif what == 3 and len(made) > 8:
            del made[place : place + chance.choice((1, 2, 4))]
        else:
            made[place:place] = made[place : place + chance.choice((1, 4, 32))]
    return bytes(made)


def _changed(whole: Any, chance: random.Random) -> Any:
    """The tree with one place changed."""
    places = list(_places(whole))
    if not places or chance.random() < 0.02:
        return chance.choice(ODD)
    inside, key = chance.choice(places)
    value, what = inside[key], chance.randrange(6)
    if what == 0:
        del inside[key]
    elif what == 1 and isinstance(inside, dict):
        inside[chance.choice([*inside, "x", "seal", "name"])] = value
    elif what == 2:
        other, there = chance.choice(places)
        inside[key] = (
            other[there] if there in (other if isinstance(other, dict) else range(len(other))) else value
        )
    elif what == 3 and isinstance(value, int | float):
        inside[key] = chance.choice((value + 1, -value, value * 2, float(value), str(value), value * 1e9))
    elif what == 4 and isinstance(value, str | list):
        inside[key] = chance.choice((value[1:], value * 2, value[:1], list(value)))
    else:
        inside[key] = chance.choice(ODD)
    return whole


def _places(whole: Any) -> list[tuple[Any, Any]]:
    """Each place in a tree: what it is in, and its key there. A tree that holds itself ends somewhere."""
    found, ahead = list[tuple[Any, Any]](), [whole]
    while ahead and len(found) < 2000:
        part = ahead.pop()
        keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else []
        found += [(part, key) for key in keys]
        ahead += [part[key] for key in keys]
    return found
