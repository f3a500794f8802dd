"""What diagrams are drawn with: boxes, arrows and lines of text. Lengths are points, and y counts downwards.

Functions that draw something from `top` downwards return the y of its end.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Polygon
from matplotlib.textpath import text_to_path

from pairnet.reporting.figures.drawing import INK

SIZE, SMALL = 8.0, 7.5
"""Sizes of text, and of notes and shapes."""

LINE, ARROW = 10.5, 12.0
"""Height of a line of text, and length of an arrow."""

DASHES = (0, (3, 2))


def flow(axes: Axes, colours: Sequence[str], *, x: float, top: float, dashed: bool = False) -> float:
    """Short arrows downwards around `x`, one of each colour, side by side."""
    for lane, colour in zip(lanes(x, len(colours)), colours, strict=True):
        arrow(axes, [(lane, top), (lane, top + ARROW)], colour=colour, dashed=dashed)
    return top + ARROW


def lanes(x: float, count: int) -> tuple[float, ...]:
    """The x of one arrow, or of two side by side, around `x`."""
    return (x,) if count == 1 else (x - 6, x + 6)


def arrow(axes: Axes, points: Sequence[tuple[float, float]], *, colour: str = INK, dashed: bool = False) -> float:
    """A line through `points` with a head at its end, which points down."""
    x, end = points[-1]
    xs, ys = zip(*points[:-1], (x, end - 3), strict=True)
    axes.plot(xs, ys, color=colour, linewidth=1, linestyle=DASHES if dashed else "-", solid_capstyle="butt")
    axes.add_patch(Polygon([(x - 2.5, end - 5), (x + 2.5, end - 5), (x, end)], facecolor=colour, edgecolor="none"))
    return end


def pill(
    axes: Axes,
    lines: Sequence[str],
    *,
    x: float,
    top: float,
    colour: str = INK,
    bold: bool = False,
    dashed: bool = False,
) -> float:
    """A result: lines of text around `x` in a box with round ends."""
    width = max(width_of(line, bold=bold) for line in lines) + 16
    height = LINE * len(lines) + 7
    box(axes, x - width / 2, top, width, height, colour, alpha=0, dashed=dashed, rounding=8)
    write(axes, lines, x=x, top=top + 3.5, bold=bold)
    return top + height


def box(
    axes: Axes,
    left: float,
    top: float,
    width: float,
    height: float,
    colour: str,
    *,
    alpha: float,
    dashed: bool = False,
    rounding: float = 3,
) -> None:
    """A rectangle with rounded corners, filled with its colour at `alpha`."""
    rectangle = FancyBboxPatch(
        (left, top),
        width,
        height,
        boxstyle=f"round,pad=0,rounding_size={rounding}",
        facecolor=(colour, alpha) if alpha else "none",
        edgecolor=colour,
        linewidth=0.8,
        linestyle=DASHES if dashed else "-",
    )
    axes.add_patch(rectangle)


def write(
    axes: Axes,
    lines: Sequence[str],
    *,
    x: float,
    top: float,
    size: float = SIZE,
    bold: bool = False,
    align: str = "center",
) -> float:
    """Lines of text, one below the other; `align`: which side of them `x` is."""
    height = LINE * size / SIZE
    weight = "bold" if bold else "normal"
    for number, line in enumerate(lines):
        y = top + (number + 0.5) * height
        axes.text(x, y, line, size=size, weight=weight, ha=align, va="center", parse_math=False)
    return top + len(lines) * height


def fold(text: str, width: float, *, size: float = SIZE, bold: bool = False) -> list[str]:
    """`text` in lines of at most `width`, broken at spaces, and within a word that is wider."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if width_of(longer, size=size, bold=bold) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and width_of(lines[-1] + character, size=size, bold=bold) > width:
                lines.append("")
            lines[-1] += character
    return lines


def width_of(text: str, *, size: float = SIZE, bold: bool = False) -> float:
    """Width of a line of text in matplotlib's own font, which is wider than those of most pages."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0])
