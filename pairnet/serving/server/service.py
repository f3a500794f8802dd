"""One request from its model to its answer, the same for REST and gRPC: find, read, queue, encode, count, log."""

import asyncio
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter_ns
from typing import Any, Literal, TypeVar

import msgspec

from pairnet.errors import InputError, PairnetError, Refusal, RequestError
from pairnet.serving.server.access_log import AccessLog
from pairnet.serving.server.account import Account
from pairnet.serving.server.batching import NamedOutputs, never
from pairnet.serving.server.changes import Changes
from pairnet.serving.server.decoders import Decoders
from pairnet.serving.server.origin import LONGEST_TEXT, Origin
from pairnet.serving.server.protocol import STATUSES, CheckedRequest
from pairnet.serving.server.registry import Registry
from pairnet.serving.server.served import ServedModel, find
from pairnet.serving.server.statistics import Statistics
from pairnet.serving.server.tracing import NO_TIMES, Times, Trace, Tracer, pass_on, read_traceparent

Sent = TypeVar("Sent")
Result = TypeVar("Result")

LARGE_ANSWER = 256
"""Pairs from which a thread writes an answer in JSON, or compresses one: that takes 0.5 ms with digits."""
LONGEST_ID = 128
"""Characters of a request's identifier in the access log."""

Control = Literal["", "loopback", "anywhere"]
"""Who may load and unload models: nobody, clients on this machine, all clients."""


@dataclass(kw_only=True, eq=False)
class Service:
    """The models and what is known about requests to none of them."""

    models: Registry
    control: Control = ""
    access_log: AccessLog | None = None
    tracer: Tracer | None = None
    stops: bool = False
    elsewhere: Statistics = field(default_factory=Statistics)  # requests that named no model, or could not be read
    decoders: Decoders = field(default_factory=Decoders)
    account: Account = field(default_factory=Account)  # of all bytes that wait
    changes: Changes = field(default_factory=Changes)  # loads and unloads
    log: AccessLog | None = None  # gets a line for each of `changes`; often the same as `access_log`
    # Large requests are read, and large answers encoded, one at a time: that takes many times their size in memory.
    large: Executor = field(default_factory=partial(ThreadPoolExecutor, 1, "pairnet-large"))

    @property
    def ready(self) -> bool:
        """Whether there is a model that answers."""
        return not self.stops and bool(self.models)

    def trace(self, traceparents: list[str], states: list[str]) -> Trace | None:
        """This server's part of the trace that the headers of a request name; None if it has none."""
        parent = read_traceparent(traceparents)
        if self.tracer is not None:
            return self.tracer.begin(parent, states)
        return None if parent is None else pass_on(parent)

    async def infer(
        self,
        origin: Origin,
        name: str,
        version: str,
        read: Callable[[ServedModel], CheckedRequest],
        encode: Callable[[ServedModel, CheckedRequest, NamedOutputs], Sent],
        is_gone: Callable[[], bool] = never,
        *,
        is_large: bool = False,
        compresses: bool = False,
        trace: Trace | None = None,
    ) -> Sent:
        """Answers one request -> what is sent.

        read: turns what the client sent into a request to the model. encode: turns its outputs into what is sent.
        is_gone: whether the client closed its connection. is_large: whether reading takes long, so that a thread does
        it. compresses: whether `encode` compresses. Raises RequestError for everything that goes wrong, after counting
        it.
        """
        began, model, request, decoded = perf_counter_ns(), None, None, 0
        try:
            model = find(self.models, name, version)
            model.uses.count += 1  # it is closed when nobody uses it any more
            request = await self._aside(read, model) if is_large else read(model)
            pairs, decoded = len(request.pairs), perf_counter_ns()
            answer = await model.batcher.submit(request.pairs, expires_ns=request.expires_ns, is_gone=is_gone)
            if pairs > LARGE_ANSWER and (compresses or len(request.binary) < len(request.outputs)):
                sent = await self._aside(encode, model, request, answer.outputs)
            else:
                sent = encode(model, request, answer.outputs)
        except (Exception, asyncio.CancelledError) as error:
            times = Times(began, decoded, ended=perf_counter_ns())
            if isinstance(error, asyncio.CancelledError):
                gone = RequestError("expected a client that waits for its answer, it left or its time was over", "gone")
                self.count_refusal(gone, origin, model, request, times, trace)
                raise
            raise self.count_refusal(error, origin, model, request, times, trace) from None
        finally:
            if model is not None:
                model.uses.count -= 1
        taken = decoded + answer.queued_ns
        computed, ended = taken + answer.computed_ns, perf_counter_ns()
        times = Times(began, decoded, taken, computed, ended, answer.inference_ns, answer.together)
        model.statistics.add_answer(origin.protocol, pairs, times)
        if self.access_log is not None or trace is not None:
            self._note(origin, request, times, "ok", trace)
        return sent

    async def _aside(self, call: Callable[..., Result], *given: Any) -> Result:
        """Calls in the thread for what is large."""
        return await asyncio.get_running_loop().run_in_executor(self.large, partial(call, *given))

    def count_refusal(
        self,
        error: Exception,
        origin: Origin,
        model: ServedModel | None = None,
        request: CheckedRequest | None = None,
        times: Times = NO_TIMES,
        trace: Trace | None = None,
    ) -> RequestError:
        """Counts and logs an error -> what the client is told."""
        refusal = _refusal(error)
        (self.elsewhere if model is None else model.statistics).add_refusal(refusal.kind, times.ended - times.began)
        self._note(origin, request, times, refusal.kind, trace, str(refusal))
        return refusal

    def _note(
        self,
        origin: Origin,
        request: CheckedRequest | None,
        times: Times,
        result: Refusal | Literal["ok"],
        trace: Trace | None,
        error: str = "",
    ) -> None:
        """A line of the access log, and the spans."""
        span = None if trace is None else trace.span
        if self.access_log is None and span is None:
            return
        status = 200 if result == "ok" else STATUSES[result][0]
        pairs, known = (0, "") if request is None else (len(request.pairs), request.id[:LONGEST_ID])
        if self.access_log is not None:
            line = {
                "time": round(time.time(), 3),
                **origin.fields(),
                "id": known,
                "trace": trace.trace if trace else "",
                "pairs": pairs,
                "ms": round((times.ended - times.began) / 1e6, 3),
                "result": result,
                "status": status,
                "error": error[:LONGEST_TEXT],
            }
            self.access_log.add(msgspec.json.encode(line).decode())
        if self.tracer is not None and span is not None:
            attributes = {
                "pairnet.protocol": origin.protocol,
                "pairnet.model": origin.model[:LONGEST_TEXT],
                "pairnet.request.id": known,
                "pairnet.pairs": pairs,
                "pairnet.result": result,
            }
            self.tracer.end(span, times, attributes, failed=status >= 500)


def _refusal(error: Exception) -> RequestError:
    """What a client is told: pairnet's own errors as they are; of others only that the server failed."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, PairnetError):
        return RequestError(str(error), "invalid" if isinstance(error, InputError) else "failed")
    sys.stderr.write("".join(traceback.format_exception(error)))
    return RequestError("expected an answer, the server failed: see its log", "failed")
