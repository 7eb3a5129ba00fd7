"""Quantize a GGUF file to one of llama.cpp's named mixes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize`; 0 for success.

    Raises:
        LeafwiseError: the file could not be made; whoever called says so, with status 2.
    """
    return run_typer(app, "quantize", arguments)


@app.command()
def quantize(
    source: Annotated[Path, typer.Argument(help="The GGUF file to read, best in F16.")],
    target: Annotated[Path, typer.Argument(help="The GGUF file to make.")],
    mix: Annotated[str, typer.Option(help="A named mix, such as q4_k_m, q4_0, iq4_nl, q8_0.")] = "q4_k_m",
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Accept an input that is quantized already.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Let the output replace a file.")] = False,
) -> int:
    """Quantize a GGUF file. The output is whole or not there, and the input is never touched."""
    from rich.console import Console
    from rich.progress import Progress

    from leafwise.quant.quantize import MIXES
    from leafwise.quant.quantize import quantize as run

    if mix not in MIXES:
        raise UsageError(f"there is no mix {mix!r}", f"use one of {', '.join(MIXES)}")
    errors = Console(stderr=True)
    with Progress(console=errors, disable=not errors.is_terminal, transient=True) as bar:
        task = bar.add_task(f"{source.name} -> {mix}", total=None)
        made = run(
            source,
            target,
            MIXES[mix],
            requantize=requantize,
            replace=force,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print(target)
    print(f"{made.bits_per_weight:.2f} bits per weight, {made.file_bytes / 1e6:.1f} MB", file=sys.stderr)
    return 0
