"""How a benchmark's command runs its sections and shows them: the progress, the tables, the JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from leafwise.benchmarks.report import Figure, Machine, Report, Section, Tell

_R = TypeVar("_R", bound="Report")


def chosen_sections(only: str, known: Sequence[str]) -> list[str]:
    """What `--only` names; all that are known when it is empty.

    Raises:
        UsageError: there is no such section.
    """
    wanted = [name.strip() for name in only.split(",")] if only else list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(f"no section {', '.join(unknown)}", f"there are {', '.join(known)}")
    return wanted


def refuse_missing_folder(out: Path | None) -> None:
    """Before anything is measured: the report must have a place.

    Raises:
        UsageError: there is no such directory, the place is a directory itself, or it can't be written.
    """
    from leafwise.runtime.paths import check_writable

    if out is None:
        return
    try:
        if not out.parent.is_dir():
            raise UsageError(f"there is no directory {out.parent}", "make it first")
        if out.is_dir():
            raise UsageError(f"{out} is a directory", f"name a file, such as {out / 'report.json'}")
        check_writable(out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}", "choose another place") from error


def run_sections(
    report: _R, names: Sequence[str], run: Callable[[str, Tell], Section], *, as_json: bool, out: Path | None
) -> _R:
    """Run the sections; print and save each when it is done.

    Args:
        report: what it looks like before the first section.
        names: of the sections.
        run: runs the one of this name.
        as_json: print nothing yet.
        out: the file that gets the report after each section.
    """
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120)
    for name in names:
        with progress() as tell:
            section = run(name, tell)
        report = report.model_copy(update={"sections": (*report.sections, section)})
        if out is not None:
            _save(report, out)
        if not as_json:
            print_section(console, section)
        if section.interrupted:
            break
    return report


def conclude(report: Report, *, as_json: bool) -> int:
    """Say what came out.

    Returns:
        0: everything was measured, whatever it says.

    Raises:
        KeyboardInterrupt: Ctrl-C ended a section.
        BenchmarkError: a section could not be measured to its end.
    """
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
def progress() -> Iterator[Tell]:
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


def described(machine: Machine) -> str:
    """A machine, in a few words."""
    kind = f"{machine.cpu} ({', '.join(machine.highlights[:3]) or 'no extensions'}), {machine.cores} cores"
    return f"{kind}, {machine.memory_bytes / 2**30:.0f} GiB, {machine.system}"


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
    from leafwise.runtime.paths import write_whole

    try:
        write_whole(out, json.dumps(report.model_dump(mode="json"), indent=2).encode() + b"\n")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}", "choose another place") from error
