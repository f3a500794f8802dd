"""Pictures: any format comes out as 28x28, light on dark, and what was done is said; what is no picture is refused."""

import gzip
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pairnet.data.idx import write_idx
from pairnet.errors import DataError, PictureError
from pairnet.serving.pictures import drawn, is_dark_on_light, read

TURNED = "dark on light, so turned to light on dark"


def seven(size=(90, 120), ink=255, ground=0, mode="L"):
    """A seven, left of the middle."""
    image = Image.new(mode, size, ground)
    draw = ImageDraw.Draw(image)
    draw.line((15, 25, 50, 25, 25, 90), fill=ink, width=6)
    return image


@pytest.fixture
def reference(tmp_path):
    seven().save(tmp_path / "reference.png")
    return read(tmp_path / "reference.png").pixels


def close(a, b):
    return np.abs(a.astype(int) - b).mean() < 3


def test_a_28x28_picture_is_taken_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 90, (28, 28), dtype=np.uint8)
    pixels[10:15, 10:15] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png")
    assert (found.pixels[0] == pixels).all()
    assert found.notes == ()
    Image.fromarray(255 - pixels).save(tmp_path / "b.png")
    found = read(tmp_path / "b.png")
    assert (found.pixels[0] == pixels).all()
    assert found.notes == (TURNED,)


def test_a_larger_one_is_cut_scaled_and_centred(reference):
    assert reference.shape == (1, 28, 28)
    mass = reference[0].astype(float)
    for axis in (0, 1):
        assert (np.indices((28, 28))[axis] * mass).sum() / mass.sum() == pytest.approx(13.5, abs=0.6)
    rows = np.flatnonzero(mass.any(1))
    assert rows[-1] - rows[0] + 1 == 20
    assert mass.max() > 240


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.webp", "a.tiff"])
def test_formats_and_dark_ink(name, tmp_path, reference):
    seven(ink=20, ground=240).save(tmp_path / name)
    found = read(tmp_path / name)
    assert found.notes[0] == TURNED
    assert close(found.pixels, reference)


def test_transparent_ground_in_either_ink(tmp_path, reference):
    for ink in ((0, 0, 0, 255), (255, 255, 255, 255)):
        seven(ink=ink, ground=(0, 0, 0, 0), mode="RGBA").save(tmp_path / "clear.png")
        assert close(read(tmp_path / "clear.png").pixels, reference)


def test_sixteen_bits_and_palettes_and_one_bit(tmp_path, reference):
    deep = (np.asarray(seven(ink=20, ground=240), np.uint16) * 257).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    seven(ink=20, ground=240).convert("P").save(tmp_path / "palette.png")
    seven(ink=0, ground=255).convert("1").save(tmp_path / "bits.png")
    for name in ("deep.png", "palette.png", "bits.png"):
        assert close(read(tmp_path / name).pixels, reference), name


def test_a_photo_that_lies_on_its_side(tmp_path, reference):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 270 degrees to see it upright
    seven().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    assert close(read(tmp_path / "photo.jpg").pixels, reference)


def test_arrays(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "a.npy", images)
    np.save(tmp_path / "one.npy", images[0])
    np.save(tmp_path / "pairs.npy", images[:4].reshape(2, 2, 28, 28))
    np.savez(tmp_path / "a.npz", images=images)
    np.savez(tmp_path / "sides.npz", first=images, second=images[::-1])
    write_idx(tmp_path / "a-idx3-ubyte", images)
    write_idx(tmp_path / "a.gz", images)
    for name in ("a.npy", "a.npz", "a-idx3-ubyte", "a.gz"):
        assert (read(tmp_path / name).pixels == images).all()
    assert read(tmp_path / "one.npy").pixels.shape == (1, 28, 28)
    assert read(tmp_path / "pairs.npy").pixels.shape == (2, 2, 28, 28)
    assert (read(tmp_path / "sides.npz").pixels == np.stack((images, images[::-1]), 1)).all()


