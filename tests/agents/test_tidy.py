"""Definitions are taken out of a module, and the rest of its text stays as it was written."""

from __future__ import annotations

import pytest

from leafwise.agents.tidy import tidied, without_definitions, without_tests

MODULE = (
    "import os\n\n\ndef a(x):\n    return b(x)  # b is below\n\n\n"
    "def b(x):\n    return x\n\n\n@cache\ndef c(x):\n    return c(x)\n"
)


def test_what_nothing_needs_goes_and_the_rest_keeps_its_comments() -> None:
    assert tidied(MODULE, {"a"}) == MODULE.partition("\n\n\n@cache")[0] + "\n"


def test_what_somebody_needs_stays() -> None:
    assert tidied(MODULE, {"a", "c"}) == MODULE
    script = "def a():\n    return 1\n\n\nprint(a())\n"
    assert tidied(script, set()) == script


def test_definitions_are_dropped_by_name() -> None:
    assert without_definitions(MODULE, {"c", "nothing"}) == MODULE.partition("\n\n\n@cache")[0] + "\n"


def test_copies_of_the_tests_go_but_nothing_that_the_answer_needs() -> None:
    tests = "class TestAdd:\n    def test(self): ...\nclass T(unittest.TestCase):\n    pass\ndef test_add(): ...\n"
    setup = f"{tests}def words(text): ...\ndef add(a, b): ...\n"
    own = "def words(text):\n    return text\n\n\ndef add(a, b):\n    return words(a) + b\n"
    assert without_tests(f"{own}\n\n{tests}", setup, "add") == own
    assert without_tests(own, setup, "add") == own
    assert without_tests(own + tests, "def (", "add") == own + tests


def test_a_class_that_was_asked_for_is_no_copy() -> None:
    asked = "class JsonTestCase(unittest.TestCase):\n    pass\n"
    assert without_tests(asked, "", None) == asked


def test_what_registers_itself_is_needed() -> None:
    code = "OPS = {}\n\n\n@OPS.register\ndef add(a, b):\n    return a + b\n\n\ndef f(x):\n    return OPS[x]\n"
    assert tidied(code, {"f"}) == code


TWICE = "def f(x):\n    return f(x - 1)\n\n\ndef g():\n    return f(1)\n\n\ndef f(x):\n    return x + g()\n"


def test_of_a_function_that_is_written_twice_the_last_stays() -> None:
    assert tidied(TWICE, {"f"}) == TWICE[TWICE.index("def g") :]
    thrice = "def f():\n    return 1\n\n\n" * 3
    assert tidied(thrice, {"f"}) == "def f():\n    return 1\n"


@pytest.mark.parametrize("between", ["y = f(1)\n", "def g(x=f(1)):\n    return x\n", "@f\ndef g():\n    return 1\n"])
def test_but_not_where_the_first_was_used_before(between: str) -> None:
    code = TWICE.replace("def g():\n    return f(1)\n", between)
    assert tidied(code, {"f", "g"}) == code


def test_a_function_that_wraps_the_first_of_its_name_needs_it() -> None:
    code = "def f(x):\n    return x\n\n\ndef f(x, inner=f):\n    return inner(x) + 1\n"
    assert tidied(code, {"f"}) == code


@pytest.mark.parametrize(
    "functions",
    [
        ["def f(): return 1", "def g(): return f()", "def h(x=g()): return x", "def f(): return h()"],
        ["def f(x=LOG.append(1)): return x", "def f(): return LOG"],
        ["def f(x=(y := 1)): return x", "def f(): return y"],
    ],
    ids=["another default calls what uses it", "its default changes a list", "its default names a value"],
)
def test_a_function_stays_where_defining_functions_does_more_than_that(functions: list[str]) -> None:
    code = "\n\n\n".join(["LOG = []", *functions]) + "\n"
    assert tidied(code, {"f"}) == code
