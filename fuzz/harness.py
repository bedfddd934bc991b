"""One target in this process, under libFuzzer: `python -m fuzz.harness TARGET FOLDER SECONDS`.

What is found goes to the folder, one input for each place in the code, and the work goes on.
"""

from __future__ import annotations

import hashlib
import logging
import resource
import sys
import tempfile
from pathlib import Path

import atheris

from fuzz.mutate import of_trees
from fuzz.target import FAULTS, found
from fuzz.targets import named

PURE = ("tombola", "pickletools", "tomllib", "zipfile", "gzip", "numpy.lib")
COMPILED = ("tombola.training.engines",)
"""What numba makes of Python must be that as it was written."""
ROOM = 6 << 30
"""Bytes that the process may take beyond what it has: more is a MemoryError."""
HANGS = 120
"""Seconds of a clock, on a busy machine, after which an input is taken to hang."""


def main(name: str, folder: Path, seconds: int) -> None:
    """Does not return: libFuzzer ends the process."""
    with atheris.instrument_imports(include=list(PURE), exclude=list(COMPILED)):
        target = named(name)
    logging.disable()
    place = Path(tempfile.mkdtemp(dir=_memory()))
    path, known = place / target.file, set[tuple[str, str]]()

    def one(data: bytes) -> None:
        path.write_bytes(data)
        if (what := found(target, path)) and (key := (what[0], what[1].partition(" ")[0])) not in known:
            known.add(key)
            print(f"FOUND {name} {what}", file=sys.stderr, flush=True)
            digest = hashlib.sha256(data).hexdigest()[:4]
            (folder / f"{name}-{what[0]}-{digest}").write_bytes(data)

    corpus = place / "corpus"
    corpus.mkdir()
    seeds = [*target.seeds(), *(file.read_bytes() for file in sorted(FAULTS.glob(f"{name}-*")))]
    for number, seed in enumerate(seeds):
        (corpus / f"{number}").write_bytes(seed)
    resource.setrlimit(resource.RLIMIT_AS, (_size() + ROOM, resource.RLIM_INFINITY))
    options = [f"-max_total_time={seconds}", f"-max_len={target.longest}", f"-timeout={HANGS}"]
    options += ["-rss_limit_mb=4096", "-report_slow_units=100000", "-len_control=0"]
    options += [f"-artifact_prefix={folder}/{name}-"]
    mutator = {"custom_mutator": of_trees(target.tree)} if target.tree else {}
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, **mutator)
    atheris.Fuzz()


def _size() -> int:
    """Bytes of the address space of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), int(sys.argv[3]))
