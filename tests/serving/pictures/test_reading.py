"""Pictures: each format becomes 28x28, light on dark, with notes on the changes; other files are refused."""

import gzip
import struct
import subprocess
import sys
import zipfile
import zlib
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pairnet.data.appearance import LIGHT_ON_DARK
from pairnet.data.idx import write_idx
from pairnet.data.sources import load_dataset
from pairnet.errors import DataError, PictureError
from pairnet.serving.pictures import raster
from pairnet.serving.pictures.decoding import decoded
from pairnet.serving.pictures.reading import decode, read, suited

INVERTED = "inverted: it is dark on light"


def seven(size=(90, 120), level=255, background=0, mode="L"):
    """A seven, left of the middle."""
    image = Image.new(mode, size, background)
    draw = ImageDraw.Draw(image)
    draw.line((15, 25, 50, 25, 25, 90), fill=level, width=6)
    return image


@pytest.fixture
def reference(tmp_path):
    seven().save(tmp_path / "reference.png")
    return read(tmp_path / "reference.png").pixels


def close(a, b):
    return np.abs(a.astype(int) - b).mean() < 3


def test_a_28x28_picture_is_not_changed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 90, (28, 28), dtype=np.uint8)
    pixels[10:15, 10:15] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png")
    assert (found.pixels[0] == pixels).all()
    assert found.notes == ()
    Image.fromarray(255 - pixels).save(tmp_path / "b.png")
    found = read(tmp_path / "b.png")
    assert (found.pixels[0] == pixels).all()
    assert found.notes == (INVERTED,)


def test_a_larger_picture_is_cropped_scaled_and_centred(reference):
    assert reference.shape == (1, 28, 28)
    mass = reference[0].astype(float)
    for axis in (0, 1):
        assert (np.indices((28, 28))[axis] * mass).sum() / mass.sum() == pytest.approx(13.5, abs=0.6)
    rows = np.flatnonzero(mass.any(1))
    assert rows[-1] - rows[0] + 1 == 20
    assert mass.max() > 240


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.webp", "a.tiff"])
def test_formats_with_a_dark_digit(name, tmp_path, reference):
    seven(level=20, background=240).save(tmp_path / name)
    found = read(tmp_path / name)
    assert found.notes[0] == INVERTED
    assert close(found.pixels, reference)


def test_a_transparent_background_with_a_dark_or_light_digit(tmp_path, reference):
    for level in ((0, 0, 0, 255), (255, 255, 255, 255)):
        seven(level=level, background=(0, 0, 0, 0), mode="RGBA").save(tmp_path / "clear.png")
        assert close(read(tmp_path / "clear.png").pixels, reference)


def test_sixteen_bits_and_palettes_and_one_bit(tmp_path, reference):
    deep = (np.asarray(seven(level=20, background=240), np.uint16) * 257).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    seven(level=20, background=240).convert("P").save(tmp_path / "palette.png")
    seven(level=0, background=255).convert("1").save(tmp_path / "bits.png")
    for name in ("deep.png", "palette.png", "bits.png"):
        assert close(read(tmp_path / name).pixels, reference), name


def test_a_picture_is_suited_by_what_was_done_to_it_not_by_its_notes(tmp_path):
    """Inverted twice is not inverted: whatever else the notes say, and in whatever words they begin."""
    for level, background in ((255, 0), (0, 255)):
        seven(level=level, background=background).save(tmp_path / "seven.png")
        picture = read(tmp_path / "seven.png")
        assert picture.inverted == (background == 255)
        noted = replace(picture, notes=("inverted commas around the digit", *picture.notes))
        there = suited(noted, "dark on light")
        assert there.inverted != noted.inverted
        assert (there.pixels == 255 - noted.pixels).all()
        assert there.notes[0] == noted.notes[0]
        assert any(note.startswith("inverted:") for note in there.notes) == there.inverted
        assert suited(noted, "light on dark") is noted


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


