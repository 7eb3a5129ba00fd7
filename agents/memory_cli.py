"""Look into a file of verified functions (solve --memory), and remove what is not wanted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from leafwise.agents.memory import KnownFunction

File = Annotated[Path, typer.Argument(metavar="FILE", help="The memory file.")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The function's number, as `list` shows it.")]

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP, no_args_is_help=True)


def main(arguments: list[str]) -> int:
    """Run `leafwise memory`.

    Returns:
        0.

    Raises:
        LeafwiseError: wrong usage, or the file is unusable; whoever called says so, with status 2.
    """
    return run_typer(app, "memory", arguments)


@app.command("list")
def list_functions(file: File) -> int:
    """List the functions: number, signature, what vouches for it, and the task it was written for."""
    from leafwise.agents.memory import open_memory

    for function in open_memory(file, create=False).functions():
        print(f"{function.id:4}  {function.signature}  # {_vouched(function)}; for: {function.task}")
    return 0


@app.command()
def show(file: File, number: Number) -> int:
    """Print a function: its code on standard output, where it comes from on standard error."""
    from leafwise.agents.memory import open_memory

    function = next((f for f in open_memory(file, create=False).functions() if f.id == number), None)
    if function is None:
        raise _no_such(file, number)
    print(function.source, end="" if function.source.endswith("\n") else "\n")
    run = f" in run {function.run}" if function.run else ""
    print(f"written by {function.model}{run}, {function.created}, for: {function.task}", file=sys.stderr)
    print(f"{_vouched(function)}:", file=sys.stderr)
    for check in function.checks:
        print(f"  {check.code}{f' == {check.expected}' if check.expected is not None else ''}", file=sys.stderr)
    return 0


@app.command()
def remove(file: File, number: Number) -> int:
    """Remove a function."""
    from leafwise.agents.memory import open_memory

    if not open_memory(file, create=False).remove(number):
        raise _no_such(file, number)
    return 0


def _vouched(function: KnownFunction) -> str:
    from leafwise.agents.statement import count

    if function.verified_by == "examples":
        return f"passed {count(len(function.checks), 'example')}"
    return f"passed {count(len(function.checks), 'check')} that the model wrote"


def _no_such(file: Path, number: int) -> UsageError:
    return UsageError(f"{file} has no function {number}", f"leafwise memory list {file}")
