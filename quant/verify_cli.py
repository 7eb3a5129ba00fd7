"""Check a GGUF file in a process of its own, without loading it into llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.paths import expanded
from leafwise.runtime.progress_cli import stage

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
UNSOUND = 1
"""The exit status for a file that can't be used."""


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize verify`; 0 for a sound file, 1 for another.

    Raises:
        LeafwiseError: there is no such file; whoever called says so, with status 2.
    """
    return run_typer(app, "quantize verify", arguments)


@app.command()
def verify(
    model: Annotated[str, typer.Argument(metavar="FILE", help="A GGUF file, or a model's name.")],
    deep: Annotated[
        bool, typer.Option("--deep/--quick", help="Look at the tensors' data and hash the file, or only at its header.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check a GGUF file: places and sizes, types, hyperparameters, tokenizer, chat template, every block's scales.

    Nothing is loaded: the checks run in a process with limits on memory and time. Findings go to standard output,
    errors first. Exit status: 0 sound (there may be warnings), 1 not sound, 2 usage.
    """
    from rich.console import Console

    from leafwise.runtime.verify import verify as run

    path = _path(model)
    with stage(path.name) as tell:
        found = run(path, deep=deep, sha256=deep, progress=tell)
    if as_json:
        print(json.dumps({"path": str(path), "sound": found.sound} | found.model_dump(mode="json"), indent=2))
        return 0 if found.sound else UNSOUND
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for finding in found.findings:
        style = "bold red" if finding.severity == "error" else "yellow"
        console.print(Text.assemble((finding.severity, style), f": {finding}"))
    verdict = ("sound", "bold green") if found.sound else ("not sound", "bold red")
    extent = f"{found.tensors:,} tensors, {found.file_bytes / 1e6:,.1f} MB{'' if deep else ', header only'}"
    console.print(Text.assemble(verdict, f": {path.name} ({extent})"))
    if found.sha256:
        console.print(f"sha256 {found.sha256}")
    return 0 if found.sound else UNSOUND


def _path(model: str) -> Path:
    """The file of a name of the registry, or of a path; what is in it is not looked at here."""
    from leafwise.runtime.models import MODELS, resolve

    return resolve(model).path if model in MODELS else expanded(model)
