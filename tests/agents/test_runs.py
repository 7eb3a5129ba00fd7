"""Stored runs: made, found, locked, traced, and gone on with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from team_script import TASK, judge_by, scripted_team

from leafwise.agents import EventKind, RunError, RunInterrupted, Settings, read_inputs, resume, start
from leafwise.agents.runs import create_run, load_run, runs_folder
from leafwise.runtime.contracts import Request
from leafwise.runtime.errors import EngineClosedError, LeafwiseError

GOOD = "\n    return sum(x * x for x in xs)\n"
BAD = "\n    return 0\n"


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_a_run_is_found_by_id_beginning_and_last() -> None:
    stored = create_run(read_inputs(TASK), Settings(seed=3), "m")
    run_id = stored.record.id
    for name in (run_id, run_id[:-2], "last"):
        assert load_run(name).record == stored.record


@pytest.mark.parametrize("name", ["nothing", "", "../../etc", "last"])
def test_a_run_that_is_not_there_is_a_clear_error(name: str) -> None:
    with pytest.raises(RunError, match=r"no run|0 runs|there is no") as caught:
        load_run(name)
    assert caught.value.hint


def test_a_damaged_record_is_a_clear_error() -> None:
    stored = create_run(read_inputs(TASK), Settings(), "m")
    (stored.folder / "run.json").write_text("{}")
    with pytest.raises(RunError, match="cannot be read"):
        load_run("last")


def test_two_processes_cannot_work_on_one_run() -> None:
    stored = create_run(read_inputs(TASK), Settings(), "m")
    with stored.locked(), pytest.raises(RunError, match="another process"), stored.locked():
        pass


def test_an_interrupted_run_goes_on_without_repeating_a_finished_step(tmp_path: Path) -> None:
    def stop_at_plan(_request: Request, _index: int) -> str:
        run.cancel()
        return "?"

    replies: dict[str, str | Callable[[Request, int], str]] = {
        "draft": BAD,
        "tester": "?",
        "generalist": stop_at_plan,
        "critic": "No.",
        "repair": f"def total(xs):{GOOD}",
    }
    sandbox = judge_by(lambda s: "x * x" in s)
    run = start(
        TASK, model=scripted_team(replies), sandbox=sandbox, store=True, settings=Settings(seed=5, most_drafts=8)
    )
    with pytest.raises(RunInterrupted):
        run.result(timeout=30)
    replies["generalist"] = "?"
    engine = scripted_team(replies)
    answer = resume(run.id, model=engine, sandbox=sandbox).result(timeout=30)
    assert answer.status == "passed"
    trace = [json.loads(line) for line in load_run(run.id).trace.read_text().splitlines()]
    finished = [e["step"] for e in trace if e["kind"] == EventKind.STEP_FINISHED]
    assert sorted(finished) == sorted(set(finished))
    for step in finished:
        after = trace[max(i for i, e in enumerate(trace) if e["kind"] == "step_finished" and e["step"] == step) + 1 :]
        assert not any(e["kind"] == "step_started" and e["step"] == step for e in after)
    again = resume(run.id, model=engine, sandbox=sandbox).result(timeout=30)
    assert again.code == answer.code, "a finished run gives its answer again"


def test_a_run_that_never_began_leaves_nothing_behind() -> None:
    closed = scripted_team({"draft": GOOD, "tester": "?"})
    closed.close()
    with pytest.raises(EngineClosedError):
        start(TASK, model=closed, sandbox=judge_by(bool), store=True).result(timeout=30)
    assert list(runs_folder().iterdir()) == []


def test_unusable_checkpoints_are_a_clear_error() -> None:
    stored = create_run(read_inputs(TASK), Settings(), "m")
    stored.checkpoints.write_bytes(b"this is no database, however long it is" * 50)
    with pytest.raises(RunError) as caught:
        resume("last", model=scripted_team({"draft": GOOD, "tester": "?"}), sandbox=judge_by(bool)).result(timeout=30)
    assert caught.value.hint


@pytest.mark.parametrize("pages", [4, 8])
def test_a_full_disk_is_a_clear_error_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    connect = sqlite3.connect

    def tiny(path: str | Path, check_same_thread: bool) -> sqlite3.Connection:
        connection = connect(path, check_same_thread=check_same_thread)
        connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then says that the disk is full
        return connection

    team, sandbox = scripted_team({"draft": GOOD, "tester": "?"}), judge_by(lambda s: True)
    monkeypatch.setattr(sqlite3, "connect", tiny)
    with pytest.raises(LeafwiseError, match="full") as caught:
        start(TASK, model=team, sandbox=sandbox, store=True).result(timeout=30)
    monkeypatch.setattr(sqlite3, "connect", connect)
    assert "disk" in caught.value.hint
    if list(runs_folder().iterdir()):  # kept because a step was finished: once there is space, it goes on
        assert resume("last", model=team, sandbox=sandbox).result(timeout=30).status == "passed"