def broken(tmp_path, name):
    path = tmp_path / name
    match name:
        case "text.png" | "text.npy" | "text.npz":
            path.write_text("hello, this is no picture")
        case "cut.png":
            seven().save(path)
            path.write_bytes(path.read_bytes()[:60])
        case "blank.png":
            Image.new("L", (100, 100), 200).save(path)
        case "even.png":
            Image.new("L", (28, 28), 255).save(path)
        case "clear.png":
            Image.new("RGBA", (28, 28)).save(path)
        case "nan.tif" | "inf.tif":
            deep = np.asarray(seven(), np.float32).copy()
            deep[3, 3] = float(name[:3])
            Image.fromarray(deep).save(path)
        case "words.npz":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a", "hello")
        case "header.npz":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.npy", b"\x93NUMPY\x01\x00\x76\x75hello")
        case "scalars.npz":
            np.savez(path, first=np.uint8(1), second=np.uint8(2))
        case "giant.npy":
            np.save(path, np.zeros((28, 28), np.uint8))
            path.write_bytes(path.read_bytes().replace(b"(28, 28), ", b"(10000000000000, 28), ")[:128])
        case "floats.npy":
            np.save(path, np.zeros((2, 28, 28)))
        case "wide.npy":
            np.save(path, np.zeros((2, 28, 29), np.uint8))
        case "three.npy":
            np.save(path, np.zeros((2, 3, 28, 28), np.uint8))
        case "empty.npy":
            np.save(path, np.zeros((0, 28, 28), np.uint8))
        case "pickle.npy":
            np.save(path, np.array([{}], object), allow_pickle=True)
        case "two.npz":
            np.savez(path, a=np.zeros(3), b=np.zeros(3))
        case "uneven.npz":
            np.savez(path, first=np.zeros((2, 28, 28), np.uint8), second=np.zeros((3, 28, 28), np.uint8))
        case "cut.gz":
            path.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x64" + bytes(range(100)))[:40])
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.png", "found none: check the name"),
        ("text.png", "cannot read it"),
        ("text.npy", "cannot read it"),
        ("text.npz", "cannot read it"),
        ("cut.png", "cannot read it"),
        ("blank.png", "stands out from its ground"),
        ("even.png", "stands out from its ground"),
        ("clear.png", "stands out from its ground"),
        ("nan.tif", "not all of its grey levels are finite"),
        ("inf.tif", "not all of its grey levels are finite"),
        ("words.npz", "expected an array, found bytes a"),
        ("header.npz", "cannot read it"),
        ("scalars.npz", r"came \[2\]"),
        ("giant.npy", "cannot read it"),
        ("floats.npy", r"expected uint8 grey levels, came float64 \[2, 28, 28\]"),
        ("wide.npy", r"came \[2, 28, 29\]"),
        ("three.npy", r"came \[2, 3, 28, 28\]"),
        ("empty.npy", "at least one image"),
        ("pickle.npy", "cannot read it"),
        ("two.npz", "expected one array, or first and second, found a, b"),
        ("uneven.npz", "expected as many first as second"),
        ("cut.gz", "truncated"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(name, said, tmp_path):
    with pytest.raises(DataError, match=said) as error:
        read(broken(tmp_path, name))
    assert "\n" not in str(error.value)
    assert name in str(error.value)
    assert issubclass(PictureError, DataError)


def test_which_side_is_the_ground():
    pixels = np.zeros((28, 28), np.uint8)
    pixels[8:20, 12:15] = 255
    assert not is_dark_on_light(pixels)
    assert is_dark_on_light(255 - pixels)


@pytest.mark.parametrize("colour", [False, True])
def test_drawn_in_14_lines_of_28(colour):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[:, 14:] = 255
    lines = drawn(pixels, colour=colour).plain.splitlines()
    assert [len(line) for line in lines] == [28] * 14
    assert lines[0] == ("▀" * 28 if colour else " " * 14 + "@" * 14)
