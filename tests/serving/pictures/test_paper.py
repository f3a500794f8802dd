"""Photographs of digits: noise, light, specks, ruled paper; bars of known width; images of 28x28 with lines."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bench.frames import KINDS, Frame, framed, photographed
from bench.handwriting import drawn, strokes
from bench.pens import read
from pairnet.data.sources import load_dataset
from pairnet.errors import PictureError
from pairnet.serving.pictures.digits import DIGIT_SIDE, LEAST_PEN, as_mnist
from pairnet.serving.pictures.frames import inside_lines
from pairnet.serving.pictures.paper import levelled, noise_level, smoothed, specks
from pairnet.serving.pictures.strokes import FINE, ink_map, pen_width

MARGINS = (40, 30, 35, 45)


@pytest.fixture(scope="module")
def drawings():
    return [each for each in strokes(load_dataset("mnist5k").test.pixels[:24]) if each]


def sheet(drawing, frame, height=200):
    """A digit in grey levels of a photo: ink 50 on paper of 200."""
    ink = drawn(drawing, height=height, pen=height / 12, margins=MARGINS, smooth=True)
    return (200 - framed(ink, frame, MARGINS, np.random.default_rng(0)) / 255 * 150).astype(np.uint8)


def likeness(first, second):
    shifts = [np.roll(second, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return max(np.corrcoef(first.ravel().astype(float), each.ravel().astype(float))[0, 1] for each in shifts)


@pytest.mark.parametrize("noise", [0, 3, 6, 20])
@pytest.mark.parametrize("light", [0, 10, 20, 30])
@pytest.mark.parametrize("lines", [False, True])
def test_a_photo_is_read_as_the_drawing(noise, light, lines, drawings):
    frame = Frame(light=light, noise=noise) if lines else Frame(sides=(), light=light, noise=noise)
    for number, drawing in enumerate(drawings[::4]):
        photo = photographed(sheet(drawing, frame), frame, np.random.default_rng(number))
        pixels, notes = as_mnist("a", photo)
        assert likeness(pixels, as_mnist("a", sheet(drawing, Frame(sides=())))[0]) > (0.8 if noise > 6 else 0.9), number
        assert any(note.startswith("inverted") for note in notes)
        assert lines == ("left out: the lines at the edge" in notes)


def test_a_small_digit_in_a_noisy_photo_is_read_as_without_noise(drawings):
    frame = KINDS["small in a photo, noise 6"]
    for number, drawing in enumerate(drawings[::6]):
        small = sheet(drawing, frame, 60)
        pixels, _ = as_mnist("a", photographed(small, frame, np.random.default_rng(number)))
        assert likeness(pixels, as_mnist("a", small)[0]) > 0.85, number


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("distance", [0.1, 0.15, 0.25])
@pytest.mark.parametrize("ink", [0.4, 1])
def test_ruled_paper_is_refused(distance, ink, turned, drawings):
    for drawing in drawings[::6]:
        ruled = sheet(drawing, Frame(sides=(), rules=distance, ink=ink))
        with pytest.raises(PictureError, match=r"lines") as error:
            as_mnist("a", ruled.T if turned else ruled)
        assert error.value.code == "lines"


def test_squared_paper_is_refused(drawings):
    squared = sheet(drawings[0], Frame(sides=(), rules=0.15))
    squared = np.minimum(squared, sheet(drawings[0], Frame(sides=(), rules=0.15)).T[:1, : squared.shape[1]].max())
    squared[:, ::40] = 50
    assert read(squared) is None


def test_bars_of_digits_are_no_ruled_paper():
    crossed = Image.new("L", (120, 200))
    ImageDraw.Draw(crossed).line((0, 5, 119, 5, 40, 199), fill=255, width=12)
    ImageDraw.Draw(crossed).line((0, 100, 119, 100), fill=255, width=12)
    four = Image.new("L", (120, 200))
    ImageDraw.Draw(four).line((80, 199, 80, 0, 0, 130, 119, 130), fill=255, width=12)
    for digit in (crossed, four):
        assert as_mnist("a", np.asarray(digit))[0].any(1).sum() == DIGIT_SIDE


def test_specks_are_left_out_and_parts_are_not(drawings):
    rng = np.random.default_rng(0)
    for drawing in drawings[::6]:
        plain = drawn(drawing, height=200, pen=12, margins=MARGINS, smooth=True)
        dirty = plain.copy()
        for y, x in ((4, 6), (plain.shape[0] - 9, plain.shape[1] // 2)):
            dirty[y : y + 5, x : x + 5] = 255
        pixels, notes = as_mnist("a", dirty)
        assert np.array_equal(pixels, as_mnist("a", plain)[0])
        assert "left out: specks" in notes
    parts = np.zeros((300, 300), bool)
    parts[20:220, 50:60] = True
    parts[240:265, 50:60] = True  # 1/8 of the other
    assert not specks(parts).any()
    parts[280:290, 200:210] = True
    found = specks(parts)
    assert found[280:290, 200:210].all()
    assert found.sum() == 100
    assert not specks(rng.random((400, 400)) < 0.02).any()


@pytest.mark.parametrize("sigma", [2, 5, 10, 20])
def test_noise_is_measured_and_smoothed(sigma):
    rng = np.random.default_rng(0)
    noisy = np.clip(rng.normal(128, sigma, (300, 300)), 0, 255).astype(np.uint8)
    assert noise_level(noisy) == pytest.approx(sigma, rel=0.35)
    assert smoothed(noisy, 20).std() < 5
    flat = np.full((300, 300), 128, np.uint8)
    assert smoothed(flat, 20) is flat


def test_light_is_levelled_up_to_a_limit():
    y, x = np.indices((200, 300)) / 300
    light = 200 - 30 * x - 20 * y * y
    pixels = light.astype(np.uint8)
    pixels[80:120, 100:200] = 50
    even = levelled(pixels, 190, 150, 60)
    paper = np.ones_like(pixels, bool)
    paper[80:120, 100:200] = False
    assert np.abs(even[paper].astype(int) - 190).max() <= 2
    assert even[~paper].max() < 90
    assert levelled(pixels, 190, 150, 30) is pixels  # it changes by 39
    step = pixels.copy()
    step[:, 150:] -= 30  # a shadow with an edge
    assert np.array_equal(levelled(step, 190, 150, 60), step)


@pytest.mark.parametrize("width", [3, 5, 7, 11, 25])
@pytest.mark.parametrize("turned", [False, True])
def test_the_width_of_a_long_bar_is_exact(width, turned):
    """Beyond its ends, which are a small part of it, a bar has one width."""
    ink = np.zeros((60, 1600), bool)
    ink[20 : 20 + width] = True
    assert pen_width(ink.T if turned else ink) == pytest.approx(width, abs=0.15)


def test_thin_strokes_become_as_wide_as_least_pen():
    """The width across a stroke at 30 degrees, in pixels of 28x28, by its ink in rows far from the ends."""
    widths = []
    for pen in (3, 6, 9, 12, 20):
        picture = Image.new("L", (900, 900))
        ImageDraw.Draw(picture).line((250, 100, 650, 800), fill=255, width=pen)
        pixels, notes = as_mnist("a", np.asarray(picture))
        assert any(note.startswith("widened") for note in notes)
        rows = np.flatnonzero(pixels.any(1))[5:15]
        widths.append(pixels[rows].sum(1).mean() / 255 * np.cos(np.arctan(400 / 700)))
    assert np.mean(widths) == pytest.approx(LEAST_PEN, abs=0.05)


def test_the_map_of_ink_has_eight_cells_to_a_pixel():
    bar = np.zeros((400, 100), np.uint8)
    bar[:, 40:60] = 255
    assert FINE == 8 * DIGIT_SIDE
    assert pen_width(ink_map(bar)) == pytest.approx(8, abs=0.3)


@pytest.mark.parametrize("rise", [4, 6, 8])
def test_lines_that_lean_are_left_out(rise):
    """A line that rises by `rise` pixels of 300 along the upper edge; a digit below it."""
    picture = Image.new("L", (300, 300))
    ImageDraw.Draw(picture).line((0, 6 + rise, 299, 6), fill=255, width=2)
    ImageDraw.Draw(picture).line((150, 100, 150, 220), fill=255, width=14)
    inside = inside_lines("a", np.asarray(picture))
    assert not inside[:40].any()
    assert inside.sum() == np.asarray(picture)[60:].sum()


@pytest.mark.parametrize("swing", [2, 3])
def test_lines_drawn_by_hand_are_left_out(swing):
    """A wave of 2 * `swing` of 300 rows, which no lean makes straight."""
    x = np.arange(300)
    pixels = np.zeros((300, 300), np.uint8)
    pixels[np.rint(10 + swing * np.sin(x / 25)).astype(int), x] = 255
    pixels[100:220, 140:154] = 255
    inside = inside_lines("a", pixels)
    assert not inside[:40].any()
    assert inside.sum() == pixels[60:].sum()


def test_a_bar_with_ink_outside_is_no_line():
    pixels = np.zeros((300, 300), np.uint8)
    pixels[30:33] = 255
    pixels[100:220, 140:154] = 255
    assert not inside_lines("a", pixels)[:40].any()
    pixels[4:18, 90:190] = 255  # a fifth of the paper outside, above its middle
    assert inside_lines("a", pixels) is pixels


@pytest.mark.parametrize("depth", [25, 40])
def test_a_shadow_along_an_edge_is_no_line(depth):
    """Behind a line lies paper, behind the edge of a shadow that becomes lighter does not."""
    pixels = np.full((300, 300), 220, np.uint8)
    pixels[:depth] = 150
    pixels[depth : depth + 60] = np.linspace(185, 220, 60)[:, None].astype(np.uint8)
    pixels[140:240, 140:160] = 20
    assert inside_lines("a", pixels) is pixels


def test_images_of_28x28_with_lines_are_refused():
    images = load_dataset("mnist5k").test.pixels[:2000]
    assert len(images) >= 1000
    for image in images:
        for each in (image, 255 - image):
            assert np.array_equal(as_mnist("a", each)[0], image)
    for image in images[:50]:
        cell = image.copy()
        cell[[0, -1]] = cell[:, [0, -1]] = 255
        for each in (cell, 255 - cell):
            with pytest.raises(PictureError, match="expected an image of 28x28 with paper along its border") as error:
                as_mnist("a", each)
            assert error.value.code == "lines"
