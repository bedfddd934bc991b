"""Networks: named ones, factories from anywhere, and the state of a module."""

from tombola.models.architecture import Architecture, ModelSpec, architecture
from tombola.models.named import MODELS
from tombola.models.state import State, load_state, prunable, roles_of, state_of

__all__ = [
    "MODELS",
    "Architecture",
    "ModelSpec",
    "State",
    "architecture",
    "load_state",
    "prunable",
    "roles_of",
    "state_of",
]
