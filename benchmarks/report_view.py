"""What report.html shows, as plain data: rows, positions on the plots in per cent, cells, and the settings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from leafwise.benchmarks.contracts import Manifest, SuiteName
from leafwise.benchmarks.summary import p_text
from leafwise.benchmarks.summary_contracts import ArmSummary, Cell, Comparison, Multiple, Outcome, Score, Summary, Why

_CHARACTER, _LINE = 1.4, 6.7
"""A label's size on the scatter plot, in per cent of its width (per character) and height."""
BLOCK = 20
"""Tasks side by side in the grid before it begins a new block."""
SUITES: dict[SuiteName, str] = {"base": "base tests", "plus": "base and plus tests"}
WHY: dict[Why, str] = {
    "first": "what it adds to the first arm",
    "resample": "what it adds to resampling",
    "paper": "the published method",
    "part": "what the part is worth",
    "model": "another model",
}
"""Why two arms are compared, for people."""
HALVES = {"all": "all tasks", "even": "even tasks (tuning)", "odd": "odd tasks (reporting)"}


def percent(value: float | None) -> str:
    """A rate for people: `9.1 %`; a dash for nothing."""
    return "-" if value is None else f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def dots(summary: Summary, suite: SuiteName) -> dict[str, Any]:
    """The arms' pass rates with intervals, all and both halves, on one axis."""
    scores = [score for arm in summary.arms for score in arm.scores if score.suite == suite and score.interval]
    top = _axis_end(max((score.interval.high for score in scores if score.interval), default=1.0))
    rows = []
    for i, arm in enumerate(summary.arms):
        mine = [score for score in arm.scores if score.suite == suite and score.interval]
        rows.append({"name": arm.name, "colour": i % 6, "points": [_point(score, top) for score in mine]})
    return {"suite": SUITES[suite], "rows": rows, "ticks": _ticks(0, top, lambda v: f"{100 * v:.3g} %")}


def _point(score: Score, top: float) -> dict[str, Any]:
    assert score.interval is not None
    assert score.rate is not None
    low, high = score.interval.low, score.interval.high
    text = f"{score.passed} of {score.total}, {percent(score.rate)}, 95 % interval {percent(low)} to {percent(high)}"
    return {
        "half": score.half,
        "x": _at(score.rate, 0, top),
        "low": _at(low, 0, top),
        "high": _at(high, 0, top),
        "count": f"{score.passed}/{score.total}",
        "text": f"{HALVES[score.half]}: {text}",
    }


def differences(summary: Summary, suite: SuiteName) -> dict[str, Any]:
    """The comparisons over all tasks, as intervals around zero."""
    found = [one for one in summary.comparisons if (one.suite, one.half) == (suite, "all")]
    ends = [abs(end) for one in found for end in (one.paired.interval.low, one.paired.interval.high)]
    top = 100 * _axis_end(max([*ends, 1.0]) / 100)
    rows = [_difference(one, top) for one in found]
    return {"suite": SUITES[suite], "rows": rows, "ticks": _ticks(-top, top, lambda v: f"{v:+.3g}" if v else "0")}


def _difference(one: Comparison, top: float) -> dict[str, Any]:
    paired = one.paired
    return {
        "name": f"{one.arm} vs {one.other}",
        "why": WHY[one.why],
        "x": _at(paired.difference, -top, top),
        "low": _at(paired.interval.low, -top, top),
        "high": _at(paired.interval.high, -top, top),
        "certain": paired.certain,
        "points": f"{paired.difference:+.1f}",
        "interval": f"{paired.interval.low:+.1f} to {paired.interval.high:+.1f}",
        "won": paired.won,
        "lost": paired.lost,
        "ties": paired.ties,
        "tasks": paired.tasks,
        "p": p_text(paired.p).removeprefix("= ") if paired.p is not None else "",
        "p_reason": paired.p_reason,
        "relative": f"{100 * paired.relative:+.0f} %" if paired.relative is not None else "-",
    }


