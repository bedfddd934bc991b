"""What is measured while a stack trains, kept on the device until the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tombola.data.resident import Resident
from tombola.masks.mask import Mask
from tombola.metrics import ACCURACY, METRICS
from tombola.models.state import State
from tombola.training.batches import Group
from tombola.training.engines.base import Engine
from tombola.training.recipe import Recipe
from tombola.training.scoring import Examples, Score
from tombola.training.stack import Stack
from tombola.training.trained import Trained

SPLITS = ("train", "validation", "test")


class Record:
    """What is measured along the way: scores on the evaluation grid and the best weights so far, all on the
    device. `finish` is where they come to the host. The early stop is looked for from iteration `selects_from` on."""

    def __init__(
        self,
        net: Engine,
        stack: Stack,
        data: Resident,
        groups: Sequence[Group],
        recipe: Recipe,
        selects_from: int = 0,
    ) -> None:
        self.net, self.stack, self.recipe, self.selects_from = net, stack, recipe, selects_from
        self.metric = METRICS[recipe.metric]
        self.points = recipe.evaluations(stack.iteration)
        self.curve = set(recipe.curve_points(stack.iteration))
        shape = (len(self.points), stack.size)
        # The tensors of a record are all it knows, so that a checkpoint can hold it.
        nan = torch.full(shape, torch.nan, dtype=torch.float64, device=stack.device)
        self.tensors = {f"{s}.{what}": nan.clone() for s in SPLITS for what in ("loss", self.metric.name)}
        self.tensors["best.loss"] = torch.full_like(nan[0], torch.inf)
        self.tensors["best.point"] = torch.full((stack.size,), -1, device=stack.device)
        self.tensors |= {f"best:{name}": tensor.clone() for name, tensor in stack.tensors().items()}
        self._place = {iteration: place for place, iteration in enumerate(self.points)}
        self._examples = {"test": Examples(data, "test")}
        for part in ("train", "validation"):
            rows = torch.from_numpy(np.stack([getattr(g.split, part) for g in groups])).to(stack.device)
            self._examples[part] = Examples(data, "train", rows)

    def evaluates(self, iteration: int) -> bool:
        """Whether the iteration is on the grid."""
        return iteration in self._place

    def evaluate(self, iteration: int) -> None:
        """Measure validation, keep the weights of the networks that are better than ever, and at the points
        of the learning curve measure training and test as well."""
        place = self._place[iteration]
        score = self._score("validation")
        self._write("validation", place, score)
        if iteration >= self.selects_from:
            best = self.tensors["best.loss"]
            better = score.loss < best  # strict: a tie keeps the earlier; NaN is never less
            torch.where(better, score.loss, best, out=best)
            self.tensors["best.point"].masked_fill_(better, place)
            self.net.keep(better, {name: self.tensors[f"best:{name}"] for name in self.stack.tensors()})
        if iteration in self.curve:
            self._write("train", place, self._score("train"))
            self._write("test", place, self._score("test"))

    def end_at(self, iteration: int) -> None:
        """Measure for the last time: at the end of the grid, or before it where training ended early."""
        self.points = [*(point for point in self.points if point < iteration), iteration]
        self._place[iteration] = len(self.points) - 1
        self.curve.add(iteration)
        self.evaluate(iteration)

    def take_snapshot(self) -> None:
        """Keep the weights as they are now: what later levels rewind to."""
        self.tensors |= {f"snapshot:{name}": t.clone() for name, t in self.stack.tensors().items()}

    def finish(self, masks: Sequence[Mask] | None = None) -> list[Trained]:
        """Measure the early-stop networks on the test set and bring everything to the host: the one sync. `masks`
        are those that a search has found."""
        ends = [self.stack.state(r) for r in range(self.stack.size)]
        bests = self._states("best:")
        snapshots = self._states("snapshot:")
        early = self._early().tolist()
        host = {name: t.tolist() for name, t in self.tensors.items() if ":" not in name}
        last = len(self.points) - 1
        trained = []
        for r, end in enumerate(ends):
            point = host["best.point"][r]
            # Parameters alone: a buffer may hold -inf, as causal masks do.
            weights = {name: end[name] for name in self.stack.params}
            last_ones = (host[f"{part}.{self.metric.name}"][last][r] for part in ("test", "train"))
            numbers = dict(
                zip(self.metric.columns, (early[r] if point >= 0 else None, *last_ones), strict=True)
            )
            classes = self.metric is ACCURACY
            finite = np.isfinite(host["validation.loss"][last][r]) and _all_finite(weights)
            trained.append(
                Trained(
                    end=end,
                    best=bests[r],
                    snapshot=snapshots[r] if snapshots else None,
                    history=self._history(host, r),
                    early_stop_iteration=self.points[point] if point >= 0 else None,
                    early_stop_val_loss=host["best.loss"][r] if point >= 0 else None,
                    **(numbers if classes else dict.fromkeys(ACCURACY.columns)),
                    measured=None if classes else numbers,
                    iterations=self.points[-1] - self.stack.iteration,
                    diverged=not finite,
                    mask=masks[r] if masks is not None else None,
                )
            )
        return trained

    def _early(self) -> Tensor:
        """The metric of the early-stop networks on the test set: that of the learning curve, if it was measured at all
        of their points, as it is where all stop at the end."""
        point = self.tensors["best.point"]
        along = self.tensors[f"test.{self.metric.name}"].gather(0, point.clamp(min=0)[None])[0]
        if not along[point >= 0].isnan().any():
            return along
        self.stack.load({name: self.tensors[f"best:{name}"] for name in self.stack.tensors()})
        return self._score("test").metric

    def _states(self, prefix: str) -> list[State]:
        named = {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}
        if not named:
            return []
        return [{n: t[r].cpu().clone() for n, t in named.items()} for r in range(self.stack.size)]

    def _history(self, host: dict[str, Any], r: int) -> dict[str, list[Any]]:
        rows = [
            (iteration, part, host[f"{part}.loss"][place][r], self._accuracy(host, part, place, r))
            for place, iteration in enumerate(self.points)
            for part in SPLITS
            if part == "validation" or iteration in self.curve
        ]
        return {
            name: [row[i] for row in rows]
            for i, name in enumerate(("iteration", "split", "loss", "accuracy"))
        }

    def _accuracy(self, host: dict[str, Any], part: str, place: int, r: int) -> float | None:
        """None where another metric is taken, which then is the loss."""
        return host[f"{part}.accuracy"][place][r] if self.metric is ACCURACY else None

    def _write(self, part: str, place: int, score: Score) -> None:
        self.tensors[f"{part}.loss"][place] = score.loss
        self.tensors[f"{part}.{self.metric.name}"][place] = score.metric

    def _score(self, part: str) -> Score:
        return self.net.score(self._examples[part])


def _all_finite(state: State) -> bool:
    return all(bool(t.isfinite().all()) for t in state.values() if t.is_floating_point())
