"""The heat map of an inspected file: blocks against kinds, coloured by bits or by relative error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leafwise.quant.errors import QuantizeError
from leafwise.quant.inspect import InspectedTensor, Inspection
from leafwise.runtime.paths import write_whole
from leafwise.runtime.verify_report import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".svg", ".png", ".pdf")
"""How a picture's name may end."""
_CELL_WIDTH, _ROW_HEIGHT = 0.72, 0.2  # inches
_LABEL = 16  # characters of a kind
_MOST_LABELLED = 64  # blocks; with more, the cells are too low for text


def draw(inspection: Inspection, path: Path, title: str) -> None:
    """Draw bits per weight and, where there was a reference, relative errors beside them.

    Args:
        inspection: what to draw.
        path: the picture; its name ends in one of `FORMATS`.
        title: the name over it.

    Raises:
        QuantizeError: matplotlib is not installed, the format is unknown, there is nothing to draw, or the file cannot
            be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise QuantizeError(f"no picture can be {path.name}", f"let its name end in {', '.join(FORMATS)}")
    if not inspection.blocks or not inspection.kinds:
        raise QuantizeError("the file has no blocks to draw", "`leafwise models show` says what is in it")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise QuantizeError("pictures need matplotlib", "pip install 'leafwise[plots]'") from error
    panels = 1 if inspection.error is None else 2
    rows, columns = len(inspection.blocks) + len(inspection.outside), len(inspection.kinds)
    height = max(2.6, 1.5 + _ROW_HEIGHT * (rows + 1))
    figure = Figure(figsize=(1.3 + panels * (1.35 + columns * _CELL_WIDTH), height), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Sequence[Axes] = figure.subplots(1, panels, squeeze=False)[0]
    said = f"{printable(title)}: {inspection.bits_per_weight:.2f} bits per weight"
    figure.suptitle(said, fontsize=11, parse_math=False)
    _panel(axes[0], inspection, lambda tensor: tensor.bits, lambda tensor: tensor.type.lower(), _bits(inspection))
    if panels == 2:
        _panel(axes[1], inspection, lambda tensor: tensor.error, _percent, _errors(inspection))
    drawn = BytesIO()
    figure.savefig(drawn, format=path.suffix[1:].lower(), dpi=150)
    try:
        write_whole(path, drawn.getvalue())
    except OSError as error:
        raise QuantizeError(f"cannot write {path}: {error.strerror}", "choose another place") from error


def _bits(inspection: Inspection) -> dict[str, Any]:
    highest = max([9.0, *(tensor.bits for tensor in _drawn(inspection) if tensor.bits < 16)])
    # one scale for all files, so that pictures can be compared; full precision lies beyond it
    return {"title": "bits per weight", "map": "YlGnBu", "low": 1.5, "high": highest, "scale": 1.0}


def _errors(inspection: Inspection) -> dict[str, Any]:
    values = [tensor.error for tensor in _drawn(inspection) if tensor.error is not None] or [1.0]
    title = "relative error, %" + (" (weighted by importance)" if inspection.weighted else "")
    return {"title": title, "map": "YlOrRd", "low": 0.0, "high": max(values), "scale": 100.0}


def _drawn(inspection: Inspection) -> list[InspectedTensor]:
    inside = (inspection.at(block, kind) for block in inspection.blocks for kind in inspection.kinds)
    return [*(tensor for tensor in inside if tensor), *inspection.outside]


def _panel(
    axes: Axes,
    inspection: Inspection,
    value: Callable[[InspectedTensor], float | None],
    label: Callable[[InspectedTensor], str],
    look: dict[str, Any],
) -> None:
    """One heat map: a row for each block; below them the matrices outside of blocks, each over the whole width."""
    import matplotlib as mpl
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    blocks, kinds, outside = inspection.blocks, inspection.kinds, inspection.outside
    low, high = look["low"] * look["scale"], look["high"] * look["scale"]
    colours = ScalarMappable(Normalize(low, high if high > low else low + 1), mpl.colormaps[look["map"]])
    cells: list[tuple[float, float, int, InspectedTensor | None]] = [
        (x, y, 1, inspection.at(block, kind)) for y, block in enumerate(blocks) for x, kind in enumerate(kinds)
    ]
    gap = 0.4
    cells += [(0, len(blocks) + gap + i, len(kinds), tensor) for i, tensor in enumerate(outside)]
    for x, y, width, tensor in cells:
        number = value(tensor) if tensor else None
        if tensor is None or number is None:
            axes.add_patch(Rectangle((x, y), width, 1, facecolor="0.93", edgecolor="white", hatch="////", linewidth=0))
            continue
        colour = colours.to_rgba(number * look["scale"])
        axes.add_patch(Rectangle((x, y), width, 1, facecolor=colour, edgecolor="white", linewidth=0.6))
        if len(blocks) <= _MOST_LABELLED:
            dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 0.55
            style: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "fontsize": 6,
                "color": "white" if dark else "black",
            }
            axes.text(x + width / 2, y + 0.53, label(tensor), **style)
    rows = [i + 0.5 for i in range(len(blocks))] + [len(blocks) + gap + i + 0.5 for i in range(len(outside))]
    # a file's own words: neither formulas nor control characters
    plain: dict[str, Any] = {"fontsize": 7, "parse_math": False}
    names = [*(f"block {block}" for block in blocks), *(printable(tensor.kind, _LABEL) for tensor in outside)]
    axes.set_yticks(rows, names, **plain)
    places, names = [i + 0.5 for i in range(len(kinds))], [printable(kind, _LABEL) for kind in kinds]
    axes.set_xticks(places, names, **plain, rotation=30, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_xlim(0, len(kinds))
    axes.set_ylim(len(blocks) + gap + len(outside), 0)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = axes.figure.colorbar(colours, ax=axes, pad=0.02, fraction=0.05)
    bar.set_label(look["title"], fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _percent(tensor: InspectedTensor) -> str:
    return "" if tensor.error is None else f"{100 * tensor.error:.1f}"
