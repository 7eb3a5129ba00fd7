"""`leafwise bench report DIR`: make the reports of a run again from what it measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory of a run.", show_default=False)],
) -> int:
    """Make summary.json, report.md and report.html of a run again; nothing is generated or judged."""
    from leafwise.benchmarks.reports import report_run

    summary = report_run(directory)
    for line in (*summary.warnings, *summary.verdicts):
        print(line)
    print(directory / "report.html")
    return 0
