"""What a run looks like: plain lines where it is piped, and a tree that is a fold over the events."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from leafwise.agents.contracts import Event, EventKind
from leafwise.agents.view import LiveView, PlainView, Progress, SilentView, draw_tree, line_of, open_view, verdict_of


def piped() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=100)


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system="standard", legacy_windows=False)


def text_of(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def drawn(progress: Progress) -> list[str]:
    console = piped()
    console.print(draw_tree(progress.lines))
    return [line.rstrip() for line in text_of(console).splitlines()]


def evidence(
    *, loads: bool = True, passed: int = 0, total: int = 2, checks: int = 0, detail: str = ""
) -> dict[str, Any]:
    counts = {"examples_passed": passed, "examples_total": total, "checks_passed": checks, "checks_total": checks}
    return {"evidence": {"loads": loads, "detail": detail, **counts}}


def event(kind: EventKind, step: str = "run", node: str = "root", text: str = "", **data: Any) -> Event:
    return Event(kind=kind, step=step, node=node, text=text, data=data, seconds=1.25)


STARTED = event(EventKind.RUN_STARTED, text="Write add [bold]", task={"entry_point": "add"})
RUN = [
    STARTED,
    event(EventKind.STEP_STARTED, "draft:root"),
    event(EventKind.TOKENS, "draft:root", request=1, tokens=30),
    event(EventKind.CALL, "draft:root", text="coder: 6 samples", request=1, usage={"completion_tokens": 40}),
    event(EventKind.CANDIDATE, "draft:root", **evidence(passed=1)),
    event(EventKind.CANDIDATE, "draft:root", **evidence(loads=False, detail="NameError: [x]")),
    event(EventKind.STEP_FINISHED, "draft:root"),
    event(EventKind.PLAN, "plan:root", text="carry, digit"),
    event(EventKind.NODE, "plan:root", state="split", name="add"),
    event(EventKind.NODE, "plan:root", "root.1", state="open", name="carry"),
    event(EventKind.NODE, "plan:root", "root.2", state="open", name="digit[0]"),
    event(EventKind.STEP_STARTED, "leaf:root.1", "root.1"),
    event(EventKind.CANDIDATE, "leaf:root.1", "root.1", **evidence(total=0, checks=3)),
    event(EventKind.NODE, "leaf:root.2", "root.2", state="failed", name="digit[0]"),
    event(EventKind.NOTE, "leaf:root.2", "root.2", text="1 of 4 answers held no usable code"),
]


def folded(events: list[Event]) -> Progress:
    progress = Progress()
    for each in events:
        progress.feed(each)
    return progress


# --- plain lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (STARTED, "started: Write add [bold]"),
        (event(EventKind.RUN_STARTED, text="x", resumed=True), "resumed: x"),
        (event(EventKind.CALL, text="coder: 6 samples"), "coder: 6 samples"),
        (event(EventKind.NOTE, text="a note"), "a note"),
        (event(EventKind.PLAN, text="a, b"), "plan: a, b"),
        (event(EventKind.CANDIDATE, **evidence(passed=1)), "candidate: 1/2 examples"),
        # only for the tree or the trace
        (event(EventKind.TOKENS, tokens=3), ""),
        (event(EventKind.NODE, state="open", name="f"), ""),
        (event(EventKind.STEP_STARTED), ""),
        (event(EventKind.STEP_FINISHED), ""),
        (event(EventKind.RUN_FINISHED), ""),
    ],
)
def test_an_event_in_a_line(told: Event, line: str) -> None:
    assert line_of(told) == line


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (evidence(loads=False, detail="no f"), "does not load (no f)"),
        (evidence(passed=2), "2/2 examples"),
        (evidence(passed=1, checks=4), "1/2 examples, 4/4 generated checks"),
        (evidence(total=0, checks=4), "4/4 generated checks"),
        (evidence(total=0), "loads"),
    ],
)
def test_verdicts(candidate: dict[str, Any], words: str) -> None:
    assert verdict_of(candidate) == words


def test_plain_lines_have_no_colours_no_markup_and_no_wrapping() -> None:
    console = piped()
    long = event(EventKind.NOTE, "draft:root", text="[red]" + "x" * 300)
    with open_view(console) as view:
        for each in [*RUN, long]:
            view.feed(each)
    lines = text_of(console).splitlines()
    assert lines[:2] == ["loading the model ...", "   1.2s  started: Write add [bold]"]
    assert "   1.2s  draft:root: candidate: does not load (NameError: [x])" in lines
    assert lines[-1] == "   1.2s  draft:root: [red]" + "x" * 300
    assert "\x1b" not in text_of(console)
    assert len(lines) == 9


def test_the_view_fits_where_it_is_shown() -> None:
    assert isinstance(open_view(piped()), PlainView)
    assert isinstance(open_view(terminal()), LiveView)
    assert type(open_view(terminal(), quiet=True)) is SilentView


def test_the_silent_view_shows_nothing() -> None:
    console = piped()
    with open_view(console, quiet=True) as view:
        view.feed(STARTED)
    assert text_of(console) == ""


# --- the tree --------------------------------------------------------------------------------------------------------


def test_the_tree_shows_state_work_candidates_and_checks() -> None:
    assert drawn(folded(RUN)) == [
        "◇ add  2 candidates, best: 1/2 examples",
        "├── ◐ carry  leaf  1 candidate, best: 3/3 generated checks",
        "└── ✗ digit[0]",
    ]


def test_deeper_nodes_hang_below_their_parents_in_the_order_of_their_numbers() -> None:
    names = ["root.10", "root.2.1", "root.2", "root.1"]
    nodes = [event(EventKind.NODE, node=n, state="open", name=n) for n in names]
    assert drawn(folded([STARTED, *nodes])) == [
        "○ add",
        "├── ○ root.1",
        "├── ○ root.2",
        "│   └── ○ root.2.1",
        "└── ○ root.10",
    ]


@pytest.mark.parametrize(("status", "mark"), [("passed", "●"), ("unchecked", "●"), ("failed", "✗")])
def test_the_end_of_the_run_is_the_roots(status: str, mark: str) -> None:
    assert drawn(folded([*RUN, event(EventKind.RUN_FINISHED, answer={"status": status})]))[0].startswith(f"{mark} add")


def test_a_task_without_a_name_has_a_title_all_the_same() -> None:
    assert drawn(folded([event(EventKind.RUN_STARTED, text="t", task={"entry_point": None})])) == ["○ the task"]


def test_the_best_candidate_is_the_one_that_passes_most() -> None:
    told = [evidence(loads=False, detail="bad"), evidence(passed=2), evidence(passed=1)]
    progress = folded([STARTED, *(event(EventKind.CANDIDATE, **each) for each in told)])
    assert drawn(progress) == ["○ add  3 candidates, best: 2/2 examples"]


def test_tokens_in_flight_are_counted_and_then_replaced_by_the_engines_count() -> None:
    progress = folded(RUN[:3])
    assert progress.total_tokens == 30
    progress.feed(RUN[3])
    assert progress.total_tokens == 40


def test_the_seconds_and_the_rate_are_the_runs_without_loading() -> None:
    progress = Progress(started=time.monotonic() - 3600)
    progress.feed(event(EventKind.TOKENS, request=1, tokens=1))
    assert progress.status == "1 s · 1 token · 1 token/s"
    progress.feed(event(EventKind.TOKENS, request=2, tokens=9))
    assert progress.status == "1 s · 10 tokens · 8 tokens/s"


@pytest.mark.parametrize("state", ["open", "working", "split", "solved", "failed"])
def test_every_state_of_a_node_has_a_mark(state: str) -> None:
    (line,) = drawn(folded([STARTED, event(EventKind.NODE, state=state, name="f")]))
    assert line.endswith(" f")
    assert not line.startswith("?")


def test_the_live_view_draws_on_a_terminal_and_never_takes_text_for_markup() -> None:
    console = terminal()
    with open_view(console) as view:
        for each in RUN:
            view.feed(each)
    shown = text_of(console)
    assert "\x1b[" in shown
    for words in ("Write add [bold]", "digit[0]", "40 tokens", "3/3 generated checks"):
        assert words in shown


def test_the_live_view_says_that_the_model_loads() -> None:
    console = terminal()
    with open_view(console):
        pass
    assert "loading the model" in text_of(console)


def test_text_that_looks_like_markup_is_escaped() -> None:
    told = event(EventKind.CANDIDATE, **evidence(loads=False, detail="KeyError: '[/red]' \\"))
    assert "[/red]' \\" in drawn(folded([STARTED, told]))[0]


def test_nothing_is_drawn_while_somebody_is_asked() -> None:
    console = terminal()
    with LiveView(console) as view:
        view.feed(STARTED)
        with view.paused():
            before = text_of(console)
            time.sleep(0.4)
            console.print("a question?")
            assert text_of(console).removeprefix(before).strip() == "a question?"
        time.sleep(0.4)
        assert "add" in text_of(console).partition("a question?")[2], "it is drawn again afterwards, below"
    with SilentView().paused(), PlainView(piped()).paused():
        pass


def test_an_error_while_somebody_is_asked_ends_the_view() -> None:
    console = terminal()
    with pytest.raises(KeyboardInterrupt), LiveView(console) as view, view.paused():
        raise KeyboardInterrupt
    assert "\x1b[?25h" in text_of(console), "the cursor is shown again"
