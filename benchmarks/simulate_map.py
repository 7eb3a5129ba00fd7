"""The map of a simulation: the gain over `resample` for every p and q, as map.svg and map.html, which work offline."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from leafwise.agents.statement import count
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.pairing import Paired
from leafwise.benchmarks.simulate import LABEL, Cell, Study
from leafwise.benchmarks.simulate_results import ALL, RIVAL, gain_in, groups_of
from leafwise.benchmarks.simulated_engine import Skill
from leafwise.runtime.paths import write_whole

PS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.63, 0.7, 0.8, 0.9)
"""Chances of a right function on the map; 0.63 is a Llama 3.1 8B-like coder."""
QS = (0.2, 0.4, 0.67, 0.8, 1.0)
"""Chances of a right check on the map; 0.67 is a Llama 3.1 8B-like coder's."""
_WIDE, _HIGH, _LEFT, _TOP, _BELOW = 62, 40, 64, 44, 56
_GAP = 48
_FULL = 20.0
"""Points at which a colour is full."""
_GAIN, _LOSS, _PAPER, _INK = (29, 95, 209), (180, 83, 9), (250, 249, 246), "#1b1f24"


class Panel(NamedTuple):
    """One map: a strategy on a group of tasks."""

    arm: str
    """The strategy."""
    group: str
    """The data set."""
    tasks: int
    """Tasks in it."""
    gains: dict[tuple[float, float], Paired]
    """For p and q, the comparison with `resample`."""

    @property
    def title(self) -> str:
        """Its heading."""
        return f"{self.arm} - {RIVAL}, {self.group} ({self.tasks} tasks)"


def grid_of(model: Skill) -> list[Skill]:
    """The skills of the map: every p with every q; the rest as the model has it."""
    return [model.model_copy(update={"p": p, "q": q}) for p in PS for q in QS]


def panels_of(cells: Sequence[Cell], arms: Sequence[str]) -> list[Panel]:
    """The maps that cells allow.

    Args:
        cells: with `resample` and the strategies.
        arms: strategies to compare with it.
    """
    groups = groups_of(cells[0].arms[0].passed)
    found = []
    for arm in arms:
        for group in groups[1:] or groups:
            gains = {}
            for cell in cells:
                mine = cell.arm(arm)
                gain = gain_in(group, mine, cell.arm(RIVAL)) if mine else None
                if gain is not None:
                    gains[cell.skill.p, cell.skill.q] = gain
            tasks = max((gain.tasks for gain in gains.values()), default=0)
            found.append(Panel(arm, "tasks" if group == ALL else group, tasks, gains))
    return found


def findings(panels: Sequence[Panel]) -> Iterator[str]:
    """What the maps say, a line each: where a strategy gains, where it loses, and from which skill on it pays."""
    for panel in panels:
        better = [key for key, gain in panel.gains.items() if gain.difference > 0]
        worse = [key for key, gain in panel.gains.items() if gain.difference < 0]
        best = max(panel.gains, key=lambda key: panel.gains[key].difference)
        yield (
            f"{panel.title}: better in {len(better)} of {len(panel.gains)} cells, worse in {len(worse)}; "
            f"most at p {best[0]:g}, q {best[1]:g}: {panel.gains[best].difference:+.1f} points"
        )
        for name, place, values in (("p", 0, PS), ("q", 1, QS)):
            means = [_mean([g.difference for key, g in panel.gains.items() if key[place] == value]) for value in values]
            told = ", ".join(f"{value:g}: {mean:+.1f}" for value, mean in zip(values, means, strict=True))
            yield f"  mean gain in points at {name} {told}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def write_map(cells: Sequence[Cell], arms: Sequence[str], study: Study, directory: Path) -> list[str]:
    """Write map.svg and map.html.

    Args:
        cells: of the grid.
        arms: strategies to compare with `resample`.
        study: what the cells have in common.
        directory: where to write.

    Returns:
        What the maps say, a line each.

    Raises:
        BenchmarkError: a file cannot be written.
    """
    panels = panels_of(cells, arms)
    told = list(findings(panels))
    svg = render_svg(panels)
    first = cells[0]
    facts = (
        f"d {first.skill.d:g}, concentration {first.skill.concentration:g}, budget {first.budget:g} answers, "
        f"{count(len(study.tasks), 'task')}, {count(study.samples, 'answer')}"
        f" per task and strategy, seed {study.seed}"
    )
    try:
        write_whole(directory / "map.svg", svg.encode() + b"\n")
        write_whole(directory / "map.html", _page(svg, panels, told, facts).encode())
    except OSError as error:
        raise BenchmarkError(f"cannot write into {directory}: {error.strerror}", "choose another --out") from error
    return told


# --- drawing ---------------------------------------------------------------------------------------------------------


