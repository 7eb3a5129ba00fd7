"""Quantize a GGUF file by a recipe, or to one of llama.cpp's named mixes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from leafwise.quant.contracts import Recipe
    from leafwise.quant.mixes import Mix
    from leafwise.quant.quantize import Importance, Quantized

_DEFAULT_MIX = "q4_k_m"

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize`; 0 for success.

    Raises:
        LeafwiseError: the file could not be made; whoever called says so, with status 2.
    """
    with _terminable():
        return run_typer(app, "quantize", arguments)


@app.command()
def quantize(
    source: Annotated[Path, typer.Argument(help="The GGUF file to read, best in F16.")],
    target: Annotated[Path, typer.Argument(help="The GGUF file to make.")],
    mix: Annotated[str | None, typer.Option(help="A named mix, such as q4_k_m, q4_0, iq4_nl, q8_0.")] = None,
    recipe: Annotated[Path | None, typer.Option(metavar="FILE", help="A recipe made for this very file.")] = None,
    imatrix: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An importance matrix; see `leafwise quantize imatrix`.")
    ] = None,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Accept an input that is quantized already.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Let the output replace a file.")] = False,
    threads: Annotated[int, typer.Option(min=0, max=512, help="0: one per core.")] = 0,
) -> int:
    """Quantize a GGUF file. The output is whole or not there, and the input is never touched."""
    from rich.console import Console
    from rich.progress import Progress

    from leafwise.quant.quantize import quantize as run

    wanted = _wanted(mix, recipe)
    importance, metadata = _importance(imatrix)
    errors = Console(stderr=True)
    with Progress(console=errors, disable=not errors.is_terminal, transient=True) as bar:
        task = bar.add_task(f"{source.name} -> {target.name}", total=None)
        made = run(
            source,
            target,
            wanted,
            importance=importance,
            requantize=requantize,
            replace=force,
            threads=threads,
            metadata=metadata,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print(target)
    print(f"{made.bits_per_weight:.2f} bits per weight, {made.file_bytes / 1e6:.1f} MB", file=sys.stderr)
    _say_fallbacks(made)
    return 0


@contextmanager
def _terminable() -> Iterator[None]:
    """Being told to end is as Ctrl-C: the half-written file is removed at once, not by the next run."""
    numbers = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is signal.SIG_DFL:
                signal.signal(number, handler)


def _wanted(mix: str | None, recipe: Path | None) -> Mix | Recipe:
    from leafwise.quant.mixes import MIXES
    from leafwise.quant.recipes import read_recipe

    if recipe is not None:
        if mix is not None:
            raise UsageError("--mix and --recipe exclude each other", "give one of them")
        return read_recipe(recipe)
    mix = mix or _DEFAULT_MIX
    if mix not in MIXES:
        raise UsageError(f"there is no mix {mix!r}", f"use one of {', '.join(MIXES)}")
    return MIXES[mix]


def _importance(path: Path | None) -> tuple[Importance | None, dict[str, str]]:
    """The matrix, and what the file's metadata shall say about it."""
    if path is None:
        return None, {}
    from leafwise.quant.gguf_imatrix import read_imatrix

    matrix = read_imatrix(path)
    notes = {"importance_sha256": matrix.sha256, "calibration_sha256": matrix.text_sha256}
    return {name: matrix.mean(name) for name in matrix.sums}, {key: value for key, value in notes.items() if value}


def _say_fallbacks(made: Quantized) -> None:
    """A mix's types do not fit every row; a recipe's always do."""
    counts: dict[tuple[str, str], int] = {}
    for change in made.fallbacks.values():
        counts[change] = counts.get(change, 0) + 1
    for (asked, got), count in counts.items():
        tensors = f"{count:,} tensor{'' if count == 1 else 's'}"
        print(f"{tensors} got {got}: {asked} does not fit their rows", file=sys.stderr)
