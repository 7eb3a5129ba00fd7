"""report.md: the summary as short tables, the manifest at the end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from leafwise.benchmarks import report_view as view
from leafwise.benchmarks.contracts import Manifest
from leafwise.benchmarks.summary_contracts import Summary


def render_md(manifest: Manifest, summary: Summary) -> str:
    """The report as Markdown. Incomplete arms are named before any number."""
    lines = [f"# {summary.dataset}, {len(summary.tasks)} tasks", ""]
    lines += [line for warning in summary.warnings for line in (f"> {_text(warning)}", ">")][:-1]
    lines += ["", *(f"- {_text(sentence)}" for sentence in summary.verdicts)]
    lines += ["", "## Pass rates", "", *_scores(summary), "", "## Differences on the same tasks", ""]
    lines += [*_differences(summary), "", "## Tokens, time, energy", "", *_costs(summary)]
    lines += ["", "## Losses", "", *_losses(summary), "", "## The team's settings", ""]
    lines += _table(("setting", *(arm.name for arm in manifest.arms)), _team(manifest))
    lines += ["", "## The run", ""]
    lines += _table(("setting", "value"), view.settings_rows(manifest))
    return "\n".join(lines) + "\n"


def _scores(summary: Summary) -> Iterator[str]:
    keys = ("arm", "suite", "half", "passed", "rate", "interval", "k1", "k10", "k100")
    columns = ("arm", "tests", "tasks", "passed", "rate", "95 % interval", "pass@1", "pass@10", "pass@100")
    yield from _table(columns, ([row[key] for key in keys] for row in view.score_rows(summary)))


def _differences(summary: Summary) -> Iterator[str]:
    columns = ("compared", "tests", "points", "95 % interval", "McNemar p", "relative", "won", "lost", "same")
    rows, tasks = [], []
    for plot in (view.differences(summary, suite) for suite in summary.suites):
        for row in plot["rows"]:
            p = row["p"] or f"none: {row['p_reason']}"
            counts = [str(n) for n in (len(row["won"]), len(row["lost"]), row["ties"])]
            figures = [row["points"], row["interval"], p, row["relative"], *counts]
            rows.append([row["name"], plot["suite"], *figures, row["why"]])
            won, lost = (", ".join(row[key]) or "none" for key in ("won", "lost"))
            tasks.append(f"- {_text(row['name'])}, {plot['suite']}: won {_text(won)}; lost {_text(lost)}")
    if not rows:
        yield "There is nothing to compare."
        return
    yield from _table((*columns, "question"), rows)
    yield from ("", "p values are not corrected for the number of comparisons.", "")
    yield from tasks


def _costs(summary: Summary) -> Iterator[str]:
    columns = {
        **{"name": "arm", "samples": "judged", "calls": "calls", "prefilled": "prefilled", "cached": "cached"},
        **{"decoded": "generated", "per_sample": "per sample", "times_tokens": "x direct", "programs": "programs"},
        **{"time": "time", "times_time": "x direct", "energy": "energy"},
    }
    yield from _table(tuple(columns.values()), ([row[key] for key in columns] for row in view.arm_rows(summary)))


def _team(manifest: Manifest) -> Iterator[tuple[str, ...]]:
    for name, values in view.team_rows(manifest):
        yield (name, *values)


def _losses(summary: Summary) -> Iterator[str]:
    keys = ("name", "rules", "without_code", "cut", "failed_extraction", "failed_code", "claims", "statuses")
    columns = ("arm", "code found by", "no code", "cut", "failed: extraction", "failed: wrong code", "false claims")
    rows = ([str(row[key]) for key in keys] for row in view.arm_rows(summary))
    yield from _table((*columns, "base tests ended"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_text, columns))} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(map(_text, row))} |"


def _text(value: str) -> str:
    """Text that Markdown takes as text."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", re.sub(r"\s+", " ", value))
