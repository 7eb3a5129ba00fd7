"""A user's tests file: which checks it holds, and what they need first."""

from __future__ import annotations

from pathlib import Path

import pytest

from leafwise.agents.errors import TaskError
from leafwise.agents.tests_file import read_tests, read_tests_file
from leafwise.runtime.sandbox_contracts import Check


@pytest.mark.parametrize(
    ("text", "setup", "checks"),
    [
        ("assert add(2, 3) == 5", "", [Check(code="add(2, 3)", expected="5")]),
        ("assert add(2, 3) == 5, 'five'", "", [Check(code="add(2, 3)", expected="5")]),
        ("assert f(1)[0] == 2", "", [Check(code="assert f(1)[0] == 2")]),
        ("assert is_prime(7)", "", [Check(code="assert is_prime(7)")]),
        ("assert not is_prime(8)", "", [Check(code="assert not is_prime(8)")]),
        ("assert 5 == add(2, 3)", "", [Check(code="assert 5 == add(2, 3)")]),
        ("assert 1 < f(2) < 3", "", [Check(code="assert 1 < f(2) < 3")]),
        ("assert abs(f(2) - 1.5) < 1e-6", "", [Check(code="assert abs(f(2) - 1.5) < 1e-06")]),
        ("assert f(1) == 2\nassert f(1) == 2", "", [Check(code="f(1)", expected="2")]),
        ("import math\nX = 3\nassert f(X) == math.pi", "import math\nX = 3", [Check(code="f(X)", expected="math.pi")]),
        ("def helper(): ...\nassert f(1) == 2", "def helper():\n    ...", [Check(code="f(1)", expected="2")]),
        # functions and methods stay in the setup, and each is called as a check
        ("def test_a():\n    pass", "def test_a():\n    pass", [Check(code="test_a()")]),
        # calls that start the tests would run them before the checks: they are dropped
        ("def test_a():\n    pass\ntest_a()", "def test_a():\n    pass", [Check(code="test_a()")]),
        ("assert f(1) == 2\nif __name__ == '__main__':\n    main()", "", [Check(code="f(1)", expected="2")]),
        ("import unittest\nassert f(1) == 2\nunittest.main()", "import unittest", [Check(code="f(1)", expected="2")]),
        ("def check(c):\n    pass\ncheck(add)", "def check(c):\n    pass", [Check(code="check(add)")]),
    ],
)
def test_what_is_setup_and_what_is_a_check(text: str, setup: str, checks: list[Check]) -> None:
    assert read_tests(text) == (setup, tuple(checks))


def test_test_case_methods_run_one_by_one() -> None:
    text = """
from unittest import TestCase
import unittest
class TestA(TestCase):
    def setUp(self): self.x = 1
    def test_one(self): self.assertEqual(f(1), 2)
    def test_two(self): self.assertTrue(f(2))
class TestB(unittest.TestCase):
    def test_three(self): pass
class Plain:
    def test_not(self): pass
"""
    setup, checks = read_tests(text)
    assert [c.code for c in checks] == [
        "TestA('test_one').debug()",
        "TestA('test_two').debug()",
        "TestB('test_three').debug()",
    ]
    assert "def setUp" in setup


def test_checks_of_a_test_case_run_as_written() -> None:
    setup, (check,) = read_tests("import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.fail('no')")
    names: dict[str, object] = {}
    exec(setup, names)
    with pytest.raises(AssertionError, match="no"):
        eval(check.code, names)


def test_human_evals_check_is_called_with_the_entry_point() -> None:
    text = "METADATA = {}\n\ndef check(candidate):\n    assert candidate(1) == 2\n"
    assert read_tests(text, entry_point="twice")[1] == (Check(code="check(twice)"),)
    # the call may stand there too; it is the same check
    assert read_tests(text + "\ncheck(twice)", entry_point="twice")[1] == (Check(code="check(twice)"),)


def test_check_without_a_known_entry_point_is_no_check() -> None:
    with pytest.raises(TaskError, match="no check found"):
        read_tests("def check(candidate):\n    assert candidate(1) == 2\n")


