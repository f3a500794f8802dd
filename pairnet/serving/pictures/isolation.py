"""Owns the limits of a process that decodes pictures, and the decoding of one picture in a process of its own.

For formats whose libraries print lines to stderr for a damaged file, as libtiff does, or whose work no header tells. A
library that crashes ends that process only.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO
from typing import BinaryIO

import numpy as np

from pairnet.errors import PictureError
from pairnet.serving.pictures.raster import Raster, raster, refusal

MAX_SECONDS = 10  # of CPU time for a picture, over all threads
MAX_WAIT = 120  # seconds by the clock, on a machine with much else to do
MAX_MEMORY = 1 << 30  # bytes
EXCEEDED = -signal.SIGPROF  # how a process ends that takes more CPU time


def raster_apart(name: str, file: BinaryIO, formats: Sequence[str]) -> Raster:
    """As `raster`, in another process.  PictureError also for damage, and for a picture that takes too long.

    The limit of memory is Linux's.
    """
    content = file.getvalue() if isinstance(file, BytesIO) else None
    if content is None:
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # a file's own seek moves in its buffer only
    program = f"from pairnet.serving.pictures.isolation import main; main({list(formats)!r})"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", program],
            input=content,
            stdin=file if content is None else None,
            capture_output=True,
            timeout=MAX_WAIT,
        )
        ended = done.returncode
    except subprocess.TimeoutExpired:
        raise ended_early(name, EXCEEDED) from None
    head, _, levels = done.stdout.partition(b"\n")
    if ended or not head:
        raise ended_early(name, ended)
    answer = json.loads(head)
    if "code" in answer:
        raise PictureError(f"{name}{answer['error']}", answer["code"])
    grey = np.frombuffer(levels, np.uint8).reshape(answer["shape"])
    return Raster(grey=grey, size=(answer["size"][0], answer["size"][1]))


def ended_early(name: str, status: int) -> PictureError:
    """What to raise for a picture whose decoder ended with this exit status in place of an answer."""
    if status == EXCEEDED:
        return PictureError(
            f"{name}: expected a picture that takes at most {MAX_SECONDS} seconds to decode, got one that takes more: "
            "reduce it, or save it as PNG",
            "too-much-work",
        )
    if status == -signal.SIGKILL:  # as Linux does where memory is short
        return refusal(name, MemoryError())
    return PictureError(f"{name}: expected a picture, got one that ends its decoder: save it again", "damaged")


def limit_memory() -> None:
    """Limits what this process may allocate, on Linux."""
    if sys.platform == "linux":
        import resource

        _, given = resource.getrlimit(resource.RLIMIT_DATA)
        most = MAX_MEMORY if given == resource.RLIM_INFINITY else min(given, MAX_MEMORY)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_time(seconds: float) -> None:
    """Ends this process once it takes this much more CPU time; 0 lifts the limit."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def main(formats: Sequence[str]) -> None:
    """The program of the other process: a picture from stdin -> a line of JSON and the grey levels on stdout."""
    limit_memory()
    limit_time(MAX_SECONDS)
    answer: dict[str, object]
    try:
        found = raster("", BytesIO(sys.stdin.buffer.read()), formats)
        answer, levels = {"shape": found.grey.shape, "size": found.size}, found.grey.tobytes()
    except Exception as error:
        refused = refusal("", error)
        answer, levels = {"error": str(refused), "code": refused.code}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + levels)
