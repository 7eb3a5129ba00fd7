"""The judge is tried before it is believed: in this very environment references pass, and known-bad programs fail."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leafwise.benchmarks.code_hash import code_identity
from leafwise.benchmarks.contracts import Judgement, Problem, ProblemSet, Suite
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.judge import Answer, judge_samples
from leafwise.benchmarks.self_check_programs import BODIES, SPECIAL, bad_module
from leafwise.benchmarks.self_check_trials import trial_problems
from leafwise.runtime.errors import UsageError
from leafwise.runtime.paths import cache_dir, write_whole
from leafwise.runtime.progress_cli import Advance
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Status

_log = logging.getLogger(__name__)
_REFERENCE, _RAISES, _LOOP = "reference", "raises", "infinite loop"
_QUIET = tuple(kind for kind in BODIES if kind != _RAISES)
_QUICK = tuple(kind for kind in (*BODIES, *SPECIAL) if kind != _LOOP)
_LOOP_CPU_SECONDS = 0.1
_PATIENCE = 10
"""How many times the limit a reference gets that was stopped: it may be right and slow."""
_TIMES_REFERENCE = 4
"""Where a reference needs more than half of the limit, answers get so many times what it needs, in doubled limits."""
_MOST_TOLD = 5
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_DOCTOR = "`leafwise doctor` tries the sandbox"
_MEND = "mend these tasks in the data set's file"
_LEAVE_OUT = f"{_MEND}, or leave them out: --leave-out-broken"
_NOTHING_LEFT = f"{_MEND}: without them no task is left"


@dataclass(frozen=True)
class Checked:
    """What the self-check found."""

    problems: ProblemSet
    """The data set to judge with: where a reference is slow, its problem has more CPU time."""
    left_out: dict[str, str]
    """Problems that cannot be scored here, and why; empty where leaving out was not asked for."""


def check_environment(
    problems: ProblemSet,
    sandbox: Sandbox,
    tasks: Collection[str] | None = None,
    advance: Advance | None = None,
    *,
    leave_out: bool = False,
) -> Checked:
    """Judge what the verdicts are known of, and refuse to score if one is wrong.

    The judge is tried on tasks of ours: programs that would like to be called right have to fail; they exit, loop,
    print, patch builtins, and more. Then, per problem, its reference has to pass and a bad body in the place of its
    function has to fail. Which one differs from problem to problem, and where tests accept one (`return None` is right
    for a function without effect, any constant for `assert f(3)`) the others are tried. Tests that accept all that does
    not raise are a property of the data set: a warning names them. All go through the judge that judges answers, so the
    packages, the limits and the time-outs are tried with it. A reference may be slow: then the limit is no measure of
    an answer that does the same, and is raised for this problem.

    HumanEval's own tests are done each time (about 2 s). The references on HumanEval+'s tests take far longer: once
    they passed, that is remembered until the next boot, for these problems, this code of leafwise, this Python and this
    sandbox level.

    Args:
        problems: the data set.
        sandbox: what is going to judge.
        tasks: ids of the problems that are going to be scored; all by default.
        advance: is told how many programs are judged, and of how many.
        leave_out: go on without the problems whose reference fails or whose tests accept anything.

    Raises:
        BenchmarkError: a reference fails, or a bad program passes; says which. With `leave_out` only if the judge
            itself is broken, or no problem is left.
        SandboxError: the sandbox failed.
    """
    chosen = [problem for problem in problems.problems if tasks is None or problem.id in tasks]
    mark = _mark(problems, chosen, sandbox) if _has_plus(chosen) else None
    known = _remembered(mark)
    base = [_only(problem, "base") for problem in chosen]
    trials = trial_problems()
    step = _Steps(1 + len(trials) * (1 + len(_QUICK)) + 2 * len(chosen), advance)
    _try_judge(trials, sandbox, step)
    seconds, failed = _try_references(base if known else chosen, sandbox, step)
    hint = _NOTHING_LEFT if leave_out else _LEAVE_OUT
    if failed and (not leave_out or len(failed) == len(chosen)):
        raise _broken(failed, hint)
    broken = {judgement.task_id: _reason(judgement) for judgement in failed}
    forged = _try_tests([problem for problem in base if problem.id not in broken], sandbox, step)
    if forged and (not leave_out or len(forged) + len(broken) == len(chosen)):
        raise _forged(forged, f"the tests of these tasks accept anything: {hint}")
    broken |= {judgement.task_id: "its tests accept anything" for judgement in forged}
    if mark is not None and not known and not broken:
        _remember(mark)
    return Checked(_with_time(problems, seconds), broken)


@dataclass
class _Steps:
    """Counts programs that were judged."""

    total: int
    advance: Advance | None
    done: int = 0

    def __call__(self) -> None:
        self.done += 1
        if self.advance is not None:
            self.advance(self.done, self.total)


def _try_judge(trials: Sequence[Problem], sandbox: Sandbox, step: _Steps) -> None:
    """On tasks of ours a right answer passes, bad ones fail, and an infinite loop is a time-out."""
    answers = _references(trials) + [_bad(trial, kind) for trial in trials for kind in _QUICK]
    judged = _judge(trials, answers, sandbox, step)
    (loop,) = _judge([_hurried(trials[0])], [_bad(trials[0], _LOOP)], sandbox, step)
    if failed := [j for j in judged if j.arm == _REFERENCE and not _right(j)]:
        told = f"{failed[0].base.status.value}: {failed[0].base.detail}"
        raise BenchmarkError(f"nothing is scored: a right answer to a task of ours fails here: {told}", _DOCTOR)
    if forged := [j for j in (*judged, loop) if j.arm != _REFERENCE and _right(j)]:
        raise _forged(forged, f"the judge is broken: {_DOCTOR}")
    if loop.base.status is not Status.TIMEOUT:
        told = f"{loop.base.status.value}: {loop.base.detail}"
        raise BenchmarkError(f"nothing is scored: an infinite loop is no time-out but {told}", _DOCTOR)


def _try_references(
    problems: Sequence[Problem], sandbox: Sandbox, step: _Steps
) -> tuple[dict[str, float], list[Judgement]]:
    """CPU seconds for answers to problems whose reference is slow, by problem; and the references that fail."""
    judged = {j.task_id: j for j in _judge(problems, _references(problems), sandbox, step)}
    late = [problem for problem in problems if judged[problem.id].base.status is Status.TIMEOUT]
    patient = [_with_seconds(problem, _PATIENCE * problem.suites[0].cpu_seconds) for problem in late]
    judged |= {j.task_id: j for j in _judge(patient, _references(patient), sandbox)}
    seconds = {}
    for problem in problems:
        limit, needed = problem.suites[0].cpu_seconds, judged[problem.id].base.cpu_seconds
        if _right(judged[problem.id]) and needed > limit / 2:
            seconds[problem.id] = limit * 2 ** math.ceil(math.log2(_TIMES_REFERENCE * needed / limit))
    return seconds, [j for j in judged.values() if not _right(j)]


def _with_time(problems: ProblemSet, seconds: Mapping[str, float]) -> ProblemSet:
    if not seconds:
        return problems
    told = _first(f"{task} {limit:g} s" for task, limit in seconds.items())
    _log.warning("references are slow, so answers get more CPU time: %s", told)
    changed = tuple(_with_seconds(p, seconds[p.id]) if p.id in seconds else p for p in problems.problems)
    return problems.model_copy(update={"problems": changed})


def _with_seconds(problem: Problem, seconds: float) -> Problem:
    """The problem with another limit for the data set's own tests."""
    first, *others = problem.suites
    return problem.model_copy(update={"suites": (first.model_copy(update={"cpu_seconds": seconds}), *others)})


