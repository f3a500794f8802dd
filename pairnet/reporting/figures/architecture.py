"""Diagrams of networks, drawn from their rows of the table of variants: layers, shapes and numbers of parameters.

Lengths are points and y counts downwards; the private functions draw from `y` on and return the y of their end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from pairnet.models import notation
from pairnet.models.notation import BatchNorm, Conv, Dropout, GlobalPool, Layer, Linear, Order, Pool, Shape, Softmax
from pairnet.models.steps import steps
from pairnet.models.variants import IMAGE, PAIR, Variant, check, count_parameters
from pairnet.reporting.figures.drawing import INK, SERIES, style
from pairnet.reporting.figures.rendering import POINTS, size_of
from pairnet.wording import counted

WIDTH, MARGIN, PICTURE = 317.0, 6.0, 35.0
CENTRE = WIDTH / 2
FIRST, SECOND, BOTH, HEAD, AUXILIARY = SERIES[:5]
"""Colours of what belongs to the first image, the second, or both, and of the two parts behind the towers."""

SIZE, SMALL = 8.0, 7.5
"""Sizes of text, and of notes and shapes."""

LINE, ARROW = 10.5, 12.0
"""Height of a line of text, and length of an arrow."""

DIGITS = (
    (".####..", "#....#.", ".....##", ".....#.", "..###..", ".....#.", "......#", "#.....#", "##...#.", ".####.."),
    ("#######", "#....##", ".....#.", "....##.", "....#..", "...##..", "...#...", "..##...", "..#....", "..#...."),
)
"""A 3 and a 7, for the pictures of the images."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Layers that are drawn in one frame."""

    title: str
    notes: tuple[str, ...] = ()
    layers: tuple[Layer, ...]
    before: Shape  # of the input
    colour: str
    tower: bool = False

    @property
    def flows(self) -> tuple[str, ...]:
        """Colours of the arrows between the boxes: one for each image that passes by itself."""
        return (INK,) if not self.tower else (FIRST, SECOND) if self.colour == BOTH else (self.colour,)

    @property
    def room(self) -> float:
        """Width of the widest shape, next to the frame."""
        shapes = notation.shapes(self.layers, self.before)[1:]
        return max(_width(_show(shape), size=SMALL) for shape in shapes)

    def boxes(self) -> list[tuple[str, Shape, bool]]:
        """Text, output shape and whether it has parameters: of each layer with the ReLU and BN that follow it."""
        found: list[tuple[str, Shape, bool]] = []
        for step in steps(self.layers, self.before, scores=not self.tower):
            text = f"{'flatten · ' * step.flattens}{describe(step.layer)}{' · ReLU' * step.relu}"
            if isinstance(step.layer, BatchNorm) and found and found[-1][2]:
                text = f"{found.pop()[0]} · {text}"
            found.append((text, step.layer.output(step.before), step.layer.parameters(step.before) > 0))
        return found


def describe(layer: Layer) -> str:
    """A layer in words, without its number of inputs: "conv 3×3, 32"."""
    match layer:
        case Conv(_, outputs, kernel, padded, stride):
            text = f"conv{'' if padded else '*'} {kernel}×{kernel}, {outputs}"
            return f"{text}, stride {stride}" if stride > 1 else text
        case Linear(_, outputs):
            return f"fc {outputs}"
        case Pool(size):
            return f"max-pool {size}"
        case Dropout():
            return f"dropout {str(layer)[2:-1]}"
        case GlobalPool():
            return "mean of each channel"
        case BatchNorm() | Softmax() | Order():
            return str(layer)


