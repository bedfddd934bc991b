"""Models that tell from features whether a weight will live in the ticket: one a tensor, fitted on other replicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from tombola.masks.mask import Mask
from tombola.masks.structure import lowest
from tombola.transfer.features import Floats, Table

Kind = Literal["logistic", "boosting"]
EXAMPLES = 20_000
"""Weights of each network and tensor that a model is fitted on, drawn where there are more."""


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _boosting() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_leaf_nodes=15, early_stopping=False, random_state=0)


MODELS: Mapping[Kind, Callable[[], Any]] = {"logistic": _logistic, "boosting": _boosting}
"""Logistic regression on standardised features, and boosted trees (histogram gradient boosting), scikit-learn's."""


@dataclass(frozen=True)
class Predictor:
    """Fitted models by the tensor they are for; a number, that share, where all weights that were seen had one fate."""

    models: Mapping[str, Any]

    def chances(self, table: Table) -> dict[str, Floats]:
        """The chance that each weight lives in the ticket: tensor name -> [weights], 0..1."""
        return {name: self.chances_of(name, table[name].values) for name in self.models}

    def chances_of(self, name: str, values: Floats) -> Floats:
        """The same for one tensor, from its features [weights, features]."""
        model = self.models[name]
        if isinstance(model, float):
            return np.full(len(values), model)
        found: Floats = model.predict_proba(values)[:, 1]
        return found


def fit(kind: Kind, known: Sequence[tuple[Table, Mask]], rng: np.random.Generator) -> Predictor:
    """A predictor from networks whose tickets are known, each with its features; `rng` draws which weights are looked
    at in tensors with more than `EXAMPLES`."""
    models: dict[str, Any] = {}
    for name in known[0][1]:
        values, labels = [], []
        for table, mask in known:
            size = mask.size(name)
            rows = np.arange(size) if size <= EXAMPLES else np.sort(rng.choice(size, EXAMPLES, replace=False))
            values.append(table[name].values[rows])
            labels.append(living(mask, name)[rows])
        lives = np.concatenate(labels)
        if lives.min() == lives.max():
            models[name] = float(lives[0])
        else:
            models[name] = MODELS[kind]().fit(np.concatenate(values), lives)
    return Predictor(models)


def predicted_mask(
    chances: Mapping[str, Floats], like: Mask, counts: Mapping[str, int], rng: np.random.Generator
) -> Mask:
    """The likeliest weights, as many in each tensor as `counts` say; ties are drawn. `like` has the shapes."""
    return Mask(
        {
            name: torch.from_numpy(lowest(-chances[name], counts[name], rng)).view(bits.shape)
            for name, bits in like.items()
        }
    )


def living(mask: Mask, name: str) -> Any:
    """Whether each weight of a tensor lives, [weights]."""
    return mask[name].reshape(-1).numpy()
