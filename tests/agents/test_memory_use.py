"""A memory file in runs: what is kept, what is tried again, and that nobody uses one who did not ask for it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from team_script import TASK, judge_by, scripted_team

from leafwise.agents import Answer, AnswerStatus, Event, EventKind, Settings, resume, start
from leafwise.agents.contracts import Candidate, Evidence, Spec, Task
from leafwise.agents.errors import MemoryFileError
from leafwise.agents.memory import KnownFunction, Memory, open_memory
from leafwise.agents.memory_use import Library, fitting, known_function, parameters_of, renamed, verified_by
from leafwise.runtime.errors import UsageError
from leafwise.runtime.sandbox_contracts import Check, SandboxLevel

GOOD = "\n    return sum(x * x for x in xs)\n"
BAD = "\n    return 0\n"
OTHER = "Write a function energy(values) that returns the sum of the squares of values. energy([3]) == 9"
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(task: str, replies: dict[str, Any], **options: Any) -> tuple[Answer, list[Event]]:
    settings = options.pop("settings", Settings(drafts=2))
    started = start(task, model=scripted_team(replies), settings=settings, **options)
    events = list(started)
    return started.result(), events


def notes(events: list[Event]) -> list[str]:
    return [event.text for event in events if event.kind is EventKind.NOTE and event.text.startswith("memory")]


def evidence(**changes: Any) -> Evidence:
    return Evidence(loads=True, level=SandboxLevel.SCRIPTED).model_copy(update=changes)


# --- in a run --------------------------------------------------------------------------------------------------------


@pytest.mark.sandbox
def test_a_verified_answer_is_kept_and_solves_a_later_task_of_another_name(tmp_path: Path) -> None:
    path = tmp_path / "known.db"
    _, events = run(TASK, {"draft": GOOD, "tester": "[1]) == 1"}, memory=path)
    assert notes(events) == ["memory: kept total, verified by examples"]
    (stored,) = open_memory(path).functions()
    assert (stored.name, stored.parameters, stored.model) == ("total", 1, "scripted")
    assert stored.checks == (Check(code="total([1, 2])", expected="5"),)
    assert stored.task == TASK
    replies = {"draft": BAD, "tester": "[1]) == 1", "generalist": "", "critic": "no", "repair": BAD, "compose": BAD}
    without, _ = run(OTHER, replies)
    assert without.status is AnswerStatus.FAILED
    answer, events = run(OTHER, replies, memory=path)
    assert answer.status is AnswerStatus.PASSED
    assert answer.origin == "memory"
    assert "def energy(xs)" in answer.code
    assert f"comes from the memory file {path}" in answer.statement
    assert notes(events) == ["memory: trying total (1)"]
    assert len(open_memory(path).functions()) == 1, "what comes from the file does not go into it again"


@pytest.mark.sandbox
def test_a_known_function_has_to_pass_this_task_s_examples(tmp_path: Path) -> None:
    path = tmp_path / "known.db"
    run(TASK, {"draft": GOOD, "tester": "[1]) == 1"}, memory=path)
    cubes = "Write a function cubes(xs) that returns the sum of the cubes. cubes([2]) == 8"
    good = "\n    return sum(x ** 3 for x in xs)\n"
    answer, events = run(cubes, {"draft": good, "tester": "[1]) == 1"}, memory=path)
    assert answer.origin == "draft"
    assert "x ** 3" in answer.code
    tried = [e.data for e in events if e.kind is EventKind.CANDIDATE and e.data["origin"] == "memory"]
    assert [c["evidence"]["examples_passed"] for c in tried] == [0]


def test_what_failed_is_not_kept(tmp_path: Path) -> None:
    replies = {"draft": BAD, "tester": "", "generalist": "", "critic": "", "repair": BAD}
    _, events = run(TASK, replies, memory=tmp_path / "known.db", sandbox=judge_by(lambda _: False))
    assert notes(events) == []
    assert open_memory(tmp_path / "known.db").functions() == []


def test_leaves_are_kept_where_their_checks_vouch_for_them(tmp_path: Path) -> None:
    plan = " square_of(x):\n    '''Return x squared.'''\n    ...\n"

    def tests(request: Any, _index: int) -> str:
        return "2) == 4\nassert square_of(3) == 9" if "square_of(" in request.continuation else "[3]) == 9"

    replies = {"draft": BAD, "tester": tests, "generalist": plan, "leaf": "\n    return x * x\n"}
    replies |= {"compose": "\n    return sum(square_of(x) for x in xs)\n"}
    sandbox = judge_by(lambda source: "x * x" in source)
    answer, events = run(TASK, replies, memory=tmp_path / "known.db", sandbox=sandbox)
    assert answer.status is AnswerStatus.PASSED
    assert notes(events) == [
        "memory: kept square_of, verified by checks",
        "memory: kept total, verified by examples",
    ]
    assert len(open_memory(tmp_path / "known.db").functions()[0].checks) == 2


def test_a_resumed_run_has_its_memory(tmp_path: Path) -> None:
    path = tmp_path / "known.db"
    replies = {"draft": GOOD, "tester": "[1]) == 1"}
    answer, _ = run(TASK, replies, memory=path, store=True, sandbox=judge_by(lambda _: True))
    path.write_bytes(b"something else")
    with pytest.raises(MemoryFileError, match="is no memory file"):
        resume(answer.run, model=scripted_team({}))


def test_a_file_that_breaks_in_the_middle_does_not_end_the_run(tmp_path: Path) -> None:
    path = tmp_path / "known.db"

    def spoil(_request: Any, _index: int) -> str:
        path.write_bytes(b"something else entirely, of another program" * 10)
        return GOOD

    answer, events = run(TASK, {"draft": spoil, "tester": ""}, memory=path, sandbox=judge_by(lambda _: True))
    assert answer.status is AnswerStatus.PASSED
    assert any(text.startswith("memory not used: ") for text in notes(events))
    assert any(text.startswith("memory: total not kept: ") for text in notes(events))


@pytest.mark.parametrize("strategy", ["direct", "resample"])
def test_strategies_that_are_for_comparison_have_no_memory(tmp_path: Path, strategy: Any) -> None:
    with pytest.raises(UsageError, match=f"{strategy} has no use for a memory"):
        start(TASK, model=scripted_team({}), settings=Settings(strategy=strategy), memory=tmp_path / "known.db")
    assert list(tmp_path.iterdir()) == []


def test_benchmarks_have_no_memory() -> None:
    """Answers of earlier tasks would be in the score: no benchmark may hand a file to the team."""
    for path in BENCHMARKS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("leafwise.agents.memory"), path.name
            if isinstance(node, ast.Call):
                assert "memory" not in [keyword.arg for keyword in node.keywords], f"{path.name}:{node.lineno}"
    _, events = run(TASK, {"draft": GOOD, "tester": ""}, sandbox=judge_by(lambda _: True))
    assert notes(events) == []


# --- the parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"examples_passed": 1, "examples_total": 1}, "examples"),
        ({"examples_passed": 1, "examples_total": 2}, None),
        ({"examples_passed": 1, "examples_total": 1, "checks_total": 3}, "examples"),
        ({"checks_passed": 2, "checks_total": 2}, "checks"),
        ({"checks_passed": 1, "checks_total": 1}, None),
        ({"checks_passed": 2, "checks_total": 3}, None),
        ({"loads": False}, None),
        ({}, None),
    ],
)
def test_what_counts_as_verified(changes: dict[str, Any], wanted: str | None) -> None:
    assert verified_by(evidence(**changes)) == wanted


@pytest.mark.parametrize(
    ("signature", "example", "wanted"),
    [
        ("def f(a, b=1, *, c):", "", 3),
        ("def f(*rest, **more):", "", 2),
        ("def f():", "f(1)", 0),
        (None, "f(1, [2, 3], key=4)", 3),
        (None, "f(f(1, 2))", 1),
        (None, "g(1)", None),
        (None, "", None),
    ],
)
def test_how_many_parameters(signature: str | None, example: str, wanted: int | None) -> None:
    examples = (Check(code=example),) if example else ()
    assert parameters_of(Spec(statement="", entry_point="f", signature=signature, examples=examples)) == wanted


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("def f(n):\n    return n and f(n - 1)\n", "def g(n):\n    return n and g(n - 1)\n"),
        ("def g(x):\n    return x\n\ndef f(n):\n    return g(n)\n", ""),
        ("def f(f):\n    return f\n", ""),
        ("def f(n):\n    def g():\n        return n\n    return g()\n", ""),
        ("def f(n):\n    f = n\n    return f\n", ""),
        ("from m import g\n\ndef f(n):\n    return g(n)\n", ""),
        ("class A:\n    def f(self):\n        return 1\n", ""),
        ("def f(n):\n    return g(n)\n", ""),
        ("def f(:\n", ""),
    ],
)
def test_renaming_is_safe_or_not_done(source: str, wanted: str) -> None:
    assert renamed(source, "f", "g") == wanted


def known(name: str, **changes: Any) -> KnownFunction:
    function = KnownFunction(
        name=name,
        signature=f"def {name}(x):",
        parameters=1,
        docstring="",
        source=f"def {name}(x):\n    return x\n",
        checks=(),
        verified_by="examples",
        task="",
        task_sha256="",
        model="",
        run="",
        created="",
    )
    return function.model_copy(update=changes)


def test_functions_that_fit_come_best_first_and_need_nothing_that_is_not_allowed() -> None:
    spec = Spec(statement="Sum of the squared numbers.", entry_point="square_sum")
    functions = [
        known("reverse_text"),
        known("sum_squares", verified_by="checks"),
        known("sum_squares"),
        known("squares", docstring="The sum of squared numbers.", imports=("numpy",)),
    ]
    assert fitting(functions, spec) == [functions[2], functions[1]]
    assert functions[3] in fitting(functions, spec.model_copy(update={"allow_imports": ("numpy",)}))


def test_what_needs_the_user_s_files_is_not_kept(tmp_path: Path) -> None:
    task = Task.model_validate({"statement": "Do it.", "entry_point": "f", "context_roots": [root(tmp_path)]})
    library = Library(Memory(tmp_path / "x"), task, "m", "r")
    passed = evidence(examples_passed=1, examples_total=1)
    for source, kept in (
        ("from utils import g\ndef f(x):\n    return g(x)\n", False),
        ("import json\nimport numpy\ndef f(x):\n    return numpy.sum(x)\n", True),
        ("class f:\n    pass\n", False),
        ("def f(x):\n    return '" + "x" * 20_000 + "'\n", False),
    ):
        winner = Candidate(node="root", origin="draft", source=source, rule="fence", evidence=passed)
        function = known_function(library, task, winner)
        assert (function is not None) == kept, source
        assert function is None or function.imports == ("numpy",)


def root(folder: Path) -> dict[str, Any]:
    return {"path": str(folder / "utils.py"), "files": ["utils.py"], "sha256": ""}
