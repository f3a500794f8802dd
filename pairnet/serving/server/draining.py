"""Ends a listening socket without losing connections that are on their way to it."""

import ctypes
import socket
import struct
from contextlib import suppress

_SO_ATTACH_FILTER = 26  # Linux; Python has no name for it


def refuse_connections(listener: socket.socket) -> None:
    """Lets no further connection begin. What has begun can still be accepted; close the listener after a moment.

    A connection whose handshake is complete but which nobody has accepted is reset when the listener is closed, after
    its client has sent a request. So the kernel is told to drop the packets that ask for a new one (SYN), with a filter
    of four instructions; such a client asks again a second later, and is refused. Where there is no such filter, as on
    macOS, nothing is done: connections of the last instant are reset.
    """
    instructions = (
        (0x30, 0, 0, 13),  # load the byte with the flags of the TCP header
        (0x45, 0, 1, 0x02),  # without SYN: skip one
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # keep
    )
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
    with suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(instructions), ctypes.addressof(program))
        )
