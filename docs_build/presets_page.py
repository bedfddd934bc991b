"""The page of the presets: what each is, what is expected of it, and its file."""

from __future__ import annotations

import re
from importlib.resources import files

from docs_build.tables import anchor, code, table
from tombola.study.load import load_sweep, presets
from tombola.text import percent

START = """# Presets

Studies that come with Tombola: `tombola run NAME`, or `tombola run NAME --dry-run` to see what it trains and how long
it takes on your machine. `--set KEY=VALUE` changes one thing; the result is another run, beside the first.
"""


def pages() -> dict[str, str]:
    """Path -> Markdown."""
    text = [START]
    for name, title in presets().items():
        study = load_sweep(name).first
        arms = ", ".join(f"[`{arm.name}`](arms.md#{anchor(arm.name)})" for arm in study.arms)
        rows: list[list[object]] = [
            ["network, data", f"`{study.model.name}` on `{study.data.name}`"],
            ["replicates, levels", f"{study.replicates}, {study.levels}"],
            ["recipe", study.recipe],
            ["arms", arms or "none"],
            ["claims", ", ".join(code(each.name) for each in study.hypothesis) or "none"],
        ]
        text += [f"## {code(name)} {{ #{name} }}", f"{title}.", table(["", ""], rows)]
        if study.expect:
            expected = [
                [
                    each.arm,
                    percent(each.density, 1),
                    code(each.quantity),
                    f"{each.value:g} ± {each.tolerance:g}",
                    each.source,
                ]
                for each in study.expect
            ]
            text.append(table(["arm", "density", "quantity", "published", "where"], expected))
        toml = (files("tombola.study") / "presets" / f"{name}.toml").read_text()
        text.append(
            '??? note "The file"\n\n'
            + re.sub("^", "    ", f"```toml\n{toml.strip()}\n```", flags=re.MULTILINE)
        )
    return {"reference/presets.md": "\n\n".join(text) + "\n"}
