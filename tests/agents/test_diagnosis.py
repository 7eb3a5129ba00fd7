"""How a candidate fails, seen in the real sandbox: the call, what came, and the last lines that ran."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leafwise.agents.contracts import Failure, Spec
from leafwise.agents.diagnosis import diagnose, trace_text
from leafwise.agents.prompt_text import failure_text
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check, TraceLine

SPEC = Spec(statement="double", entry_point="double", examples=(Check(code="double(3)", expected="6"),))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


def test_a_wrong_value_comes_with_the_lines_that_led_to_it(sandbox: Sandbox) -> None:
    failure = diagnose("def double(x):\n    y = x + 1\n    y = y + 1\n    return y\n", SPEC, sandbox)
    assert failure is not None
    assert (failure.code, failure.expected, failure.observed) == ("double(3)", "6", "5")
    assert "y = x + 1  # y = 4" in failure.trace
    assert failure.trace.splitlines()[-1].startswith("return y")
    assert failure.trace in failure_text(failure)


def test_an_exception_comes_with_its_line(sandbox: Sandbox) -> None:
    failure = diagnose("def double(x):\n    y = [x]\n    return y[2] * 2\n", SPEC, sandbox)
    assert failure is not None
    assert "IndexError" in failure.observed
    assert failure.line == 3
    assert "y = [3]" in failure.trace


def test_what_does_not_fail_has_no_failure_unless_a_check_fails(sandbox: Sandbox) -> None:
    good = "def double(x):\n    return 2 * x\n"
    assert diagnose(good, SPEC, sandbox) is None
    wrong = (Check(code="double(1)", expected="3"),)
    failure = diagnose(good, SPEC, sandbox, wrong)
    assert failure is not None
    assert failure.code == "double(1)"


def test_what_does_not_load_fails_without_a_trace(sandbox: Sandbox) -> None:
    failure = diagnose("import nonsense_that_is_not_there\n", SPEC, sandbox)
    assert failure is not None
    assert failure.trace == ""
    assert "ModuleNotFoundError" in failure.observed


def test_a_long_trace_is_cut_at_its_beginning() -> None:
    source = "\n".join(f"a{i} = {i}" for i in range(1, 21))
    text = trace_text(source, [TraceLine(line=i, function="f", values=(("v", "9" * 99),)) for i in range(1, 21)])
    assert text.splitlines()[0].startswith("a15 = 15")
    assert text.splitlines()[-1] == f"a20 = 20  # v = {'9' * 60}..."
    assert trace_text(source, [TraceLine(line=99, function="f")]) == ""


def test_without_a_trace_the_evidence_is_one_line() -> None:
    assert "\n" not in failure_text(Failure(code="f(1)", expected="2", observed="3"))
