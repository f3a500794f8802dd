"""Diagrams of networks, drawn from their rows of the table of variants: layers, shapes and numbers of parameters.

The private functions draw from `top` downwards and return the y of their end, as those of diagram.py do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pairnet.models import notation
from pairnet.models.notation import BatchNorm, Conv, Dropout, GlobalPool, Layer, Linear, Order, Pool, Shape, Softmax
from pairnet.models.steps import steps
from pairnet.models.variants import IMAGE, PAIR, Variant, check, count_parameters
from pairnet.reporting.figures.diagram import ARROW, LINE, SMALL, arrow, box, flow, fold, lanes, pill, width_of, write
from pairnet.reporting.figures.drawing import INK, SERIES, style
from pairnet.wording import counted

WIDTH, MARGIN, PICTURE = 317.0, 6.0, 35.0
CENTRE = WIDTH / 2
FIRST, SECOND, BOTH, HEAD, AUXILIARY = SERIES[:5]
"""Colours of what belongs to the first image, the second, or both, and of the two parts behind the towers."""

DIGITS = (
    (".####..", "#....#.", ".....##", ".....#.", "..###..", ".....#.", "......#", "#.....#", "##...#.", ".####.."),
    ("#######", "#....##", ".....#.", "....##.", "....#..", "...##..", "...#...", "..##...", "..#....", "..#...."),
)
"""A 3 and a 7, for the pictures of the images."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A layer, with the ReLU and BN that follow it: one box."""

    text: str
    shape: Shape  # of the output
    weighted: bool  # whether it has parameters
    starts: bool  # whether a block starts here, after an arrow


@dataclass(frozen=True, kw_only=True)
class Part:
    """Layers that are drawn in one frame."""

    title: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    colour: str
    flows: tuple[str, ...] = (INK,)  # colours of the arrows between blocks, one for each image that passes by itself
    dashed: bool = False


def rows(layers: Sequence[Layer], before: Shape, *, scores: bool = False) -> tuple[Row, ...]:
    """The boxes of `layers` on an input of shape `before`; `scores` as in `steps`."""
    found: list[Row] = []
    for step in steps(tuple(layers), before, scores=scores):
        text = f"flatten · {describe(step.layer)}" if step.flattens else describe(step.layer)
        weighted = step.layer.parameters(step.before) > 0
        if isinstance(step.layer, BatchNorm) and found and found[-1].weighted:
            text = f"{found.pop().text} · {text}"
        if step.relu:
            text = f"{text} · ReLU"
        shape = step.layer.output(step.before)
        found.append(Row(text=text, shape=shape, weighted=weighted, starts=weighted or not found))
    return tuple(found)


def describe(layer: Layer) -> str:
    """A layer in words, without its number of inputs: "conv 3×3, 32"."""
    match layer:
        case Conv(_, outputs, kernel, padded, stride):
            text = f"conv{'' if padded else '*'} {kernel}×{kernel}, {outputs}"
            return f"{text}, stride {stride}" if stride > 1 else text
        case Linear(_, outputs):
            return f"fc {outputs}"
        case BatchNorm():
            return "BN"
        case Pool(size):
            return f"max-pool {size}"
        case Dropout():
            return f"dropout {str(layer)[2:-1]}"
        case GlobalPool():
            return "mean of each channel"
        case Softmax():
            return "softmax"
        case Order(classes):
            return f"order({classes})"


def show(shape: Shape) -> str:
    """A shape as it is drawn: "32×14×14"."""
    return "×".join(map(str, shape))


def architecture(variant: Variant) -> Figure:
    """The network from both images to its answer, 4.4 inches wide and as high as it needs.

    Colours tell which image a part belongs to. A shared tower is one frame that both images enter; towers of their own
    are two frames. Dashed parts are used in training only. Raises NotationError if the layers do not fit.
    """
    check(variant)
    with style():
        figure = Figure(figsize=(WIDTH / 72, 1))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        name = fold(variant.name, WIDTH - 2 * MARGIN, size=10, bold=True)
        y = write(axes, name, x=MARGIN, top=MARGIN, size=10, bold=True, align="left")
        y = write(axes, [f"{_parameters(count_parameters(variant))} in total"], x=MARGIN, top=y, align="left") + 6
        y = _joint(axes, variant, top=y) if variant.net else _twin(axes, variant, top=y)
        if any(isinstance(layer, Conv) and not layer.padded for layer in (*variant.net_layers, *variant.tower_layers)):
            y = write(axes, ["conv*: without padding"], x=MARGIN, top=y + 6, size=SMALL, align="left")
        height = y + MARGIN
        axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        figure.set_size_inches(WIDTH / 72, height / 72)
    return figure


