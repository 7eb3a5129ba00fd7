"""What every level must do alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, CheckResult, Limits, Program, SandboxLevel, Status, Verdict

pytestmark = pytest.mark.sandbox
QUICK = Limits(cpu_seconds=5, wall_seconds=20)


@pytest.fixture(scope="module", params=[SandboxLevel.FULL, SandboxLevel.LANDLOCK, SandboxLevel.NONE])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    yield from open_or_skip(request.param)


def judge(sandbox: Sandbox, source: str, *checks: Check | str, setup: str = "", **limits: float) -> Verdict:
    made = tuple(check if isinstance(check, Check) else Check(code=check) for check in checks)
    return sandbox.run(Program(source=source, checks=made, setup=setup), QUICK.model_copy(update=limits))


def one(sandbox: Sandbox, source: str, check: Check | str, setup: str = "") -> CheckResult:
    verdict = judge(sandbox, source, check, setup=setup)
    assert len(verdict.checks) == 1, verdict
    return verdict.checks[0]


ADD = "def add(a, b):\n    return a + b\n"


def test_expected_value(sandbox: Sandbox) -> None:
    verdict = judge(sandbox, ADD, Check(code="add(2, 3)", expected="5"), Check(code="add(2, 3)", expected="6"))
    assert verdict.status is Status.FAILED
    assert [c.passed for c in verdict.checks] == [True, False]
    assert [c.observed for c in verdict.checks] == ["5", "5"]
    assert verdict.detail == "1 of 2 checks passed"
    assert verdict.level is sandbox.level
    assert verdict.seconds > 0
    assert verdict.cpu_seconds > 0


def test_no_checks_passes_when_loaded(sandbox: Sandbox) -> None:
    assert judge(sandbox, ADD).status is Status.PASSED


def test_raises(sandbox: Sandbox) -> None:
    source = "class Bad(KeyError): pass\ndef f():\n\n    raise Bad('why')\n"
    for name in ("Bad", "KeyError", "LookupError", "Exception"):
        result = one(sandbox, source, Check(code="f()", raises=name))
        assert result.passed
        assert result.error == "Bad: 'why'"
        assert result.line == 4
    assert not one(sandbox, source, Check(code="f()", raises="ValueError")).passed
    assert not one(sandbox, ADD, Check(code="add(1, 2)", raises="TypeError")).passed
    assert one(sandbox, ADD, Check(code="add(1)", raises="TypeError")).passed


def test_library_exceptions_are_the_real_ones(sandbox: Sandbox) -> None:
    source = "import json\ndef f():\n    return json.loads('{')\n"
    code = "import json\ntry:\n    f()\n    assert 0\nexcept json.JSONDecodeError as e:\n    assert 'line 1' in str(e)"
    assert one(sandbox, source, code).passed


def test_statements_and_observed_expression(sandbox: Sandbox) -> None:
    assert one(sandbox, ADD, "x = add(1, 2)\nassert x == 3").observed is None
    assert one(sandbox, ADD, "add('a', 'b')").observed == "'ab'"
    failed = one(sandbox, ADD, "assert add(1, 2) == 4, 'sum'")
    assert not failed.passed
    assert failed.error == "AssertionError: sum"
    assert not one(sandbox, ADD, "assert (").passed


def test_observed_is_cut(sandbox: Sandbox) -> None:
    observed = one(sandbox, "def f():\n    return 'x' * 5000\n", "f()").observed
    assert observed is not None
    assert len(observed) == 1000
    assert observed.endswith("...")


def test_stop_at_first_failure(sandbox: Sandbox) -> None:
    checks = (Check(code="add(1, 1)", expected="2"), Check(code="add(1, 1)", expected="3"), Check(code="add(1, 1)"))
    verdict = sandbox.run(Program(source=ADD, checks=checks, stop_at_first_failure=True))
    assert [c.passed for c in verdict.checks] == [True, False]
    assert verdict.status is Status.FAILED


def test_load_errors(sandbox: Sandbox) -> None:
    for source, detail in [
        ("def f(:\n", "SyntaxError: invalid syntax (solution.py, line 1)"),
        (
            "x = 1\n\nimport nothing_of_this_name\n",
            "ModuleNotFoundError: No module named 'nothing_of_this_name' (line 3)",
        ),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0 (line 2)"),
        ("exit()\n", "SystemExit (line 1)"),
    ]:
        verdict = judge(sandbox, source, "1")
        assert (verdict.status, verdict.detail, verdict.checks) == (Status.LOAD_ERROR, detail, ())


def test_crashes(sandbox: Sandbox) -> None:
    assert judge(sandbox, "import os\nos._exit(0)\n").status is Status.CRASHED
    verdict = judge(sandbox, "import os\ndef f():\n    os._exit(3)\n", "1", "f()", "2")
    assert verdict.status is Status.CRASHED
    assert len(verdict.checks) == 1
    assert verdict.detail == "the program ended during check 2: exit status 3"
    fault = judge(sandbox, "import ctypes\ndef f():\n    ctypes.string_at(0)\n", "f()")
    assert "SIGSEGV" in fault.detail


def test_a_check_that_swallows_the_crash_does_not_pass(sandbox: Sandbox) -> None:
    code = "try:\n    f()\nexcept BaseException:\n    pass"
    assert judge(sandbox, "import os\ndef f():\n    os._exit(0)\n", code).status is Status.CRASHED


def test_a_check_that_ends_its_process_does_not_pass(sandbox: Sandbox) -> None:
    verdict = judge(sandbox, ADD, "import os; os._exit(0)")
    assert verdict.status is Status.CRASHED
    assert "checks" in verdict.detail
    assert one(sandbox, ADD, "raise SystemExit(0)").error == "SystemExit: 0"


def test_arguments_are_copied_back(sandbox: Sandbox) -> None:
    source = (
        "def f(rows, names, seen, *, extra):\n    rows.sort()\n    rows[0].append(9)\n    names['b'] = 2\n"
        "    seen.discard(1)\n    extra.clear()\n"
    )
    code = (
        "row = [1]\nrows = [[2], row]\nnames, seen, extra = {'a': 1}, {1, 2}, [7]\nf(rows, names, seen, extra=extra)\n"
        "assert rows == [[1, 9], [2]], rows\nassert names == {'a': 1, 'b': 2}\nassert seen == {2}\nassert extra == []"
    )
    result = one(sandbox, source, code)
    assert result.passed, result


def test_arguments_are_copied_back_when_it_raises(sandbox: Sandbox) -> None:
    source = "def f(xs):\n    xs.pop()\n    raise ValueError\n"
    assert one(sandbox, source, "xs = [1, 2]\ntry:\n    f(xs)\nexcept ValueError:\n    pass\nassert xs == [1]").passed


def test_functions_as_arguments(sandbox: Sandbox) -> None:
    source = "def apply(g, *xs):\n    return [g(x) for x in xs]\ndef twice(x):\n    return 2 * x\n"
    assert one(sandbox, source, Check(code="apply(lambda x: x + 1, 1, 2)", expected="[2, 3]")).passed
    assert one(sandbox, source, Check(code="apply(len, 'ab')", expected="[2]")).passed
    assert one(sandbox, source, Check(code="apply(twice, 4)", expected="[8]")).passed
    assert one(sandbox, source, Check(code="apply(lambda x: twice(x), 4)", expected="[8]")).passed
    assert one(sandbox, source, Check(code="apply(lambda x: 1 // x, 0)", raises="ZeroDivisionError")).passed


def test_generators_and_classes(sandbox: Sandbox) -> None:
    source = (
        "def count(n):\n    yield from range(n)\n"
        "class Stack:\n    def __init__(self, *xs):\n        self.xs = list(xs)\n    def push(self, x):\n"
        "        self.xs.append(x)\n        return self\n    def __len__(self):\n        return len(self.xs)\n"
        "    def __str__(self):\n        return f'Stack{self.xs}'\n"
    )
    assert one(sandbox, source, Check(code="list(count(3))", expected="[0, 1, 2]")).passed
    assert one(
        sandbox,
        source,
        "s = Stack(1)\ns.push(2).push(3)\nassert len(s) == 3 and s.xs == [1, 2, 3] and str(s) == 'Stack[1, 2, 3]'",
    ).passed
    assert one(sandbox, source, "assert isinstance(Stack(), Stack) and not isinstance(3, Stack)").passed


def test_what_cannot_cross_equals_nothing_and_is_named(sandbox: Sandbox) -> None:
    source = (
        "class Yes:\n    def __eq__(self, o): return True\n    def __contains__(self, o): return True\n"
        "def f(): return Yes()\ndef g(): return [1, Yes()]\n"
    )
    for code, expected in [
        ("f()", "[1, 2]"),
        ("f()", "f()"),
        ("g()", "[1, 2]"),
        ("[1, 2] == f()", "True"),
        ("f() != 3", "False"),
    ]:
        result = one(sandbox, source, Check(code=code, expected=expected))
        assert not result.passed
    assert one(sandbox, source, "g()").observed == "[1, <solution.Yes: not plain data>]"
    assert not one(sandbox, source, "assert 3 in f()").passed
    assert not one(sandbox, source, "assert abs(f() - 3) < 1").passed


def test_equality_of_the_candidates_own_objects(sandbox: Sandbox) -> None:
    source = (
        "import dataclasses, enum\n@dataclasses.dataclass\nclass P:\n    x: int\n    y: object = None\n"
        "class C(enum.Enum):\n    R = 1\n    G = 2\ndef mk(x): return P(x, P(0))\ndef c(): return C.R\n"
        "class Yes:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return True\n"
        "def yes(): return Yes()\n"
    )
    for code in (
        "assert mk(1) == P(1, P(0)) and mk(1) != mk(2) and mk(1) != P(1)",
        "assert c() == C.R and c() != C.G and [c()] == [C.R]",
        "assert not (yes() == yes()) and yes() != yes()",
        "assert mk(1) != (1, None) and c() != 1",
    ):
        assert one(sandbox, source, code).passed, code


def test_large_constants_and_results(sandbox: Sandbox) -> None:
    source = "BIG = [0] * 5_000_000\nMID = list(range(50_000))\ndef f():\n    return BIG\ndef g():\n    return 1\n"
    assert one(sandbox, source, Check(code="g()", expected="1")).passed
    assert one(sandbox, source, "f()").observed == "<builtins.list: not plain data>"
    assert one(sandbox, source, "assert MID[7] == 7 and len(MID) == 50_000").passed
    assert one(sandbox, source, "import solution\nassert solution.MID == list(range(50_000))").passed


def test_identity_of_a_returned_argument(sandbox: Sandbox) -> None:
    source = "def f(xs, copy=False):\n    xs.append(1)\n    return list(xs) if copy else xs\n"
    assert one(sandbox, source, "x = []\nassert f(x) is x and x == [1]\nassert f(x, copy=True) is not x").passed


def test_constants_and_import_solution(sandbox: Sandbox) -> None:
    source = "LIMIT = 5\nNAMES = ['a']\ndef grow():\n    NAMES.append('b')\n"
    assert one(sandbox, source, Check(code="(LIMIT, NAMES)", expected="(5, ['a'])")).passed
    code = "import solution\ngrow()\nassert solution.NAMES == ['a', 'b'] and solution.LIMIT == 5"
    assert one(sandbox, source, code).passed
    assert one(sandbox, ADD, Check(code="plus(1, 2)", expected="3"), setup="from solution import add as plus").passed
    missing = judge(sandbox, ADD, "1", setup="from solution import sub")
    assert missing.status is Status.FAILED
    assert missing.detail.startswith("in the setup: ImportError")
    assert [c.passed for c in missing.checks] == [False]


def test_the_candidates_names_do_not_replace_what_the_checks_use(sandbox: Sandbox) -> None:
    source = (
        "def abs(x): return 0\nclass math:\n    isclose = staticmethod(lambda *a: True)\n"
        "def check(f): pass\ndef copy(x): return 7\n"
    )
    assert not one(sandbox, source, "assert abs(-5) == 0").passed
    assert not one(sandbox, source, "assert math.isclose(1, 2)").passed
    assert not one(sandbox, source, "check(1)", setup="def check(f):\n    assert f == 2").passed
    assert one(sandbox, source, Check(code="copy(1)", expected="7")).passed


def test_stop_iteration_does_not_end_the_tests_loop(sandbox: Sandbox) -> None:
    source = "def f(x):\n    raise StopIteration\n"
    result = one(sandbox, source, "assert all(a == b for a, b in zip(map(f, [1, 2]), [1, 2]))")
    assert not result.passed
    assert result.error == "RuntimeError: the program raised StopIteration"


def test_output(sandbox: Sandbox) -> None:
    source = "import sys\nprint('hello')\ndef f():\n    print('in f', end='')\n    sys.stderr.write('!\\n')\n"
    verdict = judge(sandbox, source, "f()")
    assert "hello\n" in verdict.output
    assert "in f" in verdict.output
    assert "!" in verdict.output
    assert not verdict.output_cut
    cut = judge(sandbox, "print('é' * 100)\nprint('b')", output_chars=50)
    assert cut.output == "é" * 50
    assert cut.output_cut


def test_programs_do_not_see_each_other(sandbox: Sandbox) -> None:
    judge(sandbox, "import builtins, math\nbuiltins.left = 1\nmath.left = 2\n")
    source = "import builtins, math, os\ndef f():\n    return hasattr(builtins, 'left'), hasattr(math, 'left')\n"
    assert one(sandbox, source, Check(code="f()", expected="(False, False)")).passed


def test_same_order_of_sets_every_time(sandbox: Sandbox) -> None:
    source = "def f():\n    return list({'a', 'b', 'c', 'd', 'e'})\n"
    assert len({one(sandbox, source, "f()").observed for _ in range(3)}) == 1


def test_odd_sources(sandbox: Sandbox) -> None:
    assert judge(sandbox, "").status is Status.PASSED
    assert judge(sandbox, "x = '\ud800'\n").status is Status.LOAD_ERROR
    assert judge(sandbox, "x = 1\0\n").status is Status.LOAD_ERROR
    assert judge(sandbox, "#" * 3_000_000).status is Status.PASSED
    assert judge(
        sandbox, "BIG = 'x' * 3_000_000\nB = [BIG] * 20\ndef f(): return 1\n", Check(code="f()", expected="1")
    ).passed
