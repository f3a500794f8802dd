"""Requests that wait for a model at the same time are computed together: a queue with a bound, and what empties it.

Greedy: a batch begins as soon as the model is free and takes whatever waits by then, so a single client never waits for
company, and under load the batches grow by themselves; where they do not, patience.py decides on short waits. Small
batches run in the event loop, which is sooner than a change of threads; larger ones run in a thread, while the loop
reads further requests. All methods are called from the event loop's thread.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pairnet.errors import RequestError
from pairnet.serving.server.patience import WAIT, Patience

NamedOutputs = Mapping[str, NDArray[Any]]
"""What a model answers, by the names of its outputs; a row for each pair."""

INLINE = 8
"""Pairs that are computed in the event loop: about 0.5 ms for final_model on one core."""
EFFICIENT = 16
"""Pairs in a batch from which a core's throughput hardly grows."""
SEVERAL = 64
"""Pairs beyond which a batch is split between the threads of the predictor."""


class Answer(NamedTuple):
    """The outputs for one request, and how long they took."""

    outputs: NamedOutputs
    queued_ns: int  # from its arrival to the beginning of its batch
    computed_ns: int  # of its batch
    inference_ns: int = 0  # of which the model's run took
    together: int = 0  # pairs in its batch


class Waiting(NamedTuple):
    """A request in the queue."""

    pairs: NDArray[Any]
    answer: "asyncio.Future[Answer]"
    arrived_ns: int
    expires_ns: int  # a time of perf_counter_ns; 0 for never
    is_gone: Callable[[], bool]  # whether its client has closed the connection


def never() -> bool:
    """False: for clients whose connection is watched by somebody else."""
    return False


