"""Large requests and answers: in pieces and in a thread, with the same result; and what the metrics say about them."""

import asyncio
import json
import re
import threading
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import grpc
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_server import running_server
from tritonclient.grpc import service_pb2

from pairnet.errors import RequestError
from pairnet.serving.built_in import built_in_model
from pairnet.serving.joint import MOST_PAIRS
from pairnet.serving.server import rest, rest_format, rpc
from pairnet.serving.server.protocol import PIECE
from pairnet.serving.server.registry import open_models
from pairnet.serving.server.service import LARGE_ANSWER, Service

NAME = "order_net_xs"
UINT8, FLOAT32 = (SimpleNamespace(name="pair", dtype=dtype) for dtype in ("uint8", "float32"))
VALUES = st.integers(0, 255) | st.integers() | st.floats(width=32, allow_nan=False, allow_infinity=False)
NESTED = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=4), max_leaves=30)
SPACES = st.sampled_from(["", " ", "\n\t "])


def result(port, shape, text, length, monkeypatch):
    """The values in a JSON array that is decoded in pieces of `length`, or whether it was refused."""
    monkeypatch.setattr(rest_format, "LONG_TEXT", length)
    pieces = rest_format._pieces
    monkeypatch.setattr(rest_format, "_pieces", lambda text, between: pieces(text, between, length))
    try:
        return rest_format._from_json(port, shape, text).tobytes()
    except RequestError:
        return None
    finally:
        monkeypatch.undo()


@pytest.mark.parametrize("port", [UINT8, FLOAT32])
@given(values=st.lists(NESTED, max_size=12), length=st.integers(1, 40), space=SPACES)
def test_any_array_in_pieces_is_read_as_the_whole(port, values, length, space):
    text = json.dumps(values, separators=(f"{space},{space}", ":")).encode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        for shape in ((len(values),), np.shape(values) if _is_regular(values) else (1, 2, 3, 4)):
            whole = result(port, shape, text, 10**9, monkeypatch)
            assert result(port, shape, text, length, monkeypatch) == whole


@pytest.mark.parametrize("port", [UINT8, FLOAT32])
@given(
    pairs=st.integers(1, 6),
    length=st.integers(1, 200),
    space=SPACES,
    damage=st.integers(0, 400),
    by=st.binary(max_size=3),
)
def test_pairs_in_pieces_are_read_as_the_whole(port, pairs, length, space, damage, by):
    shape = (pairs, 2, 2, 3)
    given_ = np.arange(12 * pairs, dtype=np.uint8).reshape(shape)
    for values in (given_, given_.ravel()):
        text = json.dumps(values.tolist(), separators=(f"{space},{space}", ":")).encode()
        with pytest.MonkeyPatch.context() as monkeypatch:
            assert result(port, shape, text, length, monkeypatch) == given_.astype(port.dtype).tobytes()
            damaged = text[:damage] + by + text[damage:]
            try:
                msgspec.json.decode(damaged)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # the body that contains it is refused as a whole
            whole = result(port, shape, damaged, 10**9, monkeypatch)
            assert result(port, shape, damaged, length, monkeypatch) == whole


def _is_regular(values):
    try:
        return np.asarray(values).ndim == 4
    except ValueError:
        return False


@given(st.integers(0, 3 * PIECE), st.integers(0, 2**32 - 1))
def test_an_answer_in_pieces_is_written_as_the_whole(count, seed):
    values = np.random.default_rng(seed).random(count, np.float32)
    assert rest_format._as_json(values) == msgspec.json.encode(values.tolist())


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("pairs", [1, LARGE_ANSWER + 1])
def test_large_requests_and_answers_leave_the_event_loop_free(protocol, pairs, monkeypatch):
    """A thread reads them, and writes JSON; protobuf's bytes are fast. The latency ends with the encoding."""
    used, slow = {}, 0.05
    module, encode = (rest, "encode") if protocol == "rest" else (rpc, "fill")
    for name in ("parse", encode):
        call = getattr(module, name)

        def watched(*given, name=name, call=call):
            used[name] = threading.current_thread()
            if name == encode:
                time.sleep(slow)
            return call(*given)

        monkeypatch.setattr(module, name, watched)

    async def run():
        with open_models([built_in_model()], provider="cpu") as models:
            service = Service(models=models)
            if protocol == "rest":
                await over_rest(rest.Inference(service), pairs)
            else:
                await over_grpc(rpc.Calls(service), pairs)
            return models[NAME].statistics

    counted = asyncio.run(run())
    is_loop = {name: thread is threading.current_thread() for name, thread in used.items()}
    assert is_loop == {"parse": pairs == 1, encode: pairs == 1 or protocol == "grpc"}
    assert counted.answered[protocol] == 1
    assert counted.encode_ns >= slow * 1e9
    assert counted.total_ns >= counted.encode_ns + counted.compute_ns + counted.queue_ns + counted.decode_ns
    assert sum(counted.latencies[:6]) == 0  # none took less than 20 ms


