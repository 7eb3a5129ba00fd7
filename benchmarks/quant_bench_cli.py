"""`leafwise bench quant` and `quant-speed`: quality per bit beside llama.cpp's mixes, and speeds of files by turns."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.errors import UsageError
from leafwise.runtime.progress_cli import stage, stages

if TYPE_CHECKING:
    from leafwise.benchmarks.quant_bench import Comparison

_MIXES = "q3_k_m,iq4_xs,q4_k_s,q4_k_m"


def quant(
    source: Annotated[Path, typer.Argument(help="The full-precision GGUF file.")],
    mixes: Annotated[str, typer.Option(help="llama.cpp's mixes; pure-NAME: one type for all tensors.")] = _MIXES,
    bits: Annotated[str, typer.Option(help="Bits per weight of further allocations, as in 4.25,4.5.")] = "",
    groups: Annotated[int, typer.Option(min=0, help="Groups of tensors whose effect is measured.")] = 48,
    chunks: Annotated[int, typer.Option(min=1, help="Pieces of text for the importance matrix.")] = 64,
    reference_chunks: Annotated[int, typer.Option(min=1, help="Pieces that the effects are measured on.")] = 8,
    held_out_chunks: Annotated[int, typer.Option(min=1, help="Pieces of held-out text to measure on.")] = 24,
    calibration: Annotated[
        list[Path] | None, typer.Option(help="A text to calibrate with, instead of the default; repeatable.")
    ] = None,
    held_out: Annotated[
        list[Path] | None, typer.Option(help="A text to measure on, instead of the default; repeatable.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; one per core by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> int:
    """Compare allocations with llama.cpp's mixes: same file, same importance matrix, same size, held-out text."""
    from leafwise.benchmarks.quant_bench import compare
    from leafwise.quant.calibration import text_from_files
    from leafwise.quant.evidence import Effort
    from leafwise.quant.mixes import MIXES

    names = [name.strip() for name in mixes.split(",") if name.strip()]
    if unknown := [name for name in names if name.removeprefix("pure-") not in MIXES]:
        raise UsageError(f"there is no mix {unknown[0]!r}", f"use one of {', '.join(MIXES)}")
    try:
        wanted = [float(value) for value in bits.split(",") if value.strip()]
    except ValueError as error:
        raise UsageError(f"--bits {bits}: not numbers", "write them as 4.25,4.5") from error
    with stages() as tell:
        found = compare(
            source,
            names,
            wanted,
            effort=Effort(groups=groups, chunks=chunks, reference_chunks=reference_chunks),
            calibration=text_from_files(calibration) if calibration else None,
            held_out=text_from_files(held_out) if held_out else None,
            chunks=held_out_chunks,
            threads=threads or os.cpu_count() or 1,
            tell=tell,
        )
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        _show(found)
    return 0


def quant_speed(
    files: Annotated[list[Path], typer.Argument(help="GGUF files of one model; ratios are to the first.")],
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; in each, every file takes its turn.")] = 5,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; one per core by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> int:
    """Compare files' prefill and batched decode by turns: 16 sequences, 128 prompt and 64 generated tokens."""
    from rich.console import Console
    from rich.table import Table

    from leafwise.benchmarks.quant_speed import measure_speeds

    with stage("rounds") as tell:
        found = measure_speeds(files, rounds=rounds, threads=threads, tell=tell)
    if as_json:
        print(json.dumps([speed.model_dump(mode="json") for speed in found], indent=2))
        return 0
    table = Table(box=None, pad_edge=False)
    for heading in ("file", "prefill tok/s", "beside", "decode tok/s, 16 sequences", "beside"):
        table.add_column(heading)
    for speed in found:
        prefill, decode = speed.beside(found[0])
        table.add_row(speed.path, _range(speed.prefill), f"{prefill:.2f}x", _range(speed.decode), f"{decode:.2f}x")
    Console().print(table)
    return 0


def _range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f}-{max(values):.0f})"


def _show(found: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("file", "size of", "bits", "mean KL", "± error", "predicted", "99 %", "same top", "beside the mix"):
        table.add_column(heading)
    for arm in found.arms:
        pair, kl = found.pair(arm.like), arm.divergence
        beside = f"{100 * (kl.mean_kl / pair[0].divergence.mean_kl - 1):+.1f} %" if pair and arm is pair[1] else ""
        table.add_row(
            arm.name,
            arm.like if arm.name == "ours" else "",
            f"{arm.bits_per_weight:.3f}",
            f"{kl.mean_kl:.5f}",
            f"{kl.mean_kl_error:.5f}",
            "" if arm.predicted_kl is None else f"{arm.predicted_kl:.5f}",
            f"{kl.p99_kl:.4f}",
            f"{100 * kl.top1:.1f} %",
            beside,
        )
    console = Console()
    console.print(table)
    console.print(f"correlation of the groups' error and KL (logs): {found.correlation:.2f}", highlight=False)
