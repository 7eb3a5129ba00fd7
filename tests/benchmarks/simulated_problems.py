"""Two small problems for tests of the simulation: one function, and one with two helpers."""

from __future__ import annotations

from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.problems_humaneval import humaneval_problem

LINES = [
    {
        "task_id": "Small/0",
        "prompt": 'def largest(xs: list[int]) -> int:\n    """The largest number, or 0 for none.\n\n'
        "    >>> largest([1, 3, 2])\n    3\n    >>> largest([])\n    0\n"
        '    """\n',
        "entry_point": "largest",
        "canonical_solution": "    best = 0\n    for i, x in enumerate(xs):\n        if i == 0 or x > best:\n"
        "            best = x\n    return best\n",
        "test": "def check(candidate):\n    assert candidate([]) == 0\n    assert candidate([-2, -1]) == -1\n"
        "    assert candidate([4, 9, 9, 1]) == 9\n",
    },
    {
        "task_id": "Composed/1",
        "prompt": 'def even_squares(xs: list[int]) -> int:\n    """The sum of the squares of the even numbers.\n\n'
        "    >>> even_squares([1, 2, 4])\n    20\n    >>> even_squares([3])\n    0\n"
        '    """\n',
        "entry_point": "even_squares",
        "canonical_solution": "    return sum(square(x) for x in xs if is_even(x))\n\n\n"
        'def square(number: int) -> int:\n    """The square of a number."""\n    return number * number\n\n\n'
        'def is_even(number: int) -> bool:\n    """Whether a number is even."""\n    return number % 2 == 0\n',
        "test": "def check(candidate):\n    assert candidate([]) == 0\n    assert candidate([2, 3, -4]) == 20\n"
        "    assert candidate([6, 0, 1]) == 36\n",
    },
]


def small_problems() -> list[Problem]:
    """The problems."""
    return [humaneval_problem(line) for line in LINES]
