"""What a task's code gives: imports and helpers come into answers that lack them, and nothing else does."""

from __future__ import annotations

import ast

import pytest

from leafwise.agents.extract import extract_code
from leafwise.agents.given import continuable, given_code, type_imports, with_given
from leafwise.agents.reading import read_task

PROMPT = '''from typing import List, Optional
import math

RATE = 2


def twice(x: int) -> int:
    """Two times x."""
    return RATE * x


def largest(xs: List[int]) -> Optional[int]:
    """ The largest, doubled.
    >>> largest([1, 2])
    4
    """
'''
ANSWER = "def largest(xs: List[int]) -> Optional[int]:\n    return twice(max(xs)) if xs else None\n"


def test_a_task_in_python_gives_all_but_the_function() -> None:
    task = read_task(PROMPT)
    assert task.entry_point == "largest"
    assert "def largest" not in task.given
    namespace: dict[str, object] = {}
    exec(with_given(ANSWER, task.given), namespace)
    assert namespace["largest"]([1, 5]) == 10  # type: ignore[operator]


def test_only_what_is_used_comes() -> None:
    given = given_code(PROMPT, "largest")
    assert with_given("def largest(xs):\n    return 1\n", given) == "def largest(xs):\n    return 1\n"
    code = with_given(ANSWER, given)
    assert "import math" not in code
    assert code.index("RATE = 2") < code.index("def twice") < code.index("def largest")


def test_the_answer_s_own_wins() -> None:
    own = f"from typing import *\n\ndef twice(x):\n    return x + x\n\n{ANSWER}"
    assert with_given(own, given_code(PROMPT, "largest")).count("def twice") == 1


@pytest.mark.parametrize(
    "head", ['"""Doc."""\n', "from __future__ import annotations\n", '"""Doc."""\nfrom __future__ import annotations\n']
)
def test_what_must_come_first_stays_first(head: str) -> None:
    code = with_given(head + ANSWER, given_code(PROMPT, "largest"))
    assert code.startswith(head.strip())
    compile(code, "answer", "exec")


@pytest.mark.parametrize("statement", ["Write a function f(x).", "", "def f(", "import the data"])
def test_prose_gives_nothing(statement: str) -> None:
    assert given_code(statement, "f") == ""
    assert continuable(statement, "f") == ""


def test_only_an_open_function_is_continued() -> None:
    assert continuable(PROMPT, "largest") == PROMPT
    assert continuable(PROMPT, "twice") == ""
    assert continuable(PROMPT + "    return 1\n", "largest") == ""


BODIES = {
    "as it continues": "    return twice(max(xs))\n",
    "in a block": "```python\n    return twice(max(xs))\n```",
    "without its indentation": "```python\nreturn twice(max(xs))\n```",
    "its first indentation lost": "y = 1\n    return twice(max(xs))\n",
    "with more after it": "    return twice(max(xs))\n\nprint(largest([1]))\nThat's it.\n",
    "several lines": "    if not xs:\n        return None\n    return twice(max(xs))\n",
}


@pytest.mark.parametrize("answer", BODIES.values(), ids=BODIES)
def test_a_body_continues_the_prompt(answer: str) -> None:
    found = extract_code(answer, "largest", PROMPT)
    assert found.rule == "body"
    namespace: dict[str, object] = {}
    exec(found.code, namespace)
    assert namespace["largest"]([3]) == 6  # type: ignore[operator]


@pytest.mark.parametrize(
    "answer",
    [
        "I can't.",
        "",
        "    pass\n",
        "x = 1\nprint(x)\n",
        "def other(x):\n    return x\n",
        "```python\ndef other(x):\n    return x\n```",
    ],
)
def test_what_gives_nothing_is_no_body(answer: str) -> None:
    assert extract_code(answer, "largest", PROMPT).rule == "none"


def test_a_whole_function_is_preferred_to_a_body() -> None:
    assert extract_code(f"```python\n{ANSWER}```", "largest", PROMPT).rule == "fence"
    assert ast.parse(extract_code(ANSWER, "largest", PROMPT).code).body[0].lineno == 1


def test_types_that_the_signature_names_are_imported_with_it() -> None:
    signature = "def f(xs: List[int], when: Optional[date] = None) -> Dict[str, Decimal]:"
    lines = type_imports(signature, "from typing import Dict").splitlines()
    assert lines == [
        "from decimal import Decimal",
        "from typing import List",
        "from typing import Optional",
        "from datetime import date",
    ]
    assert type_imports("def f(xs: list[int], y: Shape):", "") == ""
    assert type_imports(None, "") == ""
    assert type_imports("def f(:", "") == ""