def architecture(variant: Variant) -> Figure:
    """The network from both images to its answer, 4.4 inches wide and as high as it needs.

    Colours tell which image a part belongs to. A shared tower is one frame that both images enter; towers of their own
    are two frames. Dashed parts are used in training only. Raises NotationError if the layers do not fit.
    """
    check(variant)
    drawn: list[Artist] = []
    with style():
        name, total = _fold(variant.name, WIDTH - 2 * MARGIN, size=10, bold=True), _count(count_parameters(variant))
        y = _write(drawn, name, MARGIN, MARGIN, size=10, bold=True, align="left")
        y = _write(drawn, [f"{total} in total"], MARGIN, y, align="left") + 6
        y = (_joint if variant.net else _twin)(drawn, variant, y)
        if any(isinstance(layer, Conv) and not layer.padded for layer in (*variant.net_layers, *variant.tower_layers)):
            y = _write(drawn, ["conv*: without padding"], MARGIN, y + 6, size=SMALL, align="left")
        height = y + MARGIN
        figure = Figure(figsize=(WIDTH / POINTS, height / POINTS))
    downwards = Affine2D().scale(1, -1).translate(0, height).scale(1 / POINTS) + figure.dpi_scale_trans
    for artist in drawn:
        artist.set_transform(downwards)
        figure.add_artist(artist)
    return figure


def _joint(drawn: list[Artist], variant: Variant, y: float) -> float:
    """A network over the pair, from the pictures to the answer."""
    sources = (CENTRE - 42, CENTRE + 42)
    y = _merge(drawn, sources, _pictures(drawn, sources, y))
    y = _box(drawn, [f"one image of two channels: {_show(PAIR)}"], CENTRE, y, BOTH, width=190, fill=0.12, radius=0)
    net = Frame(title="network", layers=variant.net_layers, before=PAIR, colour=BOTH)
    return _answer(drawn, variant, CENTRE, _centred(drawn, net, _flow(drawn, net.flows, CENTRE, y)))


def _twin(drawn: list[Artist], variant: Variant, y: float) -> float:
    """A network of towers and a head, from the pictures to the answer."""
    layers, notes = variant.tower_layers, ("the same weights for both" if variant.shared else "weights of its own",)
    tower = Frame(title="one tower for both images", notes=notes, layers=layers, before=IMAGE, colour=BOTH, tower=True)
    gap = tower.room + 8
    width, half = CENTRE - MARGIN - gap / 2, CENTRE - MARGIN
    sources = (MARGIN + width / 2, WIDTH - MARGIN - width / 2)
    top = y = _pictures(drawn, sources, y)
    if variant.shared:
        y = _flow(drawn, tower.flows, CENTRE, _centred(drawn, tower, _merge(drawn, sources, y)))
    else:
        for which, x, colour, shapes in zip(("first", "second"), sources, (FIRST, SECOND), (CENTRE, None), strict=True):
            own = replace(tower, title=f"{which} tower", colour=colour)
            y = _part(drawn, own, x, _flow(drawn, own.flows, x, top), width, shapes, align="center")
            y = _flow(drawn, own.flows, x, y)
    features = notation.output_shape(layers, IMAGE)
    values = f"{_show(features)} {'probabilities' if variant.orders else 'features'}"
    _box(drawn, [f"first: {values}"], CENTRE - half / 2, y, FIRST, width=half, fill=0.12, radius=0)
    y = _box(drawn, [f"second: {values}"], CENTRE + half / 2, y, SECOND, width=half, fill=0.12, radius=0)
    return _comparison(drawn, variant, features, y)