async def over_rest(inference, pairs):
    tensor = {"name": "pair", "datatype": "UINT8", "shape": [pairs, 2, 28, 28], "data": [0] * (pairs * 1568)}
    body, sent = json.dumps({"inputs": [tensor]}).encode(), []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(part):
        sent.append(part)

    await inference({"headers": [], "path_params": {"name": NAME}}, receive, send)
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"])["outputs"][0]["shape"] == [pairs]


async def over_grpc(calls, pairs):
    request = service_pb2.ModelInferRequest(model_name=NAME)
    given_ = request.inputs.add(name="pair", datatype="UINT8", shape=[pairs, 2, 28, 28])
    given_.contents.uint_contents.extend([0] * (pairs * 1568))
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(calls.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answer = service_pb2.ModelInferResponse.FromString(await call(request.SerializeToString()))
    await server.stop(None)
    assert list(answer.outputs[0].shape) == [pairs]


def test_the_server_answers_others_while_it_reads_and_writes_the_largest_json():
    """The bound is generous: nested JSON of 16 MB held the loop for most of a second, an answer of 13 MB for 0.3 s."""
    with running_server() as server:
        url, done = f"http://{server.rest}/v2", threading.Event()
        nested = np.zeros((2500, 2, 28, 28), np.uint8).tolist()
        tensor = {"name": "pair", "datatype": "UINT8"}
        large = json.dumps({"inputs": [tensor | {"shape": [2500, 2, 28, 28], "data": nested}]}).encode()
        head = {
            "inputs": [
                tensor | {"shape": [MOST_PAIRS, 2, 28, 28], "parameters": {"binary_data_size": MOST_PAIRS * 1568}}
            ]
        }
        many = json.dumps(head).encode()
        json_headers = {"Content-Type": "application/json"}
        binary_headers = {"Inference-Header-Content-Length": str(len(many)), "Accept-Encoding": "gzip"}
        binary_headers |= {"Content-Type": "application/octet-stream"}

        def send():
            for body, headers in ((large, json_headers), (many + bytes(MOST_PAIRS * 1568), binary_headers)):
                urllib.request.urlopen(urllib.request.Request(f"{url}/models/{NAME}/infer", body, headers)).close()
            done.set()

        thread = threading.Thread(target=send)
        thread.start()
        longest = 0.0
        while not done.is_set():
            began = time.perf_counter()
            urllib.request.urlopen(f"{url}/health/live").close()
            longest = max(longest, time.perf_counter() - began)
        thread.join()
    assert longest < 1


def test_no_label_comes_from_a_client():
    with running_server() as server:
        for number in range(20):
            for path in (
                f"v2/models/name-{number}/infer",
                f"path-{number}",
                f"v2/models/{NAME}/versions/{number}7/infer",
            ):
                asked = urllib.request.Request(
                    f"http://{server.rest}/{path}", json.dumps({"id": f"id-{number}"}).encode()
                )
                asked.add_header("Content-Type", "application/json")
                with pytest.raises(urllib.error.HTTPError) as error:
                    urllib.request.urlopen(asked)
                error.value.close()
        with urllib.request.urlopen(f"http://{server.rest}/metrics") as answer:
            labels = set(re.findall(r'(\w+)="([^"]*)"', answer.read().decode()))
    assert {value for name, value in labels if name == "model"} == {NAME, ""}
    assert {name for name, _ in labels} == {"model", "protocol", "kind", "le", "result", "version", "digest"}
    assert {value for name, value in labels if name == "kind"} == {"unknown"}
