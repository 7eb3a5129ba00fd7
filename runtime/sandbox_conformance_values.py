"""Cases of the conformance suite: what checks decide, and how values pass between checks and candidate."""

from __future__ import annotations

from leafwise.runtime.sandbox_conformance_case import Answer, Case, equal, raises, tried
from leafwise.runtime.sandbox_contracts import Check, Program, Status

ADD = "def add(a, b):\n    return a + b\n"

_RAISES = """\
class Bad(KeyError): pass
def f():

    raise Bad('why')
"""
_CHANGES_ARGUMENTS = """\
def f(rows, names, seen, *, extra):
    rows.sort()
    rows[0].append(9)
    names['b'] = 2
    seen.discard(1)
    extra.clear()
"""
_CHANGED = """\
row = [1]
rows = [[2], row]
names, seen, extra = {'a': 1}, {1, 2}, [7]
f(rows, names, seen, extra=extra)
assert rows == [[1, 9], [2]], rows
assert names == {'a': 1, 'b': 2}
assert seen == {2}
assert extra == []
"""
_STACK = """\
class Stack:
    def __init__(self, *xs):
        self.xs = list(xs)
    def push(self, x):
        self.xs.append(x)
        return self
    def __len__(self):
        return len(self.xs)
    def __str__(self):
        return f'Stack{self.xs}'
"""
_YES = """\
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return True
    def __contains__(self, item): return True
    def __sub__(self, other): return 0
"""
_OBJECTS = """\
import dataclasses, enum
@dataclasses.dataclass
class Point:
    x: int
    y: object = None
class Colour(enum.Enum):
    RED = 1
    GREEN = 2
def point(x): return Point(x, Point(0))
def red(): return Colour.RED
"""
_ANY_NAME = """\
def f(**names): return sorted(names)
class Box:
    def __init__(self):
        self._id, self._type, self.value, self.name = 'id', 'type', 'value', 'name'
"""
_LARGE = """\
BIG = [0] * 5_000_000
MID = list(range(50_000))
def f(): return BIG
def g(): return 1
"""
_TAKES_NAMES = """\
def abs(x): return 0
class math:
    isclose = staticmethod(lambda *a: True)
def check(f): pass
def copy(x): return 7
"""
_SUM = "def sum(a, b):\n    return a * b\n"

_RIGHT_AND_WRONG = equal("add(2, 3)", "5"), equal("add(2, 3)", "6")
_ONE_OF_TWO = Answer(status=Status.FAILED, passed=(True, False), observed=("5", "5"), detail="1 of 2 checks passed")

_JUDGING = (
    Case(
        "expected-value",
        tried(ADD, *_RIGHT_AND_WRONG),
        _ONE_OF_TWO,
    ),
    Case(
        "trusted-checks",
        tried(ADD, *_RIGHT_AND_WRONG).model_copy(update={"trusted_checks": True}),
        _ONE_OF_TWO,
    ),
    Case("no-checks", tried(ADD)),
    Case(
        "raises",
        tried(_RAISES, *(raises("f()", name) for name in ("Bad", "KeyError", "LookupError", "Exception"))),
        Answer(errors=("Bad: 'why'",) * 4, lines=(4,) * 4),
    ),
    Case(
        "raises-another",
        tried(_RAISES, raises("f()", "ValueError")),
        Answer(status=Status.FAILED, passed=(False,), errors=("Bad: 'why'",), lines=(4,)),
    ),
    Case(
        "raises-nothing",
        tried(ADD, raises("add(1, 2)", "TypeError"), raises("add(1)", "TypeError")),
        Answer(status=Status.FAILED, passed=(False, True)),
    ),
    Case(
        "library-exceptions-are-the-real-ones",
        tried(
            "import json\ndef f():\n    return json.loads('{')\n",
            "import json\ntry:\n    f()\n    assert 0\nexcept json.JSONDecodeError as error:\n"
            "    assert 'line 1' in str(error)",
        ),
    ),
    Case(
        "exception-groups",
        tried("def f():\n    raise ExceptionGroup('both', [ValueError(1)])\n", raises("f()", "ExceptionGroup"), "1"),
    ),
    Case(
        "an-exception-with-a-constructor-of-its-own",
        tried(
            "class Bad(Exception):\n    def __init__(self, a, b):\n        super().__init__(f'{a} and {b}')\n"
            "def f():\n    raise Bad(1, 2)\n",
            raises("f()", "Bad"),
        ),
        Answer(errors=("Bad: 1 and 2",), lines=(5,)),
    ),
    Case(
        "an-exception-whose-text-is-no-unicode",
        tried("def f():\n    raise ValueError('\\ud800')\n", raises("f()", "ValueError")),
    ),
    Case(
        "statements-and-expressions",
        tried(ADD, "x = add(1, 2)\nassert x == 3", "add('a', 'b')", "assert add(1, 2) == 4, 'sum'"),
        Answer(
            status=Status.FAILED,
            passed=(True, True, False),
            observed=(None, "'ab'", None),
            errors=(None, None, "AssertionError: sum"),
        ),
    ),
    Case("a-check-that-is-no-python", tried(ADD, "assert ("), Answer(status=Status.FAILED, passed=(False,))),
    Case(
        "observed-is-cut",
        tried("def f():\n    return 'x' * 5000\n", "f()"),
        Answer(observed=("'" + "x" * 996 + "...",)),
    ),
    Case(
        "stop-at-first-failure",
        Program(
            source=ADD,
            checks=(equal("add(1, 1)", "2"), equal("add(1, 1)", "3"), Check(code="add(1, 1)")),
            stop_at_first_failure=True,
        ),
        Answer(status=Status.FAILED, passed=(True, False)),
    ),
    Case("setup-imports-the-candidate", tried(ADD, equal("plus(1, 2)", "3"), setup="from solution import add as plus")),
    Case(
        "setup-fails",
        tried(ADD, "1", setup="from solution import sub"),
        Answer(status=Status.FAILED, passed=(False,), detail="in the setup: ImportError.*"),
    ),
)

