"""The digit of a picture: strokes of any pen become MNIST's, lines at the edge are no digit, 28x28 stays as it is."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bench.frames import KINDS, TOP, Frame, framed
from bench.handwriting import drawn, strokes
from bench.pens import balanced, coloured, picture, read, score
from pairnet.data.sources import load_dataset
from pairnet.errors import PictureError
from pairnet.serving.built_in import built_in_model
from pairnet.serving.pictures.components import components
from pairnet.serving.pictures.digits import as_mnist
from pairnet.serving.pictures.strokes import ink_map, pen_width, widened
from pairnet.serving.predictor import Predictor

MARGINS = (40, 30, 35, 45)


@pytest.fixture(scope="module")
def digits():
    """Strokes of 100 digits and their labels."""
    test = load_dataset("mnist5k").test
    chosen = balanced(test.labels, 100, 0)
    found = strokes(test.pixels[chosen])
    kept = [i for i, each in enumerate(found) if each]
    return [found[i] for i in kept], test.labels[chosen][kept]


def likeness(first, second):
    """Correlation of two images, where they fit best: centres of mass are rounded to pixels."""
    shifts = [np.roll(second, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return max(np.corrcoef(first.ravel().astype(float), each.ravel().astype(float))[0, 1] for each in shifts)


def plain(digit, pen=16, margins=MARGINS):
    return drawn(digit, height=200, pen=pen, margins=margins, smooth=True)


@pytest.mark.parametrize(("size", "part"), [(30, 100), (100, 100), (100, 25), (100, 6), (300, 50)])
def test_digits_of_any_pen_and_size_are_read(size, part, digits):
    drawings, labels = digits
    rng = np.random.default_rng(1)
    images = [read(picture(each, i, height=size, pen=max(1, size / part), rng=rng)) for i, each in enumerate(drawings)]
    with Predictor(built_in_model()) as predictor:
        found = score(predictor, images, labels)
    assert found.right >= 0.95
    assert found.sure_wrong < 0.02  # of the images themselves it is 0.5 to 1 %; docs/pictures.md has more digits


def test_the_pen_changes_the_image_little(digits):
    for digit in digits[0][::10]:
        images = [as_mnist("a", plain(digit, pen))[0] for pen in (2, 4, 8, 16)]  # 0.2 to 1.6 pixels of 20
        assert min(likeness(images[0], each) for each in images[1:]) > 0.8
        assert all(each.max() > 200 for each in images)
        mass = [each.mean() for each in images]
        assert max(mass) < 1.3 * min(mass)


def test_the_size_changes_the_image_little(digits):
    for number, digit in enumerate(digits[0][:8]):
        small, large = (
            as_mnist("a", drawn(digit, height=size, pen=size / 50, margins=(size // 4,) * 4, smooth=True))[0]
            for size in (200, 1000)
        )
        assert likeness(small, large) > 0.85, number


def test_inverting_a_picture_changes_nothing(digits):
    for digit in digits[0][::20]:
        for kind in ("none", "1 %", "1 side", "paper outside"):
            ink = framed(plain(digit, 3), KINDS[kind], MARGINS, np.random.default_rng(0))
            assert np.array_equal(as_mnist("a", ink)[0], as_mnist("a", 255 - ink)[0]), kind


def test_images_of_28x28_stay_as_they_are():
    images = load_dataset("mnist5k").test.pixels[::5]
    for image in images:
        assert np.array_equal(as_mnist("a", image)[0], image)
        assert np.array_equal(as_mnist("a", 255 - image)[0], image)


def test_a_cell_of_28x28_within_its_lines_is_no_image_of_28x28(digits):
    ink = np.pad(np.asarray(Image.fromarray(plain(digits[0][0])).resize((28, 28))), 2, constant_values=255)
    pixels, notes = as_mnist("a", ink)
    assert np.flatnonzero(pixels.any(1)).size == 20
    assert notes[0] == "left out: the lines at the edge"


WHOLE = [name for name, frame in KINDS.items() if frame.sides and not frame.touching and not frame.dash]


@pytest.mark.parametrize("kind", [name for name in WHOLE if not KINDS[name].lean and KINDS[name].radius < 0.5])
@pytest.mark.parametrize("dark", [False, True])
def test_lines_at_the_edge_change_almost_nothing(kind, dark, digits):
    for number, digit in enumerate(digits[0][::20]):
        rng = np.random.default_rng(number)
        without = as_mnist("a", coloured(plain(digit), dark=dark, rng=np.random.default_rng(number)))[0]
        ink = framed(plain(digit), KINDS[kind], MARGINS, rng)
        pixels, notes = as_mnist("a", coloured(ink, dark=dark, rng=np.random.default_rng(number)))
        assert likeness(pixels, without) > 0.97, number
        assert "left out: the lines at the edge" in notes


@pytest.mark.parametrize("kind", [name for name, frame in KINDS.items() if frame.lean or frame.radius or frame.dash])
def test_frames_that_lean_or_have_no_corners_are_left_out_or_refused(kind, digits):
    for number, digit in enumerate(digits[0][::12]):
        if not (frame := KINDS[kind]).touching:
            without = framed(plain(digit), Frame(sides=(), lean=frame.lean), MARGINS, np.random.default_rng(0))
            assert_alike_or_refused(framed(plain(digit), frame, MARGINS, np.random.default_rng(0)), without, number)


def assert_alike_or_refused(ink, without, what):
    code = ""
    try:
        pixels, notes = as_mnist("a", ink)
    except PictureError as error:
        code = error.code
    else:
        assert likeness(pixels, as_mnist("a", without)[0]) > 0.85, what
        assert notes[0].startswith("left out"), what
    assert code in ("", "lines"), what


@pytest.mark.parametrize("lean", [0.25, 0.5, 1, 2])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_cells_of_a_scan_are_left_out(lean, width, digits):
    """As a newcomer draws them: a box on 200 pixels, turned; each of five digits is read as without the box."""
    for number, digit in enumerate(digits[0][::20]):
        drawing = drawn(digit, height=110, pen=6, margins=(45, 45, 60, 60), smooth=True)
        box = Image.fromarray(drawing)
        ImageDraw.Draw(box).rectangle((9, 9, box.width - 10, box.height - 10), outline=255, width=width)
        turned = [each.rotate(lean, Image.Resampling.BICUBIC) for each in (box, Image.fromarray(drawing))]
        pixels, without = (as_mnist("a", np.asarray(each))[0] for each in turned)
        assert likeness(pixels, without) > 0.9, number


@pytest.mark.parametrize("lean", [1, 2, 3, 4, 6])
def test_what_a_crop_leaves_of_lines_that_lean_is_no_digit(lean, digits):
    for number, digit in enumerate(digits[0][::12]):
        for inset in (2, 5, 9):
            drawing = drawn(digit, height=110, pen=6, margins=(45, 45, 60, 60), smooth=True)
            box = Image.fromarray(drawing)
            ImageDraw.Draw(box).rectangle((inset, inset, box.width - 1 - inset, box.height - 1 - inset), outline=255)
            part = (6, 6, box.width - 6, box.height - 6)
            turned = [
                np.asarray(each.rotate(lean, Image.Resampling.BICUBIC).crop(part))
                for each in (box, Image.fromarray(drawing))
            ]
            near = np.concatenate((turned[0][:3].ravel(), turned[0][-3:].ravel()))
            if near.max() > 200 and (near > 100).sum() > 60:  # more than a corner of the lines is left
                assert_no_other_digit(*turned, (number, inset))


def assert_no_other_digit(ink, without, what):
    pixels = read(ink)
    assert pixels is None or likeness(pixels, as_mnist("a", without)[0]) > 0.85, what


def test_digits_are_no_frames(digits):
    """Loops have nothing inside them; the parts of a broken digit do not surround each other."""
    for label in (0, 4, 6, 8, 9):
        for digit in [each for each, other in zip(*digits, strict=True) if other == label][:4]:
            for pen in (3, 16, 30):
                assert read(plain(digit, pen)) is not None
    ring = Image.new("L", (200, 200))
    ImageDraw.Draw(ring).ellipse((20, 20, 180, 180), outline=255, width=12)
    assert np.ptp(np.flatnonzero(as_mnist("a", np.asarray(ring))[0].any(1))) + 1 == 20
    slashed = ring.copy()
    ImageDraw.Draw(slashed).line((60, 170, 140, 30), fill=255, width=12)
    assert as_mnist("a", np.asarray(slashed))[0].any()
    ImageDraw.Draw(ring).line((100, 60, 100, 140), fill=255, width=12)
    with pytest.raises(PictureError, match="got other ink around it") as error:  # a 1 in a ring, or a slashed 0
        as_mnist("a", np.asarray(ring))
    assert error.value.code == "lines"


@pytest.mark.parametrize("size", [2, 4, 10, 40, 120])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("shape", ["ellipse", "rectangle"])
def test_dots_are_no_digit(size, count, shape):
    picture = Image.new("L", (600, 400), 255)
    for place in range(count):
        x, y = 60 + 150 * place, 50 + 70 * place
        getattr(ImageDraw.Draw(picture), shape)((x, y, x + size, y + size), fill=0)
    with pytest.raises(PictureError) as error:
        as_mnist("a", np.asarray(picture))
    assert error.value.code in ("no-digit", "several-digits")


def test_the_smallest_digits_are_read(digits):
    for height in (8, 12, 20):
        for digit in digits[0][::10]:
            small = drawn(digit, height=height, pen=1.5, margins=(10 * height,) * 4, smooth=True)
            assert read(small) is not None, height


def test_wider_strokes_are_noted(digits):
    notes = [as_mnist("a", plain(digits[0][0], pen))[1] for pen in (3, 30)]
    assert [any(note.startswith("widened") for note in each) for each in notes] == [True, False]


def test_parts_of_a_map_are_those_of_a_search():
    """An independent labelling: cells are visited from neighbour to neighbour."""
    rng = np.random.default_rng(0)
    for share in (0.1, 0.3, 0.5, 0.7):
        ink = rng.random((30, 40)) < share
        found = components(ink)
        assert np.array_equal(found.labels > 0, ink)
        seen = np.zeros_like(ink)
        count = 0
        for start in zip(*np.nonzero(ink), strict=True):
            if seen[start]:
                continue
            count, stack, cells = count + 1, [start], []
            seen[start] = True
            while stack:
                y, x = stack.pop()
                cells.append((y, x))
                for other in itertools.product(range(max(0, y - 1), y + 2), range(max(0, x - 1), x + 2)):
                    if other[0] < 30 and other[1] < 40 and ink[other] and not seen[other]:
                        seen[other] = True
                        stack.append(other)
            rows, columns = np.array(cells).T
            label = found.labels[start]
            assert (found.labels == label).sum() == len(cells)
            box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            assert found.boxes[label - 1].tolist() == box
        assert len(found.boxes) == count


def test_a_digit_that_touches_its_cell_is_read_or_refused(digits):
    drawings, labels = digits
    for kind in ("touching", "touching, paper outside", "touching, 1 side"):
        rng = np.random.default_rng(2)
        images = [read(framed(plain(each), KINDS[kind], MARGINS, rng)) for each in drawings]
        with Predictor(built_in_model()) as predictor:
            found = score(predictor, images, labels)
        assert found.right + found.refused > 0.95
        assert found.sure_wrong < 0.02


def test_a_line_that_could_be_the_bar_of_a_seven_is_refused(digits):
    ink = framed(plain(digits[0][0]), Frame(sides=(TOP,), touching=True), MARGINS, np.random.default_rng(0))
    with pytest.raises(PictureError, match="expected a digit apart from the lines at the edge, got one that touches"):
        as_mnist("a", ink)


@pytest.mark.parametrize("margins", [(0, 0, 0, 0), (0, 40, 0, 0), (5, 5, 5, 5), (0, 0, 40, 40)])
def test_closely_cropped_digits_keep_all_their_strokes(margins, digits):
    drawings, labels = digits
    for digit, label in zip(drawings, labels, strict=True):
        if label in (2, 4, 5, 7):
            close = read(plain(digit, margins=margins))
            if close is not None:  # with much ink at its edges, a crop has no even background
                assert likeness(close, as_mnist("a", plain(digit))[0]) > 0.9


def test_an_angular_seven_that_fills_its_crop_is_read_whole():
    seven = Image.new("L", (120, 200))
    ImageDraw.Draw(seven).line((0, 9, 110, 9, 50, 199), fill=255, width=20)
    pixels = as_mnist("a", np.asarray(seven))[0]
    assert pixels.any(0).sum() in (11, 12)  # its bar
    assert pixels.any(1).sum() == 20


def test_angular_digits_are_no_frames():
    zero = np.zeros((240, 160), np.uint8)
    zero[10:-10, 10:-10] = 255
    zero[30:-30, 30:-30] = 0
    eight = zero.copy()
    eight[110:130, 10:-10] = 255
    for digit in (zero, eight):
        pixels, notes = as_mnist("a", digit)
        assert pixels.any(1).sum() == 20
        assert notes[0].startswith("160x240")


@pytest.mark.parametrize("width", [1, 2, 5, 12, 25])
def test_the_width_of_a_straight_stroke_is_measured(width):
    ink = np.zeros((160, 60), bool)
    ink[:, 20 : 20 + width] = True
    assert pen_width(ink) == pytest.approx(width, rel=0.1, abs=1)
    wide = widened(ink, 3)
    assert wide.shape == (166, 66)
    assert wide[80].sum() == width + 6


def test_a_line_of_one_pixel_stays_one_in_the_map():
    for position in range(0, 3000, 177):
        crop = np.zeros((3000, 3000), np.uint8)
        crop[:, position] = 255
        assert ink_map(crop).sum() == 160
