"""Asserts with statements between them, and test classes: what a check needs is done before it, in the file's order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leafwise.agents.errors import TaskError
from leafwise.agents.tests_file import read_tests
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check, Program

STACK = """class Stack:
    def __init__(self):
        self.items = []
    def push(self, item):
        self.items.append(item)
    def pop(self):
        return self.items.pop()
    def peek(self):
        return self.items[-1]
"""


@pytest.mark.parametrize(
    ("text", "setup", "checks"),
    [
        (
            "s = Stack(); s.push(1); assert s.peek()==1; s.push(2); assert s.peek()==2",
            "s = Stack()\ns.push(1)",
            [Check(code="s.peek()", expected="1"), Check(code="s.push(2)\nassert s.peek() == 2")],
        ),
        # what holds twice is said twice where something may have changed
        (
            "s = Stack()\nassert s.pop() == 1\nassert s.pop() == 1",
            "s = Stack()",
            [Check(code="s.pop()", expected="1"), Check(code="assert s.pop() == 1  # again")],
        ),
        (
            "assert f(1)\ns.add(1)\nassert s.size\ns.add(1)\nassert s.size\ns.add(1)\nassert s.size",
            "",
            [
                Check(code="assert f(1)"),
                *(Check(code=f"s.add(1)\nassert s.size{end}") for end in ("", "  # again", "  # again  # again")),
            ],
        ),
        # literals and helpers come first, so that the values of calls are told
        (
            "assert f(1) == 2\nb = [2]\ndef g(): ...\nclass A:\n    def h(self): s\nprint('b', b)\nassert f(b) == g()",
            "b = [2]\n\ndef g():\n    ...\n\nclass A:\n\n    def h(self):\n        s",
            [Check(code="f(1)", expected="2"), Check(code="f(b)", expected="g()")],
        ),
        # but not where another value, or another definition, stands before
        (
            "a = [1]\nassert f(a) == 1\na = [2]\nassert f(a) == 2",
            "a = [1]",
            [Check(code="f(a)", expected="1"), Check(code="a = [2]\nassert f(a) == 2")],
        ),
        (
            "def g(): ...\nassert f(g) == 1\ndef g(x=1): ...\nassert f(g) == 2",
            "def g():\n    ...",
            [Check(code="f(g)", expected="1"), Check(code="def g(x=1):\n    ...\nassert f(g) == 2")],
        ),
        (
            "assert f(1) == 1\na = f(2)\ndef g(x=a): ...\nassert f(g) == 2",
            "",
            [Check(code="f(1)", expected="1"), Check(code="a = f(2)\ndef g(x=a):\n    ...\nassert f(g) == 2")],
        ),
        # a block with an assert is a check, and so is what may raise behind the last; tests run behind all
        (
            "def test_a(): ...\nfor x in (1, 2):\n    assert f(x)\nassert f(3)\ng(4)\nprint('passed')",
            "def test_a():\n    ...",
            [
                Check(code="for x in (1, 2):\n    assert f(x)"),
                Check(code="assert f(3)"),
                Check(code="g(4)"),
                Check(code="test_a()"),
            ],
        ),
        (
            "assert f(1) == 2\nprint(g(3))\nassert f(2) == 2",
            "",
            [Check(code="f(1)", expected="2"), Check(code="print(g(3))\nassert f(2) == 2")],
        ),
    ],
)
def test_the_order_of_a_file_is_kept(text: str, setup: str, checks: list[Check]) -> None:
    assert read_tests(text) == (setup, tuple(checks))


CASE = """import unittest
class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.first = 1
    def setUp(self):
        self.stack = Stack()
        self.stack.push(self.first)
class Peeks(Base):
    def test_a(self):
        self.assertEqual(self.stack.peek(), 1)
class Pops(Peeks):
    def test_b(self):
        self.assertEqual(self.stack.pop(), 1)
    def tearDownClass():
        assert Pops.first == 1
"""
PLAIN = """class Mixin:
    def setup_method(self, method):
        assert method == self.test_a
        self.stack = Stack()
class TestStack(Mixin):
    @classmethod
    def setup_class(cls):
        cls.first = 1
    def teardown_method(self):
        del self.stack
    def test_a(self):
        self.stack.push(self.first)
        assert self.stack.pop() == 1
"""


def test_what_sets_up_a_class_runs_before_each_of_its_tests() -> None:
    assert [check.code for check in read_tests(CASE)[1]] == [
        "Peeks.setUpClass()\nPeeks('test_a').debug()",
        "Pops.setUpClass()\ntry:\n    Pops('test_b').debug()\nfinally:\n    Pops.tearDownClass()",
        "Pops.setUpClass()\ntry:\n    Pops('test_a').debug()\nfinally:\n    Pops.tearDownClass()",
    ]
    (check,) = read_tests(PLAIN)[1]
    assert check.code.split("\n") == [
        "TestStack.setup_class()",
        "_case = TestStack()",
        "_case.setup_method(_case.test_a)",
        "try:",
        "    _case.test_a()",
        "finally:",
        "    _case.teardown_method()",
    ]


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ("    def setup(self): ...", "setup, which sets up tests"),
        ("    @pytest.fixture(autouse=True)\n    def ready(self): ...", "ready, which sets up tests"),
        ("    async def setup_method(self): ...", "setup_method cannot be run: it is asynchronous"),
        ("    def setup_class(cls, more): ...", "setup_class cannot be run: it takes arguments"),
    ],
)
def test_a_class_that_cannot_be_set_up_is_refused(setup: str, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        read_tests(f"class TestF:\n{setup}\n    def test_a(self): assert f(1)\n")


def test_a_helper_may_be_called_setup() -> None:
    text = "class TestF:\n    def setup(self): ...\n    def test_a(self): self.setup()\n"
    assert [check.code for check in read_tests(text)[1]] == ["TestF().test_a()"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(workers=1) as opened:
        yield opened


ORDERED = """from stack import Stack
s = Stack()
s.push(1)
assert s.peek() == 1
s.push(1)
assert s.pop() == 1
assert s.pop() == 1
try:
    s.pop()
    assert False
except IndexError:
    pass
"""


@pytest.mark.sandbox
@pytest.mark.parametrize("text", [ORDERED, CASE, PLAIN], ids=["asserts", "unittest", "pytest"])
def test_a_right_answer_passes_and_a_wrong_one_does_not(sandbox: Sandbox, text: str) -> None:
    setup, checks = read_tests(text)
    wrong = STACK.replace("return self.items", "return 2 or self.items")
    assert sandbox.run(Program(source=STACK, checks=checks, setup=setup)).passed
    assert not sandbox.run(Program(source=wrong, checks=checks, setup=setup)).passed
    if text is ORDERED:  # a stack that never shrinks: only the order of things shows it
        never = STACK.replace(".pop()", "[-1]")
        assert not sandbox.run(Program(source=never, checks=checks, setup=setup)).passed