def _comparison(drawn: list[Artist], variant: Variant, features: Shape, y: float) -> float:
    """The head, and the branch of the auxiliary loss, from the features to the answer."""
    size, formula = math.prod(features), ("sum of p(i)·q(j) for i ≤ j",) if variant.orders else ()
    head = Frame(title="head", notes=formula, layers=variant.head_layers, before=(2 * size,), colour=HEAD)
    if not variant.classifies_digits:
        _write(drawn, [f"both together: {2 * size}"], CENTRE + 6, y + 1, size=SMALL, align="left")
        y = _arrow(drawn, [(CENTRE, y), (CENTRE, y + LINE + 6)])
        return _answer(drawn, variant, CENTRE, _centred(drawn, head, y))
    parts = [head]
    if variant.auxiliary:
        title, notes = "auxiliary classifier", ("in training only", "the same weights for both")
        layers = variant.auxiliary_layers
        parts.append(Frame(title=title, notes=notes, layers=layers, before=features, colour=AUXILIARY))
    width = CENTRE - MARGIN - 8 - max(part.room for part in parts)
    left, right, top = MARGIN + width / 2, CENTRE + 4 + width / 2, y + 6
    _write(drawn, [f"both together: {2 * size}"], left + 6, y + 8, size=SMALL, align="left")
    _write(drawn, [f"each image: {size}"], right + 6, y + 8, size=SMALL, align="left")
    _arrow(drawn, [(CENTRE, top), (right, top), (right, top + 16)], dashed=True)
    y = _arrow(drawn, [(CENTRE, y), (CENTRE, top), (left, top), (left, top + 16)])
    end = _answer(drawn, variant, left, _part(drawn, head, left, y, width, left + width / 2 + 4))
    results = ["auxiliary loss,", "in training only"]
    for auxiliary in parts[1:]:
        y = _part(drawn, auxiliary, right, y, width, right + width / 2 + 4)
        y = _arrow(drawn, [(right, y), (right, y + LINE + 6)], dashed=True)
        results = ["digit scores,", "for the auxiliary loss"]
    return max(end, _box(drawn, results, right, y, AUXILIARY, radius=8))


def _answer(drawn: list[Artist], variant: Variant, x: float, y: float) -> float:
    """From the end of the last part to the probability."""
    if not variant.orders:
        _write(drawn, ["sigmoid"], x + 6, y + 1, size=SMALL, align="left")
    y = _arrow(drawn, [(x, y), (x, y + LINE + 6)])
    return _box(drawn, ["P(first ≤ second)"], x, y, INK, radius=8, bold=True)


def _centred(drawn: list[Artist], part: Frame, y: float) -> float:
    """A part in the middle, its shapes to the right of it."""
    width = min(180, WIDTH - 2 * (MARGIN + part.room + 5))
    return _part(drawn, part, CENTRE, y, width, CENTRE + width / 2 + 5)


def _part(
    drawn: list[Artist], part: Frame, x: float, top: float, width: float, shapes: float | None, align: str = "left"
) -> float:
    """A frame around the middle `x` with the boxes of its layers, their output shapes at `shapes`."""
    inner = width - 10
    y = _write(drawn, _fold(part.title, inner, bold=True), x, top + 4, bold=True)
    for note in (*part.notes, _count(notation.count_parameters(part.layers, part.before))):
        y = _write(drawn, _fold(note, inner, size=SMALL), x, y, size=SMALL)
    y += 4
    for number, (text, shape, weighted) in enumerate(part.boxes()):
        if number:
            y = _flow(drawn, part.flows, x, y, dashed=part.colour == AUXILIARY) if weighted else y + 2
        lines, fill, above = _fold(text, inner - 6), 0.25 if weighted else 0.0, y
        y = _box(drawn, lines, x, y, part.colour, width=inner, margin=2.5, fill=fill)
        if shapes is not None:
            _write(drawn, [_show(shape)], shapes, (above + y - LINE) / 2, size=SMALL, align=align)
    return _box(drawn, (), x, top, part.colour, width=width, margin=(y + 5 - top) / 2, fill=0.07)


def _pictures(drawn: list[Artist], at: Sequence[float], top: float) -> float:
    """Both images around `at`."""
    pixel = PICTURE / IMAGE[1]
    for x, name, digit, colour in zip(at, ("first digit", "second digit"), DIGITS, (FIRST, SECOND), strict=True):
        y = _write(drawn, [_show(IMAGE)], x, _write(drawn, [name], x, top, bold=True), size=SMALL) + 2
        dark = [(column, row) for row, line in enumerate(digit) for column, mark in enumerate(line) if mark == "#"]
        place = Affine2D().translate(-3, 2).scale(pixel).translate(x, y)
        path = Path.make_compound_path(
            *(Path.unit_rectangle().transformed(Affine2D().translate(*each)) for each in dark)
        )
        end = _box(drawn, (), x, y, colour, width=PICTURE, margin=PICTURE / 2, fill=0.12, radius=0)
        drawn.append(PathPatch(place.transform_path(path), facecolor=colour, edgecolor="none"))
    return end


