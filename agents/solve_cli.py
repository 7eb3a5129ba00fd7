"""Solve a coding task: decompose, write, run, check, repair."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leafwise.agents.settings import Part
from leafwise.runtime.cli import HELP, run_typer
from leafwise.runtime.engine_cli import (
    Deterministic,
    InProcess,
    KVTypeName,
    ModelName,
    Threads,
    Window,
    engine_options,
)
from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from leafwise.agents.review_cli import TerminalReview
    from leafwise.agents.settings import Settings

# what is slow to import (pydantic, rich, langgraph, llama.cpp) is imported inside: `--help` should be quick

_INPUTS = ("task", "file", "config", "strategy", "example", "tests", "allow_import", "context_path", "memory")
_BUDGET = ("max_tokens", "time_limit")
_STORED = (*_INPUTS, "seed", *_BUDGET)
"""Parameters that a run keeps; of these, only the budget can be given anew."""

_OWN_SEED = ": a run keeps its seed; start a new one for another"

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
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file of settings, of the team and of its roles; options given here win."),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print such a file: all settings, explained, with their defaults.")
    ] = False,
    strategy: Annotated[
        str,
        typer.Option(
            help="direct (one greedy answer), resample (until the tokens are spent), paper (the published method),"
            f" guided (the default team), or guided-no-PART, where PART is one of {', '.join(Part)}."
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
    context_path: Annotated[
        list[str] | None,
        typer.Option("--context", help="A Python file or a folder whose functions the answer may import; repeatable."),
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option(help="A file of verified functions: known ones are tried, new ones kept; made if missing."),
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
    review: Annotated[
        bool | None, typer.Option(help="Stop after each plan, to look at it and edit it; a resumed run as before.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with a stored run: its id, or last. It may get a larger budget.")
    ] = None,
    window: Window = None,
    threads: Threads = None,
    kv_type: KVTypeName = "f16",
    deterministic: Deterministic = False,
    in_process: InProcess = False,
) -> int:
    """Solve a coding task with a small local model; every program it writes is run and checked in a sandbox.

    Prints the code on standard output, and what was checked and what was not on standard error. Exit status: 0 checked
    and passed; 1 a best effort that failed or could not be checked; 2 usage or environment error; 130 interrupted.
    """
    if print_config:
        from leafwise.agents.team_text import team_text

        print(team_text(), end="")
        return 0
    with _told_if_interrupted():
        from rich.console import Console

        from leafwise.agents.answer_cli import check_out, show
        from leafwise.agents.solve import read_inputs, start
        from leafwise.agents.solve import resume as go_on
        from leafwise.runtime.sandbox_contracts import SandboxLevel

        check_out(out, force=force)
        level = None if sandbox == "auto" else SandboxLevel(sandbox)
        engine = engine_options(window, threads, kv_type, deterministic=deterministic, in_process=in_process)
        console = Console(stderr=True)
        if resume is not None:
            refuse_beside_resume(context)
            chosen = model if _is_given(context, "model") else None
            asks = _review_of(resume, review, console)
            more = {name: context.params[name] for name in _BUDGET if _is_given(context, name)}
            run = go_on(resume, model=chosen, engine=engine, sandbox=level, review=asks, trace=trace, **more)
        else:
            knobs = {"seed": seed, "max_tokens": max_tokens, "time_limit": time_limit}
            settings, model = _team(context, config, model, strategy, knobs)
            asks = _review(settings, console) if review else None
            paths = context_paths(context_path or ())
            inputs = read_inputs(read_statement(task, file), example or (), tests, allow_import or (), paths)
            run = start(
                inputs,
                model=model,
                engine=engine,
                settings=settings,
                sandbox=level,
                store=True,
                review=asks,
                trace=trace,
                memory=memory,
            )
    again = options_beside_resume(context)
    return show(run, out, as_json=as_json, quiet=quiet, console=console, review=asks, again=again)


@contextlib.contextmanager
def _told_if_interrupted() -> Iterator[None]:
    """Loading code takes seconds: who stops that hears that no run is left behind."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted before the run began", file=sys.stderr)
        raise


