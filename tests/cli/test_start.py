"""What the command line may import before it has something to compute: its own modules, and nothing that is slow."""

from __future__ import annotations

import ast
import json
import os
import pkgutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

import tombola as front
from support.program import Tombola

SLOW = {
    *(
        "torch",
        "numpy",
        "polars",
        "pydantic",
        "scipy",
        "sklearn",
        "altair",
        "numba",
        "llvmlite",
        "safetensors",
    ),
    *("jinja2", "typst", "vl_convert", "filelock", "rich"),
}
COMMANDS = (
    "run", "runs", "status", "results", "report", "diff", "watch", "verdicts", "figure", "train", "evaluate", "compare",
    "connect", "catalog", "doctor", "bench", "ticket", "ticket show", "ticket export", "ticket apply",
    "ticket measure", "data",
    "data list", "data fetch", "transfer", "predict", "seeding", "verify",
)  # fmt: skip
OLD = "holds cells without digests, of an older Tombola; damage to them does not show"
CALL = """
import json, sys
def called(*words):
    from tombola.cli import main
    sys.argv = ["tombola", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
"""
LIST = "\nprint(json.dumps(sorted(sys.modules)))"


def python(code: str, **environment: str) -> list[str]:
    """The lines that a fresh Python prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    # The finished runs below are of old: a note says so, which Python shows with the line that says it.
    said = [line for line in done.stderr.splitlines() if not line.endswith(OLD) and not line.startswith("  ")]
    assert not said
    return done.stdout.splitlines()


def loaded(code: str, **environment: str) -> set[str]:
    found: list[str] = json.loads(python(CALL + code + LIST, **environment)[-1])
    return set(found)


def assert_light(modules: set[str], typed: bool = True) -> None:
    """`typed`: something was typed behind a command, which typer reads with pydantic."""
    assert modules & SLOW == ({"pydantic"} if typed else set())
    own = {name for name in modules if name.partition(".")[0] == "tombola"}
    assert {name for name in own if not name.startswith("tombola.cli")} == {
        "tombola",
        "tombola.errors",
        "tombola.text",
    }


@pytest.mark.parametrize("words", [["--help"], ["--version"], []], ids=" ".join)
def test_the_program_itself_is_light(words: list[str]) -> None:
    code = f"called(*{words})" if words else "from tombola.cli import app"
    assert_light(loaded(code), typed=False)


def test_the_help_of_every_command_is_light() -> None:
    assert_light(loaded("".join(f"\ncalled(*{command.split()}, '--help')" for command in COMMANDS)))


def test_there_is_no_other_command(tombola: Tombola) -> None:
    assert set(front_commands(tombola)) == {command for command in COMMANDS if " " not in command}


def front_commands(tombola: Tombola) -> list[str]:
    table = tombola("--help").out.partition("Commands:")[2]
    return [line.split()[0] for line in table.splitlines() if line.strip()]


@pytest.mark.parametrize("words", ["tombola ", "tombola run qu", "tombola compare tiny --measures jaccard,"])
def test_a_press_of_the_tab_key_is_light(words: str) -> None:
    at = str(len(words.split()) - (not words.endswith(" ")))
    environment = {"_TOMBOLA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": at}
    assert_light(loaded("called()", **environment))


HEAVY = {"torch", "numba", "sklearn", "altair", "scipy.stats"}
"""What reading a finished run does without."""
READING = ("open_run", "results", "status", "verdicts")
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, a sweep and its runs."""
    out = tmp_path_factory.mktemp("finished")
    for name in ("quick", "sweep"):
        with tarfile.open(GOLDEN / f"{name}.tar.xz") as archive:
            archive.extractall(out, filter="data")
    return out / "runs"


@pytest.mark.parametrize(
    "words",
    [
        ["runs"],
        ["status", "quick"],
        ["status", "sweep-b74a5bee"],
        ["results", "quick", "--csv"],
        ["results", "sweep-b74a5bee", "--csv"],
        ["verdicts", "quick"],
    ],
    ids=" ".join,
)
def test_a_finished_run_is_read_without_torch(words: list[str], finished: Path) -> None:
    assert not loaded(f"called(*{words}, '--runs', {str(finished)!r})") & HEAVY


def test_a_ticket_is_shown_without_torch(finished: Path) -> None:
    cell = next(finished.glob("quick-*/cells/r0/L02/ticket/0"))
    assert not loaded(f"called('ticket', 'show', {str(cell)!r})") & HEAVY


def test_import_is_light_and_knows_its_names() -> None:
    code = "import sys, tombola; print(sorted(set(dir(tombola)) & set(tombola.__all__)) == tombola.__all__)"
    light, modules = python(f"{code}; import json" + LIST)
    assert light == "True"
    assert not set(json.loads(modules)) & {*SLOW, "typing", "tombola.errors"}


def test_version(tombola: Tombola) -> None:
    said = tombola("--version")
    assert said.code == 0
    assert said.out == f"tombola {version('tombola')}\ntorch {version('torch')}\n"


def test_what_type_checkers_are_told_is_what_is_there() -> None:
    stub = ast.parse(Path(front.__file__).with_suffix(".pyi").read_text())
    told = [
        (node.module, name.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.asname == name.name
    ]
    assert {name: module for module, name in told} == {
        name: f"tombola.{home}" for name, home in front._HOMES.items()
    }
    for name in front.__all__:
        assert getattr(front, name).__name__ == name


def test_the_public_surface() -> None:
    """Nothing more, and no name that is also a package or a module of Tombola."""
    functions = (
        "run", "draw", "to_pandas", "train", "evaluate", "prune", "compare", "connect", "verdicts", "results", "status",
        "open_run", "write_report", "load_study", "load_sweep", "from_arrays", "trust",
    )  # fmt: skip
    types = (
        "Study", "Sweep", "Run", "SweepRun", "Ticket", "Mask", "Recipe", "Pruning", "PruneRule", "Dataset",
        "Evaluation", "UserError",
    )  # fmt: skip
    assert front.__all__ == sorted((*functions, *types))
    assert not {module.name for module in pkgutil.iter_modules(front.__path__)} & set(front.__all__)
    assert all(callable(getattr(front, name)) for name in functions)


def test_runs_are_read_in_python_without_torch(finished: Path) -> None:
    calls = "".join(f"tombola.{name}('quick', runs={str(finished)!r});" for name in READING)
    assert not set(json.loads(python(f"import json, sys, tombola; {calls}" + LIST)[-1])) & HEAVY


def test_what_compares_in_python_loads_nothing_that_draws() -> None:
    modules = json.loads(
        python("import json, sys, tombola; tombola.compare, tombola.connect, tombola.run" + LIST)[-1]
    )
    assert not set(modules) & {"altair", "jinja2", "typst", "vl_convert", "tombola.report"}


def test_python_dash_m_is_the_program() -> None:
    assert python(
        "import runpy, sys; sys.argv[1:] = ['--version']; runpy.run_module('tombola', run_name='__main__')"
    ) == [
        f"tombola {version('tombola')}",
        f"torch {version('torch')}",
    ]


@pytest.mark.parametrize("first", ["tombola", "tombola.comparison", "tombola.analysis.compare_runs"])
def test_compare_is_the_function_whatever_was_imported_first(first: str) -> None:
    assert python(f"import {first}, tombola; print(callable(tombola.compare), tombola.compare.__module__)")[
        -1
    ] == ("True tombola.api")


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'tombola' has no attribute 'drawn'"):
        _ = front.drawn  # type: ignore[attr-defined]
