"""Small tasks of ours on which the judge is tried, whatever the data set: their tests are strict.

Known-bad programs must fail here, so one that passes shows a broken judge. On a data set's own tasks it may show weak
tests (`assert f(3)`), and one that fails may lack no more than a class whose objects the tests pass.
"""

from __future__ import annotations

from leafwise.benchmarks.contracts import Problem, Suite
from leafwise.benchmarks.problems_humaneval import BASE_CPU_SECONDS, humaneval_problem
from leafwise.runtime.sandbox_contracts import Check

_NAME = "half_of_sum"
_PROMPT = f'def {_NAME}(numbers):\n    """Half of the sum of the numbers."""\n'
_BODY = "    return sum(numbers) / 2\n"
_CHECK = """
def check(candidate):
    assert candidate([1, 2, 4]) == 3.5
    assert abs(candidate([3]) - 1.5) < 1e-9
    assert candidate([]) == 0
"""
_EQUAL = (f"assert {_NAME}([1, 2, 4]) == 3.5", f"assert {_NAME}([]) == 0")
_BUILTINS = (
    f"assert math.isclose({_NAME}([1, 2, 4]), 3.5)",
    f"assert all(math.isclose({_NAME}([number]), number / 2) for number in range(3))",
)
"""Right for a judge whose `all` and `isclose` an answer has replaced."""


def trial_problems() -> tuple[Problem, ...]:
    """Tasks in the two forms of test: HumanEval's function and MBPP's asserts, of which some lean on builtins."""
    form = {"task_id": "trial of check()", "prompt": _PROMPT, "entry_point": _NAME}
    return (
        humaneval_problem({**form, "canonical_solution": _BODY, "test": _CHECK}),
        _asserts("trial of asserts", "", _EQUAL),
        _asserts("trial of builtins", "import math", _BUILTINS),
    )


def _asserts(name: str, setup: str, asserts: tuple[str, ...]) -> Problem:
    checks = tuple(Check(code=code) for code in asserts)
    return Problem(
        id=name,
        prompt=_PROMPT,
        entry_point=_NAME,
        reference=_PROMPT + _BODY,
        suites=(Suite(name="base", setup=setup, checks=checks, cpu_seconds=BASE_CPU_SECONDS),),
    )
