"""Diagrams as values, measured: where each box, text and arrow is, for all variants. Lengths are points, y downwards.

Positions are computed here from the order of the parts and the measures of the design, not by the code under test.
"""

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from reporting.test_architecture import OWN, parts_of

from pairnet.models.notation import BatchNorm, Conv, Linear, Softmax, shapes
from pairnet.models.variants import IMAGE, PAIR, VARIANTS, Variant, count_parameters
from pairnet.reporting.figures import architecture
from pairnet.reporting.figures.architecture import diagram
from pairnet.reporting.figures.drawing import INK, SERIES
from pairnet.reporting.figures.marks import Arrow, Box, Picture, Words

FIRST, SECOND, BOTH, HEAD, AUXILIARY = SERIES[:5]

# The design, in points.
WIDTH, MARGIN = 317, 6
LINE, NOTE_LINE, NAME_LINE = 10.5, 10.5 * 7.5 / 8, 10.5 * 10 / 8  # heights of lines of texts of 8, 7.5 and 10
PICTURE = 35
PADDING, TITLE_ABOVE, TITLE_BELOW = 5, 4, 4  # in a frame: around its layers, and around its title and notes
ARROW, LABELLED = 12, 16.5  # lengths of arrows, without and with a text at their right
NEXT = 2  # between layers of which the second has no parameters

WIDE = (
    Variant(name="wide", net="conv(2,1000000,3) G fc(1000000,1)"),
    Variant(name="conv net", net="conv(2,8,3) P(2) fc(392,1)"),
    Variant(name="padded", tower="conv(1,8,3) BN P(2) fc(392,9)", head="fc(18,1)"),
    Variant(
        name="uneven",
        tower="fc(196,9)",
        shared=False,
        head="fc(18,3) fc(3,1)",
        auxiliary="fc(9,654321) D(0.5) fc(654321,10)",
    ),
)
EVERY = [*VARIANTS, *OWN, *WIDE]
ALL = pytest.mark.parametrize("variant", EVERY, ids=lambda variant: variant.name[:20])


def near(one, other):
    return abs(one - other) < 1e-6


def width(words):
    font = FontProperties(size=words.size, weight="bold" if words.bold else "normal")
    return text_to_path.get_text_width_height_descent(words.text, font, False)[0]


def shown(shape):
    return "×".join(map(str, shape))


class Measured:
    """A diagram's marks by what they are for."""

    def __init__(self, variant):
        self.diagram = diagram(variant)
        kinds = {kind: [mark for mark in self.diagram.marks if isinstance(mark, kind)] for kind in (Words, Box, Arrow)}
        self.words, self.boxes, self.arrows = kinds.values()
        self.pictures = [mark for mark in self.diagram.marks if isinstance(mark, Picture)]
        square = [box for box in self.boxes if not box.radius]
        self.images = [box for box in square if near(box.width, PICTURE)]
        self.values = [box for box in square if not near(box.width, PICTURE)]
        self.results = [box for box in self.boxes if box.radius > 5]
        rounded = [box for box in self.boxes if 0 < box.radius < 5]
        self.frames = sorted(
            (box for box in rounded if any(inside(other, box) for other in rounded)),
            key=lambda box: (box.top, box.left),
        )
        self.layers = {
            id(frame): sorted((box for box in rounded if inside(box, frame)), key=lambda box: box.top)
            for frame in self.frames
        }

    def lines_in(self, box):
        """The lines of text in a box that are in no smaller one, from the top."""
        smaller = [other for other in self.boxes if inside(other, box)]
        found = [words for words in self.words if holds(box, words) and not any(holds(s, words) for s in smaller)]
        return sorted(found, key=lambda words: words.middle)


def inside(one, other):
    """Whether a box is in another one, and not the same."""
    return (
        one is not other
        and other.left < one.left
        and one.left + one.width < other.left + other.width
        and other.top < one.top
        and one.top + one.height < other.top + other.height
    )


def middle_of(box):
    return box.left + box.width / 2


def bottom(box):
    return box.top + box.height


def holds(box, words):
    centre = words.x if words.align == "center" else words.x + width(words) / 2
    return box.left < centre < box.left + box.width and box.top < words.middle < bottom(box)


