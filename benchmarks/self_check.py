"""The judge is tried before it is believed: in this very environment references pass, and known-bad programs fail."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from leafwise.benchmarks.code_hash import code_identity
from leafwise.benchmarks.contracts import Judgement, Problem, ProblemSet, Suite
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.judge import Answer, judge_samples
from leafwise.benchmarks.self_check_programs import BODIES, SPECIAL, bad_module
from leafwise.runtime.errors import UsageError
from leafwise.runtime.paths import cache_dir, write_whole
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Status

_REFERENCE, _RAISES, _LOOP = "reference", "raises", "infinite loop"
_HURRIED = " (hurried)"
_NO_EFFECT = frozenset({"returns None", "pass"})
_SPECIAL_CPU_SECONDS = 0.1
_MOST_TOLD = 5
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def check_environment(problems: ProblemSet, sandbox: Sandbox) -> None:
    """Judge what the verdicts are known of, and refuse to score if one is wrong.

    Per problem its reference has to pass and one bad body has to fail (the kinds take turns); on the first problem
    programs that would like to be called right have to fail too: they exit, loop, print, patch builtins, and more. All
    go through the judge that judges answers, so the packages, the limits and the time-outs are tried with it. Only for
    tests that accept a function without effect (`return None` passes) an exception stands in as the bad body.

    HumanEval's own tests are done each time (about 2 s). The references on HumanEval+'s tests take far longer: once
    they passed, that is remembered until the next boot, for these problems, this code of leafwise, this Python and this
    sandbox level.

    Args:
        problems: what is going to be scored.
        sandbox: what is going to judge.

    Raises:
        BenchmarkError: a reference fails, or a bad program passes; says which.
        SandboxError: the sandbox failed.
    """
    mark = _mark(problems, sandbox) if _has_plus(problems) else None
    known = _remembered(mark)
    trial = [p if not known else _only(p, "base") for p in problems.problems]
    _judge(trial, [_answer(p, _REFERENCE, p.reference) for p in trial], sandbox)
    _try_bad(problems, sandbox)
    if mark is not None and not known:
        _remember(mark)


def _try_bad(problems: ProblemSet, sandbox: Sandbox) -> None:
    base = [_only(problem, "base") for problem in problems.problems]
    answers = [_bad(problem, list(BODIES)[i % len(BODIES)]) for i, problem in enumerate(base)]
    first = _hurried(base[0])
    answers += [_answer(first, name, bad_module(name, first.entry_point)) for name in SPECIAL]
    passed = _judge([*base, first], answers, sandbox, accept=_NO_EFFECT)
    if again := [_bad(problem, _RAISES) for problem in base if problem.id in passed]:
        _judge(base, again, sandbox)


def _judge(
    problems: Sequence[Problem], answers: Sequence[Answer], sandbox: Sandbox, accept: frozenset[str] = frozenset()
) -> set[str]:
    """Judge, and complain of what came out wrong.

    Args:
        problems: the problems.
        answers: named by what they are.
        sandbox: runs them.
        accept: kinds of bad bodies that may pass.

    Returns:
        Ids of the problems for which one of these passed.
    """
    judgements = list(judge_samples(problems, answers, sandbox))
    failed = [j for j in judgements if j.arm == _REFERENCE and not _right(j)]
    if failed:
        raise _broken(failed)
    passed = [j for j in judgements if j.arm != _REFERENCE and _right(j)]
    if forged := [j for j in passed if j.arm not in accept]:
        told = "; ".join(f"{j.task_id.removesuffix(_HURRIED)} ({j.arm})" for j in forged[:_MOST_TOLD])
        raise BenchmarkError(
            f"nothing is scored: {len(forged)} known-bad programs passed: {told}",
            "the tests of these tasks accept anything, or the judge is broken: `leafwise doctor` tries the sandbox",
        )
    for j in judgements:
        if j.arm == _LOOP and j.base.status is not Status.TIMEOUT:
            raise BenchmarkError(
                f"nothing is scored: an infinite loop is no time-out but {j.base.status.value}: {j.base.detail}",
                "`leafwise doctor` tries the sandbox",
            )
    return {j.task_id for j in passed}


def _broken(failed: Sequence[Judgement]) -> BenchmarkError:
    told = []
    for judgement in failed[:_MOST_TOLD]:
        where, result = ("HumanEval+, ", judgement.plus) if judgement.plus else ("", judgement.base)
        told.append(f"{judgement.task_id} ({where}{result.status.value}: {result.detail})")
    more = [f"and {len(failed) - len(told)} more"] if len(failed) > len(told) else []
    return BenchmarkError(
        f"nothing is scored: {len(failed)} reference solutions fail here: {'; '.join(told + more)}",
        "mend these tasks in the data set's file, or leave them out; if all fail: `leafwise doctor` tries the sandbox",
    )


def _right(judgement: Judgement) -> bool:
    results = [judgement.base] if judgement.plus is None else [judgement.base, judgement.plus]
    return all(result.status is Status.PASSED for result in results)


def _answer(problem: Problem, kind: str, module: str) -> Answer:
    return Answer(task_id=problem.id, arm=kind, module=module)


def _bad(problem: Problem, kind: str) -> Answer:
    return _answer(problem, kind, bad_module(kind, problem.entry_point))


def _hurried(problem: Problem) -> Problem:
    """The same problem with little time, so that an infinite loop costs little."""
    suites = tuple(s.model_copy(update={"cpu_seconds": _SPECIAL_CPU_SECONDS}) for s in problem.suites)
    return problem.model_copy(update={"id": problem.id + _HURRIED, "suites": suites})


def _has_plus(problems: ProblemSet) -> bool:
    return any(suite.name == "plus" for problem in problems.problems for suite in problem.suites)


def _only(problem: Problem, name: str) -> Problem:
    suites: Iterator[Suite] = (suite for suite in problem.suites if suite.name == name)
    return problem.model_copy(update={"suites": tuple(suites)})


# --- what passed since the machine was started ------------------------------------------------------------------------


def _mark(problems: ProblemSet, sandbox: Sandbox) -> Path | None:
    """The file with the id of the boot in which the references passed; None without a cache directory."""
    facts = f"{problems.sha256} {sandbox.level.value} {sys.executable} {sys.version} {code_identity()}"
    digest = hashlib.sha256(facts.encode())
    try:
        return cache_dir() / f"references-passed-{digest.hexdigest()[:32]}"
    except UsageError:
        return None


def _remembered(mark: Path | None) -> bool:
    try:
        return mark is not None and mark.read_bytes() == _BOOT.read_bytes()
    except OSError:
        return False


def _remember(mark: Path) -> None:
    with contextlib.suppress(OSError):  # without a cache the next run just checks again
        write_whole(mark, _BOOT.read_bytes(), private=True)
