"""The models of a server by name and version: which are loaded, and how they are loaded, swapped and unloaded.

A load opens the new versions in a thread, while the old ones answer; then one assignment swaps them, and the old ones
are closed when the requests that had found them are answered. All methods are called from the event loop's thread.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from pairnet.errors import ModelError, PairnetError, RequestError, one_line
from pairnet.serving.joint import VERSION, check_batches, named
from pairnet.serving.server.accuracy import Check
from pairnet.serving.server.changes import Change, Verb, refusal_of
from pairnet.serving.server.loading import Options, Place, open_file
from pairnet.serving.server.served import ServedModel
from pairnet.serving.server.slots import UNLOADED, Reasons, Slot, State
from pairnet.serving.server.sources import Opened, Sources
from pairnet.serving.server.statistics import Statistics

MEMORY = 1024
"""MiB that all models together may need, unless another number is given."""
MOST_MODELS = 1000
"""Names of models that a server remembers."""
MOST_LOADS = 16
"""Loads and unloads that wait for their turn, or run."""
DRAINING = 0.01
"""Seconds between two looks whether the last request to an old model is answered."""
NICENESS = 10
"""Of the thread that loads: requests go first."""


class Registry(Mapping[str, ServedModel]):
    """The models by name: of each the highest version that is loaded.

    memory: MiB that all models may need; those in files of the command line count, and are not refused.
    """

    def __init__(self, sources: Sources, *, memory: float = MEMORY) -> None:
        self._sources = sources
        self._memory = memory * 2**20
        self._slots: dict[str, Slot] = {}
        self._watchers: list[Callable[[str, State], None]] = []
        self._reports: list[Callable[[Change], None]] = []
        self._stops = threading.Event()
        self._thread = ThreadPoolExecutor(1, "pairnet-load", initializer=_lower_priority)
        self._worker = asyncio.Lock()  # of the load that uses the thread and knows how much memory is free
        self._tasks: set[asyncio.Task[None]] = set()

    def __getitem__(self, name: str) -> ServedModel:
        return next(iter(self._slots[name].loaded.values()))

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, slot in self._slots.items() if slot.loaded])

    def __len__(self) -> int:
        return sum(bool(slot.loaded) for slot in self._slots.values())

    def find(self, name: str, version: str = "") -> ServedModel:
        """The version of a model, the highest that is loaded if none is given.  RequestError if there is none."""
        slot = self._slots.get(name)
        if slot is not None:
            model = slot.loaded.get(version) if version else next(iter(slot.loaded.values()), None)
            if model is not None:
                return model
        raise self._not_found(name, version)

    def versions(self, name: str) -> list[str]:
        """The versions of a model that are loaded, lowest first."""
        return list(reversed(self._slots[name].loaded)) if name in self._slots else []

    def all_versions(self) -> list[ServedModel]:
        """Each version of each model that is loaded."""
        return [model for slot in self._slots.values() for model in reversed(slot.loaded.values())]

    def state(self, name: str) -> State:
        """Whether a model answers: also READY while another version is opened, UNAVAILABLE for a name that is none."""
        return self._slots[name].state if name in self._slots else "UNAVAILABLE"

    def states(self) -> dict[str, State]:
        """The state of each model that was ever loaded or refused."""
        return {name: self.state(name) for name in self._slots}

    def watch(self, callback: Callable[[str, State], None]) -> None:
        """Calls `callback` with name and state after each load, unload and refusal, in the event loop."""
        self._watchers.append(callback)

    def report(self, callback: Callable[[Change], None]) -> None:
        """Calls `callback` after each load and unload that had its turn, whatever its result, in the event loop."""
        self._reports.append(callback)

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Name, version, state and reason of each version, as the protocol's index has them; ready: only of those."""
        entries = [(name, *entry) for name, slot in self._slots.items() for entry in slot.entries(ready=ready)]
        return [dict(zip(("name", "version", "state", "reason"), entry, strict=True)) for entry in entries]

    def refused(self) -> list[tuple[str, str]]:
        """Name and version, "" for all of them, of what was refused when it was last read and is not loaded."""
        return [(name, version) for name, slot in self._slots.items() for version in slot.lacking]

    def counted(self) -> Iterator[tuple[str, Statistics, int]]:
        """Of each name the statistics of all its versions together, also of unloaded ones, and the pairs that wait."""
        for name, slot in self._slots.items():
            total, models = Statistics(), slot.open_models
            for each in {slot.earlier, *(model.statistics for model in models)}:
                total.add(each)
            yield name, total, sum(model.batcher.waiting for model in models)

    def open_first(self) -> None:
        """Opens all models, in the calling thread.

        Raises what `open_file` raises for one of `files`, and ArgumentError for a name that occurs in both places or a
        folder that cannot be read. Models of the folder are refused one by one: see `index`.
        """
        sources, check = self._sources, Check()
        for name, path in sources.files.items():
            place = Place(name=name, version=VERSION, path=path)
            model = open_file(place, sources.options, kept=None, room=inf, check=None)
            self._slots[name] = Slot(loaded={VERSION: model})
        for name in sources.names():
            slot = self._slots[name] = Slot()
            slot.loaded, refused = sources.open_versions(name, {}, self._room(), check)
            slot.refused, slot.skipped = _reasons(refused), sources.skipped(name)

    async def load(self, name: str) -> None:
        """Reads a model again: all its versions, of which those that have gone are unloaded; all or none.

        Returns when requests get the new versions and the old ones are closed. Continues if the caller is cancelled.
        RequestError if there is no such model, or a version is refused: then everything stays as it was.
        """
        await self._in_turn("load", self._load, name)

    async def unload(self, name: str) -> None:
        """Ends a model, when the requests that have found it are answered.  RequestError if there is none."""
        if name not in self._slots:
            raise self._not_found(name, "")
        await self._in_turn("unload", self._unload, name)

    def stop(self) -> None:
        """Ends a load that is running, as soon as it can be ended."""
        self._stops.set()

    def close(self) -> None:
        """Closes all models, after what they compute."""
        self.stop()
        self._thread.shutdown(cancel_futures=True)
        for slot in self._slots.values():
            for model in slot.open_models:
                model.close()

    async def _in_turn(self, verb: Verb, change: Callable[[str, Slot], Coroutine[Any, Any, None]], name: str) -> None:
        if len(self._tasks) >= MOST_LOADS:
            raise RequestError(f"expected at most {MOST_LOADS} loads at a time, got more: try again later", "busy")
        if name not in self._slots:
            self._sources.check_new(name)
            if len(self._slots) >= MOST_MODELS:
                raise RequestError(f"expected at most {MOST_MODELS} models, got another one", "large")
        slot = self._slots.setdefault(name, Slot())

        async def run() -> None:
            async with slot.turn:
                began, failed = monotonic(), None
                try:
                    await change(name, slot)
                except Exception as error:
                    failed = error
                    raise
                finally:
                    self._tell_change(verb, name, slot, monotonic() - began, failed)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # the caller may have gone
        await asyncio.shield(task)

    async def _load(self, name: str, slot: Slot) -> None:
        slot.loading = True
        self._tell(name)
        try:
            async with self._worker:
                loop, check = asyncio.get_running_loop(), Check(self._stops.is_set)
                opened, refused = await loop.run_in_executor(
                    self._thread, self._sources.open_versions, name, slot.loaded, self._room(), check
                )
                if refused:
                    new = [model for model in opened.values() if model not in slot.loaded.values()]
                    await loop.run_in_executor(self._thread, _close, new)
                    slot.refused = _reasons(refused)
                    raise _refusal(refused)
                slot.skipped = await loop.run_in_executor(self._thread, self._sources.skipped, name)
                gone = self._swap(slot, opened, {})
        finally:
            slot.loading = False
            self._tell(name)
        await self._drain(slot, gone)

    async def _unload(self, name: str, slot: Slot) -> None:
        gone = self._swap(slot, {}, UNLOADED)
        self._tell(name)
        await self._drain(slot, gone)

    def _swap(self, slot: Slot, opened: Opened, refused: Reasons) -> list[ServedModel]:
        """Lets requests find other versions from now on -> those that they do not find any more."""
        kept = list(opened.values())
        gone = [model for model in slot.loaded.values() if model not in kept]
        slot.loaded, slot.refused = opened, refused
        slot.draining += gone
        return gone

    async def _drain(self, slot: Slot, gone: list[ServedModel]) -> None:
        """Closes models when the requests that have found them are answered."""
        while gone:
            model = gone.pop()
            while model.uses.count:
                await asyncio.sleep(DRAINING)
            await asyncio.to_thread(model.close)  # not in the thread of loads: it may be busy
            slot.draining.remove(model)
            if model.statistics not in [each.statistics for each in slot.open_models]:
                slot.earlier.add(model.statistics)

    def _room(self) -> float:
        """Bytes that further models may need."""
        return self._memory - sum(model.memory for slot in self._slots.values() for model in slot.open_models)

    def _tell(self, name: str) -> None:
        for callback in self._watchers:
            callback(name, self.state(name))

    def _tell_change(self, verb: Verb, name: str, slot: Slot, seconds: float, failed: Exception | None) -> None:
        made = Change(
            verb=verb,
            model=name,
            versions={version: model.digest for version, model in slot.loaded.items()},
            result=refusal_of(failed) if failed else "ok",
            error=one_line(failed) if failed else "",
            skipped=slot.skipped,
            seconds=seconds,
        )
        for callback in self._reports:
            callback(made)

    def _not_found(self, name: str, version: str) -> RequestError:
        slot = self._slots.get(name)
        if slot is None:
            return RequestError(f"expected a model among {', '.join(self) or 'none'}, got {name[:80]!a}", "unknown")
        if slot.loaded:
            known = " or ".join(self.versions(name))
            return RequestError(f"{name}: expected version {known}, got {version[:80]!a}", "unknown")
        if slot.loading:
            return RequestError(f"{name}: expected a loaded model, this one is being loaded: try again later", "busy")
        why = "unloaded" if slot.refused == UNLOADED else "refused: POST v2/repository/index says why"
        return RequestError(f"{name}: expected a loaded model, this one was {why}", "unknown")


