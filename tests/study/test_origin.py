"""The preset that a study comes from, and what it sets beside it."""

from __future__ import annotations

from tombola.study.load import load_study
from tombola.study.origin import Origin, origin_of


def test_a_study_is_the_preset_from_which_it_differs_least() -> None:
    assert origin_of(load_study("findings-digits")) == Origin("findings-digits", ())
    changed = load_study("findings-mnist", ["data.normalisation=unit", "name=my-own", "recipe.lr=0.001"])
    assert origin_of(changed) == Origin(
        "findings-mnist", ('data.normalisation = "unit"', 'name = "my-own"', "recipe.lr = 0.001")
    )


def test_what_differs_in_many_settings_or_in_claims_comes_from_none() -> None:
    study = load_study("findings-digits")
    assert origin_of(study.model_copy(update={"hypothesis": study.hypothesis[:1]})) is None
    assert origin_of(study.model_copy(update={"replicates": study.replicates + 1})) is not None