class Batcher:
    """The queue of one model.

    run: computes the outputs of pairs [n,...], in the calling thread alone or with others; called by one at a time.
    max_batch: pairs after which a batch takes no further request; a larger request is a batch of its own.
    max_wait: seconds that a request waits for others while the model is free; None for what patience.py learns.
    most_waiting: pairs in the queue from which further requests are refused.
    on_batch: called with the number of pairs and the nanoseconds of each batch.
    """

    def __init__(
        self,
        run: Callable[[NDArray[Any], bool], NamedOutputs],
        *,
        max_batch: int,
        max_wait: float | None = None,
        most_waiting: int,
        on_batch: Callable[[int, int], None],
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._most_waiting = most_waiting
        self._on_batch = on_batch
        self._patience = Patience() if max_wait is None else None
        self._queue: deque[Waiting] = deque()
        self._pairs = 0
        self._computing = False  # in the thread
        self._inference_ns = 0  # of the batch that was computed last
        self._timer: asyncio.Handle | None = None  # the planned beginning of the next batch
        self._sleeps = False  # whether that is later, not at once
        self._thread = ThreadPoolExecutor(1, "pairnet-batch")

    @property
    def waiting(self) -> int:
        """Number of pairs in the queue."""
        return self._pairs

    def submit(
        self, pairs: NDArray[Any], *, expires_ns: int = 0, is_gone: Callable[[], bool] = never
    ) -> "asyncio.Future[Answer]":
        """Queues valid pairs [n,...] -> the answer, later.

        A request that is cancelled or expired when its turn comes, or whose client is gone, is not computed; its future
        raises RequestError. Raises RequestError if the queue is full; one that is not takes a request of any size.
        """
        if self._pairs >= self._most_waiting:
            raise RequestError(f"expected a free queue, got {self._pairs:,} pairs that wait: try again later", "busy")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append(Waiting(pairs, answer, perf_counter_ns(), expires_ns, is_gone))
        self._pairs += len(pairs)
        self._plan()
        return answer

    def close(self) -> None:
        """Ends the thread after its current batch."""
        self._thread.shutdown()

    def _plan(self) -> None:
        """Plans the next batch, unless one is computed, which plans the next when it ends."""
        if self._computing or not self._queue:
            return
        full = self._pairs >= self._max_batch
        loop = asyncio.get_running_loop()
        if self._timer is not None and full and self._sleeps:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            waited = (perf_counter_ns() - self._queue[0].arrived_ns) / 1e9
            left = 0.0 if full or not self._max_wait else self._max_wait - waited
            self._sleeps = left > 0
            self._timer = loop.call_later(left, self._begin) if self._sleeps else loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Computes the next batch now, or after a wait that patience.py expects to be of use."""
        self._timer = None
        is_small = self._pairs <= INLINE and self._pairs < self._max_batch
        if is_small and self._patience is not None and self._patience.begin(len(self._queue)):
            self._sleeps = True
            self._timer = asyncio.get_running_loop().call_later(WAIT, self._end_wait)
        else:
            self._compute_next()

    def _end_wait(self) -> None:
        self._timer = None
        if self._patience is not None:
            self._patience.end(len(self._queue))
        self._compute_next()

    def _compute_next(self) -> None:
        batch = self._take()
        if self._patience is not None:
            self._patience.computed(len(batch))
        if not batch:
            self._plan()
            return
        began = perf_counter_ns()
        if sum(len(each.pairs) for each in batch) <= INLINE:
            self._answer(batch, began, self._compute(batch))
            self._plan()
            return
        self._computing = True
        computed = asyncio.get_running_loop().run_in_executor(self._thread, self._compute, batch)
        computed.add_done_callback(lambda done: self._end(batch, began, done.result()))

    def _end(self, batch: list[Waiting], began: int, results: list[NamedOutputs | Exception]) -> None:
        self._computing = False
        try:
            self._answer(batch, began, results)
        finally:
            self._plan()

    def _take(self) -> list[Waiting]:
        """The requests of the next batch, in the order of their arrival.

        Half of those that wait, if there are enough for two: while one half is computed, the loop answers the other and
        reads new requests. Otherwise all clients would wait for the model together, and then the model for all clients.
        """
        batch: list[Waiting] = []
        pairs, now = 0, perf_counter_ns()
        limit = self._max_batch if self._max_wait else min(self._max_batch, max(EFFICIENT, self._pairs // 2))
        while self._queue and (not batch or pairs + len(self._queue[0].pairs) <= limit):
            each = self._queue.popleft()
            self._pairs -= len(each.pairs)
            if each.answer.done():
                continue
            if each.is_gone():
                each.answer.set_exception(RequestError("expected a client that waits, got a closed connection", "gone"))
            elif each.expires_ns and now > each.expires_ns:
                waited = (now - each.arrived_ns) / 1e6
                each.answer.set_exception(
                    RequestError(f"expected a turn before the request's timeout, waited {waited:.1f} ms", "expired")
                )
            else:
                batch.append(each)
                pairs += len(each.pairs)
        return batch

    def _compute(self, batch: list[Waiting]) -> list[NamedOutputs | Exception]:
        """The outputs of each request.  If the batch fails, each request is computed by itself and fails by itself."""
        try:
            pairs = batch[0].pairs if len(batch) == 1 else np.concatenate([each.pairs for each in batch])
            began = perf_counter_ns()
            outputs = self._run(pairs, len(pairs) > SEVERAL)
            self._inference_ns = perf_counter_ns() - began
        except Exception as error:
            if len(batch) == 1:
                return [error]
            return [self._compute([each])[0] for each in batch]
        if len(batch) == 1:
            return [outputs]
        results: list[NamedOutputs | Exception] = []
        row = 0
        for each in batch:
            end = row + len(each.pairs)
            results.append({name: values[row:end] for name, values in outputs.items()})
            row = end
        return results

    def _answer(self, batch: list[Waiting], began: int, results: list[NamedOutputs | Exception]) -> None:
        took, pairs = perf_counter_ns() - began, sum(len(each.pairs) for each in batch)
        for each, result in zip(batch, results, strict=True):
            if each.answer.done():  # cancelled in the meantime
                continue
            if isinstance(result, Exception):
                each.answer.set_exception(result)
            else:
                each.answer.set_result(Answer(result, began - each.arrived_ns, took, self._inference_ns, pairs))
        self._on_batch(pairs, took)
