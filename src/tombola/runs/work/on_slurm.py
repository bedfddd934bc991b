"""Workers that are jobs of a Slurm cluster (`--on slurm:N`), whose machines share the run's folder; by submitit."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from tombola.errors import UserError
from tombola.runs.folder import Run
from tombola.runs.presence import WORK
from tombola.runs.run_options import RunOptions
from tombola.runs.work.part import Share, handed_on, join
from tombola.study.spec import Study

NAMES = {"cpus": "cpus_per_task", "gpus": "gpus_per_node", "memory": "mem_gb", "minutes": "timeout_min"}
"""What submitit calls what each worker gets; any other name is one of Slurm's own (`partition`)."""


def starter(
    submitit: Any, run: Run, study: Study, options: RunOptions, each: Mapping[str, str]
) -> Callable[[Share], SlurmHand]:
    """What starts a worker for a share, with what `each` gets. Raises UserError where there is no Slurm."""
    given = dict(each)
    cluster = given.pop("cluster", "slurm")  # "local" is submitit's own, for trying out
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise UserError(
            "--on slurm: there is no Slurm on this machine (no sbatch); expected one of its login nodes"
        )
    executor = submitit.AutoExecutor(folder=run.path / WORK / "jobs", cluster=cluster)
    named = {NAMES.get(name, f"slurm_{name}"): _value(text) for name, text in given.items()}
    try:
        executor.update_parameters(name=study.name, **named)
    except (TypeError, ValueError, NameError) as problem:
        raise UserError(f"--each: Slurm does not take this ({problem})") from None
    plain = handed_on(options)
    return lambda share: SlurmHand(executor.submit(_work, study, plain, share), submitit.core.utils)


def _value(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


@dataclass
class SlurmHand:
    """A worker that is a job."""

    job: Any
    errors: Any

    def ended(self) -> bool:
        """Whether it is no more."""
        return bool(self.job.done())

    def problem(self) -> BaseException | str | None:
        """What it raised, or how it was lost."""
        problem: BaseException | None
        try:
            problem = self.job.result()
        except self.errors.FailedJobError as failure:  # of ours, not a mistake of the user's
            problem = failure
        except self.errors.UncompletedJobError:
            return f"job {self.job.job_id}: {self.job.state}"
        return problem

    def stop(self) -> None:
        """Have it stop as by Ctrl-C."""
        self.job.cancel(check=False)

    def wait(self) -> None:
        """Wait until it is no more."""
        self.job.wait()


def _work(study: Study, options: RunOptions, share: Share) -> BaseException | None:
    """Take part; returns what the user has to know of instead of raising it, which submitit would make text of."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)  # Slurm's way to cancel, and submitit's
    try:
        join(study, options, share)
    except (UserError, OSError, MemoryError) as problem:
        return problem
    return None


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
