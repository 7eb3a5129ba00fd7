"""A run that a budget ended is given more: it goes on from where it stood, or says why that changes nothing."""

from __future__ import annotations

import io
import itertools
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console
from team_script import TASK, judge_by, scripted_team

from leafwise.agents import (
    Answer,
    Event,
    EventKind,
    RunError,
    RunInterrupted,
    Settings,
    read_inputs,
    resume,
    runs_cli,
    solve_cli,
    start,
)
from leafwise.agents.answer_cli import show
from leafwise.agents.budget import next_budget
from leafwise.agents.runs import create_run, load_run
from leafwise.agents.solve import Run
from leafwise.agents.team import Team
from leafwise.runtime.contracts import Request
from leafwise.runtime.sandbox_scripted import ScriptedSandbox

GOOD = "\n    return sum(x * x for x in xs)\n"
BAD = "\n    return 0\n"
Replies = dict[str, str | Callable[[Request, int], str]]


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def squares() -> ScriptedSandbox:
    return judge_by(lambda source: "x * x" in source)


def different() -> Callable[[Request, int], str]:
    """Drafts that all differ, so that a candidate which is lost or written twice is seen."""
    numbers = itertools.count()
    return lambda _request, _index: f"\n    return {next(numbers)} - len(xs)\n"


def begin(replies: Replies, sandbox: ScriptedSandbox | None = None, **settings: Any) -> Answer:
    knobs = Settings(**{"strategy": "resample", "max_tokens": 120, "answer_tokens": 30, **settings})
    box = sandbox or squares()
    return start(TASK, model=scripted_team(replies), sandbox=box, store=True, settings=knobs).result(timeout=30)


def go_on(run: str, replies: Replies, **budget: Any) -> tuple[Answer, list[Event]]:
    resumed = resume(run, model=scripted_team(replies), sandbox=squares(), **budget)
    events = list(resumed)
    return resumed.result(timeout=30), events


def sources(events: list[Event]) -> list[str]:
    return [e.data["source"] for e in events if e.kind is EventKind.CANDIDATE]


def test_more_tokens_go_on_from_where_the_run_stood_and_keep_its_candidates() -> None:
    first = begin({"draft": different()})
    assert (first.status, first.ended_by) == ("failed", "tokens")
    before = [*load_run(first.run).events()]
    answer, events = go_on(first.run, {"draft": GOOD}, max_tokens=240)
    assert answer.status == "passed"
    assert answer.candidates == first.candidates + len(sources(events))
    assert first.spent.completion_tokens < answer.spent.completion_tokens <= 240
    done = [e.step for e in before if e.kind is EventKind.STEP_FINISHED and not e.step.startswith("select")]
    assert not {e.step for e in events if e.kind is EventKind.STEP_STARTED} & {*done}, "no step is repeated"
    (note,) = [e.text for e in events if e.kind is EventKind.NOTE and "goes on" in e.text]
    assert note.startswith(f"goes on: {first.candidates} candidates kept, ")
    assert load_run(first.run).answer() == answer


def test_the_best_so_far_stays_the_answer_where_more_tokens_bring_nothing_better() -> None:
    replies: Replies = {"draft": lambda request, _: GOOD if request.sampling.greedy else BAD}
    first = begin(replies)
    assert (first.status, first.ended_by) == ("passed", "tokens")
    answer, _ = go_on(first.run, {"draft": BAD}, max_tokens=200)
    assert (answer.status, answer.code) == ("passed", first.code)


def test_a_guided_run_takes_up_what_its_budget_could_not_carry() -> None:
    replies: Replies = {"draft": BAD, "generalist": "?", "critic": "It returns zero."}
    first = begin(replies, strategy="guided", max_tokens=40)
    assert (first.status, first.ended_by) == ("failed", "tokens")
    answer, events = go_on(first.run, {**replies, "repair": f"def total(xs):{GOOD}"}, max_tokens=4000)
    assert answer.origin == "repair"
    started = [e.step for e in events if e.kind is EventKind.STEP_STARTED]
    assert started[-1] == "select:root#2"
    assert "draft:root" not in started


def test_more_time_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Team, "seconds", property(lambda team: 2.0 * bool(team.spent.calls)))
    first = begin({"draft": BAD}, time_limit=1.5, max_tokens=1000)
    assert first.ended_by == "time"
    assert next_budget(load_run(first.run)) == {"--time-limit": 4}
    with pytest.raises(RunError, match=r"taken 2\.0 s: its limit of 2 s is spent"):
        resume(first.run, time_limit=2.0)
    with pytest.raises(RunError, match=r"its limit of 1\.5 s is spent") as caught:
        resume(first.run, max_tokens=2000)
    assert "--time-limit as well" in caught.value.hint
    answer, _ = go_on(first.run, {"draft": GOOD}, time_limit=5.0)
    assert answer.status == "passed"


