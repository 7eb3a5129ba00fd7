"""Attacks that need more than one program, or other checks than those of the corpus."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, SandboxLevel, Status

pytestmark = pytest.mark.sandbox
BOTH = [SandboxLevel.FULL, SandboxLevel.LANDLOCK]


@pytest.fixture(scope="module", params=BOTH)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    yield from open_or_skip(request.param)


@pytest.fixture(scope="module")
def full() -> Iterator[Sandbox]:
    yield from open_or_skip(SandboxLevel.FULL)


@pytest.mark.parametrize("raised", ["unittest.SkipTest('no')", "unittest.case._ShouldStop()"])
def test_a_test_framework_cannot_be_told_to_skip(sandbox: Sandbox, raised: str) -> None:
    setup = (
        "import io, unittest\n"
        "class T(unittest.TestCase):\n"
        "    def test_it(self):\n"
        "        self.assertEqual(f(1), 2)\n"
        "def run():\n"
        "    tests = unittest.defaultTestLoader.loadTestsFromTestCase(T)\n"
        "    return unittest.TextTestRunner(stream=io.StringIO()).run(tests).wasSuccessful()\n"
    )
    source = f"import unittest\ndef f(x):\n    raise {raised}\n"
    verdict = sandbox.run(Program(source=source, setup=setup, checks=(Check(code="run()", expected="True"),)))
    assert verdict.status is Status.FAILED, verdict


@pytest.mark.parametrize(
    "expected",
    [
        "Counter({'a': 2})",
        "deque([1])",
        "Fraction(1, 3)",
        "Decimal('0.5')",
        "[Decimal(x) for x in ('0.1', '0.2')]",
        "{x: Counter(x) for x in 'ab'}",
        "(lambda: [Fraction(n) for n in (1, 2)])()",
        "next(isclose(1, n) for n in (2, 3))",
    ],
)
def test_an_expected_value_is_not_made_by_the_program(sandbox: Sandbox, expected: str) -> None:
    source = (
        "last = {'wrong': 1}\ndef Counter(*a):\n    return last\nisclose = deque = Fraction = Decimal = Counter\n"
        f"def f(x):\n    return {expected}\n"
    )
    verdict = sandbox.run(Program(source=source, checks=(Check(code="f(1)", expected=expected),)))
    assert verdict.status is Status.FAILED, verdict


def test_an_expected_value_has_the_librarys_names_where_the_program_has_none(sandbox: Sandbox) -> None:
    check = Check(code="f()", expected="[Decimal(x) for x in ('0.1', '0.2')]")
    source = "import decimal\ndef f():\n    return [decimal.Decimal(x) for x in ('0.1', '0.2')]\n"
    verdict = sandbox.run(Program(source=source, checks=(check,)))
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    "change", ["os.chmod('.', 0o500)", "os.utime('.', (1, 2))", "os.close(os.open('a', 64)); os.remove('a')"]
)
def test_nothing_in_the_scratch_outlives_a_program(full: Sandbox, change: str) -> None:
    look = "def look():\n    s = os.stat('.')\n    return [s.st_mode, s.st_mtime < 1000]\n"
    first = Program(source=f"import os\n{change}\n")
    assert full.run(first).passed
    write = "open('b.txt', 'w').close()\n"
    second = Program(source=f"import os\n{look}{write}", checks=(Check(code="look()", expected="[0o40700, False]"),))
    verdict = full.run(second)
    assert verdict.passed, verdict


def test_cancelled_before_it_began(full: Sandbox) -> None:
    cancel = threading.Event()
    cancel.set()
    for _ in range(10):
        verdict = full.run(Program(source="x = 1"), Limits(), cancel)
        assert (verdict.status, verdict.detail) == (Status.TIMEOUT, "cancelled")


def test_an_integer_too_long_to_show_may_still_be_right(sandbox: Sandbox) -> None:
    source = "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\n"
    check = Check(code="f(800) ** 4", expected="math.factorial(800) ** 4")
    verdict = sandbox.run(Program(source=source, checks=(check,)))
    assert verdict.passed, verdict


@pytest.mark.parametrize("end", ["raise ValueError(BAD)", "print(BAD)", "raise type('E', (Exception,), {})(BAD)"])
def test_a_verdict_can_be_written_down_and_shown(sandbox: Sandbox, end: str) -> None:
    bad = "BAD = '\\ud800\\x1b]52;c;QUFB\\x07\\x1b[2J\\u202e'\n"
    for source, checks in ((bad + end, ()), (f"{bad}def f():\n    {end}\n", (Check(code="f()"),))):
        verdict = sandbox.run(Program(source=source, checks=checks))
        text = verdict.model_dump_json()
        shown = "".join((verdict.detail, verdict.output, *(check.error or "" for check in verdict.checks)))
        assert not {"\x1b", "\u202e"} & set(shown), text


@pytest.mark.parametrize(
    "name", ["__array__", "__array_interface__", "__array_struct__", "__dlpack__", "_as_parameter_"]
)
def test_no_object_of_the_program_describes_memory(sandbox: Sandbox, name: str) -> None:
    """With these numpy and ctypes would take an address from it and read the checks' own memory there."""
    described = "{'data': (1, False), 'shape': (1,), 'typestr': '<i8', 'version': 3}"
    source = f"class A:\n    {name} = {described}\ndef f():\n    return A()\n"
    verdict = sandbox.run(Program(source=source, checks=(Check(code=f"hasattr(f(), {name!r})", expected="False"),)))
    assert verdict.passed, verdict


@pytest.mark.parametrize("folder", ["''", "'.'", "os.getcwd()", "os.path.join(os.getcwd(), 'd', '..')"])
def test_checks_import_nothing_that_the_program_wrote(full: Sandbox, folder: str) -> None:
    takes_over = (
        "import gc\n"
        "for thing in gc.get_objects():\n"
        "    if type(thing).__name__ == '_Tester':\n"
        "        thing._try = lambda check, where: {'passed': True}\n"
    )
    source = f"import os\nos.mkdir('d')\nopen('planted.py', 'w').write({takes_over!r})\ndef f():\n    return 0\n"
    setup = f"import os, sys\nsys.path.insert(0, {folder})\ntry:\n    import planted\nexcept ImportError:\n    pass\n"
    verdict = full.run(Program(source=source, setup=setup, checks=(Check(code="f()", expected="1"),)))
    assert verdict.status is Status.FAILED, verdict


def test_a_group_of_exceptions_can_be_raised(sandbox: Sandbox) -> None:
    source = "def f():\n    raise ExceptionGroup('all', [ValueError(1)])\n"
    verdict = sandbox.run(Program(source=source, checks=(Check(code="f()", raises="ExceptionGroup"),)))
    assert verdict.passed, verdict


@pytest.mark.parametrize("end", ["raise SystemExit", "raise KeyboardInterrupt"])
@pytest.mark.parametrize("code", ["assert f(1) == 2, f(1)", "{}[f(1)]"])
def test_an_object_in_the_message_of_a_check_does_not_end_the_checks(full: Sandbox, end: str, code: str) -> None:
    source = f"class R:\n    def __repr__(self):\n        {end}\n    __str__ = __repr__\ndef f(x):\n    return R()\n"
    verdict = full.run(Program(source=source, checks=(Check(code=code), Check(code="1", expected="1"))))
    assert verdict.status is Status.FAILED, verdict
    assert [check.passed for check in verdict.checks] == [False, True]
