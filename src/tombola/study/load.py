"""Reading studies: presets, TOML files, `key=value` settings, and errors in one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tombola.errors import UserError, closest, nearest
from tombola.files import parse_toml
from tombola.plugins.load import load_imports
from tombola.plugins.source import Code, is_file
from tombola.plugins.trusted import name_own, name_stored
from tombola.study.imported import remember
from tombola.study.routes import SOURCE_TABLES
from tombola.study.spec import Study
from tombola.study.sweep import Axes, Sweep, axes_of, cross
from tombola.study.title import SPOKEN_OF
from tombola.table import explain

STORED_AS = ("study.toml", "sweep.toml")
"""Files that make a folder that of a run or a sweep, where one of `BESIDE` is there too, or it has such a name."""
BESIDE = ("cells", "environment.json", "imports.json", "hypotheses.json")
RUN_NAME = re.compile("-[0-9a-f]{8}$")


def presets() -> dict[str, str]:
    """Name -> title of the studies that come with Tombola."""
    found = sorted(p.name for p in _preset_folder().iterdir() if p.name.endswith(".toml"))
    names = [name.removesuffix(".toml") for name in found]
    texts = {name: _preset_text(name) for name in names}
    return {
        name: str(parse_toml(text, name).get("title", "")) or parse_sweep(text, name).title
        for name, text in texts.items()
    }


def load_study(source: str, settings: Sequence[str] = ()) -> Study:
    """The study of a preset's name or a TOML file, with `key=value` settings put over it.

    A key is dotted (`recipe.lr`); its last part alone is enough where no other table has it. Values are TOML
    (`true`, `1e-3`, `[1, 2]`), or else text. Raises UserError with the nearest valid name, and for a sweep.
    """
    return _alone(load_sweep(source, settings), source)


def load_sweep(source: str, settings: Sequence[str] = ()) -> Sweep:
    """As `load_study`, for what may have a [sweep] table; without one it is a sweep of one study.

    A setting with a list, for a key that holds no list, sweeps over it: `pruning.rate=[0.2,0.3]`.
    """
    path = Path(source)
    if path.suffix == ".toml" or "/" in source:
        _refuse_run(path)
        if not path.is_file():
            raise UserError(f"{source}: no such study file")
        stored = is_stored(path)
        if stored:
            remember(path.parent)
        return parse_sweep(read_text(path), source, settings, stored=stored)
    names = presets()
    if source not in names:
        _refuse_run(path)
        raise UserError(f"unknown preset '{source}'{nearest(source, names)} (or give a file ending in .toml)")
    return parse_sweep(_preset_text(source), source, settings)


def _refuse_run(path: Path) -> None:
    """Raise UserError, saying how to go on with it, where this is the folder of a run."""
    if (path / "study.toml").is_file():
        raise UserError(
            f"{path}: is a run, and not a study file; `tombola run {path / 'study.toml'} --out {path.parent}` goes on "
            "with it"
        )


def parse_study(
    text: str,
    where: str,
    settings: Sequence[str] = (),
    tables: Sequence[str] | None = None,
    *,
    stored: bool = False,
) -> Study:
    """The study in a TOML text; `where` names it in errors, `tables` are those that settings may change. Code that it
    names is the user's own, and what it imports is loaded, unless it is `stored`."""
    return _alone(parse_sweep(text, where, settings, tables, stored=stored), where)


def parse_sweep(
    text: str,
    where: str,
    settings: Sequence[str] = (),
    tables: Sequence[str] | None = None,
    *,
    stored: bool = False,
) -> Sweep:
    """The sweep in a TOML text, see `load_sweep` and `parse_study`."""
    table = parse_toml(text, where)
    listed = axes_of(table.pop("sweep"), where) if "sweep" in table else {}
    axes = {_dotted(key, f"{where}: [sweep] {key}"): values for key, values in listed.items()}
    title = table.get("title")
    changed = [_set(table, axes, setting, tables) for setting in settings]
    if any(changed) and title is not None and "title" not in map(_key_of, settings):
        del table["title"]  # it was written of something else
    if not stored and "imports" in table:
        table["imports"] = _imported(table["imports"], where)

    def read(member: dict[str, Any]) -> Study:
        _require_finite(member, where)
        _read_sources(member, where)
        try:
            study = Study.model_validate(member)
        except ValidationError as problem:
            raise UserError(f"{where}: {explain(problem.errors()[0], Study)}") from None
        if stored:
            name_stored(study.code, where)
        else:
            name_own(study.code)
        return study

    return cross(table, axes, where, read)


def _read_sources(table: dict[str, Any], where: str) -> None:
    """Put what a preset or a study file holds in the place of its name in the tables of [sources], changes over it."""
    given = table.get("sources")
    sources: dict[str, Any] = given if isinstance(given, dict) else {}
    for name, source in sources.items():
        if not isinstance(source, dict) or "study" not in source:
            continue
        changes = dict(source)
        try:
            read = load_study(str(changes.pop("study")))
        except UserError as problem:
            raise UserError(f"{where}: [sources.{name}] study: {problem}") from None
        whole = read.model_dump(mode="json", include={*SOURCE_TABLES, "seed"}, exclude_none=True)
        sources[name] = {
            **whole,
            **changes,
            **{key: {**whole[key], **changes.get(key, {})} for key in SOURCE_TABLES},
        }


