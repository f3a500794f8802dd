"""NVIDIA's clients, unmodified, get the predictor's numbers: HTTP and gRPC, synchronous and asynchronous, all modes."""

import asyncio
import queue
import time
from itertools import product

import grpc
import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_client
import tritonclient.http.aio as http_aio
from google.protobuf import json_format
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from pairnet.data.pairs import pool_and_normalise
from pairnet.serving.predictor import Predictor

pytest_plugins = ("served",)

SIZES = (1, 3, 40, 200)  # one pair, inline, in a thread, more than --max-batch


@pytest.fixture(scope="module")
def cases(served_files, digits5k):
    """Name of a model, pairs as it takes them, and the predictor's outputs for them: each model with each size."""
    pixels = digits5k.test.pixels
    pairs = np.stack((pixels[::9][:200], pixels[5::9][:200]), axis=1)  # [200,2,28,28]
    found = []
    for path in served_files:
        with Predictor(path) as predictor:
            given = pairs
            if predictor.input_kind == "pairs":
                given = pool_and_normalise(pairs, predictor.metadata.moments)
            name = path.name.removesuffix(".onnx")
            found += [(name, given[:size], predictor.outputs(given[:size])) for size in SIZES]
    return found


def tensor(module, pairs, **how):
    """The input of a request; `how` goes to set_data_from_numpy of the HTTP client."""
    made = module.InferInput("pair", list(pairs.shape), "UINT8" if pairs.dtype == np.uint8 else "FP32")
    made.set_data_from_numpy(pairs, **how)
    return made


def assert_same(result, expected, names=None):
    """The outputs `names`, all by default, are there and equal the predictor's bit for bit; others are not."""
    for name, values in expected.items():
        found = result.as_numpy(name)
        if names is not None and name not in names:
            assert found is None
            continue
        assert found.dtype == np.float32
        assert found.shape == values.shape
        assert (found == values).all()


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_http_json_and_binary(server, cases, binary_in, binary_out):
    with http_client.InferenceServerClient(server.rest) as client:
        for name, pairs, expected in cases:
            if not binary_in and len(pairs) > 40:
                continue
            given = tensor(http_client, pairs, binary_data=binary_in)
            for names in (list(expected), ["probability"]) if binary_out is not None else (None,):
                outputs = names and [http_client.InferRequestedOutput(each, binary_data=binary_out) for each in names]
                result = client.infer(name, [given], outputs=outputs, request_id="a7")
                assert_same(result, expected, names)
                assert result.get_response()["id"] == "a7"
                assert result.get_response()["model_name"] == name
                assert result.get_response()["model_version"] == "1"


@pytest.mark.parametrize(("sent", "received"), [*product(("gzip", "deflate", None), repeat=2)])
def test_http_compression(server, cases, sent, received):
    with http_client.InferenceServerClient(server.rest) as client:
        for name, pairs, expected in cases:
            result = client.infer(
                name,
                [tensor(http_client, pairs)],
                model_version="1",
                request_compression_algorithm=sent,
                response_compression_algorithm=received,
            )
            assert_same(result, expected)


