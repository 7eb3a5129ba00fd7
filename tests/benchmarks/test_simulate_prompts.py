"""Every prompt of the team is recognised, with its variables; anything else is an error."""

from __future__ import annotations

from importlib import resources

import pytest

from leafwise.agents.prompting import render
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.simulate_prompts import read_prompt

# words of the prompts stand in the task, to lead the reader astray
TASK = render(
    "task",
    statement='def f(x):\n    """Write the corrected list. This code is wrong: f(1)."""',
    is_code=True,
    examples="assert f(1) == 2",
    imports="",
    context="",
)
TRACED = "It fails at `f(1)`.\nThe last lines that ran:\n\n```python\nreturn x  # x = 1\n```"
PROMPTS: dict[str, dict[str, str | int]] = {
    "draft": {"task": TASK},
    "leaf": {
        "signature": "def g(a):",
        "statement": "Twice a.",
        "examples": "",
        "purpose": "To sum.",
        "name": "g",
        "context": "",
    },
    "compose": {"task": TASK, "helpers": 'def g(a):\n    """Twice a."""\n    ...', "name": "f"},
    "plan": {"task": TASK, "name": "f", "breadth": 4},
    "tests": {"task": TASK, "count": 4, "name": "f"},
    "critique": {"task": TASK, "code": "def f(x):\n    return x", "failure": "It fails at `f(1)`."},
    "repair": {"task": TASK, "code": "def f(x):\n    return x", "failure": TRACED, "critique": "Look."},
}


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_is_recognised_with_its_variables(name: str) -> None:
    asked = read_prompt(render(name, **PROMPTS[name]))
    assert asked.prompt == name
    assert asked.values == {key: str(value) for key, value in PROMPTS[name].items()}


@pytest.mark.parametrize(("name", "optional"), [("compose", "helpers"), ("repair", "critique"), ("leaf", "examples")])
def test_a_part_that_is_left_out_is_empty(name: str, optional: str) -> None:
    asked = read_prompt(render(name, **{**PROMPTS[name], optional: ""}))
    assert (asked.prompt, asked.values[optional]) == (name, "")


def test_the_prompts_that_are_known_are_those_that_there_are() -> None:
    files = {f.name.removesuffix(".md") for f in (resources.files("leafwise.agents") / "prompts").iterdir()}
    assert set(PROMPTS) == files - {"task"}, "teach benchmarks/simulated_engine.py the new prompt, and this test"


def test_another_prompt_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="does not know the prompt 'Tell me a joke'"):
        read_prompt("Tell me a joke")
