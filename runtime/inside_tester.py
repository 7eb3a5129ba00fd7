"""The process that holds the checks and decides: it calls the candidate through stand-ins and judges plain data.

The verdict is appended to a memory file that the solver never had. Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sys
import time
from typing import Any

from leafwise.runtime.inside_child import content
from leafwise.runtime.inside_errors import LoadError, origin_of
from leafwise.runtime.inside_kinds import shown_plainly
from leafwise.runtime.inside_names import PRELOADED, CheckNames, Solution, let_classes_make
from leafwise.runtime.inside_remote import Solver, SolverLost
from leafwise.runtime.inside_standin import NotTriedError, Remote
from leafwise.runtime.inside_tester_state import TesterState, hide_modules_of
from leafwise.runtime.inside_trace import KEPT_LINES, MAX_SHOWN, MAX_VALUES
from leafwise.runtime.inside_values import same
from leafwise.runtime.inside_wire import Link, to_json

DONE, WORN = b"done", b"worn"
"""What the zygote hears when a program has been judged: go on, or the same and this process must judge no other."""
_MAX_TEXT = 1000
_MAX_LINE = 1_000_000


def keep_testing(control: socket.socket, scratch: str | None, kept: bool) -> None:
    """Judge the programs that the zygote hands over, one after the other, until it hangs up.

    Args:
        control: gives a message with two descriptors per program (its checks in a memory file, to which the verdict is
            appended, and the socket to the solver), and takes `DONE` after each, or `WORN` if tests left something
            behind that the next ones would find.
        scratch: the directory that candidates write to; no module is imported from it.
        kept: whether there will be more than one.
    """
    gc.enable()
    if scratch is not None:
        hide_modules_of(scratch)
    state = TesterState(PRELOADED) if kept else None
    while True:
        _, fds, _, _ = socket.recv_fds(control, 16, 2)
        if len(fds) != 2:
            return
        file, link = fds
        job = json.loads(content(file))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, link) as end:
            alive = judge(job, Link(end), file)
            os.close(file)
            # Before the socket closes: the solver is killed while it waits, and has no time to notice.
            control.send(DONE if state is not None and alive and state.is_clean_again() else WORN)


def judge(job: Any, link: Link, verdict: int) -> bool:
    """Wait for the candidate, try the checks, and write what came out, one JSON line per message, to `verdict`.

    Returns:
        Whether the candidate kept to the protocol to the end.
    """
    solver = Solver(link)
    tester = _Tester(job, solver, verdict)
    try:
        module, names = solver.load()
    except SolverLost as error:
        tester.write({"lost": str(error)})
    except LoadError as error:
        tester.write({"load_error": _described(error.args[0]), "line": _line(error.args[0])})
    else:
        tester.run(module, names)
    alive = not solver.lost
    solver.lost = solver.lost or "the program is over"  # its stand-ins may live on in what the tests keep
    return alive


class _Tester:
    def __init__(self, job: Any, solver: Solver, verdict: int) -> None:
        self._job = job
        self._solver = solver
        self._verdict = verdict
        self._limit: float | None = None

    def write(self, message: Any) -> None:
        data = memoryview(to_json(message) + b"\n")
        while data:
            data = data[os.write(self._verdict, data) :]

    def run(self, module: Remote, names: dict[str, Any]) -> None:
        self.write({"loaded": True})
        names = let_classes_make(names, self._job["entry_point"])
        self._names = CheckNames(self._job, names)
        sys.modules["solution"] = Solution(module, names, self._job["entry_point"])
        if "pytest" in self._job["setup"]:
            from leafwise.runtime.inside_pytest import offer_pytest  # few checks need it

            offer_pytest()
        failure = self._set_up()
        self._names.ask_for_entry_point()
        for number, check in enumerate(self._job["checks"]):
            start = time.perf_counter()
            self._forget_trace()
            result = failure or self._try(check, f"<check {number + 1}>")
            if not result["passed"]:
                self._add_trace(result)
            if self._solver.lost:
                self.write({"lost": self._solver.lost, "at": number + 1})
                return
            self.write({"check": result | {"seconds": time.perf_counter() - start}})
            if self._job["stop"] and not result["passed"]:
                break
        self.write({"end": True, "setup": failure["error"] if failure else ""})

    def _set_up(self) -> dict[str, Any] | None:
        try:
            exec(compile(self._job["setup"], "<setup>", "exec", dont_inherit=True), self._names.space)
        except BaseException as error:  # the setup is as untrusted as the checks
            return {"passed": False, "error": f"in the setup: {_described(error)}", "line": _line(error)}
        return None

    def _try(self, check: dict[str, Any], where: str) -> dict[str, Any]:
        raises = check["raises"]
        result: dict[str, Any] = {"passed": False}
        try:
            self._set_limit(check["cpu_seconds"])
            value, is_expression = self._evaluate(check["code"], where, check["expected"] is not None)
            if check["expected"] is not None:
                result["observed"] = self._shown(value)
                expected = compile(check["expected"], where, "eval", dont_inherit=True)
                result["passed"] = same(value, eval(expected, self._names.of_expected(expected)))
            else:
                if is_expression:
                    result["observed"] = self._shown(value)
                result["passed"] = raises is None
        except BaseException as error:  # anything may come out of a check, exits too
            result["error"], result["line"] = _described(error), _line(error)
            if raises is not None and not isinstance(error, SolverLost | NotTriedError):
                result["passed"] = any(base.__name__ == raises for base in type(error).__mro__)
        if self._solver.lost:  # a check may have swallowed it
            result["passed"] = False
        return result

    def _set_limit(self, seconds: float | None) -> None:
        if seconds != self._limit:
            self._limit = seconds
            self._solver.request("limit", seconds)

    def _forget_trace(self) -> None:
        if self._job["trace"]:
            with contextlib.suppress(BaseException):
                self._solver.request("trace")

    def _add_trace(self, result: dict[str, Any]) -> None:
        if self._job["trace"] and not self._solver.lost:
            with contextlib.suppress(BaseException):  # what the candidate's process tells of it may be anything
                result["trace"] = [_trace_line(*line) for line in self._solver.request("trace")[-KEPT_LINES:]]

    def _evaluate(self, code: str, where: str, only_expression: bool) -> tuple[Any, bool]:
        try:
            expression = compile(code.strip(), where, "eval", dont_inherit=True)
        except SyntaxError:
            if only_expression:
                raise
            exec(compile(code, where, "exec", dont_inherit=True), self._names.space)
            return None, False
        return eval(expression, self._names.space), True

    def _shown(self, value: object) -> str:
        self._solver.describing = True
        try:
            return _cut(shown_plainly(value))
        except Exception as error:  # an integer of too many digits, for one: no reason for a right answer to fail
            return f"<{type(value).__name__}: {type(error).__name__} when it is to be shown>"
        finally:
            self._solver.describing = False


def _trace_line(number: int, function: str, values: list[list[str]]) -> dict[str, Any]:
    shown = [[_cut(str(name), MAX_SHOWN), _cut(str(text), MAX_SHOWN)] for name, text in values[:MAX_VALUES]]
    return {"line": max(1, min(int(number), _MAX_LINE)), "function": _cut(str(function), MAX_SHOWN), "values": shown}


def _described(error: BaseException) -> str:
    text = origin_of(error)[0]
    if not text:
        try:
            text = str(error)
        except BaseException:  # a broken __str__ in the tests; one of the candidate's objects may raise anything
            text = ""
    return _cut(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _line(error: BaseException) -> int | None:
    line = origin_of(error)[1]
    return line if isinstance(line, int) and 0 < line <= _MAX_LINE else None


def _cut(text: str, most: int = _MAX_TEXT) -> str:
    plain = text[:most].encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is no text
    return plain if len(text) <= most and len(plain) <= most else plain[: most - 3] + "..."