def is_stored(path: Path) -> bool:
    """Whether a study file lies in the folder of a run or a sweep, and not where its author wrote it."""
    return any(map(_is_of_a_run, path.resolve().parents))


def _is_of_a_run(folder: Path) -> bool:
    """A folder with a study that was run, or that has the name of one; a study.toml of its author's lies elsewhere."""
    if not any((folder / name).is_file() for name in STORED_AS):
        return False
    return RUN_NAME.search(folder.name) is not None or any((folder / name).exists() for name in BESIDE)


def _imported(names: Any, where: str) -> list[str]:
    """What a study imports, which is loaded: a file that is not in the current folder is looked for beside the study.
    Raises UserError."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where}: imports is {names!r}, expected a list of modules and files of Python")
    beside = [str(Path(where).parent / name) for name in names]
    places = [
        other if is_file(name) and not Path(name).is_file() and Path(other).is_file() else name
        for name, other in zip(names, beside, strict=True)
    ]
    name_own(map(Code, places))
    load_imports(places)
    return places


def _alone(sweep: Sweep, where: str) -> Study:
    if sweep.keys:
        raise UserError(
            f"{where}: sweeps over {', '.join(sweep.keys)} and is {len(sweep.members)} studies, expected one"
        )
    return sweep.first


def read_text(path: Path) -> str:
    """The text of a file. Raises UserError when it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"{path}: cannot be read ({problem})") from None


def _preset_folder() -> Any:
    return resources.files("tombola.study") / "presets"


def _preset_text(name: str) -> str:
    text: str = (_preset_folder() / f"{name}.toml").read_text()
    return text


def _require_finite(value: Any, where: str, place: str = "") -> None:
    """Raise UserError for TOML's nan and inf, which no option has a use for."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        _require_finite(part, where, f"{place}.{key}".removeprefix("."))
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}: {place} is {value}, expected a finite number")


def _key_of(setting: str) -> str:
    return setting.partition("=")[0].strip()


def _set(table: dict[str, Any], axes: Axes, setting: str, allowed: Sequence[str] | None) -> bool:
    """Put one `key=value` into the nested table; a list for a key that holds none is an axis. Returns whether it
    changes what a title may speak of."""
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {setting}: expected key=value, e.g. --set recipe.lr=1e-3")
    dotted, value = _dotted(key.strip(), f"--set {key.strip()}"), value_of(text.strip())
    *tables, leaf = dotted.split(".")
    head = (*tables, leaf)[0]
    if allowed is not None and head not in allowed:
        raise UserError(f"--set {setting}: '{head}' has no meaning here{nearest(head, allowed)}")
    swept = isinstance(value, list) and allowed is None and dotted in _keys() and not _holds_lists(dotted)
    if swept and not value:
        raise UserError(f"--set {setting}: an empty list, expected the values to take")
    if not swept:
        axes.pop(dotted, None)  # one value in the place of those that the [sweep] table lists
    place = table
    for name in tables:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise UserError(f"--set {setting}: '{name}' is not a table")
    before = place.get(leaf)
    if swept:
        place.pop(leaf, None)
        axes[dotted] = value
    else:
        place[leaf] = value
    return head in SPOKEN_OF and before != value


def value_of(text: str) -> Any:
    """The value that is written after a `KEY=`: as TOML, or else the words as they stand."""
    try:
        return parse_toml(f"value = {text}", "")["value"]
    except UserError:
        return text


def _dotted(key: str, said: str) -> str:
    """The full dotted key for a key that may be a last part alone; `said` begins the sentence where there is none."""
    known = _keys()
    if "." in key or key in Study.model_fields:
        head = key.split(".")[0]
        if head not in Study.model_fields:
            raise UserError(f"{said}: unknown table '{head}'{nearest(head, Study.model_fields)}")
        return key
    full = [name for name in known if name.rpartition(".")[2] == key]
    if len(full) == 1:
        return full[0]
    if full:
        raise UserError(f"{said}: say which one: {', '.join(full)}")
    leaves = {name.rpartition(".")[2] for name in known}
    raise UserError(f"{said}: unknown key{nearest(key, leaves)}")


def key_like(word: str) -> str | None:
    """The key, as short as `--set` takes it, that a word is or nearly is; None where none is near."""
    known = _keys()
    key = closest(word, [name.rpartition(".")[2] for name in known], 0.8)
    full = [name for name in known if name.rpartition(".")[2] == key]
    return key if len(full) == 1 or key in Study.model_fields else next(iter(full), None)


def _holds_lists(key: str) -> bool:
    """Whether a settable key takes a list as its value."""
    model: Any = Study
    for name in key.split("."):
        kind = model.model_fields[name].annotation
        model = kind
    kinds = [kind, *get_args(kind)]
    return any(get_origin(each) in (list, tuple) for each in kinds)


def _keys() -> list[str]:
    """Every settable key, dotted."""
    keys = []
    for name, info in Study.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += [f"{name}.{field}" for field in inner.model_fields]
        else:
            keys.append(name)
    return keys
