"""Judging answers: every answer in the sandbox, by the data set's own tests and then by HumanEval+'s."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from leafwise.benchmarks.contracts import Judgement, Problem, Result, Suite
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problems_plus import with_expected
from leafwise.runtime.contracts import Contract
from leafwise.runtime.handle import Handle
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import CheckResult, Limits, Program, Status, Verdict

WINDOW = 64
"""Programs that are in the sandbox's queue at once."""
_WALL_FACTOR = 4.0
NO_CODE = "no code"


class Answer(Contract):
    """What is judged."""

    task_id: str
    """The problem's id."""
    arm: str = ""
    """Who gave it; empty for files of other tools."""
    sample: int = 0
    """Which of the arm's samples for this task."""
    module: str
    """A module that stands alone; empty if there was no code."""


@dataclass
class _Case:
    answer: Answer
    problem: Problem
    results: list[Result] = field(default_factory=list)

    @property
    def suite(self) -> Suite:
        return self.problem.suites[len(self.results)]


def judge_samples(problems: Iterable[Problem], answers: Iterable[Answer], sandbox: Sandbox) -> Iterator[Judgement]:
    """Judge answers, several at once. Judgements come as they are ready; time-outs last, each after a quiet re-run.

    Args:
        problems: the problems that answers may be for.
        answers: taken as they are needed.
        sandbox: runs them; nothing else should use it meanwhile, so that re-runs are alone in it.

    Raises:
        BenchmarkError: an answer is for none of the problems.
        SandboxError: the sandbox failed; never given as a verdict.
    """
    yield from _Judge({problem.id: problem for problem in problems}, sandbox).judge(answers)


def limits_of(suite: Suite) -> Limits:
    """What an answer may use. CPU time decides; the clock is there for programs that sleep."""
    return Limits(cpu_seconds=suite.cpu_seconds, wall_seconds=_WALL_FACTOR * suite.cpu_seconds)


def key_of(problem: Problem, module: str) -> str:
    """What a verdict on a module holds for: a hash of it, of the tests, and of the limits."""
    parts = [part.model_dump_json() for suite in problem.suites for part in (suite, limits_of(suite))]
    return hashlib.sha256("\n".join([*parts, module]).encode("utf-8", "surrogatepass")).hexdigest()


class _Judge:
    def __init__(self, problems: dict[str, Problem], sandbox: Sandbox) -> None:
        self._problems = problems
        self._ready: dict[str, Problem] = {}
        self._sandbox = sandbox
        self._running: deque[tuple[_Case, Handle[CheckResult, Verdict]]] = deque()
        self._late: list[_Case] = []

    def judge(self, answers: Iterable[Answer]) -> Iterator[Judgement]:
        try:
            for answer in answers:
                case = _Case(answer, self._problem(answer.task_id))
                if not answer.module.strip():
                    case.results.append(Result(status=Status.LOAD_ERROR, detail=NO_CODE))
                    yield self._judgement(case)
                    continue
                self._submit(case)
                while len(self._running) >= WINDOW:
                    yield from self._take()
            while self._running:
                yield from self._take()
            for case in self._late:
                yield self._alone(case)
        finally:
            for _, handle in self._running:
                handle.cancel()

    def _problem(self, task_id: str) -> Problem:
        if task_id not in self._problems:
            raise BenchmarkError(f"there is no task {task_id}", "judge with the data set that the answers are for")
        return self._ready.get(task_id, self._problems[task_id])

    def _program(self, case: _Case) -> Program:
        if case.suite.recorder:
            case.problem = with_expected(case.problem, self._sandbox)
            self._ready[case.problem.id] = case.problem
        suite = case.suite
        return Program(
            source=case.answer.module,
            setup=suite.setup,
            checks=suite.checks,
            entry_point=case.problem.entry_point,
            trusted_checks=True,
            stop_at_first_failure=True,
        )

    def _submit(self, case: _Case) -> None:
        self._running.append((case, self._sandbox.submit(self._program(case), limits_of(case.suite))))

    def _take(self) -> Iterator[Judgement]:
        """Wait for the program that is there longest."""
        case, handle = self._running[0]
        result = result_of(handle.result())
        self._running.popleft()
        if result.status is Status.TIMEOUT:
            self._late.append(case)
            return
        case.results.append(result)
        if _goes_on(case):
            self._submit(case)
        else:
            yield self._judgement(case)

    def _alone(self, case: _Case) -> Judgement:
        """Run what timed out once more, with nothing beside it; what comes out now counts."""
        while not case.results or _goes_on(case):
            result = result_of(self._sandbox.run(self._program(case), limits_of(case.suite)))
            case.results.append(result.model_copy(update={"confirmed": result.status is Status.TIMEOUT}))
        return self._judgement(case)

    def _judgement(self, case: _Case) -> Judgement:
        answer = case.answer
        return Judgement(
            task_id=answer.task_id,
            arm=answer.arm,
            sample=answer.sample,
            key=key_of(self._problems[answer.task_id], answer.module),
            base=case.results[0],
            plus=case.results[1] if len(case.results) > 1 else None,
            level=self._sandbox.level,
        )


def _goes_on(case: _Case) -> bool:
    return case.results[-1].status is Status.PASSED and len(case.results) < len(case.problem.suites)


def result_of(verdict: Verdict) -> Result:
    """A verdict of the sandbox as a result: the first error or the limit, on one line."""
    error = next((check.error for check in verdict.checks if check.error), "") or verdict.detail
    return Result(
        status=verdict.status,
        detail=" ".join(error.split()),
        cpu_seconds=verdict.cpu_seconds,
        seconds=verdict.seconds,
    )
