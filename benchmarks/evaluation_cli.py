"""`leafwise bench humaneval`: generate, judge, compare."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.data_sets_cli import (
    DATASET_HELP,
    LeaveOut,
    open_problem_set,
    scoring_level,
    self_check,
)
from leafwise.runtime.engine_cli import Context, Deterministic, InProcess, KVTypeName, Threads, engine_options

if TYPE_CHECKING:
    from leafwise.benchmarks.contracts import Arm, Manifest, ProblemSet
    from leafwise.benchmarks.evaluation import Judge
    from leafwise.benchmarks.executors import Executor
    from leafwise.benchmarks.summary_contracts import Summary
    from leafwise.runtime.engine_options import EngineOptions
    from leafwise.runtime.sandbox_contracts import SandboxLevel

_Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The first sample's; sample i has seed + i.")]


def humaneval(
    out: Annotated[Path, typer.Option(help="The run's directory: answers, verdicts, traces, reports.")],
    file: Annotated[Path | None, typer.Argument(help="The data set's file, for --dataset mbpp.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A name, a .gguf file or a URL; repeatable.")] = None,
    strategies: Annotated[str, typer.Option(help="Separated by commas.")] = "direct,resample,guided",
    samples: Annotated[int, typer.Option(min=1, help="Answers per task and arm; pass@k needs at least k.")] = 1,
    tasks: Annotated[str, typer.Option(help="even, odd, numbers, ranges (0-9), ids; all by default.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many tasks.")] = None,
    dataset: Annotated[str, typer.Option(help=DATASET_HELP)] = "humaneval",
    plus: Annotated[Path | None, typer.Option(help="HumanEvalPlus.jsonl.gz: judge by HumanEval+ too.")] = None,
    leave_out: LeaveOut = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in --out.")] = False,
    seed: _Seed = 0,
    max_tokens: Annotated[int, typer.Option(min=16, help="Generated tokens per answer, all calls together.")] = 1500,
    answer_tokens: Annotated[int, typer.Option(min=16, help="Tokens of one reply of the model.")] = 384,
    temperature: Annotated[float, typer.Option(min=0.0, max=5.0, help="Of sampled replies.")] = 0.8,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Of sampled replies.")] = 0.95,
    parallel: Annotated[int, typer.Option(min=0, help="Tasks at once; 0: 16 for direct, else 4.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Processes, each with an engine of its own.")] = 1,
    ray: Annotated[str, typer.Option(metavar="ADDRESS", help="Generate and judge on a Ray cluster.")] = "",
    ray_workers: Annotated[int | None, typer.Option(min=1, help="Workers there; one per node by default.")] = None,
    level: Annotated[str, typer.Option(help="Sandbox level: full, landlock; the best by default.")] = "",
    context: Context = None,
    threads: Threads = None,
    kv_type: KVTypeName = "f16",
    deterministic: Deterministic = False,
    in_process: InProcess = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json at the end.")] = False,
) -> int:
    """Measure models and strategies on a data set: generate, judge, compare; with intervals, resumable.

    The hidden tests never reach the model. `resample` gets the tokens that `guided` used, task by task. Ctrl-C or a
    crash loses nothing: the same command with --resume goes on.
    """
    from leafwise.agents.settings import Settings
    from leafwise.benchmarks.evaluation_run import choose_tasks
    from leafwise.benchmarks.manifest import make_manifest

    problems = open_problem_set(dataset, file, plus, leave_out=leave_out)
    settings = Settings(
        seed=seed,
        max_tokens=max_tokens,
        answer_tokens=answer_tokens,
        temperature=temperature,
        top_p=top_p,
        greedy_draft=samples == 1,
    )
    options = engine_options(context, threads, kv_type, deterministic=deterministic, in_process=in_process)
    manifest = make_manifest(
        problems,
        choose_tasks(problems, tasks, limit),
        list(dict.fromkeys(model or ["smollm2-135m"])),
        chosen_strategies(strategies),
        settings,
        options,
        samples,
    )
    where = _Where(options, scoring_level(level), parallel, processes, ray, ray_workers)
    summary = _run(out, manifest, problems, where, resume=resume, leave_out=leave_out)
    _tell(summary, out, as_json=as_json)
    return 0


@dataclass(frozen=True)
class _Where:
    """Where answers are generated and judged."""

    options: EngineOptions
    level: SandboxLevel | None
    parallel: int
    processes: int
    ray: str
    ray_workers: int | None

    def open_executor(self, arm: Arm) -> Executor:
        """What generates an arm's answers. Few samples per task need many tasks at once to fill the engine's batch."""
        parallel = self.parallel or (16 if arm.strategy == "direct" else 4)
        if self.ray:
            from leafwise.benchmarks.executor_ray import RayExecutor

            return RayExecutor(self.ray, arm.model, self.options, self.level, parallel, self.ray_workers)
        if self.processes > 1:
            from leafwise.benchmarks.executor_processes import ProcessExecutor

            return ProcessExecutor(arm.model, self.options, self.level, parallel, self.processes)
        from leafwise.benchmarks.executor_local import LocalExecutor

        return LocalExecutor(arm.model, self.options, self.level, parallel)

    @contextmanager
    def open_judge(self, problems: ProblemSet) -> Iterator[Judge]:
        """What judges answers."""
        if self.ray:
            from leafwise.benchmarks.judge_ray import RayJudge

            with closing(RayJudge(self.ray, problems.problems, self.level, self.ray_workers)) as cluster:
                yield cluster.judge
            return
        from leafwise.benchmarks.judge import judge_samples
        from leafwise.runtime.sandbox import open_sandbox

        with open_sandbox(self.level) as sandbox:
            yield lambda answers: judge_samples(problems.problems, answers, sandbox)


def _run(
    out: Path, manifest: Manifest, problems: ProblemSet, where: _Where, *, resume: bool, leave_out: bool
) -> Summary:
    """The whole run; whatever ends it, the answers and verdicts so far are kept.

    Nothing is made before the self-check has passed: one that is refused leaves no run behind that a mended data set
    would differ from.
    """
    from rich.console import Console

    from leafwise.benchmarks.evaluation import Evaluation, plan_run
    from leafwise.benchmarks.evaluation_run import generate_answers, missing_error, progress_of
    from leafwise.benchmarks.evaluation_view import open_run_view
    from leafwise.benchmarks.manifest import without_tasks
    from leafwise.benchmarks.reports import report_run

    console = Console(stderr=True)
    planned = plan_run(out, manifest, resume=resume)
    console.print("checking that the data set's own answers pass here, and wrong ones do not", highlight=False)
    problems, left_out = _scorable(problems, planned.tasks, where.level, leave_out=leave_out)
    manifest = without_tasks(manifest, left_out)
    with Evaluation(out, manifest, resume=resume) as run:
        progress = progress_of(run)
        with open_run_view(console, progress.values()) as view:
            view.say("generating")
            try:
                errors = generate_answers(run, problems, where.open_executor, view, progress)
            except KeyboardInterrupt:
                view.say(f"interrupted; {len(run.samples)} answers are kept: the same command with --resume goes on")
                raise
            view.say("judging")
            with where.open_judge(problems) as judge:
                run.judge(problems, judge)
            view.say("writing the reports")
            summary = report_run(out)
    if errors:
        raise missing_error(errors, out)
    return summary


def _scorable(
    problems: ProblemSet, tasks: Sequence[str], level: SandboxLevel | None, *, leave_out: bool
) -> tuple[ProblemSet, dict[str, str]]:
    """The data set to judge with, and what cannot be asked or judged, with the reasons."""
    from leafwise.benchmarks.evaluation_run import unaskable
    from leafwise.runtime.sandbox import open_sandbox

    strange = unaskable(problems, tasks, leave_out=leave_out)
    with open_sandbox(level) as sandbox:
        checked = self_check(problems, sandbox, set(tasks) - strange.keys(), leave_out=leave_out, others=strange)
    return checked.problems, checked.left_out


def _tell(summary: Summary, out: Path, *, as_json: bool) -> None:
    from rich.console import Console

    from leafwise.benchmarks.evaluation_view import score_table

    if as_json:
        print(summary.model_dump_json(indent=2))
        return
    Console(width=None if sys.stdout.isatty() else 120).print(score_table(summary))
    for line in (*summary.warnings, *summary.verdicts):
        print(line)
    print(out / "report.html")


def chosen_strategies(names: str) -> list[str]:
    """What an option names, separated by commas, each once.

    Raises:
        UsageError: there is no such strategy.
    """
    from leafwise.agents.strategies import require_strategies

    wanted = [name.strip() for name in names.split(",")]
    require_strategies(wanted)
    return list(dict.fromkeys(wanted))