def expected_boxes(layers, before, activation, *, scores):
    """(text, output shape, whether it has parameters) of each box of a part."""
    found = []
    weighted = [at for at, layer in enumerate(layers) if isinstance(layer, Conv | Linear)]
    both = list(pairwise(shapes(layers, before)))
    for at, (layer, (came, left)) in enumerate(zip(layers, both, strict=True)):
        text = architecture.describe(layer)
        if isinstance(layer, Linear) and len(came) == 3:
            text = f"flatten · {text}"
        last = at in weighted[-1:] and (scores or isinstance(layers[-1], Softmax))
        if isinstance(layer, Conv | Linear) and not last:
            text += {"relu": " · ReLU", "none": ""}.get(activation, f" · {activation}")
        if isinstance(layer, BatchNorm) and found and found[-1][2]:
            text = f"{found.pop()[0]} · {text}"
        found.append((text, left, layer.parameters(came) > 0))
    return found


def frames_expected(variant):
    """(title, notes, layers, input, colour, colours of the arrows in it, whether dashed), in the order of the page."""
    shared, own = "the same weights for both", "weights of its own"
    found = []
    for number, (layers, before, times) in enumerate(parts_of(variant)):
        if variant.net:
            found.append(("network", (), layers, before, BOTH, [INK]))
        elif number == 0 and times == 1:
            found.append(("one tower for both images", (shared,), layers, before, BOTH, [FIRST, SECOND]))
        elif number == 0:
            found.append(("first tower", (own,), layers, before, FIRST, [FIRST]))
            found.append(("second tower", (own,), layers, before, SECOND, [SECOND]))
        elif number == 1:
            formula = ("sum of p(i)·q(j) for i ≤ j",) if variant.orders else ()
            found.append(("head", formula, layers, before, HEAD, [INK]))
        else:
            found.append(("auxiliary classifier", ("in training only", shared), layers, before, AUXILIARY, [INK]))
    return found


def level(words, box):
    """Whether a note is next to the middle of a box, to half a point."""
    return abs(words.middle - box.top - box.height / 2) < 0.5


def is_shape(words):
    return words.text.replace("×", "").isdigit() and not words.bold


@ALL
def test_a_frame_holds_its_title_its_notes_and_its_layers_in_order(variant):
    drawn = Measured(variant)
    expected = frames_expected(variant)
    assert len(drawn.frames) == len(expected)
    for frame, (title, notes, layers, before, colour, flows) in zip(drawn.frames, expected, strict=True):
        assert (frame.colour, frame.dashed) == (colour, colour == AUXILIARY)
        count = sum(layer.parameters(shape) for layer, shape in zip(layers, shapes(layers, before), strict=False))
        notes = (*notes, f"{count:,} parameter{'s' * (count != 1)}" if count else "no parameters")
        lines = drawn.lines_in(frame)
        assert " ".join(words.text for words in lines if words.bold) == title
        assert " ".join(words.text for words in lines if not words.bold) == " ".join(notes)
        y = frame.top + TITLE_ABOVE
        for words in lines:
            height = LINE if words.bold else NOTE_LINE
            assert near(words.middle, y + height / 2)
            assert words.size == (8 if words.bold else 7.5)
            y += height
        y += TITLE_BELOW
        own = drawn.layers[id(frame)]
        boxes = expected_boxes(layers, before, variant.activation, scores="tower" not in title)
        assert len(own) == len(boxes)
        for number, (box, (text, shape, weighted)) in enumerate(zip(own, boxes, strict=True)):
            between = [arrow for arrow in drawn.arrows if number and near(arrow.points[-1][1], box.top)]
            between = [arrow for arrow in between if frame.left < arrow.points[0][0] < frame.left + frame.width]
            assert [arrow.colour for arrow in between] == (flows if number and weighted else [])
            assert all(arrow.dashed == (colour == AUXILIARY) for arrow in between)
            sides = [arrow.points[0][0] - middle_of(frame) for arrow in between]
            assert sides == pytest.approx([0] if len(between) == 1 else [-6, 6] if between else [])
            if number:
                y += ARROW if weighted else NEXT
            assert near(box.top, y)
            assert (box.colour, box.dashed) == (colour, frame.dashed)
            assert box.fill == (0.25 if weighted else 0), "layers with parameters are filled"
            inner = drawn.lines_in(box)
            assert " ".join(words.text for words in inner) in (text, *folded(text))
            assert near(box.height, len(inner) * LINE + 2 * 2.5)
            for line, words in enumerate(inner):
                assert near(words.middle, box.top + 2.5 + (line + 0.5) * LINE)
                assert (words.size, words.bold, words.align) == (8, False, "center")
                assert near(words.x, middle_of(box))
            assert near(box.left - frame.left, PADDING)
            assert near(box.width, frame.width - 2 * PADDING)
            y += box.height
            beside = [words for words in drawn.words if is_shape(words) and level(words, box)]
            assert shown(shape) in [words.text for words in beside]
        assert near(bottom(frame), y + PADDING)
        assert (frame.fill, frame.radius) == (0.07, 3)


