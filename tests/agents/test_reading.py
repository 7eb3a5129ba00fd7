"""What is read from a task: examples, the function's name and its signature."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.errors import TaskError
from leafwise.agents.examples import called_names, find_examples
from leafwise.agents.reading import find_name, find_signature, read_task, spec_of_stub
from leafwise.runtime.sandbox_contracts import Check

# arbitrary text may hold '\d' or 1if, of which the parser warns
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")


def pairs(text: str) -> list[tuple[str, str | None]]:
    return [(e.code, e.expected or e.raises) for e in find_examples(text)]


# --- examples in prose -----------------------------------------------------------------------------------------------

ONE_EXAMPLE = [
    # how the value is connected
    ("add(2, 3) == 5", "add(2, 3)", "5"),
    ("add(2, 3) -> 5", "add(2, 3)", "5"),
    ("add(2, 3) --> 5", "add(2, 3)", "5"),
    ("add(2, 3) => 5", "add(2, 3)", "5"),
    ("add(2, 3) ==> 5", "add(2, 3)", "5"),
    ("add(2, 3) → 5", "add(2, 3)", "5"),
    ("add(2, 3) ➞ 5", "add(2, 3)", "5"),
    ("add(2,3)=5", "add(2,3)", "5"),
    ("add(2, 3)  # 5", "add(2, 3)", "5"),
    ("add(2, 3)  # => 5", "add(2, 3)", "5"),
    ("add(2, 3)  # returns 5", "add(2, 3)", "5"),
    ("assert add(2, 3) == 5", "add(2, 3)", "5"),
    ("assert add(2, 3) == 5, 'should be five'", "add(2, 3)", "5"),
    ("result = add(2, 3) == 5", "add(2, 3)", "5"),
    ("add(2, 3)\nOutput: 5", "add(2, 3)", "5"),
    ("Input: add(2, 3), output: 5", "add(2, 3)", "5"),
    ("add(2, 3) returns 5", "add(2, 3)", "5"),
    ("add(2, 3) should return 5.", "add(2, 3)", "5"),
    ("add(2, 3) must return 5", "add(2, 3)", "5"),
    ("add(2, 3) will return:\n5", "add(2, 3)", "5"),
    ("add(2, 3) is 5", "add(2, 3)", "5"),
    ("add(2, 3) should be 5", "add(2, 3)", "5"),
    ("add(2, 3) should be equal to 5", "add(2, 3)", "5"),
    ("add(2, 3) equals 5", "add(2, 3)", "5"),
    ("add(2, 3) gives 5", "add(2, 3)", "5"),
    ("add(2, 3) evaluates to 5", "add(2, 3)", "5"),
    ("add(2, 3) yields 5", "add(2, 3)", "5"),
    ("f('ab') returns the string 'ba'", "f('ab')", "'ba'"),
    # backticks
    ("`add(2, 3) == 5`", "add(2, 3)", "5"),
    ("`add(2, 3)` == `5`", "add(2, 3)", "5"),
    ("`add(2, 3)` should return `5`.", "add(2, 3)", "5"),
    # what follows the value is not part of it
    ("add(2, 3) == 5 # a comment (with brackets)", "add(2, 3)", "5"),
    ("f(3) == [3, 4] # then (5)", "f(3)", "[3, 4]"),
    ("f(4) returns True because 4 is even", "f(4)", "True"),
    ("f(4) returns 2, as 2 * 2 is 4", "f(4)", "2"),
    ("f(4) == 2 hours", "f(4)", "2"),
    ("f(4) returns 2 (the root)", "f(4)", "2"),
    ("f(4) is 2.5.", "f(4)", "2.5"),
    ("f(4) is 2.", "f(4)", "2"),
    # the arguments
    ("f() == 1", "f()", "1"),
    ("f(-1, +2) == 1", "f(-1, +2)", "1"),
    ("f(x=1, y=[2]) == 2", "f(x=1, y=[2])", "2"),
    ("f((1, (2, 3)), [[4]]) == 2", "f((1, (2, 3)), [[4]])", "2"),
    ("f([\n  1,\n  2,\n]) == 3", "f([\n  1,\n  2,\n])", "3"),
    ("f(g(1), [h(2)]) == 2", "f(g(1), [h(2)])", "2"),
    ("len(f(3)) == 2", "len(f(3))", "2"),
    ('f("a(b") == "c)"', 'f("a(b")', '"c)"'),
    ('f("a == b") == True', 'f("a == b")', "True"),
    ("f('a\\'b') == 2", "f('a\\'b')", "2"),
    ("f(lambda x: x + 1, 2) == 3", "f(lambda x: x + 1, 2)", "3"),
    # the value
    ("f(1) == -1", "f(1)", "-1"),
    ("f(1) == 1e-3", "f(1)", "1e-3"),
    ("f(1) == .5", "f(1)", ".5"),
    ("f(1) == 0x1F", "f(1)", "0x1F"),
    ("f(1) is None.", "f(1)", "None"),
    ("f(1) => true", "f(1)", "True"),
    ("f(1) returns false,", "f(1)", "False"),
    ("f(1) == ''", "f(1)", "''"),
    ('f(1) == "it\'s"', "f(1)", '"it\'s"'),
    ("f(1) == 'a\\nb'", "f(1)", "'a\\nb'"),
    ("f(1) == b'x'", "f(1)", "b'x'"),
    ("f(1) == (1, 2)", "f(1)", "(1, 2)"),
    ("f(1) == ()", "f(1)", "()"),
    ("f(1) == {1, 2}", "f(1)", "{1, 2}"),
    ("f(1) == set()", "f(1)", "set()"),
    ("f(1) == {'a': [1, (2,)],\n 'b': {}}", "f(1)", "{'a': [1, (2,)],\n 'b': {}}"),
    ("f(1) == ['(', ']']", "f(1)", "['(', ']']"),
    ("f(1) == 'a' # 'b'", "f(1)", "'a'"),
    # letters beyond ASCII
    ("ärger(3) == 4", "ärger(3)", "4"),
    # exceptions
    ("f('x') raises ValueError", "f('x')", "ValueError"),
    ("f('x') should raise a `ValueError`", "f('x')", "ValueError"),
    ("`f('x')` must raise an IndexError", "f('x')", "IndexError"),
]


@pytest.mark.parametrize(("text", "code", "value"), ONE_EXAMPLE, ids=[case[0] for case in ONE_EXAMPLE])
def test_an_example_is_read_as_written(text: str, code: str, value: str) -> None:
    assert pairs(text) == [(code, value)]


NO_EXAMPLE = [
    "",
    "f(x) is a function",
    "f(x) = x + 1",
    "f(n) = 2",  # n is a name that only the text knows: no program could pass
    "f(n) is 3 times as large",
    "f(2) is 3 times as large",
    "f('abc') returns 3 characters",
    "f(2) is about 3",
    "f(2) is not 3",
    "f(2) != 3",
    "f(5) is 5x",
    "f(5) is 5-digit",
    "f(5) is 1 or 2",
    # only the beginning of a formula
    "f(3) = 1 + 2 + 3 = 6",
    "f(3) == 3 * 2",
    "f(3) -> 19 - 5",
    "f(3) = 2^3",
    "f(3) = 4! = 24",
    "f(3) == 2 == 2",
    "f(3) == 7 / 2",
    "f(3) is 50%",
    "f(3) == 1,000",
    "f(3) == 3.14159...",
    "f('abc') == 'abc'.upper()",
    "f(1) == [1, 2, 3][1:]",
    'f(1) == {"a": 1}["a"]',
    "f(1) == 'a' 'b'",
    "f(3) == 3 | 4",
    "f(3) == 0x1F & 3",
    "f(3) == 5 in [5]",
    "f(3) == 1 if True else 2",
    # only the first of several values
    "div(7, 2) returns 3, 1",
    "div(7, 2) returns 'a', 'b'",
    "f(3) == True, False",
    "f(3) -> [3], [4]",
    # only part of a formula
    "2 * f(3) == 6",
    "n + f(3) == 6",
    "f(3)[0] == 6",
    "f(3).count == 6",
    "not f(3) == 6",
    "await f(3) == 6",
    ">>> await f(3)\n6",
    "(n + 1) * f(3) == 6",
    # no call of a plain function
    "math.sqrt(4) == 2",
    "s.f(4) == 2",
    "range(3) is 3",
    "def f(x) -> 5",
    "def f(x=2) -> 5",
    # calls without a value
    "call f(2) first",
    "f(2), f(3) and f(4)",
    "assert f(2)",
    "f(2)\n5",
    "f(2) returns a list like [1]",
    "f(2) raises an exception",
    "f(2) raises Trouble",
    "f(2) prints 3",
    "print(f(2)) -> 3",  # what `print` returns is None
    "f(2 == 3",
    'f("2) == 3',
    "f(2) == [3",
    'f(2) == "3',
    'f(2) == ""abc"',
]


@pytest.mark.parametrize("text", NO_EXAMPLE)
def test_prose_is_no_example(text: str) -> None:
    assert pairs(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "f(1) == 2 and f(2) == 4",
        "f(1) == 2, f(2) == 4",
        "f(1)==2;f(2)==4",
        "- `f(1)` returns `2`\n- `f(2)` returns `4`",
        "* f(1) -> 2\n* f(2) -> 4",
        "f(1) is 2 while f(2) is 4",
        "f(1) returns 2 f(2) returns 4",
        "| `f(1)` | f(1) == 2 |\n| f(2) == 4 | f(1) == 2 |",
        "```python\nassert f(1) == 2\nassert f(2) == 4\n```",
        ">>> f(1)\n2\n\nand f(2) == 4",
    ],
)
def test_several_examples_come_in_order_and_once(text: str) -> None:
    assert pairs(text) == [("f(1)", "2"), ("f(2)", "4")]


def test_an_inner_call_is_no_example_of_its_own() -> None:
    assert pairs("decode(encode('a')) == 'a'") == [("decode(encode('a'))", "'a'")]


# --- doctests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">>> f(1)\n2", [("f(1)", "2")]),
        ("    >>> f(1)\n    2\n    >>> f(2)\n    4\n", [("f(1)", "2"), ("f(2)", "4")]),
        (">>> f(1,\n...   2)\n3", [("f(1,\n  2)", "3")]),
        (">>> f('a\"b')\n'b\"a'", [("f('a\"b')", "'b\"a'")]),
        (">>> f('a\\n')\n'a\\n'", [("f('a\\n')", "'a\\n'")]),
        (">>> f(1)\n[1,\n 2]", [("f(1)", "[1,\n 2]")]),
        (">>> f(1) == 2\nTrue", [("f(1) == 2", "True")]),
        (">>> [f(i) for i in (1, 2)]\n[2, 4]", [("[f(i) for i in (1, 2)]", "[2, 4]")]),
        (">>> f(0)\nTraceback (most recent call last):\n    ...\nValueError: no", [("f(0)", "ValueError")]),
        (">>> f(0)\nTraceback (most recent call last):\nmod.ValueError", [("f(0)", "ValueError")]),
        # `print` shows `str` of the value, so that is what is compared
        (">>> print(f(1))\nabc", [("str(f(1))", "'abc'")]),
        # blanks before what is printed were printed
        (">>> print(f(1))\n  abc", [("str(f(1))", "'  abc'")]),
        # a docstring that ends directly below
        ('>>> print(f(1))\nabc\n"""', [("str(f(1))", "'abc'")]),
        # what stands for anything cannot be compared; without that option it is part of a text
        (">>> f(1)  # doctest: +ELLIPSIS\n'a...'", []),
        (">>> f(1)\n[1, ..., 3]", []),
        (">>> f(1)\n'a...'", [("f(1)", "'a...'")]),
        # prose after the value, without an empty line
        (">>> f(1)\n2\nThe rest is prose.", [("f(1)", "2")]),
        (">>> f(1)\n2\nf(2) == 4", [("f(1)", "2"), ("f(2)", "4")]),
        # one malformed line does not hide the others
        (">>>f(1)\n2\n>>> f(2)\n4", [("f(1)", "2"), ("f(2)", "4")]),
        ("    >>> f(1)\n  2\n    >>> f(2)\n    4", [("f(2)", "4")]),
        # no examples: statements, unknown variables, no value, values that are no literals
        (">>> x = f(1)\n>>> f(x)\n2", []),
        (">>> import math\n>>> f(1)", []),
        (">>> f(1)\n<object at 0x1>", []),
        (">>> for i in range(2):\n...     f(i)\n1\n2", []),
        (">>> len('abc')\n3", []),
        (">>>", []),
        ("a >>> b", []),
    ],
)
def test_doctest_lines(text: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(text) == expected


def test_a_doctest_value_may_be_followed_by_lines_that_are_no_doctest() -> None:
    found = find_examples("def f(x):\n    '''Twice.\n\n    >>> f(1)\n    2\n    '''")
    # the closing quotes directly below the value are prose too
    assert found == [Check(code="f(1)", expected="2")]


# --- names and signatures --------------------------------------------------------------------------------------------

NAMES = [
    ("Write a function called `add` that adds", "add"),
    ("write a function named add which adds", "add"),
    ("Write a function add that adds", "add"),
    ("a function 'foo'", "foo"),
    ("Create a method reverse_words", "reverse_words"),
    ("Function to_roman converts", "to_roman"),
    ("a function called `name`", "name"),  # quoted or called: even a word of prose is a name
    ("Write add(x: [1(]) now, a function called plus", "plus"),
    ("Write a Python function to add two numbers", None),
    ("Write a function that returns 3", None),
    ("a function computing the sum", None),
    ("The function takes a list and returns its maximum", None),
    ("The function below", None),
    ("Write a function whose result is even", None),
    ("Write a function größe", "größe"),
    ("a function lambda", None),
    ("my function, which", None),
    ("functional programming", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_names_in_prose(text: str, name: str | None) -> None:
    assert find_name(text) == name


@pytest.mark.parametrize(
    ("text", "name", "signature"),
    [
        ("def add(a, b):", "add", "def add(a, b):"),
        ("def add(a, b): return a", "add", "def add(a, b):"),
        (
            "def add(\n    a: int,\n    b: dict = {1: 2},\n) -> int:\n    ...",
            "add",
            "def add(a: int, b: dict={1: 2}) -> int:",
        ),
        ("    def add(a):\n        pass", "add", "def add(a):"),
        ("def help_it(x):\n    return 1\n\n\ndef main_one(y):\n    '''Do: it.'''", "main_one", "def main_one(y):"),
        ("def outer(x):\n    def inner(y):\n        pass", "outer", "def outer(x):"),
        ("class A:\n    def method(self): ...\n\ndef asked(x): ...", "asked", "def asked(x):"),
        ("def add(a, b):\n    ...\n\ndef test_add():\n    pass", "add", "def add(a, b):"),
        ("def test_all(x):\n    ...", "test_all", "def test_all(x):"),
        ("Finish:\n```python\ndef add(a, b):\n```", "add", "def add(a, b):"),
        ("please write def add(a, b) for me", "add", "def add(a, b):"),
        ("Write a function add(a, b) that", "add", "def add(a, b):"),
        ("a function `add(a: int, b=2)`", "add", "def add(a: int, b=2):"),
        ("Implement is_prime(n).", "is_prime", "def is_prime(n):"),
        ("Write `is_prime(n)`: true if n is prime", "is_prime", "def is_prime(n):"),
        ("def größe(x): ...", "größe", "def größe(x):"),
        ("def f(*, key: str | None = None) -> list[int]:", "f", "def f(*, key: str | None=None) -> list[int]:"),
    ],
)
def test_signatures(text: str, name: str, signature: str) -> None:
    assert find_signature(text) == (name, signature)


@pytest.mark.parametrize(
    "text", ["", "Write a function called add", "function add(2, 3)", "def 3(x):", "def f(x", "undef f(x):"]
)
def test_no_signature(text: str) -> None:
    assert find_signature(text) is None


def test_called_names_leave_builtins_and_methods_out() -> None:
    assert called_names("f(len(g(1)), 'a'.join(h))") == ["f", "g"]
    assert called_names("f(") == []


# --- whole tasks -----------------------------------------------------------------------------------------------------


def test_a_task_in_prose() -> None:
    task = read_task("  Write a function add(a, b) that returns the sum of two numbers. add(2, 3) == 5\n")
    assert task.statement.startswith("Write")
    assert task.statement.endswith("== 5")
    assert (task.entry_point, task.signature) == ("add", "def add(a, b):")
    assert task.examples == (Check(code="add(2, 3)", expected="5"),)


def test_examples_name_the_function_if_the_text_does_not() -> None:
    task = read_task("Sum of two numbers: plus(1, 2) == 3, plus(2, 2) == 4")
    assert (task.entry_point, task.signature, len(task.examples)) == ("plus", None, 2)


def test_examples_overrule_a_word_that_only_looks_like_a_name() -> None:
    assert read_task("Write a function quickly! plus(1, 2) == 3").entry_point == "plus"


def test_examples_of_other_functions_are_left_out_of_a_text() -> None:
    task = read_task("Write a function called area. Unlike half(4) == 2, area(2) == 4")
    assert task.examples == (Check(code="area(2)", expected="4"),)


def test_examples_and_tests_that_the_user_gave_are_kept_whatever_they_call() -> None:
    tests = (
        Check(code="solution.add(1, 1)", expected="2"),
        Check(code="helper(3)", expected="4"),
        Check(code="test_add()"),
        Check(code="add(1, 1)", expected="2"),
    )
    task = read_task("Write a function add(a, b).", ["add(1, 1) == 2", "twice(2) == 4"], ("import solution", tests))
    assert task.examples == (
        Check(code="add(1, 1)", expected="2"),
        Check(code="twice(2)", expected="4"),
        *tests[:3],
    )
    assert task.setup == "import solution"


@pytest.mark.parametrize("statement", ["", "  \n\t"])
def test_an_empty_task_is_refused_with_a_hint(statement: str) -> None:
    with pytest.raises(TaskError, match="empty") as error:
        read_task(statement)
    assert "say what to write" in (error.value.hint or "")


def test_a_byte_order_mark_and_an_indentation_are_no_part_of_a_task() -> None:
    code = "def half(x):\n    'Half. half(4) == 2'\n"
    indented = "\n".join(f"    {line}" for line in code.split("\n"))
    for text in (f"\ufeff{code}", indented, f"\r\n{indented}"):
        assert read_task(text).statement == code.strip()


def test_a_tests_files_own_names_are_not_what_is_asked_for() -> None:
    setup = "def test_add(): ...\nclass TestAdd: ..."
    checks = (Check(code="test_add()"), Check(code="TestAdd().test_a()"))
    assert read_task("Write a function called add", tests=(setup, checks)).entry_point == "add"


@pytest.mark.parametrize("example", ["", "add", "add(2, 3)", "add(2, 3) is large"])
def test_an_example_in_no_known_form_is_refused(example: str) -> None:
    with pytest.raises(TaskError, match="cannot read the example"):
        read_task("Write a function add(a, b)", [example])


def test_a_stub_is_a_spec_of_its_own() -> None:
    function = ast.parse(
        'def half(n: int) -> float:\n    """Half of n. half(4) == 2.0, twice(2) == 4"""\n    ...'
    ).body[0]
    assert isinstance(function, ast.FunctionDef)
    spec = spec_of_stub(function)
    assert (spec.entry_point, spec.signature) == ("half", "def half(n: int) -> float:")
    assert spec.examples == (Check(code="half(4)", expected="2.0"),)


def test_a_stub_without_docstring_is_described_by_its_name() -> None:
    function = ast.parse("def sum_of_digits(n): ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert spec_of_stub(function).statement == "sum of digits"


# --- any text --------------------------------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    [
        *(
            "f(",
            ")",
            "1",
            " == ",
            "->",
            "'",
            '"',
            '"""',
            "[",
            "]",
            "{",
            "}",
            ",",
            " ",
            "\n",
            ">>> ",
            "...",
            "def ",
            ":",
        ),
        *(
            "returns ",
            "raises ValueError",
            "is",
            "x",
            "-",
            ".",
            "`",
            "function ",
            "\r",
            "\x00",
            "0x",
            "1_",
            "é",
            "\ud800",
        ),
        *("#", "\\"),
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(FRAGMENTS, max_size=30).map("".join))


@quiet
@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_reading_never_raises_and_examples_are_literals(text: str) -> None:
    for example in find_examples(text):
        ast.parse(example.code, mode="eval")
        assert example.raises or ast.literal_eval(example.expected or "") is not Ellipsis
    find_signature(text)
    find_name(text)


@pytest.mark.parametrize(
    "text",
    ["f(" * 1500, "f(" * 700 + ")" * 700 + " == 1", "f(1) == " + "[" * 1500, "def f(x=" + "-" * 900 + "1): pass"],
)
def test_deep_nesting_is_no_example(text: str) -> None:
    assert find_examples(text) == []
    find_signature(text)


def test_a_function_with_a_builtins_name_has_its_examples() -> None:
    code = "def sum(a, b):\n    '''Common divisors.\n\n    >>> sum(10, 15)\n    6\n    '''\n"
    assert [e.code for e in read_task(code, examples=["sum(100, 150) == 93"]).examples] == [
        "sum(10, 15)",
        "sum(100, 150)",
    ]
    prose = read_task("Write a function max(xs) that returns the largest item. max([1, 3]) == 3, len([1, 2]) == 2")
    assert (prose.entry_point, [e.code for e in prose.examples]) == ("max", ["max([1, 3])"])