def test_leaves_that_the_time_left_empty_are_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[bool] = []
    monkeypatch.setattr(Team, "seconds_left", property(lambda team: 0.0 if late else None))
    plan = " square_of(x):\n    '''Return x squared.'''\n    ...\n"

    def cut(_request: Request, _index: int) -> str:
        late.append(True)
        return ""

    parent = "\n    return sum([square_of(x) for x in xs])\n"
    replies: Replies = {"draft": BAD, "tester": "?", "generalist": plan, "compose": parent, "leaf": cut}
    sandbox = judge_by(lambda source: "x * x" in source)
    first = begin(replies, sandbox, strategy="guided", max_tokens=12_000, answer_tokens=384, time_limit=9.0)
    assert (first.status, first.ended_by) == ("failed", "time")
    assert [node.state for node in first.nodes if node.id == "root.1"] == ["failed"]
    late.clear()
    answer, events = go_on(first.run, {**replies, "leaf": "\n    return x * x\n"}, time_limit=90.0)
    assert "leaf:root.1#2" in [e.step for e in events if e.kind is EventKind.STEP_STARTED]
    assert (answer.status, answer.origin) == ("passed", "compose")


def test_a_budget_that_is_spent_already_is_refused() -> None:
    first = begin({"draft": BAD})
    spent = first.spent.completion_tokens
    for tokens in (16, spent, spent + 15):
        with pytest.raises(RunError, match=f"has generated {spent} tokens: its budget of {tokens} is spent") as caught:
            resume(first.run, max_tokens=tokens)
        assert f"--max-tokens: {spent + 16} or more" in caught.value.hint
    with pytest.raises(RunError, match="budget of 120 is spent") as caught:
        resume(first.run, time_limit=60.0)
    assert "--max-tokens as well" in caught.value.hint
    assert load_run(first.run).record.settings.max_tokens == 120


@pytest.mark.parametrize(
    ("draft", "settings", "words"),
    [
        (GOOD, {"strategy": "guided", "max_tokens": 1000}, "an answer that settled its task"),
        (GOOD, {"strategy": "guided", "max_tokens": 80, "answer_tokens": 40}, "an answer that settled its task"),
        (GOOD, {"strategy": "direct"}, "an answer that settled its task"),
        (BAD, {"strategy": "direct", "max_tokens": 16}, "the strategy direct would do nothing more"),
    ],
)
def test_more_budget_that_changes_nothing_is_refused(draft: str, settings: dict[str, Any], words: str) -> None:
    first = begin({"draft": draft, "tester": "?"}, **settings)
    with pytest.raises(RunError, match=words) as caught:
        resume(first.run, max_tokens=9000)
    assert caught.value.hint
    assert next_budget(load_run(first.run)) == {}
    assert go_on(first.run, {})[0] == first, "it still gives its answer"


def test_an_unfinished_run_goes_on_with_another_budget() -> None:
    def stop(_request: Request, _index: int) -> str:
        run.cancel()
        return BAD

    settings = Settings(strategy="resample", max_tokens=1000, answer_tokens=30)
    run = start(TASK, model=scripted_team({"draft": stop}), sandbox=squares(), store=True, settings=settings)
    with pytest.raises(RunInterrupted):
        run.result(timeout=30)
    answer, _ = go_on(run.id, {"draft": BAD}, max_tokens=150)
    assert 100 < answer.spent.completion_tokens <= 150
    assert answer.ended_by == "tokens"


def test_a_run_that_is_stopped_after_it_got_more_goes_on_with_that() -> None:
    first = begin({"draft": different()})

    def stop(_request: Request, _index: int) -> str:
        run.cancel()
        return BAD

    run = resume(first.run, model=scripted_team({"draft": stop}), sandbox=squares(), max_tokens=240)
    with pytest.raises(RunInterrupted):
        run.result(timeout=30)
    answer, events = go_on(first.run, {"draft": GOOD})
    assert answer.status == "passed"
    assert answer.candidates == first.candidates + len(sources(events))


