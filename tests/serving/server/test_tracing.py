"""Traces over REST and gRPC: taken up as W3C Trace Context says, answered, logged, and their spans."""

import asyncio
import json
import re
import subprocess
import sys
import urllib.request

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_server import running_server
from tritonclient.grpc import service_pb2

from pairnet.errors import ArgumentError
from pairnet.serving.built_in import built_in_model
from pairnet.serving.server import tracing
from pairnet.serving.server.app import Application
from pairnet.serving.server.registry import open_models
from pairnet.serving.server.service import Service

NAME = "order_net_xs"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"
PAIR = {"name": "pair", "datatype": "UINT8", "shape": [1, 2, 28, 28], "data": [0] * 1568}
MALFORMED = [
    "",
    GOOD.upper(),
    f"ff-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"{GOOD}-more",
    f"{GOOD}.",
    f"cc-{TRACE}-{SPAN}-01.more",
    f"00-{TRACE}-{SPAN}",
    f"00-{TRACE}-{SPAN}-1",
    f" {GOOD}",
    f"{GOOD}\n",
    GOOD.replace("-", "_"),
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_traceparent_is_ignored(text):
    assert tracing.read_traceparent([text]) is None


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True))
def test_what_is_read_is_a_valid_context(text):
    parent = tracing.read_traceparent([text])
    if parent is None:
        return
    assert parent.trace != 32 * "0"
    assert parent.span != 16 * "0"
    assert text.startswith(f"{text[:2]}-{parent.trace}-{parent.span}-{parent.flags:02x}")
    assert text[:2] != "ff"
    assert text[:2] != "00" or len(text) == 55
    answer = tracing.pass_on(parent).traceparent
    assert tracing.read_traceparent([answer]) is not None
    assert answer.startswith(f"00-{parent.trace}-")
    assert not answer.startswith(f"00-{parent.trace}-{parent.span}-")


def test_two_of_them_are_none_and_a_later_version_may_continue():
    assert tracing.read_traceparent([]) is None
    assert tracing.read_traceparent([GOOD, GOOD]) is None
    for version in ("01", "cc"):
        assert tracing.read_traceparent([f"{version}-{TRACE}-{SPAN}-03-more"]) == (TRACE, SPAN, 3)
    assert tracing.pass_on(tracing.Parent(TRACE, SPAN, 2)).traceparent.endswith("-00")  # of the flags, only `sampled`


@pytest.fixture(scope="module")
def logged():
    """A server with an access log."""
    with running_server("--access-log") as server:
        yield server


def over_rest(server, traceparent, *, valid=True, identifier="r-1"):
    body = json.dumps({"id": identifier, "inputs": [PAIR] if valid else []}).encode()
    headers = {"Content-Type": "application/json"} | ({} if traceparent is None else {"traceparent": traceparent})
    asked = urllib.request.Request(f"http://{server.rest}/v2/models/{NAME}/infer", body, headers)
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, answer.headers.get("traceparent")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("traceparent")


def message(*, valid=True, identifier="g-1"):
    sent = service_pb2.ModelInferRequest(
        model_name=NAME, id=identifier, raw_input_contents=[np.zeros(1568, np.uint8).tobytes()] * valid
    )
    sent.inputs.add(name="pair", datatype="UINT8", shape=[1, 2, 28, 28])
    return sent.SerializeToString()


def over_grpc(server, traceparent, *, valid=True, method="ModelInfer"):
    metadata = [] if traceparent is None else [("traceparent", traceparent)]
    with grpc.insecure_channel(server.grpc) as channel:
        path = f"/inference.GRPCInferenceService/{method}"
        if method == "ModelInfer":
            try:
                _, call = channel.unary_unary(path).with_call(message(valid=valid), metadata=metadata, timeout=20)
            except grpc.RpcError as error:
                call = error
        else:
            call = channel.stream_stream(path)(iter([message(valid=valid)]), metadata=metadata, timeout=20)
            assert len(list(call)) == 1
        return call.code(), dict(call.trailing_metadata()).get("traceparent")


