"""Owns the download of MNIST: mirrors in turn, resumed after interruptions, verified, and stored atomically."""

import gzip
import os
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pairnet.errors import DataError
from pairnet.extras import needed_by

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
OFFLINE = "offline, set PAIRNET_DATA or `data_dir` to a folder with the four IDX files, or use the data set mnist5k"

Progress = Callable[[str, int, int], None]
"""Called with (file name, bytes received, bytes in total or 0 if the mirror does not report it)."""


def cache_folder() -> Path:
    """The folder of downloaded MNIST: PAIRNET_CACHE/mnist if that is set, else `mnist` in the platform's cache."""
    if named := os.environ.get("PAIRNET_CACHE"):
        return Path(named).expanduser() / "mnist"
    from platformdirs import user_cache_path

    return user_cache_path("pairnet") / "mnist"


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
    existed = folder.exists()
    try:
        for name in MNIST_SHA256:
            _fetch(name, mirrors, folder, progress)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot store MNIST: {error.strerror or error}: "
            f"free some space or set PAIRNET_CACHE to another folder; {OFFLINE}"
        ) from error
    finally:
        if not existed:
            with suppress(OSError):
                folder.rmdir()  # fails unless it is empty
    return folder


def _fetch(name: str, mirrors: Sequence[str], folder: Path, progress: Progress | None) -> None:
    """Downloads one file into the folder. DataError with the reason of each mirror, OSError if it cannot be stored."""
    with needed_by("downloading MNIST"):
        import pooch
        import requests

    pooch.get_logger().setLevel("WARNING")  # else it prints each file to stderr
    part = folder / f"{name}.gz.part"

    def download(url: str, output: str, _: object) -> None:
        _download(url, part, progress)
        _unpack(part, Path(output))

    failures = []
    try:
        for mirror in mirrors:
            for _ in range(2 if part.exists() else 1):  # a .part file may not match this mirror's archive: then without
                try:
                    url = f"{mirror.rstrip('/')}/{name}.gz"
                    pooch.retrieve(url, MNIST_SHA256[name], fname=name, path=folder, downloader=download)
                    return part.unlink(missing_ok=True)
                except requests.RequestException as error:
                    reason = _reason(error)
                    break
                except ValueError as error:  # complete, but not MNIST
                    reason = str(error) if isinstance(error, DataError) else "wrong checksum"
                    part.unlink(missing_ok=True)
            failures.append(f"{mirror} ({reason})")
    except OSError:
        with suppress(OSError):
            part.unlink()  # it takes space on a full disk
        raise
    finally:
        if _size(part) == 0:
            with suppress(OSError):
                part.unlink()
    kept = f"; {_size(part):,} bytes are kept, run it again to continue" if part.exists() else ""
    raise DataError(f"cannot download {name}.gz: tried {', '.join(failures)}{kept}; {OFFLINE}")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _download(url: str, part: Path, progress: Progress | None) -> None:
    """Completes `part` from `url`; an interrupted connection is resumed as long as each one makes progress."""
    import requests

    while True:
        before = _size(part)
        try:
            return _stream(url, part, progress)
        except requests.RequestException:
            if _size(part) <= before:
                raise


def _stream(url: str, part: Path, progress: Progress | None) -> None:
    """Requests the bytes that `part` lacks and appends them; requests all bytes if the server cannot send a range."""
    import requests

    start = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        content_range = response.headers.get("Content-Range", "")
        if start and response.status_code == 416:  # no bytes follow: `part` is complete, or too long
            if content_range == f"bytes */{start}":
                return
            part.unlink()
            _stream(url, part, progress)
            return
        response.raise_for_status()
        resumed = response.status_code == 206
        if resumed and not content_range.startswith(f"bytes {start}-"):
            raise requests.RequestException(f"expected the bytes from {start}, got {content_range or 'others'}")
        done = start if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else 0
        with part.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if progress:
                    progress(part.name.removesuffix(".part"), done, total)
        if done < total:
            raise requests.ConnectionError(f"interrupted after {done:,} of {total:,} bytes")


def _unpack(part: Path, output: Path) -> None:
    """Decompresses `part` into `output` and syncs it; DataError if it is not valid gzip data."""
    try:
        with gzip.open(part) as packed, output.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise DataError("expected gzip data, got others") from None
    output.chmod(0o644)  # pooch's temporary files are private, but a cache may be shared


def _reason(error: "requests.RequestException") -> str:
    """The useful part of a requests error: 'HTTP 404 Not Found', 'Connection refused'."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "timed out"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was interrupted"
    cause: object = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)  # urllib3's own error, inside "max retries exceeded"
    return re.sub(r"^(HTTPS?Connection(?:Pool)?\(.*?\)|<.*?>): ", "", str(cause))
