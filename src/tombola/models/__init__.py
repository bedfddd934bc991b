"""Networks: named ones, factories from anywhere, and the state of a module."""

from tombola.models import resnet, vgg, vit, wrn  # noqa: F401  (they register their networks)
from tombola.models.architecture import Architecture, ModelSpec, architecture
from tombola.models.named import MODELS
from tombola.models.scope import Scope
from tombola.models.state import MATRIX, State, load_state, prunable, roles_of, state_dict_names, state_of
from tombola.models.trial import EXAMPLES
from tombola.models.units import UnitGroup, permute, unit_axes

__all__ = [
    "EXAMPLES",
    "MATRIX",
    "MODELS",
    "Architecture",
    "ModelSpec",
    "Scope",
    "State",
    "UnitGroup",
    "architecture",
    "load_state",
    "permute",
    "prunable",
    "roles_of",
    "state_dict_names",
    "state_of",
    "unit_axes",
]
