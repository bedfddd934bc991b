"""Pages whose code is run: what is printed stands below, files are files, and a block that fails is no page."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs_build import execute

PAGE = """<!-- run -->
# A page

```toml title="study.toml"
name = "a"
```

```python
x = 3
print("three:", x)
```

```toml
seen = "only"
```

```sh
cat study.toml
echo "<svg/>" > picture.svg
```

```python
print(x + 1)
```

![A picture](made/picture.svg)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(execute, "CACHE", tmp_path)
    monkeypatch.setattr(execute, "library_digest", lambda: "library")
    return tmp_path


def test_blocks_share_an_interpreter_and_a_folder() -> None:
    ran = execute.run(PAGE)
    assert ran.printed == ["", "three: 3", 'name = "a"', "4"]
    assert ran.pictures == {"picture.svg": b"<svg/>\n"}


def test_what_was_printed_stands_below_its_block() -> None:
    page = execute.filled_in(PAGE, execute.Ran(["", "three: 3", 'name = "a"', "4"], 2.4), "page.ipynb")
    assert "<!-- run -->" not in page
    assert 'print("three:", x)\n```\n\n```text\nthree: 3\n```' in page
    assert "print(x + 1)\n```\n\n```text\n4\n```" in page
    assert 'name = "a"\n```\n\n```python' in page, "a file prints nothing"
    assert 'seen = "only"\n```\n\n```sh' in page, "TOML without a title is no block"
    assert "ran in 2 s" in page
    assert "(page.ipynb)" in page


def test_a_page_is_run_once_for_its_code_and_library(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = execute.run(PAGE)
    monkeypatch.setattr(execute, "_run_in", lambda *_: pytest.fail("it was run again"))
    assert execute.run(PAGE.replace("A page", "Other prose")) == first
    monkeypatch.setattr(execute, "library_digest", lambda: "another library")
    with pytest.raises(pytest.fail.Exception):
        execute.run(PAGE)


@pytest.mark.parametrize("block", ["```python\n1 / 0\n```\n", "```sh\nfalse\necho on\n```\n"])
def test_a_block_that_fails_is_named(block: str) -> None:
    with pytest.raises(RuntimeError, match=r"this block failed:\n(1 / 0|false)"):
        execute.run(f"<!-- run -->\n{block}")


def test_long_output_is_cut_and_names_no_folder(tmp_path: Path) -> None:
    text = "".join(f"{tmp_path}/line {i}\n" for i in range(50))
    shown = execute.shortened(text, tmp_path).splitlines()
    assert shown[0] == "line 0"
    assert shown[-1] == "... and 10 lines more"
    assert len(shown) == 41


def test_every_tutorial_is_run() -> None:
    pages = [path for path in (execute.ROOT / "docs" / "tutorials").glob("*.md") if path.name != "index.md"]
    assert len(pages) >= 6
    assert all(execute.is_run(path.read_text()) and execute.blocks(path.read_text()) for path in pages)
