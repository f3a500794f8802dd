"""Diagrams of networks, worked out from their rows of the table of variants: layers, shapes and numbers of parameters.

The private functions add marks from `y` on and return the y of their end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from matplotlib.figure import Figure

from pairnet.models import notation
from pairnet.models.notation import (
    Activation,
    BatchNorm,
    Conv,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    Order,
    Pool,
    Shape,
    Softmax,
)
from pairnet.models.steps import steps
from pairnet.models.variants import IMAGE, PAIR, Variant, check, count_parameters
from pairnet.reporting.figures.drawing import INK, SERIES, style
from pairnet.reporting.figures.marks import Arrow, Box, Diagram, Mark, Picture, Words, draw, width_of
from pairnet.wording import counted

WIDTH, MARGIN, PICTURE = 317.0, 6.0, 35.0
CENTRE = WIDTH / 2
FIRST, SECOND, BOTH, HEAD, AUXILIARY = SERIES[:5]
"""Colours of what belongs to the first image, the second, or both, and of the two parts behind the towers."""

TITLE, SIZE, SMALL = 10.0, 8.0, 7.5
"""Sizes of the name, of text, and of notes and shapes."""

LINE, ARROW = 10.5, 12.0
"""Height of a line of text, and length of an arrow."""

DIGITS = (
    (".####..", "#....#.", ".....##", ".....#.", "..###..", ".....#.", "......#", "#.....#", "##...#.", ".####.."),
    ("#######", "#....##", ".....#.", "....##.", "....#..", "...##..", "...#...", "..##...", "..#....", "..#...."),
)
"""A 3 and a 7, for the pictures of the images."""

ACTIVATIONS = {"relu": " · ReLU", "none": "", "sigmoid": " · sigmoid", "tanh": " · tanh"}
"""What is written behind the name of a layer."""

Align = Literal["left", "center"]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Layers that are drawn in one frame."""

    title: str
    notes: tuple[str, ...] = ()
    layers: tuple[Layer, ...]
    before: Shape  # of the input
    activation: Activation
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
        return max(width_of(_show(shape), size=SMALL, bold=False) for shape in shapes)

    def boxes(self) -> list[tuple[str, Shape, bool]]:
        """Text, output shape and whether it has parameters: of each layer with the activation and BN that follow it."""
        found: list[tuple[str, Shape, bool]] = []
        for step in steps(self.layers, self.before, activation=self.activation, scores=not self.tower):
            text = f"{'flatten · ' * step.flattens}{describe(step.layer)}{ACTIVATIONS[step.activation]}"
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
    """The figure of a network; see `diagram`."""
    return draw(diagram(variant))


def diagram(variant: Variant) -> Diagram:
    """The network from both images to its answer, 4.4 inches wide and as high as it needs.

    Colours tell which image a part belongs to. A shared tower is one frame that both images enter; towers of their own
    are two frames. Dashed parts are used in training only. Raises NotationError if the layers do not fit.
    """
    check(variant)
    marks: list[Mark] = []
    with style():  # texts are as wide as its font makes them
        name, total = _fold(variant.name, WIDTH - 2 * MARGIN, size=TITLE, bold=True), count_parameters(variant)
        y = _write(marks, name, MARGIN, MARGIN, size=TITLE, bold=True, align="left")
        facts = [f"{_count(total)} in total", *(["activation: none"] if variant.activation == "none" else [])]
        y = _write(marks, facts, MARGIN, y, align="left") + 6
        y = (_joint if variant.net else _twin)(marks, variant, y)
        if any(isinstance(layer, Conv) and not layer.padded for layer in (*variant.net_layers, *variant.tower_layers)):
            y = _write(marks, ["conv*: without padding"], MARGIN, y + 6, size=SMALL, align="left")
    return Diagram(width=WIDTH, height=y + MARGIN, marks=tuple(marks))


def _joint(marks: list[Mark], variant: Variant, y: float) -> float:
    """A network over the pair, from the pictures to the answer."""
    sources = (CENTRE - 42, CENTRE + 42)
    y = _merge(marks, sources, _pictures(marks, sources, y))
    y = _box(marks, [f"one image of two channels: {_show(PAIR)}"], CENTRE, y, BOTH, width=190, fill=0.12, radius=0)
    net = Frame(title="network", layers=variant.net_layers, before=PAIR, activation=variant.activation, colour=BOTH)
    return _answer(marks, variant, CENTRE, _centred(marks, net, _flow(marks, net.flows, CENTRE, y)))