def render_svg(panels: Sequence[Panel]) -> str:
    """All maps side by side in rows of two, with their axes and the scale of colours."""
    width = _LEFT + len(PS) * _WIDE + _GAP
    height = _TOP + len(QS) * _HIGH + _BELOW
    rows = (len(panels) + 1) // 2
    columns = min(2, len(panels))
    pieces = [
        f'<g transform="translate({(i % 2) * width},{(i // 2) * height})">{_panel(panel)}</g>'
        for i, panel in enumerate(panels)
    ]
    total = rows * height + 40
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns * width} {total}" role="img" '
        f'font-family="system-ui, DejaVu Sans, sans-serif" font-size="13" fill="{_INK}">'
        f"<title>{LABEL}: gain over {RIVAL} at equal budget, in points</title>"
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(pieces)}{_scale(rows * height)}</svg>'
    )


def _panel(panel: Panel) -> str:
    parts = [_text(_LEFT, 24, html.escape(panel.title), "font-size:16px;font-weight:600", anchor="start")]
    bottom = _TOP + len(QS) * _HIGH
    for column, p in enumerate(PS):
        x = _LEFT + column * _WIDE
        parts.append(_text(x + _WIDE / 2, bottom + 18, f"{p:g}"))
        for row, q in enumerate(reversed(QS)):
            if (gain := panel.gains.get((p, q))) is not None:
                parts.append(_square(x, _TOP + row * _HIGH, gain, f"p {p:g}, q {q:g}"))
    for row, q in enumerate(reversed(QS)):
        parts.append(_text(_LEFT - 8, _TOP + row * _HIGH + _HIGH / 2 + 5, f"{q:g}", anchor="end"))
    middle = _LEFT + len(PS) * _WIDE / 2
    parts.append(_text(middle, bottom + 40, "p: chance that a function is right"))
    centre = _TOP + len(QS) * _HIGH / 2
    turned = _text(0, 0, "q: chance that a check is right")
    parts.append(f'<g transform="translate(16,{centre:g}) rotate(-90)">{turned}</g>')
    return "".join(parts)


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "middle") -> str:
    """Text whose looks are in its style: the page's own would win over attributes."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" style="fill:{_INK};font-size:13px;{style}">{text}</text>'


def _square(x: float, y: float, gain: Paired, where: str) -> str:
    value = gain.difference
    share = min(1.0, abs(value) / _FULL)
    ink = "#fff" if share > 0.55 else _INK
    style = f"fill:{ink};font-size:14px;font-weight:{700 if gain.certain else 400}"
    told = f"{where}: {value:+.1f} points ({gain.interval.low:+.1f} to {gain.interval.high:+.1f})"
    label = _text(x + _WIDE / 2 - 1, y + _HIGH / 2 + 4, f"{value:+.1f}" if abs(value) >= 0.05 else "0", style)
    square = f'<rect x="{x:g}" y="{y:g}" width="{_WIDE - 2}" height="{_HIGH - 2}" rx="3" fill="{_colour(value)}"/>'
    return f"<g><title>{told}</title>{square}{label}</g>"


def _colour(value: float) -> str:
    share = min(1.0, abs(value) / _FULL)
    full = _GAIN if value > 0 else _LOSS
    mixed = (round(pale + (strong - pale) * share) for pale, strong in zip(_PAPER, full, strict=True))
    return f"rgb({','.join(map(str, mixed))})"


def _scale(y: float) -> str:
    steps = (-20, -15, -10, -5, 0, 5, 10, 15, 20)
    squares = "".join(
        f'<rect x="{_LEFT + i * 34}" y="{y}" width="34" height="14" fill="{_colour(step)}"/>'
        + _text(_LEFT + i * 34 + 17, y + 30, f"{step:+d}" if step else "0")
        for i, step in enumerate(steps)
    )
    words = f"points over {RIVAL} at equal budget; bold: more than chance explains. {LABEL.capitalize()}."
    return squares + _text(_LEFT + 34 * len(steps) + 14, y + 12, words, anchor="start")


def _page(svg: str, panels: Sequence[Panel], told: Sequence[str], facts: str) -> str:
    style = (resources.files("leafwise.benchmarks") / "report.css").read_text(encoding="utf-8")
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in told)
    tables = "".join(map(_table, panels))
    return (
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Simulated gain over {RIVAL}</title><style>{style}</style></head><body><header>"
        f'<p class="kicker">leafwise bench simulate --map</p><h1>When does guidance pay?</h1>'
        f'<div class="warnings"><p>{LABEL}. {html.escape(facts)}.</p></div></header><main>'
        f"<section><h2>Gain over {RIVAL}</h2>{svg}</section>"
        f"<section><h2>What it says</h2>{lines}</section><section><h2>The numbers</h2>{tables}</section>"
        "</main></body></html>\n"
    )


def _table(panel: Panel) -> str:
    head = "".join(f"<th>p {p:g}</th>" for p in PS)
    rows = ""
    for q in reversed(QS):
        found = [panel.gains.get((p, q)) for p in PS]
        cells = "".join(
            f"<td>{100 * gain.other_rate:.0f} → {100 * gain.rate:.0f}</td>" if gain else "<td></td>" for gain in found
        )
        rows += f"<tr><th>q {q:g}</th>{cells}</tr>"
    caption = f"{panel.title}: per cent right, {RIVAL} → {panel.arm}"
    first = f"<caption>{html.escape(caption)}</caption><tr><th></th>{head}</tr>"
    return f'<div class="scroll"><table>{first}{rows}</table></div>'