def _team(
    context: typer.Context, config: Path | None, model: str, strategy: str, knobs: dict[str, float | None]
) -> tuple[Settings, str]:
    """The settings, and the model of roles that name none: from the file, but for the options that are given."""
    from leafwise.agents.settings import Settings
    from leafwise.agents.strategies import with_strategy
    from leafwise.agents.team_file import TeamFile, read_team_file

    if config is None:
        file = TeamFile(settings=with_strategy(Settings(), strategy), model=None)
    else:
        file = read_team_file(config)
    given = {name: value for name, value in knobs.items() if _is_given(context, name)}
    settings = file.settings.model_copy(update=given)
    if _is_given(context, "strategy"):
        settings = with_strategy(settings, strategy)
    return settings, model if _is_given(context, "model") else file.model or model


def _review(settings: Settings, console: Console) -> TerminalReview:
    from leafwise.agents.review_cli import open_review
    from leafwise.agents.strategies import strategy_name

    if settings.strategy in ("direct", "resample") or not settings.has(Part.DECOMPOSE):
        raise UsageError(
            f"--review has nothing to show: the strategy {strategy_name(settings)} makes no plans", "leave out --review"
        )
    return open_review(console)


def _review_of(run: str, wanted: bool | None, console: Console) -> TerminalReview | None:
    """A stored run is reviewed if it was before, unless the user says."""
    from leafwise.agents.runs import load_run

    record = load_run(run).record
    reviewed = record.reviewed if wanted is None else wanted
    return _review(record.settings, console) if reviewed else None


def refuse_beside_resume(context: typer.Context) -> None:
    """A stored run has its task and settings, but for a larger budget: others would be ignored, so they are refused.

    Raises:
        UsageError: one of them is given.
    """
    for name in _STORED:
        if _is_given(context, name) and name not in _BUDGET:
            option = "TASK" if name == "task" else f"--{name.removesuffix('_path').replace('_', '-')}"
            raise UsageError(
                f"--resume goes on with a stored task and its settings: {option} cannot be given",
                f"leave out {option}{_OWN_SEED if name == 'seed' else ''}",
            )


def options_beside_resume(context: typer.Context) -> dict[str, str]:
    """What was given and is not stored with the run, by option: whoever goes on with it has to give it again.

    A larger budget is stored, but an answer is taken back only once the model is loaded: before, it is needed again.
    """
    stored = {*_STORED, "resume"} - {name for name in _BUDGET if context.params.get("resume") is not None}
    words: dict[str, str] = {}
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params.get(str(parameter.name))
        if name in stored or not _is_given(context, name):
            continue
        if isinstance(value, bool):
            words[(parameter.opts if value else parameter.secondary_opts)[0]] = ""
        else:
            words[parameter.opts[0]] = str(value)
    return words


def context_paths(paths: Sequence[str]) -> list[Path]:
    """Context files, as they are given.

    Raises:
        UsageError: a number stands there, which is what `--context` meant before there were context files.
    """
    for path in paths:
        if path.isdigit() and not Path(path).exists():
            raise UsageError(
                f"--context takes a file or a folder, not {path}", f"for the model's window: --window {path}"
            )
    return [Path(path) for path in paths]


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def read_statement(task: str | None, file: Path | None) -> str:
    """The task's text from wherever it was given.

    Raises:
        UsageError: from nowhere, from two places, or the file can't be read.
    """
    if task is None and file is None:
        raise UsageError(
            "no task given", 'say what to write beside the other options: "Write a function ...", or --file'
        )
    if task is not None and file is not None:
        raise UsageError("the task is given twice", "leave out --file, or the text")
    try:
        if task is not None and " " not in task and task != "-" and Path(task).is_file():
            raise UsageError(f"{task} is a file, not a task", f"leafwise solve --file {task}")
        if file is not None:
            return file.read_text(encoding="utf-8-sig")
        return sys.stdin.buffer.read().decode("utf-8-sig") if task == "-" else str(task)
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read the task: {error}", "give a text file in UTF-8") from error
    except OSError as error:
        raise UsageError(
            f"cannot read the task: {error}", "give the path of a file that is there and readable"
        ) from error
