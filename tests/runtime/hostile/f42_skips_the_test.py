# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: exceptions by which test frameworks skip a test, end quietly or expect a failure
"""

import unittest


class Quiet(unittest.SkipTest):
    pass


for module, name in (("_pytest.outcomes", "Skipped"), ("unittest.case", "_ShouldStop"), ("bdb", "BdbQuit")):
    globals()[name] = type(name, (Exception,), {"__module__": module})
KINDS = (unittest.SkipTest, Quiet, Skipped, _ShouldStop, BdbQuit)
calls = [0]


def mix(xs, k):
    calls[0] += 1
    raise KINDS[calls[0] % len(KINDS)]("skipped")