@pytest.mark.parametrize("valid", [True, False])
def test_a_trace_is_taken_up_and_answered(logged, valid):
    before = len(lines(logged))
    calls = [over_rest(logged, GOOD, valid=valid), over_grpc(logged, GOOD, valid=valid)]
    calls.append(over_grpc(logged, GOOD, valid=valid, method="ModelStreamInfer"))
    for _, answered in calls:
        assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", answered)
        assert SPAN not in answered
    found = lines(logged, before + 3)[before:]
    assert [line["trace"] for line in found] == [TRACE] * 3
    assert [line["result"] for line in found] == ["ok" if valid else "invalid"] * 3
    assert [line["id"] for line in found] == (["r-1", "g-1", "g-1"] if valid else [""] * 3)


@pytest.mark.parametrize("traceparent", [None, f"00-{'0' * 32}-{SPAN}-01", "x"])
def test_a_request_without_a_valid_trace_is_answered_without_one(logged, traceparent):
    before = len(lines(logged))
    assert over_rest(logged, traceparent) == (200, None)
    assert over_grpc(logged, traceparent) == (grpc.StatusCode.OK, None)
    assert [line["trace"] for line in lines(logged, before + 2)[before:]] == [""] * 2


def test_an_identifier_cannot_fill_the_log(logged):
    before = len(lines(logged))
    assert over_rest(logged, None, identifier=100_000 * '"\n')[0] == 200
    assert lines(logged, before + 1)[before]["id"] == 64 * '"\n'


def lines(server, least=0):
    """The lines of the access log, once there are so many."""
    found = []
    for _ in range(200):
        found = [json.loads(line) for line in server.log if line.startswith('{"time"')]
        if len(found) >= least:
            return found
        server.process.poll()
        asyncio.run(asyncio.sleep(0.05))
    pytest.fail(f"expected {least} lines, got {len(found)}")


@pytest.fixture
def spans():
    """Answers a request with a tracer whose spans stay in memory -> status, headers, spans by name."""
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    def ask(*, valid=True, headers=(), sampler=None):
        memory = export.InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler)
        provider.add_span_processor(SimpleSpanProcessor(memory))
        body = json.dumps({"id": "r-2", "inputs": [PAIR] if valid else []}).encode()
        sent = []

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(part):
            sent.append(part)

        async def run():
            with open_models([built_in_model()], provider="cpu") as models:
                scope = {"type": "http", "method": "POST", "path": f"/v2/models/{NAME}/infer", "headers": list(headers)}
                await Application(Service(models=models, tracer=tracing.Tracer(provider)))(scope, receive, send)

        asyncio.run(run())
        return sent[0]["status"], dict(sent[0]["headers"]), {span.name: span for span in memory.get_finished_spans()}

    return ask


