"""The gallery: every registered figure, drawn from one small run, with the command that draws it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from docs_build.execute import CACHE, environment, library_digest
from docs_build.tables import anchor, sentence
from tombola.errors import UserError
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import save_figure
from tombola.report.tables import Tables

HOME = Path(__file__).parent
STUDIES = (HOME / "gallery.toml", HOME / "gallery-early-bird.toml", HOME / "gallery-kernels.toml")
COMMANDS = (
    "tombola run gallery.toml",
    "tombola run gallery-early-bird.toml",
    "tombola run gallery-kernels.toml",
    "tombola compare kernels --measures kernel-overlap --aligned raw --n-null 5",
    "tombola compare gallery --level 3 --arms ticket,random-mask "
    "--measures jaccard,sign-agreement,disagreement,out-degree-gini"
    " --aligned raw,weights@dense --n-null 5",
    "tombola connect gallery --level 1,3 --alphas 5 --kinds instability",
)
START = f"""# Gallery

Every figure that `tombola figure RUN NAME` draws, from small runs on scikit-learn's digits. They are small so that this
page is made in a minute: look at what a picture shows, not at what came out. `--format pdf` and `--width column` make
it fit a paper; the page of a run (`tombola report RUN`) has them all, with tooltips.

```sh
{chr(10).join(COMMANDS)}
```
"""


def pages() -> tuple[dict[str, str], dict[str, bytes]]:
    """Path -> Markdown, and path -> picture."""
    drawn = drawings()
    text = [
        START,
        *(
            f'??? note "{each.name}"\n\n' + _indented(f"```toml\n{each.read_text().strip()}\n```")
            for each in STUDIES
        ),
    ]
    for section in dict.fromkeys(each.section for each in FIGURES.values()):
        text.append(f"## {section}")
        for name in (name for name in FIGURES if FIGURES[name].section == section):
            figure, picture = FIGURES[name], drawn[name]
            text += [f"### {figure.title} {{ #{anchor(name)} }}", sentence(figure.reading)]
            text.append(f"```sh\ntombola figure gallery {name}\n```")
            text.append(
                f"![{figure.title}](gallery/{name}.svg){{ .picture }}"
                if picture.startswith("<svg")
                else f"*Not drawn here: {picture}*"
            )
    pictures = {
        f"gallery/{name}.svg": picture.encode()
        for name, picture in drawn.items()
        if picture.startswith("<svg")
    }
    return {"gallery.md": "\n\n".join(text) + "\n"}, pictures


def drawings() -> dict[str, str]:
    """Figure -> its SVG, or why there is none. The run is made once for a state of the library."""
    state = hashlib.sha256(
        (library_digest() + repr([*COMMANDS, *(each.read_text() for each in STUDIES)])).encode()
    ).hexdigest()[:16]
    kept = CACHE / f"gallery-{state}.json"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            found = _drawn_in(Path(folder))
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(found))
    said: dict[str, str] = json.loads(kept.read_text())
    return said


def _drawn_in(folder: Path) -> dict[str, str]:
    for study in STUDIES:
        (folder / study.name).write_text(study.read_text())
    around = environment(folder)
    for command in COMMANDS:
        begun = time.perf_counter()
        done = subprocess.run(command, shell=True, cwd=folder, env=around, text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{command}:\n{done.stdout}{done.stderr}")
        print(f"{time.perf_counter() - begun:5.1f} s  {command}", file=sys.stderr)
    drawer = [sys.executable, "-c", "from docs_build.gallery import draw; draw()"]
    root = os.pathsep.join([str(HOME.parent), around["PYTHONPATH"]])
    done = subprocess.run(
        drawer, cwd=folder, env={**around, "PYTHONPATH": root}, text=True, capture_output=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def draw() -> None:
    """Print, as JSON, every figure of the first run of this folder that has it, or why there is none."""
    from tombola.report.collect import tables_of
    from tombola.runs.locate import find_run

    every = [tables_of(find_run(study.stem.removeprefix("gallery-"), Path("runs"))) for study in STUDIES]
    found = {}
    for name in FIGURES:
        for tables in every:
            try:
                found[name] = _drawn(name, tables)
                break
            except UserError as why:
                found.setdefault(name, str(why))
    print(json.dumps(found))


def _drawn(name: str, tables: Tables) -> str:
    """A figure as SVG. Raises UserError where the tables do not hold what it shows."""
    path = Path(f"{name}.svg")
    save_figure(name, tables, path, 178.0)
    return path.read_text()


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
