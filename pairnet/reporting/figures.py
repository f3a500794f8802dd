"""Figures, drawn with matplotlib from records."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pairnet.errors import ArgumentError
from pairnet.training.calibration import Bin, expected_calibration_error

FORMATS = (".svg", ".png", ".pdf")


def reliability_diagram(bins: Mapping[str, Sequence[Bin]]) -> Figure:
    """For each variant: the fraction of pairs in order against the probability that they were given, and how many."""
    figure = Figure(figsize=(4.2 * len(bins), 4.6), layout="constrained")
    axes = figure.subplots(2, len(bins), squeeze=False, sharex=True, sharey="row", height_ratios=(4, 1))
    for column, (name, found) in enumerate(bins.items()):
        filled = [(count, total / count, in_order / count) for count, total, in_order in found if count]
        above, below = axes[0, column], axes[1, column]
        above.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--")
        above.plot([p for _, p, _ in filled], [fraction for _, _, fraction in filled], marker="o", markersize=4)
        above.set_title(f"{name}, ECE {100 * expected_calibration_error(found):.2f} %")
        below.bar([p for _, p, _ in filled], [count for count, _, _ in filled], width=0.05)
        below.set_yscale("log")
        below.set_xlabel("P(first ≤ second)")
        above.set_aspect("equal")
    axes[0, 0].set_ylabel("fraction in order")
    axes[1, 0].set_ylabel("pairs")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes an SVG, PNG or PDF, by its name.  ArgumentError for another ending."""
    if path.suffix not in FORMATS:
        raise ArgumentError(f'expected a figure that ends in {", ".join(FORMATS)}, got "{path.suffix}"')
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, dpi=160, metadata=metadata)
