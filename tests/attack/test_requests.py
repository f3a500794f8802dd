"""Damaged requests to `pairnet serve`, over REST and gRPC: answered or refused, never an error of the server's own."""

import gzip
import http.client
import json
import os
import random
from contextlib import closing

import grpc
import numpy as np
from damage import damaged, odd_value_somewhere
from running_server import running_server
from tritonclient.grpc import service_pb2

LONG = os.environ.get("PAIRNET_ATTACK") == "long"
ROUNDS = 1500 if LONG else 100  # of seven requests each
MODEL = "order_net_xs"
REFUSALS = {400, 404, 405, 408, 413, 415}
ODD = (
    *(None, True, -1, 0, 256, 1e300, 2**70, "", "\x00", "UINT8", "a" * 5000, [], {}, [[]], {"a": [1]}),
    *([1] * 3000, [[[[1]]]], "binary_data_size", 0.5, "💥", [None], float("nan")),
)
GRPC_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def valid(rng):
    """A request of one to three pairs as JSON values, and the same pairs as bytes."""
    count = rng.randint(1, 3)
    pairs = bytes(rng.randrange(256) for _ in range(16)) * 98 * count
    tensor = {"name": "pair", "datatype": "UINT8", "shape": [count, 2, 28, 28], "data": list(pairs)}
    asked = {"id": "x", "inputs": [tensor], "outputs": [{"name": "probability"}, {"name": "digits"}]}
    return asked, pairs


def rest_requests(rng):
    """Path, headers and bodies of six damaged requests."""
    path, asked, pairs = f"/v2/models/{MODEL}/infer", *valid(rng)
    json_type = {"Content-Type": "application/json"}
    text = json.dumps(asked).encode()
    yield path, json_type, json.dumps(odd_value_somewhere(asked, rng, ODD)).encode()
    yield path, json_type, damaged(text, rng)
    del asked["inputs"][0]["data"]
    asked["inputs"][0]["parameters"] = {"binary_data_size": len(pairs)}
    for head in (json.dumps(asked).encode(), json.dumps(odd_value_somewhere(asked, rng, ODD)).encode()):
        length = rng.choice((len(head), len(head), len(head) - 1, len(head) + 1, 0, -1, 10**12, "x", ""))
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(length)}
        yield path, headers, head + (pairs if rng.random() < 0.5 else damaged(pairs, rng))
    encoding = rng.choice(("gzip", "deflate", "br", "gzip, gzip", ""))
    body = rng.choice((gzip.compress(text), damaged(gzip.compress(text), rng), text))
    yield path, json_type | {"Content-Encoding": encoding}, body
    odd = rng.choice(("/v2/models/none/infer", path.replace("infer", "versions/9/infer"), path + "x", "/v2//infer"))
    yield odd, {"Content-Type": rng.choice(("application/json", "text/plain", "", "*/*;"))}, text


def grpc_request(rng):
    """The bytes of one damaged request."""
    asked, pairs = valid(rng)
    shape = asked["inputs"][0]["shape"]
    request = service_pb2.ModelInferRequest(model_name=MODEL)
    tensor = request.inputs.add(name="pair", datatype="UINT8", shape=shape)
    match rng.randrange(6):
        case 0:
            tensor.contents.uint_contents.extend([rng.choice((0, 255, 256, 2**32 - 1))] * len(pairs))
        case 1:
            tensor.shape[rng.randrange(4)] = rng.choice((0, -1, 2**62, 27))
            request.raw_input_contents.append(pairs)
        case 2:
            tensor.contents.fp32_contents.extend([1.0] * len(pairs))
        case 3:
            request.raw_input_contents.extend([pairs] * rng.randint(0, 3))
            request.parameters["sequence_id"].int64_param = 1
        case _:
            request.raw_input_contents.append(pairs)
            return damaged(request.SerializeToString(), rng)
    return request.SerializeToString()


def test_damaged_requests_are_refused_and_leave_the_server_as_it_was():
    rng = random.Random(7)
    with (
        running_server() as server,
        closing(http.client.HTTPConnection(server.rest, timeout=30)) as connection,
        grpc.insecure_channel(server.grpc) as channel,
    ):
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        statuses, reached, before = set(), 0, None
        for number in range(ROUNDS):
            for path, headers, body in rest_requests(rng):
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                assert answer.status == 200 or answer.status in REFUSALS, (
                    answer.status,
                    content,
                    path,
                    headers,
                    body[:300],
                )
                assert answer.status == 200 or isinstance(json.loads(content)["error"], str)
                statuses.add(answer.status)
                reached += 1
            try:
                infer(grpc_request(rng), timeout=30)
            except grpc.RpcError as error:
                assert error.code() in GRPC_REFUSALS, error  # noqa: PT017
                statuses.add(error.code())
            reached += 1
            if number == min(50, ROUNDS // 2):
                before = server.resident_mb
        assert reached == 7 * ROUNDS
        assert {200, 400, 404, 415, grpc.StatusCode.INVALID_ARGUMENT} <= statuses
        assert server.resident_mb - before < 200
        asked, pairs = valid(rng)
        connection.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(asked), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        assert len(answer["outputs"][0]["data"]) == len(pairs) // 1568
        assert np.isfinite(answer["outputs"][0]["data"]).all()
        assert not any("Traceback" in line for line in server.log), server.log
