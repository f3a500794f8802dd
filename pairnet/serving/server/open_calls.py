"""gRPC calls that are open; connections whose clients do not read their answers are ended.

gRPC for Python neither cancels a call nor closes a connection, so the socket of the connection is shut down.
"""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import grpc

from pairnet.serving.server.account import Account
from pairnet.serving.server.connections import SLOWEST
from pairnet.serving.server.origin import peer_address, plain_address

CALL = 32 * 1024
"""Bytes that an open call takes besides its messages, in gRPC and here; with long metadata it is a little more."""
MOST_UNREAD = 64 * 2**20
"""Bytes of calls whose clients do not read the answers: beyond, the connections that have most of them are ended."""
MOMENT = 0.1
"""Seconds in which an answer may be sent without being counted as unread."""

Task = asyncio.Task[Any]
Peer = tuple[str, int]  # address and port


@dataclass(kw_only=True, eq=False, slots=True)
class Open:
    """A call."""

    context: grpc.aio.ServicerContext
    sends_since: float = 0.0  # of monotonic(); 0 while it sends nothing
    held: int = 0  # bytes of the answer that is sent


class OpenCalls:
    """All calls that are open. The methods are called from the event loop's thread, and those without a task in one."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._open: dict[Task, Open] = {}
        self.port = 0  # that gRPC listens on

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, task: Task, context: grpc.aio.ServicerContext) -> None:
        """Notes a call until its task is done: when its client has got all, or has gone."""
        if task not in self._open:
            self._open[task] = Open(context=context)
            task.add_done_callback(self._end)

    def sends(self, context: grpc.aio.ServicerContext, size: int) -> None:
        """The current call sends an answer of so many bytes."""
        task = asyncio.current_task()
        assert task is not None
        self.begin(task, context)
        call = self._open[task]
        call.sends_since, call.held = monotonic(), size
        self._account.take_anyway(size)

    def sent(self) -> None:
        """The client of the current call, a stream, has got the answer."""
        task = asyncio.current_task()
        assert task is not None
        call = self._open[task]
        self._account.give_back(call.held)
        call.sends_since, call.held = 0.0, 0

    def _end(self, task: Task) -> None:
        self._account.give_back(self._open.pop(task).held)

    def look(self, now: float) -> None:
        """Ends connections with an answer that was not read within SLOWEST, and with the most if there are too many."""
        unread = [call for call in self._open.values() if call.sends_since and now - call.sends_since > MOMENT]
        excess = sum(CALL + 2 * call.held for call in unread) - MOST_UNREAD
        if excess <= 0 and not any(now - call.sends_since > SLOWEST for call in unread):
            return
        ended, costs = set(), Counter[str]()
        for call in unread:
            peer = call.context.peer()  # empty once its connection is gone
            costs[peer] += CALL + 2 * call.held
            if now - call.sends_since > SLOWEST:
                ended.add(peer)
        for peer, cost in costs.most_common():
            if excess <= 0:
                break
            ended.add(peer)
            excess -= cost
        self.end_connections({_peer(each) for each in ended if each})

    def end_connections(self, peers: Collection[Peer] | None = None) -> None:
        """Shuts down gRPC's connections, those with these clients or all of them; its calls are cancelled."""
        for path in [*Path("/dev/fd").iterdir()]:
            with suppress(OSError), _socket(int(path.name)) as copy:
                if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getsockname()[1] == self.port:
                    host, port = copy.getpeername()[:2]  # fails for one that listens
                    if peers is None or (_plain(host), port) in peers:
                        copy.shutdown(socket.SHUT_RDWR)


def _socket(number: int) -> socket.socket:
    """A socket with a descriptor of its own for the connection of this one.  OSError if it is none."""
    copy = os.dup(number)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _plain(host: str) -> str:
    """An address as ipaddress writes it, also of version 4 in version 6."""
    return str(plain_address(host.partition("%")[0]))


def _peer(name: str) -> Peer:
    return _plain(peer_address(name)), int(name.rpartition(":")[2])