_CROSSING = (
    Case("arguments-are-copied-back", tried(_CHANGES_ARGUMENTS, _CHANGED)),
    Case(
        "arguments-are-copied-back-when-it-raises",
        tried(
            "def f(xs):\n    xs.pop()\n    raise ValueError\n",
            "xs = [1, 2]\ntry:\n    f(xs)\nexcept ValueError:\n    pass\nassert xs == [1]",
        ),
    ),
    Case(
        "a-returned-argument-is-itself",
        tried(
            "def f(xs, copy=False):\n    xs.append(1)\n    return list(xs) if copy else xs\n",
            "x = []\nassert f(x) is x and x == [1]\nassert f(x, copy=True) is not x",
        ),
    ),
    Case(
        "functions-as-arguments",
        tried(
            "def apply(g, *xs):\n    return [g(x) for x in xs]\ndef twice(x):\n    return 2 * x\n",
            equal("apply(lambda x: x + 1, 1, 2)", "[2, 3]"),
            equal("apply(len, 'ab')", "[2]"),
            equal("apply(twice, 4)", "[8]"),
            equal("apply(lambda x: twice(x), 4)", "[8]"),
            raises("apply(lambda x: 1 // x, 0)", "ZeroDivisionError"),
        ),
    ),
    Case(
        "keywords-of-any-name",
        tried(_ANY_NAME, *(equal(f"f({name}=1)", f"[{name!r}]") for name in ("name", "value", "args", "op", "self"))),
    ),
    Case(
        "attributes-of-any-name",
        tried(
            _ANY_NAME, *(equal(f"Box().{name}", f"{name.strip('_')!r}") for name in ("value", "name", "_id", "_type"))
        ),
    ),
    Case("integers-of-many-digits", tried("def f():\n    return 10 ** 5000\n", equal("f()", "10 ** 5000"), "f()")),
    Case("generators", tried("def count(n):\n    yield from range(n)\n", equal("list(count(3))", "[0, 1, 2]"))),
    Case(
        "classes",
        tried(
            _STACK,
            "s = Stack(1)\ns.push(2).push(3)\nassert len(s) == 3 and s.xs == [1, 2, 3] and str(s) == 'Stack[1, 2, 3]'",
            "assert isinstance(Stack(), Stack) and not isinstance(3, Stack)",
        ),
    ),
    Case(
        "what-cannot-cross-equals-nothing",
        tried(
            _YES + "def f(): return Yes()\ndef g(): return [1, Yes()]\n",
            equal("f()", "[1, 2]"),
            equal("g()", "[1, 2]"),
            equal("[Yes()]", "[1]"),
            equal("[1, 2] == f()", "True"),
            equal("f() != 3", "False"),
            "assert 3 in f()",
            "assert abs(f() - 3) < 1",
        ),
        Answer(status=Status.FAILED, passed=(False,) * 7),
    ),
    Case(
        "what-cannot-cross-is-named",
        tried(_YES + "def g(): return [1, Yes()]\n", "g()"),
        Answer(observed=("[1, <solution.Yes: not plain data>]",)),
    ),
    Case(
        "equality-of-the-candidates-objects",
        tried(
            _OBJECTS,
            "assert point(1) == Point(1, Point(0)) and point(1) != point(2) and point(1) != Point(1)",
            "assert red() == Colour.RED and red() != Colour.GREEN and [red()] == [Colour.RED]",
            "assert point(1) != (1, None) and red() != 1",
        ),
    ),
    Case(
        "equality-of-two-objects-is-theirs-to-say",
        tried(_YES, "assert Yes() == Yes() and Yes() != Yes()", "assert not Yes() == 3 and not 3 == Yes()"),
    ),
    Case(
        "large-values",
        tried(
            _LARGE,
            equal("g()", "1"),
            "assert MID[7] == 7 and len(MID) == 50_000",
            "import solution\nassert solution.MID == list(range(50_000))",
            "f()",
        ),
        Answer(observed=("1", None, None, "<builtins.list: not plain data>")),
    ),
    Case(
        "constants",
        tried(
            "LIMIT = 5\nNAMES = ['a']\ndef grow():\n    NAMES.append('b')\n",
            equal("(LIMIT, NAMES)", "(5, ['a'])"),
            "import solution\ngrow()\nassert solution.NAMES == ['a', 'b'] and solution.LIMIT == 5",
        ),
    ),
    Case(
        "the-candidates-names-replace-no-others",
        tried(
            _TAKES_NAMES,
            "assert abs(-5) == 0",
            "assert math.isclose(1, 2)",
            "check(1)",
            equal("copy(1)", "7"),
            setup="def check(f):\n    assert f == 2",
        ),
        Answer(status=Status.FAILED, passed=(False, False, False, True)),
    ),
    Case(
        "the-function-asked-for-may-have-a-builtins-name",
        tried(_SUM, equal("sum(2, 3)", "6"), equal("sum(2, 3)", "sum([2, 4])")).model_copy(
            update={"entry_point": "sum"}
        ),
    ),
    Case(
        "stop-iteration-ends-no-loop-of-the-checks",
        tried("def f(x):\n    raise StopIteration\n", "assert all(a == b for a, b in zip(map(f, [1, 2]), [1, 2]))"),
        Answer(status=Status.FAILED, passed=(False,), errors=("RuntimeError: the program raised StopIteration",)),
    ),
)

CASES = _JUDGING + _CROSSING