def _joint(axes: Axes, variant: Variant, *, top: float) -> float:
    """A network over the pair, from the pictures to the answer."""
    sources = (CENTRE - 42, CENTRE + 42)
    y = _merge(axes, sources, top=_pictures(axes, sources, top=top))
    y = _bar(axes, [(f"one image of two channels: {show(PAIR)}", BOTH)], width=190, top=y)
    layers = rows(variant.net_layers, PAIR, scores=True)
    net = Part(title="network", notes=(_parameters(count_parameters(variant)),), rows=layers, colour=BOTH)
    y = arrow(axes, [(CENTRE, y), (CENTRE, y + ARROW)])
    return _answer(axes, variant, x=CENTRE, top=_centred(axes, net, top=y))


def _twin(axes: Axes, variant: Variant, *, top: float) -> float:
    """A network of towers and a head, from the pictures to the answer."""
    features = notation.output_shape(variant.tower_layers, IMAGE)
    layers, each = rows(variant.tower_layers, IMAGE), notation.count_parameters(variant.tower_layers, IMAGE)
    gap = _widest(layers) + 8
    sources = ((MARGIN + CENTRE - gap / 2) / 2, (WIDTH - MARGIN + CENTRE + gap / 2) / 2)
    y = _pictures(axes, sources, top=top)
    if variant.shared:
        title, notes = "one tower for both images", ("the same weights for both", _parameters(each))
        tower = Part(title=title, notes=notes, rows=layers, colour=BOTH, flows=(FIRST, SECOND))
        y = _centred(axes, tower, top=_merge(axes, sources, top=y))
        y = flow(axes, (FIRST, SECOND), x=CENTRE, top=y)
    else:
        top, half = y + ARROW, CENTRE - MARGIN - gap / 2
        for which, x, colour in zip(("first", "second"), sources, (FIRST, SECOND), strict=True):
            flow(axes, (colour,), x=x, top=y)
            notes = ("weights of its own", _parameters(each))
            tower = Part(title=f"{which} tower", notes=notes, rows=layers, colour=colour, flows=(colour,))
            end = _part(axes, tower, x=x, width=half, top=top, shapes=CENTRE if x < CENTRE else None, align="center")
            flow(axes, (colour,), x=x, top=end)
        y = end + ARROW
    values = "probabilities" if variant.orders else "features"
    each_image = f"{show(features)} {values}"
    cells = [(f"first: {each_image}", FIRST), (f"second: {each_image}", SECOND)]
    y = _bar(axes, cells, width=WIDTH - 2 * MARGIN, top=y)
    return _comparison(axes, variant, features, top=y)


def _comparison(axes: Axes, variant: Variant, features: Shape, *, top: float) -> float:
    """The head, and the branch of the auxiliary loss, from the features to the answer."""
    size = math.prod(features)
    layers = rows(variant.head_layers, (2 * size,), scores=True)
    count = _parameters(notation.count_parameters(variant.head_layers, (2 * size,)))
    formula = ("sum of p(i)·q(j) for i ≤ j",) if variant.orders else ()
    head = Part(title="head", notes=(*formula, count), rows=layers, colour=HEAD)
    if not variant.classifies_digits:
        y = arrow(axes, [(CENTRE, top), (CENTRE, top + LINE + 6)])
        write(axes, [f"both together: {2 * size}"], x=CENTRE + 6, top=top + 1, size=SMALL, align="left")
        return _answer(axes, variant, x=CENTRE, top=_centred(axes, head, top=y))
    branch = rows(variant.auxiliary_layers, features, scores=True) if variant.auxiliary else ()
    column, room = CENTRE - MARGIN - 4, max(_widest(layers), _widest(branch)) + 4  # room for shapes next to a frame
    width = column - room
    left, right = MARGIN + width / 2, CENTRE + 4 + width / 2
    y = arrow(axes, [(CENTRE, top), (CENTRE, top + 6), (left, top + 6), (left, top + 22)])
    arrow(axes, [(CENTRE, top + 6), (right, top + 6), (right, top + 22)], dashed=True)
    write(axes, [f"both together: {2 * size}"], x=left + 6, top=top + 8, size=SMALL, align="left")
    write(axes, [f"each image: {size}"], x=right + 6, top=top + 8, size=SMALL, align="left")
    end = _part(axes, head, x=left, width=width, top=y, shapes=left + width / 2 + 4)
    end = _answer(axes, variant, x=left, top=end)
    results = ["auxiliary loss,", "in training only"]
    if variant.auxiliary:
        count = _parameters(notation.count_parameters(variant.auxiliary_layers, features))
        notes = ("in training only", "the same weights for both", count)
        auxiliary = Part(title="auxiliary classifier", notes=notes, rows=branch, colour=AUXILIARY, dashed=True)
        y = _part(axes, auxiliary, x=right, width=width, top=y, shapes=right + width / 2 + 4)
        y = arrow(axes, [(right, y), (right, y + LINE + 6)], dashed=True)
        results = ["digit scores,", "for the auxiliary loss"]
    return max(end, pill(axes, results, x=right, top=y, colour=AUXILIARY, dashed=True))


