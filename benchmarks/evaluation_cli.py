"""`leafwise bench humaneval`: generate, judge, compare."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from leafwise.runtime.engine_cli import Context, Deterministic, InProcess, KVTypeName, Threads, engine_options
from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from leafwise.agents.contracts import Strategy
    from leafwise.benchmarks.contracts import Arm, Manifest, ProblemSet
    from leafwise.benchmarks.evaluation_run import OpenExecutor
    from leafwise.benchmarks.summary_contracts import Summary
    from leafwise.runtime.engine_options import EngineOptions
    from leafwise.runtime.sandbox_contracts import SandboxLevel

_Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The first sample's; sample i has seed + i.")]


def humaneval(
    file: Annotated[Path | None, typer.Argument(help="The data set's file, for --dataset mbpp.")] = None,
    out: Annotated[Path, typer.Option(help="The run's directory: answers, verdicts, traces, reports.")] = ...,  # type: ignore[assignment]
    model: Annotated[list[str] | None, typer.Option(help="A name, a .gguf file or a URL; repeat it to compare.")] = None,
    strategies: Annotated[str, typer.Option(help="Separated by commas.")] = "direct,resample,guided",
    samples: Annotated[int, typer.Option(min=1, help="Answers per task and arm; pass@k needs at least k.")] = 1,
    tasks: Annotated[str, typer.Option(help="even, odd, numbers, ranges (0-9), ids; all by default.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many tasks.")] = None,
    dataset: Annotated[str, typer.Option(help="humaneval, mbpp, or a JSONL file in HumanEval's form.")] = "humaneval",
    plus: Annotated[Path | None, typer.Option(help="HumanEvalPlus.jsonl.gz: judge by HumanEval+ too.")] = None,
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

    The hidden tests never reach the model. `resample` gets the tokens that `guided` used on each task. Ctrl-C, a crash or
    a power cut loses nothing: the same command with --resume goes on.
    """
    from leafwise.agents.contracts import Settings
    from leafwise.benchmarks.data_sets_cli import open_problem_set
    from leafwise.benchmarks.evaluation_run import choose_tasks
    from leafwise.benchmarks.manifest import make_manifest

    problems = open_problem_set(dataset, file, plus)
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
        _strategies(strategies),
        settings,
        options,
        samples,
    )
    where = _Where(options, _level(level), parallel, processes, ray, ray_workers)
    summary = _run(out, manifest, problems, where, resume=resume)
    _tell(summary, out, as_json=as_json)
    return 0
