"""Workers that are processes of this machine (`--on local:N`)."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType

import torch

from tombola.errors import UserError
from tombola.runs.run_options import RunOptions
from tombola.runs.work.part import Share, handed_on, join
from tombola.study.spec import Study


def share_threads(options: RunOptions, count: int) -> RunOptions:
    """The options of a run that is begun by so many processes at once: they share the processor, unless told."""
    return replace(options, threads=max(1, torch.get_num_threads() // count))


def starter(study: Study, options: RunOptions) -> Callable[[Share], LocalHand]:
    """What starts a worker for a share. Raises UserError where what was handed in cannot be handed on."""
    plain = handed_on(options)
    try:
        pickle.dumps(plain)
    except (pickle.PicklingError, AttributeError, TypeError) as problem:
        raise UserError(
            f"the network or the data cannot be handed to other processes ({problem}); expected a function at the top "
            "level of a module, or a name"
        ) from None
    return partial(_start, study, plain)


def _start(study: Study, options: RunOptions, share: Share) -> LocalHand:
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads that do not run there
    here, there = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(study, _on_its_gpu(options, share), share, os.getpid(), there), daemon=True
    )
    process.start()
    there.close()
    return LocalHand(process, here)


def _on_its_gpu(options: RunOptions, share: Share) -> RunOptions:
    """Workers are spread over the GPUs that there are."""
    count = torch.cuda.device_count()
    spread = options.device in ("auto", "cuda") and count > 1
    return replace(options, device=f"cuda:{share.number % count}") if spread else options


@dataclass
class LocalHand:
    """A worker that is a process."""

    process: BaseProcess
    said: Connection

    def ended(self) -> bool:
        """Whether it is no more."""
        return not self.process.is_alive()

    def problem(self) -> BaseException | str | None:
        """What it raised, or how it was lost."""
        if self.said.poll():
            try:
                problem: BaseException = self.said.recv()
                return problem
            except EOFError:
                pass
        code = self.process.exitcode
        if code == 0:
            return None
        return (
            f"ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"
        )

    def stop(self) -> None:
        """Have it stop as by Ctrl-C."""
        if self.process.is_alive() and self.process.pid:
            os.kill(self.process.pid, signal.SIGINT)

    def wait(self) -> None:
        """Wait until it is no more."""
        self.process.join()


def _work(study: Study, options: RunOptions, share: Share, parent: int, said: Connection) -> None:
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_stop_with, args=(parent,), daemon=True).start()
    try:
        join(study, options, share)
    except KeyboardInterrupt:
        sys.exit(130)
    except (UserError, OSError, MemoryError) as problem:
        said.send(problem)
        sys.exit(1)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one shall not hit what cleans up after the first
    raise KeyboardInterrupt


def _stop_with(parent: int) -> None:
    """Stop this process when the one that started it is no more."""
    while os.getppid() == parent:
        time.sleep(0.5)
    _thread.interrupt_main()