def npy_file(header):
    """The start of an .npy file with this text as its header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def png_header(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + body
        + struct.pack(">I", zlib.crc32(body))
        + struct.pack(">I", 100)
        + b"IDAT"
    )


def bmp_header(width, height):
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 8, 0, 0, 0, 0, 2, 2)


def broken(tmp_path, name):
    path = tmp_path / name
    match name:
        case "text.png" | "text.npy" | "text.npz":
            path.write_text("hello, this is not a picture")
        case "nothing.png" | "nothing.npy":
            path.touch()
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
        case "parens.npy":
            path.write_bytes(npy_file(b"(" * 4000))
        case "unhashable.npy":
            path.write_bytes(npy_file(b"{'a':1,[]:2}"))
        case "minus.npy":
            path.write_bytes(npy_file(b"-" * 4000 + b"1"))
        case "negative.npy":
            path.write_bytes(npy_file(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 28, 28)}"))
        case "large.npy":
            path.write_bytes(npy_file(b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000, 28, 28)}"))
            with path.open("ab") as file:
                file.truncate(100_000 * 784 + 1000)
        case "short.npy":
            np.save(path, np.zeros((2, 28, 28), np.uint8))
            path.write_bytes(path.read_bytes()[:-1])
        case "two.npy":
            np.save(path, np.zeros((28, 28), np.uint8))
            path.write_bytes(path.read_bytes() * 2)
        case "bomb.npz":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                content = npy_file(b"{'descr': '|u1', 'fortran_order': False, 'shape': (300000, 28, 28)}")
                archive.writestr("a.npy", content + bytes(300_000 * 784))
        case "encrypted.npz":
            np.savez(path, a=np.zeros((28, 28), np.uint8))
            content = bytearray(path.read_bytes())
            for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
                content[content.index(signature) + offset] |= 1
            path.write_bytes(content)
        case "bzip.npz":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
                archive.writestr("a.npy", bytes(100))
        case "checksum.npz":
            np.savez(path, a=np.full((28, 28), 77, np.uint8))
            path.write_bytes(path.read_bytes().replace(bytes([77] * 100), bytes([78] * 100), 1))
        case "many.npz":
            with zipfile.ZipFile(path, "w") as archive:
                for number in range(4000):
                    archive.writestr(f"{number}.npy", b"")
        case "dots.png":
            dots = Image.new("L", (3000, 3000))
            dots.putpixel((10, 10), 255)
            dots.putpixel((2900, 2900), 255)
            dots.save(path)
        case "script.png":
            path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n%%EOF\n")
        case "wide.png" | "bomb.png" | "tall.bmp":
            width, height = {"wide.png": (10_000, 5_001), "bomb.png": (20_000, 20_000), "tall.bmp": (1, 2**31 - 1)}[
                name
            ]
            path.write_bytes(png_header(width, height) if name.endswith("png") else bmp_header(width, height))
        case "cut.gz":
            path.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x64" + bytes(range(100)))[:40])
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.png", "got no such file: check the name"),
        ("text.png", "got another format"),
        ("text.npy", "expected an .npy file, cannot read it: the magic string is not correct"),
        ("text.npz", "cannot read it"),
        ("nothing.png", "got an empty file: copy or save it again"),
        ("nothing.npy", "got an empty file: copy or save it again"),
        ("cut.png", "cannot read it"),
        ("blank.png", "differs from its background, got one of nearly its brightness"),
        ("even.png", "differs from its background"),
        ("clear.png", "differs from its background"),
        ("nan.tif", "not all of its grey levels are finite"),
        ("inf.tif", "not all of its grey levels are finite"),
        ("words.npz", "cannot read it: EOF: reading magic string"),
        ("header.npz", "cannot read it: EOF: reading array header, expected 30070 bytes got 5"),
        ("scalars.npz", r"got \[2\]"),
        ("giant.npy", "expected at most 67,108,864 bytes of images, got 280,000,000,000,000"),
        ("floats.npy", r"expected uint8 grey levels, got float64 \[2, 28, 28\]"),
        ("wide.npy", r"got \[2, 28, 29\]"),
        ("three.npy", r"got \[2, 3, 28, 28\]"),
        ("empty.npy", "at least one image"),
        ("pickle.npy", "got object"),
        ("two.npz", "expected one array, or first and second, got \\['a', 'b'\\]"),
        ("uneven.npz", "expected as many first as second images"),
        ("parens.npy", "cannot read it"),
        ("unhashable.npy", "cannot read it"),
        ("minus.npy", "cannot read it"),
        ("negative.npy", r"expected a shape of sizes from 0 on, got \[-1, 28, 28\]"),
        ("large.npy", "expected at most 67,108,864 bytes of images, got 78,400,000"),
        ("short.npy", "truncated: expected 1,568 bytes"),
        ("two.npy", "trailing bytes: expected 784 bytes"),
        ("bomb.npz", "expected at most 67,108,864 bytes of images, got 235,200,000"),
        ("encrypted.npz", "is encrypted"),
        ("bzip.npz", "expected no compression or deflate, got method 12"),
        ("checksum.npz", "Bad CRC-32"),
        ("many.npz", "more than 131,072 bytes for the list of its members"),
        ("dots.png", "expected a digit visible in 20x20 pixels"),
        ("script.png", "got another format"),
        ("wide.png", "expected at most 50,000,000 pixels, got 10000x5001"),
        ("bomb.png", "expected at most 50,000,000 pixels, got many more"),
        ("tall.bmp", "expected at most 50,000,000 pixels, got many more"),
        ("cut.gz", "truncated"),
    ],
)
def test_files_without_a_usable_picture_are_refused_in_one_line(name, message, tmp_path):
    with pytest.raises(DataError, match=message) as error:
        read(broken(tmp_path, name))
    assert "\n" not in str(error.value)
    assert name in str(error.value)
    assert issubclass(PictureError, DataError)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty body"),
        (b"--boundary\r\nContent-Disposition: form-data; name=file\r\n\r\n", "the parts of a form"),
        (b"file=%89PNG", "a field of a form"),
        (npy_file(b"{}"), "an array or an archive"),
        (zlib.compress(b"") + b"a", None),
    ],
)
def test_bytes_that_wrap_a_picture_are_refused_with_what_to_send(content, got):
    with pytest.raises(PictureError) as error:
        decode(content, "picture")
    text = str(error.value)
    assert "\n" not in text
    assert all(kind in text for kind in ("PNG", "JPEG", "HEIF"))
    assert "npy" not in text
    if got:
        assert f"got {got}: send the file itself, as in `curl --data-binary @FILE`" in text


def test_blank_arrays_are_noted(tmp_path):
    images = load_dataset("mnist5k").test.pixels[:4].copy()
    np.save(tmp_path / "a.npy", images)
    assert suited(read(tmp_path / "a.npy"), LIGHT_ON_DARK).notes == ()
    images[1:3] = 0
    np.save(tmp_path / "a.npy", images)
    assert suited(read(tmp_path / "a.npy"), LIGHT_ON_DARK).notes == (
        "2 of 4 images are blank: their answers mean nothing",
    )


def test_only_the_first_frame_is_used(tmp_path, reference):
    seven().save(tmp_path / "two.gif", save_all=True, append_images=[Image.new("L", (90, 120), 255)])
    assert close(read(tmp_path / "two.gif").pixels, reference)


STORED = ["FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270"]


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg"])
@pytest.mark.parametrize(("orientation", "turn"), [(1, None), *enumerate(STORED, start=2)])
def test_orientations(orientation, turn, name, tmp_path, reference):
    """A photo is stored by the inverse of the turn that its metadata requires."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = seven() if turn is None else seven().transpose(Image.Transpose[turn])
    stored.save(tmp_path / name, exif=exif, quality=95)
    assert close(read(tmp_path / name).pixels, reference)


