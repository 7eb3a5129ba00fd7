"""`leafwise bench engine`: its options and its heading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.report_cli import (
    chosen_sections,
    conclude,
    described,
    progress,
    refuse_missing_folder,
    run_sections,
)
from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from leafwise.benchmarks.engine_bench import Bench, EngineReport

_SYNTHETIC = "synthetic"


def engine(
    model: Annotated[str, typer.Option(help="A name from `leafwise models list`, or a .gguf file.")] = "smollm2-135m",
    only: Annotated[str, typer.Option(help="Sections to run, separated by commas; all by default.")] = "",
    runs: Annotated[int, typer.Option(min=1, help="Measurements of each figure; the median counts.")] = 5,
    synthetic: Annotated[str, typer.Option(help="Measure a random-weight model of this shape: llama3.1-8b.")] = "",
    keep: Annotated[Path | None, typer.Option(help="With --synthetic: write the file here, and leave it.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads that compute; 0 is one per physical core.")] = 0,
    limit: Annotated[int, typer.Option(min=0, help="HumanEval prompts; 0 is all.")] = 0,
    requests: Annotated[int, typer.Option(min=20, help="Random requests of the stress section.")] = 1000,
    in_process: Annotated[bool, typer.Option("--in-process", help="No process of its own for the engine.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny sizes: only shows that everything works.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the report as JSON into this file too.")] = None,
) -> int:
    """Measure the engine beside llama-cpp-python's own `Llama`, each figure beside its goal.

    Ctrl-C keeps what was measured.
    """
    from leafwise.benchmarks.engine_bench import open_bench_model
    from leafwise.runtime.models import resolve

    names = _sections(only, synthetic)
    refuse_missing_folder(out)
    sizes = {"runs": runs, "quick": quick, "isolated": not in_process, "limit": limit or None, "requests": requests}
    if threads:
        sizes["threads"] = threads
    with ExitStack() as stack:
        if synthetic:
            path = stack.enter_context(_synthetic_file(synthetic, keep))
            bench = open_bench_model(f"{synthetic}, random weights", path, **sizes)
        else:
            found = resolve(model)
            bench = open_bench_model(found.name, found.path, **sizes)
        report = _run(bench, names, as_json=as_json, out=out)
    return conclude(report, as_json=as_json)


def _sections(only: str, synthetic: str) -> list[str]:
    """The sections to run."""
    from leafwise.benchmarks.engine_bench import SECTIONS

    if synthetic:
        from leafwise.benchmarks.synthetic_gguf import SHAPES

        if synthetic not in SHAPES:
            raise UsageError(f"there is no shape {synthetic!r}", f"there are {', '.join(SHAPES)}")
        if only:
            raise UsageError("--synthetic is a section of its own", "leave out --only")
        return [_SYNTHETIC]
    return chosen_sections(only, [name for name in SECTIONS if name != _SYNTHETIC])


@contextmanager
def _synthetic_file(shape: str, keep: Path | None) -> Iterator[Path]:
    from leafwise.benchmarks.engine_synthetic import synthetic_file
    from leafwise.runtime.paths import cache_dir

    with ExitStack() as stack:
        with progress() as tell:  # the line goes away when the file is there
            made = synthetic_file(shape, keep or cache_dir(), keep=keep is not None, tell=tell)
            path = stack.enter_context(made)
        yield path


def _run(bench: Bench, names: list[str], *, as_json: bool, out: Path | None) -> EngineReport:
    from leafwise.benchmarks.engine_bench import EngineReport, run_section
    from leafwise.benchmarks.report import read_machine

    report = EngineReport(
        model=bench.name, threads=bench.threads, runs=bench.runs, quick=bench.quick, machine=read_machine()
    )
    if not as_json:
        print(heading(report))
    return run_sections(report, names, lambda name, tell: run_section(name, bench, tell), as_json=as_json, out=out)


def heading(report: EngineReport) -> str:
    """Model and machine, in a line or two."""
    line = (
        f"{report.model}, {report.threads} threads, medians of {report.runs}; "
        f"llama-cpp-python {report.machine.llama_cpp_python}, {described(report.machine)}"
    )
    return "\n".join([line, *(["quick: the sizes are cut down, the numbers mean nothing"] if report.quick else [])])
