"""Compiling, which the first training on a machine waits for: a notice says so, and it is not counted as training."""

from __future__ import annotations

import time
from typing import Any

from numba.core import event

from tombola.errors import notice


class Compiling(event.Listener):
    """Is called for every function of a module or package that is compiled, but not for those that are read from disk.

    The first time it gives notice, with `sentence`. `seconds` is the time that compiling took so far: functions that
    are compiled for the sake of another lie within its time, and a lock of the compiler's keeps threads apart.
    """

    def __init__(self, module: str, sentence: str) -> None:
        self.module, self.sentence = module, sentence
        self.seconds = 0.0
        self._noticed = False
        self._begun: list[float] = []

    def _concerns(self, compiled: Any) -> bool:
        module: str = compiled.data["dispatcher"].py_func.__module__
        return module == self.module or module.startswith(f"{self.module}.")

    def on_start(self, compiled: Any) -> None:
        """A function is about to be compiled."""
        if not self._concerns(compiled):
            return
        self._begun.append(time.monotonic())
        if not self._noticed:
            self._noticed = True
            notice(self.sentence)

    def on_end(self, compiled: Any) -> None:
        """A function has been compiled."""
        if not self._concerns(compiled) or not self._begun:
            return
        begun = self._begun.pop()
        if not self._begun:
            self.seconds += time.monotonic() - begun


def listen(module: str, sentence: str) -> Compiling:
    """A listener for what is compiled from now on."""
    listener = Compiling(module, sentence)
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    return listener
