"""Solve a coding task: decompose, write, run, check, repair."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.engine_cli import (
    Context,
    Deterministic,
    InProcess,
    KVTypeName,
    ModelName,
    Threads,
    engine_options,
)
from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from leafwise.agents.contracts import Answer
    from leafwise.agents.solve import Run

# what is slow to import (pydantic, rich, langgraph, llama.cpp) is imported inside: `--help` should be quick

PASSED, NOT_PASSED = 0, 1

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)


def main(arguments: list[str]) -> int:
    """Run `leafwise solve`.

    Returns:
        0 if the answer passed its examples, 1 if it is a best effort that failed or could not be checked, 2 for wrong
        usage.

    Raises:
        LeafwiseError: bad input, or the machinery failed; whoever called says so, with status 2.
    """
    return run_typer(app, "solve", arguments)


@app.command()
def solve(
    context: typer.Context,
    task: Annotated[
        str | None, typer.Argument(help="What to write: prose, or Python with a docstring. - reads standard input.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the task from a file.")] = None,
    model: ModelName = "smollm2-135m",
    strategy: Annotated[
        str,
        typer.Option(
            help="direct (one greedy answer), resample (until the tokens are spent), paper (the published method),"
            " guided (the default), or guided-no-PART (without gate, decompose, critic, tester, consensus, repair)."
        ),
    ] = "guided",
    example: Annotated[
        list[str] | None, typer.Option("--example", "-e", help="A visible example, such as 'f(2) == 4'; repeatable.")
    ] = None,
    tests: Annotated[
        Path | None, typer.Option(help="A Python file of asserts and tests to pass; it imports from solution.")
    ] = None,
    allow_import: Annotated[
        list[str] | None,
        typer.Option(help="An installed package that the answer may import, such as numpy; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the code to this new file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --out replace a file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show progress.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="All sampling derives from it.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=16, help="Most tokens to generate in the whole run.")] = 12_000,
    time_limit: Annotated[
        float | None, typer.Option(min=0.1, help="Most seconds for the run, once the model is loaded.")
    ] = None,
    sandbox: Annotated[
        Literal["auto", "full", "landlock", "none"],
        typer.Option(help="How strongly programs are contained; none is for code you trust."),
    ] = "auto",
    trace: Annotated[Path | None, typer.Option(help="Append every event to this file, as JSON lines.")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with a stored run: its id, or last.")] = None,
    window: Context = None,
    threads: Threads = None,
    kv_type: KVTypeName = "f16",
    deterministic: Deterministic = False,
    in_process: InProcess = False,
) -> int:
    """Solve a coding task with a small local model; every program it writes is run and checked in a sandbox.

    Prints the code on standard output, and what was checked and what was not on standard error. Exit status: 0 checked
    and passed; 1 a best effort that failed or could not be checked; 2 usage or environment error; 130 interrupted.
    """
    from leafwise.agents.settings import Settings
    from leafwise.agents.solve import read_inputs, start
    from leafwise.agents.solve import resume as go_on
    from leafwise.agents.strategies import with_strategy
    from leafwise.runtime.sandbox_contracts import SandboxLevel

    check_out(out, force=force)
    level = None if sandbox == "auto" else SandboxLevel(sandbox)
    engine = engine_options(window, threads, kv_type, deterministic=deterministic, in_process=in_process)
    if resume is not None:
        refuse_beside_resume(context)
        chosen = model if _is_given(context, "model") else None
        return _show(
            go_on(resume, model=chosen, engine=engine, sandbox=level, trace=trace), out, as_json=as_json, quiet=quiet
        )
    settings = with_strategy(Settings(seed=seed, max_tokens=max_tokens, time_limit=time_limit), strategy)
    inputs = read_inputs(read_statement(task, file), example or (), tests, allow_import or ())
    run = start(inputs, model=model, engine=engine, settings=settings, sandbox=level, store=True, trace=trace)
    return _show(run, out, as_json=as_json, quiet=quiet)


def refuse_beside_resume(context: typer.Context) -> None:
    """A stored run has its task and settings: giving others would be ignored, so it is refused.

    Raises:
        UsageError: one of them is given.
    """
    stored = ("task", "file", "strategy", "example", "tests", "allow_import", "seed", "max_tokens", "time_limit")
    for name in stored:
        if _is_given(context, name):
            option = "TASK" if name == "task" else f"--{name.replace('_', '-')}"
            raise UsageError(
                f"--resume goes on with a stored task and its settings: {option} cannot be given", f"leave out {option}"
            )


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def read_statement(task: str | None, file: Path | None) -> str:
    """The task's text from wherever it was given.

    Raises:
        UsageError: from nowhere, from two places, or the file can't be read.
    """
    if (task is None) == (file is None):
        raise UsageError(
            "no task given" if task is None else "the task is given twice", 'leafwise solve "Write a function ..."'
        )
    try:
        if task is not None and " " not in task and task != "-" and Path(task).is_file():
            raise UsageError(f"{task} is a file, not a task", f"leafwise solve --file {task}")
        if file is not None:
            return file.read_text(encoding="utf-8")
        return sys.stdin.buffer.read().decode("utf-8") if task == "-" else str(task)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the task: {error}", "give a text file in UTF-8") from error


def check_out(out: Path | None, *, force: bool) -> None:
    """Find out before the work whether its result can be written.

    Raises:
        UsageError: it can't, or it would replace something.
    """
    if out is None:
        return
    try:
        exists, possible = out.exists(), out.parent.is_dir() and os.access(out.parent, os.W_OK)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}", "choose another name") from error
    if exists and not out.is_file():
        kind = "a directory" if out.is_dir() else "no regular file"
        raise UsageError(f"cannot write {out}: it is {kind}", "choose another name; the code is on standard output too")
    if exists and not force:
        raise UsageError(f"{out} exists already", "choose another name, or add --force to replace it")
    if not possible:
        raise UsageError(f"cannot write {out}", "choose a file in a directory that exists and is writable")


def write_out(out: Path, code: str) -> None:
    """Write the code, whole or not at all.

    Raises:
        UsageError: it can't be written; the code is on standard output all the same.
    """
    from leafwise.runtime.paths import write_whole

    try:
        write_whole(out.resolve(), code.encode())  # through a link: what it points to is replaced, not the link
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}", "the code was printed above") from error


def _show(run: Run, out: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Show a run as it goes and its answer in the end."""
    from rich.console import Console

    from leafwise.agents.contracts import AnswerStatus
    from leafwise.agents.errors import RunInterrupted
    from leafwise.agents.view import open_view

    errors = Console(stderr=True)
    try:
        with open_view(errors, quiet=quiet) as view:
            for event in run:
                view.feed(event)
        answer = run.result()
    except KeyboardInterrupt:
        run.cancel()
        errors.print("stopping ...", style="dim")
        with contextlib.suppress(RunInterrupted):
            run.result()
        print(f"interrupted; go on with: leafwise solve --resume {run.id}", file=sys.stderr)
        raise
    _print_answer(answer, as_json=as_json)
    if out is not None and answer.code:
        write_out(out, answer.code)
    return PASSED if answer.status is AnswerStatus.PASSED else NOT_PASSED


def _print_answer(answer: Answer, *, as_json: bool) -> None:
    from rich.console import Console
    from rich.syntax import Syntax

    from leafwise.agents.statement import count

    if as_json:
        print(answer.model_dump_json(indent=2))
    elif sys.stdout.isatty():
        Console().print(Syntax(answer.code.rstrip("\n"), "python", theme="ansi_dark", background_color="default"))
    else:
        print(answer.code, end="")
    spent = answer.spent
    cached = 100 * spent.cached_tokens // max(1, spent.prompt_tokens)
    style = {"passed": "green", "unchecked": "yellow", "failed": "red"}[answer.status]
    errors = Console(stderr=True, highlight=False)
    wrapped = errors.is_terminal  # a pipe gets whole lines
    errors.print(answer.statement, style=style, markup=False, soft_wrap=not wrapped)
    errors.print(
        f"{answer.model}, {answer.strategy}: {count(answer.candidates, 'candidate')} in {count(spent.calls, 'call')}, "
        f"{count(spent.completion_tokens, 'token')}, {spent.seconds:.1f} s, {cached} % of the prompts from the cache; "
        f"sandbox {answer.sandbox}; run {answer.run}",
        style="dim",
        markup=False,
        soft_wrap=not wrapped,
    )
