"""Owns the decoding of a picture in a process of its own, which has a limit of time and memory and prints nothing.

For formats whose libraries print lines to stderr for a damaged file, as libtiff does, or whose work no header tells. A
library that crashes ends that process only.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO
from typing import BinaryIO

import numpy as np

from pairnet.errors import PictureError
from pairnet.serving.pictures.raster import Raster, raster, refusal

MAX_SECONDS = 10  # of CPU time, over all threads
MAX_WAIT = 120  # seconds by the clock, on a machine with much else to do
MAX_MEMORY = 1 << 30  # bytes
EXCEEDED = -24  # how a process ends that takes more CPU time: by SIGXCPU


def raster_apart(name: str, file: BinaryIO, formats: Sequence[str]) -> Raster:
    """As `raster`, in another process.  PictureError also for damage, and for a picture that takes too long.

    The limits of CPU time and memory are those of Linux; elsewhere the time by the clock is limited.
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
        ended = EXCEEDED
    if ended == EXCEEDED:
        raise PictureError(
            f"{name}: expected a picture that takes at most {MAX_SECONDS} seconds to decode, got one that takes more: "
            "reduce it, or save it as PNG",
            "too-much-work",
        )
    head, _, levels = done.stdout.partition(b"\n")
    if ended or not head:
        raise PictureError(f"{name}: expected a picture, got one that ends its decoder: save it again", "damaged")
    answer = json.loads(head)
    if "code" in answer:
        raise PictureError(f"{name}{answer['error']}", answer["code"])
    grey = np.frombuffer(levels, np.uint8).reshape(answer["shape"])
    return Raster(grey=grey, size=(answer["size"][0], answer["size"][1]))


def main(formats: Sequence[str]) -> None:
    """The program of the other process: a picture from stdin -> a line of JSON and the grey levels on stdout."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, object]
    try:
        found = raster("", BytesIO(sys.stdin.buffer.read()), formats)
        answer, levels = {"shape": found.grey.shape, "size": found.size}, found.grey.tobytes()
    except Exception as error:
        refused = refusal("", error)
        answer, levels = {"error": str(refused), "code": refused.code}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + levels)
