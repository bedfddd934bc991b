"""Compiling, which the first training on a machine waits for: said once, and not counted as training."""

from __future__ import annotations

import time
from typing import Any

from numba.core import event

from tombola.errors import notice


class Compiling(event.Listener):
    """Hears of every function of a module that is compiled now; one that is read from disk is none.

    The first time it gives notice, with `sentence`. `seconds` is the time that compiling took so far: functions that
    are compiled for the sake of another lie within its time, and a lock of the compiler's keeps threads apart.
    """

    def __init__(self, module: str, sentence: str) -> None:
        self.module, self.sentence = module, sentence
        self.seconds = 0.0
        self._said = False
        self._begun: list[float] = []

    def on_start(self, found: Any) -> None:
        """A function is about to be compiled."""
        if found.data["dispatcher"].py_func.__module__ != self.module:
            return
        self._begun.append(time.monotonic())
        if not self._said:
            self._said = True
            notice(self.sentence)

    def on_end(self, found: Any) -> None:
        """A function has been compiled."""
        if found.data["dispatcher"].py_func.__module__ != self.module or not self._begun:
            return
        begun = self._begun.pop()
        if not self._begun:
            self.seconds += time.monotonic() - begun


def listen(module: str, sentence: str) -> Compiling:
    """A listener that hears from now on."""
    listener = Compiling(module, sentence)
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    return listener
