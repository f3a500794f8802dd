"""Picture files: formats, sizes, and codes are those of the guides; hostile files are refused early and in silence."""

import csv
import json
import random
import re
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from damage import damaged
from PIL import Image, ImageDraw

from pairnet.errors import PictureCode, PictureError
from pairnet.serving.pictures import isolation
from pairnet.serving.pictures.bounds import MAX_INFLATED, MAX_PARTS, MAX_SCANS
from pairnet.serving.pictures.decoding import APART, FORMATS, MAX_BYTES, decoded
from pairnet.serving.pictures.raster import LIMITS, MAX_PIXELS, MAX_SIDE, SLOW
from pairnet.serving.pictures.reading import read

DOCS = Path(__file__).parents[3] / "docs"
OPTIONS = {"JPEG": {"quality": 95}, "AVIF": {"quality": 95, "speed": 10}, "WEBP": {"lossless": True}}


def seven(width: int = 160, height: int = 120, mode: str = "RGB") -> Image.Image:
    """A dark seven on a light background."""
    image = Image.new(mode, (width, height), "white")
    stroke = [(width * x, height * y) for x, y in ((0.4, 0.2), (0.6, 0.2), (0.48, 0.8))]
    ImageDraw.Draw(image).line(stroke, fill="black", width=width // 30)
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = BytesIO()
    image.save(file, kind, **{**OPTIONS.get(kind, {}), **options})
    return file.getvalue()


def refused(content: bytes) -> PictureError:
    with pytest.raises(PictureError, match=r"^file: ") as error:
        decoded("file", BytesIO(content))
    assert "\n" not in str(error.value)
    return error.value


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_has_the_grey_levels_of_the_picture(kind: str) -> None:
    image = seven(64, 64) if kind == "ICO" else seven()  # the sides of icons are fixed
    found = decoded("file", BytesIO(saved(image, kind)))
    assert found.size == image.size
    assert np.abs(found.grey.astype(int) - np.asarray(image.convert("L"))).mean() < 3


@pytest.mark.parametrize(("kind", "width", "height"), [("JPEG", 5712, 4284), ("PNG", 4032, 3024), ("AVIF", 2400, 1800)])
def test_a_large_picture_is_that_of_its_reduced_size(kind: str, width: int, height: int, tmp_path: Path) -> None:
    image = seven(width, height, "L")
    path = tmp_path / f"photo.{kind.lower()}"
    path.write_bytes(saved(image, kind))
    found = decoded("file", BytesIO(path.read_bytes()))
    factor = width // found.grey.shape[1]
    assert found.size == (width, height)
    assert found.grey.size <= 1 << 22 < width * height <= found.grey.size * factor**2
    assert np.abs(found.grey.astype(int) - np.asarray(image.reduce(factor))).mean() < 1
    assert f"{width}x{height}: reduced by {factor}" in read(path).notes[0]


@pytest.mark.parametrize(("kind", "orientation"), [("JPEG", 3), ("JPEG", 5), ("JPEG", 8), ("AVIF", 6), ("HEIF", 6)])
def test_large_photos_are_turned_and_reduced(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded("file", BytesIO(saved(seven(2400, 1800), kind, exif=exif.tobytes())))
    assert found.grey.shape == ((900, 1200) if orientation < 5 else (1200, 900))


def test_a_photo_with_a_second_picture_is_read_as_its_first() -> None:
    """Phones store gain maps so; Pillow calls the format MPO."""
    content = saved(seven(2400, 1800), "MPO", save_all=True, append_images=[Image.new("RGB", (40, 30))])
    assert decoded("file", BytesIO(content)).grey.shape == (900, 1200)


def test_transparent_pixels_of_a_large_picture_are_background() -> None:
    image = seven(2400, 1800, "L")
    image = Image.merge("LA", [Image.new("L", image.size), image.point(lambda level: 255 - level)])
    grey = decoded("file", BytesIO(saved(image, "PNG"))).grey
    assert np.abs(grey.astype(int) - np.asarray(seven(2400, 1800, "L").reduce(2))).mean() < 1


def test_the_guides_name_the_formats_sizes_and_codes() -> None:
    text = (DOCS / "export.md").read_text(encoding="utf-8").partition("### Pictures")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z0-9]+)` \|[^|]*\| ([\d,]+) \|", text, re.MULTILINE)
    assert {kind: int(most.replace(",", "")) for kind, most in rows} == LIMITS
    codes = re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)
    assert sorted(codes) == sorted(get_args(PictureCode))
    for number in (MAX_BYTES >> 20, MAX_SCANS, f"{MAX_SIDE:,}", isolation.MAX_SECONDS, f"{max(SLOW.values()):,}"):
        assert f"{number}" in text
    from pairnet.serving.server.protocol import LARGEST_PICTURE

    serving = (DOCS / "serving.md").read_text(encoding="utf-8")
    assert f"{LARGEST_PICTURE >> 20} MiB and {MAX_PIXELS:,} pixels" in serving


# Work


def with_scans(content: bytes, count: int) -> bytes:
    """A progressive JPEG with its last scan repeated until it has `count` scans."""
    last = content.rindex(b"\xff\xc4", 0, content.rindex(b"\xff\xda"))
    missing = count - content.count(b"\xff\xda")
    return content[:-2] + content[last:-2] * missing + content[-2:]


def test_scans_of_a_jpeg_are_counted() -> None:
    content = saved(seven(), "JPEG", progressive=True)
    assert decoded("file", BytesIO(with_scans(content, MAX_SCANS))).size == (160, 120)
    assert refused(with_scans(content, MAX_SCANS + 1)).code == "too-much-work"
    hidden = content.replace(b"\xff\xda", b"\xff\x01" + b"\xff" * 9 + b"\xda", 1)  # fill bytes, a marker without length
    assert refused(with_scans(hidden, MAX_SCANS + 1)).code == "too-much-work"


def test_large_pictures_may_have_fewer_scans() -> None:
    content = saved(Image.new("L", (8000, 6000), 255), "JPEG", progressive=True)
    assert content.count(b"\xff\xda") < 12 < MAX_SCANS
    assert decoded("file", BytesIO(with_scans(content, 12))).size == (8000, 6000)
    assert "blocks" in str(refused(with_scans(content, MAX_SCANS)))


def test_a_jpeg_of_several_scans_holds_few_coefficients() -> None:
    image = Image.new("RGB", (6000, 5000), "white")
    assert "coefficients" in str(refused(saved(image, "JPEG", progressive=True, subsampling=0)))
    assert decoded("file", BytesIO(saved(image, "JPEG", progressive=True, subsampling=2))).size == image.size
    assert decoded("file", BytesIO(saved(image, "JPEG", subsampling=0))).size == image.size


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def hostile(name: str) -> bytes:
    """A small file that asks for much work."""
    png, gif, jpeg = (saved(seven(mode="L"), kind) for kind in ("PNG", "GIF", "JPEG"))
    match name:
        case "texts":
            text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 19)))
            return png[:33] + text * (MAX_INFLATED + 1) + png[33:]
        case "chunks":
            return png[:33] + chunk(b"IDAT") * (MAX_PARTS + 1) + png[33:]
        case "segments":
            return jpeg[:2] + b"\xff\xfe\0\2" * (MAX_PARTS + 1) + jpeg[2:]
        case "exif":
            part = b"\xff\xe1" + struct.pack(">H", 1008) + b"Exif\0\0" + bytes(1000)
            return jpeg[:2] + part * 2 + jpeg[2:]
        case "long exif":
            return png[:33] + chunk(b"eXIf", b"II*\0\x08\0\0\0" + bytes(1 << 17)) + png[33:]
        case "comments":
            return gif[: 13 + 3 * (2 << (gif[10] & 7))] + b"\x21\xfe\x01a\0" * (1 << 20)
        case "large icon":
            icon = bytearray(saved(seven(64, 64), "ICO", bitmap_format="bmp", sizes=[(64, 64)]))
            icon[26:34] = struct.pack("<ii", 9_000, 18_000)
            return bytes(icon)
        case "icons":
            return b"\0\0\1\0\xff\xff" + bytes(16 * 65535)
        case "plain":
            return b"P2 1025 1024 255\n" + b"1 " * 1025 * 1024
        case "scaled":
            return b"P5 1025 1024 99\n" + bytes(1025 * 1024)
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("texts", "too-much-work"),
        ("chunks", "too-much-work"),
        ("segments", "too-much-work"),
        ("exif", "too-much-work"),
        ("long exif", "too-much-work"),
        ("comments", "too-much-work"),
        ("large icon", "too-large"),
        ("icons", "too-much-work"),
        ("plain", "too-large"),
        ("scaled", "too-large"),
    ],
)
def test_small_files_that_ask_for_much_work_are_refused(name: str, code: str) -> None:
    assert refused(hostile(name)).code == code


def test_files_of_many_bytes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    path.write_bytes(saved(seven(), "PNG"))
    with path.open("ab") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(PictureError, match="expected a picture of at most 75,497,472 bytes") as error:
        read(path)
    assert error.value.code == "too-large"


# Damage


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_are_read_or_refused_in_silence(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(kind)
    options = {"compression": "tiff_ccitt"} if kind == "TIFF" else {}
    content = saved(seven(mode="1" if kind == "TIFF" else "RGB"), kind, **options)
    texts = []
    capfd.readouterr()
    for _ in range(6 if kind in APART else 100):
        try:
            found = decoded("file", BytesIO(damaged(content, rng)))
            assert found.grey.ndim == 2
        except PictureError as error:
            texts.append(str(error))
    assert all(text.startswith("file: ") and "\n" not in text for text in texts)
    assert capfd.readouterr() == ("", "")


def test_libtiff_would_print() -> None:
    """The file of this test makes libtiff print where it runs in the same process, and not through `decoded`."""
    content = bytearray(saved(seven(mode="1"), "TIFF", compression="tiff_ccitt"))
    content[8:200] = b"\x55" * 192
    program = "import sys; from io import BytesIO; from {}; {}('file', BytesIO(sys.stdin.buffer.read()){})"
    printed = []
    for module, name, rest in (("raster", "raster", ", ['TIFF']"), ("decoding", "decoded", "")):
        code = program.format(f"pairnet.serving.pictures.{module} import {name}", name, rest)
        printed.append(subprocess.run([sys.executable, "-c", code], input=bytes(content), capture_output=True).stderr)
    assert b"Fax3" in printed[0]
    assert b"Fax3" not in printed[1]


@pytest.mark.parametrize(("ended", "code"), [(isolation.EXCEEDED, "too-much-work"), (-11, "damaged"), (1, "damaged")])
def test_a_decoder_that_ends_is_a_refusal(ended: int, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], ended, b"", b""))
    assert refused(saved(seven(), "TIFF")).code == code


LOOP = """
from pairnet.serving.pictures import isolation
def loop(*_):
    while True:
        pass
isolation.MAX_SECONDS, isolation.raster = 1, loop
isolation.main(["TIFF"])
"""
GREEDY = LOOP.replace("while True:\n        pass", "bytes(isolation.MAX_MEMORY)")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_the_decoder_has_limits_of_time_and_memory() -> None:
    done = subprocess.run([sys.executable, "-c", LOOP], input=b"", capture_output=True)
    assert done.returncode == isolation.EXCEEDED
    done = subprocess.run([sys.executable, "-c", GREEDY], input=b"", capture_output=True)
    assert json.loads(done.stdout)["code"] == "too-large"


def test_heic_without_its_package_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("pairnet.serving.pictures.decoding.find_spec", lambda _: None)
    error = refused(b"\0\0\0\x18ftypheic" + bytes(100))
    assert "pip install 'pairnet[heic]'" in str(error)
    assert error.code == "format"


# Codes


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("none.png", "missing"),
        (".", "missing"),
        ("text.png", "format"),
        ("cut.png", "damaged"),
        ("wide.png", "too-large"),
        ("even.png", "low-contrast"),
        ("wide.npy", "unusable"),
    ],
)
def test_predict_prints_the_code_of_a_refusal(name: str, code: str, tmp_path: Path) -> None:
    seven().save(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("hello, this is not a picture")
    (tmp_path / "cut.png").write_bytes(saved(seven(), "PNG")[:200])
    Image.new("1", (MAX_SIDE + 1, 10)).save(tmp_path / "wide.png")
    Image.new("L", (50, 50), 99).save(tmp_path / "even.png")
    np.save(tmp_path / "wide.npy", np.zeros((2, 28, 29), np.uint8))
    option = "--csv" if code == "format" else "--json"
    command = [sys.executable, "-m", "pairnet", "predict", option, "good.png", name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    if option == "--csv":
        (found,) = csv.DictReader(done.stdout.splitlines())
    else:
        found = json.loads(done.stdout)["refused"]
    assert (found["file"], found["code"]) == (name, code)
    assert done.stderr == f"pairnet: {found['error']}\n"
