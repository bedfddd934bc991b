"""Trackers that people already use, told of a run as its cells land. Extras: each is imported when asked for."""

from tombola.study.trackers import mlflow, tensorboard, wandb  # noqa: F401  (they register themselves)
from tombola.study.trackers.tracker import TRACKERS, Landed, Tracker, open_trackers
from tombola.study.trackers.tracking import Tracking

__all__ = ["TRACKERS", "Landed", "Tracker", "Tracking", "open_trackers"]
