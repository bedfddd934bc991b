"""The page of the Python interface: every name of `tombola`, by its own docstring (mkdocstrings fills it in)."""

from __future__ import annotations

import re
from pathlib import Path

NAMES = Path(__file__).parents[1] / "src" / "tombola" / "__init__.pyi"
START = """# Python

Everything below is a name of `tombola`: `tombola.run(...)`, `tombola.Mask`. A run may be given as a `Run` or by
its path. Importing `tombola` loads no torch; a name is resolved when it is first used.
"""


def pages() -> dict[str, str]:
    """Path -> Markdown."""
    functions = [f"::: {home}.{name}" for home, name in names() if name[0].islower()]
    types = [f"::: {home}.{name}" for home, name in names() if name[0].isupper()]
    text = [START, "## Functions", *functions, "## Types", *types]
    return {"reference/python.md": "\n\n".join(text) + "\n"}


def names() -> list[tuple[str, str]]:
    """(module, name) of the public names, in their order."""
    return re.findall(r"^from ([\w.]+) import (\w+) as \2$", NAMES.read_text(), re.MULTILINE)
