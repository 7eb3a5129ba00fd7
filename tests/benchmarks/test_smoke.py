"""The smoke set is sound, and runs for real."""

from __future__ import annotations

import json

import pytest

from leafwise.agents import AnswerStatus, read_inputs
from leafwise.benchmarks.bench_cli import main
from leafwise.benchmarks.smoke import run_smoke, smoke_tasks
from leafwise.runtime.opening import open_engine
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import Check, Program

SOLUTIONS = """
def add(a, b): return a + b
def is_even(n): return n % 2 == 0
def largest(numbers): return max(numbers)
def reverse_string(s): return s[::-1]
def count_vowels(s): return sum(c in "aeiou" for c in s)
def factorial(n): return 1 if n == 0 else n * factorial(n - 1)
def squares(numbers): return [x * x for x in numbers]
def is_palindrome(s): return s == s[::-1]
def to_fahrenheit(celsius): return celsius * 9 / 5 + 32
def word_count(text): return len(text.split())
"""


def test_there_are_ten_tasks_whose_examples_are_read() -> None:
    tasks = smoke_tasks()
    assert len(tasks) == len({t.id for t in tasks}) == 10
    for task in tasks:
        inputs = read_inputs(task.statement)
        assert inputs.entry_point == task.id
        assert len(inputs.examples) == task.statement.count(f"{task.id}(") - 1


@pytest.mark.sandbox
def test_right_solutions_pass_every_example_and_wrong_ones_do_not() -> None:
    checks: list[Check] = [check for task in smoke_tasks() for check in read_inputs(task.statement).examples]
    sandbox = open_sandbox()
    try:
        assert sandbox.run(Program(source=SOLUTIONS, checks=tuple(checks))).passed
        for check in checks:
            assert not sandbox.run(
                Program(source=SOLUTIONS.replace("return", "return None and"), checks=(check,))
            ).passed
    finally:
        sandbox.close()


@pytest.mark.model
@pytest.mark.sandbox
def test_a_task_runs_for_real() -> None:
    engine, sandbox = open_engine(), open_sandbox()
    try:
        results = run_smoke(engine, sandbox, ["direct"], tasks=smoke_tasks()[:1])
    finally:
        engine.close()
        sandbox.close()
    assert [(r.task, r.status) for r in results] == [("add", AnswerStatus.PASSED)]
    assert json.loads(results[0].model_dump_json())["tokens"] > 0


def test_an_unknown_strategy_is_refused() -> None:
    from leafwise.runtime.errors import UsageError

    with pytest.raises(UsageError, match="magic"):
        main(["smoke", "--strategies", "magic"])
