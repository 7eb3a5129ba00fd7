"""What a run looks like while it runs: a live tree on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from leafwise.agents.contracts import ROOT, Event, EventKind
from leafwise.agents.statement import count

_STYLES = {"open": "dim", "working": "cyan", "split": "cyan", "solved": "green", "failed": "red", "dropped": "dim"}
_MARKS = {"open": "○", "working": "◐", "split": "◇", "solved": "●", "failed": "✗", "dropped": "-"}


class View(Protocol):
    """Shows events. Used as a context manager around the run."""

    def feed(self, event: Event) -> None:
        """Take the next event."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """While somebody is asked on the same terminal: nothing is drawn."""
        ...

    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_view(console: Console, *, quiet: bool = False) -> View:
    """The view that fits where it is shown, which says that the model is loading until the run's first event.

    Args:
        console: where to show it; a live tree if it is a terminal.
        quiet: show nothing.
    """
    if quiet:
        return SilentView()
    if console.is_terminal:
        return LiveView(console)
    console.print("loading the model ...", highlight=False)
    return PlainView(console)


class SilentView:
    """Shows nothing."""

    def feed(self, event: Event) -> None:
        """See `View.feed`."""

    def paused(self) -> AbstractContextManager[None]:
        """See `View.paused`."""
        return nullcontext()

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class PlainView(SilentView):
    """One line per event that people want to know of; candidates of a step that did equally well share a line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._alike: list[Event] = []

    def feed(self, event: Event) -> None:
        """See `View.feed`."""
        if self._alike and not _is_alike(self._alike[-1], event):
            self._flush()
        if event.kind is EventKind.CANDIDATE:
            self._alike.append(event)
        elif text := line_of(event):
            self._print(event, text)

    def __exit__(self, *_: object) -> None:
        self._flush()

    def _flush(self) -> None:
        alike, self._alike = self._alike, []
        if len(alike) == 1:
            self._print(alike[0], line_of(alike[0]))
        elif alike:
            self._print(alike[-1], f"{len(alike)} candidates: {verdict_of(alike[-1].data)}")

    def _print(self, event: Event, text: str) -> None:
        where = "" if event.step == "run" else f"{event.step}: "
        self._console.print(f"{event.seconds:6.1f}s  {where}{text}", highlight=False, markup=False, soft_wrap=True)


def _is_alike(event: Event, other: Event) -> bool:
    both_candidates = other.kind is event.kind is EventKind.CANDIDATE
    return both_candidates and other.step == event.step and verdict_of(other.data) == verdict_of(event.data)


def line_of(event: Event) -> str:
    """An event in a line; empty for events that are only for the live tree or the trace."""
    match event.kind:
        case EventKind.RUN_STARTED:
            return f"{'resumed' if event.data.get('resumed') else 'started'}: {event.text}"
        case EventKind.CALL | EventKind.NOTE:
            return event.text
        case EventKind.PLAN:
            return f"plan: {event.text}"
        case EventKind.CANDIDATE:
            return f"candidate: {verdict_of(event.data)}"
        case _:
            return ""


def verdict_of(candidate: dict[str, Any]) -> str:
    """A candidate's evidence in a few words."""
    evidence = candidate["evidence"]
    if not evidence["loads"]:
        return f"does not load ({evidence['detail']})"
    words = ["hard-coded"] if evidence.get("hard_coded") else []
    if total := evidence["examples_total"]:
        words.append(f"{evidence['examples_passed']}/{total} examples")
    if total := evidence["checks_total"]:
        words.append(f"{evidence['checks_passed']}/{total} generated checks")
    return ", ".join(words) or "loads"


# --- the live tree ---------------------------------------------------------------------------------------------------


@dataclass
class TreeLine:
    """What the tree says about a node: its name and state, and what is done there."""

    name: str = ""
    state: str = "open"
    before: str = "open"
    step: str = ""
    candidates: int = 0
    best: str = ""
    best_passed: int = -1


