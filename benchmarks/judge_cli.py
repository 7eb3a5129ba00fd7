"""`leafwise bench judge`: verdicts on a file of answers, ours or another tool's."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.data_sets_cli import (
    DATASET_HELP,
    LeaveOut,
    files_of,
    open_beside,
    scoring_level,
    self_check,
)
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.results_cli import STDOUT, interruptible, refuse_places, save_json
from leafwise.runtime.progress_cli import counter

if TYPE_CHECKING:
    from leafwise.benchmarks.contracts import Judgement, ProblemSet
    from leafwise.benchmarks.journal import Journal
    from leafwise.benchmarks.judge import Answer
    from leafwise.benchmarks.sample_scores import JudgedFile
    from leafwise.runtime.sandbox_pool import ProcessSandbox


def judge(
    samples: Annotated[Path, typer.Argument(help="Answers, as JSON lines (.jsonl, .gz).")],
    file: Annotated[Path | None, typer.Argument(help="The data set's file, for --dataset mbpp.")] = None,
    dataset: Annotated[str, typer.Option(help=DATASET_HELP)] = "humaneval",
    plus: Annotated[Path | None, typer.Option(help="HumanEvalPlus.jsonl.gz: judge by HumanEval+ too.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write counts and verdicts; - prints them.")] = None,
    leave_out: LeaveOut = False,
    out: Annotated[Path | None, typer.Option(help="Keep each verdict in this file as it comes.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the verdicts that are in --out.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Programs that run at once; 0 is one per core.")] = 0,
    level: Annotated[str, typer.Option(help="Sandbox level: full, landlock; the best by default.")] = "",
) -> int:
    """Judge a file of answers in the sandbox; needs no model.

    Lines have `task_id` and `completion` (continues the prompt) or `solution` (a whole module); both are taken as they
    are. The last line that is printed is `N/M passed`; with --plus it counts what passes both suites, and a line
    `base N/M passed` comes before it. With `--json -` only JSON is printed.
    """
    from leafwise.benchmarks.sample_files import read_samples

    _refuse_places(samples, files_of(dataset, file, plus), json_file, out, resume=resume)
    problems = open_beside(samples, dataset, file, plus, leave_out=leave_out)
    answers = read_samples(samples, problems.problems, problems.unread)
    at_once = workers or len(os.sched_getaffinity(0))
    with _interruptible(out), _sandbox(level, at_once) as sandbox:
        judged = _judge(samples.name, problems, answers, out, sandbox, at_once, leave_out=leave_out)
    try:
        save_json(
            json_file, judged, "make room or choose another place; with --out and --resume nothing is judged again"
        )
    finally:  # what was found is told, whatever became of the file
        _tell(judged, as_json=json_file == STDOUT)
    return 0


def _refuse_places(
    samples: Path, data: Sequence[Path], json_file: Path | None, out: Path | None, *, resume: bool
) -> None:
    if resume and out is None:
        raise BenchmarkError("--resume goes on with a file of verdicts", "name it: --out VERDICTS.jsonl")
    refuse_places({"--json": json_file, "--out": out}, [samples, *data])
    if out is not None and out.exists() and not resume:
        raise BenchmarkError(f"{out} is there already", "add --resume to go on with it, or choose another place")


def _interruptible(out: Path | None) -> AbstractContextManager[None]:
    kept = f"the verdicts so far are in {out}: the same command with --resume goes on"
    return interruptible(out, kept, "no verdict is kept: --out VERDICTS.jsonl keeps them")


@contextmanager
def _opened(out: Path | None) -> Iterator[Journal[Judgement] | None]:
    from leafwise.benchmarks.contracts import Judgement
    from leafwise.benchmarks.journal import Journal

    if out is None:
        yield None
        return
    with Journal(out, Judgement) as journal:
        yield journal


@contextmanager
def _sandbox(level: str, workers: int) -> Iterator[ProcessSandbox]:
    from leafwise.runtime.sandbox import open_sandbox

    with open_sandbox(scoring_level(level), workers=workers) as sandbox:
        yield sandbox


def _judge(
    name: str,
    problems: ProblemSet,
    answers: Sequence[Answer],
    out: Path | None,
    sandbox: ProcessSandbox,
    workers: int,
    *,
    leave_out: bool,
) -> JudgedFile:
    from importlib.metadata import version

    from leafwise.benchmarks.report import read_machine
    from leafwise.benchmarks.sample_judging import judge_answers, valid_verdicts
    from leafwise.benchmarks.sample_scores import JudgedFile, score_samples, totals

    times = [time.perf_counter()]
    problems, left_out = _scorable(problems, {answer.task_id for answer in answers}, sandbox, leave_out=leave_out)
    answers = [answer for answer in answers if answer.task_id not in left_out]
    times.append(time.perf_counter())
    with _opened(out) as journal:  # not before: a self-check that refuses leaves no file behind
        valid = valid_verdicts(problems, answers, journal.found if journal else (), sandbox.level)
        with counter("judging", len(answers), len(valid)) as advance:
            found = judge_answers(problems, answers, sandbox, valid=valid, journal=journal, advance=advance)
    times.append(time.perf_counter())
    return JudgedFile(
        samples=name,
        dataset=problems.name,
        dataset_source=problems.source,
        dataset_sha256=problems.sha256,
        dataset_tasks=len(problems.problems),
        left_out=left_out,
        leafwise=version("leafwise"),
        level=sandbox.level,
        workers=workers,
        machine=read_machine(),
        self_check_seconds=times[1] - times[0],
        seconds=times[2] - times[1],
        kept=len(valid),
        totals=totals(problems, found),
        scores=score_samples(problems, found),
        verdicts=tuple(found),
    )


def _scorable(
    problems: ProblemSet, tasks: Collection[str], sandbox: ProcessSandbox, *, leave_out: bool
) -> tuple[ProblemSet, dict[str, str]]:
    """The data set without what cannot be scored here, and what that is, with the reasons."""
    checked = self_check(problems, sandbox, tasks, leave_out=leave_out)
    scored = tuple(problem for problem in checked.problems.problems if problem.id not in checked.left_out)
    return checked.problems.model_copy(update={"problems": scored}), checked.left_out


def _tell(judged: JudgedFile, *, as_json: bool) -> None:
    if as_json:
        print(judged.model_dump_json(indent=2))
        return
    from leafwise.runtime.verify_report import printable

    if len({score.arm for score in judged.scores}) > 1:
        for score in judged.scores:
            arm = printable(score.arm) or "(no arm)"
            print(f"{arm}: {score.suite} {score.count.passed}/{score.count.samples} passed")
    if missing := judged.dataset_tasks - len({verdict.task_id for verdict in judged.verdicts}):
        print(f"{missing} of {judged.dataset_tasks} tasks have no sample")
    *before, last = judged.totals.items()
    for suite, count in before:
        print(f"{suite} {count.passed}/{count.samples} passed")
    print(f"{last[1].passed}/{last[1].samples} passed")