@pytest.mark.parametrize("text", ["", "# nothing", "import math", "def helper(x): ...", "f(1)"])
def test_a_file_without_checks_is_refused(text: str) -> None:
    with pytest.raises(TaskError, match=r"no check found in the tests file mine\.py"):
        read_tests(text, "mine.py")


@pytest.mark.parametrize(
    ("text", "where"),
    [("assert f(1) ==\n", ", line 1"), ("x = 1\n  y = 2\n", ", line 2"), ("\x00", ""), ("[" * 300 + "]" * 300, "")],
)
def test_a_syntax_error_is_told_with_its_line(text: str, where: str) -> None:
    with pytest.raises(TaskError, match=f"the tests file mine.py has a syntax error{where}"):
        read_tests(text, "mine.py")


def test_a_file_is_read_whatever_its_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "checks.py"
    path.write_bytes(b"\xef\xbb\xbfimport math\r\nassert f('\xc3\xa9') == 1\r\n")
    assert read_tests_file(path) == ("import math", (Check(code="f('é')", expected="1"),))


def test_unreadable_files_are_the_users_error(tmp_path: Path) -> None:
    latin = tmp_path / "latin.py"
    latin.write_bytes(b"assert f('\xe9') == 1")
    for path in (tmp_path / "missing.py", tmp_path, latin):
        with pytest.raises(TaskError, match="cannot read the tests file") as error:
            read_tests_file(path)
        assert error.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def test_a(tmp_path): assert f(1) == 1", "test_a cannot be run: it takes arguments"),
        ("async def test_a(): assert f(1) == 1", "test_a cannot be run: it is asynchronous"),
        ("class TestF:\n    def test_a(self, x): ...", "test_a cannot be run: it takes arguments"),
        ("def setup_module(): ...", "setup_module, which sets up tests, cannot be run"),
        ("import hypothesis\ndef test_a(): ...", "imports hypothesis, which the sandbox does not have"),
    ],
)
def test_what_cannot_be_run_is_refused_and_never_left_out(text: str, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        read_tests(f"assert f(2) == 2\n{text}\n")


def test_what_pytest_alone_can_do_is_said_at_once() -> None:
    with pytest.raises(TaskError) as caught:
        read_tests("def test_a(tmp_path): ...\nassert f(1) == 1\n")
    assert "fixtures are not there" in caught.value.hint
    assert "parametrize" in caught.value.hint


def test_plain_classes_are_run_and_skipped_tests_are_not() -> None:
    text = "class TestF:\n    def test_a(self): assert f(1) == 1\n    @skip('no')\n    def test_b(self): assert False\n"
    assert [check.code for check in read_tests(text)[1]] == ["TestF().test_a()"]


@pytest.mark.parametrize(
    ("text", "setup"),
    [
        ("from answer import f, g", "from solution import f, g"),
        ("import answer", "import solution as answer"),
        ("import math, answer as a", "import math, solution as a"),
        ("from collections import Counter", "from collections import Counter"),
        ("import my.answer as a", "import solution as a"),
        ("from my.answer import f", "from solution import f"),
        ("from .answer import f", "from solution import f"),
        ("from . import answer", "import solution as answer"),
        ("import os.path", "import os.path"),
    ],
)
def test_the_users_name_of_the_answer_is_the_sandboxs_solution(text: str, setup: str) -> None:
    assert read_tests(f"{text}\nassert f(1) == 1\n")[0] == setup


def test_the_answer_is_no_part_of_a_package() -> None:
    with pytest.raises(TaskError, match=r"imports the answer as my\.sol") as error:
        read_tests("import my.sol\nassert my.sol.f(1) == 1\n")
    assert error.value.hint == "write it as: from my.sol import ..., or: import my.sol as sol"


def test_an_allowed_package_may_be_imported() -> None:
    text = "import numpy as np\nfrom numpy.linalg import norm\nassert f(np.ones(3)) == 3\n"
    with pytest.raises(TaskError, match="imports numpy") as caught:
        read_tests(text)
    assert "--allow-import numpy" in caught.value.hint
    setup, checks = read_tests(text, allow_imports=["numpy"])
    assert setup == "import numpy as np\nfrom numpy.linalg import norm"
    assert len(checks) == 1