def _twin(marks: list[Mark], variant: Variant, y: float) -> float:
    """A network of towers and a head, from the pictures to the answer."""
    tower = Frame(
        title="one tower for both images",
        notes=("the same weights for both" if variant.shared else "weights of its own",),
        layers=variant.tower_layers,
        before=IMAGE,
        activation=variant.activation,
        colour=BOTH,
        tower=True,
    )
    gap = tower.room + 8
    width, half = CENTRE - MARGIN - gap / 2, CENTRE - MARGIN
    sources = (MARGIN + width / 2, WIDTH - MARGIN - width / 2)
    top = y = _pictures(marks, sources, y)
    if variant.shared:
        y = _flow(marks, tower.flows, CENTRE, _centred(marks, tower, _merge(marks, sources, y)))
    else:
        for which, x, colour, shapes in zip(("first", "second"), sources, (FIRST, SECOND), (CENTRE, None), strict=True):
            own = replace(tower, title=f"{which} tower", colour=colour)
            y = _part(marks, own, x, _flow(marks, own.flows, x, top), width, shapes, align="center")
            y = _flow(marks, own.flows, x, y)
    features = notation.output_shape(tower.layers, IMAGE)
    values = f"{_show(features)} {'probabilities' if variant.orders else 'features'}"
    _box(marks, [f"first: {values}"], CENTRE - half / 2, y, FIRST, width=half, fill=0.12, radius=0)
    y = _box(marks, [f"second: {values}"], CENTRE + half / 2, y, SECOND, width=half, fill=0.12, radius=0)
    return _comparison(marks, variant, features, y)


def _comparison(marks: list[Mark], variant: Variant, features: Shape, y: float) -> float:
    """The head, and the branch of the auxiliary loss, from the features to the answer."""
    size, formula = math.prod(features), ("sum of p(i)·q(j) for i ≤ j",) if variant.orders else ()
    head = Frame(
        title="head",
        notes=formula,
        layers=variant.head_layers,
        before=(2 * size,),
        activation=variant.activation,
        colour=HEAD,
    )
    if not variant.classifies_digits:
        _write(marks, [f"both together: {2 * size}"], CENTRE + 6, y + 1, size=SMALL, align="left")
        y = _arrow(marks, [(CENTRE, y), (CENTRE, y + LINE + 6)])
        return _answer(marks, variant, CENTRE, _centred(marks, head, y))
    parts = [head]
    if variant.auxiliary:
        notes, layers = ("in training only", "the same weights for both"), variant.auxiliary_layers
        title = "auxiliary classifier"
        parts.append(replace(head, title=title, notes=notes, layers=layers, before=features, colour=AUXILIARY))
    width = CENTRE - MARGIN - 8 - max(part.room for part in parts)
    left, right, top = MARGIN + width / 2, CENTRE + 4 + width / 2, y + 6
    _write(marks, [f"both together: {2 * size}"], left + 6, y + 8, size=SMALL, align="left")
    _write(marks, [f"each image: {size}"], right + 6, y + 8, size=SMALL, align="left")
    _arrow(marks, [(CENTRE, top), (right, top), (right, top + 16)], dashed=True)
    y = _arrow(marks, [(CENTRE, y), (CENTRE, top), (left, top), (left, top + 16)])
    end = _answer(marks, variant, left, _part(marks, head, left, y, width, left + width / 2 + 4))
    results = ["auxiliary loss,", "in training only"]
    for auxiliary in parts[1:]:
        y = _part(marks, auxiliary, right, y, width, right + width / 2 + 4)
        y = _arrow(marks, [(right, y), (right, y + LINE + 6)], dashed=True)
        results = ["digit scores,", "for the auxiliary loss"]
    return max(end, _box(marks, results, right, y, AUXILIARY, radius=8))


def _answer(marks: list[Mark], variant: Variant, x: float, y: float) -> float:
    """From the end of the last part to the probability."""
    if not variant.orders:
        _write(marks, ["sigmoid"], x + 6, y + 1, size=SMALL, align="left")
    y = _arrow(marks, [(x, y), (x, y + LINE + 6)])
    return _box(marks, ["P(first ≤ second)"], x, y, INK, radius=8, bold=True)


def _centred(marks: list[Mark], part: Frame, y: float) -> float:
    """A part in the middle, its shapes to the right of it."""
    width = min(180, WIDTH - 2 * (MARGIN + part.room + 5))
    return _part(marks, part, CENTRE, y, width, CENTRE + width / 2 + 5)