@pytest.mark.parametrize(("module", "protocol"), [(http_aio, "rest"), (grpc_aio, "grpc")])
def test_with_asyncio(module, protocol, server, cases):
    async def check():
        async with module.InferenceServerClient(getattr(server, protocol)) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            results = await asyncio.gather(
                *(client.infer(name, [tensor(module, pairs)]) for name, pairs, _ in cases for _ in range(3))
            )
            for number, result in enumerate(results):
                assert_same(result, cases[number // 3][2])

    asyncio.run(check())


@pytest.mark.parametrize("compression", ["gzip", "deflate", None])
def test_grpc(server, cases, compression):
    with grpc_client.InferenceServerClient(server.grpc) as client:
        for name, pairs, expected in cases:
            for names in (None, ["probability"]):
                outputs = names and [grpc_client.InferRequestedOutput(each) for each in names]
                result = client.infer(
                    name,
                    [tensor(grpc_client, pairs)],
                    model_version="1",
                    outputs=outputs,
                    request_id="b8",
                    compression_algorithm=compression,
                )
                assert_same(result, expected, names)
                assert result.get_response().id == "b8"


def test_grpc_stream(server, cases):
    answers = queue.Queue()
    with grpc_client.InferenceServerClient(server.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for name, pairs, _ in cases:
            client.async_stream_infer(name, [tensor(grpc_client, pairs)], request_id=name)
        client.async_stream_infer("nothing", [tensor(grpc_client, cases[0][1])])
        client.async_stream_infer(cases[0][0], [tensor(grpc_client, cases[0][1])])
        for name, _, expected in cases:
            result, error = answers.get(timeout=30)
            assert error is None
            assert result.get_response().id == name
            assert_same(result, expected)
        assert "expected a model among" in str(answers.get(timeout=30)[1])
        assert_same(answers.get(timeout=30)[0], cases[0][2])  # an error does not end the stream
        client.stop_stream()


def test_grpc_stream_with_asyncio(server, cases):
    async def requests():
        for name, pairs, _ in cases:
            yield {"model_name": name, "inputs": [tensor(grpc_aio, pairs)]}

    async def check():
        async with grpc_aio.InferenceServerClient(server.grpc) as client:
            results = [each async for each in client.stream_infer(requests())]
        for (result, error), (_, _, expected) in zip(results, cases, strict=True):
            assert error is None
            assert_same(result, expected)

    asyncio.run(check())


def test_grpc_typed_contents(server, cases):
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for name, pairs, expected in cases:
            request = service_pb2.ModelInferRequest(model_name=name)
            given = request.inputs.add(name="pair", datatype="UINT8", shape=pairs.shape)
            if pairs.dtype == np.uint8:
                given.contents.uint_contents.extend(pairs.ravel().tolist())
            else:
                given.datatype = "FP32"
                given.contents.fp32_contents.extend(pairs.ravel().tolist())
            answer = stub.ModelInfer(request)
            found = np.frombuffer(answer.raw_output_contents[0], "<f4")
            assert (found == expected["probability"]).all()


def clients(server):
    return http_client.InferenceServerClient(server.rest), grpc_client.InferenceServerClient(server.grpc, verbose=False)


def plain(answer):
    """A protobuf message as the JSON that REST returns."""
    if isinstance(answer, list | dict):
        return answer
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def test_health_and_metadata_are_the_same_over_both(server, cases):
    names = {name for name, _, _ in cases}
    for client in clients(server):
        with client:
            assert client.is_server_live()
            assert client.is_server_ready()
            about = plain(client.get_server_metadata())
            assert about["name"] == "pairnet"
            assert "binary_tensor_data" in about["extensions"]
            index = plain(client.get_model_repository_index())
            assert {model["name"] for model in (index if isinstance(index, list) else index["models"])} == names
            for name, version in product(names, ("", "1")):
                assert client.is_model_ready(name, version)
                about = plain(client.get_model_metadata(name, version))
                assert [port["name"] for port in about["inputs"]] == ["pair"]
                assert [int(size) for size in about["inputs"][0]["shape"]][:2] == [-1, 2]
                config = plain(client.get_model_config(name, version))
                config = config.get("config", config)
                assert config["max_batch_size"] == 32768
                assert config["input"][0]["name"] == "pair"
                assert config["dynamic_batching"]["preferred_batch_size"] == [64]
            for name, version in (("none", ""), (next(iter(names)), "2")):
                assert not client.is_model_ready(name, version)
                for call in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
                    with pytest.raises(InferenceServerException, match="expected"):
                        call(name, version)


def test_statistics_count_requests_pairs_and_batches(server, cases):
    name, pairs, _ = cases[2]
    for client, module in zip(clients(server), (http_client, grpc_client), strict=True):
        with client:
            before = plain(client.get_inference_statistics(name))["model_stats"][0]
            client.infer(name, [tensor(module, pairs)])
            after = plain(client.get_inference_statistics(name))["model_stats"][0]
            assert int(after["inference_count"]) - int(before["inference_count"]) == len(pairs)
            assert int(after["execution_count"]) - int(before["execution_count"]) == 1
            assert 0 < int(after["last_inference"]) / 1000 - time.time() + 60 < 60
            parts = {name: int(each["ns"]) for name, each in after["inference_stats"].items() if "ns" in each}
            assert parts["success"] >= parts["queue"] + parts["compute_infer"] > parts["queue"] > 0
            success = [int(each["inference_stats"]["success"]["count"]) for each in (before, after)]
            assert success[1] - success[0] == 1
            total = plain(client.get_inference_statistics())["model_stats"]
            assert {each["name"] for each in total} == {each for each, _, _ in cases}
