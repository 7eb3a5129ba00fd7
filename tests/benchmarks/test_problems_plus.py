"""HumanEval+: the rules of comparison, recording and keeping of expected results, and real tasks in the sandbox."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.benchmarks import plus_inside
from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.humaneval import humaneval_lines
from leafwise.benchmarks.judge import Answer, judge_samples, limits_of
from leafwise.benchmarks.plus_inside import LONG, canonical, check_plus, compact, from_text, is_right, results_of
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.problems_plus import attach_plus, with_expected
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_scripted import ScriptedSandbox

NAN, INF = math.nan, math.inf
HUGE = 10**6000


def named(value: object) -> str:
    """For pytest, which cannot show an integer of too many digits."""
    return "huge" if isinstance(value, int) and abs(value) > 10**9 else repr(value)


numbers = st.booleans() | st.integers(-3, 3) | st.integers() | st.floats(allow_nan=False) | st.fractions()
hashable = numbers | st.none() | st.text(st.characters(), max_size=4) | st.binary(max_size=3)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(hashable, max_size=3)
        | st.dictionaries(hashable, inner, max_size=3)
    ),
    max_leaves=8,
)


# --- the rules -------------------------------------------------------------------------------------------------------


@given(values, values)
@settings(max_examples=400, deadline=None)
def test_values_share_a_text_exactly_if_they_are_equal(one: Any, two: Any) -> None:
    assert (canonical(one) == canonical(two)) == (one == two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (1, 1.0),
        (1, True),
        ([1, 2, 3], [1.0, 2.0, 3]),
        ([0, 0.5], [False, Fraction(1, 2)]),
        (Decimal("2.50"), 2.5),
        (-0.0, 0),
        (1 + 0j, 1),
        ({1: "a", 2: "b"}, {2.0: "b", True: "a"}),
        ({1, 2}, frozenset({2.0, 1})),
        (HUGE, HUGE),
        ([INF], [INF]),
    ],
    ids=named,
)
def test_equal_values_share_a_text(one: Any, two: Any) -> None:
    assert one == two
    assert canonical(one) == canonical(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([1], (1,)),
        ([], ()),
        ("1", 1),
        (["ab"], ["a", "b"]),
        (["a", "b,"], ["a,", "b"]),
        ([[1], 2], [[1, 2]]),
        (None, 0),
        (2**53 + 1, float(2**53)),
        ([INF], [-INF]),
        (b"a", "a"),
        ({1: 2}, {1, 2}),
        (HUGE, HUGE + 1),
    ],
    ids=named,
)
def test_different_values_have_different_texts(one: Any, two: Any) -> None:
    assert one != two
    assert canonical(one) != canonical(two)


def test_nan_and_objects_have_no_text() -> None:
    for value in (NAN, [1, NAN], [0.5, NAN, 1], {"a": (NAN,)}):
        with pytest.raises(ValueError, match="NaN"):
            canonical(value)
    with pytest.raises(TypeError, match="no plain data"):
        canonical([object()])


@pytest.mark.parametrize(
    ("out", "expected", "atol", "right"),
    [
        (1.0, 1, 0, True),
        (True, 1, 0, True),
        ((1, 2), [1, 2], 0, False),
        (None, 0, 1e-6, False),
        (0.3, 0.1 + 0.2, 1e-6, True),
        (0.3, 0.1 + 0.2, 0, False),
        (1.000002, 1.0, 1e-6, False),
        (1e9 + 50, 1e9, 1e-6, True),  # the relative part
        (1e9 + 150, 1e9, 1e-6, False),
        (2, 2.0000001, 1e-6, False),  # of another type
        ([0.1, 0.2], [0.1, 0.2000001], 1e-6, True),
        ([0.1], [0.1, 0.2], 1e-6, False),
        ((0.1, 0.2), (0.1, 0.2000001), 1e-6, True),
        ([0.1, 0.2], (0.1, 0.2000001), 1e-6, False),
        ([[0.1], [0.2]], [[0.1], [0.2000001]], 1e-6, True),
        ([[0.1, 0.2]], [[0.1], [0.2]], 1e-6, False),
        (NAN, NAN, 1e-6, False),
        (INF, INF, 1e-6, True),
        (INF, -INF, 1e-6, False),
        (1e308, INF, 1e-6, False),
        ("a", "b", 1e-6, False),
        (["a", 1.0], ["a", 1.0000001], 1e-6, False),  # numpy takes no texts
        ({"a": 0.1}, {"a": 0.1000000001}, 1e-6, False),
        ("abc", "abc", 0, True),
    ],
)
def test_the_rule_of_comparison(out: Any, expected: Any, atol: float, right: bool) -> None:
    assert is_right(out, expected, atol) is right


def test_the_rule_is_that_of_numpy() -> None:
    np = pytest.importorskip("numpy")

    @given(st.floats(width=32) | st.integers(-5, 5), st.floats(width=32), st.sampled_from([1e-9, 1e-6, 1e-4]))
    @settings(max_examples=200, deadline=None)
    def compare(expected: float, change: float, atol: float) -> None:
        out = type(expected)(expected + change * 1e-6) if math.isfinite(change) and math.isfinite(expected) else change
        wanted = out == expected or (
            type(out) is type(expected) and bool(np.allclose(out, expected, rtol=1e-7, atol=atol))
        )
        assert is_right(out, expected, atol) is wanted

    compare()


def check(out: list[Any], expected: list[Any], atol: float = 0, oracle: str = "", split: int | None = None) -> None:
    """Compare results as if a candidate and a reference had given them, in two lists of inputs."""
    split = len(out) if split is None else split
    inputs = [[[i] for i in range(len(out))][:split], [[i] for i in range(len(out))][split:]]
    text = results_of(lambda i: expected[i], inputs, atol)
    check_plus(lambda i: out[i], text, json.dumps(inputs), atol, oracle)


def test_a_tolerance_holds_from_the_first_float_on_and_ends_with_its_list_of_inputs() -> None:
    near, far = 10**9 + 1, 10**9
    check([0.5, near], [0.5, far])
    with pytest.raises(AssertionError, match="for 0: 1000000001 instead of 1000000000"):
        check([near, 0.5], [far, 0.5])
    with pytest.raises(AssertionError, match="for 1: 1000000001"):
        check([0.5, near], [0.5, far], split=1)


LONGS: list[Any] = [
    "x" * 5000,
    [*range(3000)],
    [1, *(i / 4 for i in range(3000))],
    HUGE,
    {"a": "é" * 3000},
    ("y" * 2500,),
]


@pytest.mark.parametrize("value", LONGS, ids=lambda value: type(value).__name__)
def test_long_results_are_kept_as_digests_and_still_told_apart(value: Any) -> None:
    text = results_of(lambda: value, [[[]]], 0)
    assert len(text) < 100
    check_plus(lambda: value, text, "[[[]]]", 0, "")
    for wrong in (None, [value], str(type(value)), -1, NAN, object()):
        with pytest.raises(AssertionError, match="instead of a long result with the digest"):
            check_plus(lambda wrong=wrong: wrong, text, "[[[]]]", 0, "")


def test_a_digest_is_no_stricter_than_equality() -> None:
    check([[float(i) for i in range(3000)]], [[1 * i for i in range(3000)]])
    with pytest.raises(AssertionError):
        check([tuple(range(3000))], [[*range(3000)]])


def test_what_a_tolerance_or_nan_touches_is_kept_as_it_is() -> None:
    floats = [i + 0.5 for i in range(3000)]
    check([[x + 1e-7 for x in floats]], [floats])
    check(["x" * 5000, [*range(3000)]], ["x" * 5000, [*range(3000)]], atol=1e-6)
    assert compact([NAN, "x" * LONG])[0][1] == "x" * LONG
    with pytest.raises(AssertionError):
        check([[NAN, "x" * LONG]], [[NAN, "x" * LONG]])


@given(st.lists(values, max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_is_recorded_accepts_itself(results: list[Any]) -> None:
    plain = [value for value in results if "Fraction" not in repr(value)]
    inputs = [[[i] for i in range(len(plain))]]
    text = results_of(lambda i: plain[i], inputs, 0)
    assert [entry[0] for entry in from_text(text)] == plain
    check_plus(lambda i: plain[i], text, json.dumps(inputs), 0, "")


def test_the_oracle_of_find_zero_sees_the_coefficients_as_they_were() -> None:
    inputs = json.dumps([[[[-6, 2]]]])
    check_plus(lambda xs: 3.00001, "[[3.0]]", inputs, 1e-4, "find_zero")

    def cheat(xs: list[float]) -> float:
        xs[:] = [0, 0]
        return 7.0

    with pytest.raises(AssertionError, match=r"for \[-6, 2\]: 7.0"):
        check_plus(cheat, "[[3.0]]", inputs, 1e-4, "find_zero")
    for wrong in (NAN, 3.1):
        with pytest.raises(AssertionError):
            check_plus(lambda xs, wrong=wrong: wrong, "[[3.0]]", inputs, 1e-4, "find_zero")


# --- the file --------------------------------------------------------------------------------------------------------

LINE: dict[str, Any] = {
    "task_id": "HumanEval/53",
    "prompt": "def add(x: int, y: int):\n",
    "canonical_solution": "    return x + y\n",
    "base_input": [[0, 1]],
    "plus_input": [[2, 3], [10**40, 1]],
    "atol": 0,
}


@pytest.fixture(scope="module")
def add() -> tuple[Problem, ...]:
    found = read_problem_set("humaneval").problems
    return tuple(problem for problem in found if problem.id == "HumanEval/53")


def written(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{**LINE, "base_input": None}], "line 1: no 'base_input'"),
        ([{k: v for k, v in LINE.items() if k != "plus_input"}], "line 1: no 'plus_input'"),
        ([{**LINE, "plus_input": [1]}], "line 1: 'plus_input' is a list, not lists of arguments"),
        ([{**LINE, "plus_input": "x"}], "line 1: 'plus_input' is text"),
        ([{**LINE, "atol": -1}], "line 1: 'atol' is -1"),
        ([{**LINE, "atol": True}], "line 1: 'atol' is True"),
        ([{**LINE, "atol": NAN}], "line 1: 'atol' is nan"),
        ([{**LINE, "prompt": 3}], "line 1: 'prompt' is a number, not text"),
        ([{**LINE, "canonical_solution": ""}], "line 1: 'canonical_solution' is empty"),
        ([{**LINE, "task_id": None}], "line 1: 'task_id' is null"),
        ([LINE, "", LINE], "line 3: HumanEval/53 is there a second time"),
        ([LINE, "{"], "line 2: not JSON"),
        (["[]", LINE], "line 1: a list, not an object"),
        ([{**LINE, "task_id": "HumanEval/1"}], "lacks HumanEval/53"),
        ([""], "is empty"),
    ],
)
def test_a_bad_file_is_an_error_that_says_where(
    add: tuple[Problem, ...], tmp_path: Path, lines: list[object], message: str
) -> None:
    with pytest.raises(BenchmarkError) as caught:
        attach_plus(add, written(tmp_path / "plus.jsonl", *lines))
    assert message in caught.value.message
    assert caught.value.hint


def test_a_missing_or_damaged_file_is_an_error(add: tuple[Problem, ...], tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="No such file"):
        attach_plus(add, tmp_path / "none")
    packed = gzip.compress(json.dumps(LINE).encode())
    (tmp_path / "cut.gz").write_bytes(packed[:-10])
    with pytest.raises(BenchmarkError, match="cannot read"):
        attach_plus(add, tmp_path / "cut.gz")
    (tmp_path / "whole").write_bytes(packed)
    assert [suite.name for suite in attach_plus(add, tmp_path / "whole")[0].suites] == ["base", "plus"]


# --- in the sandbox --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


def plus_of(task: str, tmp_path: Path, solution: str, inputs: list[list[Any]], atol: float = 0) -> Problem:
    """A problem of HumanEval with a file of HumanEval+ that has these inputs."""
    problem = next(p for p in read_problem_set("humaneval").problems if p.id == task)
    line = {**LINE, "task_id": task, "prompt": problem.prompt, "canonical_solution": solution, "atol": atol}
    path = written(tmp_path / "plus.jsonl", line | {"base_input": inputs[:1], "plus_input": inputs[1:]})
    return attach_plus((problem,), path)[0]


TASKS: dict[str, tuple[list[list[Any]], float]] = {
    "HumanEval/15": ([[3], [1_000_000]], 0),  # a result of 6.9 million characters
    "HumanEval/32": ([[[1, 2]], [[-6, 11, -6, 1]]], 1e-4),
    "HumanEval/83": ([[1], [2], [100_000]], 0),  # an integer of 100,000 digits
    "HumanEval/130": ([[3], [1_000_004]], 0),  # the longest list of HumanEval+
    "HumanEval/53": ([[0, 1], [10**30, 1]], 0),
}


@pytest.mark.parametrize("task", TASKS)
def test_references_pass_and_wrong_answers_fail(task: str, tmp_path: Path, sandbox: Sandbox) -> None:
    inputs, atol = TASKS[task]
    solution = humaneval_lines()[task]["canonical_solution"]
    problem = plus_of(task, tmp_path, solution, inputs, atol)
    start, args = f"\n\n_right = {problem.entry_point}\ndef {problem.entry_point}(*args):\n", json.dumps(inputs[-1])
    wrong = f"{problem.reference}{start}    return None if [*args] == {args} else _right(*args)\n"  # right in `base`
    modules = [problem.reference, wrong, f"def {problem.entry_point}(*args):\n    return None\n"]
    answers = [Answer(task_id=task, sample=i, module=module) for i, module in enumerate(modules)]
    found = {j.sample: j for j in judge_samples([problem], answers, sandbox)}
    assert [found[i].passed("plus") for i in range(3)] == [True, False, False], found
    assert [found[i].base.status for i in range(3)] == [Status.PASSED, Status.PASSED, Status.FAILED]
    plus = found[1].plus
    assert plus is not None
    assert plus.status is Status.FAILED


def test_a_reference_that_fails_is_an_error(tmp_path: Path, sandbox: Sandbox) -> None:
    for solution, message in (("    return 1 / 0\n", "ZeroDivisionError"), ("    print(x)\n", "prints something")):
        with pytest.raises(BenchmarkError, match=message):
            with_expected(plus_of("HumanEval/53", tmp_path, solution, [[0, 1], [2, 3]]), sandbox)


# --- the cache -------------------------------------------------------------------------------------------------------


def scripted(seconds: float = 0.1) -> ScriptedSandbox:
    """Gives the reference's results without running it, as often as it is asked."""
    results = "[[1], [5]]"
    expected = {"seconds": seconds, "results": results, "sha256": hashlib.sha256(results.encode()).hexdigest()}
    verdict = Verdict(status=Status.PASSED, output=json.dumps(expected), level=SandboxLevel.SCRIPTED)
    return ScriptedSandbox(lambda program: verdict)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "leafwise" / "plus"


