"""One request from its model to its answer, the same for REST and gRPC: find, read, queue, count, log."""

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Literal

import msgspec

from pairnet.errors import InputError, PairnetError, Refusal, RequestError
from pairnet.serving.server.access_log import AccessLog
from pairnet.serving.server.batching import NamedOutputs, never
from pairnet.serving.server.decoders import Decoders
from pairnet.serving.server.protocol import MOST_HELD, STATUSES, CheckedRequest
from pairnet.serving.server.registry import Registry
from pairnet.serving.server.served import ServedModel, find
from pairnet.serving.server.statistics import Statistics

Control = Literal["", "loopback", "anywhere"]
"""Who may load and unload models: nobody, clients on this machine, all clients."""


@dataclass(kw_only=True, eq=False)
class Service:
    """The models and what is known about requests to none of them."""

    models: Registry
    control: Control = ""
    access_log: AccessLog | None = None
    ready: bool = True  # False once the server stops
    elsewhere: Statistics = field(default_factory=Statistics)  # requests that named no model, or could not be read
    decoders: Decoders = field(default_factory=Decoders)
    held: int = 0  # bytes of requests that are received, wait or are computed

    def hold(self, count: int) -> None:
        """Counts bytes of a request as held; the caller gives them back.  RequestError if too many are held."""
        self.held += count
        if self.held > MOST_HELD:
            raise RequestError("expected a free server, got too many large requests: try again later", "busy")

    async def infer(
        self,
        protocol: str,
        name: str,
        version: str,
        read: Callable[[ServedModel], CheckedRequest],
        is_gone: Callable[[], bool] = never,
    ) -> tuple[ServedModel, CheckedRequest, NamedOutputs]:
        """Answers one request, and says which model answered.

        read: turns what the client sent into a request to the model. is_gone: whether the client closed its connection.
        Raises RequestError for everything that goes wrong, after counting it.
        """
        began, model, pairs = perf_counter_ns(), None, 0
        try:
            model = find(self.models, name, version)
            model.uses.count += 1  # it is closed when nobody uses it any more
            request = read(model)
            pairs, decoded = len(request.pairs), perf_counter_ns()
            answer = await model.batcher.submit(request.pairs, expires_ns=request.expires_ns, is_gone=is_gone)
        except Exception as error:
            raise self.count_refusal(error, protocol, model, pairs, perf_counter_ns() - began) from None
        finally:
            if model is not None:
                model.uses.count -= 1
        took = perf_counter_ns() - began
        model.statistics.add_answer(
            protocol,
            pairs,
            total_ns=took,
            queue_ns=answer.queued_ns,
            compute_ns=answer.computed_ns,
            decode_ns=decoded - began,
        )
        self._log(protocol, name, pairs, took, "ok")
        return model, request, answer.outputs

    def count_refusal(
        self, error: Exception, protocol: str, model: ServedModel | None = None, pairs: int = 0, took_ns: int = 0
    ) -> RequestError:
        """Counts and logs an error -> what the client is told."""
        refusal = _refusal(error)
        (self.elsewhere if model is None else model.statistics).add_refusal(refusal.kind, took_ns)
        self._log(protocol, model.name if model else "", pairs, took_ns, refusal.kind)
        return refusal

    def _log(self, protocol: str, model: str, pairs: int, took_ns: int, result: Refusal | Literal["ok"]) -> None:
        if self.access_log is None:
            return
        line = {
            "time": round(time.time(), 3),
            "protocol": protocol,
            "model": model,
            "pairs": pairs,
            "ms": round(took_ns / 1e6, 3),
            "result": result,
            "status": 200 if result == "ok" else STATUSES[result][0],
        }
        self.access_log.add(msgspec.json.encode(line).decode())


def _refusal(error: Exception) -> RequestError:
    """What a client is told: pairnet's own errors as they are; of others only that the server failed."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, PairnetError):
        return RequestError(str(error), "invalid" if isinstance(error, InputError) else "failed")
    sys.stderr.write("".join(traceback.format_exception(error)))
    return RequestError("expected an answer, the server failed: see its log", "failed")
