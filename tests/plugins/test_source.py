"""Where code lies and what its digest is over, found without running any of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tombola.errors import UserError
from tombola.plugins.load import load_function, load_imports
from tombola.plugins.registered import registered
from tombola.plugins.source import Code, located


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose every file would end the test, in the current folder: `outer.inner` imports two others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    files = {
        "outer/__init__.py": "",
        "outer/inner.py": "from . import beside\nimport outer.deep.er\nimport json\n",
        "outer/beside.py": "",
        "outer/deep/__init__.py": "",
        "outer/deep/er.py": "",
        "outer/apart.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "raise SystemExit\n")
    return tmp_path


def test_a_module_is_located_without_importing_its_package(package: Path) -> None:
    assert located("outer.inner") == package / "outer/inner.py"
    assert Code("outer.inner:Net.make").file == package / "outer/inner.py"
    assert located("outer.nowhere") is None
    assert located("sys") is None
    assert located("json.decoder").name == "decoder.py"  # type: ignore[union-attr]
    assert Code("nets/mine.py:Net").file == Path("nets/mine.py")
    assert "outer" not in sys.modules


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("outer/inner.py", True),
        ("outer/beside.py", True),
        ("outer/deep/er.py", True),
        ("outer/deep/__init__.py", True),
        ("outer/__init__.py", True),
        ("outer/apart.py", False),
    ],
)
def test_a_digest_is_over_what_is_imported_from_the_same_folder(
    file: str, changes: bool, package: Path
) -> None:
    for code in (Code("outer.inner:make"), Code("outer/inner.py")):
        before = code.digest()
        assert code.digest() == before
        (package / file).write_text((package / file).read_text() + "# changed\n")
        assert (code.digest() != before) == changes


def test_a_factory_is_found_in_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("net_of_a_file.py").write_text("from helper_of_a_file import WIDTH\ndef make(): return WIDTH\n")
    Path("helper_of_a_file.py").write_text("WIDTH = 7\n")
    try:
        made = load_function(Code("net_of_a_file.py:make"), "model 'x'", "factory")
        assert made() == 7
        assert load_function(Code("net_of_a_file.py:make"), "model 'x'", "factory") is made
        with pytest.raises(UserError, match="model 'x': 'net_of_a_file' has no 'mak'; did you mean 'make'"):
            load_function(Code("net_of_a_file.py:mak"), "model 'x'", "factory")
    finally:
        for name in ("net_of_a_file", "helper_of_a_file"):
            sys.modules.pop(name, None)


def test_the_current_folder_is_searched_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    Path("colorsys.py").write_text("raise SystemExit\n")
    assert load_function(Code("colorsys:rgb_to_hsv"), "x", "factory")(0, 0, 0) == (0.0, 0.0, 0)
    assert sys.path[-1] == str(tmp_path)
    with pytest.raises(UserError, match="import 'no_such_module': no module 'no_such_module' in the current"):
        load_imports(["no_such_module"])


def test_names_are_read_in_the_source(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "raise SystemExit\n"
        "@CRITERIA.register('a', probe=True)\ndef f(): ...\n"
        "criteria.CRITERIA.register('b')(f)\n"
        "@figure('c', 'Title', 'Section', 'Reading')\ndef g(): ...\n"
        "OTHERS.register('d')(f)\nCRITERIA.register(name)(f)\nCRITERIA.remove('e')\n"
    )
    assert registered([str(path)]) == {"criteria": ["a", "b"], "figures": ["c"]}
    path.write_text("def f(:")
    assert registered([str(path), str(tmp_path / "none.py"), "no_such_module"]) == {}
