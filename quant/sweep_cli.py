"""Sizes against predicted loss: the best types for every size, as a table and a plot."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.progress_cli import stage
from leafwise.runtime.verify_report import printable

if TYPE_CHECKING:
    from leafwise.quant.pareto import Sweep

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize sweep`; 0 for success.

    Raises:
        LeafwiseError: it could not be done; whoever called says so, with status 2.
    """
    return run_typer(app, "quantize sweep", arguments)


@app.command()
def sweep(
    costs: Annotated[Path, typer.Argument(help="A cost table, made with `leafwise quantize costs --out FILE`.")],
    first: Annotated[float, typer.Option("--from", help="The smallest size, in bits per weight.")] = 3.5,
    last: Annotated[float, typer.Option("--to", help="The largest size.")] = 6.0,
    step: Annotated[float, typer.Option(help="Between sizes.")] = 0.25,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it: .svg, .png or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Sweep sizes: for each the types with the least predicted loss. The loss is a proxy, good for comparing."""
    from leafwise.quant import pareto, plots
    from leafwise.quant.outputs import check_outputs

    sizes = pareto.steps(first, last, step)
    if plot:
        plots.check_format(plot)  # before the work
        check_outputs([plot], inputs=[costs], replace=True)
    table = pareto.read_table(costs)
    with stage("sweeping") as tell:
        made = pareto.sweep(table, sizes, progress=tell)
    if plot:
        plots.plot_sweep(made, plot, title=f"{len(table.tensors):,} tensors of {costs.name}")
    if as_json:
        print(made.model_dump_json(indent=2))
    else:
        _print(made)
    for message in made.skipped.values():
        print(f"left out: {message}", file=sys.stderr)
    return 0


def _print(made: Sweep) -> None:
    """A line per size: tab-separated where it goes into a pipe."""
    timed = all("prefill_seconds" in point.totals for point in made.points)
    head = ["bits/weight", "MB", "loss", *(["prefill ms", "decode ms"] if timed else []), "types"]
    rows = []
    for point in made.points:
        totals = point.totals
        times = [f"{1e3 * totals[name]:.2f}" for name in ("prefill_seconds", "decode_seconds")] if timed else []
        mix = ", ".join(f"{type_} {100 * share:.0f} %" for type_, share in list(point.shares.items())[:4])
        more = f", {len(point.shares) - 4} more" if len(point.shares) > 4 else ""
        size = f"{totals['bits_per_weight']:.3f}", f"{totals['bytes'] / 1e6:.1f}", f"{totals['error']:.4g}"
        rows.append([*size, *times, printable(mix + more)])
    if not sys.stdout.isatty():
        for row in [head, *rows]:
            print(*row, sep="\t")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for title in head:
        shown.add_column(title, justify="left" if title == "types" else "right")
    for row in rows:
        shown.add_row(*map(Text, row))
    Console(highlight=False).print(shown)
