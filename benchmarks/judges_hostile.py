"""Hostile programs among honest ones: none may pass, and no honest one may be harmed.

What such programs reach outside of a sandbox is measured by the corpus's own runner; here only verdicts count.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from leafwise.benchmarks.contracts import Problem, ProblemSet
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.judges_bench import Answer, JudgesBench, judge_answers
from leafwise.benchmarks.judges_pairs import words
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.runtime.sandbox_contracts import Status

_FORM = "a folder has programs NAME.py whose docstring has lines `problem:` and `kind:`, and one has problems.json"
_PROBLEMS = "problems.json"


class _Program(NamedTuple):
    path: Path
    problem: str
    benign: bool


def measure_hostile(bench: JudgesBench, out: Recorder, tell: Tell) -> None:
    """Judge them in turns: a hostile program, then an honest one."""
    programs = [program for folder in bench.hostile for program in _programs(folder)]
    problems = _read_problems(bench.hostile)
    answers = []
    for program in programs:
        problem, kind = problems[program.problem], "benign" if program.benign else "hostile"
        answers += [
            Answer(f"{program.path.stem} [{kind}]", problem, _source(program, problem)),
            Answer(f"reference of {problem.entry_point} after {program.path.stem}", problem, problem.reference),
        ]
    tell(f"leafwise judges {len(answers)} programs")
    found = list(zip(answers, judge_answers(answers, bench), strict=True))
    forged = [pair for pair in found if pair[0].name.endswith("[hostile]") and pair[1].passed("base")]
    harmed = [pair for pair in found if not pair[0].name.endswith("[hostile]") and not pair[1].passed("base")]
    out.table("forged passes", ("program", ""), [(answer.name, words(judged.base)) for answer, judged in forged])
    out.table(
        "honest programs harmed", ("program", ""), [(answer.name, words(judged.base)) for answer, judged in harmed]
    )
    out.figure("hostile programs", sum(not program.benign for program in programs))
    out.figure("honest programs among them", len(answers) - sum(not program.benign for program in programs))
    out.figure("forged passes", len(forged), at_most=0)
    out.figure("honest programs harmed", len(harmed), at_most=0)
    out.figure("time-outs", sum(judged.base.status is Status.TIMEOUT for _, judged in found))


def _source(program: _Program, problem: Problem) -> str:
    return f"{problem.prompt}\n{program.path.read_text(encoding='utf-8')}"


def _programs(folder: Path) -> list[_Program]:
    found = []
    for path in sorted(folder.glob("*_*.py")):
        header = path.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]
        said = dict(line.split(": ", 1) for line in header.splitlines() if ": " in line)
        if not {"problem", "kind"} <= said.keys():
            raise BenchmarkError(f"{path} does not say what it is", _FORM)
        found.append(_Program(path, said["problem"], said["kind"] == "benign"))
    if not found:
        raise BenchmarkError(f"{folder} has no programs", _FORM)
    return found


def _read_problems(folders: Sequence[Path]) -> dict[str, Problem]:
    """By the names that programs have for them."""
    named: dict[str, dict[str, str]] = {}
    for folder in folders:
        if (folder / _PROBLEMS).is_file():
            named |= json.loads((folder / _PROBLEMS).read_text(encoding="utf-8"))
    if not named:
        raise BenchmarkError(f"no folder has {_PROBLEMS}", _FORM)
    with tempfile.TemporaryDirectory(prefix="leafwise-hostile-") as place:
        lines = Path(place) / "problems.jsonl"
        lines.write_text("".join(json.dumps(problem) + "\n" for problem in named.values()), encoding="utf-8")
        known: ProblemSet = read_problem_set("hostile", lines)
    return dict(zip(named, known.problems, strict=True))
