"""A file that changes while it is read is refused, however little shows it."""

import os

import pytest

from pairnet.errors import ModelError
from pairnet.serving.server import loading


def same_size_later(path):
    times = path.stat()
    path.write_bytes(b"b" * 1000)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))


def another_of_the_same_size_and_time(path):
    times = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"b" * 1000)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)


def longer(path):
    path.write_bytes(b"a" * 1001)


def gone(path):
    path.unlink()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("change", [same_size_later, another_of_the_same_size_and_time, longer, gone])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, change, before):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a" * 1000)
    assert loading._read(path) == b"a" * 1000
    read = loading.read_file

    def read_file(path):
        if before:
            change(path)
        content = read(path)
        if not before:
            change(path)
        return content

    monkeypatch.setattr(loading, "read_file", read_file)
    with pytest.raises(ModelError):
        loading._read(path)