def _try_tests(problems: Sequence[Problem], sandbox: Sandbox, step: _Steps) -> list[Judgement]:
    """Each problem's tests refuse something; bodies are tried until one fails, and the one that raises comes last.

    Returns:
        Bad programs that passed where nothing was refused.
    """
    left = list(enumerate(problems))
    for turn in range(len(_QUIET)):
        answers = [_bad(problem, _QUIET[(place + turn) % len(_QUIET)]) for place, problem in left]
        judged = _judge(problems, answers, sandbox, None if turn else step)
        passed = {j.task_id for j in judged if _right(j)}
        left = [(place, problem) for place, problem in left if problem.id in passed]
        if not left:
            return []
    judged = _judge(problems, [_bad(problem, _RAISES) for _, problem in left], sandbox)
    forged = [j for j in judged if _right(j)]
    passed = {j.task_id for j in forged}
    if weak := [problem.id for _, problem in left if problem.id not in passed]:
        _log.warning("the tests of %d tasks accept whatever does not raise: %s", len(weak), _first(weak))
    return forged


def _judge(
    problems: Sequence[Problem], answers: Sequence[Answer], sandbox: Sandbox, step: _Steps | None = None
) -> list[Judgement]:
    found = []
    for judgement in judge_samples(problems, answers, sandbox):
        found.append(judgement)
        if step is not None:
            step()
    return found


