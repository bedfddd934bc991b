"""What networks are measured by on test examples: its name, its unit, and whether more of it is better."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """A metric: columns of results end with its `name`, sentences have its `noun`.

    `of_targets`: of numbers to be predicted (float targets), else of classes. Where more is not better, it is an error.
    A value is shown times `scale`, with its `unit` and so many `digits`; a difference of two in `points`.
    """

    name: str
    noun: str
    more_is_better: bool
    of_targets: bool
    scale: float
    unit: str
    points: str
    digits: int

    @property
    def early_stop(self) -> str:
        """The column of the test set at early stop."""
        return f"early_stop_test_{self.name}"

    @property
    def final_test(self) -> str:
        """The column of the test set at the end."""
        return f"final_test_{self.name}"

    @property
    def final_train(self) -> str:
        """The column of the training set at the end."""
        return f"final_train_{self.name}"

    @property
    def columns(self) -> tuple[str, str, str]:
        """All three."""
        return self.early_stop, self.final_test, self.final_train

    @property
    def gap(self) -> str:
        """By how much it is better on the training than on the test set, at the end: a quantity of the results."""
        return "gap" if self is ACCURACY else f"gap_{self.name}"

    @property
    def head(self) -> str:
        """What stands for it in the head of a column, with its unit."""
        return self.unit or self.name

    def titled(self, title: str) -> str:
        """A title of ours, which is of accuracy, as one of this metric."""
        return title.replace(ACCURACY.noun.capitalize(), self.noun.capitalize())

    def shown(self, value: float) -> str:
        """A value with its unit."""
        return f"{self.scale * value:.{self.digits}f}{self.unit}"

    def difference(self, value: float) -> str:
        """A difference of two values."""
        return f"{self.scale * value:+z.{self.digits}f}"

    def table(self) -> dict[str, Any]:
        """As JSON: name, unit and direction."""
        return {"name": self.name, "unit": self.unit, "better": "more" if self.more_is_better else "less"}


ACCURACY = Metric("accuracy", "accuracy", True, False, 100, "%", " pp", 2)
MSE = Metric("mse", "mean squared error", False, True, 1, "", "", 4)
METRICS = {metric.name: metric for metric in (ACCURACY, MSE)}


def metric_in(columns: Collection[str]) -> Metric:
    """The metric that results with these columns are in."""
    return next((metric for metric in METRICS.values() if metric.early_stop in columns), ACCURACY)
