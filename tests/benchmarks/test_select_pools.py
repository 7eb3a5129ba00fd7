"""Recorded prompts of other forms, and what is told of solutions and tasks that are less than was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_select import PROBLEM, PROMPT, RECORDED, SOLUTIONS, tried

from leafwise.benchmarks.problems_mbpp import read_mbpp
from leafwise.benchmarks.recorded import Recorded
from leafwise.benchmarks.recorded_files import Reading
from leafwise.benchmarks.select_bench import SelectOptions, report_of, scores_of
from leafwise.benchmarks.select_bench_cli import _tell
from leafwise.benchmarks.select_outcomes import Outcomes, judge_candidates, try_candidates
from leafwise.benchmarks.select_pools import Pool, read_pool
from leafwise.benchmarks.select_scores import rows_of_curve
from leafwise.runtime.sandbox_contracts import Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_scripted import ScriptedSandbox

WRAPPED = {
    "chat": f"Complete this function:\n```python\n{PROMPT}",
    "instruction": f"[INST] Complete the code [/INST]\n{PROMPT}",
    "half a character": f"{PROMPT}\ud800",
}


@pytest.mark.parametrize("prompt", WRAPPED.values(), ids=WRAPPED)
def test_behind_a_prompt_that_is_no_python_solutions_continue_the_data_sets_own(prompt: str) -> None:
    found = read_pool(PROBLEM, RECORDED.model_copy(update={"prompt": prompt}), 9, 9)
    assert [module[-20:] for module in found.modules] == [
        module[-20:] for module in read_pool(PROBLEM, RECORDED, 9, 9).modules
    ]
    assert found.modules[1].startswith(PROBLEM.prompt.rstrip())


def mbpp_pool(tmp_path: Path, prompt: str, solution: str) -> Pool:
    line = {
        "task_id": 2,
        "text": "Write a function to halve a number.",
        "code": "def halve(number):\n    return number // 2",
        "test_list": ["assert halve(4) == 2"],
    }
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(line))
    (problem,), _ = read_mbpp(tmp_path / "mbpp.jsonl")
    return read_pool(problem, Recorded(task_id="Mbpp/2", prompt=prompt, solutions=(solution,)), 9, 9)


def test_a_recorded_prompt_gives_its_imports_and_its_signature(tmp_path: Path) -> None:
    fenced = "```python\ndef halve(number: int) -> int:\n    return math.floor(number / 2)\n```"
    found = mbpp_pool(tmp_path, "import math\nfrom typing import List\n\ndef halve(number: int):", fenced)
    assert found.modules[0].startswith("import math\n")
    assert "List" not in found.modules[0]
    assert found.spec.signature == "def halve(number: int):"
    assert len(found.trial(found.first(9, 9), 0, examples=False).inputs) > 5


def test_a_recorded_prompt_about_another_function_tells_nothing(tmp_path: Path) -> None:
    found = mbpp_pool(tmp_path, "def other(x):\n    pass\n\ndef last(y):", "def halve(n):\n    return n // 2\n")
    assert found.spec.signature is None


def test_what_the_data_sets_prompt_gives_is_not_given_twice() -> None:
    given = f"import math\n\n{PROBLEM.prompt}"
    fenced = "```python\ndef double(n):\n    return math.floor(2 * n)\n```"
    problem = PROBLEM.model_copy(update={"prompt": given})
    found = read_pool(problem, RECORDED.model_copy(update={"prompt": given, "solutions": (fenced,)}), 9, 9)
    assert found.modules[0].count("import math") == 1
    assert found.spec.given == "import math"


def options(*, samples: int, curve: bool = False) -> SelectOptions:
    return SelectOptions(samples=samples, checks=9, examples=(True,), curve=curve, seed=0)


def test_what_has_no_code_and_tasks_with_few_samples_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    from leafwise.benchmarks.problems import read_problem_set

    steps: list[int] = []
    asked, one = options(samples=20, curve=True), tried()
    reading = Reading(left_out={f"Other/{i}": "no such task" for i in range(7)}, cut=3, tests=True, arms=("a", "b\x1b"))
    problems = read_problem_set("humaneval")
    report = report_of("f", problems, [one], asked, SandboxLevel.SCRIPTED, reading, lambda: steps.append(1))
    assert (report.solutions, report.without_code) == (len(SOLUTIONS), 1)
    assert (report.fewer_samples, report.fewer_checks) == (1, 1)
    assert len(steps) == scores_of([one.pool], asked) == 3  # the first ones, and draws of 1 and of 2
    _tell(report, as_json=False)
    said = capsys.readouterr().out
    for remark in (
        "1 of 4 solutions have no code, and count as wrong",
        "1 tasks have fewer samples; all that they have count",
        "1 tasks have fewer check texts",
        "1 of 3 check texts hold no check that can be used",
        "163 of 164 tasks of the data set are not measured",
        "samples of several arms are put together: a, b\N{REPLACEMENT CHARACTER}",
        "3 texts in the file are longer than what is read of them",
        "fields named like tests are not read: they may be the data set's own; call generated ones 'checks'",
    ):
        assert f"{remark}\n" in said
    assert "tasks that are left out: 7: Other/0 (no such task), " in said
    assert "Other/4 (no such task), ...\n" in said
    whole = report.model_copy(update={"without_code": 0, "fewer_samples": 0, "fewer_checks": 0})
    _tell(whole, as_json=False)
    assert "fewer" not in (said := capsys.readouterr().out)
    assert "no code" not in said


def test_the_curve_counts_only_tasks_that_have_so_many_samples() -> None:
    assert {row.tasks for row in rows_of_curve([tried()], 2, 0, lambda: None, examples=True)} == {1}
    assert rows_of_curve([tried()], 5, 0, lambda: None, examples=True) == []


class _Named(ScriptedSandbox):
    """Says that it has another level."""

    def __init__(self, level: SandboxLevel) -> None:
        super().__init__(lambda _: Verdict(status=Status.PASSED, level=level, cpu_seconds=0, seconds=0))
        self._level = level

    @property
    def level(self) -> SandboxLevel:
        return self._level


def test_outcomes_of_one_sandbox_level_are_not_those_of_another() -> None:
    outcomes, pool = Outcomes(), read_pool(PROBLEM, RECORDED, 9, 9)
    whole = pool.trial(pool.first(9, 9), 0, examples=True)
    ran: list[list[Program]] = []
    for level in (SandboxLevel.LANDLOCK, SandboxLevel.LANDLOCK, SandboxLevel.FULL):
        with _Named(level) as sandbox:
            evidence = try_candidates(pool, whole, sandbox, outcomes, 1, lambda: None)
            judge_candidates([pool], sandbox, outcomes, lambda: None)
        assert {one.level for one in evidence.values()} == {level}
        ran.append(sandbox.programs)
    assert not ran[1]
    assert len(ran[2]) == len(ran[0]) > 0
