"""Loading code of one's own: modules and files, by name, and what installed packages announce."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tombola.errors import UserError, brief, nearest
from tombola.plugins.source import Code, installed, is_file
from tombola.plugins.trusted import require_trusted

LOADED: dict[str, str] = {}
"""Files that were run in this process -> the digest of their sources then."""


def load_imports(names: Sequence[str]) -> None:
    """Run the modules and files that register parts, each once. Raises UserError for one that is not there, fails, or
    is named by something stored and not trusted."""
    for name in names:
        require_trusted(Code(name))
        _load(name, f"import '{name}'")


def load_function(code: Code, said: str, form: str) -> Any:
    """What `package.module:name` or `FILE.py:name` stands for.

    `said` begins the sentence of the UserError for what cannot be imported, is not there, or is named by something
    stored and not trusted; `form` is what is expected behind the colon.
    """
    place, _, attribute = code.name.partition(":")
    if not place or not attribute:
        raise UserError(f"{said}: expected the form 'package.module:{form}'")
    require_trusted(code)
    found: Any = _load(place, said)
    for part in attribute.split("."):
        if not hasattr(found, part):
            within = found.__name__ if isinstance(found, ModuleType | type) else type(found).__name__
            public = [each for each in dir(found) if not each.startswith("_")]
            raise UserError(f"{said}: '{within}' has no '{part}'{nearest(part, public)}")
        found = getattr(found, part)
    return found


def _load(place: str, said: str) -> ModuleType:
    """A module, by its name or its file; the current folder is searched last. Raises UserError where this process has
    run it with other sources, or a module of its name from another folder: it would go on with those."""
    running = {id(module) for module in list(sys.modules.values())}
    found = _load_file(place, said) if is_file(place) else _load_module(place, said)
    if (file := getattr(found, "__file__", None)) and not installed(Path(file)):
        now = Code(file if file.endswith(".py") else place).digest()
        if id(found) not in running:
            LOADED[file] = now
        if LOADED.setdefault(file, now) != now:
            raise UserError(
                f"{said}: {file} was changed since this process ran it; begin a process of its own (a kernel)"
            )
        here = Path.cwd() / f"{place.replace('.', os.sep)}.py"
        if not is_file(place) and here.is_file() and not here.samefile(file):
            raise UserError(
                f"{said}: this process has run module '{place}' of {Path(file).parent}, and {here} is another one; "
                "begin a process of its own, or name the file"
            )
    return found


def _load_module(place: str, said: str) -> ModuleType:
    _search(Path.cwd())
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    try:
        return importlib.import_module(place)
    except UserError:
        raise
    except (Exception, SystemExit) as problem:
        missing = problem.name if isinstance(problem, ModuleNotFoundError) else None
        if missing and (place == missing or place.startswith(missing + ".")):
            raise UserError(
                f"{said}: no module '{missing}' in the current folder or among the installed packages"
            ) from problem
        raise UserError(f"{said}: importing '{place}' failed ({brief(problem)})") from problem


def _load_file(name: str, said: str) -> ModuleType:
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{said}: no such file '{name}'")
    for there in list(sys.modules.values()):
        if _is_of(there, path):
            return there
    called = path.stem if path.stem not in sys.modules else f"{path.stem}_{Code(str(path)).digest()}"
    spec = importlib.util.spec_from_file_location(called, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{said}: expected a file of Python, ending in .py")
    module = importlib.util.module_from_spec(spec)
    _search(path.parent)
    sys.modules[called] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as problem:
        del sys.modules[called]
        if isinstance(problem, UserError):
            raise
        raise UserError(f"{said}: running it failed ({brief(problem)})") from problem
    return module


def _is_of(module: ModuleType | None, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and os.path.basename(file) == path.name and Path(file).resolve() == path


def _search(folder: Path) -> None:
    """Let modules be found in a folder too, last: what is installed goes before what happens to lie there."""
    if str(folder) not in sys.path and not ("" in sys.path and folder == Path.cwd()):
        sys.path.append(str(folder))
