"""Say what this machine has for leafwise, and what to do about what is missing."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.doctor import Report, State, examine

_STYLES = {State.OK: "green", State.WARN: "yellow", State.MISSING: "bold red"}
app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)


def main(arguments: list[str]) -> int:
    """Runs `leafwise doctor`: 0 if `leafwise solve` can work here, 2 otherwise."""
    return run_typer(app, "doctor", arguments)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    conformance: Annotated[
        bool, typer.Option("--conformance", help="Also run the sandbox's conformance suite (seconds).")
    ] = False,
) -> int:
    """Say what this machine has for leafwise, and what to do about what is missing.

    Exit status: 0 if `leafwise solve` can work here, 2 otherwise.
    """
    report = examine(conformance=conformance)
    if as_json:
        print(json.dumps({**report.model_dump(mode="json"), "can_solve": report.can_solve}, indent=2))
    else:
        _show(report, Console(highlight=False, soft_wrap=True))
    return 0 if report.can_solve else 2


def _show(report: Report, console: Console) -> None:
    states = max(len(finding.state) for finding in report.findings)
    names = max(len(finding.name) for finding in report.findings)
    for finding in report.findings:
        line = Text(f"{finding.state:<{states}}", style=_STYLES[finding.state])
        line.append(f"  {finding.name:<{names}}  {finding.detail}", style="default")
        console.print(line)
        if finding.remedy:
            console.print(Text(f"{'':<{states + names + 4}}-> {finding.remedy}", style="cyan"))
    console.print(
        "\n`leafwise solve` can work here." if report.can_solve else "\n`leafwise solve` can not work here yet."
    )
