"""A wheel, built and installed on its own: it has its presets, templates and parts, and a study runs from it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SMALL = ("levels=1", "replicates=2", "iterations=20", "donors=0", "arms=[]", "hypothesis=[]", "compare={}")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds the wheel, and sees what it depends on where the tests have it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run([*pip, *build, ROOT], check=True)
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    (wheel,) = folder.glob("tombola-*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    return python.parent


def asked(installed: Path, folder: Path, *words: str) -> str:
    """What a command prints, run in a folder without the source."""
    around = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [installed / words[0], *words[1:]], cwd=folder, env=around, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_the_wheel_that_is_run(installed: Path, tmp_path: Path) -> None:
    home = asked(installed, tmp_path, "python", "-c", "import tombola.api; print(tombola.api.__file__)")
    assert Path(home.strip()).is_relative_to(installed.parent)
    assert asked(installed, tmp_path, "tombola", "--version").startswith("tombola ")


def test_presets_and_parts_are_in_it(installed: Path, tmp_path: Path) -> None:
    assert "592 trainings" in asked(installed, tmp_path, "tombola", "run", "quick", "--dry-run")
    here = sorted(path.stem for path in (ROOT / "src" / "tombola" / "study" / "presets").glob("*.toml"))
    told = asked(installed, tmp_path, "tombola", "catalog", "presets", "--json")
    assert all(f'"{name}"' in told for name in here)


def test_it_trains_and_reports(installed: Path, tmp_path: Path) -> None:
    settings = [word for each in SMALL for word in ("--set", each)]
    asked(installed, tmp_path, "tombola", "run", "quick", *settings)
    page = Path(asked(installed, tmp_path, "tombola", "report", "quick").strip().splitlines()[-1])
    assert "</html>" in (tmp_path / page).read_text()
    asked(installed, tmp_path, "tombola", "report", "quick", "--format", "typst")


def test_it_holds_nothing_but_the_package(installed: Path) -> None:
    (site,) = installed.parent.glob("lib/python*/site-packages")
    assert {path.name.partition("-")[0] for path in site.iterdir()} == {"tombola", "dependencies.pth"}
