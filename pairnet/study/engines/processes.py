"""The engine for CPUs: one process and one thread per run, as many at once as there are workers.

Results therefore do not depend on the number of workers. Importing torch takes seconds: workers are long-lived, and on
Linux they are forks of one process (multiprocessing's forkserver) that has imported it once for all of them. They hold
no state of their own: the parent draws the pairs and stores the records, so killing a worker loses nothing
but the run it was computing, and that is how the engine stops.
"""

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from pairnet.data.drawing import check_images, draw
from pairnet.data.sources import Dataset
from pairnet.errors import ArgumentError, TrainingError, WorkerError
from pairnet.records.run import Run
from pairnet.study.events import EpochDone, Event, Finished, Started, failed


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Computes runs in `workers` processes.  ArgumentError unless `workers` is at least 1."""

    dataset: Dataset
    workers: int
    name: str = "processes"

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ArgumentError(f"expected `workers` of at least 1, got {self.workers}")

    @property
    def manner(self) -> str:
        """How runs are computed, for people."""
        return f"{self.workers} at once"

    def run(self, runs: Sequence[Run]) -> Generator[Event]:
        """Events of all runs; see events.Engine."""
        for each in runs:
            check_images(each, self.dataset)
        waiting = list(reversed(runs))
        context = _context()
        workers: list[_Worker] = []
        try:
            for _ in range(min(self.workers, len(runs))):
                workers.append(_start(context))
            while waiting or any(worker.run for worker in workers):
                ready = wait([*(worker.pipe for worker in workers), *(worker.process.sentinel for worker in workers)])
                for worker in workers:
                    if worker.pipe in ready:
                        yield from self._receive(worker, waiting)
                    elif worker.process.sentinel in ready:
                        raise _ended(worker)
        finally:
            for worker in workers:
                worker.process.kill()
            for worker in workers:
                worker.process.join()
                worker.pipe.close()

    def _receive(self, worker: "_Worker", waiting: list[Run]) -> Iterator[Event]:
        """The event that a worker reports; a worker without a run gets the next one."""
        try:
            kind, *content = worker.pipe.recv()
        except (EOFError, OSError):
            raise _ended(worker) from None
        run = worker.run
        if kind == "bug":
            raise RuntimeError(f"{run.name if run else 'a worker'} failed:\n{content[0]}")
        if run is not None:
            if kind == "epoch":
                yield EpochDone(run=run, number=content[0], epoch=content[1])
                return
            worker.run = None
            yield (Finished(run=run, record=content[0]) if kind == "record" else failed(run, content[0]))
        if waiting:
            worker.run = run = waiting.pop()
            try:
                worker.pipe.send((run, *draw(run, self.dataset)))
            except OSError:
                raise _ended(worker) from None
            yield Started(run=run)


@dataclass(kw_only=True)
class _Worker:
    """One worker process as its parent sees it."""

    process: BaseProcess
    pipe: Connection
    run: Run | None = None  # what it is computing


def _context() -> Any:
    """How workers are started: on Linux as forks of a process that has imported what they need."""
    resource_tracker.ensure_running()  # started with a worker, this helper would let Ctrl-C through again
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pairnet.study.environment", "pairnet.study.execution"])
    return context


def _start(context: Any) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    with _interrupts_blocked(), _main_module_hidden():  # the worker inherits the first: Ctrl-C is for the parent
        process.start()
    theirs.close()
    return _Worker(process=process, pipe=ours)


def _ended(worker: _Worker) -> WorkerError:
    worker.process.join(1)
    code = worker.process.exitcode
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"exited with status {code}"
    what = f"the worker process that computed {worker.run.name}" if worker.run else "a worker process"
    return WorkerError(f"{what} {how} (out of memory?): finished runs are kept; start again with fewer `workers`")


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Holds Ctrl-C back until the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Keeps a worker from importing the caller's script, which would run everything in it once more.

    multiprocessing imports it for functions that are defined there; a worker needs none. So a script or a notebook
    that calls run_study needs no `if __name__ == "__main__"`.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _work(pipe: "Connection[Any, Any]") -> None:
    """The main loop of a worker: runs from the pipe, events into it, until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        from pairnet.study.environment import environment
        from pairnet.study.execution import execute

        pipe.send(("ready",))
        while True:
            run, pairs, held_out = pipe.recv()
            try:
                _, record = execute(
                    run,
                    environment(run.device, engine="processes"),
                    pairs,
                    held_out,
                    lambda number, epoch: pipe.send(("epoch", number, epoch)),
                )
                pipe.send(("record", record))
            except TrainingError as error:
                pipe.send(("failed", error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone
    except BaseException:
        pipe.send(("bug", traceback.format_exc()))
