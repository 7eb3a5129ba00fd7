"""Show bits per weight, and errors against the full-precision file, per layer and kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.progress_cli import stage
from leafwise.runtime.verify_report import printable

if TYPE_CHECKING:
    from rich.text import Text

    from leafwise.quant.inspect import Importance, InspectedTensor, Inspection

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
_COLOURS = ((2.6, "red"), (3.6, "dark_orange"), (4.4, "yellow"), (5.1, "green"), (6.0, "cyan"), (9.0, "blue"))


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize inspect`; 0 for success.

    Raises:
        LeafwiseError: a file cannot be read or the picture cannot be made; whoever called says so, with status 2.
    """
    return run_typer(app, "quantize inspect", arguments)


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(metavar="FILE", help="A GGUF file, or a model's name.")],
    reference: Annotated[
        Path | None, typer.Option(help="The full-precision GGUF file of the same model: errors are relative to it.")
    ] = None,
    imatrix: Annotated[Path | None, typer.Option(help="An importance matrix, to weight errors with.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw a heat map into this .svg, .png or .pdf file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Let the picture replace a file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a GGUF file is made of: a table of blocks and kinds, coloured by bits per weight."""
    from leafwise.quant.inspect import inspect as look
    from leafwise.quant.outputs import check_outputs
    from leafwise.runtime.errors import UsageError
    from leafwise.runtime.models import resolve

    if imatrix is not None and reference is None:
        raise UsageError("an importance matrix weights errors, and there are none", "add --reference F16.gguf")
    found = resolve(model)
    check_outputs([picture], inputs=[found.path, reference, imatrix], replace=force)
    with stage(found.name) as progress:
        inspection = look(found.path, reference=reference, importance=_importance(imatrix), progress=progress)
    if picture is not None:
        from leafwise.quant.inspect_picture import draw

        draw(inspection, picture, found.path.name)
    if as_json:
        print(json.dumps({"path": str(found.path)} | inspection.model_dump(mode="json"), indent=2))
    else:
        _print(inspection, found.path)


def _importance(path: Path | None) -> Importance | None:
    if path is None:
        return None
    from leafwise.quant.gguf_imatrix import read_imatrix

    matrix = read_imatrix(path)
    return {name: matrix.mean(name) for name in matrix.sums}


def _print(inspection: Inspection, path: Path) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    mix = ", ".join(f"{kind} {100 * part:.1f} %" for kind, part in inspection.types.items())
    facts = {
        "file": f"{path} ({inspection.file_bytes / 1e6:,.1f} MB)",
        "weights": f"{inspection.parameters:,}, {inspection.bits_per_weight:.2f} bits each: {mix}",
    }
    if inspection.error is not None:
        weighted = ", weighted by importance" if inspection.weighted else ""
        facts["error"] = f"{100 * inspection.error:.2f} % of the weights in {inspection.reference}{weighted}"
    for label, value in (facts | inspection.provenance).items():
        console.print(Text.assemble((f"{printable(label, 24):<12} ", "bold"), printable(value)))
    console.print()
    for line in _table(inspection):
        line.rstrip()
        console.print(line, crop=False, no_wrap=True, overflow="ignore")


def _table(inspection: Inspection) -> list[Text]:
    """Blocks as rows and kinds as columns; below, what lies outside of blocks."""
    from rich.text import Text

    width = 13 if inspection.error is None else 20
    lines = []
    if inspection.blocks:
        kinds = (printable(kind, width - 1) for kind in inspection.kinds)
        lines.append(Text("block  " + "".join(f"{kind:<{width}}" for kind in kinds), style="bold"))
    for block in inspection.blocks:
        cells = (_cell(inspection.at(block, kind), width) for kind in inspection.kinds)
        lines.append(Text.assemble(f"{block:>5}  ", *cells))
    for tensor in inspection.outside:
        lines.append(Text.assemble(f"{printable(tensor.kind, 24)}  ", _cell(tensor, width)))
    what = "type, bits per weight" + ("" if inspection.error is None else ", error in % of the weights")
    return [*lines, Text(f"({what})")]


def _cell(tensor: InspectedTensor | None, width: int) -> tuple[str, str]:
    """Text and style."""
    if tensor is None:
        return f"{'-':<{width}}", ""
    error = "" if tensor.error is None else f" {100 * tensor.error:6.2f}"
    return f"{tensor.type.lower():<7}{tensor.bits:4.1f}{error}".ljust(width), _colour(tensor.bits)


def _colour(bits: float) -> str:
    return next((colour for most, colour in _COLOURS if bits <= most), "default")
