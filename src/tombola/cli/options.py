"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", help="Folder that holds the run folders.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where data sets lie (else TOMBOLA_DATA, else ~/.cache/tombola)."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
EngineName = Annotated[str, typer.Option("--engine", help="auto, or a name of `tombola catalog engines`.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads (default: torch's choice).")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the spec; repeatable.")
]
Track = Annotated[
    list[str] | None,
    typer.Option("--track", metavar="TRACKER", help="See `tombola catalog trackers`; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run folder, or the beginning of its name under --out.")
]
