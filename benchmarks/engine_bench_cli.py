"""`leafwise bench engine`: the options, the progress, and the tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from leafwise.benchmarks.engine_bench import Bench, Tell
    from leafwise.benchmarks.engine_report import Figure, Report, Section

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
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"there is no directory {out.parent}", "make it first")
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
    return _conclude(report, as_json=as_json)


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
    known = [name for name in SECTIONS if name != _SYNTHETIC]
    wanted = [name.strip() for name in only.split(",")] if only else known
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(f"no section {', '.join(unknown)}", f"there are {', '.join(known)}")
    return wanted


@contextmanager
def _synthetic_file(shape: str, keep: Path | None) -> Iterator[Path]:
    from leafwise.benchmarks.engine_synthetic import synthetic_file
    from leafwise.runtime.paths import cache_dir

    with ExitStack() as stack:
        with _progress() as tell:  # the line goes away when the file is there
            made = synthetic_file(shape, keep or cache_dir(), keep=keep is not None, tell=tell)
            path = stack.enter_context(made)
        yield path


def _run(bench: Bench, names: list[str], *, as_json: bool, out: Path | None) -> Report:
    """Run the sections; print and save each when it is done."""
    from rich.console import Console

    from leafwise.benchmarks.engine_bench import run_section
    from leafwise.benchmarks.engine_report import Report, read_machine

    console, machine = Console(width=None if sys.stdout.isatty() else 120), read_machine()
    report = Report(
        model=bench.name, threads=bench.threads, runs=bench.runs, quick=bench.quick, machine=machine, sections=()
    )
    if not as_json:
        print(heading(report))
    for name in names:
        with _progress() as tell:
            section = run_section(name, bench, tell)
        report = report.model_copy(update={"sections": (*report.sections, section)})
        if out is not None:
            _save(report, out)
        if not as_json:
            print_section(console, section)
        if section.interrupted:
            break
    return report


def _conclude(report: Report, *, as_json: bool) -> int:
    from leafwise.benchmarks.errors import BenchmarkError

    with_goal = [figure for section in report.sections for figure in section.figures if figure.met is not None]
    if as_json:
        print(json.dumps(report.model_dump(mode="json"), indent=2))
    else:
        print(f"{sum(figure.met is True for figure in with_goal)} of {len(with_goal)} goals met")
    if any(section.interrupted for section in report.sections):
        raise KeyboardInterrupt
    if failed := [section.name for section in report.sections if section.failure]:
        raise BenchmarkError(f"not measured to the end: {', '.join(failed)}", "the section says why")
    return 0


@contextmanager
def _progress() -> Iterator[Tell]:
    """One line on standard error that goes away in the end; nothing in a pipe."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, TextColumn

    errors = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        console=errors,
        disable=not errors.is_terminal,
        transient=True,
        auto_refresh=False,  # a thread that draws would take time from what is measured
        redirect_stdout=False,
    )
    with bar:
        task = bar.add_task("")
        yield lambda text: bar.update(task, description=escape(text), refresh=True)


def heading(report: Report) -> str:
    """Model and machine, in a line or two."""
    machine = report.machine
    kind = f"{machine.cpu} ({', '.join(machine.highlights[:3]) or 'no extensions'}), {machine.cores} cores"
    lines = [
        f"{report.model}, {report.threads} threads, medians of {report.runs}; llama-cpp-python "
        f"{machine.llama_cpp_python}, {kind}, {machine.memory_bytes / 2**30:.0f} GiB, {machine.system}"
    ]
    return "\n".join([*lines, *(["quick: the sizes are cut down, the numbers mean nothing"] if report.quick else [])])


def print_section(console: Console, section: Section) -> None:
    """Print one section: its tables, its figures beside their goals, its remarks."""
    console.print(f"\n[bold]{section.name}[/] ({section.seconds:.0f} s, load {section.load:.1f})", highlight=False)
    for found in section.tables:
        rows = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in found.rows]
        _print_table(console, found.title, found.columns, rows)
    if section.figures:
        columns = ("", "measured", "goal", "", "range")
        _print_table(console, "", columns, [figure_cells(figure) for figure in section.figures])
    for note in section.notes:
        console.print(f"  {note}", markup=False, highlight=False)
    if section.failure:
        console.print(f"  ended early: {section.failure}", markup=False, highlight=False, style="red")


def _print_table(console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title) or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(escape(column), justify="right" if i else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def figure_cells(figure: Figure) -> tuple[str, str, str, str, str]:
    """A figure's line: name, measured, goal, met or not, range of the runs."""
    goal = ""
    if figure.at_least is not None:
        goal = f">= {number(figure.at_least)}"
    elif figure.at_most is not None:
        goal = f"<= {number(figure.at_most)}"
    verdict = {True: "met", False: "NOT MET", None: ""}[figure.met]
    several = f"{number(min(figure.values))}-{number(max(figure.values))}" if figure.values else ""
    return figure.name, f"{number(figure.value)} {figure.unit}".strip(), goal, verdict, several


def number(value: float | None) -> str:
    """Three digits, or all of a whole number; a dash for nothing."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def _save(report: Report, out: Path) -> None:
    part = out.with_name(f".{out.name}-{os.getpid()}.part")
    try:
        part.write_text(json.dumps(report.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
        part.replace(out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}", "choose another place") from error
    finally:
        part.unlink(missing_ok=True)
