"""Downloading MNIST from local servers that interrupt, send other bytes, or do not exist."""

import errno
import gzip
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import pytest

from pairnet.data.download import ATTEMPTS, CHUNK, MNIST_SHA256, cache_folder, fetch_mnist
from pairnet.data.sources import load_dataset
from pairnet.errors import DataError

FIRST = "train-images-idx3-ubyte"


@dataclass(kw_only=True)
class Mirror:
    """A server of archives, its faults, and the requests that it received."""

    url: str = ""
    archives: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)  # the next responses are interrupted after so many bytes
    ranges: bool = True  # whether it can send a range of a file
    sizes: bool = True  # whether it says how many bytes follow
    asked: list[tuple[str, str]] = field(default_factory=list)  # (archive, Range header)
    paths: list[str] = field(default_factory=list)  # as in the requests


def handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.rpartition("/")[2], self.headers.get("Range", "")
            mirror.asked.append((name, wanted))
            mirror.paths.append(self.path)
            if name not in mirror.archives:
                self.send_error(404)
                return
            content = mirror.archives[name]
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and mirror.ranges else 0
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if mirror.sizes:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            cut = mirror.cuts.pop(0) if mirror.cuts else len(content)
            self.wfile.write(content[start:][:cut])

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    return Handler


@pytest.fixture
def serve(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Mirror]]:
    """Starts mirrors, each with the four archives."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = []

    def start() -> Mirror:
        mirror = Mirror(
            archives={f"{name}.gz": gzip.compress((small_mnist / name).read_bytes()) for name in MNIST_SHA256}
        )
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler(mirror))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        mirror.url = f"http://127.0.0.1:{server.server_port}/mnist/"
        return mirror

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def mirror(serve: Callable[[], Mirror]) -> Mirror:
    return serve()


def refusal(*mirrors: str) -> str:
    """The one-line error of downloading."""
    with pytest.raises(DataError) as caught:
        fetch_mnist(mirrors=mirrors)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names() -> list[str]:
    return sorted(path.name for path in cache_folder().glob("*"))


def test_files_are_downloaded_once(mirror: Mirror, small_mnist: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, int, int]] = []
    folder = fetch_mnist(mirrors=[mirror.url], progress=lambda *step: seen.append(step))
    assert folder == cache_folder()
    assert names() == sorted(MNIST_SHA256)
    for name in MNIST_SHA256:
        assert (folder / name).read_bytes() == (small_mnist / name).read_bytes()
        size = len(mirror.archives[f"{name}.gz"])
        assert [step for step in seen if step[0] == f"{name}.gz"][-1] == (f"{name}.gz", size, size)
    assert load_dataset("auto").origin == f"full MNIST from {folder}"
    fetch_mnist(mirrors=[mirror.url])
    assert len(mirror.asked) == 4
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("end", ["", "/", "//"])
def test_the_folder_of_a_mirror_may_end_in_a_slash(mirror: Mirror, end: str) -> None:
    fetch_mnist(mirrors=[mirror.url.rstrip("/") + end])
    assert mirror.paths == [f"/mnist/{name}.gz" for name in MNIST_SHA256]


def test_a_mirror_that_tells_no_sizes(mirror: Mirror) -> None:
    """Progress has the bytes received, and 0 for the unknown total."""
    mirror.sizes = False
    seen: list[tuple[str, int, int]] = []
    fetch_mnist(mirrors=[mirror.url], progress=lambda *step: seen.append(step))
    assert {total for _, _, total in seen} == {0}
    last = {name: done for name, done, _ in seen}
    assert last == {name: len(archive) for name, archive in mirror.archives.items()}


def test_a_damaged_file_in_the_cache_is_downloaded_again(mirror: Mirror) -> None:
    folder = fetch_mnist(mirrors=[mirror.url])
    (folder / FIRST).write_bytes(b"damaged")
    fetch_mnist(mirrors=[mirror.url])
    assert [name for name, _ in mirror.asked[4:]] == [f"{FIRST}.gz"]
    load_dataset("mnist")


def test_mirrors_and_cache_from_the_settings(
    serve: Callable[[], Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, full = serve(), serve()
    empty.archives.clear()
    monkeypatch.setenv("PAIRNET_MIRROR", f"{empty.url} {full.url}")
    assert fetch_mnist() == tmp_path / "cache" / "mnist"
    assert len(empty.asked) == len(full.asked) == 4
    assert fetch_mnist(cache=tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("PAIRNET_CACHE")
    assert cache_folder().parts[-2:] == ("pairnet", "mnist")


# --- interruptions and resuming


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_connection_is_resumed_or_begun_again(mirror: Mirror, ranges: bool) -> None:
    mirror.ranges = ranges
    mirror.cuts = [CHUNK + 100]
    fetch_mnist(mirrors=[mirror.url])
    assert mirror.asked[:2] == [(f"{FIRST}.gz", ""), (f"{FIRST}.gz", f"bytes={CHUNK}-")]
    assert len(mirror.asked) == 5  # four archives, one of them in two parts
    assert names() == sorted(MNIST_SHA256)


def test_the_next_call_continues_the_download(mirror: Mirror) -> None:
    mirror.cuts = [CHUNK + 100, 0]
    text = refusal(mirror.url)
    assert "Connection broken" in text
    assert f"{CHUNK:,} bytes are kept" in text
    part = cache_folder() / f"{FIRST}.gz.part"
    assert names() == [part.name]
    assert part.read_bytes() == mirror.archives[f"{FIRST}.gz"][:CHUNK]
    mirror.asked.clear()
    fetch_mnist(mirrors=[mirror.url])
    assert mirror.asked[0] == (f"{FIRST}.gz", f"bytes={CHUNK}-")
    assert names() == sorted(MNIST_SHA256)


def test_a_connection_without_a_byte_leaves_no_file(mirror: Mirror) -> None:
    mirror.cuts = [0]
    assert "are kept" not in refusal(mirror.url)
    assert not names()


def test_a_connection_that_breaks_again_and_again(mirror: Mirror) -> None:
    """Each connection brings a few bytes: they are added up, but not without end."""
    mirror.archives[f"{FIRST}.gz"] = bytes(CHUNK * (ATTEMPTS + 10))
    mirror.cuts = [CHUNK] * (ATTEMPTS + 10)
    assert f"{CHUNK * ATTEMPTS:,} bytes are kept" in refusal(mirror.url)


def test_ctrl_c_keeps_the_received_bytes(mirror: Mirror) -> None:
    def interrupt(_: str, done: int, __: int) -> None:
        if done > CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_mnist(mirrors=[mirror.url], progress=interrupt)
    assert names() == [f"{FIRST}.gz.part"]
    fetch_mnist(mirrors=[mirror.url])
    assert mirror.asked[1][1].startswith("bytes=")
    assert names() == sorted(MNIST_SHA256)


def test_another_mirror_continues_the_download_of_the_first(serve: Callable[[], Mirror]) -> None:
    first, second = serve(), serve()
    first.cuts = [CHUNK + 100, 0]
    fetch_mnist(mirrors=[first.url, second.url])
    assert second.asked[0] == (f"{FIRST}.gz", f"bytes={CHUNK}-")


@pytest.mark.parametrize("kept", ["all", "too much", "other bytes"])
def test_a_part_file_that_does_not_match(mirror: Mirror, kept: str) -> None:
    archive = mirror.archives[f"{FIRST}.gz"]
    part = cache_folder() / f"{FIRST}.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes({"all": archive, "too much": archive + b"more", "other bytes": b"x" * 1000}[kept])
    fetch_mnist(mirrors=[mirror.url])
    assert names() == sorted(MNIST_SHA256)


# --- mirrors that do not exist or send other bytes


def test_unreachable_mirrors_are_named_with_alternatives(mirror: Mirror) -> None:
    mirror.archives.clear()
    text = refusal("http://127.0.0.1:9/mnist", mirror.url, "nonsense")
    assert f"cannot download {FIRST}.gz: tried http://127.0.0.1:9/mnist (" in text
    assert "Connection refused), " in text
    assert f"{mirror.url} (HTTP 404 Not Found)" in text
    assert "nonsense (Invalid URL" in text
    assert "PAIRNET_DATA or `data_dir` to a folder with the four IDX files, or use the data set mnist5k" in text
    assert not names()


@pytest.mark.parametrize("sent", ["another set", "a page", "damaged", "cut"])
def test_wrong_bytes_are_discarded(serve: Callable[[], Mirror], sent: str) -> None:
    wrong, right = serve(), serve()
    archive = right.archives[f"{FIRST}.gz"]
    wrong.archives[f"{FIRST}.gz"] = {
        "another set": gzip.compress(b"\0\0\x08\x01\0\0\0\x01a"),
        "a page": b"<html>Please log in</html>",
        "damaged": archive[:5000] + bytes([archive[5000] ^ 0xFF]) + archive[5001:],
        "cut": archive[:5000],
    }[sent]
    assert f"{wrong.url} (wrong checksum)" in refusal(wrong.url)
    assert not names()
    fetch_mnist(mirrors=[wrong.url, right.url])
    assert names() == sorted(MNIST_SHA256)


# --- errors of the disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("call", ["mkdir", "open"])  # of the folder; of the archive, and of the unpacked file
def test_a_full_disk_or_a_read_only_cache(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Path, call, Mock(side_effect=OSError(number, os.strerror(number))))
        text = refusal(mirror.url)
    assert f"{cache_folder()}: cannot store MNIST: {os.strerror(number)}: " in text
    assert "PAIRNET_CACHE" in text
    assert "the data set mnist5k" in text
    assert not names()
    fetch_mnist(mirrors=[mirror.url])


def test_a_cache_that_is_a_file(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PAIRNET_CACHE", str(tmp_path / "file"))
    assert "cannot store MNIST: Not a directory" in refusal(mirror.url)