def _merge(drawn: list[Artist], sources: Sequence[float], y: float) -> float:
    """The ways of both images into one place in the middle."""
    for x, end, colour in zip(sources, (CENTRE - 6, CENTRE + 6), (FIRST, SECOND), strict=True):
        _arrow(drawn, [(x, y), (x, y + 8), (end, y + 8), (end, y + 20)], colour=colour)
    return y + 20


def _flow(drawn: list[Artist], colours: Sequence[str], x: float, y: float, *, dashed: bool = False) -> float:
    """Short arrows downwards around `x`, one of each colour, side by side."""
    for at, colour in zip((x,) if len(colours) == 1 else (x - 6, x + 6), colours, strict=True):
        _arrow(drawn, [(at, y), (at, y + ARROW)], colour=colour, dashed=dashed)
    return y + ARROW


def _arrow(
    drawn: list[Artist], points: Sequence[tuple[float, float]], *, colour: str = INK, dashed: bool = False
) -> float:
    """A line through `points` with a head at its end, which points down."""
    x, end = points[-1]
    xs, ys = zip(*points[:-1], (x, end - 3), strict=True)
    drawn.append(Line2D(xs, ys, color=colour, linewidth=1, linestyle=_line(dashed), solid_capstyle="butt"))
    head = [(x - 2.5, end - 5), (x + 2.5, end - 5), (x, end)]
    drawn.append(Polygon(head, facecolor=colour, edgecolor="none"))
    return end


def _box(
    drawn: list[Artist],
    lines: Sequence[str],
    x: float,
    y: float,
    colour: str,
    *,
    width: float | None = None,
    margin: float = 3.5,
    fill: float = 0.0,
    radius: float = 3.0,
    bold: bool = False,
) -> float:
    """Lines of text around `x` with `margin` above and below, in a box as wide as they need unless `width` is given."""
    end = _write(drawn, lines, x, y + margin, bold=bold) + margin
    width = width or max(_width(line, bold=bold) for line in lines) + 16
    corners = f"round,pad=0,rounding_size={radius}" if radius else "square,pad=0"
    box = FancyBboxPatch((x - width / 2, y), width, end - y, boxstyle=corners, edgecolor=colour)
    box.set(facecolor=(colour, fill) if fill else "none", linewidth=0.8 if radius else 1.0)
    box.set_linestyle(_line(colour == AUXILIARY))
    drawn.append(box)
    return end


def _write(
    drawn: list[Artist],
    lines: Sequence[str],
    x: float,
    y: float,
    *,
    size: float = SIZE,
    bold: bool = False,
    align: str = "center",
) -> float:
    """Lines of text, one below the other; `align`: which side of them `x` is."""
    height, font = LINE * size / SIZE, _font(size, bold)
    for number, line in enumerate(lines):
        middle = y + (number + 0.5) * height
        drawn.append(Text(x, middle, line, fontproperties=font, ha=align, va="center", parse_math=False))
    return y + len(lines) * height


def _fold(text: str, width: float, *, size: float = SIZE, bold: bool = False) -> list[str]:
    """`text` in lines of at most `width`, broken at spaces, and within a word that is wider."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if _width(longer, size=size, bold=bold) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and _width(lines[-1] + character, size=size, bold=bold) > width:
                lines.append("")
            lines[-1] += character
    return lines


def _width(line: str, *, size: float = SIZE, bold: bool = False) -> float:
    return size_of(line, _font(size, bold))[0]


@cache
def _font(size: float, bold: bool) -> FontProperties:
    return FontProperties(size=size, weight="bold" if bold else "normal")


def _line(dashed: bool) -> Any:
    return (0, (3, 2)) if dashed else "-"


def _show(shape: Shape) -> str:
    return "×".join(map(str, shape))


def _count(parameters: int) -> str:
    return counted(parameters, "parameter") if parameters else "no parameters"
