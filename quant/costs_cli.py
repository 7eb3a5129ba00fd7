"""What each tensor of a GGUF file costs in each type: bytes, error, and seconds on this machine."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.progress_cli import stage
from leafwise.runtime.verify_report import printable

if TYPE_CHECKING:
    from leafwise.quant.contracts import CostTable, TensorCosts
    from leafwise.quant.costs import Importances
    from leafwise.quant.speeds import SpeedTable

# numpy, pydantic and rich are imported inside the functions: this module is loaded for every `--help`.

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize costs`; 0 for success.

    Raises:
        LeafwiseError: it could not be done; whoever called says so, with status 2.
    """
    return run_typer(app, "quantize costs", arguments)


@app.command()
def costs(
    source: Annotated[Path, typer.Argument(help="The GGUF file, best in F16.")],
    imatrix: Annotated[Path | None, typer.Option(help="An importance matrix; see `leafwise quantize imatrix`.")] = None,
    types: Annotated[str, typer.Option(help="Comma-separated; by default all that make sense.")] = "",
    speeds: Annotated[
        bool, typer.Option("--speeds/--no-speeds", help="Measure multiplications on this machine; kept once measured.")
    ] = True,
    again: Annotated[bool, typer.Option("--again", help="Measure the speeds anew.")] = False,
    threads: Annotated[int, typer.Option(min=0, max=512, help="Of encoding and multiplying; 0: one per core.")] = 0,
    sample: Annotated[
        float, typer.Option(min=0.001, max=1, help="Part of each tensor's rows to encode; .05 for large models.")
    ] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Write the whole table to this file, as JSON.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Let the output replace a file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole table as JSON.")] = False,
) -> int:
    """Show what each kind of tensor costs in each type. What was computed is kept, also when it is interrupted."""
    from leafwise.quant.costs import DEFAULT_TYPES, cost_table
    from leafwise.quant.errors import QuantizeError
    from leafwise.quant.outputs import check_outputs
    from leafwise.quant.tensor_types import type_named
    from leafwise.runtime.paths import write_whole

    check_outputs([out], inputs=[source, imatrix], replace=force)
    chosen = [type_named(name.strip()).name for name in types.split(",")] if types else list(DEFAULT_TYPES)
    importance, sha256 = _importance(imatrix)
    threads = threads or len(os.sched_getaffinity(0))
    measured = _speeds(source, chosen, threads, again) if speeds else None
    with stage(f"encoding {source.name}") as progress:
        table = cost_table(
            source,
            importance,
            types=chosen,
            threads=threads,
            speeds=measured,
            importance_sha256=sha256,
            sample=sample,
            progress=progress,
        )
    text = table.model_dump_json(indent=2)
    if out is not None:
        try:
            write_whole(out, text.encode())
        except OSError as error:
            raise QuantizeError(f"cannot write {out}: {error.strerror}", "choose another place") from error
    if as_json:
        print(text)
    else:
        _print_table(table)
    return 0


def _importance(path: Path | None) -> tuple[Importances | None, str | None]:
    if path is None:
        return None, None
    from leafwise.quant.gguf_imatrix import read_imatrix
    from leafwise.quant.gguf_tensors import model_sha256

    matrix = read_imatrix(path)
    return {name: matrix.mean(name) for name in matrix.sums}, matrix.sha256 or model_sha256(path)


def _speeds(source: Path, types: list[str], threads: int, again: bool) -> SpeedTable:
    from leafwise.quant.costs import shapes_to_measure
    from leafwise.quant.speeds import measure

    shapes = shapes_to_measure(source, types)
    with stage("measuring multiplications") as progress:
        table = measure(shapes, threads=threads, again=again, progress=progress)
    used = [table.find(type_, shape) for shape, names in shapes.items() for type_ in names]
    if any(speed is not None and speed.clock == "processor" for speed in used):
        print(
            "speeds were measured while other programs kept this machine busy: --again measures anew", file=sys.stderr
        )
    return table


def _print_table(table: CostTable) -> None:
    """A line for each kind and type; milliseconds and bytes are of all blocks, the relative error is their mean."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("kind", "type"):
        shown.add_column(title)
    for title in ("bits", "MB", "error / energy", "prompt ms", "token ms", "16 tokens ms"):
        shown.add_column(title, justify="right")
    kinds: dict[str, list[TensorCosts]] = {}
    for tensor in table.tensors:
        kinds.setdefault(tensor.kind, []).append(tensor)
    for kind, tensors in kinds.items():
        for number, row in enumerate(_rows(tensors)):
            name = printable(kind, 40) + (f" x {len(tensors)}" if len(tensors) > 1 else "")
            shown.add_row(Text("" if number else name), *row)
        shown.add_section()
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120, no_color=True)
    console.print(shown)
    notes = [
        f"{sum(math.prod(t.shape) for t in table.tensors):,} weights in {len(table.tensors)} tensors, and "
        f"{table.other_bytes / 1e6:.2f} MB of others that stay as they are",
        "errors weighted by the importance matrix" if table.importance_sha256 else "without an importance matrix",
    ]
    if table.machine:
        notes.append(f"512 tokens of a prompt, one token, one token of 16 texts at once: {table.machine}")
    console.print("\n".join(notes), markup=False)


def _rows(tensors: list[TensorCosts]) -> Iterator[tuple[str, ...]]:
    for type_ in dict.fromkeys(choice.type for tensor in tensors for choice in tensor.choices):
        found = [(tensor, choice) for tensor in tensors if (choice := tensor.choice(type_)) is not None]
        size = sum(choice.bytes for _, choice in found)
        relative = [choice.error / tensor.energy for tensor, choice in found if tensor.energy]
        yield (
            type_,
            f"{8 * size / sum(math.prod(tensor.shape) for tensor, _ in found):.2f}",
            f"{size / 1e6:.2f}",
            f"{sum(relative) / len(relative):.3g}" if relative else "-",
            _milliseconds([choice.prefill_seconds for _, choice in found]),
            _milliseconds([choice.decode_seconds for _, choice in found]),
            _milliseconds([choice.batch_seconds for _, choice in found]),
        )


def _milliseconds(seconds: list[float | None]) -> str:
    known = [value for value in seconds if value is not None]
    return f"{1e3 * sum(known):.3f}" if len(known) == len(seconds) else "-"