def test_a_run_that_was_stopped_before_its_budget_chose_the_answer_does_not_choose_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*_: object) -> Any:
        raise RunInterrupted("the run was stopped")

    with monkeypatch.context() as patch:
        patch.setattr("leafwise.agents.steps.winner", stopped)
        with pytest.raises(RunInterrupted):
            begin({"draft": BAD})
    answer, events = go_on("last", {"draft": GOOD}, max_tokens=240)
    assert answer.status == "passed"
    assert next(e.step for e in events if e.kind is EventKind.STEP_STARTED).startswith("draft")


def test_a_run_that_nobody_began_takes_any_budget() -> None:
    stored = create_run(read_inputs(TASK), Settings(strategy="resample", answer_tokens=30), "m")
    answer, _ = go_on(stored.id, {"draft": BAD}, max_tokens=60)
    assert answer.ended_by == "tokens"
    assert answer.spent.completion_tokens <= 60


@pytest.mark.parametrize("budget", [{"max_tokens": 3}, {"time_limit": 0.0}, {"time_limit": float("nan")}])
def test_what_is_no_budget_is_refused_and_not_stored(budget: dict[str, Any]) -> None:
    stored = create_run(read_inputs(TASK), Settings(), "m")
    with pytest.raises(RunError, match="is spent"):
        resume(stored.id, **budget)
    with pytest.raises(ValidationError):
        resume(stored.id, max_tokens=99.5)  # type: ignore[arg-type]
    assert load_run(stored.id).record == stored.record


# --- on the command line ---------------------------------------------------------------------------------------------


def shown(run: Run, capsys: pytest.CaptureFixture[str], again: dict[str, str]) -> str:
    show(run, None, as_json=False, quiet=True, console=Console(file=io.StringIO()), again=again)
    return capsys.readouterr().err


def test_a_failing_answer_that_a_budget_ended_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(strategy="resample", max_tokens=120, answer_tokens=30)
    run = start(TASK, model=scripted_team({"draft": BAD}), sandbox=squares(), store=True, settings=settings)
    said = shown(run, capsys, {"--window": "512", "--max-tokens": "120", "--quiet": ""})
    command = f"leafwise solve --resume {run.id} --window 512 --max-tokens 240 --quiet\n"
    assert f"to go on with more: {command}" in said
    assert runs_cli.main(["show", run.id]) == 0
    assert f"to go on with more: leafwise solve --resume {run.id} --max-tokens 240\n" in capsys.readouterr().err


def test_the_command_writes_to_the_file_that_the_failing_answer_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def scripted(run: str, **options: Any) -> Run:
        return resume(run, **{**options, "model": scripted_team({"draft": GOOD}), "sandbox": squares()})

    monkeypatch.setattr(sys.modules[Run.__module__], "resume", scripted)
    settings, out = Settings(strategy="resample", max_tokens=120, answer_tokens=30), tmp_path / "answer.py"
    run = start(TASK, model=scripted_team({"draft": BAD}), sandbox=squares(), store=True, settings=settings)
    show(run, out, as_json=False, quiet=True, console=Console(file=io.StringIO()), again={"--out": str(out)})
    (command,) = re.findall("to go on with more: leafwise solve (.*)", capsys.readouterr().err)
    assert solve_cli.main(shlex.split(command)) == 0
    assert "x * x" in out.read_text()


@pytest.mark.parametrize(("draft", "strategy"), [(GOOD, "resample"), (BAD, "direct")])
def test_an_answer_that_more_would_not_change_names_none(
    draft: str, strategy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.model_validate({"strategy": strategy, "max_tokens": 16})
    run = start(TASK, model=scripted_team({"draft": draft}), sandbox=squares(), store=True, settings=settings)
    assert "--resume" not in shown(run, capsys, {})


def test_the_budget_reaches_the_run_and_is_given_again_if_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create_run(read_inputs(TASK), Settings(), "m")
    asked: dict[str, Any] = {}

    def stopped(run: str, **options: Any) -> Run:
        asked.update(options)
        interrupted = Run(load_run(run))
        interrupted.finish(RunInterrupted("the run was stopped"))
        return interrupted

    monkeypatch.setattr(sys.modules[Run.__module__], "resume", stopped)
    assert solve_cli.main(["--resume", "last", "--max-tokens", "99", "--time-limit", "7", "-q"]) == 130
    assert (asked["max_tokens"], asked["time_limit"]) == (99, 7.0)
    assert "--max-tokens 99 --time-limit 7.0" in capsys.readouterr().err
    assert solve_cli.main(["--resume", "last", "-q"]) == 130
    assert "--max-tokens" not in capsys.readouterr().err
