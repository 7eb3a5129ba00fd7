"""From a model's answer to a module: what small models really write, and any other text."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.extract import extract_code, longest_parsable_prefix, tidy, top_level_names

quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")

ADD = "def add(a, b):\n    return a + b\n"
SUB = "def sub(a, b):\n    return a - b\n"

LADDER = [
    (f"```python\n{ADD}```", "fence", ADD),
    (f"```\n{ADD}\n```", "fence", ADD),
    (f"``` py \n{ADD}```\n", "fence", ADD),
    (f"```python title=add.py\n{ADD}```", "fence", ADD),
    (f"~~~python\n{ADD}~~~", "fence", ADD),
    (f"Sure! Here is the code:\n\n```python\n{ADD}```\nIt adds.", "fence", ADD),
    (f"```python\n{ADD}", "fence", ADD),  # the stop string was the closing fence
    (f"```python\r\n{ADD}```".replace("\n", "\r\n"), "fence", ADD),
    (f"1. First:\n\n   ```python\n   {ADD.replace(chr(10) + ' ', chr(10) + '    ')}   ```", "fence", ADD),
    (f"```python\n{SUB}```\n```python\n{ADD}```", "fence", ADD),  # the first block that defines what is asked for
    (f"```python\nadd(1, 2)\n```\n```python\n{ADD}```", "fence", ADD),
    (f"```python\ndef add(a, b)\n```\nor rather\n```python\n{ADD}```", "fence", ADD),
    ("```python\nimport math\n```\n```python\nx = 1\n```\n", "none", ""),
    (f"```python\nimport math\nadd = math.fsum\n```\n```\n{SUB}```", "fence", "import math\nadd = math.fsum\n"),
    (ADD, "bare", ADD),
    (f"\n\n{ADD}\n\n", "bare", ADD),
    (f"{ADD}\nThis function adds two numbers.", "prefix", ADD),
    (f"Here you are:\n{ADD}\nHope it helps!", "prefix", ADD),
    (f"from the task it follows that we add.\n\n{ADD}", "prefix", ADD),  # prose that begins like code
    (f"```python\n{ADD}\nprint(add(1, 2)\n```", "prefix", ADD),
    (f"```python\n{ADD}\ndef sub(a,", "prefix", ADD),  # cut by the token limit
    (f"@cache\n{ADD}\nis it.", "prefix", f"@cache\n{ADD}"),
    ("I can't do that.", "none", ""),
    ("", "none", ""),
    ("```python\n```", "none", ""),
    (f"```python\n{SUB}```", "none", ""),
    ("def add(a, b", "none", ""),
    ("\x00", "none", ""),
]


@pytest.mark.parametrize(("answer", "rule", "code"), LADDER)
def test_the_rule_that_matched_is_recorded(answer: str, rule: str, code: str) -> None:
    found = extract_code(answer, "add")
    assert (found.rule, found.code) == (rule, code)


def test_blocks_together_are_tried_when_none_is_enough() -> None:
    answer = "```python\nadd = (\n```\n```python\n    sum)\n```"
    found = extract_code(answer, "add")
    assert found.rule == "fences"
    assert top_level_names(found.code) == ["add"]


def test_without_entry_point_any_code_will_do() -> None:
    assert extract_code("```python\nx = 1\n```").code == "x = 1\n"
    assert extract_code(SUB, None).code == SUB


@pytest.mark.parametrize(
    "extra",
    [
        "print(add(1, 2))",
        "add(1, 2)",
        "add",
        "add(1, 2) == 3",
        "assert add(1, 2) == 3",
        "assert add(1, 2) == 3, (\n    'no'\n)",
        "n = int(input('n? '))",
        "for i in range(3):\n    print(add(i, i))",
        "while True:\n    print(add(1, 1))",
        "if add(1, 2) == 3:\n    print('ok')",
        "if __name__ == '__main__':\n    import sys\n    sys.exit(add(1, 2))",
        "import doctest\ndoctest.testmod()",
        "import unittest\nunittest.main()",
    ],
)
def test_demonstrations_are_dropped(extra: str) -> None:
    tidied = tidy(f"{ADD}\n{extra}\n")
    assert [type(n) for n in ast.parse(tidied).body if not isinstance(n, ast.Import)] == [ast.FunctionDef]


@pytest.mark.parametrize(
    "code",
    [
        "LIMIT = 10\n\ndef f():\n    return LIMIT\n",
        "import sys\n\nsys.setrecursionlimit(10_000)\n\ndef f(x):\n    return x\n",
        "TABLE = []\nfor i in range(5):\n    TABLE.append(i)\n\ndef f(x):\n    return TABLE[x]\n",
        "TABLE = {}\nwhile len(TABLE) < 3:\n    TABLE[len(TABLE)] = 1\n\ndef f(x):\n    return TABLE[x]\n",
        "primes = []\nprimes.append(2)\n\ndef f():\n    return primes\n",
        'def f():\n    return """a\n\n\n\n\n\nb"""\n',  # text inside of a string is not layout
        '"""A module."""\n\ndef f():\n    print(1)\n',
        "try:\n    from math import comb\nexcept ImportError:\n    comb = None\n\ndef f():\n    return comb\n",
        "x = 1; print(x)\ndef f():\n    return x\n",  # two statements on one line: both are left
    ],
)
def test_what_the_program_needs_is_kept(code: str) -> None:
    assert tidy(code) == code


def test_a_script_without_definitions_is_left_as_it_is() -> None:
    assert tidy("print('Hello')\n\n") == "print('Hello')\n"


def test_prefixes_are_whole_lines() -> None:
    assert longest_parsable_prefix("x = 1\ny = (2\nz = 3") == "x = 1"
    assert longest_parsable_prefix("(") == ""
    assert longest_parsable_prefix("") == ""


def test_top_level_names() -> None:
    code = "import os\nx = y = 1\ndef f():\n    def g(): ...\nasync def h(): ...\nclass C:\n    z = 1\n"
    assert top_level_names(code) == ["x", "y", "f", "h", "C"]


LINES = st.sampled_from(
    [
        *(
            "```",
            "```python",
            "~~~",
            "def add(a, b):",
            "    return a",
            "  x",
            "import math",
            "from here on",
            "@",
            "print(1)",
        ),
        *(
            "class A:",
            "assert add(1)",
            "if __name__ == '__main__':",
            "    pass",
            "x = (",
            ")",
            "'''",
            "\\",
            "",
            "add = 1; add",
        ),
        *("text", "\t", "\x0c", "for i in x:", "x = 1\r", "\x00", "\ud800", "# é", "async def add(): ..."),
    ]
)
ANSWERS = st.one_of(st.text(max_size=200), st.lists(LINES, max_size=14).map("\n".join))


@quiet
@settings(max_examples=300, deadline=None)
@given(ANSWERS, st.sampled_from([None, "add"]))
def test_extracted_code_always_parses_and_defines_what_was_asked_for(answer: str, entry_point: str | None) -> None:
    found = extract_code(answer, entry_point)
    names = top_level_names(found.code)
    assert bool(found.code) == (found.rule != "none")
    assert not found.code or entry_point is None or entry_point in names


@quiet
@settings(max_examples=150, deadline=None)
@given(ANSWERS)
def test_tidying_twice_changes_nothing(answer: str) -> None:
    code = extract_code(answer).code
    if code and tidy(code) != code:
        assert tidy(tidy(code)) == tidy(code)


PROMPT = 'import math\n\n\ndef area(r):\n    """Of a circle."""\n'


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("    return square(r) * math.pi\n\n\ndef square(x):\n    return x * x\n", "def square"),
        ('    text = """\nnot indented\n"""\n    return len(text) * r\n', "not indented"),
        ("    a = r * r\n# as everybody knows\n    return a * math.pi\n", "return a"),
        ("    a = r\n# a remark\n    return a\n\nthis is no code", "return a"),
    ],
)
def test_a_continuation_keeps_what_belongs_to_it(text: str, kept: str) -> None:
    found = extract_code(text, "area", PROMPT)
    assert found.rule == "body"
    assert kept in found.code
    exec(compile(found.code, "answer", "exec"), {})


@pytest.mark.parametrize("indent", ["  ", "\t"])
def test_a_continuation_goes_on_with_the_prompts_own_indent(indent: str) -> None:
    prompt = f'def f(x):\n{indent}"""Twice."""\n'
    for text in (f"{indent}return 2 * x\n", "    return 2 * x\n\nand so on"):
        scope: dict[str, Any] = {}
        exec(extract_code(text, "f", prompt).code, scope)
        assert scope["f"](3) == 6


def test_a_continuation_ends_with_the_function_and_its_helpers() -> None:
    text = "    return one(r)\n\n\ndef one(x):\n    return 1\n\n\ndef area(r):\n    return 0\n\n\nraise SystemExit\n"
    code = extract_code(text, "area", PROMPT).code
    assert "return one(r)" in code
    assert "def one" in code
    assert "return 0" not in code
    assert "SystemExit" not in code


@pytest.mark.parametrize(
    "answer",
    [
        "[BEGIN]\n{}\n[DONE]\n",
        "[PYTHON]\n{}\n[/PYTHON]\n",
        "{}\n\nf(1) + f(2)\n",
        "{}\n\nprint(f(1)), f(2)\n",
        "{}\n\nf.name\n",
        "{}\n\nresult = f(3)\n",
        "{}\n\nf(1)\n",
    ],
)
def test_what_stands_around_a_function_is_no_part_of_it(answer: str) -> None:
    code = "def f(x):\n    return x"
    assert extract_code(answer.format(code), "f").code == code + "\n"


@pytest.mark.parametrize(
    "code",
    [
        "primes = []\n\n\ndef fill(n):\n    primes.append(n)\n\n\nfill(9)\n\n\ndef f(n):\n    return primes[n]\n",
        "def g(x):\n    return x\n\n\nf = lambda s: print(g(s))\n",
        "def g(x):\n    return x\n\n\nTABLE = g(7)\n\n\ndef f(x):\n    return TABLE\n",
        "def f(x):\n    return TABLE[x]\n\n\nTABLE = list(range(9))\n",
    ],
)
def test_what_a_function_needs_stays(code: str) -> None:
    assert extract_code(code, "f").code == code


def test_blocks_that_need_each_other_come_together() -> None:
    first, second = "```python\nimport math\n```\n", "```python\ndef f(x):\n    return math.sqrt(x)\n```\n"
    for answer in (f"First:\n{first}then:\n{second}", f"{second}and do not forget\n{first}"):
        found = extract_code(answer, "f")
        assert found.rule == "fences"
        assert "import math" in found.code
    alone = "```python\ndef f(x):\n    return x\n```\nFor example:\n```python\ny = f(1)\n```\n"
    assert extract_code(alone, "f").rule == "fence"


@pytest.mark.parametrize("expression", ["-" * 2000 + "1", " + ".join("x" * 3000)])
def test_what_is_nested_too_deeply_is_no_code(expression: str) -> None:
    assert extract_code(f"def f(x):\n    return {expression}\n", "f").rule == "none"