def scatter(summary: Summary) -> dict[str, Any]:
    """Generated tokens per sample against the base pass rate of all tasks."""
    found = [(i, arm, arm.score()) for i, arm in enumerate(summary.arms) if arm.cost.samples]
    known = [(i, arm, score.rate) for i, arm, score in found if score and score.rate is not None]
    tokens = [arm.cost.completion_tokens / arm.cost.samples for _, arm, _ in known]
    right = _axis_end(max([*tokens, 1.0]) * 1.15)
    top = _axis_end(max([rate for _, _, rate in known] + [0.01]) * 1.1)
    points = [
        {
            "name": short_name(arm),
            "colour": i % 6,
            "x": _at(count, 0, right),
            "y": 100 - _at(rate, 0, top),
            "text": f"{arm.name}: {count:,.0f} tokens a sample, {percent(rate)}",
            "left": count > 0.6 * right,
        }
        for (i, arm, rate), count in zip(known, tokens, strict=True)
    ]
    _part(points)
    xs = _ticks(0, right, lambda v: f"{v:,.0f}")
    ys = [{**tick, "x": 100 - tick["x"]} for tick in _ticks(0, top, lambda v: f"{100 * v:.3g} %")]
    return {"points": points, "xs": xs, "ys": ys}


def _part(points: list[dict[str, Any]]) -> None:
    """Move labels up or down until none covers another label or a point; those that moved get a line to theirs."""
    taken = [(point["x"] - 1.5, point["x"] + 1.5, point["y"]) for point in points]
    for point in points:
        width = _CHARACTER * len(point["name"])
        begin = point["x"] - 2 - width if point["left"] else point["x"] + 2
        heights = [point["y"] + _LINE * step for step in sorted(range(-9, 10), key=abs)]
        free = [
            y
            for y in heights
            if 3 < y < 97
            and not any(b < begin + width and begin < e and abs(y - other) < _LINE - 0.1 for b, e, other in taken)
        ]
        point["label_y"] = round((free or heights)[0], 2)
        point["label_x"] = round(point["x"] + (-1.6 if point["left"] else 1.6), 2)
        taken.append((begin, begin + width, point["label_y"]))


def short_name(arm: ArmSummary) -> str:
    """An arm's name where there is little room: `no-gate` for `guided-no-gate`."""
    return arm.name.replace("guided-no-", "no-") if arm.without else arm.name


def blocks(summary: Summary) -> list[dict[str, Any]]:
    """The outcome grid: blocks of tasks side by side, a row per arm."""
    cells = {(cell.task, cell.arm): cell for cell in summary.cells}
    found = []
    for start in range(0, len(summary.tasks), BLOCK):
        tasks = summary.tasks[start : start + BLOCK]
        rows = [
            {"arm": arm.name, "short": short_name(arm), "cells": [_cell(cells[task, arm.name]) for task in tasks]}
            for arm in summary.arms
        ]
        found.append({"first": tasks[0], "last": tasks[-1], "rows": rows})
    return found


def _cell(cell: Cell) -> dict[str, Any]:
    judged = [outcome for outcome in cell.outcomes if outcome.base is not None]
    passed = sum(outcome.base is True for outcome in judged)
    kind, mark = _kind(cell.outcomes, judged, passed)
    words = f"{passed} of {len(judged)} samples pass" if len(judged) > 1 else kind.replace("-", " ")
    if any(outcome.plus is False and outcome.base for outcome in judged):
        words += ", fails plus tests"
        mark = mark or "+"
    return {
        "task": cell.task,
        "arm": cell.arm,
        "kind": kind,
        "mark": mark,
        "label": f"{cell.task}, {cell.arm}: {words}",
    }


def _kind(outcomes: tuple[Outcome, ...], judged: list[Outcome], passed: int) -> tuple[str, str]:
    if not judged:
        return ("not-judged", "?") if outcomes else ("missing", "·")
    if passed:
        return ("passed", "") if passed == len(judged) else ("partly-passed", "")
    if any(outcome.rule in ("none", "prefix") or outcome.cut for outcome in judged):
        return "lost-in-extraction", "~"
    if any(outcome.claim == "passed" for outcome in judged):
        return "failed-despite-its-visible-examples", "!"
    return "failed", ""


