"""Arguments and results of the library's kinds: more is asked of them than of the plain type they are made of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Program, SandboxLevel

pytestmark = pytest.mark.sandbox
SETUP = """\
import enum
from collections import Counter, OrderedDict, defaultdict, namedtuple
from solution import Level, Word
"""
SOURCE = """\
import collections, enum
class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2
class Word(str, enum.Enum):
    YES = 'yes'
def count(members):
    return sum(member.name == 'A' for member in members)
def grouped():
    return collections.defaultdict(lambda: [8], a=1)
def flipped(rows):
    return [row._replace(x=row.y, y=row.x) for row in rows]
def next_level(level):
    return Level(level + 1)
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
        "assert kind(copy(Counter())) == 'Counter' and copy(Counter('aab')).most_common(1) == [('a', 2)]",
        "assert copy(Counter('a'))['z'] == 0 and copy(Counter('aab')) - Counter('a') == Counter('ab')",
        "assert copy(Counter('aab')) == {'a': 2, 'b': 1} == copy(OrderedDict(a=2, b=1)) != copy(Counter('a'))",
        "assert copy(OrderedDict(a=1, b=2)) == OrderedDict(a=1, b=2) != copy(OrderedDict(b=2, a=1))",
        "assert copy(defaultdict(list, a=[1])) == {'a': [1]} and copy(defaultdict(list))['new'] == []",
        "assert copy(defaultdict(lambda: 7))['new'] == 7 and grouped() == {'a': 1} and grouped()['new'] == [8]",
        "P = namedtuple('P', 'x y')\nassert flipped([P(1, 2)])[0].y == 1 and flipped([P(1, 2)]) == [(2, 1)]",
        "P = namedtuple('P', 'x y')\nassert flipped([P(1, 2)])[0]._asdict() == {'x': 2, 'y': 1}",
        "assert next_level(Level.LOW) is next_level(1) and next_level(1).name == 'HIGH' and next_level(1) == 2",
        "class Mine(enum.IntEnum): A = 1\nxs = [Mine.A]\nassert count(xs) == 1 and xs[0] is Mine.A",
        "assert Level.HIGH.value == 2 and Word.YES.name == 'YES' and Word.YES == 'yes' and Word.YES + '!' == 'yes!'",
    ],
)
def test_kinds_of_the_library(sandbox: Sandbox, code: str) -> None:
    verdict = sandbox.run(Program(source=SOURCE, setup=SETUP, checks=(Check(code=code),)))
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("copy(Counter('aab'))", "{'a': 2, 'b': 1}"),
        ("[copy(OrderedDict(a=1)), 'x=']", "[{'a': 1}, 'x=']"),
        ("{1: (copy(defaultdict(list)),)}", "{1: ({},)}"),
        ("flipped([namedtuple('P', 'x y')(1, 2)])", "[(2, 1)]"),
        ("{'a': next_level(1), 'b': Word.YES}", "{'a': 2, 'b': 'yes'}"),
    ],
)
def test_results_are_shown_alike_whichever_kind_a_program_chose(sandbox: Sandbox, code: str, shown: str) -> None:
    verdict = sandbox.run(Program(source=SOURCE, setup=SETUP, checks=(Check(code=code),)))
    assert verdict.checks[0].observed == shown