def folded(text):
    """Texts with a space where a long word was broken."""
    return {f"{text[:at]} {text[at:]}" for at in range(len(text))}


@ALL
def test_shapes_stand_next_to_their_layers(variant):
    drawn = Measured(variant)
    centre = WIDTH / 2
    for frame, (title, _, layers, before, *_) in zip(drawn.frames, frames_expected(variant), strict=True):
        single = len([other for other in drawn.frames if near(other.top, frame.top)]) == 1 and not splits(
            variant, title
        )
        for box, (_, shape, _) in zip(
            drawn.layers[id(frame)],
            expected_boxes(layers, before, variant.activation, scores="tower" not in title),
            strict=True,
        ):
            alike = [
                words for words in drawn.words if is_shape(words) and level(words, box) and words.text == shown(shape)
            ]
            places = [(words.x, words.align, words.size) for words in alike]
            if title in ("first tower", "second tower"):
                assert [place[1:] for place in places] == [("center", 7.5)], "once, between both towers"
                assert near(places[0][0], centre)
            else:
                gap = 5 if single else 4
                assert any(
                    near(x, frame.left + frame.width + gap) and (align, size) == ("left", 7.5)
                    for x, align, size in places
                )


def splits(variant, title):
    """Whether a part is one of two columns below the towers."""
    return variant.classifies_digits and title in ("head", "auxiliary classifier")


def widest(layers, before):
    return max(
        width(Words(text=shown(shape), x=0, middle=0, size=7.5, bold=False, align="left"))
        for shape in shapes(layers, before)[1:]
    )


@ALL
def test_frames_use_the_width_of_the_page(variant):
    drawn, expected, centre = Measured(variant), frames_expected(variant), WIDTH / 2
    below = [widest(layers, before) for title, _, layers, before, *_ in expected if splits(variant, title)]
    for frame, (title, _, layers, before, *_) in zip(drawn.frames, expected, strict=True):
        room, right = widest(layers, before), frame.left + frame.width
        if splits(variant, title):
            assert near(frame.left, MARGIN if title == "head" else centre + 4)
            assert near(frame.width, (WIDTH - MARGIN) - (centre + 4) - 4 - max(below)), "both are equally wide"
        elif title == "first tower":
            assert near(frame.left, MARGIN)
            assert near(right, centre - room / 2 - 4)
        elif title == "second tower":
            assert near(right, WIDTH - MARGIN)
            assert near(frame.left, centre + room / 2 + 4)
        else:
            assert near(middle_of(frame), centre)
            assert near(frame.width, min(180, 2 * (centre - MARGIN - room - 5)))


@ALL
def test_towers_of_their_own_mirror_each_other(variant):
    drawn = Measured(variant)

    def mirrored(boxes):
        return sorted((round(WIDTH - box.left - box.width, 6), box.top, box.width, box.height) for box in boxes)

    for kind in (drawn.frames, [box for own in drawn.layers.values() for box in own], drawn.images, drawn.values):
        first, second = ([box for box in kind if box.colour == colour] for colour in (FIRST, SECOND))
        assert mirrored(first) == sorted((round(box.left, 6), box.top, box.width, box.height) for box in second)
        assert all(box.left < WIDTH / 2 for box in first)
    colours = Counter(arrow.colour for arrow in drawn.arrows)
    assert colours[FIRST] == colours[SECOND] > 0


@ALL
def test_arrows_start_at_the_end_of_something_and_end_at_the_top_of_a_box(variant):
    drawn = Measured(variant)
    reached = Counter()
    for arrow in drawn.arrows:
        (x, y), (end_x, end_y) = arrow.points[0], arrow.points[-1]
        from_box = any(
            near(bottom(box), y) and box.left - 1e-6 <= x <= box.left + box.width + 1e-6 for box in drawn.boxes
        )
        from_arrow = any(
            near(x, x0) and y0 <= y <= y1 for other in drawn.arrows for (x0, y0), (_, y1) in pairwise(other.points)
        )
        assert from_box or from_arrow
        under = [box for box in drawn.boxes if near(box.top, end_y) and box.left < end_x < box.left + box.width]
        assert under
        reached.update(map(id, under))
        for (x0, y0), (x1, y1) in pairwise(arrow.points):
            assert (x0 == x1) != (y0 == y1)
            assert y1 >= y0
    starts = [*drawn.frames, *drawn.results]
    lonely = [box for box in starts if not reached[id(box)]]
    ends = [arrow.points[-1] for arrow in drawn.arrows]
    assert not lonely or all(not any(near(y, box.top) for _, y in ends) for box in lonely), "every part is entered"
    assert not lonely


