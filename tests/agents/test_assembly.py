"""Modules put together from children and their parent."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.assembly import assemble


def run(module: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "solution"}
    exec(module, names)
    return names


def defined(module: str) -> list[str]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [node.name for node in ast.parse(module).body if isinstance(node, kinds)]


def test_imports_come_first_and_once() -> None:
    module = assemble(
        [
            "import math\ndef a(x):\n    return math.floor(x)",
            "from __future__ import annotations\nimport math\ndef b(x):\n    return math.ceil(x)",
        ],
        "import math\nfrom os import path\ndef f(x):\n    return a(x) + b(x)",
    )
    assert module.startswith("from __future__ import annotations\nimport math\nfrom os import path\n\n")
    assert module.count("import math") == 1
    assert run(module)["f"](1.5) == 3


def test_the_later_definition_wins_and_is_the_only_one() -> None:
    module = assemble(
        ["def a(x):\n    return 1", "def a(x):\n    return 2\ndef b(x):\n    return a(x)"], "def f(x):\n    return b(x)"
    )
    assert defined(module) == ["a", "b", "f"]
    assert run(module)["f"](0) == 2


def test_the_parents_own_version_wins() -> None:
    module = assemble(["def a(x):\n    return 1"], "def a(x):\n    return 3\ndef f(x):\n    return a(x)")
    assert defined(module) == ["a", "f"]
    assert run(module)["f"](0) == 3


def test_what_nobody_mentions_is_dropped() -> None:
    parts = [
        "LIMIT = 3\ndef used(x):\n    return deep(x) + LIMIT",
        "def deep(x):\n    return x",
        "SPARE = 1\ndef unused(x):\n    return SPARE",
    ]
    module = assemble(parts, "def f(x):\n    return used(x)")
    assert defined(module) == ["used", "deep", "f"]
    assert "SPARE" not in module
    assert run(module)["f"](1) == 4


@pytest.mark.parametrize(
    ("child", "value"),
    [
        ("table = {}\ntable[1] = 5\ndef a(x):\n    return table[x]", 5),
        ("table = []\ntable.append(0)\ntable.append(6)\ndef a(x):\n    return table[x]", 6),
        ("table = [0, 0]\nfor i in range(2):\n    table[i] = i + 7\ndef a(x):\n    return table[x]", 8),
        (
            "try:\n    from math import gcd\nexcept ImportError:\n    gcd = None\ndef a(x):\n    return gcd(x, 4)",
            1,
        ),
        ("try:\n    import math as m\nexcept ImportError:\n    m = None\ndef a(x):\n    return m.ceil(x)", 1),
        ("total, rest = 3, 4\ndef a(x):\n    return total + rest", 7),
        ("total: int = 3\ntotal += 1\ndef a(x):\n    return total", 4),
        ("class Counter:\n    start = 9\ndef a(x):\n    return Counter.start", 9),
        ("import functools\n@functools.lru_cache\ndef a(x):\n    return 2 * x", 2),
        ("def a(x):\n    return 1 if x < 2 else a(x - 1)", 1),
        (
            "def even(x):\n    return x == 0 or odd(x - 1)\ndef odd(x):\n    return x != 0 and even(x - 1)\n"
            "def a(x):\n    return odd(x)",
            True,
        ),
    ],
)
def test_a_child_keeps_what_its_function_needs(child: str, value: object) -> None:
    assert run(child)["a"](1) == value
    module = assemble([child], "def f(x):\n    return a(x)")
    assert run(module)["f"](1) == value


def test_without_parts_the_module_means_the_same() -> None:
    main = '"""Doc."""\nimport math\nX = 2\n\ndef f(x):\n    """Twice."""\n    return X * math.floor(x)\n'
    assert run(assemble([], main))["f"](1.5) == 2


NAMES = st.sampled_from(["a", "b", "c", "main"])
BODY = st.sampled_from(["return 1", "return x", "return x + K", "x = [x]; return len(x)"])
STATEMENT = st.one_of(
    st.builds("def {}(x):\n    {}".format, NAMES, BODY),
    st.builds("def {}(x):\n    return {}(x) if x < 0 else K".format, NAMES, NAMES),
    st.sampled_from(["K = 1", "K = 2", "import math", "from math import pi", "from __future__ import annotations"]),
)
MODULE = st.lists(STATEMENT, max_size=6).map("\n".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(MODULE, max_size=3), MODULE)
def test_assembled_modules_parse_and_define_each_name_once(parts: list[str], rest: str) -> None:
    main = f"K = 3\n{rest}\ndef main(x):\n    return x"
    # `from __future__` may stand first only, in what is given as well
    module = assemble(parts, main)
    names = defined(module)
    assert "main" in names
    assert len(names) == len(set(names))
    assert run(module)["main"](5) == 5


def test_own_functions_of_two_parts_are_kept_apart() -> None:
    part_a = "def h(x):\n    return x + 1\n\ndef a(x):\n    return h(x)\n"
    part_b = "def h(x):\n    return x * 10\n\ndef b(x):\n    return h(x)\n"
    main = "def f(x):\n    return (a(x), b(x))\n"
    scope: dict[str, Any] = {}
    exec(assemble([part_a, part_b], main, ["a", "b"]), scope)  # our own text
    assert scope["f"](1) == (2, 10)
    clash = "def h(x):\n    return -x\n\ndef f(x):\n    return (a(x), b(x), h(x))\n"
    exec(assemble([part_a, part_b], clash, ["a", "b"]), scope)
    assert scope["f"](1) == (2, 10, -1)


def test_a_stub_that_the_parent_repeats_does_not_take_the_helpers_place() -> None:
    stub = 'def is_even(n):\n    """Whether n is even."""\n    pass\n\n'
    parent = f"{stub}def both(a, b):\n    return is_even(a) and is_even(b)\n"
    module = assemble(["def is_even(n):\n    return n % 2 == 0\n"], parent, ["is_even"])
    assert run(module)["both"](2, 4) is True


def test_what_prepares_a_helper_comes_with_it() -> None:
    helper = "SQUARES = []\nfor k in range(10):\n    SQUARES.append(k * k)\ndef square(n):\n    return SQUARES[n]\n"
    module = assemble([helper], "def twice(n):\n    return 2 * square(n)\n", ["square"])
    assert run(module)["twice"](3) == 18


def test_each_part_keeps_its_own_table() -> None:
    double = "memo = {}\ndef double(n):\n    memo.setdefault(n, 2 * n)\n    return memo[n]\n"
    square = "memo = {}\ndef square(n):\n    memo.setdefault(n, n * n)\n    return memo[n]\n"
    module = assemble([double, square], "def both(n):\n    return double(n), square(n)\n", ["double", "square"])
    assert run(module)["both"](5) == (10, 25)


def test_a_parameter_is_nobody_elses_name() -> None:
    first = "LIMIT = 3\ndef first(n):\n    return min(n, LIMIT)\n"
    second = "LIMIT = 9\ndef second(n, LIMIT=4):\n    return sorted([n], key=lambda LIMIT: LIMIT)[0] + LIMIT\n"
    module = assemble([first, second], "def both(n):\n    return first(n), second(n)\n", ["first", "second"])
    assert run(module)["both"](5) == (3, 9)


def test_an_imported_name_and_a_parts_own_function_are_two() -> None:
    imported = "from math import gcd\ndef shared(a, b):\n    return gcd(a, b)\n"
    own = "def gcd(xs):\n    return xs[0]\ndef head(xs):\n    return gcd(xs)\n"
    module = assemble([imported, own], "def f(xs):\n    return shared(xs[0], xs[1]), head(xs)\n", ["shared", "head"])
    assert run(module)["f"]([4, 6]) == (2, 4)


def test_what_registers_itself_is_kept() -> None:
    table = "OPS = {}\ndef operation(sign):\n    return lambda f: OPS.setdefault(sign, f)\n"
    add = "@operation('+')\ndef add(a, b):\n    return a + b\n"
    part = f"{table}{add}def compute(op, a, b):\n    return OPS[op](a, b)\n"
    module = assemble([part], "def f(a, b):\n    return compute('+', a, b)\n", ["compute"])
    assert run(module)["f"](1, 2) == 3


def test_a_part_with_its_own_version_of_a_sibling_keeps_both() -> None:
    prime = "def is_prime(n):\n    return n in (2, 3, 5, 7)\n"
    own = "def is_prime(n, start):\n    return n > start\n"
    listing = f"{own}def primes_in(xs):\n    return [x for x in xs if is_prime(x, 4)]\n"
    main = "def f(xs):\n    return [is_prime(x) for x in xs], primes_in(xs)\n"
    module = assemble([prime, listing], main, ["is_prime", "primes_in"])
    assert run(module)["f"]([4, 5]) == ([False, True], [5])


def test_a_new_name_is_free() -> None:
    parts = [f"def step(x):\n    return x + {i}\ndef step_{i}(x):\n    return step(x)\n" for i in (1, 2)]
    module = assemble(parts, "def f(x):\n    return step_1(x), step_2(x)\n", ["step_1", "step_2"])
    assert run(module)["f"](0) == (1, 2)


def test_methods_and_errors_keep_their_names() -> None:
    method = "class Stack:\n    def push(self, x):\n        return x\n"
    first = f"def push(x):\n    return 0\n{method}def first(x):\n    return Stack().push(x)\n"
    caught = "    try:\n        return x[0]\n    except TypeError as push:\n        return str(push)[:0]\n"
    second = f"def push(x):\n    return 1\ndef second(x):\n{caught}"
    module = assemble([first, second], "def f(x):\n    return first(x), second(x)\n", ["first", "second"])
    assert run(module)["f"](5) == (5, "")


def test_settings_of_the_library_are_kept() -> None:
    part = "import sys\nsys.setrecursionlimit(5000)\ndef g(x):\n    return x\n"
    assert "sys.setrecursionlimit(5000)" in assemble([part], "def f(x):\n    return g(x)\n", ["g"])
