"""Prompts are data: rendered strictly, and each held by a snapshot.

After a wanted change of a prompt, delete its snapshot, run this file once (it fails, and writes the new one), and read
the difference.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from leafwise.agents.errors import PromptError
from leafwise.agents.prompting import render

SNAPSHOTS = Path(__file__).parent / "snapshots"
TASK = "Write a function add(a, b) that returns the sum of {two} <numbers> & more."
CODE = 'def add(a, b):\n    """Sum of a and b."""'
EXAMPLES = "assert add(2, 3) == 5\nassert add(0, 0) == 0"
HELPERS = 'def carry(a, b):\n    """What is carried."""\n    ...'
CONTEXT = 'from digits import last\n\ndef last(n):\n    """The last digit."""\n    ...'
FAILURE = "`add(2, 3)` should give `5`, but it gives `6`."
WRONG = "def add(a, b):\n    return a * b"

CASES: dict[str, tuple[str, dict[str, str | int | bool]]] = {
    "task": ("task", {"statement": TASK, "is_code": False, "examples": EXAMPLES, "imports": "", "context": ""}),
    "task-code": ("task", {"statement": CODE, "is_code": True, "examples": EXAMPLES, "imports": "", "context": ""}),
    "task-bare": ("task", {"statement": TASK, "is_code": False, "examples": "", "imports": "", "context": ""}),
    "task-imports": (
        "task",
        {"statement": TASK, "is_code": False, "examples": EXAMPLES, "imports": "numpy, sympy", "context": ""},
    ),
    "task-context": (
        "task",
        {"statement": TASK, "is_code": False, "examples": EXAMPLES, "imports": "numpy", "context": CONTEXT},
    ),
    "draft": ("draft", {"task": TASK}),
    "plan": ("plan", {"task": TASK, "name": "add", "breadth": 4}),
    "leaf": (
        "leaf",
        {
            "signature": "def carry(a, b):",
            "statement": "What is carried.",
            "examples": "assert carry(9, 1) == 1",
            "context": "",
            "purpose": "Add two numbers.",
            "name": "carry",
        },
    ),
    "leaf-context": (
        "leaf",
        {
            "signature": "def carry(a, b):",
            "statement": "What is carried.",
            "examples": "",
            "context": CONTEXT,
            "purpose": "Add two numbers.",
            "name": "carry",
        },
    ),
    "leaf-bare": (
        "leaf",
        {
            "signature": "def carry(a, b):",
            "statement": "What is carried.",
            "examples": "",
            "context": "",
            "purpose": "Add two numbers.",
            "name": "carry",
        },
    ),
    "compose": ("compose", {"task": TASK, "helpers": HELPERS, "name": "add"}),
    "compose-alone": ("compose", {"task": TASK, "helpers": "", "name": "add"}),
    "repair": (
        "repair",
        {"task": TASK, "code": WRONG, "failure": FAILURE, "critique": "It multiplies."},
    ),
    "repair-plain": (
        "repair",
        {"task": TASK, "code": WRONG, "failure": FAILURE, "critique": ""},
    ),
    "critique": ("critique", {"task": TASK, "code": WRONG, "failure": FAILURE}),
    "tests": ("tests", {"task": TASK, "name": "add", "count": 4}),
}
every_case = pytest.mark.parametrize("case", CASES)


@every_case
def test_each_prompt_is_held_by_a_snapshot(case: str) -> None:
    name, variables = CASES[case]
    text, path = render(name, **variables) + "\n", SNAPSHOTS / f"{case}.txt"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"the snapshot {path.name} was missing: it is written now; read it, and add it")
    assert text == path.read_text(encoding="utf-8")


def test_every_prompt_has_a_case_and_every_snapshot_a_prompt() -> None:
    files = {f.name.removesuffix(".md") for f in (resources.files("leafwise.agents") / "prompts").iterdir()}
    assert {name for name, _ in CASES.values()} == files
    assert {path.stem for path in SNAPSHOTS.glob("*.txt")} == set(CASES)


@every_case
def test_nothing_is_left_unrendered(case: str) -> None:
    name, variables = CASES[case]
    text = render(name, **variables)
    assert not any(mark in text for mark in ("{{", "}}", "{%", "%}", "{#"))
    assert "\n\n\n" not in text
    assert text == text.strip()
    fences = [line for line in text.splitlines() if "```" in line]
    assert len(fences) % 2 == 0
    assert set(fences) <= {"```", "```python"}  # each on a line of its own


@every_case
def test_every_variable_reaches_the_prompt(case: str) -> None:
    name, variables = CASES[case]
    text = render(name, **variables)
    for key, value in variables.items():
        assert key == "is_code" or str(value) in text, key  # as written: nothing is escaped


@every_case
def test_a_missing_variable_is_an_error(case: str) -> None:
    name, variables = CASES[case]
    for key in variables:
        with pytest.raises(PromptError, match=f"missing variables \\['{key}'\\], unused variables \\[\\]"):
            render(name, **{k: v for k, v in variables.items() if k != key})


@every_case
def test_an_unused_variable_is_an_error(case: str) -> None:
    name, variables = CASES[case]
    with pytest.raises(PromptError, match=r"missing variables \[\], unused variables \['extra'\]"):
        render(name, **variables, extra=1)


def test_a_missing_prompt_is_an_error() -> None:
    with pytest.raises(PromptError, match=r"there is no prompt nothing\.md"):
        render("nothing")


def test_text_of_a_task_is_never_a_template() -> None:
    statement = "{{ 7 * 7 }} {% if x %}"
    task = render("task", statement=statement, is_code=False, examples="", imports="", context="")
    assert statement in render("draft", task=task)
