"""Imports that answers forgot are added; what is defined, given or meant otherwise stays as it is."""

from __future__ import annotations

import pytest

from leafwise.agents.standard_names import with_standard_imports


@pytest.mark.parametrize(
    ("code", "imports"),
    [
        ("def f(xs):\n    return Counter(xs)\n", ["from collections import Counter"]),
        ("def f(x):\n    return math.sqrt(x)\n", ["import math"]),
        ("def f(x):\n    return sqrt(x) + math.pi\n", ["import math", "from math import sqrt"]),
        ("def f(s):\n    return re.sub('a', 'b', s)\n", ["import re"]),
        (
            "def f(xs: List[int]) -> int:\n    return reduce(max, xs)\n",
            ["functools import reduce", "typing import List"],
        ),
    ],
)
def test_what_is_lacking_is_added_and_the_module_runs(code: str, imports: list[str]) -> None:
    found = with_standard_imports(code)
    assert all(line in found for line in imports)
    assert code.strip() in found
    exec(found, {})


@pytest.mark.parametrize(
    "code",
    [
        "def f(xs):\n    return helper(xs)\n",  # a helper that nobody wrote yet
        "import math\ndef f(x):\n    return math.sqrt(x)\n",
        "def f(x):\n    import math\n    return math.sqrt(x)\n",
        "def f(string):\n    return string.upper()\n",
        "def f(x):\n    string = str(x)\n    return string.upper()\n",
        "def product(xs):\n    return 1\ndef f(xs):\n    return product(xs)\n",
        "class Counter:\n    pass\ndef f(xs):\n    return Counter()\n",
        "def f(x):\n    return math\n",  # a bare name tells too little
        "def f(xs):\n    return max(xs) if any(xs) else sum(xs)\n",
    ],
)
def test_everything_else_stays(code: str) -> None:
    assert with_standard_imports(code) == code
