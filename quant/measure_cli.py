"""Measure models on a text: perplexity, and the divergence from a reference."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.errors import UsageError
from leafwise.runtime.progress_cli import stages
from leafwise.runtime.verify_report import printable

if TYPE_CHECKING:
    from leafwise.quant.divergence import Perplexity
    from leafwise.runtime.models import ResolvedModel

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)

_DIVERGENCE = ("mean KL", "median", "99 %", "99.9 %", "max")  # a table of their own on a narrow terminal
_Measure = Callable[[Path, Callable[[int, int], None]], "Perplexity"]


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize measure`; 0 for success.

    Raises:
        LeafwiseError: a model could not be measured; whoever called says so, with status 2.
    """
    return run_typer(app, "quantize measure", arguments)


@app.command()
def measure(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Names of models, or GGUF files.")],
    reference: Annotated[
        Path | None, typer.Option(help="A file of `leafwise quantize reference`; without it, perplexity only.")
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(help="Without --reference: a text file. [default: Python's standard library]"),
    ] = None,
    chunks: Annotated[int, typer.Option(min=0, help="Without --reference: most chunks; 0 for all.")] = 24,
    context: Annotated[int, typer.Option(min=16, max=2**20, help="Without --reference: tokens of a chunk.")] = 512,
    kv_type: Annotated[Literal["f16", "q8_0", "q4_0"], typer.Option(help="How the KV cache is stored.")] = "f16",
    threads: Annotated[int | None, typer.Option(min=1, max=512, help="Threads. [default: the cores]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Measure models on a text: perplexity, and with --reference the KL divergence from it.

    Figures come with their standard errors. One row per model, in the order given.
    """
    from leafwise.runtime.models import resolve

    if reference is not None and text:
        raise UsageError("--text does not go with --reference", "a reference has its own text")
    found = [resolve(name) for name in models]  # all of them, before anything long begins
    if reference is not None:
        how = _against(reference, threads=threads, kv_type=kv_type)
    else:
        how = _alone(found[0], text, chunks=chunks, context=context, threads=threads, kv_type=kv_type)
    with stages() as tell:
        rows = [_row(model, how(model.path, partial(tell, model.name))) for model in found]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    return 0


def _against(path: Path, **options: Any) -> _Measure:
    from leafwise.quant.measure import measure as run
    from leafwise.quant.reference import load_reference

    loaded = load_reference(path)
    return lambda model, progress: run(model, loaded, progress=progress, **options)


def _alone(first: ResolvedModel, text: list[Path] | None, *, chunks: int, context: int, **options: Any) -> _Measure:
    """Perplexity only. One text for all models: chats in it are in the first one's template."""
    from leafwise.quant.calibration import calibration_text, text_from_files
    from leafwise.quant.measure import perplexity
    from leafwise.runtime.gguf_header import read_header

    template = read_header(first.path).chat_template
    source = text_from_files(text) if text else calibration_text("heldout", chat_template=template)

    def how(model: Path, progress: Callable[[int, int], None]) -> Perplexity:
        return perplexity(
            model,
            source.text,
            chunks=chunks or None,
            context=context,
            special_tokens=source.special_tokens,
            progress=progress,
            **options,
        )

    return how


def _row(model: ResolvedModel, figures: Perplexity) -> dict[str, Any]:
    from leafwise.runtime.gguf_header import read_header

    header = read_header(model.path)
    about = {"model": model.name, "path": str(model.path), "bytes": header.file_bytes}
    return about | {"bits_per_weight": header.bits_per_weight} | figures.model_dump()


def _print_table(rows: list[dict[str, Any]]) -> None:
    """A table on a terminal; elsewhere the same cells with tabs between them."""
    cells = [_cells(row) for row in rows]
    if not sys.stdout.isatty():
        print(*cells[0], sep="\t")
        for line in cells:
            print(*line.values(), sep="\t")
    else:
        _print_rich(cells)
    for row in rows:
        if "mean_kl" in row:
            print(_storage_note(row), file=sys.stderr)


def _print_rich(cells: list[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    titles = list(cells[0])
    width = sum(2 + max(len(text) for text in (title, *(line[title] for line in cells))) for title in titles)
    divergence = [title for title in titles if title in _DIVERGENCE]
    halves = [[title for title in titles if title not in divergence], ["model", *divergence]]
    for half in halves if divergence and width > console.width else [titles]:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in half:
            table.add_column(title, justify="left" if title == "model" else "right", no_wrap=title != "model")
        for line in cells:
            table.add_row(*(Text(line[title]) for title in half))
        console.print(table)


def _cells(row: dict[str, Any]) -> dict[str, str]:
    def plus_minus(key: str, digits: int, scale: float = 1.0) -> str:
        return f"{scale * row[key]:.{digits}f} ± {scale * row[key + '_error']:.{digits}f}"

    cells = {
        "model": printable(row["model"]),
        "MB": f"{row['bytes'] / 1e6:.1f}",
        "bits": f"{row['bits_per_weight']:.2f}",
        "perplexity": plus_minus("perplexity", 3),
    }
    if "mean_kl" in row:
        cells |= {
            "ln ratio": plus_minus("log_ratio", 4),
            "mean KL": plus_minus("mean_kl", 5),
            "median": f"{row['median_kl']:.5f}",
            "99 %": f"{row['p99_kl']:.3f}",
            "99.9 %": f"{row['p999_kl']:.3f}",
            "max": f"{row['max_kl']:.3f}",
            "top-1 %": plus_minus("top1", 1, 100),
            "RMS dp %": f"{100 * row['rms_delta_p']:.2f}",
        }
    return cells


def _storage_note(row: dict[str, Any]) -> str:
    """What the reference's compact form makes of the mean."""
    share = 100 * row["mean_kl_storage_error"] / row["mean_kl"] if row["mean_kl"] else 0.0
    return (
        f"{printable(row['model'])}: from all logits of the reference, mean KL would be {row['mean_kl']:.5f} "
        f"± {row['mean_kl_storage_error']:.5f} ({share:.2f} %), and at least {row['mean_kl_bound']:.5f}"
    )
