"""Make a quantized GGUF file: by a named mix, a recipe, or as good as can be within a size, a memory or a speed."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.errors import UsageError
from leafwise.runtime.progress_cli import stages
from leafwise.runtime.verify_report import printable

if TYPE_CHECKING:
    from leafwise.quant.contracts import Recipe
    from leafwise.quant.importance import ImportanceMatrix
    from leafwise.quant.making import Made
    from leafwise.quant.mixes import Mix
    from leafwise.quant.planning import Ask

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
_DEFAULT_MIX = "q4_k_m"
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmg]?)(i?)b?", re.IGNORECASE)


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize SOURCE TARGET`; 0 for success.

    Raises:
        LeafwiseError: the file could not be made; whoever called says so, with status 2.
    """
    return run_typer(app, "quantize", arguments)


@app.command()
def quantize(
    source: Annotated[Path, typer.Argument(help="The GGUF file to read, best in F16.")],
    target: Annotated[Path | None, typer.Argument(help="The GGUF file to make; not with --dry-run.")] = None,
    mix: Annotated[str, typer.Option(help="One of llama.cpp's named mixes, such as q4_k_m, q4_0, iq4_nl.")] = "",
    recipe: Annotated[Path | None, typer.Option(help="A recipe that an earlier run saved.")] = None,
    bpw: Annotated[float | None, typer.Option(min=1.5, max=32.0, help="Bits per weight, at most.")] = None,
    size: Annotated[str, typer.Option(help="Size of the file, at most: 4.5GB, 800MiB.")] = "",
    fit_ram: Annotated[str, typer.Option(help="Memory to run it in, with --context: 8GB.")] = "",
    context: Annotated[int, typer.Option(min=1, help="Tokens of context that --fit-ram has to hold.")] = 8192,
    for_this_machine: Annotated[
        bool, typer.Option("--for-this-machine", help="About as fast here as the fastest types, and the best of those.")
    ] = False,
    slack: Annotated[float, typer.Option(min=0.0, help="What --for-this-machine may be slower, as a share.")] = 0.1,
    imatrix: Annotated[Path | None, typer.Option(help="An importance matrix; a limit gathers one by default.")] = None,
    no_imatrix: Annotated[bool, typer.Option("--no-imatrix", help="Do without an importance matrix.")] = False,
    groups: Annotated[int, typer.Option(min=0, help="Groups of tensors whose effect is measured; 0: none.")] = 48,
    save_recipe: Annotated[Path | None, typer.Option(help="Write the recipe to this file.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Choose, and print the recipe; make no file.")] = False,
    measure: Annotated[bool, typer.Option("--measure", help="Measure the KL divergence on held-out text.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that compute; one per core by default.")] = None,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Accept an input that is quantized already.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Let outputs replace files, though no inputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the recipe, or what was made, as JSON.")] = False,
) -> int:
    """Make a quantized GGUF file, whole or not at all; the input is never touched. The default is --mix q4_k_m.

    With a limit (--bpw, --size, --fit-ram, --for-this-machine) every tensor gets the type that serves the whole best:
    an importance matrix is gathered, every tensor's error in every type computed, its effect on the loss measured, and
    an integer linear program solved. What was measured is kept for the next time.
    """
    from leafwise.quant.contracts import Recipe
    from leafwise.quant.evidence import Effort
    from leafwise.quant.making import choose, make, read_matrix
    from leafwise.quant.mixes import MIXES
    from leafwise.quant.outputs import check_outputs
    from leafwise.quant.planning import Ask
    from leafwise.quant.recipes import write_recipe
    from leafwise.quant.safe_write import check_target
    from leafwise.runtime.opening import usable_cores

    ask = Ask(
        bits_per_weight=bpw,
        file_bytes=_bytes(size, "--size"),
        memory_bytes=_bytes(fit_ram, "--fit-ram"),
        context=context,
        for_this_machine=for_this_machine,
        slack=slack,
    )
    if imatrix is not None and no_imatrix:
        raise UsageError("--imatrix and --no-imatrix exclude each other", "give one of them")
    if requantize and ask.anything:
        raise UsageError("--requantize does not go with limits", "start from the F16 file: errors are relative to it")
    _check(mix, recipe, ask, target, save_recipe, dry_run=dry_run)
    check_outputs((target, save_recipe), inputs=(source, recipe, imatrix), replace=force)
    if target is not None:
        check_target(target, replace=force)
    workers = threads or usable_cores()
    with stages() as tell:
        chosen: Mix | Recipe
        if ask.anything:
            effort = Effort(importance=not no_imatrix, groups=groups, speeds=for_this_machine)
            chosen, matrix = choose(source, ask, effort, imatrix=imatrix, threads=workers, tell=tell)
        else:
            matrix = read_matrix(imatrix)
            chosen = _read(recipe, matrix, without=no_imatrix) if recipe else MIXES[mix or _DEFAULT_MIX]
        made = None
        if target is not None and not dry_run:
            made = make(
                source,
                target,
                chosen,
                matrix=matrix,
                threads=workers,
                requantize=requantize,
                replace=force,
                most_bytes=ask.file_bytes,
                measured=measure,
                tell=tell,
            )
            chosen = made.recipe or chosen
    if save_recipe is not None and isinstance(chosen, Recipe):
        write_recipe(chosen, save_recipe)
    if made is not None and target is not None:
        _tell_made(target, made, as_json=as_json)
    else:
        _tell_recipe(chosen, as_json=as_json)
    return 0