@ALL
def test_the_ways_of_both_images_meet_in_the_middle_or_stay_apart(variant):
    drawn, centre = Measured(variant), WIDTH / 2
    left, right = sorted(drawn.images, key=lambda box: box.left)
    y = bottom(left)
    from_images = [arrow for arrow in drawn.arrows if near(arrow.points[0][1], y)]
    assert [arrow.colour for arrow in from_images] == [FIRST, SECOND]
    for arrow, box, end in zip(from_images, (left, right), (centre - 6, centre + 6), strict=True):
        x = middle_of(box)
        own = bool(variant.tower) and not variant.shared
        path = [(x, y), (x, y + ARROW)] if own else [(x, y), (x, y + 8), (end, y + 8), (end, y + 20)]
        assert arrow.points == tuple((pytest.approx(a), pytest.approx(b)) for a, b in path)
        assert not arrow.dashed
    if variant.net:
        assert (middle_of(left), middle_of(right)) == (centre - 42, centre + 42)
    elif variant.shared:
        gap = widest(variant.tower_layers, IMAGE) + 8
        assert middle_of(left) == pytest.approx(MARGIN + (centre - MARGIN - gap / 2) / 2)


@ALL
def test_name_and_pictures_at_the_head_of_the_page(variant):
    drawn = Measured(variant)
    texts = [words for words in drawn.words if words.size == 10]
    assert "".join(words.text for words in texts) == variant.name.replace(" ", "" if len(texts) > 1 else " ")
    y = MARGIN
    for words in texts:
        assert (words.x, words.bold, words.align) == (MARGIN, True, "left")
        assert near(words.middle, y + NAME_LINE / 2)
        assert width(words) <= WIDTH - 2 * MARGIN
        y += NAME_LINE
    total = next(words for words in drawn.words if words.text == f"{count_parameters(variant):,} parameters in total")
    assert (total.x, total.bold, total.align, total.size) == (MARGIN, False, "left", 8)
    assert near(total.middle, y + LINE / 2)
    y += LINE
    said = [words for words in drawn.words if words.text == "activation: none"]
    assert len(said) == (variant.activation == "none")
    for words in said:
        assert (words.x, words.size, near(words.middle, y + LINE / 2)) == (MARGIN, 8, True)
        y += LINE
    y += 6
    assert len(drawn.images) == len(drawn.pictures) == 2
    captions = ("first digit", "second digit")
    for box, picture, caption, colour in zip(drawn.images, drawn.pictures, captions, (FIRST, SECOND), strict=True):
        name = next(words for words in drawn.words if words.text == caption)
        assert (name.x, name.bold, name.align, name.size) == (pytest.approx(middle_of(box)), True, "center", 8)
        assert near(name.middle, y + LINE / 2)
        shape = next(
            words for words in drawn.words if near(words.x, name.x) and near(words.middle, y + LINE + NOTE_LINE / 2)
        )
        assert (shape.text, shape.size, shape.bold, shape.align) == (shown(IMAGE), 7.5, False, "center")
        assert near(box.top, y + LINE + NOTE_LINE + 2)
        assert (box.width, box.height) == (PICTURE, pytest.approx(PICTURE))
        assert (box.colour, box.fill, picture.colour) == (colour, 0.12, colour)
        pixel = PICTURE / 14
        assert near(picture.side, pixel)
        cells = {((x - box.left) / pixel, (top - box.top) / pixel) for x, top in picture.corners}
        assert all(near(value, round(value)) and 0 <= value < 14 for cell in cells for value in cell)
        columns, rows = ({round(cell[axis]) for cell in cells} for axis in (0, 1))
        assert (min(rows), 13 - max(rows)) == (2, 2)
        assert abs(min(columns) - (13 - max(columns))) <= 1
    assert max(bottom(box) for box in drawn.boxes) <= drawn.diagram.height - MARGIN + 1e-6


