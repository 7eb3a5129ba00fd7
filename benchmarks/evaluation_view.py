"""What a measured run looks like while it runs: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from leafwise.agents.contracts import AnswerStatus
from leafwise.benchmarks.contracts import Sample
from leafwise.benchmarks.report_view import duration, percent, times
from leafwise.benchmarks.summary_contracts import Summary

_LINE_SECONDS = 15.0
_COLUMNS = ("arm", "answers", "pass their examples", "tokens", "tok/s", "time", "left", "errors")


@dataclass
class Progress:
    """How far one arm is."""

    name: str
    """The arm's name."""
    total: int
    """Answers that are asked for."""
    done: int = 0
    """Answers that are there."""
    found: int = 0
    """Of these, there before this session."""
    passing: int = 0
    """Answers that pass their visible examples."""
    tokens: int = 0
    """Tokens of this session's answers."""
    errors: int = 0
    """Answers that the machinery owes."""
    started: float | None = None
    """`time.monotonic` when this session began with it."""
    ended: float | None = None
    """And when it was done with it."""

    @property
    def seconds(self) -> float:
        """Seconds of this session."""
        return 0.0 if self.started is None else (self.ended or time.monotonic()) - self.started

    @property
    def left(self) -> float | None:
        """Seconds until the rest is there, if it goes on like this."""
        new = self.done - self.found
        return self.seconds / new * (self.total - self.done) if new and self.ended is None else None

    def add(self, sample: Sample) -> None:
        """Count an answer of this session."""
        self.done += 1
        self.passing += sample.status is AnswerStatus.PASSED
        self.tokens += sample.completion_tokens

    def cells(self) -> tuple[str, ...]:
        """The arm's line of the table."""
        return (
            self.name,
            f"{self.done} of {self.total}",
            str(self.passing),
            f"{self.tokens:,}",
            f"{self.tokens / self.seconds:.0f}" if self.tokens else "",
            duration(self.seconds) if self.started is not None else "",
            duration(self.left) if self.left is not None else "",
            str(self.errors or ""),
        )


class RunView(Protocol):
    """Shows how arms grow. Used as a context manager around the run."""

    def show(self, arm: Progress) -> None:
        """An arm has changed."""
        ...

    def say(self, text: str) -> None:
        """Something else is being done."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_run_view(console: Console, arms: Iterable[Progress]) -> RunView:
    """The view that fits where it is shown.

    Args:
        console: a live table if it is a terminal, lines otherwise.
        arms: all of the run.
    """
    return LiveTable(console, list(arms)) if console.is_terminal else PlainLines(console)


@dataclass
class LiveTable:
    """All arms in a table that is drawn again and again."""

    console: Console
    arms: list[Progress]
    doing: str = ""
    _live: Live | None = field(default=None, init=False)

    def show(self, arm: Progress) -> None:
        """See `RunView.show`: the table draws itself."""

    def say(self, text: str) -> None:
        """See `RunView.say`."""
        self.doing = text

    def __rich__(self) -> Table:
        table = Table(box=None, pad_edge=False, caption=self.doing or None, caption_justify="left")
        for column in _COLUMNS:
            table.add_column(column, justify="left" if column == "arm" else "right")
        for arm in self.arms:
            working = arm.started is not None and arm.ended is None
            table.add_row(*arm.cells(), style="bold" if working else "dim" if arm.started is None else "")
        return table

    def __enter__(self) -> Self:
        self._live = Live(self, console=self.console, refresh_per_second=4)
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)


class PlainLines:
    """A line for an arm's beginning and end, and now and then between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = 0.0

    def show(self, arm: Progress) -> None:
        """See `RunView.show`."""
        now = time.monotonic()
        if arm.ended is None and now - self._last < _LINE_SECONDS:
            return
        self._last = now
        left = f", {duration(arm.left)} left" if arm.left is not None and arm.left > 0 else ""
        errors = f", {arm.errors} errors" if arm.errors else ""
        self.say(
            f"{arm.name}: {arm.done} of {arm.total} answers, {arm.passing} pass their examples, "
            f"{arm.tokens:,} tokens, {duration(arm.seconds)}{left}{errors}"
        )

    def say(self, text: str) -> None:
        """See `RunView.say`."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def score_table(summary: Summary) -> Table:
    """Scores and costs, arm by arm, for a terminal."""
    table = Table(box=None, pad_edge=False)
    costs = ("tokens", "x direct", "computed", "time", "x direct")
    for column in ("arm", "solved", "", "95 % interval", "odd half", *costs):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for arm in summary.arms:
        for suite in summary.suites:
            score, odd, beside = arm.score(suite), arm.score(suite, "odd"), arm.times_direct
            if score is None:
                continue
            low, high = (score.interval.low, score.interval.high) if score.interval else (None, None)
            table.add_row(
                arm.name if suite == "base" else f"{arm.name} +",
                f"{score.passed} of {score.total}",
                percent(score.rate),
                f"{percent(low)} to {percent(high)}",
                f"{odd.passed} of {odd.total}" if odd else "",
                f"{arm.cost.completion_tokens:,}",
                times(beside.tokens if beside else None),
                f"{arm.cost.prefilled_tokens:,}",
                duration(arm.cost.seconds),
                times(beside.seconds if beside else None),
            )
    return table
