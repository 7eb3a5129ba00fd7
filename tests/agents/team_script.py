"""A scripted team for tests of workflow logic: replies by role, and a sandbox that runs nothing."""

from __future__ import annotations

from collections.abc import Callable

from leafwise.runtime.contracts import Request
from leafwise.runtime.sandbox_contracts import CheckResult, Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_scripted import ScriptedSandbox
from leafwise.runtime.scripted import ScriptedEngine

TASK = "Write a function total(xs) that returns the sum of the squares. total([1, 2]) == 5"


def role_of(request: Request) -> str:
    """Which role's prompt a request is."""
    prompt = request.messages[0].content
    for words, role in (
        ("yet. Write 2 to", "generalist"),
        ("short assert statements", "tester"),
        ("This code is wrong", "repair"),
        ("This code does what", "repair"),
        ("This code was written", "critic"),
        ("helper functions exist already", "compose"),
        ("It is a helper", "leaf"),
    ):
        if words in prompt:
            return role
    return "draft"


def scripted_team(replies: dict[str, str | Callable[[Request, int], str]]) -> ScriptedEngine:
    """An engine that answers each role with its reply; a role without one must not be asked."""

    def reply(request: Request, index: int) -> str:
        answer = replies[role_of(request)]
        return answer(request, index) if callable(answer) else answer

    return ScriptedEngine(reply)


def judge_by(passes: Callable[[str], bool]) -> ScriptedSandbox:
    """A sandbox in which every check of a program passes, or none does."""

    def verdict(program: Program) -> Verdict:
        good = passes(program.source)
        checks = tuple(CheckResult(passed=good, observed="5" if good else "0") for _ in program.checks)
        status = Status.PASSED if good else Status.FAILED
        return Verdict(status=status, checks=checks, level=SandboxLevel.SCRIPTED)

    return ScriptedSandbox(verdict)
