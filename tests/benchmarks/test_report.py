"""What the benchmarks share: figures and their goals, tables, and how they are printed."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from leafwise.benchmarks.report import Figure, Recorder, Section, Table
from leafwise.benchmarks.report_cli import figure_cells, number, print_section


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        ({}, None),
        ({"at_least": 2.0}, True),
        ({"at_least": 2.1}, False),
        ({"at_most": 2.0}, True),
        ({"at_most": 1}, False),
    ],
)
def test_a_figure_knows_whether_its_goal_is_met(goal: dict[str, Any], met: bool | None) -> None:
    assert Figure(name="f", value=2.0, **goal).met is met


def test_a_recorder_keeps_medians_and_leaves_out_what_is_empty() -> None:
    out = Recorder("some")
    out.figure("one", 3)
    out.figure("several", [3.0, 1.0, 9.0], "s", at_most=2.0)
    out.figure("none yet", [])
    out.table("empty", ("a",), [])
    out.note("twice")
    out.note("twice")
    section = out.section("broke")
    assert [(f.name, f.value, f.values) for f in section.figures] == [("one", 3, ()), ("several", 3.0, (3.0, 1.0, 9.0))]
    assert (section.tables, section.notes, section.failure, section.missed) == ((), ("twice",), "broke", 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (20.0, "20"),
        (0.01234, "0.0123"),
        (3.149, "3.15"),
        (395.6, "396"),
        (1234567.8, "1,234,568"),
    ],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_section_prints_its_goals_beside_what_was_measured() -> None:
    out = io.StringIO()
    section = Section(
        name="throughput",
        figures=(Figure(name="speed [x]", value=2.5, unit="x", values=(2.4, 2.5), at_least=3.0),),
        tables=(Table(title="t", columns=("", "PP"), rows=(("leafwise", 128.0), ("Llama", None))),),
        notes=("a [note]",),
        failure="it broke",
    )
    print_section(Console(file=out, width=100), section)
    text = out.getvalue()
    for part in ("speed [x]", "2.5 x", ">= 3", "NOT MET", "2.4-2.5", "leafwise", "128", "-", "a [note]", "it broke"):
        assert part in text
    assert figure_cells(Figure(name="f", value=1.0, at_most=1.0))[2:4] == ("<= 1", "met")
