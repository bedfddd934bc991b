"""The page of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from docs_build.tables import code, prose, table
from tombola.cli.app import app

START = """# Command line

`tombola --install-completion` teaches the tab key presets, runs, measures and arms. Exit codes: 0; 2 for a mistake that
a sentence names; 1 for a full disk or memory; 130 when stopped, after which the same command goes on.
"""


def pages() -> dict[str, str]:
    """Path -> Markdown."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    text = [START, prose(inspect.cleandoc(root.help or ""))]
    for path, command in commands(root):
        text.append(f"## {code(' '.join(path))}")
        text.append(prose(inspect.cleandoc(command.help or "")))
        text.append(f"```text\n{_usage(path, command)}\n```")
        if rows := [*_rows(command)]:
            text.append(table(["", "what it is", "default"], rows))
    return {"reference/command-line.md": "\n\n".join(text) + "\n"}


def commands(
    root: TyperGroup, path: tuple[str, ...] = ("tombola",)
) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    """Every command with the words that call it, groups and what is hidden left out."""
    for name, command in root.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield (*path, name), command


def _usage(path: tuple[str, ...], command: TyperCommand) -> str:
    words = [_word(each) for each in command.params if isinstance(each, TyperArgument)]
    return " ".join([*path, *words, "[OPTIONS]"])


def _word(argument: TyperArgument) -> str:
    name = argument.metavar or str(argument.name).upper()
    many = f"{name} ..." if argument.nargs == -1 else name
    return many if argument.required else f"[{many}]"


def _rows(command: TyperCommand) -> Iterator[list[str]]:
    for each in command.params:
        if isinstance(each, TyperArgument):
            default = "**needed**" if each.required else _shown(each.default)
            yield [code(_word(each)), prose(each.help or ""), default]
        elif isinstance(each, TyperOption) and each.name != "help" and not each.hidden:
            names = ", ".join(map(code, [*each.opts, *each.secondary_opts]))
            yield [names, prose(each.help or ""), _shown(each.default)]


def _shown(value: object) -> str:
    return "" if value in (None, False, [], ()) or callable(value) else code(value)
