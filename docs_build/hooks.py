"""What mkdocs calls: generated pages are added, pages with code are run, and links of the built site are followed."""

from __future__ import annotations

import logging
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs_build import execute, gallery, notebooks, parts_pages, reference
from docs_build.links import broken
from tombola.cli.kinds import KINDS

LOG = logging.getLogger("mkdocs.hooks.tombola")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the page of every kind of part into the navigation, whichever kinds there are."""
    sections = {
        title: pages for entry in config.nav if isinstance(entry, dict) for title, pages in entry.items()
    }
    named = next(entry["Named parts"] for entry in sections["Reference"] if "Named parts" in entry)
    named.extend({parts_pages.title(kind): parts_pages.path_of(kind)} for kind in KINDS)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made of the program, and what pages with code make."""
    markdown, pictures = gallery.pages()
    for path, content in {**reference.pages(), **markdown, **pictures}.items():
        files.append(File.generated(config, path, content=content))
    for page in [each for each in files.documentation_pages() if execute.is_run(each.content_string)]:
        ran = _ran(page)
        as_notebook = notebooks.notebook(page.content_string, ran)
        files.append(File.generated(config, notebooks.path_of(page.src_uri), content=as_notebook))
        for name, picture in ran.pictures.items():
            path = f"{Path(page.src_uri).parent.as_posix()}/made/{name}".removeprefix("./")
            files.append(File.generated(config, path, content=picture))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put what its blocks printed below them."""
    if not execute.is_run(markdown):
        return markdown
    beside = Path(notebooks.path_of(page.file.src_uri)).name
    return execute.filled_in(markdown, _ran(page.file), beside)


def on_post_build(config: MkDocsConfig) -> None:
    """Follow every link of the built site, with its anchor; nothing may be loaded from elsewhere."""
    if sentences := [*broken(Path(config["site_dir"]))]:
        raise PluginError("\n".join(sentences))


def _ran(file: File) -> execute.Ran:
    try:
        ran = execute.run(file.content_string)
    except RuntimeError as failed:
        raise PluginError(f"{file.src_uri}: {failed}") from None
    LOG.info(f"{file.src_uri} ran in {ran.seconds:.1f} s")
    return ran
