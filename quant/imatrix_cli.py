"""Gather, merge and show importance matrices: what activations say about which weights matter."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.errors import UsageError
from leafwise.runtime.progress_cli import stage

if TYPE_CHECKING:
    from leafwise.quant.calibration import CalibrationText
    from leafwise.quant.importance import ImportanceMatrix

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
_SHOWN = 5  # most and least important tensors


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize imatrix`; 0 for success.

    Raises:
        LeafwiseError: it could not be done; whoever called says so, with status 2.
    """
    return run_typer(app, "quantize imatrix", arguments)


@app.command()
def imatrix(
    model: Annotated[
        str, typer.Argument(help="A model's name, or a GGUF file, best in F16; with --show, the file to show.")
    ],
    out: Annotated[Path | None, typer.Argument(help="The file to make; llama.cpp's tools read it too.")] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(help="Text to run, repeatable; by default code and instructions from Python's standard library."),
    ] = None,
    chunks: Annotated[int, typer.Option(min=0, help="Most pieces of text to run; 0 only merges.")] = 100,
    context: Annotated[int, typer.Option(min=16, help="Tokens of each piece.")] = 512,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; by default one per core.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what OUT holds.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT.")] = False,
    merge: Annotated[
        list[Path] | None, typer.Option(help="Matrices to add to this one, repeatable, as if their texts were run too.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show a matrix; nothing is run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Gather the importance of each tensor's input columns; --chunks 100 --resume goes on to 100 pieces.

    Ctrl-C keeps what is done: OUT is then usable, and --resume goes on.
    """
    from leafwise.quant.gguf_imatrix import read_imatrix

    if show:
        if out is not None:
            raise UsageError("--show takes one file", "leave the others out")
        _print(read_imatrix(Path(model)), as_json=as_json)
        return
    if out is None:
        raise UsageError("there is no OUT", "say which file to make, or --show the one that is there")
    _check(merging=bool(merge), chunks=chunks, resume=resume, force=force)
    _check_out(model, out, [*(text or ()), *(merge or ())], runs=chunks > 0, resume=resume, force=force)
    matrices = [read_imatrix(path) for path in merge or ()]  # before the long work
    if chunks:
        calibration = _text(text or [], model)
        matrices.insert(
            0, _gather(model, out, calibration, chunks=chunks, context=context, threads=threads, fresh=force)
        )
    _print(_finished(matrices, out), as_json=as_json)


def _check(*, merging: bool, chunks: int, resume: bool, force: bool) -> None:
    if resume and (force or merging):
        raise UsageError(
            f"--resume does not go with --{'force' if force else 'merge'}", "first the one, then the other"
        )
    if not chunks and not merging:
        raise UsageError("nothing to do", "ask for some --chunks, or give files to --merge")


def _check_out(model: str, out: Path, inputs: list[Path], *, runs: bool, resume: bool, force: bool) -> None:
    from leafwise.quant.outputs import check_outputs
    from leafwise.runtime.models import resolve

    if out.exists() and not (resume or force):
        raise UsageError(f"{out} exists already", "add --resume to go on with it, or --force to replace it")
    check_outputs([out], inputs=[resolve(model).path if runs else Path(model), *inputs], replace=True)


def _text(paths: list[Path], model: str) -> CalibrationText:
    from leafwise.quant.calibration import calibration_text, text_from_files
    from leafwise.runtime.gguf_header import read_header
    from leafwise.runtime.models import resolve

    if paths:
        return text_from_files(paths)
    return calibration_text("calibration", chat_template=read_header(resolve(model).path).chat_template)


def _gather(
    model: str, out: Path, text: CalibrationText, *, chunks: int, context: int, threads: int | None, fresh: bool
) -> ImportanceMatrix:
    from leafwise.quant.imatrix import gather
    from leafwise.runtime.models import resolve

    found = resolve(model)
    with stage(f"running text through {found.name}") as tell:
        try:
            return gather(
                found.path,
                text,
                chunks=chunks,
                context=context,
                threads=threads,
                progress=tell,
                resume=out,
                fresh=fresh,
            )
        except KeyboardInterrupt:
            kept = "what is done is kept: add --resume to go on" if out.exists() else "nothing was done yet"
            print(f"interrupted: {kept}", file=sys.stderr)
            raise


def _finished(matrices: list[ImportanceMatrix], out: Path) -> ImportanceMatrix:
    from leafwise.quant.gguf_imatrix import write_imatrix
    from leafwise.quant.importance import merge

    return write_imatrix(merge(*matrices), out)


def _print(matrix: ImportanceMatrix, *, as_json: bool) -> None:
    means = {name: float(matrix.mean(name).mean()) for name in matrix.sums}
    if as_json:
        fields = ("chunks", "chunk_size", "datasets", "sha256", "model_sha256", "text_sha256")
        facts = {field: getattr(matrix, field) for field in fields}
        print(json.dumps(facts | {"key_maxima_blocks": len(matrix.key_maxima), "tensors": means}, indent=2))
        return
    facts = {
        "tensors": f"{len(means):,}",
        "chunks": f"{matrix.chunks:,} of {matrix.chunk_size:,} tokens",
        "texts": "; ".join(matrix.datasets) or "not given",
        "key maxima": f"of {len(matrix.key_maxima):,} blocks" if matrix.key_maxima else "none",
        "SHA-256": matrix.sha256,
    }
    for label, value in facts.items():
        print(f"{label:<11}", "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value))
    ranked = sorted(means, key=lambda name: -means[name])
    shown = ranked if len(ranked) <= 2 * _SHOWN else [*ranked[:_SHOWN], "", *ranked[-_SHOWN:]]
    print("\nmean of the squared inputs, and the largest column's share of them; most and least important")
    for name in shown:
        print(_line(matrix, name, means[name]) if name else "  ...")


def _line(matrix: ImportanceMatrix, name: str, mean: float) -> str:
    values = matrix.mean(name)
    share = float(values.max()) / max(float(values.sum(dtype=float)), 1e-30)
    label = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:60])
    return f"  {label:<32} {mean:>10.4g} {100 * share:>6.1f} %"
