"""Generated inputs: the same for the same seed, different from each other, of the right types."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.contracts import Spec
from leafwise.agents.inputs import generate_inputs, literal_arguments, vary_value
from leafwise.runtime.sandbox_contracts import Check


def spec(signature: str | None = None, *calls: str) -> Spec:
    examples = tuple(Check(code=call, expected="0") for call in calls)
    return Spec(statement="f", entry_point="f", signature=signature, examples=examples)


def arguments(call: str) -> list[Any]:
    found = literal_arguments(call, "f")
    assert found is not None
    return found


ANNOTATED = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "list": list,
    "List[int]": list,
    "list[list[str]]": list,
    "Sequence[float]": list,
    "tuple[int, str]": tuple,
    "Tuple[int, ...]": tuple,
    "set[str]": set,
    "set[tuple[int, int]]": set,
    "dict[str, int]": dict,
    "Dict[int, List[int]]": dict,
    "Optional[int]": (int, type(None)),
    "int | None": (int, type(None)),
    "Union[int, str]": (int, str),
    "'int'": int,
    "None": type(None),
}


@pytest.mark.parametrize(("annotation", "kind"), ANNOTATED.items(), ids=ANNOTATED)
def test_annotated_parameters_get_values_of_their_type(annotation: str, kind: Any) -> None:
    calls = generate_inputs(spec(f"def f(x: {annotation}, y: int) -> int:"), 12, seed=1)
    assert calls
    for call in calls:
        x, y = arguments(call)
        assert isinstance(x, kind)
        assert isinstance(y, int)


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "def f():",
        "def f(*xs):",
        "def f(x: int, *, key: int):",
        "def f(x: Tree):",
        "def f(x: Callable[[int], int]):",
        "def f(x: np.ndarray):",
        "def f(x: Literal['a']):",
        "def f(x: 3):",
        # slips of a model's stubs
        "def f(x: set[list[int]]):",
        "def f(x: set[tuple[list, int]]):",
        "def f(x: set['list']):",
        "def f(x: dict[list[int], int]):",
        "def f(x: dict[str]):",
        "def f(x: dict[str, int, int]):",
        "def f(x: tuple[()]):",
        "def f(x: list[...]):",
    ],
)
def test_nothing_is_made_up_for_unknown_types(signature: str | None) -> None:
    assert generate_inputs(spec(signature), 8, seed=0) == ()


@pytest.mark.parametrize("call", ["f()", "f(x)", "f(1, x=2)", "f(*[1])", "g(1)", "f(", "f(1 + 1)", ""])
def test_calls_that_tell_nothing_are_passed_over(call: str) -> None:
    assert generate_inputs(spec(None, call), 8, seed=0) == ()


def test_without_a_name_there_is_nothing_to_call() -> None:
    assert generate_inputs(Spec(statement="x", signature="def f(x: int):"), 8, seed=0) == ()


def test_inputs_vary_the_visible_calls() -> None:
    calls = generate_inputs(spec(None, "f([3, 1, 2], 'abc')"), 16, seed=0)
    assert len(calls) == 16
    for call in calls:
        numbers, text = arguments(call)
        assert isinstance(numbers, list)
        assert isinstance(text, str)
    assert any(arguments(call)[0] == [] for call in calls)  # boundary values are among them


def test_annotations_fill_up_what_one_example_does_not_show() -> None:
    calls = generate_inputs(spec("def f(flag: bool, n: int):", "f(True, 1)"), 16, seed=0)
    assert {arguments(call)[0] for call in calls} == {True, False}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("f(1, 'a', [2])", [1, "a", [2]]),
        ("len(f(1)) + f(2)", [2]),
        ("f(-1)", [-1]),
        ("f(g(1))", None),
        ("f(x=1)", None),
        ("f(**{})", None),
        ("g(1)", None),
        ("obj.f(1)", None),
        ("f(1", None),
    ],
)
def test_literal_arguments(code: str, found: list[Any] | None) -> None:
    assert literal_arguments(code, "f") == found


@pytest.mark.parametrize(
    ("signature", "kinds"),
    [
        ("def f(n):", {int}),
        ("def f(s):", {str}),
        ("def f(lst):", {list}),
        ("def f(x: int, numbers):", {int, list}),
        ("def f(what):", {int, str, list}),
    ],
)
def test_a_parameter_without_annotation_gets_values_that_suit_its_name(signature: str, kinds: set[type]) -> None:
    calls = generate_inputs(spec(signature), 24, seed=0)
    assert {type(value) for call in calls for value in arguments(call)} == kinds


def test_lists_are_of_texts_where_the_statement_says_so() -> None:
    task = Spec(statement="Takes a list of strings.", entry_point="f", signature="def f(lst):")
    assert {type(v) for call in generate_inputs(task, 24, seed=0) for v in arguments(call)[0]} == {str}


def test_proposed_calls_are_taken_and_varied_but_leave_room() -> None:
    proposed = [f"f({n})" for n in range(1000, 1100)]
    calls = generate_inputs(spec("def f(n: int):"), 16, seed=0, proposed=proposed)
    assert set(proposed[:8]) <= set(calls)
    assert len(calls) == 16
    assert len(set(calls) - set(proposed)) == 8
    assert set(generate_inputs(spec(None), 16, seed=0, proposed=["f(12345)", "f(x)"])) > {"f(12345)"}


def test_who_else_proposes_changes_only_what_there_is_room_for() -> None:
    one = set(generate_inputs(spec(None), 64, seed=0, proposed=["f([1, 2])"]))
    both = set(generate_inputs(spec(None), 64, seed=0, proposed=["f([7, 8, 9])", "f([1, 2])"]))
    assert one < both


def test_visible_calls_are_not_tried_again() -> None:
    assert "f(0)" not in generate_inputs(spec("def f(n: int):", "f(0)"), 64, seed=0)


def test_short_calls_come_first() -> None:
    calls = generate_inputs(spec("def f(numbers: list[int]):"), 24, seed=0)
    assert [*calls] == sorted(calls, key=len)


def test_inputs_are_the_same_in_every_process() -> None:
    # a set of strings prints in another order under another hash seed
    program = (
        "from leafwise.agents.contracts import Spec\n"
        "from leafwise.agents.inputs import generate_inputs\n"
        "print(generate_inputs(Spec(statement='f', entry_point='f', signature='def f(x: set[str]):'), 9, 3))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().count("f(") > 3


def test_infinity_stays_a_value() -> None:
    for call in generate_inputs(spec(None, "f(1e308)"), 16, seed=0):
        eval(call, {"f": float})


SCALARS = st.one_of(
    st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False), st.text(max_size=8), st.none()
)
VALUES = st.recursive(
    st.one_of(SCALARS, st.binary(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(SCALARS, max_size=3),
        st.dictionaries(SCALARS, inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.integers(0, 2**32 - 1))
def test_a_varied_value_keeps_its_type(value: Any, seed: int) -> None:
    varied = vary_value(value, random.Random(seed))
    assert type(varied) is type(value)
    assert repr(varied) == repr(vary_value(value, random.Random(seed)))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(VALUES, max_size=3),
    st.sampled_from([None, "def f(x: int, y: list[str]):", "def f(x: dict[str, set[int]]):", "def f(x):"]),
    st.integers(0, 20),
    st.integers(0, 2**32 - 1),
)
def test_generated_inputs_hold_their_promises(values: list[Any], signature: str | None, count: int, seed: int) -> None:
    task = spec(signature, f"f({', '.join(map(repr, values))})")
    calls = generate_inputs(task, count, seed)
    assert calls == generate_inputs(task, count, seed)
    assert len(calls) == len(set(calls)) <= count
    for call in calls:
        ast.parse(call, mode="eval")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")
@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_strange_examples_never_raise(code: str) -> None:
    generate_inputs(spec(None, code, f"f({code})"), 4, seed=0)