def _answer(axes: Axes, variant: Variant, *, x: float, top: float) -> float:
    """From the end of the last part to the probability."""
    y = arrow(axes, [(x, top), (x, top + LINE + 6)])
    if not variant.orders:
        write(axes, ["sigmoid"], x=x + 6, top=top + 1, size=SMALL, align="left")
    return pill(axes, ["P(first ≤ second)"], x=x, top=y, bold=True)


def _centred(axes: Axes, part: Part, *, top: float) -> float:
    """A part in the middle, its shapes to the right of it."""
    width = min(180, WIDTH - 2 * (MARGIN + _widest(part.rows) + 5))
    return _part(axes, part, x=CENTRE, width=width, top=top, shapes=CENTRE + width / 2 + 5)


def _part(
    axes: Axes, part: Part, *, x: float, width: float, top: float, shapes: float | None, align: str = "left"
) -> float:
    """A frame around the middle `x` with the boxes of its layers, their output shapes at `shapes`."""
    inner = width - 10
    y = write(axes, fold(part.title, inner, bold=True), x=x, top=top + 4, bold=True)
    for note in part.notes:
        y = write(axes, fold(note, inner, size=SMALL), x=x, top=y, size=SMALL)
    y += 4
    for number, row in enumerate(part.rows):
        if number and row.starts:
            y = flow(axes, part.flows, x=x, top=y, dashed=part.dashed)
        lines = fold(row.text, inner - 6)
        height = LINE * len(lines) + 5
        box(axes, x - inner / 2, y, inner, height, part.colour, alpha=0.25 if row.weighted else 0, dashed=part.dashed)
        write(axes, lines, x=x, top=y + 2.5)
        if shapes is not None:
            write(axes, [show(row.shape)], x=shapes, top=y + height / 2 - LINE / 2, size=SMALL, align=align)
        y += height + (2 if number + 1 < len(part.rows) and not part.rows[number + 1].starts else 0)
    box(axes, x - width / 2, top, width, y + 5 - top, part.colour, alpha=0.07, dashed=part.dashed)
    return y + 5


def _pictures(axes: Axes, at: tuple[float, float], *, top: float) -> float:
    """Both images around `at`."""
    pixel = PICTURE / IMAGE[1]
    for x, name, digit, colour in zip(at, ("first digit", "second digit"), DIGITS, (FIRST, SECOND), strict=True):
        y = write(axes, [name], x=x, top=top, bold=True)
        y = write(axes, [show(IMAGE)], x=x, top=y, size=SMALL) + 2
        left = x - PICTURE / 2
        axes.add_patch(Rectangle((left, y), PICTURE, PICTURE, facecolor=(colour, 0.12), edgecolor=colour, linewidth=1))
        for row, line in enumerate(digit, start=2):
            for column, mark in enumerate(line, start=4):
                if mark == "#":
                    place = (left + column * pixel, y + row * pixel)
                    axes.add_patch(Rectangle(place, pixel, pixel, facecolor=colour, edgecolor="none"))
    return y + PICTURE


def _merge(axes: Axes, sources: tuple[float, float], *, top: float) -> float:
    """The ways of both images into one place in the middle."""
    for x, end, colour in zip(sources, lanes(CENTRE, 2), (FIRST, SECOND), strict=True):
        arrow(axes, [(x, top), (x, top + 8), (end, top + 8), (end, top + 20)], colour=colour)
    return top + 20


def _bar(axes: Axes, cells: Sequence[tuple[str, str]], *, width: float, top: float) -> float:
    """Values side by side, each cell with its text and colour."""
    each, height = width / len(cells), LINE + 7
    for number, (text, colour) in enumerate(cells):
        left = CENTRE - width / 2 + number * each
        place = (left, top)
        axes.add_patch(Rectangle(place, each, height, facecolor=(colour, 0.12), edgecolor=colour, linewidth=1))
        write(axes, [text], x=left + each / 2, top=top + 3.5)
    return top + height


def _widest(layers: Sequence[Row]) -> float:
    """Width of the widest shape."""
    return max((width_of(show(row.shape), size=SMALL) for row in layers), default=0)


def _parameters(number: int) -> str:
    return counted(number, "parameter") if number else "no parameters"