def test_members_that_are_not_used_are_not_inflated(tmp_path):
    path = tmp_path / "sides.npz"
    images = np.zeros((2, 28, 28), np.uint8)
    np.savez(path, first=images, second=images, other=np.zeros((3, 3)))
    assert read(path).pixels.shape == (2, 2, 28, 28)


PEAK = """
import resource, sys
from pathlib import Path
import numpy as np
from PIL import Image
from pairnet.errors import DataError
from pairnet.serving.pictures.reading import read, suited
Image.preinit()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    try:
        read(Path(name))
    except DataError as error:
        print(error, file=sys.stderr)
added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(max(added, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024)
"""
LARGEST = {
    "webp": (4096, 4096),
    "tiff": (4096, 4096),  # 4 bytes for each pixel, in 72 MiB
    "jpg": (5000, 3996),  # CMYK of several scans: 80 million coefficients
}


def largest(path):
    """A file of the largest accepted size."""
    width, height = LARGEST.get(path.suffix[1:], (10_000, 5_000))
    level = np.asarray(Image.linear_gradient("L").resize((width, height), Image.Resampling.NEAREST))
    match path.stem:
        case "alpha":
            Image.merge("RGBA", [Image.fromarray(level)] * 4).save(path, compress_level=1)
        case "deep":
            Image.fromarray(level.astype(np.uint16) * 257).save(path, compress_level=1)
        case "float":
            Image.fromarray(level.astype(np.float32)).save(path)
        case "cmyk":
            Image.merge("CMYK", [Image.fromarray(level)] * 4).save(path, progressive=True, quality=50)
        case "lossless":
            Image.merge("RGBA", [Image.fromarray(level)] * 4).save(path, lossless=True, quality=0, method=0)
        case "arrays":
            half = np.zeros((42_000, 28, 28), np.uint8)
            np.savez_compressed(path, first=half, second=half)
        case "labels":
            write_idx(path, np.zeros((85_000, 28, 28), np.uint8))
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB")
@pytest.mark.parametrize(
    "name", ["alpha.png", "deep.png", "float.tiff", "cmyk.jpg", "lossless.webp", "arrays.npz", "labels.gz"]
)
def test_the_largest_files_add_at_most_256_mb_to_the_peak(name, tmp_path):
    command = [sys.executable, "-c", PEAK, str(largest(tmp_path / name))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 256, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB")
def test_files_that_claim_more_than_they_hold_allocate_nothing(tmp_path):
    names = ["bomb.npz", "bomb.png", "tall.bmp", "giant.npy", "large.npy", "many.npz", "cut.gz"]
    claim = tmp_path / "claim.gz"  # 3.3 TB
    claim.write_bytes(gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 28, 28) + bytes(2**22)))
    command = [sys.executable, "-c", PEAK, str(claim), *(str(broken(tmp_path, name)) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stderr.splitlines()) == len(names) + 1
    assert int(done.stdout) <= 32, done.stderr


def enlarged(pixels, side=64):
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def saved(pixels, tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


def test_a_digit_is_centred_by_its_mass(tmp_path):
    bar = np.zeros((80, 80), np.uint8)
    bar[10:50, 30:50] = 255  # 40x20 pixels: 20x10 in the end
    rows, columns = np.nonzero(read(saved(bar, tmp_path)).pixels[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 9, 18)


def test_deep_grey_levels_are_scaled_over_the_whole_picture(tmp_path):
    """The darkest level is in another strip than the first."""
    image = np.asarray(seven((600, 600)).resize((600, 600)), np.uint16) * 100 + 5_000
    image[-1] = 0
    path = tmp_path / "deep.png"
    Image.fromarray(image).save(path)
    levels = np.rint((image.astype(float) - image.min()) * 255 / (image.max() - image.min())).astype(np.uint8)
    assert np.array_equal(decoded("deep", BytesIO(path.read_bytes())).grey, levels)


@pytest.mark.parametrize("value", ["6", b"6", 6.0, None, 0, 9, -1], ids=repr)
def test_an_orientation_that_is_no_orientation_means_upright(value):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(raster._upright(pixels, value), pixels)


@pytest.mark.parametrize("size", [(16_000_000, 1), (1, 16_000_000)], ids=["wide", "tall"])
def test_pictures_that_are_lines_are_refused(size, tmp_path):
    path = tmp_path / "line.png"
    Image.new("L", size).save(path)
    with pytest.raises(PictureError, match="expected sides of at most 16,384 pixels"):
        read(path)


def test_many_strokes_are_judged_in_linear_time(tmp_path):
    stripes = np.zeros((1000, 16_000), np.uint8)
    stripes[:, ::3] = 255
    for each in (stripes, stripes.T.copy()):
        with suppress(PictureError):
            read(saved(each, tmp_path))  # within the time limit of a test; a quadratic loop took an hour


@pytest.mark.parametrize("inverted", [False, True])
def test_real_digits_are_neither_uneven_nor_several(inverted, tmp_path):
    rng = np.random.default_rng(0)
    for image in load_dataset("mnist5k").test.pixels[::10]:
        pixels = enlarged(image)
        noisy = np.clip(20 + 0.8 * pixels + rng.normal(0, 5, pixels.shape), 0, 255).astype(np.uint8)
        for each in (pixels, noisy):
            assert read(saved(255 - each if inverted else each, tmp_path)).pixels.shape == (1, 28, 28)


def test_two_digits_one_above_the_other_are_refused(tmp_path):
    test = load_dataset("mnist5k").test
    wide = test.pixels[test.labels != 1]  # two ones look like the halves of one
    found = 0
    for first, second in zip(wide[:100:2], wide[1:100:2], strict=True):
        try:
            read(saved(np.concatenate((first, second)), tmp_path))
        except PictureError as error:
            found += "expected one digit, got 2 one above the other: crop the picture" in str(error)
    assert found >= 45  # of 50: some digits touch the edge, some are broken themselves


def test_two_digits_in_one_picture_are_refused(tmp_path):
    images = load_dataset("mnist5k").test.pixels
    for first, second in zip(images[:100:2], images[1:100:2], strict=True):
        with pytest.raises(PictureError, match="expected one digit, got 2 side by side: crop the picture"):
            read(saved(np.hstack([enlarged(first), enlarged(second)]), tmp_path))


@pytest.mark.parametrize("turned", [0, 1, 2, 3])
def test_a_background_with_a_gradient_is_refused(turned, tmp_path):
    light = np.rot90(np.broadcast_to(np.linspace(0, 100, 64), (64, 64)), turned)
    for image in load_dataset("mnist5k").test.pixels[:20]:
        pixels = np.clip(light + enlarged(image) * (155 / 255), 0, 255).astype(np.uint8)
        with pytest.raises(PictureError, match=r"expected an even background, got one that changes by \d+ of 255"):
            read(saved(pixels, tmp_path))
