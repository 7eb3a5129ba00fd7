"""`leafwise bench judge`: verdicts on a file of answers, ours or another tool's."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.data_sets_cli import DATASET_HELP, open_problem_set, scoring_level
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report_cli import refuse_missing_folder
from leafwise.runtime.progress_cli import counter

if TYPE_CHECKING:
    from leafwise.benchmarks.contracts import Judgement, ProblemSet
    from leafwise.benchmarks.journal import Journal
    from leafwise.benchmarks.judge import Answer
    from leafwise.benchmarks.sample_scores import JudgedFile
    from leafwise.runtime.sandbox_pool import ProcessSandbox

_STDOUT = Path("-")


def judge(
    samples: Annotated[Path, typer.Argument(help="Answers, as JSON lines (.jsonl, .gz).")],
    file: Annotated[Path | None, typer.Argument(help="The data set's file, for --dataset mbpp.")] = None,
    dataset: Annotated[str, typer.Option(help=DATASET_HELP)] = "humaneval",
    plus: Annotated[Path | None, typer.Option(help="HumanEvalPlus.jsonl.gz: judge by HumanEval+ too.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write counts and verdicts; - prints them.")] = None,
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

    _refuse_places(samples, file, plus, json_file, out, resume=resume)
    problems = open_problem_set(dataset, file, plus)
    answers = read_samples(samples, problems.problems)
    at_once = workers or len(os.sched_getaffinity(0))
    with _opened(out) as journal, _sandbox(level, at_once) as sandbox:
        judged = _judge(samples.name, problems, answers, journal, sandbox, at_once)
    try:
        if json_file is not None and json_file != _STDOUT:
            _save(json_file, judged)
    finally:  # what was found is told, whatever became of the file
        _tell(judged, as_json=json_file == _STDOUT)
    return 0


def _refuse_places(
    samples: Path, file: Path | None, plus: Path | None, json_file: Path | None, out: Path | None, *, resume: bool
) -> None:
    """Before anything is judged: results must have a place, and nothing that is there may be lost."""
    if resume and out is None:
        raise BenchmarkError("--resume goes on with a file of verdicts", "name it: --out VERDICTS.jsonl")
    inputs = [path for path in (samples, file, plus) if path is not None and path.exists()]
    for place in (json_file, out):
        if place is None or place == _STDOUT:
            continue
        refuse_missing_folder(place)
        if any(place.exists() and place.samefile(path) for path in inputs):
            raise BenchmarkError(f"{place} is what is read", "choose another place for the results")
    if out is not None and json_file is not None and out.absolute() == json_file.absolute():
        raise BenchmarkError("--json and --out name the same file", "give each a file of its own")
    if out is not None and out.exists() and not resume:
        raise BenchmarkError(f"{out} is there already", "add --resume to go on with it, or choose another place")


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
    journal: Journal[Judgement] | None,
    sandbox: ProcessSandbox,
    workers: int,
) -> JudgedFile:
    from importlib.metadata import version

    from leafwise.benchmarks.report import read_machine
    from leafwise.benchmarks.sample_judging import judge_answers, valid_verdicts
    from leafwise.benchmarks.sample_scores import JudgedFile, score_samples, totals
    from leafwise.benchmarks.self_check import check_environment

    times = [time.perf_counter()]
    check_environment(problems, sandbox)
    times.append(time.perf_counter())
    valid = valid_verdicts(problems, answers, journal.found if journal else (), sandbox.level)
    with _interruptible(journal), counter("judging", len(answers), len(valid)) as advance:
        found = judge_answers(problems, answers, sandbox, valid=valid, journal=journal, advance=advance)
    times.append(time.perf_counter())
    return JudgedFile(
        samples=name,
        dataset=problems.name,
        dataset_source=problems.source,
        dataset_sha256=problems.sha256,
        dataset_tasks=len(problems.problems),
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


@contextmanager
def _interruptible(journal: Journal[Judgement] | None) -> Iterator[None]:
    """Ctrl-C says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        kept = f"the verdicts so far are in {journal.path}: the same command with --resume goes on" if journal else ""
        print(f"interrupted; {kept or 'no verdict is kept: --out VERDICTS.jsonl keeps them'}", file=sys.stderr)
        raise


def _save(path: Path, judged: JudgedFile) -> None:
    from leafwise.runtime.paths import write_whole

    try:
        write_whole(path, judged.model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        hint = "make room or choose another place; with --out and --resume nothing is judged again"
        raise BenchmarkError(f"cannot write {path}: {error.strerror}", hint) from error


def _tell(judged: JudgedFile, *, as_json: bool) -> None:
    if as_json:
        print(judged.model_dump_json(indent=2))
        return
    if len({score.arm for score in judged.scores}) > 1:
        for score in judged.scores:
            print(f"{score.arm or '(no arm)'}: {score.suite} {score.count.passed}/{score.count.samples} passed")
    if missing := judged.dataset_tasks - len({verdict.task_id for verdict in judged.verdicts}):
        print(f"{missing} of {judged.dataset_tasks} tasks have no sample")
    *before, last = judged.totals.items()
    for suite, count in before:
        print(f"{suite} {count.passed}/{count.samples} passed")
    print(f"{last[1].passed}/{last[1].samples} passed")
