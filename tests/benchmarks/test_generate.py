"""From a run of the team to a sample: what is kept of the answer, of its cost, and of answers without code."""

from __future__ import annotations

import threading

import pytest
from team_script import judge_by, scripted_team

from leafwise.agents import AnswerStatus, RunInterrupted, Settings
from leafwise.agents.settings import Strategy
from leafwise.benchmarks.contracts import Arm, Job
from leafwise.benchmarks.generate import generate, writable
from leafwise.benchmarks.problems import read_problem_set, task_of

PROBLEM = read_problem_set("humaneval").problems[2]


def job(strategy: Strategy = "direct", sample: int = 0, **settings: object) -> Job:
    knobs = Settings.model_validate({"strategy": strategy, "seed": 7, **settings})
    arm = Arm(name=strategy, model="m", strategy=strategy, settings=knobs, fingerprint="f1")
    return Job(arm=arm, task_id=PROBLEM.id, task=task_of(PROBLEM), sample=sample, max_tokens=300)


def test_the_answer_and_what_it_was_read_from_are_kept() -> None:
    engine = scripted_team({"draft": "\n    return number % 1.0\n"})
    found = generate(job(sample=3), engine, judge_by(lambda _: True))
    sample = found.sample
    assert sample.key == ("direct", "HumanEval/2", 3)
    assert (sample.seed, sample.max_tokens, sample.fingerprint) == (10, 300, "f1")
    assert sample.solution == "def truncate_number(number: float) -> float:\n    return number % 1.0\n"
    assert sample.raw == "```python\ndef truncate_number(number: float) -> float:\n    return number % 1.0\n"
    assert (sample.rule, sample.cut, sample.status) == ("fence", False, AnswerStatus.PASSED)
    assert (sample.calls, sample.programs) == (1, 1)
    assert sample.completion_tokens > 0
    assert sample.started <= sample.finished
    assert {event.kind.value for event in found.events} >= {"run_started", "call", "candidate", "run_finished"}


def test_an_answer_without_code_is_kept_too() -> None:
    found = generate(job(), scripted_team({"draft": "\n    return (((\n"}), judge_by(lambda _: True)).sample
    assert (found.solution, found.rule, found.status) == ("", "none", AnswerStatus.FAILED)
    assert found.raw.endswith("return (((\n")


def test_a_cut_answer_is_marked() -> None:
    engine = scripted_team({"draft": "\n    return 1\n    " + "x = 1; " * 200})
    found = generate(job(answer_tokens=16), engine, judge_by(lambda _: False)).sample
    assert found.cut
    assert found.completion_tokens <= 16


def test_halves_of_characters_can_be_written() -> None:
    assert writable("a\ud800b") == "a\\ud800b"
    assert writable("naïve 🙂") == "naïve 🙂"


def test_it_is_given_up_when_nobody_waits() -> None:
    stop = threading.Event()
    stop.set()
    engine = scripted_team({"draft": lambda *_: (threading.Event().wait(0.5) and "") or "\n    return 1\n"})
    with pytest.raises(RunInterrupted):
        generate(job("resample", answer_tokens=16), engine, judge_by(lambda _: False), stop)
