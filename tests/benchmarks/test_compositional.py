"""The compositional tasks: each can be read, is solved by its reference, and tells wrong programs from right ones."""

from __future__ import annotations

import ast
import doctest
import json
import random
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.judge import Answer, judge_samples
from leafwise.benchmarks.mutations import mutants
from leafwise.benchmarks.problems import half_of, read_problem_set, task_of
from leafwise.runtime.cli import main
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import Program

PROBLEMS = read_problem_set("compositional").problems
FILE = Path(str(resources.files("leafwise.benchmarks"))) / "compositional.jsonl"
LINES: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
each = pytest.mark.parametrize("line", LINES, ids=[line["entry_point"] for line in LINES])


def squeezed(code: str) -> str:
    return ast.unparse(ast.parse(code)).replace(" ", "")


def hidden_calls(line: dict[str, Any]) -> list[str]:
    """The hidden asserts' calls, with the function's own name."""
    function = ast.parse(line["test"]).body[0]
    assert isinstance(function, ast.FunctionDef)
    compared = [node.test for node in function.body if isinstance(node, ast.Assert)]
    assert len(compared) == len(function.body)
    calls = [ast.unparse(node.left) for node in compared if isinstance(node, ast.Compare)]
    return [call.replace("candidate(", f"{line['entry_point']}(", 1) for call in calls]


def test_there_are_forty_in_two_halves() -> None:
    assert [problem.id for problem in PROBLEMS] == [f"Compositional/{i}" for i in range(40)]
    assert [half_of(problem.id) for problem in PROBLEMS] == ["even", "odd"] * 20
    assert len({problem.entry_point for problem in PROBLEMS}) == 40


@each
def test_a_task_is_shown_by_examples_and_judged_by_others(line: dict[str, Any]) -> None:
    task = task_of(next(problem for problem in PROBLEMS if problem.id == line["task_id"]))
    assert task.entry_point == line["entry_point"]
    assert len(task.examples) == line["prompt"].count(">>>") >= 2
    assert {example.code for example in task.examples} == {
        example.source.strip() for example in doctest.DocTestParser().get_examples(line["prompt"])
    }, "nothing of the prose was taken for an example"
    hidden = [squeezed(call) for call in hidden_calls(line)]
    assert len(set(hidden)) == len(hidden) >= 8
    assert set(hidden).isdisjoint(squeezed(example.code) for example in task.examples)


@each
def test_a_reference_is_small_documented_functions_that_are_combined(line: dict[str, Any]) -> None:
    functions = [node for node in ast.parse(line["reference"]).body if isinstance(node, ast.FunctionDef)]
    *helpers, entry = functions
    assert (entry.name, [helper.name for helper in helpers]) == (line["entry_point"], line["helpers"])
    assert 2 <= len(functions) <= 5
    for function in functions:
        code = function.body[1:]
        assert ast.get_docstring(function)
        assert code[-1].end_lineno is not None
        assert code[-1].end_lineno - code[0].lineno < 9, "a small model should be able to write it"
    reads = {node.id for node in ast.walk(ast.parse(line["reference"])) if isinstance(node, ast.Name)}
    assert reads.issuperset(line["helpers"]), "a function that nothing calls is no part of the task"
    whole = ast.parse(line["prompt"] + line["canonical_solution"]).body
    assert {ast.dump(node) for node in whole} == {ast.dump(node) for node in ast.parse(line["reference"]).body}


@pytest.mark.sandbox
def test_references_pass_their_hidden_tests_and_their_examples() -> None:
    answers = [Answer(task_id=line["task_id"], arm="written", module=line["reference"]) for line in LINES]
    answers += [Answer(task_id=problem.id, arm="completed", module=problem.reference) for problem in PROBLEMS]
    with open_sandbox() as sandbox:
        judgements = list(judge_samples(PROBLEMS, answers, sandbox))
        shown = {p.id: sandbox.run(Program(source=p.reference, checks=task_of(p).examples)) for p in PROBLEMS}
    assert len(judgements) == 80
    assert [j for j in judgements if not j.passed("base")] == []
    assert {task: verdict for task, verdict in shown.items() if not verdict.passed} == {}


@pytest.mark.sandbox
def test_wrong_programs_mostly_fail() -> None:
    answers = [
        Answer(task_id=problem.id, arm=str(i), module=module)
        for problem in PROBLEMS
        for i, module in enumerate(mutants(problem.reference, 6, random.Random(problem.id)))
    ]
    with open_sandbox() as sandbox:
        judgements = list(judge_samples(PROBLEMS, answers, sandbox))
    passed = [j for j in judgements if j.passed("base")]
    assert len(judgements) > 200
    assert len(passed) < len(judgements) / 10, "some mutants are still right: of all 529 there are 24 that pass"


@pytest.mark.sandbox
def test_the_command_judges_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = tmp_path / "samples.jsonl"
    lines = [json.dumps({"task_id": line["task_id"], "solution": line["reference"]}) for line in LINES]
    samples.write_text("\n".join(lines), encoding="utf-8")
    assert main(["bench", "judge", str(samples), "--dataset", "compositional"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "40/40 passed"


def test_it_takes_no_file_and_no_plus(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"HumanEval\+'s tests are for HumanEval"):
        read_problem_set("compositional", plus=tmp_path)
