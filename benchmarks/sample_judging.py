"""Judging the answers of a file, with the verdicts that are there already kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leafwise.benchmarks.contracts import Judgement, ProblemSet
from leafwise.benchmarks.journal import Journal
from leafwise.benchmarks.judge import Answer, judge_samples, key_of
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import SandboxLevel


def valid_verdicts(
    problems: ProblemSet, answers: Sequence[Answer], found: Sequence[Judgement], level: SandboxLevel | None
) -> dict[int, Judgement]:
    """Which of the verdicts that were found still hold: for the same module, tests, limits and sandbox level.

    Args:
        problems: the data set.
        answers: what has to be judged.
        found: verdicts of before; where a sample has several the last counts.
        level: would judge the others; None where it is not known before, and any will do.

    Returns:
        Verdicts by the answer's place in `answers`.
    """
    known = {problem.id: problem for problem in problems.problems}
    last = {(v.arm, v.task_id, v.sample): v for v in found if level in (None, v.level)}
    valid: dict[int, Judgement] = {}
    for place, answer in enumerate(answers):
        verdict = last.get(_name(answer))
        if verdict is not None and verdict.key == key_of(known[answer.task_id], answer.module):
            valid[place] = verdict
    return valid


def judge_answers(
    problems: ProblemSet,
    answers: Sequence[Answer],
    sandbox: Sandbox,
    *,
    valid: dict[int, Judgement],
    journal: Journal[Judgement] | None,
    advance: Callable[[], None],
) -> list[Judgement]:
    """Judge what has no valid verdict.

    Args:
        problems: the data set.
        answers: what has to be judged.
        sandbox: runs them.
        valid: see `valid_verdicts`.
        journal: gets each new verdict as it comes.
        advance: is called after each.

    Returns:
        All verdicts, in the answers' order.

    Raises:
        BenchmarkError: a verdict can't be kept; those before are.
        SandboxError: the sandbox failed.
    """
    new: dict[tuple[str, str, int], Judgement] = {}
    todo = [answer for place, answer in enumerate(answers) if place not in valid]
    for verdict in judge_samples(problems.problems, todo, sandbox):
        if journal is not None:
            journal.append(verdict)
        new[verdict.arm, verdict.task_id, verdict.sample] = verdict
        advance()
    return [valid[place] if place in valid else new[_name(answer)] for place, answer in enumerate(answers)]


def _name(answer: Answer) -> tuple[str, str, int]:
    return answer.arm, answer.task_id, answer.sample
