"""Downloading MNIST: mirror after mirror, resumed where it broke off, checked, and put into the cache whole."""

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

TIMEOUT = (10.0, 30.0)  # seconds to connect, seconds without a byte
CHUNK = 1 << 14  # bytes written at a time; a connection that breaks off loses less than this
OFFLINE = "without network: set PAIRNET_DATA or --data-dir to a folder with the four IDX files, or use --data mnist5k"

Progress = Callable[[str, int, int], None]
"""Called with (file name, bytes that are here, bytes in all or 0 where the mirror does not say)."""


def cache_folder() -> Path:
    """Where fetched MNIST lies: PAIRNET_CACHE/mnist when that is set, else `mnist` in the platform's cache folder."""
    if named := os.environ.get("PAIRNET_CACHE"):
        return Path(named).expanduser() / "mnist"
    from platformdirs import user_cache_path

    return user_cache_path("pairnet") / "mnist"


def fetch_mnist(
    *, mirrors: Sequence[str] | None = None, cache: Path | None = None, progress: Progress | None = None
) -> Path:
    """Brings the four decompressed MNIST files into `cache` (default: cache_folder()) and returns that folder.

    `mirrors` are the URLs of folders, tried in turn (default: PAIRNET_MIRROR, one or more parted by spaces, else
    MIRRORS). Files already there with the right checksum are not fetched again. DataError when no mirror delivers or
    the folder cannot be written. Only a download that broke off leaves something: a .part file that the next call,
    from whatever mirror, goes on from.
    """
    mirrors = mirrors or os.environ.get("PAIRNET_MIRROR", "").split() or MIRRORS
    folder = (cache or cache_folder()).expanduser()
    existed = folder.exists()
    try:
        for name in MNIST_SHA256:
            _fetch(name, mirrors, folder, progress)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot hold MNIST: {error.strerror or error}: "
            f"make room or name another folder in PAIRNET_CACHE; {OFFLINE}"
        ) from error
    finally:
        if not existed:
            with suppress(OSError):
                folder.rmdir()  # succeeds only on an empty one
    return folder


def _fetch(name: str, mirrors: Sequence[str], folder: Path, progress: Progress | None) -> None:
    """One file into the folder. DataError with every mirror's reason, OSError when it cannot be stored."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # else it announces every file on stderr
    part = folder / f"{name}.gz.part"

    def download(url: str, output: str, _: object) -> None:
        _download(url, part, progress)
        _unpack(part, Path(output))

    failures = []
    try:
        for mirror in mirrors:
            for _ in range(2 if part.exists() else 1):  # an old beginning may not fit this mirror's archive: then anew
                try:
                    url = f"{mirror.rstrip('/')}/{name}.gz"
                    pooch.retrieve(url, MNIST_SHA256[name], fname=name, path=folder, downloader=download)
                    return part.unlink(missing_ok=True)
                except requests.RequestException as error:
                    reason = _reason(error)
                    break
                except ValueError as error:  # all of it came, and it is not MNIST
                    reason = str(error) if isinstance(error, DataError) else "wrong checksum"
                    part.unlink(missing_ok=True)
            failures.append(f"{mirror} ({reason})")
    except OSError:
        with suppress(OSError):
            part.unlink()  # on a full disk even a good beginning is in the way
        raise
    finally:
        if _size(part) == 0:
            with suppress(OSError):
                part.unlink()
    kept = f"; the {_size(part):,} bytes that came are kept, run it again to go on" if part.exists() else ""
    raise DataError(f"cannot fetch {name}.gz: tried {', '.join(failures)}{kept}; {OFFLINE}")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _download(url: str, part: Path, progress: Progress | None) -> None:
    """Completes `part` from `url`; a connection that breaks off is taken up again as long as it gets further."""
    import requests

    while True:
        before = _size(part)
        try:
            return _stream(url, part, progress)
        except requests.RequestException:
            if _size(part) <= before:
                raise


def _stream(url: str, part: Path, progress: Progress | None) -> None:
    """One request for the bytes that `part` lacks, appended to it; all bytes anew where the server cannot do that."""
    import requests

    start = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        content_range = response.headers.get("Content-Range", "")
        if start and response.status_code == 416:  # nothing follows: all of it is here already, or too much
            if content_range == f"bytes */{start}":
                return
            part.unlink()
            _stream(url, part, progress)
            return
        response.raise_for_status()
        resumed = response.status_code == 206
        if resumed and not content_range.startswith(f"bytes {start}-"):
            raise requests.RequestException(f"asked for bytes from {start} on, it sent {content_range or 'others'}")
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
            raise requests.ConnectionError(f"broke off after {done:,} of {total:,} bytes")


def _unpack(part: Path, output: Path) -> None:
    """Decompresses `part` into `output` and syncs it; DataError when it is not sound gzip data."""
    try:
        with gzip.open(part) as packed, output.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise DataError("what it sent is not sound gzip data") from None
    output.chmod(0o644)  # pooch makes its temporary files private, a cache may be shared


def _reason(error: "requests.RequestException") -> str:
    """The few words of a requests error that help: 'HTTP 404 Not Found', 'Connection refused'."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    cause: object = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)  # urllib3's own error, inside "max retries exceeded"
    return re.sub(r"^(HTTPS?Connection(?:Pool)?\(.*?\)|<.*?>): ", "", str(cause))
