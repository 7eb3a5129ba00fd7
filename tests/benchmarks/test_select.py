"""Selection on recorded samples: replaying them, drawing from them, and the rules' numbers."""

from __future__ import annotations

from typing import Any

import pytest

from leafwise.agents.contracts import Evidence
from leafwise.benchmarks.problems_humaneval import humaneval_problem
from leafwise.benchmarks.recorded import Recorded, replayed, replaying_engine
from leafwise.benchmarks.select_outcomes import Tried
from leafwise.benchmarks.select_pools import Pool, read_pool, whole_trial
from leafwise.benchmarks.select_scores import rows_of_curve, rows_of_first
from leafwise.runtime.errors import ScriptExhaustedError
from leafwise.runtime.sandbox_contracts import SandboxLevel

PROBLEM = humaneval_problem(
    {
        "task_id": "Tiny/2",
        "prompt": 'def double(n):\n    """Twice.\n\n    >>> double(2)\n    4\n    """\n',
        "entry_point": "double",
        "canonical_solution": "    return 2 * n\n",
        "test": "def check(candidate):\n    assert candidate(3) == 6\n",
    }
)
PROMPT = 'def double(n):\n    """Twice."""\n'
SOLUTIONS = ("    return 2 * n\n\nprint(1)", "    return n + n\n", "    return n * n\n", "    pass\n")
RECORDED = Recorded(
    task_id="Tiny/2",
    prompt=PROMPT,
    solutions=SOLUTIONS,
    check_prompt=f"{PROMPT}    pass\n\nassert ",
    checks=("double(1) == 2\nassert double(5) ==", "double(0) == 0, 'zero'\nassert double(1) == 2", "\n"),
)


def test_the_engine_gives_again_what_was_recorded() -> None:
    with replaying_engine("p", SOLUTIONS) as engine:
        assert replayed(engine, "p", 3) == [*SOLUTIONS[:3]]
        assert replayed(engine, "p", 1) == [*SOLUTIONS[3:]]
        with pytest.raises(ScriptExhaustedError):
            replayed(engine, "p", 1)
    with replaying_engine("p", SOLUTIONS) as engine, pytest.raises(ScriptExhaustedError):
        replayed(engine, "another", 1)


def pool() -> Pool:
    return read_pool(PROBLEM, RECORDED, 100, 100)


def test_a_pool_is_read_as_the_team_reads() -> None:
    found = pool()
    assert [module.count("print") for module in found.modules] == [0, 0, 0, 0]
    assert found.modules[3] == ""
    assert [len(checks) for checks in found.checks] == [1, 2, 0]
    assert found.calls[0] == ("double(1)", "double(5)")
    assert [example.code for example in found.spec.examples] == ["double(2)"]


def test_checks_about_a_candidate_are_about_the_function() -> None:
    text = "def check(candidate):\n    assert candidate(1) == 2\n    assert other.candidate(3) == 2\n"
    for prompt in ("", "# write tests"):
        asked = RECORDED.model_copy(update={"check_prompt": prompt, "checks": (text,)})
        found = read_pool(PROBLEM, asked, 9, 9)
        assert [(check.code, check.expected) for check in found.checks[0]] == [("double(1)", "2")]
        assert found.calls == (("double(1)",),)


def test_draws_are_the_same_for_the_same_seed_and_differ_otherwise() -> None:
    draws = pool().draws(2, 10, seed=1)
    assert draws == pool().draws(2, 10, seed=1) != pool().draws(2, 10, seed=2)
    assert {len(draw.solutions) for draw in draws} == {len(draw.checks) for draw in draws} == {2}
    assert all([*draw.solutions] == sorted(set(draw.solutions)) for draw in draws)
    assert pool().draws(100, 10, seed=1) == [pool().first(100, 100)]


def test_what_is_shown_is_not_asked_again() -> None:
    asked = read_pool(PROBLEM, RECORDED.model_copy(update={"checks": ("double(2) == 5",)}), 9, 9)
    draw = asked.first(9, 9)
    assert [c.code for c in asked.trial(draw, 0, examples=False).checks] == ["double(2)"]
    assert asked.trial(draw, 0, examples=True).checks == ()


def tried() -> Tried:
    """The pool after it was run, as far as the rules need it: by what the three functions really give."""
    found = pool()
    draws = [found.first(9, 9), *(d for size in (1, 2) for d in found.draws(size, 10, 0))]
    whole = whole_trial([found.trial(draw, 0, examples=shown) for draw in draws for shown in (True, False)])
    evidence, passed = {}, {}
    for module in filter(None, found.modules):
        names: dict[str, Any] = {}
        exec(module, names)
        evidence[module] = Evidence(
            loads=True,
            examples_passed=1,
            examples_total=1,
            check_results=tuple(eval(f"{check.code} == {check.expected}", names) for check in whole.checks),
            behaviour=tuple(f"returns {eval(call, names)!r}" for call in whole.inputs),
            level=SandboxLevel.SCRIPTED,
        )
        passed[module] = names["double"](3) == 6
    return Tried(found, whole, evidence, passed)


def test_the_rules_on_the_first_samples() -> None:
    rows = {(row.rule, row.part): row for row in rows_of_first([tried()], 9, 9, 0, lambda: None, examples=True)}
    assert {rule: rows[rule, "all"].right for rule, _ in rows} == {
        "single": 0.5,
        "first": 1,
        "selected": 1,
        "oracle": 1,
    }
    assert rows["selected", "even"].tasks == 1
    assert ("selected", "odd") not in rows


def test_fewer_samples_find_less() -> None:
    one, two = (
        {row.rule: row for row in rows_of_curve([tried()], size, 0, lambda: None, examples=False)} for size in (1, 2)
    )
    assert one["selected"].draws == 5
    assert one["oracle"].right == one["selected"].right == one["single"].right < two["oracle"].right


def test_without_examples_selection_sees_none_of_their_results() -> None:
    one = tried()
    draw = one.pool.first(9, 9)
    seen = one.candidates(draw, one.pool.trial(draw, 0, examples=False), examples=False)
    assert {candidate.evidence.examples_total for candidate in seen.values()} == {0}
    assert set(seen) == {0, 1, 2}
