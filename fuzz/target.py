"""What a reader is tried with, and when what it does is a finding."""

from __future__ import annotations

import resource
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tombola.errors import UserError

SECONDS, MEMORY = 5.0, 1 << 30
"""What a small input may take: seconds of a processor, and bytes beyond those that the process had."""
FAULTS = Path(__file__).parents[1] / "tests" / "faults"
"""Inputs that were findings once: each is called TARGET-what came of it, and is a seed and a test."""


@dataclass(frozen=True)
class Tree:
    """How a file is taken for a tree of tables, lists and values, and made of one again. Both may raise anything."""

    parse: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


@dataclass(frozen=True)
class Target:
    """A reader: `read` of a file that is called so. `seeds` are whole files; with a `tree` inputs are made of it as
    well as of bytes."""

    read: Callable[[Path], Any]
    seeds: Callable[[], Iterable[bytes]]
    file: str
    tree: Tree | None = None
    longest: int = 4096


def found(target: Target, path: Path) -> tuple[str, str] | None:
    """What is wrong with how a reader takes a file: a short name, and where; None where it reads it, or refuses it as a
    user's mistake."""
    since, memory = time.process_time(), _most_memory()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(path)
    except UserError:
        pass
    except SystemExit as end:
        if end.code != 2:
            return "exit", str(end.code)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # a panic of polars is no Exception
        frames = traceback.extract_tb(problem.__traceback__)
        own = [frame for frame in frames if "tombola" in frame.filename] or frames
        return type(problem).__name__.lower(), f"{Path(own[-1].filename).name}:{own[-1].lineno} {problem}"[
            :300
        ]
    if time.process_time() - since > SECONDS:
        return "slow", f"{time.process_time() - since:.0f} s"
    if _most_memory() - memory > MEMORY:
        return "memory", f"{(_most_memory() - memory) >> 20} MiB"
    return None


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
