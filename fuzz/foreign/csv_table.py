"""Tables of comma-separated values."""

from __future__ import annotations

from pathlib import Path

from fuzz.target import Target
from tombola.data.catalog import load


def read(path: Path) -> None:
    """Read it without and with names of columns."""
    first = path.read_bytes()[:1]
    load(f"csv:{path}?label=c&split=s" if first == b"s" else f"csv:{path}")


def seeds() -> list[bytes]:
    """Labels that are numbers or words, with and without parts."""
    rows = [b"1,2.5,0", b"3,4,1", b"-1e3,0,0", b"0,1,1", b"5,5,0", b"6,7,1"]
    numbers = b"\n".join([b"a,b,label", *rows])
    words = b'a,class\n1,"cat"\n2,dog\n3,cat\n4,dog\n5,cat\n6,dog\n'
    parts = b"s,x,c\ntrain,1,0\ntrain,2,1\ntest,3,0\ntest,1,1\n"
    return [numbers, words, parts]


TARGET = Target(read, seeds, "fuzz.csv", longest=1024)
