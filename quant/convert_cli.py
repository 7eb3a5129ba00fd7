"""Convert a Hugging Face directory to a full-precision GGUF file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.errors import UsageError
from leafwise.runtime.progress_cli import stage

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize convert`; 0 for success.

    Raises:
        LeafwiseError: the file could not be made; whoever called says so, with status 2.
    """
    return run_typer(app, "quantize convert", arguments)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="The directory with config.json and the safetensors files.")],
    target: Annotated[Path, typer.Argument(help="The GGUF file to make.")],
    type_: Annotated[str, typer.Option("--type", help="How matrices are stored: f16, bf16 or f32.")] = "f16",
    pre: Annotated[
        str | None, typer.Option(help="llama.cpp's name for the pre-tokenizer, where it is not recognised.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let the output replace a file.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the new file's header as JSON.")] = False,
) -> int:
    """Convert a Llama's checkpoint (Llama 2 and 3, TinyLlama, SmolLM2) to GGUF, to be quantized next.

    The output is whole or not there, and the input is only read.
    """
    from leafwise.quant.convert import convert as run
    from leafwise.quant.float_formats import STORED

    kind = next((known for known in STORED if known == type_), None)
    if kind is None:
        raise UsageError(f"there is no type {type_!r}", f"use one of {', '.join(STORED)}")
    with stage(f"{source.name} -> {kind}") as tell:
        made = run(
            source,
            target,
            type_=kind,
            replace=force,
            pre=pre,
            progress=tell,
        )
    print(made.model_dump_json(indent=2) if json else target)
    print(f"{made.parameters / 1e6:.1f} M parameters, {made.file_bytes / 1e6:.1f} MB", file=sys.stderr)
    return 0