def _part(
    marks: list[Mark], part: Frame, x: float, top: float, width: float, shapes: float | None, align: Align = "left"
) -> float:
    """A frame around the middle `x` with the boxes of its layers, their output shapes at `shapes`."""
    inner = width - 10
    y = _write(marks, _fold(part.title, inner, bold=True), x, top + 4, bold=True)
    for note in (*part.notes, _count(notation.count_parameters(part.layers, part.before))):
        y = _write(marks, _fold(note, inner, size=SMALL), x, y, size=SMALL)
    y += 4
    for number, (text, shape, weighted) in enumerate(part.boxes()):
        if number:
            y = _flow(marks, part.flows, x, y, dashed=part.colour == AUXILIARY) if weighted else y + 2
        lines, fill, above = _fold(text, inner - 6), 0.25 if weighted else 0.0, y
        y = _box(marks, lines, x, y, part.colour, width=inner, margin=2.5, fill=fill)
        if shapes is not None:
            _write(marks, [_show(shape)], shapes, (above + y - LINE) / 2, size=SMALL, align=align)
    return _box(marks, (), x, top, part.colour, width=width, margin=(y + 5 - top) / 2, fill=0.07)


def _pictures(marks: list[Mark], at: Sequence[float], top: float) -> float:
    """Both images around `at`."""
    pixel = PICTURE / IMAGE[1]
    for x, name, digit, colour in zip(at, ("first digit", "second digit"), DIGITS, (FIRST, SECOND), strict=True):
        y = _write(marks, [_show(IMAGE)], x, _write(marks, [name], x, top, bold=True), size=SMALL) + 2
        end = _box(marks, (), x, y, colour, width=PICTURE, margin=PICTURE / 2, fill=0.12, radius=0)
        dark = [(column, row) for row, line in enumerate(digit) for column, mark in enumerate(line) if mark == "#"]
        corners = tuple((x + (column - 3) * pixel, y + (row + 2) * pixel) for column, row in dark)
        marks.append(Picture(corners=corners, side=pixel, colour=colour))
    return end


def _merge(marks: list[Mark], sources: Sequence[float], y: float) -> float:
    """The ways of both images into one place in the middle."""
    for x, end, colour in zip(sources, (CENTRE - 6, CENTRE + 6), (FIRST, SECOND), strict=True):
        _arrow(marks, [(x, y), (x, y + 8), (end, y + 8), (end, y + 20)], colour=colour)
    return y + 20


def _flow(marks: list[Mark], colours: Sequence[str], x: float, y: float, *, dashed: bool = False) -> float:
    """Short arrows downwards around `x`, one of each colour, side by side."""
    for at, colour in zip((x,) if len(colours) == 1 else (x - 6, x + 6), colours, strict=True):
        _arrow(marks, [(at, y), (at, y + ARROW)], colour=colour, dashed=dashed)
    return y + ARROW


def _arrow(
    marks: list[Mark], points: Sequence[tuple[float, float]], *, colour: str = INK, dashed: bool = False
) -> float:
    """An arrow through `points`."""
    marks.append(Arrow(points=tuple(points), colour=colour, dashed=dashed))
    return points[-1][1]


def _box(
    marks: list[Mark],
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
    end = _write(marks, lines, x, y + margin, bold=bold) + margin
    width = width or max(width_of(line, size=SIZE, bold=bold) for line in lines) + 16
    box = Box(
        left=x - width / 2,
        top=y,
        width=width,
        height=end - y,
        colour=colour,
        fill=fill,
        radius=radius,
        dashed=colour == AUXILIARY,
    )
    marks.append(box)
    return end


def _write(
    marks: list[Mark],
    lines: Sequence[str],
    x: float,
    y: float,
    *,
    size: float = SIZE,
    bold: bool = False,
    align: Align = "center",
) -> float:
    """Lines of text, one below the other; `align`: which side of them `x` is."""
    height = LINE * size / SIZE
    for number, line in enumerate(lines):
        middle = y + (number + 0.5) * height
        marks.append(Words(text=line, x=x, middle=middle, size=size, bold=bold, align=align))
    return y + len(lines) * height


def _fold(text: str, width: float, *, size: float = SIZE, bold: bool = False) -> list[str]:
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


def _show(shape: Shape) -> str:
    return "×".join(map(str, shape))


def _count(parameters: int) -> str:
    return counted(parameters, "parameter") if parameters else "no parameters"
