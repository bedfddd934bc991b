"""How numbers, times, sizes and lists are printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tombola.text import (
    as_url,
    counted,
    duration,
    listed,
    percent,
    size,
    ticket_first,
    visible,
    with_interval,
)


@pytest.mark.parametrize(
    ("density", "text"),
    [
        (1.0, "100%"),
        (0.2107, "21.1%"),
        (0.5, "50%"),
        (0.0358, "3.58%"),
        (0.05, "5%"),
        (0.00123, "0.12%"),
        (2e-5, "0.002%"),
    ],
)
def test_percent(density: float, text: str) -> None:
    assert percent(density) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.1 MB"), (340_000, "0.3 MB"), (12_400_000, "12 MB"), (1_540_000_000, "1.5 GB")],
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (160, "3 min"), (5399, "90 min"), (7500, "2 h 5 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lists() -> None:
    assert [listed("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert [counted(n, "cell") for n in (0, 1, 1200)] == ["0 cells", "1 cell", "1,200 cells"]
    assert sorted(["reinit", "ticket", "dense"], key=ticket_first) == ["ticket", "dense", "reinit"]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.9, 0.98, "94.0 ± 4.0"), (0.9, 1.0, "94.0 [90.0, 100.0]"), (None, None, "94.0")],
)
def test_a_mean_with_its_interval(low: float | None, high: float | None, text: str) -> None:
    assert with_interval({"mean": 0.94, "low": low, "high": high}, 100, 1) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, and two\nlines\tof it: é, 漢, 🎲", "plain, and two\nlines\tof it: é, 漢, 🎲"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("over\rwritten \x9b31m \x7f", "over\\rwritten \\x9b31m \\x7f"),
        ("turned \u202e round", "turned \\u202e round"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str):
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("path", "url"),
    [
        (Path("s3://bucket/runs"), "s3://bucket/runs"),
        ("gs://bucket", "gs://bucket"),
        (Path("file:///scratch/runs"), "file:///scratch/runs"),
        ("runs", None),
        ("/home/me/runs", None),
        ("C:/runs", None),
        ("./a:b/c", None),
        ("lenet-mnist-bc868d19", None),
    ],
)
def test_a_path_that_was_meant_to_be_a_url(path: Path | str, url: str | None) -> None:
    assert as_url(path) == url
