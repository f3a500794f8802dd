"""When a connection over REST reads on: not while whole requests wait for their turn."""

from collections import deque
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Reads no further while whole requests wait for their turn."""

    def __init__(self, transport: Any, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Reads on, for the last request that has begun or for another one."""
        if not self._waiting:
            super().resume_reading()