@dataclass
class Progress:
    """What the live tree knows: a fold over the events."""

    title: str = ""
    lines: dict[str, TreeLine] = field(default_factory=dict)
    tokens: int = 0
    live: dict[int, int] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def feed(self, event: Event) -> None:
        """Take the next event."""
        # by the run's own clock, which counts neither loading nor what a reviewer takes
        self.started = time.monotonic() - event.seconds
        line = self.lines.setdefault(event.node, TreeLine())
        match event.kind:
            case EventKind.RUN_STARTED:
                self.title = event.text
                line.name = event.data["task"].get("entry_point") or "the task"
            case EventKind.STEP_STARTED:
                line.before, line.state, line.step = line.state, "working", event.step.partition(":")[0]
            case EventKind.STEP_FINISHED:
                line.step = ""
                line.state = line.before if line.state == "working" else line.state
            case EventKind.TOKENS:
                self.live[event.data["request"]] = event.data["tokens"]
            case EventKind.CALL:
                self.live.pop(event.data["request"], None)
                self.tokens += event.data["usage"]["completion_tokens"]
            case _:
                _update(line, event)

    @property
    def total_tokens(self) -> int:
        """Tokens generated so far, requests in flight included."""
        return self.tokens + sum(self.live.values())

    @property
    def seconds(self) -> float:
        """Seconds of the run so far; before its first event those of loading."""
        return time.monotonic() - self.started

    @property
    def status(self) -> str:
        """Seconds, tokens, and tokens per second."""
        seconds, tokens = self.seconds, self.total_tokens
        rate = tokens / seconds if seconds > 0 else 0.0
        return f"{seconds:.0f} s · {count(tokens, 'token')} · {count(round(rate), 'token')}/s"


def _update(line: TreeLine, event: Event) -> None:
    match event.kind:
        case EventKind.NODE:
            line.state, line.name = event.data["state"], event.data["name"] or line.name
        case EventKind.CANDIDATE:
            _count(line, event.data)
        case EventKind.RUN_FINISHED:
            line.state = "solved" if event.data["answer"]["status"] != "failed" else "failed"
        case _:
            pass


def _count(line: TreeLine, candidate: dict[str, Any]) -> None:
    line.candidates += 1
    evidence = candidate["evidence"]
    passed = evidence["examples_passed"] + evidence["checks_passed"] if evidence["loads"] else -1
    if passed > line.best_passed or not line.best:
        line.best, line.best_passed = verdict_of(candidate), passed


class LiveView:
    """A tree of the functions being written, drawn again as events come."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress()
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=8)

    def feed(self, event: Event) -> None:
        """See `View.feed`."""
        self._progress.feed(event)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """See `View.paused`."""
        self._live.stop()
        yield
        self._live.start()  # not after an error: the run is over then

    def __enter__(self) -> View:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _draw(self) -> Group:
        progress = self._progress
        if not progress.lines:
            return Group(Text(f"loading the model ... {progress.seconds:.0f} s", style="dim"))
        return Group(Text(progress.title, style="dim"), draw_tree(progress.lines), Text(progress.status, style="dim"))


def draw_tree(lines: dict[str, TreeLine]) -> Tree:
    """The problem tree with each node's state, work, candidates and checks."""
    trees: dict[str, Tree] = {}
    for node in sorted(lines, key=lambda name: [int(part) for part in name.split(".")[1:]]):
        label = _label(lines[node])
        parent = trees.get(node.rpartition(".")[0])
        trees[node] = parent.add(label) if parent else Tree(label)
    return trees[ROOT]


def _label(line: TreeLine) -> str:
    style = _STYLES.get(line.state, "")
    words = [f"[{style}]{_MARKS.get(line.state, '?')} {escape(line.name)}[/{style}]"]
    if line.step:
        words.append(f"[cyan]{line.step}[/cyan]")
    if line.candidates:
        words.append(f"[dim]{count(line.candidates, 'candidate')}, best: {escape(line.best)}[/dim]")
    return "  ".join(words)
