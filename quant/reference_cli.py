"""Store what a model says after each token of a text, to measure others against."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.progress_cli import stage

if TYPE_CHECKING:
    from leafwise.quant.reference import ReferenceInfo

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize reference`; 0 for success.

    Raises:
        LeafwiseError: the reference could not be made; whoever called says so, with status 2.
    """
    return run_typer(app, "quantize reference", arguments)


@app.command()
def reference(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name or a GGUF file, best in F16.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The reference file to make.")],
    text: Annotated[
        list[Path] | None,
        typer.Option(help="A text file to measure on; more than one is fine. [default: Python's standard library]"),
    ] = None,
    chunks: Annotated[int, typer.Option(min=0, help="Most chunks of the text; 0 for all.")] = 24,
    context: Annotated[int, typer.Option(min=16, max=2**20, help="Tokens of a chunk.")] = 512,
    check: Annotated[
        Path | None,
        typer.Option(help="A file made from the same model, to measure what compact storage loses. [default: itself]"),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=512, help="Threads. [default: the cores]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Let the output replace a file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Store a model's answers on a text, to measure others against (`leafwise quantize measure`).

    The text is cut into chunks; the second half of each is scored. Of each answer stay the likeliest tokens, the mass
    of the others and a sample of these: about a hundredth of it all. What that loses is measured and printed.
    """
    from leafwise.quant.calibration import calibration_text, text_from_files
    from leafwise.quant.measure import make_reference
    from leafwise.quant.outputs import check_outputs
    from leafwise.runtime.gguf_header import read_header
    from leafwise.runtime.models import resolve

    found = resolve(model)
    check_outputs([target], inputs=[found.path, check, *(text or ())], replace=force)
    template = read_header(found.path).chat_template
    source = text_from_files(text) if text else calibration_text("heldout", chat_template=template)
    with stage(f"{found.name}: chunks") as tell:
        made = make_reference(
            found.path,
            source.text,
            target,
            chunks=chunks or None,
            context=context,
            special_tokens=source.special_tokens,
            threads=threads,
            check=check,
            replace=force,
            progress=tell,
        )
    if as_json:
        print(made.info.model_dump_json(indent=2))
        return 0
    print(target)
    _report(made.info, target.stat().st_size, source.description)
    return 0


def _report(info: ReferenceInfo, size: int, source: str) -> None:
    print(
        f"{info.chunks:,} chunk{'' if info.chunks == 1 else 's'} of {info.context:,} tokens ({source}): "
        f"{info.scored:,} scored, perplexity {info.perplexity:.3f}, {size / 1e6:.1f} MB",
        file=sys.stderr,
    )
    check = info.check
    if check is None:
        print("what compact storage loses could not be measured: name another model with --check", file=sys.stderr)
        return
    print(
        f"compact storage: mean KL to {check.against} on {check.tokens:,} tokens is {check.exact_kl:.5f} from "
        f"all logits and {check.stored_kl:.5f} from the file ({100 * check.relative_error:+.2f} %)",
        file=sys.stderr,
    )
