"""The trace that a request belongs to: W3C Trace Context read and answered, and, if asked for, its spans.

https://www.w3.org/TR/trace-context/. Without `--tracing` a request with a valid `traceparent` gets an identifier for
this server's part of its trace, which the answer contains; a request without one costs a look-up. With `--tracing`
OpenTelemetry's SDK, which its environment variables configure, gets the spans when a request has ended.
"""

import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from pairnet.errors import ArgumentError
from pairnet.extras import needed_by
from pairnet.version import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.S
)
"""Version, trace, parent, flags; a version after 00 may continue."""
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Parent(NamedTuple):
    """What a valid `traceparent` says."""

    trace: str  # 32 hexadecimal digits
    span: str  # 16
    flags: int  # of which 1, sampled, is defined


class Trace(NamedTuple):
    """This server's part of a trace."""

    trace: str
    traceparent: str  # what the answer says: the span is this server's
    span: "Span | None" = None  # with `--tracing`


class Times(NamedTuple):
    """When a request reached each stage, of perf_counter_ns(); 0 for a stage that it did not reach."""

    began: int
    decoded: int = 0
    taken: int = 0  # from the queue into a batch
    computed: int = 0  # the outputs of its batch are there
    ended: int = 0
    inference: int = 0  # duration of the model's run, ns
    together: int = 0  # pairs in its batch


NO_TIMES = Times(0)


def read_traceparent(values: list[str]) -> Parent | None:
    """The parent of a request whose headers `traceparent` are these; None for none, several or a malformed one."""
    found = TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    if found is None or (found[1] == "00" and found[5] is not None):
        return None
    return Parent(found[2], found[3], int(found[4], 16))


def pass_on(parent: Parent) -> Trace:
    """A part of the parent's trace that leaves no spans."""
    return Trace(parent.trace, f"00-{parent.trace}-{secrets.token_hex(8)}-{parent.flags & 1:02x}")


class Tracer:
    """Spans of requests: the whole, and in it decoding, queue, batch with its inference, encoding."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace

        self._api = trace
        self._tracer = provider.get_tracer("pairnet", __version__)

    def begin(self, parent: Parent | None, state: list[str]) -> Trace:
        """Begins the span of a request; `state` are its headers `tracestate`."""
        api, around = self._api, None
        if parent is not None:
            remote = api.SpanContext(
                int(parent.trace, 16),
                int(parent.span, 16),
                is_remote=True,
                trace_flags=api.TraceFlags(parent.flags & 1),
                trace_state=api.TraceState.from_header(state),
            )
            around = api.set_span_in_context(api.NonRecordingSpan(remote))
        span = self._tracer.start_span("infer", around or _empty(), kind=api.SpanKind.SERVER)
        own = span.get_span_context()
        trace = f"{own.trace_id:032x}"
        return Trace(trace, f"00-{trace}-{own.span_id:016x}-{own.trace_flags & 1:02x}", span)

    def end(self, span: "Span", times: Times, attributes: Mapping[str, Any], *, failed: bool) -> None:
        """Ends the span of a request, and adds those of its stages.  failed: whether the server is to blame."""
        if not span.is_recording():
            return
        now = perf_counter_ns()
        offset, ended = time_ns() - now, times.ended or now
        span.set_attributes(attributes)
        if failed:
            span.set_status(self._api.StatusCode.ERROR)
        inside = self._api.set_span_in_context(span)
        if times.decoded:
            self._add(inside, "decode", times.began + offset, times.decoded + offset)
        if times.computed:
            self._add(inside, "queue", times.decoded + offset, times.taken + offset)
            batch = self._add(
                inside, "batch", times.taken + offset, times.computed + offset, {"pairnet.batch.pairs": times.together}
            )
            inferred = times.taken + offset + min(times.inference, times.computed - times.taken)
            self._add(self._api.set_span_in_context(batch), "inference", times.taken + offset, inferred)
            self._add(inside, "encode", times.computed + offset, ended + offset)
        span.end(ended + offset)

    def _add(
        self, inside: "Context", name: str, began: int, ended: int, attributes: Mapping[str, Any] | None = None
    ) -> "Span":
        span = self._tracer.start_span(name, inside, attributes=attributes, start_time=began)
        span.end(ended)
        return span


def _empty() -> "Context":
    from opentelemetry.context import Context

    return Context()


@contextmanager
def open_tracer() -> Iterator[Tracer]:
    """A tracer as OpenTelemetry's environment variables configure it; sends what is left at the end.

    Nothing is sent unless an endpoint is set, also to the one that OpenTelemetry would choose. Raises ArgumentError if
    nothing says where spans go, and MissingExtraError without OpenTelemetry.
    """
    with needed_by("pairnet serve --tracing"):
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
    named = {"service.name": "pairnet", "service.version": __version__, **OTELResourceDetector().detect().attributes}
    provider = TracerProvider(resource=Resource.create(named))
    for name in _exporters():
        _add_exporter(provider, name)
    try:
        yield Tracer(provider)
    finally:
        provider.shutdown()


def _exporters() -> list[str]:
    """The names in OTEL_TRACES_EXPORTER, checked."""
    names = [name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")]
    for name in names:
        if name not in ("otlp", "console", "none"):
            raise ArgumentError(f"OTEL_TRACES_EXPORTER: expected otlp, console or none, got {name!r}")
    protocol = next(filter(None, map(os.environ.get, PROTOCOLS)), "http/protobuf")
    if "otlp" in names and protocol != "http/protobuf":
        raise ArgumentError(f"{PROTOCOLS[1]}: expected http/protobuf, which pairnet[tracing] brings, got {protocol!r}")
    if "otlp" in names and not any(map(os.environ.get, ENDPOINTS)):
        raise ArgumentError(
            f"`tracing`: expected {ENDPOINTS[1]}, such as http://127.0.0.1:4318, got none: set it, or "
            "OTEL_TRACES_EXPORTER=console to print the spans"
        )
    return [name for name in names if name != "none"]


def _add_exporter(provider: "TracerProvider", name: str) -> None:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    if name == "console":
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
        return
    with needed_by("pairnet serve --tracing"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
