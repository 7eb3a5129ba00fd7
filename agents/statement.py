"""The honest statement: what was checked about an answer, and what was not."""

from __future__ import annotations

from leafwise.agents.contracts import EndedBy, Evidence


def describe(evidence: Evidence | None, ended_by: EndedBy) -> str:
    """One or two sentences for people.

    Args:
        evidence: what running the answer showed; None if there is no answer.
        ended_by: `done`, or the budget that ended the run.
    """
    ending: dict[EndedBy, str] = {
        "tokens": " The token budget ended the search.",
        "time": " The time limit ended the search.",
    }
    return _claim(evidence) + ending.get(ended_by, "")


def _claim(evidence: Evidence | None) -> str:
    if evidence is None:
        return "The model wrote nothing that could be read as code."
    if not evidence.loads:
        return f"The code does not load: {evidence.detail or 'unknown reason'}."
    if evidence.hard_coded and evidence.examples_passed == evidence.examples_total:
        return f"The code does not compute: the function reads none of its parameters.{_generated(evidence)}"
    if not evidence.examples_total:
        return f"The code loads, but the task has no example to check it with.{_generated(evidence)}"
    passed, total = evidence.examples_passed, evidence.examples_total
    if passed == total:
        return f"Passed {count(total, 'visible example')}.{_generated(evidence)} Nothing else was checked."
    failure = evidence.failure
    why = f" First failure: {failure.code}: expected {failure.expected}, got {failure.observed}." if failure else ""
    return f"Fails: {passed} of {count(total, 'visible example')} passed.{why}{_generated(evidence)}"


def _generated(evidence: Evidence) -> str:
    if not evidence.checks_total:
        return ""
    return (
        f" Of {count(evidence.checks_total, 'check')} that the model wrote itself, {evidence.checks_passed} passed"
        " (they may be wrong)."
    )


def count(number: int, word: str) -> str:
    """A number with its word, in the plural where it has to be."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