def test_the_spans_of_a_request_lie_in_its_trace_and_in_order(spans):
    headers = [(b"traceparent", GOOD.encode()), (b"tracestate", b"a=1,b=2")]
    status, answered, found = spans(headers=headers)
    assert status == 200
    assert set(found) == {"infer", "decode", "queue", "batch", "inference", "encode"}
    whole = found["infer"]
    assert (whole.parent.trace_id, whole.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert answered[b"traceparent"].decode() == f"00-{TRACE}-{whole.context.span_id:016x}-01"
    assert dict(whole.context.trace_state) == {"a": "1", "b": "2"}
    assert {span.context.trace_id for span in found.values()} == {int(TRACE, 16)}
    inside = {name: span.parent.span_id for name, span in found.items() if name != "infer"}
    batch = found["batch"].context.span_id
    assert inside == {name: batch if name == "inference" else whole.context.span_id for name in inside}
    order = [found[name] for name in ("decode", "queue", "batch", "encode")]
    edges = [whole.start_time, *(time for span in order for time in (span.start_time, span.end_time)), whole.end_time]
    assert edges == sorted(edges)
    assert found["batch"].start_time <= found["inference"].start_time
    assert found["inference"].end_time <= found["batch"].end_time
    assert dict(whole.attributes) == {
        "pairnet.protocol": "rest",
        "pairnet.model": NAME,
        "pairnet.request.id": "r-2",
        "pairnet.pairs": 1,
        "pairnet.result": "ok",
    }
    assert found["batch"].attributes["pairnet.batch.pairs"] == 1


def test_a_refused_request_has_one_span_and_a_request_without_a_trace_begins_one(spans):
    status, answered, found = spans(valid=False)
    assert (status, set(found)) == (400, {"infer"})
    assert found["infer"].parent is None
    assert found["infer"].status.is_unset  # the client is to blame
    assert found["infer"].attributes["pairnet.result"] == "invalid"
    assert f"{found['infer'].context.trace_id:032x}" in answered[b"traceparent"].decode()


def test_a_request_that_is_refused_before_it_is_read_has_a_span_of_its_time(spans):
    status, _, found = spans(headers=[(b"content-type", b"text/plain")])
    assert (status, set(found)) == (415, {"infer"})
    assert 0 <= found["infer"].end_time - found["infer"].start_time < 60e9


def test_what_is_not_sampled_leaves_no_spans(spans):
    sampling = pytest.importorskip("opentelemetry.sdk.trace.sampling")
    unsampled = f"00-{TRACE}-{SPAN}-00"
    _, answered, found = spans(
        headers=[(b"traceparent", unsampled.encode())], sampler=sampling.ParentBased(sampling.ALWAYS_ON)
    )
    assert found == {}
    assert answered[b"traceparent"].decode().startswith(f"00-{TRACE}-")
    assert answered[b"traceparent"].endswith(b"-00")


def test_a_failure_of_the_server_is_an_error_of_its_span(spans, monkeypatch):
    def fail(*given):
        raise ZeroDivisionError

    monkeypatch.setattr("pairnet.serving.server.rest.encode", fail)
    status, _, found = spans()
    assert status == 500
    assert not found["infer"].status.is_ok
    assert not found["infer"].status.is_unset


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "expected OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "expected OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "expected otlp, console or none, got 'zipkin'"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "expected http/protobuf",
        ),
    ],
)
def test_tracing_to_nowhere_is_refused(monkeypatch, variables, message):
    pytest.importorskip("opentelemetry.sdk")
    for name in [name for name in tracing.os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ArgumentError, match=message), tracing.open_tracer():
        pass


def test_spans_reach_the_endpoint_that_is_set(monkeypatch):
    """A whole server with the variables of OpenTelemetry; the endpoint is a socket of this test."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *given):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "digits")
        with running_server("--tracing") as server:
            assert over_rest(server, GOOD)[1].startswith(f"00-{TRACE}-")
            assert over_grpc(server, None)[1] is not None
        collector.shutdown()
    sent = [ExportTraceServiceRequest.FromString(body) for path, body in received if path == "/v1/traces"]
    resources = [each for request in sent for each in request.resource_spans]
    names = [span.name for each in resources for scope in each.scope_spans for span in scope.spans]
    assert names.count("infer") == names.count("batch") == 2
    attributes = {each.key: each.value.string_value for each in resources[0].resource.attributes}
    assert attributes["service.name"] == "digits"
    assert "service.version" in attributes


def test_nothing_of_opentelemetry_is_imported_without_the_option():
    """By the module itself; FastAPI imports the API, not the SDK, where it is installed."""
    shown = "print(sorted(name for name in sys.modules if name.startswith(sys.argv[1])))"
    for imported, unwanted in (("tracing", "opentelemetry"), ("running", "opentelemetry.sdk")):
        code = f"import sys, pairnet.serving.server.{imported}; {shown}"
        done = subprocess.run([sys.executable, "-c", code, unwanted], capture_output=True, text=True)
        assert done.stdout == "[]\n", done.stderr
