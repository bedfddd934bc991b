"""Pages as notebooks: what they show is what a notebook's own kernel makes of them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from docs_build import execute, notebooks

PAGE = """<!-- run -->
# A page

See [another page](other.md#there), [a site](https://example.org) and ![no link](drawn.svg).

```toml title="study.toml"
name = "a"
```

```toml
seen = "only"
```

```python
from pathlib import Path

x = 3
print("three:", x)
```

```sh
cat study.toml
```

![A picture](made/picture.svg){ .picture }

The end.
"""
DOCS = Path(__file__).parents[2] / "docs"
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
RAN = execute.Ran(["", "three: 3", 'name = "a"'], 1.0, {"picture.svg": PICTURE.encode()})


def test_a_page_becomes_cells_in_its_order() -> None:
    made = nbformat.reads(notebooks.notebook(PAGE, RAN), as_version=4)
    nbformat.validate(made)
    assert [cell.cell_type[0] for cell in made.cells] == ["m", "c", "m", "c", "c", "c", "m"]
    head, written, prose, python, shell, picture, tail = made.cells
    assert head.source.startswith("# A page")
    assert "See another page, [a site](https://example.org) and ![no link](drawn.svg)." in head.source
    assert written.source == '%%writefile study.toml\nname = "a"'
    assert written.outputs == []
    assert prose.source == '```toml\nseen = "only"\n```'
    assert python.outputs[0].text == "three: 3\n"
    assert shell.source == "%%bash -e\ncat study.toml"
    assert shell.outputs[0].text == 'name = "a"\n'
    assert picture.outputs[0].data == {"image/svg+xml": PICTURE}
    assert tail.source == "The end.", "the style of the picture in the site is left out"


def test_every_tutorial_becomes_a_valid_notebook() -> None:
    pages = [page for page in DOCS.rglob("*.md") if execute.is_run(page.read_text())]
    assert len(pages) >= 6
    for page in pages:
        text = page.read_text()
        said = ["said"] * len(execute.blocks(text))
        ran = execute.Ran(said, 1.0, {name: PICTURE.encode() for name in execute.PICTURE.findall(text)})
        made = nbformat.reads(notebooks.notebook(text, ran), as_version=4)
        nbformat.validate(made)
        assert sum(cell.cell_type == "code" for cell in made.cells) == len(said) + len(ran.pictures)


@pytest.mark.slow
def test_a_kernel_runs_what_a_page_became(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "picture.svg").write_text(PICTURE)
    made = nbformat.reads(notebooks.notebook(PAGE, RAN), as_version=4)
    expected = [
        [output.get("text") for output in cell.outputs] for cell in made.cells if cell.cell_type == "code"
    ]
    where = {"metadata": {"path": tmp_path}}
    NotebookClient(made, timeout=60, kernel_name="python3", resources=where).execute()
    ran = [cell for cell in made.cells if cell.cell_type == "code"]
    assert [output.text for output in ran[1].outputs] == expected[1]
    assert [output.text for output in ran[2].outputs] == expected[2]
    assert "image/svg+xml" in ran[3].outputs[0].data
