"""What is noticed about images of a user's own: each change of MNIST-like digits is named, and nothing else is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairnet.data.appearance import (
    DARK_ON_LIGHT,
    LIGHT_ON_DARK,
    ORIENTATIONS,
    SAMPLE,
    polarity,
    polarity_of,
    remarks,
    sample,
)
from pairnet.data.idx import write_idx
from pairnet.data.pools import Glyphs, LoadedImages
from pairnet.data.sources import Dataset, load_dataset

Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def mnist() -> tuple[np.ndarray, np.ndarray]:
    """Genuine digits of the embedded images: pixels [1000,28,28] and labels [1000]."""
    train = load_dataset("mnist5k").train
    chosen = np.random.default_rng(0).permutation(len(train))[:1000]
    return train.take(chosen)


def said(pixels: np.ndarray, labels: np.ndarray, test: np.ndarray | None = None) -> list[str]:
    """The remarks on images, whose test images are the same ones unless others are given."""
    train = LoadedImages(pixels=np.ascontiguousarray(pixels).astype(np.uint8), labels=labels.astype(np.uint8))
    testing = train if test is None else LoadedImages(pixels=test, labels=train.labels)
    found = list(remarks(train, testing, int(labels.max()) + 1))
    assert all("\n" not in remark for remark in found)
    recorded = any(f"recorded as {polarity_of(train)}" in remark for remark in found)
    assert polarity(train.pixels) in ([polarity_of(train)] if not recorded else [None, polarity_of(train)])
    return found


def scanned(pixels: np.ndarray, *, paper: float, ink: float, sigma: float) -> np.ndarray:
    """Digits light on dark -> with these levels of background and ink, and normally distributed noise on each pixel."""
    levels = paper + (ink - paper) * (pixels / 255) + np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def box(*, height: int, width: int, top: int, left: int, count: int = 20) -> np.ndarray:
    """Equal images [count,28,28], 255 in a rectangle and 0 around it."""
    pixels = np.zeros((count, 28, 28), np.uint8)
    pixels[:, top : top + height, left : left + width] = 255
    return pixels


TWO_CLASSES = np.arange(20) % 2


def pooled(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(-1, 14, 2, 14, 2).mean((2, 4)).astype(np.uint8)


def test_nothing_is_said_of_mnist_and_glyphs(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    assert said(*mnist) == said(mnist[0][:60], mnist[1][:60]) == said(pooled(mnist[0]), mnist[1]) == []
    for spec in ("glyphs:100", "glyphs:1000:7", "mnist5k"):
        dataset = load_dataset(spec)
        assert (list(remarks(dataset.train, dataset.test, 10)), dataset.polarity) == ([], LIGHT_ON_DARK)


DONE: dict[str, Change] = {
    "transposed": lambda x: x.transpose(0, 2, 1),
    "anticlockwise": lambda x: np.rot90(x, 1, (1, 2)),
    " clockwise": lambda x: np.rot90(x, -1, (1, 2)),
    "upside down": lambda x: x[:, ::-1, ::-1],
    "left to right": lambda x: x[:, :, ::-1],
    "top to bottom": lambda x: x[:, ::-1],
    "other diagonal": lambda x: x[:, ::-1, ::-1].transpose(0, 2, 1),
}


@pytest.mark.parametrize("side", [28, 14])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("name", DONE)
def test_other_orientations_are_named_with_what_undoes_them(
    mnist: tuple[np.ndarray, np.ndarray], name: str, inverted: bool, side: int
) -> None:
    pixels, labels = mnist
    changed = DONE[name](pooled(pixels) if side == 14 else pixels)
    found = said(255 - changed if inverted else changed, labels)
    assert [name in remark for remark in found] == [False, True][1 - inverted :]
    remedy = next(code for what, code in ORIENTATIONS.items() if name in f" {what}")
    assert f"write {remedy}," in found[-1]
    upright = eval(remedy, {"images": changed, "np": np})
    np.testing.assert_array_equal(upright, pooled(pixels) if side == 14 else pixels)


@pytest.mark.parametrize(("shift", "words"), [(1, "the digits plus 1"), (9, "the digits minus 1")])
def test_shifted_labels_are_named(mnist: tuple[np.ndarray, np.ndarray], shift: int, words: str) -> None:
    (found,) = said(mnist[0], (mnist[1] + shift) % 10)
    assert words in found


def test_labels_from_1_leave_a_class_empty(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = mnist
    few = labels < 4
    (found,) = said(pixels[few], labels[few] + 1)
    assert "the label 0: " in found
    assert "subtract 1" in found


SEEN_IN_A_MIRROR = ([0, 1, 5, 3, 4, 2, 9, 7, 8, 6], [0, 1, 2, 3, 4, 5, 9, 7, 8, 6])
"""What the digits 0 to 9 resemble when they are mirrored, and when they are upside down."""


@settings(max_examples=30)
@given(order=st.permutations(range(10)), seed=st.integers(0, 9))
def test_classes_that_are_no_digits_in_order_have_no_orientation(order: list[int], seed: int) -> None:
    """Nothing is said of ten shapes that are numbered as their owner likes, unless nearly all are digits in order."""
    pixels, labels = Glyphs(start=0, count=300, seed=seed).take(np.arange(300))
    moved = np.array(order)[labels]
    if any(((moved - labels) % 10 == shift).mean() > 0.25 for shift in (0, 1, 9)):
        return
    if any((moved == np.array(seen)[labels]).mean() > 0.25 for seen in SEEN_IN_A_MIRROR):
        return
    if len(set(labels.tolist())) == 10:
        assert said(pixels, moved) == []


def test_polarity_of_all_images_alike(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = mnist
    assert (polarity(pixels), polarity(255 - pixels)) == (LIGHT_ON_DARK, DARK_ON_LIGHT)
    assert polarity_of(LoadedImages(pixels=255 - pixels, labels=labels)) == DARK_ON_LIGHT
    (found,) = said(255 - pixels, labels)
    assert "the images are dark on light" in found
    assert "255 - images" in found
    (found,) = said(pixels, labels, test=255 - pixels)
    assert "the training images are light on dark, the test images dark on light" in found


NOISY = [(180, 60, 18), (200, 90, 15), (150, 60, 25), (170, 70, 20), (255, 0, 60), (120, 0, 30)]


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("side", [28, 14])
@pytest.mark.parametrize(("paper", "ink", "sigma"), NOISY)
def test_noise_hides_no_polarity(
    mnist: tuple[np.ndarray, np.ndarray], paper: int, ink: int, sigma: int, side: int, dark: bool
) -> None:
    """Images of a scanner: also where noise is a quarter of the contrast, nothing is wrong, and no size is measured."""
    pixels = scanned(mnist[0] if side == 28 else pooled(mnist[0]), paper=paper, ink=ink, sigma=sigma)
    pixels = pixels if dark else 255 - pixels
    assert polarity(pixels) == (DARK_ON_LIGHT if dark else LIGHT_ON_DARK)
    found = [remark for remark in said(pixels, mnist[1]) if not remark.startswith("the images are faint")]
    assert [remark.startswith("the images are dark on light:") for remark in found] == [True] * dark


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("percent", [0, 5, 9, 11, 30, 46, 49, 51, 54, 70, 85, 89, 91, 95, 100])
def test_a_share_of_images_dark_on_light(mnist: tuple[np.ndarray, np.ndarray], percent: int, noisy: bool) -> None:
    """One in ten of the rarer polarity is named, with what the file will say: what most images are."""
    light = scanned(mnist[0], paper=60, ink=180, sigma=18) if noisy else mnist[0]
    dark = np.random.default_rng(1).permutation(len(light)) < len(light) * percent // 100
    pixels = np.where(dark[:, None, None], 255 - light, light)
    pool = LoadedImages(pixels=pixels, labels=mnist[1])
    most = DARK_ON_LIGHT if percent > 50 else LIGHT_ON_DARK
    assert polarity_of(pool) == most
    found = said(pixels, mnist[1])
    if 10 <= percent <= 90:
        assert polarity(pixels) is None
        assert found[0].startswith(f"{percent}% of the training images are dark on light, {100 - percent}% light")
        assert f"recorded as {most}: write 255 - image for each" in found[0]
    else:
        assert polarity(pixels) == most
        assert ["the images are dark on light:" in remark for remark in found] == [True] * (percent > 50)


@pytest.mark.parametrize(("uncertain", "clear"), [(5, True), (9, True), (12, False), (60, False)])
def test_images_without_a_background_make_it_unclear(
    mnist: tuple[np.ndarray, np.ndarray], uncertain: int, clear: bool
) -> None:
    """From one in ten on that are noise only: it is said, with what is recorded."""
    noise = np.random.default_rng(0).integers(0, 256, mnist[0].shape, dtype=np.uint8)
    chosen = np.random.default_rng(1).permutation(len(noise)) < len(noise) * uncertain // 100
    for light, name in ((True, LIGHT_ON_DARK), (False, DARK_ON_LIGHT)):
        digits = mnist[0] if light else 255 - mnist[0]
        pixels = np.where(chosen[:, None, None], noise, digits)
        found = said(pixels, mnist[1])
        assert any(f"polarity is unclear, recorded as {name}: " in remark for remark in found) == (not clear)
        assert polarity(pixels) == (name if clear else None)
        found = said(digits, mnist[1], test=pixels)
        assert any("the polarity of the test images is unclear" in remark for remark in found) == (not clear)


def test_noise_and_blank_images_have_no_polarity() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    (found,) = said(noise, np.arange(300) % 10)
    assert "polarity is unclear" in found
    assert polarity(noise) is polarity(np.zeros_like(noise)) is polarity(noise[:0]) is None


def test_what_is_nearly_noise_is_recorded_as_most_images_are(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    for paper, ink, name in ((150, 90, DARK_ON_LIGHT), (90, 150, LIGHT_ON_DARK)):
        pixels = scanned(mnist[0], paper=paper, ink=ink, sigma=40)
        assert f"polarity is unclear, recorded as {name}" in said(pixels, mnist[1])[0]
        assert polarity_of(LoadedImages(pixels=pixels, labels=mnist[1])) == name


@pytest.mark.parametrize("paper", [90, 120, 165])
@pytest.mark.parametrize("spots", [0, 4, 11])
def test_a_few_spots_do_not_decide(paper: int, spots: int) -> None:
    """Dead pixels of a camera, up to 1.5 % of an image, are lighter than its paper."""
    pixels = np.where(box(height=20, width=8, top=4, left=10) > 0, paper - 50, paper).astype(np.uint8)
    pixels.reshape(20, -1)[:, np.random.default_rng(0).permutation(784)[:spots]] = 255
    assert (polarity(pixels), polarity(255 - pixels)) == (DARK_ON_LIGHT, LIGHT_ON_DARK)


@pytest.mark.parametrize("sigma", [0, 1, 3])
def test_a_digit_of_few_pixels_has_a_polarity(sigma: int) -> None:
    """Ten pixels of 784 are fewer than the tails that are left out."""
    pixels = scanned(box(height=10, width=1, top=9, left=14), paper=20, ink=230, sigma=sigma)
    assert (polarity(pixels), polarity(255 - pixels)) == (LIGHT_ON_DARK, DARK_ON_LIGHT)


@given(low=st.integers(0, 60), span=st.integers(40, 195), dark=st.booleans())
def test_polarity_does_not_depend_on_the_levels(low: int, span: int, dark: bool) -> None:
    glyphs = Glyphs(start=0, count=50, seed=1).take(np.arange(50))[0]
    pixels = (low + glyphs.astype(int) * span // 255).astype(np.uint8)
    assert polarity(255 - pixels if dark else pixels) == (DARK_ON_LIGHT if dark else LIGHT_ON_DARK)


def test_levels_size_place_and_blank_images(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = mnist
    (found,) = said(pixels // 3 + 60, labels)
    assert "faint, typically 84 grey levels" in found
    small = pooled(pixels)
    (found,) = said(np.pad(small, ((0, 0), (7, 7), (7, 7))), labels)
    assert "typically 10 of 28 pixels" in found
    (found,) = said(np.pad(small, ((0, 0), (0, 14), (0, 14))), labels)
    assert "10 from the centre" in found
    (found,) = said(np.where((np.arange(len(pixels)) % 4 == 0)[:, None, None], 0, pixels), labels)
    assert found.startswith("250 of 1,000 training images are blank")


@given(contrast=st.integers(60, 220), dark=st.booleans(), sigma=st.integers(0, 3))
def test_less_than_half_of_the_range_is_faint(contrast: int, dark: bool, sigma: int) -> None:
    pixels = scanned(box(height=20, width=14, top=4, left=7), paper=15, ink=15 + contrast, sigma=sigma)
    found = said(255 - pixels if dark else pixels, TWO_CLASSES)
    if abs(contrast - 128) > 5 * sigma:
        assert any("the images are faint" in remark for remark in found) == (contrast < 128)


@pytest.mark.parametrize("size", [8, 13, 14, 15, 20, 24, 25, 26])
@settings(max_examples=25)
@given(wide=st.booleans(), data=st.data(), dark=st.booleans(), sigma=st.sampled_from([0, 3, 12]))
def test_size_and_place_of_a_rectangle(size: int, wide: bool, data: st.DataObject, dark: bool, sigma: int) -> None:
    """Unlike MNIST's are less than 14 or more than 25 pixels of 28, and more than 4 pixels from centre to centre."""
    height, width = (size - 4, size) if wide else (size, size - 4)
    top, left = (data.draw(st.integers(1, 27 - extent)) for extent in (height, width))
    pixels = scanned(box(height=height, width=width, top=top, left=left), paper=20, ink=230, sigma=sigma)
    found = [each for each in said(255 - pixels if dark else pixels, TWO_CLASSES) if "digits are typically" in each]
    distance = float(np.hypot(top + (height - 1) / 2 - 13.5, left + (width - 1) / 2 - 13.5))
    assert bool(found) == (not 14 <= size <= 25 or distance > 4)
    if found:
        assert f"typically {size:.0f} of 28 pixels high or wide, {distance:.0f} from the centre" in found[0]


