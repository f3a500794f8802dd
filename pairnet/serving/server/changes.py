"""What is reported of loads and unloads: a line of JSON for each, and how many loads of each model had which result."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from pairnet.errors import PairnetError, Refusal, RequestError
from pairnet.serving.server.access_log import AccessLog

Verb = Literal["load", "unload"]
"""What clients with rights may ask for."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A load or an unload that has ended."""

    verb: Verb
    model: str
    versions: Mapping[str, str]  # that are loaded afterwards, with their digests
    result: Refusal | Literal["ok"]
    error: str = ""  # why it was refused
    skipped: tuple[str, ...] = ()  # folders of the model whose names are no versions
    seconds: float


def refusal_of(error: Exception) -> Refusal:
    """The kind of what a load raised."""
    if isinstance(error, RequestError):
        return error.kind
    return "invalid" if isinstance(error, PairnetError) else "failed"


class Changes:
    """Counts changes, and writes them to a log, if there is one."""

    def __init__(self, log: AccessLog | None = None) -> None:
        self._log = log
        self.loads: Counter[tuple[str, str]] = Counter()  # by model and result; the registry bounds the names

    def note(self, change: Change) -> None:
        """Counts one change and reports it."""
        if change.verb == "load":
            self.loads[change.model, change.result] += 1
        if self._log is None:
            return
        line = {
            "time": round(time.time(), 3),
            "change": change.verb,
            "model": change.model,
            "versions": change.versions,
            "ms": round(change.seconds * 1e3, 3),
            "result": change.result,
            "error": change.error,
            "skipped": change.skipped,
        }
        self._log.add(msgspec.json.encode(line).decode())
