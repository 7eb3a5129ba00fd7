"""A plan is shown on the terminal and may be edited before it is carried out."""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leafwise.agents.errors import ReviewError, RunInterrupted
from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from leafwise.agents.contracts import Spec
    from leafwise.agents.review import ProposedPlan

_CHOICES = "[Enter] go on   e edit in {editor}   d N drop helper N   q stop; go on later with --resume"


class TerminalReview:
    """Asks about plans on a terminal. The run's thread calls it and waits; the main thread asks.

    Args:
        console: where plans are shown; the answers come from standard input.
        editor: the command that edits a file.
    """

    def __init__(self, console: Console, editor: Sequence[str]) -> None:
        self._console, self._editor = console, editor
        self._plans: queue.SimpleQueue[ProposedPlan] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Spec, ...] | None] = queue.SimpleQueue()

    def __call__(self, plan: ProposedPlan) -> Sequence[Spec]:
        """See `agents.review.Review`; waits for `ask` or `stop`.

        Raises:
            RunInterrupted: the user stops the run.
        """
        self._plans.put(plan)
        answer = self._answers.get()
        if answer is None:
            raise RunInterrupted("the run was stopped at its review")
        return answer

    def stop(self) -> None:
        """Let whoever waits for an answer hear that none comes."""
        self._answers.put(None)

    def ask(self) -> None:
        """Show the plan that the run waits with, until the user decides."""
        plan = self._plans.get()
        try:
            self._answers.put(self._decide(plan))
        except BaseException:
            self.stop()
            raise

    def _decide(self, plan: ProposedPlan) -> tuple[Spec, ...] | None:
        from leafwise.agents.review import plan_text

        draft = ""  # what the user wrote last, if it could not be read
        while True:
            self._show(plan)
            words = self._read_line().split()
            match words:
                case []:
                    return plan.stubs
                case ["q"] | ["quit"]:
                    return None
                case ["d", number] if number.isdecimal() and 1 <= int(number) <= len(plan.stubs):
                    left = (stub for i, stub in enumerate(plan.stubs, 1) if i != int(number))
                    plan, draft = plan.model_copy(update={"stubs": tuple(left)}), ""
                case ["e"] | ["edit"]:
                    plan, draft = self._edited(plan, draft or plan_text(plan))
                case _:
                    self._complain(f"{' '.join(words)!r} is none of these")

    def _edited(self, plan: ProposedPlan, text: str) -> tuple[ProposedPlan, str]:
        """The plan as it comes back from the editor; or as it was, and the text that could not be read."""
        from leafwise.agents.review import read_plan_text

        try:
            text = edit(text, self._editor)
            return plan.model_copy(update={"stubs": read_plan_text(text, plan)}), ""
        except ReviewError as error:
            self._complain(f"{error.message}: {error.hint}")
            return plan, text

    def _show(self, plan: ProposedPlan) -> None:
        from leafwise.agents.view import TreeLine, draw_tree

        lines = {node.id: TreeLine(node.spec.entry_point or "the task", node.state) for node in plan.nodes.values()}
        for number, stub in enumerate(plan.stubs, 1):
            said = (stub.statement.strip().splitlines() or [""])[0]
            lines[f"{plan.node.id}.{number}"] = TreeLine(f"{number}  {_call(stub)}  {said}")
        name = plan.node.spec.entry_point
        what = "The plan" if plan.stubs else "There are no helpers"
        self._console.print(f"{what} for {name}:", style="bold", markup=False, highlight=False)
        self._console.print(draw_tree(lines))
        choices = _CHOICES.format(editor=Path(self._editor[0]).name)
        self._console.print(choices, style="dim", markup=False, highlight=False)

    def _read_line(self) -> str:
        """What the user types; the end of the input stops the run."""
        self._console.print("> ", end="", markup=False)
        return sys.stdin.readline() or "q"

    def _complain(self, problem: str) -> None:
        self._console.print(problem, style="red", markup=False, highlight=False)


def open_review(console: Console) -> TerminalReview:
    """A review on this process's terminal, with the user's editor.

    Raises:
        UsageError: there is no terminal to ask on.
    """
    if not (sys.stdin.isatty() and console.is_terminal):
        where = "input" if not sys.stdin.isatty() else "error"
        raise UsageError(
            f"--review asks on a terminal, and standard {where} is none",
            "run it in a terminal, or leave out --review (--no-review beside --resume)",
        )
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        return TerminalReview(console, shlex.split(named) or ["vi"])
    except ValueError as error:
        raise UsageError(f"cannot read the editor's name {named!r}: {error}", "set VISUAL or EDITOR") from error


def edit(text: str, editor: Sequence[str]) -> str:
    """Let the user edit a text.

    Args:
        text: what the editor begins with.
        editor: its command; the file's name is added.

    Raises:
        ReviewError: the editor does not run, or what it leaves is no text.
    """
    with tempfile.TemporaryDirectory(prefix="leafwise-") as folder:
        file = Path(folder) / "plan.py"
        file.write_text(text, encoding="utf-8")
        try:
            with _signals_left_to_the_editor():
                # the terminal, even where the code is written to a pipe
                screen = None if sys.stdout.isatty() else sys.stderr
                status = subprocess.run([*editor, str(file)], stdout=screen, check=False).returncode
            if status:
                raise ReviewError(f"{editor[0]} ended with status {status}, so nothing is changed", "edit again")
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ReviewError(f"cannot edit with {editor[0]}: {error}", "set VISUAL or EDITOR to an editor") from error


@contextlib.contextmanager
def _signals_left_to_the_editor() -> Iterator[None]:
    """Ctrl-C in the editor is the editor's. A handler, not SIG_IGN, which the editor would inherit."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _call(stub: Spec) -> str:
    return (stub.signature or "").removeprefix("def ").removesuffix(":")
