"""Our judge beside others: yardsticks inside their walls, mutants, and how differences are told."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

from leafwise.benchmarks.bench_cli import main
from leafwise.benchmarks.contracts import Result
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.evalplus_yardstick import Solution, find_evalplus, judge_plus
from leafwise.benchmarks.judges_pairs import Pair, kind_of_difference, report_pairs, words
from leafwise.benchmarks.mutations import mutants
from leafwise.benchmarks.plain_yardstick import Asserted, run_plainly
from leafwise.benchmarks.report import Recorder
from leafwise.benchmarks.yardstick import find_packages
from leafwise.runtime.errors import UsageError
from leafwise.runtime.layer_bubblewrap import find_bubblewrap
from leafwise.runtime.sandbox_contracts import Status

with_bubblewrap = pytest.mark.skipif(find_bubblewrap() is None, reason="bubblewrap is not installed")
SOURCE = "def f(a, b):\n    if a < 3 and b:\n        return a + b\n    return 1\n"


def pair(status: Status, detail: str, theirs: str) -> Pair:
    return Pair("t [0]", Result(status=status, detail=detail), theirs, theirs in ("passed", "pass"))


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (pair(Status.TIMEOUT, "CPU limit of 3 s reached", "passed"), "time-out in one"),
        (pair(Status.PASSED, "", "timed out"), "time-out in one"),
        (pair(Status.PASSED, "", "timeout: base pass"), "time-out in one"),
        (pair(Status.FAILED, "MemoryError", "passed"), "memory limit"),
        (pair(Status.LOAD_ERROR, "ModuleNotFoundError: No module named 'numpy'", "pass"), "needs a module"),
        (pair(Status.CRASHED, "exit status 0", "passed"), "other"),
    ],
)
def test_differences_are_told_apart(found: Pair, kind: str) -> None:
    assert not found.agree
    assert kind_of_difference(found) == kind


def test_every_difference_is_counted_and_listed() -> None:
    pairs = [
        pair(Status.PASSED, "", "passed"),
        pair(Status.FAILED, "KeyError: 1", "failed: KeyError"),
        pair(Status.TIMEOUT, "CPU", "failed: x"),
        pair(Status.CRASHED, "exit", "passed"),
    ]
    out = Recorder("r")
    report_pairs(pairs, "other", out, at_most_per_thousand=1.0)
    section = out.section()
    figures = {figure.name: figure.value for figure in section.figures}
    assert (figures["passed in both"], figures["failed in both"], figures["different verdicts"]) == (1, 2, 1)
    assert figures["failed in both, time-out in one only"] == 1
    assert section.missed == 1
    assert section.tables[1].rows == (("t [0]", "other", "crashed: exit", "passed"),)


def test_a_result_in_words() -> None:
    assert words(Result(status=Status.PASSED)) == "passed"
    assert len(words(Result(status=Status.FAILED, detail="long " * 100))) == 100


def test_mutants_differ_in_one_place_and_follow_the_seed() -> None:
    found = mutants(SOURCE, 50, random.Random(1))
    assert len(found) == len(set(found)) == 8
    assert ast.unparse(ast.parse(SOURCE)) + "\n" not in found
    assert found[:3] == mutants(SOURCE, 3, random.Random(1))
    assert found[:3] != mutants(SOURCE, 3, random.Random(2))
    assert mutants("def f(:", 3, random.Random(1)) == []


@with_bubblewrap
def test_plain_python_tells_ends_apart_and_is_walled_in() -> None:
    reaches = "import os\nassert not os.path.exists('/home') and not os.path.exists('/etc/passwd')\n"
    programs = [
        Asserted(SOURCE, "assert f(1, 2) == 3"),
        Asserted(SOURCE, "assert f(1, 2) == 4"),
        Asserted("while True: pass", ""),
        Asserted("import os; os._exit(0)", ""),
        Asserted(reaches, ""),
        Asserted("import os; os.write(1, b'[]')", ""),
    ]
    found = run_plainly(programs, 0.3)
    assert found[:2] == ["passed", "failed: AssertionError: "]
    assert found[2:] == ["timed out", "failed: exit in the middle", "passed", "passed"]


def test_a_package_that_is_missing_is_named_with_its_command() -> None:
    with pytest.raises(BenchmarkError, match="no module not_there_at_all") as caught:
        find_packages("evalplus", ["json", "not_there_at_all"], "pip install it")
    assert caught.value.hint == "pip install it"
    with pytest.raises(BenchmarkError, match="cannot ask"):
        find_evalplus(Path("/nowhere/python"))


@with_bubblewrap
def test_evalplus_judges_inside_its_walls(tmp_path: Path) -> None:
    try:
        find_evalplus()
    except BenchmarkError as error:
        pytest.skip(f"{error.message} ({error.hint})")
    plus = tmp_path / "plus.jsonl"
    plus.write_text(
        '{"task_id": "T/0", "prompt": "def f(x):\\n", "entry_point": "f", "canonical_solution": "    return x + 1\\n", '
        '"contract": "", "base_input": [[1]], "plus_input": [[1], [2]], "atol": 0}\n'
    )
    bodies = ("    return x + 1\n", "    return 2\n", "    return 0\n")
    found = judge_plus([Solution("T/0", f"def f(x):\n{body}") for body in bodies], plus, 1)
    assert found == [("pass", "pass"), ("pass", "fail"), ("fail", "fail")]
    with pytest.raises(BenchmarkError, match="has no T/1"):
        judge_plus([Solution("T/1", "")], plus, 1)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--only", "magic"], "magic"),
        (["--only", "plus"], "needs --plus"),
        (["--samples", "/nowhere/at.jsonl"], "there is no file"),
        (["--hostile", "/nowhere"], "no directory"),
        (["--level", "scripted"], "no sandbox level"),
        (["--out", "/nowhere/at/all.json"], "/nowhere/at"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(options: list[str], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        main(["judges", *options])
