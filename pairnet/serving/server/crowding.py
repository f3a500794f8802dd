"""How many connections REST may have, and which of them make room for a further one."""

import heapq
import resource
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Protocol

MOST_CONNECTIONS = 1024
"""Connections over REST; fewer if the process may not open twice as many files."""
MOST_FILES = 65536
"""Files and sockets that the server asks the system for, if it may."""
AT_ONCE = 16
"""Connections that make room together: to look for one takes as long."""


class Guest(Protocol):
    """A connection, as far as this file knows it."""

    transport: Any

    def useless_since(self) -> float | None:
        """When it last was of use, of monotonic(); None while the server works for it."""


def raise_file_limit() -> None:
    """Lets this process open more files, as many as it may without asking: the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def make_room(newcomer: Guest, connections: Collection[Guest]) -> None:
    """Aborts those that have been idle, slow to send or slow to read for longest, if there are too many.

    connections: all that are open. If the server works for all others, the newcomer is aborted.
    """
    if len(connections) <= (most := _most()):
        return
    staying = [each for each in connections if not each.transport.is_closing()]
    if len(staying) <= most:
        return
    useless = [(each.useless_since(), each) for each in staying if each is not newcomer]
    longest = heapq.nsmallest(AT_ONCE, ((since, id(each), each) for since, each in useless if since is not None))
    for each in [each for _, _, each in longest] or [newcomer]:
        each.transport.abort()


def _most() -> int:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files // 2)
