"""How long what is left of a run will take, from how fast it went of late."""

from __future__ import annotations

from collections import deque

WINDOW = 60.0
"""Seconds that a pace is measured over: sparse levels are faster than dense ones, and machines change their mind."""


class Pace:
    """The pace of the last minute. The first piece of work only starts the clock, since an engine may be compiled and
    a device warmed up within it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, now: float, done: int) -> None:
        """At `now`, in seconds, `done` units of work are done, more than the last time."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW:
            self._seen.popleft()

    def left(self, total: int) -> float | None:
        """Seconds until `total` units are done; None before anything was measured."""
        if len(self._seen) < 2:
            return None
        (begun, before), (now, done) = self._seen[0], self._seen[-1]
        return (total - done) * (now - begun) / (done - before)