def test_results_are_computed_once(cache: Path, tmp_path: Path) -> None:
    problem = plus_of("HumanEval/53", tmp_path, "    return x + y\n", [[0, 1], [2, 3]])
    runner = scripted()
    first, second = with_expected(problem, runner), with_expected(problem, runner)
    assert first == second
    assert len(runner.programs) == len([*cache.iterdir()]) == 1
    other = plus_of("HumanEval/53", tmp_path, "    return x + y\n", [[0, 1], [2, 4]])
    with_expected(other, runner)
    assert len(runner.programs) == 2


def test_writers_at_the_same_time_do_no_harm(cache: Path, tmp_path: Path) -> None:
    problem = plus_of("HumanEval/53", tmp_path, "    return x + y\n", [[0, 1], [2, 3]])
    runner = scripted()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: with_expected(problem, runner), range(40)))
    assert found == [found[0]] * 40
    assert [path.suffix for path in cache.iterdir()] == [".json"]
    computed = len(runner.programs)
    assert with_expected(problem, runner) == found[0]
    assert len(runner.programs) == computed


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"\xff" + data,
        lambda data: data.replace(b"[[1], [5]]", b"[[1], [6]]"),
        lambda data: data.replace(b"0.1", b"-1"),
    ],
    ids=["empty", "cut", "no text", "changed", "no time"],
)
def test_a_damaged_file_is_made_anew(
    cache: Path, tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    problem = plus_of("HumanEval/53", tmp_path, "    return x + y\n", [[0, 1], [2, 3]])
    runner = scripted()
    whole = with_expected(problem, runner)
    path = next(cache.iterdir())
    good = path.read_bytes()
    path.write_bytes(damage(good))
    with caplog.at_level(logging.WARNING, "leafwise"):
        assert with_expected(problem, runner) == whole
    assert len(runner.programs) == 2
    assert "made anew" in caplog.text
    assert path.read_bytes() == good


def test_without_a_place_to_keep_them_results_are_still_there(
    cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    problem = plus_of("HumanEval/53", tmp_path, "    return x + y\n", [[0, 1], [2, 3]])
    cache.parent.parent.mkdir()
    cache.parent.write_text("in the way")
    with caplog.at_level(logging.WARNING, "leafwise"):
        found = with_expected(problem, scripted())
    assert "[[1], [5]]" in found.suites[1].setup
    assert "not kept" in caplog.text


@pytest.mark.parametrize(("seconds", "limit"), [(0.0, 10), (0.5, 10), (0.51, 20), (4.9, 100)])
def test_slow_references_give_answers_more_time(cache: Path, tmp_path: Path, seconds: float, limit: float) -> None:
    problem = plus_of("HumanEval/53", tmp_path, "    return x + y\n", [[0, 1], [2, 3]])
    suite = with_expected(problem, scripted(seconds)).suites[1]
    assert (suite.cpu_seconds, limits_of(suite).cpu_seconds, suite.recorder) == (limit, limit, "")


def test_no_name_of_ours_hides_a_function_that_is_asked_for() -> None:
    assert not {problem.entry_point for problem in read_problem_set("humaneval").problems} & {*vars(plus_inside)}


def test_the_program_of_the_reference_is_not_the_tests(tmp_path: Path) -> None:
    problem = plus_of("HumanEval/53", tmp_path, "    return x + y  # canary\n", [[0, 1], [2, 3]])
    runner = scripted()
    suite = with_expected(problem, runner).suites[1]
    program = Program(source="", setup=suite.setup, checks=suite.checks)
    assert "canary" not in program.model_dump_json()
