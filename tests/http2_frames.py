"""A client of HTTP/2 that writes its frames itself, for calls that no library would send: halves, resets, silence."""

import select
import socket
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACKNOWLEDGED = 1, 4, 1
INITIAL_WINDOW = 4  # a setting
SERVICE = "/inference.GRPCInferenceService"


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(content))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + content


def header_block(method: str, **further: str) -> bytes:
    """The headers of a call, as literals that are not indexed."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    } | {name.replace("_", "-"): value for name, value in further.items()}
    return b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in fields.items()
    )


def message(content: bytes, *, compressed: bool = False) -> bytes:
    """A message with gRPC's prefix."""
    return bytes((compressed,)) + struct.pack(">I", len(content)) + content


class Connection:
    """One connection. It sends as much as the server's windows allow."""

    def __init__(self, address: str, *, window: int | None = None) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        settings = b"" if window is None else struct.pack(">HI", INITIAL_WINDOW, window)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        self.window, self.initial = 65535, 65535  # that the server grants
        self.windows: dict[int, int] = {}
        self.left: dict[int, memoryview] = {}  # what is still to be sent, by stream
        self.ended: dict[int, bytes] = {}  # the last frame of HEADERS or RST_STREAM that ends a stream
        self.answers: defaultdict[int, bytes] = defaultdict(bytes)
        self.closed = False
        self._next, self._received = 1, b""

    def call(self, content: bytes, *, method: str = f"{SERVICE}/ModelInfer", ends: bool = False, **headers: str) -> int:
        """Opens a stream, with these bytes to send -> its number."""
        stream, self._next = self._next, self._next + 2
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, header_block(method, **headers)))
        self.windows[stream], self.left[stream] = self.initial, memoryview(content)
        self.pump(0)
        if ends:
            while self.left.get(stream):
                self.pump(1)
            self.socket.sendall(frame(DATA, END_STREAM, stream))
        return stream

    def pump(self, seconds: float) -> None:
        """Reads what the server sends, and sends what it allows; waits for so long at most if there is nothing."""
        readable, _, _ = select.select([self.socket], [], [], seconds)
        if readable:
            self._read()
        for stream, content in self.left.items():
            while len(content) and not self.closed and min(self.window, self.windows[stream]) > 0:
                part = content[: min(16384, self.window, self.windows[stream])]
                self._send(frame(DATA, 0, stream, bytes(part)))
                self.window, self.windows[stream] = self.window - len(part), self.windows[stream] - len(part)
                content = content[len(part) :]
            self.left[stream] = content

    def wait_for(self, *streams: int, seconds: float) -> None:
        """Pumps until these streams are ended, or the time has passed."""
        end = monotonic() + seconds
        while not self.closed and not all(stream in self.ended for stream in streams) and monotonic() < end:
            self.pump(0.1)

    def _send(self, content: bytes) -> None:
        try:
            self.socket.sendall(content)
        except OSError:
            self.closed = True

    def _read(self) -> None:
        try:
            new = self.socket.recv(1 << 20)
        except OSError:
            new = b""
        self.closed = self.closed or not new
        self._received += new
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                break
            kind, flags, stream = self._received[3], self._received[4], int.from_bytes(self._received[5:9], "big")
            content, self._received = self._received[9 : 9 + size], self._received[9 + size :]
            self._take(kind, flags, stream, content)

    def _take(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        if kind == SETTINGS and not flags & ACKNOWLEDGED:
            for setting, value in struct.iter_unpack(">HI", content):
                if setting == INITIAL_WINDOW:
                    for each in self.windows:
                        self.windows[each] += value - self.initial
                    self.initial = value
            self._send(frame(SETTINGS, ACKNOWLEDGED, 0))
        elif kind == PING and not flags & ACKNOWLEDGED:
            self._send(frame(PING, ACKNOWLEDGED, 0, content))
        elif kind == WINDOW:
            more = int.from_bytes(content, "big")
            if stream:
                self.windows[stream] = self.windows.get(stream, 0) + more
            else:
                self.window += more
        elif kind == DATA:
            self.answers[stream] += content
        if kind == RESET or (kind == HEADERS and flags & END_STREAM):
            self.ended.setdefault(stream, content)
            self.left.pop(stream, None)


@contextmanager
def connections(address: str, count: int) -> Iterator[list[Connection]]:
    """So many connections, closed afterwards."""
    opened = [Connection(address) for _ in range(count)]
    try:
        yield opened
    finally:
        for each in opened:
            each.socket.close()
