"""Arguments of the library's dictionary classes: a program may ask more of them than of a plain dictionary."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Program, SandboxLevel

pytestmark = pytest.mark.sandbox
SETUP = "from collections import Counter, OrderedDict, defaultdict\n"
SOURCE = """\
def call(value, name, *args):
    return getattr(value, name)(*args)
def grow(d):
    d['new'].append(1)
    return d
def kind(value):
    return type(value).__name__
def copy(value):
    return value.copy()
def drop(value):
    value.clear()
    raise KeyError
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    yield from open_or_skip(SandboxLevel.FULL)


@pytest.mark.parametrize(
    "code",
    [
        "assert call(Counter('aab'), 'most_common', 1) == [('a', 2)]",
        "c = Counter('aab')\ncall(c, 'update', 'b')\nassert c == Counter('aabb') and type(c) is Counter",
        "d = defaultdict(list)\nassert grow(d) is d and d == {'new': [1]} and d.default_factory is list",
        "d = defaultdict(lambda: [7])\ngrow(d)\nassert d == {'new': [7, 1]} and d['more'] == [7]",
        "assert call(defaultdict(None), '__contains__', 1) is False",
        "d = OrderedDict(a=1, b=2)\ncall(d, 'move_to_end', 'a')\nassert [*d] == ['b', 'a'] and type(d) is OrderedDict",
        "assert kind([Counter()][0]) == 'Counter' and grow([defaultdict(list)][0]) == {'new': [1]}",
        "d = {'in': defaultdict(list)}\ngrow(d['in'])\nassert d == {'in': {'new': [1]}}",
        "d = defaultdict(list, a=[1])\ntry:\n    drop(d)\nexcept KeyError:\n    pass\nassert d == {}",
        "class Own(Counter): pass\nassert kind(Own()) == 'dict'",
        "assert kind(copy(Counter())) == 'dict' and repr(copy(Counter('a'))) == \"{'a': 1}\"",
    ],
)
def test_dictionaries_of_the_library(sandbox: Sandbox, code: str) -> None:
    verdict = sandbox.run(Program(source=SOURCE, setup=SETUP, checks=(Check(code=code),)))
    assert verdict.passed, verdict
