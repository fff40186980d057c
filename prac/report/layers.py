"""Where a ticket keeps its weights: one bar a layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

# matplotlib is optional, and slow to import.
if TYPE_CHECKING:
    from prac.pruning.mask import Mask


def save_layers(mask: Mask, title: str, path: Path) -> None:
    """Draw the share of weights alive in each layer of a mask, first layer on top, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name.removesuffix(".weight") for name in mask]
    alive = [100 * float(tensor.float().mean()) for tensor in mask.values()]
    figure = Figure(figsize=(7, max(2.2, 0.24 * len(names) + 1.2)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    bars = axes.barh(names, alive, color="#0072b2")
    axes.bar_label(bars, fmt="%.1f %%", padding=3, fontsize=8)
    axes.axvline(100 * mask.density, color="#444444", linestyle="--", linewidth=1)
    axes.set_xlim(0, 115)
    axes.set_xlabel("weights left in the layer, % (dashed: all together)")
    axes.tick_params(axis="y", labelsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})