@pytest.mark.parametrize("digit", architecture.DIGITS)
def test_the_digits_are_connected_strokes(digit):
    dark = {(column, row) for row, line in enumerate(digit) for column, mark in enumerate(line) if mark == "#"}
    assert {len(line) for line in digit} == {7}
    assert set("".join(digit)) == {"#", "."}
    seen, edge = set(), [min(dark)]
    while edge:
        column, row = edge.pop()
        seen.add((column, row))
        around = {(column + x, row + y) for x in (-1, 0, 1) for y in (-1, 0, 1)} & dark
        edge += [cell for cell in around if cell not in seen]
    assert seen == dark


@ALL
def test_values_and_results_are_boxes_of_their_own(variant):
    drawn, centre = Measured(variant), WIDTH / 2
    for box in (*drawn.values, *drawn.results):
        lines = drawn.lines_in(box)
        assert near(box.height, len(lines) * LINE + 2 * 3.5)
        for number, words in enumerate(lines):
            assert near(words.x, middle_of(box))
            assert near(words.middle, box.top + 3.5 + (number + 0.5) * LINE)
            assert (words.size, words.align) == (8, "center")
    texts = {id(box): " ".join(words.text for words in drawn.lines_in(box)) for box in drawn.boxes}
    assert all((box.fill, box.dashed) == (0.12, False) for box in drawn.values)
    if variant.net:
        (pair,) = drawn.values
        assert texts[id(pair)] == f"one image of two channels: {shown(PAIR)}"
        assert (pair.colour, pair.width, middle_of(pair)) == (BOTH, 190, centre)
    else:
        kind = "probabilities" if variant.orders else "features"
        features = shown(shapes(variant.tower_layers, IMAGE)[-1])
        assert [texts[id(box)] for box in drawn.values] == [f"first: {features} {kind}", f"second: {features} {kind}"]
        assert [box.colour for box in drawn.values] == [FIRST, SECOND]
        assert [box.left for box in drawn.values] == pytest.approx([MARGIN, centre])
        assert [box.width for box in drawn.values] == pytest.approx([centre - MARGIN] * 2)
    answer = drawn.results[0]
    assert texts[id(answer)] == "P(first ≤ second)"
    assert (answer.colour, answer.fill, answer.dashed, answer.radius) == (INK, 0, False, 8)
    assert drawn.lines_in(answer)[0].bold
    assert near(answer.width, width(drawn.lines_in(answer)[0]) + 16)
    if variant.classifies_digits:
        words = ("digit scores, for the auxiliary loss", "auxiliary loss, in training only")
        (loss,) = drawn.results[1:]
        assert texts[id(loss)] == words[not variant.auxiliary]
        assert (loss.colour, loss.fill, loss.dashed, loss.radius) == (AUXILIARY, 0, True, 8)
        assert not any(words.bold for words in drawn.lines_in(loss))
        assert near(loss.width, max(map(width, drawn.lines_in(loss))) + 16)
    else:
        assert len(drawn.results) == 1


