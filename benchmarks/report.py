"""What a benchmark finds: figures with their goals, tables, sections, and the report of a whole run."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

import psutil

from leafwise.runtime.contracts import Contract
from leafwise.runtime.cpu import read_cpu
from leafwise.runtime.errors import LeafwiseError

Tell = Callable[[str], None]
"""Is told in a few words what is being measured."""


class Figure(Contract):
    """One measured number, beside what it should be."""

    name: str
    """What was measured, with its conditions."""
    value: float
    """The number: a median where `values` has several."""
    unit: str = ""
    """For people: `tok/s`, `s`, `x`, `%`, `MiB`; empty for counts."""
    values: tuple[float, ...] = ()
    """Each run's number, in order; empty where there is only one."""
    at_least: float | None = None
    """The goal, if more is better."""
    at_most: float | None = None
    """The goal, if less is better."""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value <= self.at_most if self.at_most is not None else None


class Table(Contract):
    """Rows that belong side by side."""

    title: str
    """What the rows are."""
    columns: tuple[str, ...]
    """Their headings, with units."""
    rows: tuple[tuple[str | float | None, ...], ...]
    """As many cells each as there are columns."""


class Section(Contract):
    """What one part of the benchmark found."""

    name: str
    """As `--only` names it."""
    figures: tuple[Figure, ...] = ()
    """Numbers, most with a goal."""
    tables: tuple[Table, ...] = ()
    """More to read."""
    notes: tuple[str, ...] = ()
    """What has to be known to read the numbers."""
    seconds: float = 0.0
    """Wall-clock time it took."""
    load: float = 0.0
    """The machine's load average over the last minute, at the end: what else ran then disturbs the numbers."""
    failure: str | None = None
    """Why it ended early; what was measured before is there."""
    interrupted: bool = False
    """Whether Ctrl-C ended it."""

    @property
    def missed(self) -> int:
        """Figures that do not meet their goal."""
        return sum(figure.met is False for figure in self.figures)


class Machine(Contract):
    """On what it was measured."""

    cpu: str
    """The processor's name for itself."""
    highlights: tuple[str, ...]
    """Its instruction sets that matter here."""
    cores: int
    """Physical cores."""
    memory_bytes: int
    """Memory of the machine."""
    system: str
    """Operating system and version."""
    python: str
    """Python's version."""
    llama_cpp_python: str
    """The version of llama-cpp-python."""


class Report(Contract):
    """One run of a benchmark; each adds the fields that say what was measured."""

    machine: Machine
    """On what."""
    sections: tuple[Section, ...] = ()
    """In the order they ran."""


class Recorder:
    """Collects what a section finds while it runs, so that nothing measured is lost when it is cut off.

    Args:
        name: of the section.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._figures: list[Figure] = []
        self._tables: list[Table] = []
        self._notes: list[str] = []
        self._started = time.perf_counter()

    def figure(
        self,
        name: str,
        values: float | Sequence[float],
        unit: str = "",
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Keep a number, or the median of several; several that are none yet are left out."""
        several = (float(values),) if isinstance(values, int | float) else tuple(values)
        if several:
            self._figures.append(
                Figure(
                    name=name,
                    value=statistics.median(several),
                    unit=unit,
                    values=several if len(several) > 1 else (),
                    at_least=at_least,
                    at_most=at_most,
                )
            )

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
        """Keep a table; one without rows is left out."""
        if rows:
            self._tables.append(Table(title=title, columns=tuple(columns), rows=tuple(map(tuple, rows))))

    def note(self, text: str) -> None:
        """Keep a remark, once."""
        if text not in self._notes:
            self._notes.append(text)

    def section(self, failure: str | None = None, *, interrupted: bool = False) -> Section:
        """What was found so far."""
        return Section(
            name=self._name,
            figures=tuple(self._figures),
            tables=tuple(self._tables),
            notes=tuple(self._notes),
            seconds=time.perf_counter() - self._started,
            load=os.getloadavg()[0],
            failure=failure,
            interrupted=interrupted,
        )


def take_section(name: str, measure: Callable[[Recorder], None]) -> Section:
    """Run one section. One that fails or is interrupted still gives what it measured before."""
    out = Recorder(name)
    try:
        measure(out)
    except LeafwiseError as error:
        return out.section(f"{error.message} ({error.hint})" if error.hint else error.message)
    except KeyboardInterrupt:
        return out.section("interrupted", interrupted=True)
    return out.section()


def read_machine() -> Machine:
    """The machine this runs on."""
    cpu = read_cpu()
    return Machine(
        cpu=cpu.model or cpu.architecture,
        highlights=cpu.highlights,
        cores=psutil.cpu_count(logical=False) or 1,
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        llama_cpp_python=version("llama-cpp-python"),
    )
