"""Options that every command takes: `--import` for code of one's own, `--trust` for code that is stored."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.main import get_command

from tombola.cli import names
from tombola.cli.options import Several


def add_everywhere(command: Any) -> None:
    """Give the options to a command of click, and to all commands below it."""
    if below := getattr(command, "commands", None):
        for each in below.values():
            add_everywhere(each)
    else:
        command.params += [each for each in get_command(_app).params if each.name in ("imports", "trust")]


def _load(context: typer.Context, imports: Several) -> None:
    """Load what is named, or, for the tab key, note it."""
    names.IMPORTS[:] = imports or []
    if imports and not context.resilient_parsing:
        from tombola.plugins.load import load_imports
        from tombola.plugins.source import Code
        from tombola.plugins.trusted import name_own

        name_own(map(Code, imports))
        load_imports(imports)


def _trust(context: typer.Context, trust: bool) -> None:
    if trust and not context.resilient_parsing:
        from tombola.plugins.trusted import Accepting

        Accepting.on = True


_app = typer.Typer(add_completion=False)


@_app.command()
def _options(
    imports: Annotated[
        Several,
        typer.Option(
            "--import",
            help="A file of Python, or a module, that registers parts of your own; repeatable.",
            metavar="FILE|MODULE",
            is_eager=True,
            expose_value=False,
            callback=_load,
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Accept the code that a stored run or ticket names, now and from now on.",
            is_eager=True,
            expose_value=False,
            callback=_trust,
        ),
    ] = False,
) -> None:
    """Carries the options that are given to every command."""
