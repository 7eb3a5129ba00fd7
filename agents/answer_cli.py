"""A run on the terminal: how it goes, its answer, and the file that the code is written to."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from leafwise.agents.contracts import Answer
    from leafwise.agents.review_cli import TerminalReview
    from leafwise.agents.solve import Run
    from leafwise.agents.view import View

PASSED, NOT_PASSED = 0, 1
_STOPPED = 130


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


def show(
    run: Run,
    out: Path | None,
    *,
    as_json: bool,
    quiet: bool,
    console: Console,
    review: TerminalReview | None = None,
    again: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Show a run as it goes and its answer in the end.

    Args:
        run: the run.
        out: where the code is written to as well.
        as_json: print the whole answer.
        quiet: show no progress.
        console: standard error.
        review: asks where the run waits for a plan's review.
        again: the options with which an interrupted run is to go on; a flag has no value.

    Returns:
        The exit status.
    """
    from leafwise.agents.contracts import AnswerStatus
    from leafwise.agents.errors import RunInterrupted
    from leafwise.agents.view import open_view

    go_on = f"go on with: {_command(run.id, again)}"
    try:
        with open_view(console, quiet=quiet) as view:
            _follow(run, view, review)
        answer = run.result()
    except RunInterrupted:
        print(f"stopped; {go_on}", file=sys.stderr)
        return _STOPPED
    except KeyboardInterrupt:
        run.cancel()
        if review is not None:
            review.stop()
        console.print("stopping ...", style="dim")
        with contextlib.suppress(RunInterrupted, KeyboardInterrupt):  # pressed once more: no longer waited for
            run.result()
        print(f"interrupted; {go_on}", file=sys.stderr)
        return _STOPPED
    _print_answer(answer, as_json=as_json)
    if out is not None and answer.code:
        write_out(out, answer.code)
        again = {**again, "--force": ""}  # the file is there now, and a better answer is to replace it
    tell_of_more(answer, again)
    return PASSED if answer.status is AnswerStatus.PASSED else NOT_PASSED


def _command(run: str, options: Mapping[str, str]) -> str:
    words = (word for option in options.items() for word in option if word)
    return shlex.join(["leafwise", "solve", "--resume", run, *words])


def tell_of_more(answer: Answer, again: Mapping[str, str] = MappingProxyType({})) -> None:
    """Say how to go on with a stored run that a budget ended; nothing where more of it would change nothing.

    Args:
        answer: the run's; one that passed needs no more.
        again: the options with which the run is to go on; a flag has no value.
    """
    from leafwise.agents.budget import next_budget
    from leafwise.agents.contracts import AnswerStatus
    from leafwise.agents.errors import RunError
    from leafwise.agents.runs import load_run

    if not answer.run or answer.ended_by == "done" or answer.status is AnswerStatus.PASSED:
        return
    wanted: Mapping[str, float] = {}
    with contextlib.suppress(RunError):  # removed meanwhile: the answer is there all the same
        wanted = next_budget(load_run(answer.run))
    if wanted:
        more = {**again, **{option: str(value) for option, value in wanted.items()}}
        print(f"to go on with more: {_command(answer.run, more)}", file=sys.stderr)


def _follow(run: Run, view: View, review: TerminalReview | None) -> None:
    from leafwise.agents.contracts import EventKind

    for event in run:
        view.feed(event)
        if event.kind is EventKind.REVIEW and review is not None:
            with view.paused():
                review.ask()


def _print_answer(answer: Answer, *, as_json: bool) -> None:
    from rich.console import Console
    from rich.syntax import Syntax

    from leafwise.agents.statement import count

    if as_json:
        print(answer.model_dump_json(indent=2))
    elif sys.stdout.isatty():
        highlighter = Syntax("", "python", theme="ansi_dark", background_color="default")
        Console().print(highlighter.highlight(answer.code), soft_wrap=True, end="")  # printed as Syntax, it is cropped
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