@ALL
def test_the_way_from_the_features_to_the_answer(variant):
    drawn, centre = Measured(variant), WIDTH / 2
    answer = drawn.results[0]
    (to_answer,) = [arrow for arrow in drawn.arrows if near(arrow.points[-1][1], answer.top) and not arrow.dashed]
    head = next(frame for frame in drawn.frames if frame.colour == (BOTH if variant.net else HEAD))
    assert middle_of(answer) == pytest.approx(middle_of(head))
    path = [(middle_of(head), bottom(head)), (middle_of(head), bottom(head) + LABELLED)]
    assert to_answer.points == tuple((pytest.approx(x), pytest.approx(y)) for x, y in path)
    beside = {words.text: words for words in drawn.words if words.size == 7.5 and words.align == "left"}
    assert ("sigmoid" in beside) == (not variant.orders)
    labels = [("sigmoid", middle_of(head) + 6, bottom(head) + 1)] * (not variant.orders)
    if variant.net:
        drawn_arrows = [arrow for arrow in drawn.arrows if near(arrow.points[-1][1], head.top)]
        assert [arrow.points[0] for arrow in drawn_arrows] == [(centre, pytest.approx(head.top - ARROW))]
    else:
        size, y = math.prod(shapes(variant.tower_layers, IMAGE)[-1]), bottom(drawn.values[0])
        to_head = next(arrow for arrow in drawn.arrows if near(arrow.points[-1][1], head.top) and not arrow.dashed)
        if variant.classifies_digits:
            x, other = middle_of(head), middle_of(drawn.results[1])
            path = [(centre, y), (centre, y + 6), (x, y + 6), (x, y + 22)]
            second = next(arrow for arrow in drawn.arrows if arrow.dashed and near(arrow.points[-1][1], head.top))
            branch = [(centre, y + 6), (other, y + 6), (other, y + 22)]
            assert second.points == tuple((pytest.approx(a), pytest.approx(b)) for a, b in branch)
            assert second.colour == INK
            labels += [(f"both together: {2 * size}", x + 6, y + 8), (f"each image: {size}", other + 6, y + 8)]
        else:
            path = [(centre, y), (centre, y + LABELLED)]
            labels.append((f"both together: {2 * size}", centre + 6, y + 1))
        assert to_head.points == tuple((pytest.approx(a), pytest.approx(b)) for a, b in path)
        assert (to_head.colour, to_head.dashed) == (INK, False)
        towers = [frame for frame in drawn.frames if frame.top < y and frame.colour in (FIRST, SECOND, BOTH)]
        leaving = [arrow for arrow in drawn.arrows if any(near(arrow.points[0][1], bottom(frame)) for frame in towers)]
        assert all(arrow.points[1][1] - arrow.points[0][1] == pytest.approx(ARROW) for arrow in leaving)
        sides = [centre - 6, centre + 6] if variant.shared else [middle_of(frame) for frame in towers]
        assert [arrow.points[0][0] for arrow in leaving] == pytest.approx(sides)
        assert [arrow.colour for arrow in leaving] == [FIRST, SECOND]
        assert not any(arrow.dashed for arrow in leaving)
    for text, x, top in labels:
        assert (beside[text].x, beside[text].middle) == (pytest.approx(x), pytest.approx(top + NOTE_LINE / 2)), text
        assert not beside[text].bold
    if variant.auxiliary:
        auxiliary = next(frame for frame in drawn.frames if frame.colour == AUXILIARY)
        x = middle_of(auxiliary)
        (last,) = [arrow for arrow in drawn.arrows if near(arrow.points[0][1], bottom(auxiliary)) and arrow.dashed]
        assert last.points == tuple((pytest.approx(x), pytest.approx(bottom(auxiliary) + d)) for d in (0, LABELLED))
        assert last.colour == INK


@ALL
def test_the_page_ends_below_its_last_mark(variant):
    drawn = Measured(variant)
    assert drawn.diagram.width == WIDTH
    y = max(map(bottom, drawn.boxes))
    unpadded = any(isinstance(layer, Conv) and not layer.padded for layers, *_ in parts_of(variant) for layer in layers)
    notes = [words for words in drawn.words if words.text == "conv*: without padding"]
    assert len(notes) == unpadded
    for words in notes:
        assert (words.x, words.size, words.bold, words.align) == (MARGIN, 7.5, False, "left")
        assert near(words.middle, y + 6 + NOTE_LINE / 2)
        y += 6 + NOTE_LINE
    assert near(drawn.diagram.height, y + MARGIN)


TEXT = st.text("aiW m", min_size=1, max_size=60).map(lambda text: " ".join(text.split())).filter(bool)


@given(text=TEXT, room=st.floats(12, 200), size=st.sampled_from([7.5, 8.0, 10.0]), bold=st.booleans())
def test_texts_are_folded_at_spaces_and_as_late_as_possible(text, room, size, bold):
    lines = architecture._fold(text, room, size=size, bold=bold)

    def long(line):
        return width(Words(text=line, x=0, middle=0, size=size, bold=bold, align="left"))

    assert all(long(line) <= room or len(line) == 1 for line in lines)
    at = 0
    for number, line in enumerate(lines):
        assert line
        assert text[at : at + len(line)] == line
        at += len(line)
        if number < len(lines) - 1 and text[at] == " ":  # at the end of a word: the next one is too long
            at += 1
            word = text[at:].split(" ")[0]
            start = line.rpartition(" ")[2] if long(text[: at - 1].rpartition(" ")[2]) > room else line
            assert long(f"{start} {word}") > room
        elif number < len(lines) - 1:  # within a word that is too long for any line
            word = text[:at].rpartition(" ")[2] + text[at:].partition(" ")[0]
            assert long(word) > room
            assert long(line + text[at]) > room
            assert " " not in line
    assert at == len(text)


@given(text=TEXT, bold=st.booleans())
def test_a_text_that_just_fits_is_one_line(text, bold):
    exact = width(Words(text=text, x=0, middle=0, size=8, bold=bold, align="left"))
    assert architecture._fold(text, exact, size=8, bold=bold) == [text]
