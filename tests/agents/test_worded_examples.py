"""Examples that name the arguments instead of writing the call."""

from __future__ import annotations

import pytest

from leafwise.agents.worded_examples import find_worded_examples

TWO = "def f(arr, k):"
ONE = "def f(lst):"
TEXTS = {
    "for": (TWO, "For arr = [1, 2], k = 1 the output should be [2]", [("f([1, 2], 1)", "[2]")]),
    "another order": (TWO, "for k = 1 and arr = [1, 2], the result should be [2].", [("f([1, 2], 1)", "[2]")]),
    "words between": (ONE, 'For lst = 7, the sum is 7 and the output should be "1".', [("f(7)", '"1"')]),
    "input and output": (TWO, "Input: arr = [1], k = 1\n    Output: [1] # all", [("f([1], 1)", "[1]")]),
    "one value": (
        ONE,
        "Input: [4, 2]\nOutput: [2, 1]\n\nInput: []\nOutput: []",
        [("f([4, 2])", "[2, 1]"), ("f([])", "[]")],
    ),
    "JSON's words": (ONE, "Input: true\nOutput: false", [("f(True)", "False")]),
    "a parameter is missing": (TWO, "For arr = [1, 2] the output should be [2]", []),
    "one value for two parameters": (TWO, "Input: [4, 2]\nOutput: 2", []),
    "a formula": (ONE, "For lst = [1] the output should be 3 * 4", []),
    "no value": (ONE, "For lst = [1] the output should be sorted", []),
    "another input comes first": (ONE, "Input: [1] and for others the output is 2", []),
    "no such parameter": (ONE, "For x = [1] the output should be 3", []),
}


@pytest.mark.parametrize(("signature", "text", "expected"), TEXTS.values(), ids=TEXTS)
def test_worded_examples(signature: str, text: str, expected: list[tuple[str, str]]) -> None:
    assert [(e.code, e.expected) for e in find_worded_examples(text, signature)] == expected


def test_without_a_signature_the_order_of_arguments_is_unknown() -> None:
    assert find_worded_examples("For arr = [1], k = 1 the output should be [2]", None) == []
    assert find_worded_examples("Input: 1\nOutput: 2", "def f():") == []
