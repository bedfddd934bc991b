"""A page whose code was run, as a notebook with what came out: to open, change and run again."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from docs_build.execute import FENCE, MARK, PICTURE, Ran

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]*\)")
"""A link into the site, which leads nowhere from a notebook."""
KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
MAGIC = {"sh": "%%bash -e\n", "python": ""}


def notebook(markdown: str, ran: Ran) -> str:
    """The page as a notebook's JSON (format 4.5): prose, blocks with what they printed, pictures.

    A block that is a file becomes one that writes it; `sh` blocks need bash and `tombola` on the path.
    """
    printed, cells, at = iter(ran.printed), [], 0
    text = markdown.replace(MARK, "")
    for match in FENCE.finditer(text):
        language, file, block = match.groups(default="")
        if language == "toml" and not file:
            continue  # it stays in the prose, as it stands
        cells += _prose(text[at : match.start()], ran)
        at = match.end()
        said = next(printed)
        cells.append(
            _code(f"%%writefile {file}\n{block}" if file else MAGIC[language] + block, _stream(said))
        )
    cells += _prose(text[at:], ran)
    numbered = [{"id": f"cell-{at}", **cell} for at, cell in enumerate(cells)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps({"cells": numbered, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def path_of(page: str) -> str:
    """Where the notebook of a page lies: `tutorials/sweep.md` -> `tutorials/sweep.ipynb`."""
    return str(Path(page).with_suffix(".ipynb"))


def _prose(text: str, ran: Ran) -> list[dict[str, Any]]:
    """Prose with its pictures, each as the output of a block that shows the file."""
    cells, at = [], 0
    for match in PICTURE.finditer(text):
        cells += _markdown(text[at : match.start()])
        at = text.find("\n", match.end()) + 1 or len(
            text
        )  # what is left of the line is its style in the site
        cells.append(_shown(match[1], ran.pictures[match[1]]))
    return cells + _markdown(text[at:])


def _markdown(text: str) -> list[dict[str, Any]]:
    plain = LINK.sub(r"\1", text).strip("\n")
    return [{"cell_type": "markdown", "metadata": {}, "source": plain}] if plain.strip() else []


def _shown(name: str, picture: bytes) -> dict[str, Any]:
    kind = KINDS[Path(name).suffix]
    data = picture.decode() if kind == "image/svg+xml" else base64.b64encode(picture).decode()
    show = "SVG" if kind == "image/svg+xml" else "Image"
    source = f'from IPython.display import {show}\n\n{show}(filename="{name}")'
    output = {"output_type": "execute_result", "data": {kind: data}, "metadata": {}, "execution_count": None}
    return _code(source, [output])


def _stream(said: str) -> list[dict[str, Any]]:
    return [{"output_type": "stream", "name": "stdout", "text": said + "\n"}] if said else []


def _code(source: str, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": outputs,
        "source": source.rstrip("\n"),
    }