def arm_rows(summary: Summary) -> list[dict[str, Any]]:
    """Costs and losses, arm by arm, as text."""
    return [
        {
            "name": arm.name,
            "samples": f"{arm.judged} of {arm.expected}",
            "calls": f"{arm.cost.calls:,}",
            "prefilled": f"{arm.cost.prefilled_tokens:,}",
            "cached": f"{arm.cost.cached_tokens:,}",
            "decoded": f"{arm.cost.completion_tokens:,}",
            "per_sample": f"{arm.cost.completion_tokens / arm.cost.samples:,.0f}" if arm.cost.samples else "-",
            "programs": f"{arm.cost.programs:,}",
            "time": duration(arm.cost.seconds),
            **_times(arm.times_direct),
            "energy": f"{arm.cost.joules / 3600:.2f} Wh" if arm.cost.joules is not None else "not measured",
            "rules": ", ".join(f"{rule} {count}" for rule, count in arm.extraction.rules.items()) or "-",
            "without_code": arm.extraction.without_code,
            "cut": arm.extraction.cut,
            "failed_extraction": arm.extraction.failed_extraction,
            "failed_code": arm.extraction.failed_code,
            "claims": f"{arm.false_claims} of {arm.claims}",
            "statuses": ", ".join(f"{status} {count}" for status, count in sorted(arm.statuses.items())) or "-",
        }
        for arm in summary.arms
    ]


def _times(beside: Multiple | None) -> dict[str, str]:
    tokens, seconds = (beside.tokens, beside.seconds) if beside else (None, None)
    return {"times_tokens": times(tokens), "times_time": times(seconds)}


def times(factor: float | None) -> str:
    """A multiple for people: `3.9x`; a dash for none."""
    return "-" if factor is None else f"{factor:.1f}x"


def score_rows(summary: Summary) -> list[dict[str, str]]:
    """Every score, as text."""
    return [_score_row(arm, score) for arm in summary.arms for score in arm.scores]


def _score_row(arm: ArmSummary, score: Score) -> dict[str, str]:
    interval = f"{percent(score.interval.low)} to {percent(score.interval.high)}" if score.interval else "-"
    pass_at = {f"k{p.k}": percent(p.value) if p.value is not None else f"- ({p.reason})" for p in score.pass_at}
    return {
        "arm": arm.name,
        "suite": SUITES[score.suite],
        "half": HALVES[score.half],
        "passed": f"{score.passed} of {score.total}",
        "rate": percent(score.rate),
        "interval": interval,
        **pass_at,
    }


def team_rows(manifest: Manifest) -> list[tuple[str, tuple[str, ...]]]:
    """Every knob of the team with its value in each arm. A budget that follows another arm's tokens says so."""
    arms = [dict(_flat("", arm.settings.model_dump(mode="json"))) for arm in manifest.arms]
    for knobs, arm in zip(arms, manifest.arms, strict=True):
        if arm.matches is not None:
            knobs["max_tokens"] = f"as {arm.matches} used"
    names = dict.fromkeys(name for knobs in arms for name in knobs)
    return [(name, tuple(knobs.get(name) or "-" for knobs in arms)) for name in names]


def settings_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """The rest of the manifest as names and values."""
    whole = manifest.model_dump(mode="json", exclude={"tasks": True, "arms": {"__all__": {"settings"}}})
    rows = dict(_flat("", whole))
    return [("tasks", f"{len(manifest.tasks)}: {_shortened(manifest.tasks)}"), *rows.items()]


def _shortened(tasks: Iterable[str]) -> str:
    names = list(tasks)
    return ", ".join(names if len(names) < 13 else [*names[:6], "...", *names[-6:]])


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else key, inner)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for i, inner in enumerate(value):
            yield from _flat(f"{prefix}.{inner.get('name', i)}" if isinstance(inner, dict) else f"{prefix}.{i}", inner)
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield prefix, "-" if value is None or value in ([], {}) else text


def _axis_end(value: float) -> float:
    """The next number whose quarters are round as well: the axis has four steps."""
    step: float = 10.0 ** math.floor(math.log10(value))
    return next(step * m for m in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * m >= value * 0.999999)


def _at(value: float, low: float, high: float) -> float:
    """A place on an axis, in per cent."""
    return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 2)


def _ticks(low: float, high: float, text: Any) -> list[dict[str, Any]]:
    return [
        {
            "x": 25.0 * i,
            "text": text(low + (high - low) * i / 4),
            "anchor": ("start", "middle", "end")[(i > 0) + (i > 3)],
        }
        for i in range(5)
    ]
