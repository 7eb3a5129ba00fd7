"""Hostile programs of our own; the form is that of the shared corpus, so its runner can judge them too."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, SandboxLevel, Status, Verdict

pytestmark = pytest.mark.sandbox
FILES = sorted((Path(__file__).parent / "hostile").glob("[beflst][0-9][0-9]_*.py"))
LIMITS = Limits(cpu_seconds=1.5, wall_seconds=3)
TESTS = """
import math

def check(candidate):
    assert candidate([3, 1, 2, 3], 0) == [1, 2, 3]
    assert candidate([3, 1, 2], 1) == [2, 3, 1]
    assert all(a == b for a, b in zip(map(candidate, [[5, 4], [7]], [0, 2]), [[4, 5], [7]]))
    assert sorted(candidate([9, 8], 1)) == [8, 9] and 8 in candidate([9, 8], 1)
    assert math.isclose(abs(sum(candidate([1, 2], 0)) - 3), 0)
"""
HONEST = "def mix(xs, k):\n    u = sorted(set(xs))\n    k = k % len(u) if u else 0\n    return u[k:] + u[:k]\n"
NO_FILES = {"b31_closes_and_reopens"}
"""Benign programs that write files, which level landlock does not allow."""


@pytest.fixture(scope="module", params=[SandboxLevel.FULL, SandboxLevel.LANDLOCK])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    yield from open_or_skip(request.param)


def judge(sandbox: Sandbox, source: str) -> Verdict:
    return sandbox.run(Program(source=source, setup=TESTS, checks=(Check(code="check(mix)"),)), LIMITS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_program(sandbox: Sandbox, path: Path) -> None:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    verdict = judge(sandbox, path.read_text())
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown
    if path.stem.startswith("b"):
        assert verdict.passed or (path.stem in NO_FILES and sandbox.level is SandboxLevel.LANDLOCK), verdict
    else:
        assert not verdict.passed, verdict
        assert "ESCAPED" not in verdict.model_dump_json()
    assert grown < 150 << 10
    after = judge(sandbox, HONEST)
    assert after.status is Status.PASSED, after


def test_the_solver_holds_no_test_text(sandbox: Sandbox) -> None:
    """The candidate looks through its frames and objects for a word that only the setup has."""
    source = (
        "import gc, sys\n"
        "def scan():\n"
        "    word = ''.join(['MARK', 'ER-7f3'])\n"
        "    frame, held = sys._getframe(), list(gc.get_objects())\n"
        "    while frame := frame.f_back:\n"
        "        held += [frame.f_locals, frame.f_globals]\n"
        "    boxes = [o.values() if type(o) is dict else o for o in held if type(o) in (dict, list, tuple)]\n"
        "    values = [v for box in boxes for v in list(box)]\n"
        "    return sum(type(v) in (str, bytes) and v is not word and word in str(v) for v in values)\n"
    )
    program = Program(source=source, setup="# MARKER-7f3", checks=(Check(code="scan()", expected="0"),))
    verdict = sandbox.run(program)
    assert verdict.passed, verdict
