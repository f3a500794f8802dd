"""Owns the download of MNIST: mirrors in turn, resumed after interruptions, verified, and stored atomically."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pairnet.data.idx import header, read_idx
from pairnet.data.pools import sha256
from pairnet.errors import DataError
from pairnet.extras import needed_by
from pairnet.host import NO_HOME
from pairnet.opening import create_file, open_to_append

if TYPE_CHECKING:
    import requests

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""SHA-256 of the decompressed files: archives of the same bytes differ from mirror to mirror."""

TIMEOUT = (10.0, 30.0)  # seconds to connect, seconds between two bytes
CHUNK = 1 << 14  # bytes written at a time; an interrupted connection loses less than this
ATTEMPTS = 20  # at one mirror; only one that sends further bytes is asked again
OFFLINE = "offline, set PAIRNET_DATA or `data_dir` to a folder with the four IDX files, or use the data set mnist5k"

Progress = Callable[[str, int, int], None]
"""Called with (file name, bytes received, bytes in total or 0 if the mirror does not report it)."""


def cache_folder() -> Path:
    """The folder of downloaded MNIST: PAIRNET_CACHE/mnist if that is set, else `mnist` in the platform's cache."""
    if named := os.environ.get("PAIRNET_CACHE"):
        return Path(named).expanduser() / "mnist"
    from platformdirs import user_cache_path

    try:
        return user_cache_path("pairnet") / "mnist"
    except RuntimeError:  # nobody knows where the home folder is
        return NO_HOME / ".cache" / "pairnet" / "mnist"


def fetch_mnist(
    *, mirrors: Sequence[str] | None = None, cache: Path | None = None, progress: Progress | None = None
) -> Path:
    """Downloads the four MNIST files, decompressed, into `cache` (default: cache_folder()) and returns that folder.

    `mirrors` are the URLs of folders, tried in turn (default: PAIRNET_MIRROR, one or more separated by spaces, else
    MIRRORS). Existing files with the right checksum are not downloaded again. DataError if no mirror succeeds or the
    folder cannot be written. An interrupted download leaves a .part file; the next call continues it, from any mirror.
    """
    mirrors = mirrors or os.environ.get("PAIRNET_MIRROR", "").split() or MIRRORS
    folder = (cache or cache_folder()).expanduser()
    for name in MNIST_SHA256:
        part = folder / f"{name}.gz.part"
        try:
            if _verified(folder / name, name) is None:
                pixels = _fetch(name, mirrors, part, progress)
                with create_file(part) as file:
                    file.write(header(pixels.shape) + pixels.tobytes())
                part.replace(folder / name)
        except OSError as error:
            with suppress(OSError):
                part.unlink()  # it takes space on a full disk
            raise DataError(
                f"{folder}: cannot store MNIST: {error.strerror or error}: "
                f"free some space or set PAIRNET_CACHE to another folder; {OFFLINE}"
            ) from error
    return folder


def _fetch(name: str, mirrors: Sequence[str], part: Path, progress: Progress | None) -> NDArray[np.uint8]:
    """The content of one file, whose archive is received in `part`.  DataError with the reason of each mirror."""
    with needed_by("downloading MNIST"):
        import requests

    failures = []
    for mirror in mirrors:
        for _ in range(ATTEMPTS):
            before = _size(part)
            try:
                _receive(f"{mirror.rstrip('/')}/{name}.gz", part, progress)
                if (array := _verified(part, name)) is not None:
                    return array
                reason = "wrong checksum"
                part.unlink(missing_ok=True)
            except requests.RequestException as error:
                reason = _reason(error)
            if _size(part) == before:  # else it was interrupted, or `part` was another archive's and is gone
                break
        failures.append(f"{mirror} ({reason})")
    kept = f"; {_size(part):,} bytes are kept, run it again to continue" if part.exists() else ""
    raise DataError(f"cannot download {name}.gz: tried {', '.join(failures)}{kept}; {OFFLINE}")


def _receive(url: str, part: Path, progress: Progress | None) -> None:
    """Appends the bytes that `part` lacks; replaces it if the server cannot send a range."""
    import requests

    start = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # no bytes follow
            return
        response.raise_for_status()
        done = start if response.status_code == 206 else 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else 0
        part.parent.mkdir(parents=True, exist_ok=True)
        for chunk in response.iter_content(CHUNK):
            appended = open_to_append(part, what="a part of an archive", error=DataError)
            with appended if done else create_file(part) as file:
                done += file.write(chunk)
            if progress:
                progress(part.name.removesuffix(".part"), done, total)


def _verified(path: Path, name: str) -> NDArray[np.uint8] | None:
    """The array in an IDX file; None unless it is this file of MNIST."""
    with suppress(DataError):
        array = read_idx(path)
        return array if sha256(array) == MNIST_SHA256[name] else None
    return None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _reason(error: "requests.RequestException") -> str:
    """The useful part of a requests error: 'HTTP 404 Not Found', 'Read timed out'."""
    if error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    cause: object = error
    while isinstance(cause, Exception) and cause.args:  # urllib3's own error, inside "max retries exceeded"
        cause = getattr(cause, "reason", None) or cause.args[0]
    text = str(cause)
    return text.partition("): ")[2] or text  # without the name of urllib3's object
