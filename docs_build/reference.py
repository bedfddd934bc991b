"""All pages that are made of the program itself."""

from __future__ import annotations

from docs_build import command_line, parts_pages, presets_page, python_page, run_folder, study_file


def pages() -> dict[str, str]:
    """Path under the documentation -> Markdown."""
    makers = (study_file, command_line, python_page, run_folder, presets_page, parts_pages)
    return {path: text for maker in makers for path, text in maker.pages().items()}
