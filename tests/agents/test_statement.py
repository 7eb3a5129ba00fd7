"""The honest statement: each wording, and that nothing more is claimed than was checked."""

from __future__ import annotations

from typing import Any

import pytest

from leafwise.agents.contracts import EndedBy, Evidence, Failure
from leafwise.agents.statement import describe
from leafwise.runtime.sandbox_contracts import SandboxLevel


def evidence(**fields: Any) -> Evidence:
    return Evidence(**{"loads": True, "level": SandboxLevel.FULL, **fields})


CASES = [
    (None, "The model wrote nothing that could be read as code."),
    (evidence(loads=False, detail="NameError: x"), "The code does not load: NameError: x."),
    (evidence(loads=False), "The code does not load: unknown reason."),
    (evidence(), "The code loads, but the task has no example to check it with."),
    (
        evidence(checks_total=2, checks_passed=1),
        "The code loads, but the task has no example to check it with. "
        "Of 2 checks that the model wrote itself, 1 passed (they may be wrong).",
    ),
    (evidence(examples_total=1, examples_passed=1), "Passed 1 visible example. Nothing else was checked."),
    (
        evidence(examples_total=3, examples_passed=3, checks_total=1, checks_passed=0),
        "Passed 3 visible examples. Of 1 check that the model wrote itself, 0 passed (they may be wrong). "
        "Nothing else was checked.",
    ),
    (evidence(examples_total=2, examples_passed=1), "Fails: 1 of 2 visible examples passed."),
    (
        evidence(examples_total=1, failure=Failure(code="f(1)", expected="2", observed="3")),
        "Fails: 0 of 1 visible example passed. First failure: f(1): expected 2, got 3.",
    ),
    (
        evidence(examples_total=1, failure=Failure(code="f(1)", expected="raises ValueError", observed="3")),
        "Fails: 0 of 1 visible example passed. First failure: f(1): expected raises ValueError, got 3.",
    ),
]


@pytest.mark.parametrize(("shown", "words"), CASES, ids=[words[:60] for _, words in CASES])
def test_wordings(shown: Evidence | None, words: str) -> None:
    assert describe(shown, "done") == words


@pytest.mark.parametrize(
    ("ended_by", "words"),
    [("done", ""), ("tokens", " The token budget ended the search."), ("time", " The time limit ended the search.")],
)
def test_a_budget_that_ended_the_run_is_told(ended_by: EndedBy, words: str) -> None:
    assert describe(None, ended_by) == f"The model wrote nothing that could be read as code.{words}"


@pytest.mark.parametrize(("shown", "_words"), CASES, ids=[words[:60] for _, words in CASES])
def test_passed_is_claimed_only_of_a_program_whose_examples_all_passed(shown: Evidence | None, _words: str) -> None:
    claimed = describe(shown, "done").startswith("Passed")
    assert claimed == (shown is not None and shown.passes and shown.examples_total > 0)