def test_a_quarter_of_shifted_digits_is_not_typical(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    """Digits of MNIST, moved by 2 pixels or by 7: within 4 pixels or not, if most are."""
    wide = np.pad(pooled(mnist[0]).repeat(2, 1).repeat(2, 2)[:, 4:24, 4:24], ((0, 0), (4, 4), (4, 4)))
    for pixels in (wide, scanned(wide, paper=20, ink=230, sigma=6)):
        background = int(np.median(pixels[:, 0]))
        for shift, unusual in ((0, False), (2, False), (7, True)):
            moved = np.pad(pixels, ((0, 0), (shift, 0), (0, 0)), constant_values=background)[:, :28]
            some = np.where((np.arange(len(moved)) % 4 == 0)[:, None, None], moved, pixels)
            assert any("from the centre" in remark for remark in said(moved, mnist[1])) == unusual
            assert not any("from the centre" in remark for remark in said(some, mnist[1]))


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(
    ("percent", "named"), [(0, False), (40, False), (55, False), (65, False), (80, True), (90, True)]
)
def test_most_images_must_be_turned(
    mnist: tuple[np.ndarray, np.ndarray], percent: int, named: bool, noisy: bool
) -> None:
    """A set of which about half is transposed is no transposed set: undoing it would only exchange the halves."""
    chosen = np.random.default_rng(1).permutation(len(mnist[0])) < len(mnist[0]) * percent // 100
    pixels = np.where(chosen[:, None, None], mnist[0].transpose(0, 2, 1), mnist[0])
    if noisy:
        pixels = scanned(pixels, paper=20, ink=230, sigma=25)
    assert any("transposed" in remark for remark in said(pixels, mnist[1])) == named


@pytest.mark.parametrize(("digits", "named"), [(10, True), (6, False), (4, False)])
def test_classes_that_are_no_digits_are_not_turned(
    mnist: tuple[np.ndarray, np.ndarray], digits: int, named: bool
) -> None:
    """The classes from `digits` on are other shapes than digits: the fewer remain, the less is certain."""
    turned = mnist[0][:, ::-1].copy()
    rng = np.random.default_rng(5)
    for label in range(digits, 10):
        shape = np.pad(rng.integers(0, 2, (5, 5)).repeat(4, 0).repeat(4, 1) * 255, 4)
        turned[mnist[1] == label] = shape
    assert any("mirrored" in remark for remark in said(turned, mnist[1])) == named


@settings(max_examples=50)
@given(
    count=st.integers(1, 30),
    side=st.sampled_from([14, 28]),
    levels=st.sampled_from([1, 2, 256]),
    seed=st.integers(0, 99),
)
def test_any_images_can_be_looked_at(count: int, side: int, levels: int, seed: int) -> None:
    """Also a single one, blank ones and noise: NumPy's warnings are errors in tests."""
    rng = np.random.default_rng(seed)
    said(rng.integers(0, levels, (count, side, side)), rng.integers(0, 10, count))


def test_a_sample_covers_a_sorted_pool() -> None:
    labels = np.repeat(np.arange(10, dtype=np.uint8), 1000)
    pixels, found = sample(LoadedImages(pixels=np.zeros((10_000, 14, 14), np.uint8), labels=labels))
    assert pixels.shape == (SAMPLE, 14, 14)
    assert np.bincount(found).tolist() == [SAMPLE // 10] * 10


def test_loading_says_it_once_and_changes_nothing(tmp_path: Path, mnist: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = mnist
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", 255 - pixels.transpose(0, 2, 1))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    with pytest.warns(UserWarning, match="the images are ") as caught:
        dataset: Dataset = load_dataset(f"idx:{tmp_path}")
    assert [str(each.message).startswith(f"{tmp_path}: the images are ") for each in caught] == [True, True]
    np.testing.assert_array_equal(dataset.train.take(np.arange(1000))[0], 255 - pixels.transpose(0, 2, 1))
    assert dataset.polarity == DARK_ON_LIGHT
