"""Problems in HumanEval's form as programs, and judges of them for runners of hostile corpora.

A judge is a callable (problem, completion, seconds) -> (word, detail); the problem has the keys `prompt`, `test` and
`entry_point`, the word is `pass`, `fail`, `crash` or `timeout`. The judges with a layer less show what it is worth.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import (
    Check,
    Limits,
    Program,
    SandboxLevel,
    SandboxOptions,
    Status,
)
from leafwise.runtime.sandbox_pool import ProcessSandbox
from leafwise.runtime.syntax import parse

_WORDS = {
    Status.PASSED: "pass",
    Status.FAILED: "fail",
    Status.LOAD_ERROR: "fail",
    Status.CRASHED: "crash",
    Status.TIMEOUT: "timeout",
}


def humaneval_program(problem: Mapping[str, str], completion: str, *, trusted_checks: bool = True) -> Program:
    """A completion of a problem, with the problem's tests.

    The tests get the helper functions of the prompt as the prompt has them, not as the completion may have changed
    them.

    Args:
        problem: `prompt`, `test` and `entry_point`.
        completion: what follows the prompt.
        trusted_checks: as in `Program`.
    """
    entry_point = problem["entry_point"]
    return Program(
        source=problem["prompt"] + completion,
        setup=f"{_helpers(problem['prompt'], entry_point)}\n{problem['test']}",
        checks=(Check(code=f"check({entry_point})"),),
        entry_point=entry_point,
        trusted_checks=trusted_checks,
    )


def _helpers(prompt: str, entry_point: str) -> str:
    """A prompt without the function that is to be completed."""
    try:
        module = parse(f"{prompt}\n    pass\n")
    except SyntaxError:  # not HumanEval's own form: the tests have to do without
        return ""
    kept = [node for node in module.body if not isinstance(node, ast.FunctionDef) or node.name != entry_point]
    return ast.unparse(ast.Module(body=kept, type_ignores=[]))


class CorpusJudge:
    """Judges one program after the other, with checks that are trusted, as a data set's are.

    Args:
        sandbox: where; closed with the judge.
    """

    def __init__(self, sandbox: ProcessSandbox) -> None:
        self._sandbox = sandbox

    def __call__(self, problem: Mapping[str, str], completion: str, wall_seconds: float) -> tuple[str, str]:
        """The word for a completion, and what else was seen."""
        limits = Limits(cpu_seconds=wall_seconds, wall_seconds=wall_seconds)
        verdict = self._sandbox.run(humaneval_program(problem, completion), limits)
        errors = [check.error for check in verdict.checks if check.error]
        return _WORDS[verdict.status], "; ".join([verdict.detail, *errors, verdict.output[:200]])

    def close(self) -> None:
        """Close the sandbox."""
        self._sandbox.close()


def judge() -> CorpusJudge:
    """The best level of this machine."""
    return CorpusJudge(open_sandbox(workers=1))


def judge_without_bubblewrap() -> CorpusJudge:
    """Level landlock, as where bubblewrap is not installed or may make no namespaces."""
    return CorpusJudge(open_sandbox(SandboxLevel.LANDLOCK, workers=1))


def judge_without_landlock() -> CorpusJudge:
    """Level full on a kernel that has no Landlock."""
    options = SandboxOptions(level=SandboxLevel.FULL, without=frozenset({"landlock"}))
    return CorpusJudge(ProcessSandbox(options, 1))


def judge_without_seccomp() -> CorpusJudge:
    """Bubblewrap and Landlock only. No level: a user never gets this."""
    options = SandboxOptions(level=SandboxLevel.FULL, without=frozenset({"seccomp"}))
    return CorpusJudge(ProcessSandbox(options, 1))
