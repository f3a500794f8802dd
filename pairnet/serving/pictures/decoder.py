"""Owns the program of a process that decodes pictures for a server, one after the other, and what the two exchange.

The process ends with the server and gives way to it; the system ends it if a picture takes too much time or memory.
"""

import contextlib
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from pairnet.errors import PictureCode, PictureError
from pairnet.serving.pictures.digits import SIDE
from pairnet.serving.pictures.isolation import MAX_SECONDS, limit_memory, limit_time
from pairnet.serving.pictures.raster import refusal
from pairnet.serving.pictures.reading import Picture, decode

LENGTH = 8  # bytes of the number in front of each message
READY = b"\1"  # sent once, when the first picture may come
LARGEST_ANSWER = 1 << 16  # bytes
NICER = 10  # than the server: next to one busy thread on a core, a decoder gets about a tenth of it
NAME = "picture"  # stands for a picture in messages

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


class _Found(msgspec.Struct, frozen=True, kw_only=True, tag="found"):
    pixels: bytes  # of [28,28]
    notes: tuple[str, ...]
    inverted: bool


class _Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    message: str
    code: PictureCode


class _Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    trace: str


def command() -> list[str]:
    """Starts the program. Its stdin must be a socket, on which it answers, and its stdout go nowhere."""
    program = f"from pairnet.serving.pictures.decoder import main; main({os.getpid()})"
    return [sys.executable, "-P", "-c", program]


def picture(answer: bytes) -> Picture:
    """The picture in an answer.  PictureError for a refusal, RuntimeError for a bug, each as the process raised it."""
    got = msgspec.msgpack.decode(answer, type=_Found | _Refused | _Failed)
    if isinstance(got, _Refused):
        raise PictureError(got.message, got.code)
    if isinstance(got, _Failed):
        raise RuntimeError(f"in the decoder:\n{got.trace}")
    pixels = np.frombuffer(got.pixels, np.uint8).reshape(1, SIDE, SIDE)
    return Picture(pixels=pixels, notes=got.notes, inverted=got.inverted)


def main(server: int) -> None:
    """Answers pictures until the socket ends; server: the process that started this one."""
    _belong_to(server)
    limit_memory()
    from PIL import Image

    Image.init()  # in no picture's time
    channel = socket.socket(fileno=0)
    received = channel.makefile("rb")
    os.nice(NICER)
    channel.sendall(READY)
    os.dup2(1, 2)  # libtiff prints, and stdout goes nowhere; until here, errors are the server's
    while head := received.read(LENGTH):
        answer = msgspec.msgpack.encode(_answer(received, int.from_bytes(head)))
        channel.sendall(len(answer).to_bytes(LENGTH) + answer)


def _answer(received: BinaryIO, size: int) -> _Found | _Refused | _Failed:
    limit_time(MAX_SECONDS)
    try:
        found = decode(received.read(size), NAME, apart=False)
        return _Found(pixels=found.pixels.tobytes(), notes=found.notes, inverted=found.inverted)
    except (PictureError, MemoryError) as error:
        refused = refusal(NAME, error)
        return _Refused(message=str(refused), code=refused.code)
    except Exception:
        return _Failed(trace=traceback.format_exc()[-LARGEST_ANSWER // 2 :])
    finally:
        limit_time(0)


def _belong_to(server: int) -> None:
    """Ends with the server and not before; where memory is short, Linux ends this process and not the server."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # which a terminal or a supervisor sends to all
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
        with contextlib.suppress(OSError):  # where /proc may only be read
            Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != server:
        raise SystemExit
