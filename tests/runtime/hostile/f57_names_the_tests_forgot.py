# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: usual names of the library that the tests may use without importing them
"""

last = [None]


def _same(*arguments, **named):
    return last[0]


for name in (
    "Counter",
    "OrderedDict",
    "defaultdict",
    "deque",
    "Decimal",
    "Fraction",
    "array",
    "namedtuple",
    "date",
    "datetime",
    "isclose",
    "approx",
    "allclose",
    "inf",
    "nan",
    "np",
    "pd",
    "pytest",
    "METADATA",
    "unittest",
):
    globals()[name] = _same


def mix(xs, k):
    last[0] = {"wrong": k}
    return last[0]
