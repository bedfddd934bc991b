"""The page of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import typer

from docs_build.tables import code, prose, table
from tombola.cli.app import app

START = """# Command line

`tombola --install-completion` teaches the tab key presets, runs, measures and arms. Exit codes: 0; 2 for a mistake that
a sentence names; 1 for a full disk or memory; 130 when stopped, after which the same command goes on.
"""


def pages() -> dict[str, str]:
    """Path -> Markdown."""
    root = typer.main.get_command(app)
    text = [START, prose(inspect.cleandoc(root.help or ""))]
    for path, command in commands(root):
        text.append(f"## {code(' '.join(path))}")
        text.append(prose(inspect.cleandoc(command.help or "")))
        text.append(f"```text\n{_usage(path, command)}\n```")
        if rows := [*_rows(command)]:
            text.append(table(["", "what it is", "default"], rows))
    return {"reference/command-line.md": "\n\n".join(text) + "\n"}


def commands(root, path: tuple[str, ...] = ("tombola",)) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command with the words that call it, groups left out."""
    for name, command in root.commands.items():
        if getattr(command, "hidden", False):
            continue
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def _usage(path: tuple[str, ...], command) -> str:
    words = [_word(each) for each in command.params if each.param_type_name == "argument"]
    return " ".join([*path, *words, "[OPTIONS]"])


def _word(argument) -> str:
    name = argument.metavar or argument.name.upper()
    many = f"{name} ..." if argument.nargs == -1 else name
    return many if argument.required else f"[{many}]"


def _rows(command) -> Iterator[list[str]]:
    for each in command.params:
        if each.name == "help" or getattr(each, "hidden", False):
            continue
        names = [_word(each)] if each.param_type_name == "argument" else [*each.opts, *each.secondary_opts]
        given = each.default
        shown = "" if given in (None, False, [], ()) or callable(given) else code(given)
        if each.param_type_name == "argument" and each.required:
            shown = "**needed**"
        yield [", ".join(map(code, names)), prose(each.help or ""), shown]
