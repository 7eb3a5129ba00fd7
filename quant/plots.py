"""Pictures of a sweep. matplotlib is an extra: it is imported when a picture is asked for."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

from leafwise.quant.errors import QuantizeError
from leafwise.quant.pareto import Sweep, Uniform
from leafwise.runtime.paths import write_whole

FORMATS = ("svg", "png", "pdf")
_BLUE, _GREY = "#2b6cb0", "#718096"
_CROWDED = 0.5  # bits per weight to the next label


def check_format(path: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        QuantizeError: it is none of `FORMATS`.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise QuantizeError(f"cannot draw a picture as {path.name}", f"end its name in one of {', '.join(FORMATS)}")
    return ending


def plot_sweep(sweep: Sweep, path: Path, *, title: str) -> None:
    """Draw size against predicted loss, and below it what the weights are made of.

    Raises:
        QuantizeError: matplotlib is not installed, or the file cannot be written.
    """
    format_ = check_format(path)
    figure = _figure()
    from matplotlib import rc_context

    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_frontier(upper, sweep)
    _draw_shares(lower, sweep)
    figure.suptitle(title)
    data = io.BytesIO()
    metadata = {"Date": None} if format_ == "svg" else None
    with rc_context({"svg.hashsalt": "leafwise"}):  # equal sweeps give equal files
        figure.savefig(data, format=format_, metadata=metadata, dpi=144)
    try:
        write_whole(path, data.getvalue())
    except OSError as error:
        raise QuantizeError(f"cannot write {path}: {error.strerror}", "choose another place") from error


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise QuantizeError("a picture needs matplotlib", "pip install 'leafwise[plots]'") from error
    # not through pyplot: no display is looked for, and nothing is kept
    return Figure(figsize=(8, 7), layout="constrained")


def _draw_frontier(axes: Any, sweep: Sweep) -> None:
    x = [point.totals["bits_per_weight"] for point in sweep.points]
    axes.plot(
        x, [point.totals["error"] for point in sweep.points], "o-", ms=4, color=_BLUE, label="one type per tensor"
    )
    low, high = min(x), max(x)
    margin = max(0.25, 0.05 * (high - low))
    shown = [u for u in sweep.uniform if low - margin <= u.totals["bits_per_weight"] <= high + margin]
    axes.plot(
        [u.totals["bits_per_weight"] for u in shown],
        [u.totals["error"] for u in shown],
        "s",
        ms=5,
        color=_GREY,
        label="the same type for all",
    )
    _label(axes, shown)
    if min(point.totals["error"] for point in sweep.points) > 0:
        axes.set_yscale("log")
    axes.set_ylabel("predicted loss")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _label(axes: Any, shown: list[Uniform]) -> None:
    """Types of one size in one label, one below the other; on the side where there is room."""
    groups: dict[float, list[Uniform]] = {}
    for entry in shown:
        groups.setdefault(round(entry.totals["bits_per_weight"], 2), []).append(entry)
    sizes = sorted(groups)
    for i, size in enumerate(sizes):
        members = sorted(groups[size], key=lambda entry: -entry.totals["error"])
        crowded = 0 < i < len(sizes) - 1 and sizes[i + 1] - size < _CROWDED
        middle = math.prod(entry.totals["error"] for entry in members) ** (1 / len(members))
        axes.annotate(
            "\n".join(entry.type for entry in members),
            (size, middle),
            xytext=(-7 if crowded else 7, 0),
            textcoords="offset points",
            ha="right" if crowded else "left",
            va="center",
            fontsize=8,
            color=_GREY,
        )


def _draw_shares(axes: Any, sweep: Sweep) -> None:
    from matplotlib import colormaps

    names = dict.fromkeys(u.type for u in sweep.uniform)
    names |= dict.fromkeys(type_ for point in sweep.points for type_ in point.shares)
    used = [name for name in names if any(name in point.shares for point in sweep.points)]
    x = [point.totals["bits_per_weight"] for point in sweep.points]
    heights = [[100 * point.shares.get(name, 0.0) for point in sweep.points] for name in used]
    colors = [colormaps["viridis"](i / max(1, len(used) - 1)) for i in range(len(used))]
    if len(x) > 1:
        axes.stackplot(x, heights, labels=used, colors=colors)
    else:
        bottom = 0.0
        for name, (height,), color in zip(used, heights, colors, strict=True):
            axes.bar(x, [height], 0.1, bottom=[bottom], label=name, color=color)
            bottom += height
    axes.set_ylim(0, 100)
    axes.set_ylabel("% of weights")
    axes.set_xlabel("bits per weight")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
