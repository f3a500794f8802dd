"""Hostile files: flipped bytes and truncations of each format, and headers that claim more than there is.

Each file is read or refused in one line that names it. PAIRNET_ATTACK=long tries 20,000 files in place of 600.
"""

import gzip
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from damage import damaged
from PIL import Image

from pairnet.data.idx import header
from pairnet.errors import DataError
from pairnet.serving.pictures.reading import read

FILES = 2_000 if os.environ.get("PAIRNET_ATTACK") == "long" else 60  # for each format
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)


def saved(save: Callable[[BytesIO], object]) -> bytes:
    file = BytesIO()
    save(file)
    return file.getvalue()


def picture(kind: str, **options: object) -> bytes:
    image = Image.fromarray(np.kron(IMAGES[0] // 128 * 255, np.ones((2, 2), np.uint8)))
    return saved(lambda file: image.save(file, kind, **options))


FORMATS = {
    "a.idx": header(IMAGES.shape) + IMAGES.tobytes(),
    "a.gz": gzip.compress(header(IMAGES.shape) + IMAGES.tobytes(), mtime=0),
    "a.npy": saved(lambda file: np.save(file, IMAGES)),
    "stored.npz": saved(lambda file: np.savez(file, a=IMAGES)),
    "deflated.npz": saved(lambda file: np.savez_compressed(file, first=IMAGES, second=IMAGES)),
    "a.png": picture("PNG"),
    "a.jpg": picture("JPEG"),
    "a.gif": picture("GIF"),
    "a.bmp": picture("BMP"),
    "a.tiff": picture("TIFF"),
    "a.webp": picture("WEBP", lossless=True),
}


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    rng, path = random.Random(name), tmp_path / name
    path.write_bytes(FORMATS[name])
    assert read(path).pixels.shape[-2:] == (28, 28)
    for _ in range(FILES // 10 if name == "a.tiff" else FILES):  # each in a process of its own
        path.write_bytes(damaged(FORMATS[name], rng))
        try:
            pixels = read(path).pixels
        except DataError as error:
            message = str(error)
        else:
            message = name
            assert pixels.dtype == np.uint8
            assert pixels.shape[-2:] == (28, 28)
            assert len(pixels) > 0
        assert name in message
        assert "\n" not in message


@pytest.mark.parametrize("extra", [b"", b"\0" * 100, bytes(range(256))])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".png", ".gz", ""])
def test_files_of_nothing_are_refused(extra: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(extra)
    with pytest.raises(DataError, match="file"):
        read(path)


PROGRAM = """
import resource, sys
from pathlib import Path
from pairnet.errors import DataError
from pairnet.serving.pictures.reading import read
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
for name in sys.argv[2:]:
    try:
        read(Path(name))
    except DataError:
        print("refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_claims_of_headers_allocate_nothing(tmp_path: Path) -> None:
    """Header fields of each format set to large values, read with little memory to spare."""
    names = []
    for name in ("a.idx", "a.gz", "a.npy", "stored.npz", "a.png", "a.bmp"):
        content = bytearray(gzip.decompress(FORMATS[name]) if name == "a.gz" else FORMATS[name])
        match name:
            case "a.idx" | "a.gz":
                content[4:8] = b"\xff" * 4
            case "a.npy" | "stored.npz":
                content = content.replace(b"(3, 28, 28), }    ", b"(3000000, 28, 28),}")[: len(content)]
            case "a.png":
                content[16:24] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
            case "a.bmp":
                content[18:26] = struct.pack("<ii", 2**31 - 1, 2**31 - 1)
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name == "a.gz" else content)
        names.append(str(path))
    limit = 4 << 30
    command = [sys.executable, "-c", PROGRAM, str(limit), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n" * len(names)