@contextmanager
def open_models(
    files: Sequence[Path],
    *,
    folder: Path | None = None,
    provider: str = "auto",
    max_batch: int = 64,
    max_wait: float | None = None,
    threads: int | None = None,
    memory: float = MEMORY,
    may_be_none: bool = False,
) -> Iterator[Registry]:
    """Opens files, each a model named after it, and the models of a folder; closes them afterwards.

    max_wait: seconds that a request may wait for others. threads: of each model, as for Predictor. memory: MiB that all
    models may need. may_be_none: whether there may be no model at all.
    Raises what `Registry.open_first` raises, and ModelError if each model of the folder is refused and there is no
    other.
    """
    check_batches(max_batch=max_batch, max_wait=max_wait or 0.0)
    options = Options(provider=provider, max_batch=max_batch, max_wait=max_wait, threads=threads)
    registry = Registry(Sources(files=named(files), folder=folder, options=options), memory=memory)
    try:
        registry.open_first()
        if not registry and not may_be_none:
            reasons = "; ".join(entry["reason"] for entry in registry.index()) or "no folder"
            raise ModelError(f"`models`: expected a model that can be served in {folder}, got none: {reasons}")
        yield registry
    finally:
        registry.close()


def _reasons(refused: Mapping[str, PairnetError]) -> dict[str, str]:
    return {version: one_line(error) for version, error in refused.items()}


def _refusal(refused: Mapping[str, PairnetError]) -> RequestError:
    """What the client of a load is told."""
    kinds = {error.kind if isinstance(error, RequestError) else "invalid" for error in refused.values()}
    return RequestError("; ".join(map(one_line, refused.values())), kinds.pop() if len(kinds) == 1 else "invalid")


def _close(models: Sequence[ServedModel]) -> None:
    for model in models:
        model.close()


def _lower_priority() -> None:
    """Lets other threads go first: on Linux, a thread has a priority of its own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