def _forged(passed: Sequence[Judgement], hint: str) -> BenchmarkError:
    told = _first(f"{j.task_id} ({j.arm})" for j in passed)
    return BenchmarkError(f"nothing is scored: {len(passed)} known-bad programs passed: {told}", hint)


def _broken(failed: Sequence[Judgement], hint: str) -> BenchmarkError:
    told = _first(f"{judgement.task_id} ({_reason(judgement)})" for judgement in failed)
    return BenchmarkError(
        f"nothing is scored: {len(failed)} reference solutions fail here: {told}",
        f"{hint}; if all fail: {_DOCTOR}",
    )


def _reason(judgement: Judgement) -> str:
    where, result = ("HumanEval+, ", judgement.plus) if judgement.plus else ("", judgement.base)
    return f"{where}{result.status.value}: {result.detail}"


def _first(names: Iterable[str]) -> str:
    found = list(names)
    more = [f"and {len(found) - _MOST_TOLD} more"] if len(found) > _MOST_TOLD else []
    return "; ".join(found[:_MOST_TOLD] + more)


def _right(judgement: Judgement) -> bool:
    results = [judgement.base] if judgement.plus is None else [judgement.base, judgement.plus]
    return all(result.status is Status.PASSED for result in results)


def _references(problems: Sequence[Problem]) -> list[Answer]:
    return [_answer(problem, _REFERENCE, problem.reference) for problem in problems]


def _answer(problem: Problem, kind: str, module: str) -> Answer:
    return Answer(task_id=problem.id, arm=kind, module=module)


def _bad(problem: Problem, kind: str) -> Answer:
    return _answer(problem, kind, bad_module(kind, problem.entry_point, problem.reference))


def _hurried(problem: Problem) -> Problem:
    """The same problem with little time, so that an infinite loop costs little."""
    suites = tuple(suite.model_copy(update={"cpu_seconds": _LOOP_CPU_SECONDS}) for suite in problem.suites)
    return problem.model_copy(update={"suites": suites})


def _has_plus(problems: Iterable[Problem]) -> bool:
    return any(suite.name == "plus" for problem in problems for suite in problem.suites)


def _only(problem: Problem, name: str) -> Problem:
    suites: Iterator[Suite] = (suite for suite in problem.suites if suite.name == name)
    return problem.model_copy(update={"suites": tuple(suites)})


# --- what passed since the machine was started ------------------------------------------------------------------------


def _mark(problems: ProblemSet, chosen: Sequence[Problem], sandbox: Sandbox) -> Path | None:
    """The file with the id of the boot in which the references passed; None without a cache directory."""
    ids = "" if len(chosen) == len(problems.problems) else " ".join(problem.id for problem in chosen)
    facts = f"{problems.sha256} {ids} {sandbox.level.value} {sys.executable} {sys.version} {code_identity()}"
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