def _check(
    mix: str,
    recipe: Path | None,
    ask: Ask,
    target: Path | None,
    save_recipe: Path | None,
    *,
    dry_run: bool,
) -> None:
    """Refuse options that contradict each other, before anything is measured."""
    from leafwise.quant.mixes import MIXES

    if mix and mix not in MIXES:
        raise UsageError(f"there is no mix {mix!r}", f"use one of {', '.join(MIXES)}")
    if sum((bool(mix), recipe is not None, ask.anything)) > 1:
        raise UsageError("a mix, a recipe and limits exclude each other", "give one of --mix, --recipe, --bpw ...")
    if dry_run and not ask.anything:
        raise UsageError("--dry-run has nothing to choose", "give a limit, such as --bpw 4.5")
    if not dry_run and target is None:
        raise UsageError("no file to make was given", "leafwise quantize SOURCE TARGET, or --dry-run")
    if save_recipe is not None and recipe is None and not ask.anything:
        raise UsageError("a mix has no recipe to save", "give a limit, such as --bpw 4.5")


def _read(path: Path, matrix: ImportanceMatrix | None, *, without: bool) -> Recipe:
    """A recipe, to be used with the importance matrix that it was made with, or knowingly without."""
    from leafwise.quant.making import check_matrix
    from leafwise.quant.recipes import read_recipe

    recipe = read_recipe(path)
    if not without:
        check_matrix(recipe, matrix)
    elif recipe.importance_sha256 is not None:
        print("the recipe was made with an importance matrix: without one its predictions do not hold", file=sys.stderr)
    return recipe


def _bytes(text: str, option: str) -> int | None:
    """A size such as 4.5GB or 800MiB."""
    if not text:
        return None
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{option}: {text!r} is no size", "write it as 4.5GB or 800MiB")
    unit = 1024 if found[3] else 1000
    size = int(float(found[1]) * unit ** ("kmg".find(found[2].lower()) + 1 if found[2] else 0))
    if size < 1:
        raise UsageError(f"{option}: no file has {text}", "write it as 4.5GB or 800MiB")
    return size


def _tell_made(target: Path, made: Made, *, as_json: bool) -> None:
    header, recipe, divergence = made.header, made.recipe, made.divergence
    if as_json:
        told = {
            "path": str(target),
            "header": header.model_dump(mode="json", exclude={"chat_template"}),
            "recipe": recipe.model_dump(mode="json") if recipe else None,
            "divergence": divergence.model_dump(mode="json") if divergence else None,
        }
        print(json.dumps(told, indent=2))
        return
    print(target)
    print(f"{header.bits_per_weight:.2f} bits per weight, {header.file_bytes / 1e6:.1f} MB", file=sys.stderr)
    if recipe and "mean_kl" in recipe.predicted:
        print(f"predicted mean KL divergence {recipe.predicted['mean_kl']:.4f}", file=sys.stderr)
    if divergence:
        kl = f"mean KL divergence {divergence.mean_kl:.4f} (standard error {divergence.mean_kl_error:.4f})"
        print(f"measured on held-out text: {kl}, same top token {100 * divergence.top1:.1f} %", file=sys.stderr)
    for (wanted, given), count in Counter(header.fallbacks.values()).items():
        print(f"{count} tensors got {given}: {wanted} does not fit their rows", file=sys.stderr)


def _tell_recipe(recipe: Mix | Recipe, *, as_json: bool) -> None:
    from leafwise.quant.contracts import Recipe

    if not isinstance(recipe, Recipe):
        return
    if as_json:
        print(recipe.model_dump_json(indent=2))
        return
    width = max(map(len, recipe.types))
    for name, type_ in recipe.types.items():
        print(printable(f"{name:<{width}}  {type_:<8}  {recipe.why.get(name, '')}".rstrip()))
    print(", ".join(f"{name} {value:.6g}" for name, value in recipe.predicted.items()), file=sys.stderr)
