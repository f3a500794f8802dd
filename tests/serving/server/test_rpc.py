"""What gRPC refuses, with which code and words; calls that are cancelled."""

import asyncio
import gzip

import grpc
import pytest
from tritonclient.grpc import service_pb2

from pairnet.errors import RequestError
from pairnet.serving.built_in import built_in_model
from pairnet.serving.server.origin import Origin
from pairnet.serving.server.registry import open_models
from pairnet.serving.server.rpc import Calls
from pairnet.serving.server.service import Service

pytest_plugins = ("served",)

PAIR = bytes(2 * 28 * 28)
INVALID, UNKNOWN = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.fixture
def call(server):
    """Calls a method with a message or bytes -> the bytes of the answer; raises grpc.RpcError."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc, options) as channel:

        def call(method, message=b""):
            content = message if isinstance(message, bytes) else message.SerializeToString()
            return channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(content, timeout=60)

        yield call


def request(model="order_net_xs", shape=(1, 2, 28, 28), datatype="UINT8", name="pair", raw=(PAIR,), version=""):
    made = service_pb2.ModelInferRequest(model_name=model, model_version=version, raw_input_contents=raw)
    made.inputs.add(name=name, datatype=datatype, shape=shape)
    return made


def typed(**contents):
    made = request(raw=())
    for name, values in contents.items():
        getattr(made.inputs[0].contents, name).extend(values)
    return made


def changed(change):
    made = request()
    change(made)
    return made


REFUSED = [
    (request(model="none"), UNKNOWN, "expected a model among"),
    (request(version="2"), UNKNOWN, "expected version 1"),
    (request(name="x"), INVALID, "expected the input pair"),
    (request(datatype="FP32"), INVALID, "expected the datatype UINT8"),
    (request(shape=(1, 2, 27, 28)), INVALID, "expected the shape"),
    (request(shape=()), INVALID, "expected the shape"),
    (request(shape=(2, 2, 28, 28)), INVALID, "expected 3,136 bytes"),
    (request(shape=(2**40, 2, 28, 28)), grpc.StatusCode.RESOURCE_EXHAUSTED, "at most 32,768 pairs"),
    (request(raw=(PAIR[:-1],)), INVALID, "got 1,567"),
    (request(raw=()), INVALID, "either raw or typed contents, got 0 raw and 0 typed"),
    (request(raw=(PAIR, PAIR)), INVALID, "got 2 raw"),
    (typed(uint_contents=[256] * 1568), INVALID, "values from 0 to 255, got 256"),
    (typed(uint_contents=[1] * 1567), INVALID, "got 1,567"),
    (typed(fp32_contents=[1] * 1568), INVALID, "expected uint_contents, got fp32_contents"),
    (
        typed(uint_contents=[1] * 1568, bytes_contents=[b""]),
        INVALID,
        "expected uint_contents, got uint_contents, bytes_contents",
    ),
    (changed(lambda made: made.inputs.add(name="pair")), INVALID, "expected one input"),
    (changed(lambda made: made.outputs.add(name="none")), INVALID, "expected outputs among"),
    (changed(lambda made: made.outputs.add(name="digits").parameters["classification"]), INVALID, "classification"),
    (changed(lambda made: made.parameters["sequence_id"]), INVALID, "sequence_id"),
    (b"\xff\xff\xff", INVALID, "expected a ModelInferRequest in protobuf"),
    (request(shape=(11_000, 2, 28, 28), raw=(bytes(11_000 * 1568),)), grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
]


METHODS = ["ServerLive", "ServerMetadata", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex"]
OTHERS = ["SystemSharedMemoryStatus", "Nothing"]
CONTROL = ["RepositoryModelLoad", "RepositoryModelUnload"]
CASES = [
    *(("ModelInfer", *each) for each in REFUSED),
    *((method, b"\xff\xff\xff", INVALID, "in protobuf") for method in METHODS),
    *((method, b"", grpc.StatusCode.UNIMPLEMENTED, "") for method in OTHERS),  # of extensions that are not offered
    *((method, b"", grpc.StatusCode.PERMISSION_DENIED, "`--control`") for method in CONTROL),
]


@pytest.mark.parametrize(("method", "message", "code", "text"), CASES, ids=range(len(CASES)))
def test_a_call_that_does_not_fit_is_refused(call, method, message, code, text):
    with pytest.raises(grpc.RpcError) as caught:
        call(method, message)
    assert caught.value.code() == code
    assert text in caught.value.details()


def test_a_large_message_within_the_limits_is_answered(call):
    count = 5000  # 7.5 MiB, more than gRPC's own default
    answer = service_pb2.ModelInferResponse.FromString(
        call("ModelInfer", request(shape=(count, 2, 28, 28), raw=(bytes(count * 1568),)))
    )
    assert len(answer.raw_output_contents[0]) == 4 * count


def test_a_cancelled_call_does_not_disturb_others(server):
    with grpc.insecure_channel(server.grpc) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        large = request("final_model-images-fp32", (2000, 2, 28, 28), raw=(bytes(2000 * 1568),)).SerializeToString()
        one = request("final_model-images-fp32").SerializeToString()
        calls = [infer.future(large if number % 3 == 0 else one, timeout=60) for number in range(12)]
        for number, each in enumerate(calls):
            if number % 3 == 1:
                each.cancel()
        for number, each in enumerate(calls):
            if number % 3 != 1:
                assert service_pb2.ModelInferResponse.FromString(each.result()).model_version == "1"


def test_a_timeout_that_passes_in_the_queue_is_told(server):
    slow = request("final_model-images-fp32", (3000, 2, 28, 28), raw=(bytes(3000 * 1568),)).SerializeToString()
    hasty = request("final_model-images-fp32")
    hasty.parameters["timeout"].int64_param = 1000  # microseconds
    with grpc.insecure_channel(server.grpc) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        running = [infer.future(slow, timeout=60) for _ in range(2)]
        codes = {infer.future(hasty.SerializeToString(), timeout=60).code() for _ in range(20)}
        assert grpc.StatusCode.DEADLINE_EXCEEDED in codes
        assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED}
        for each in running:
            each.result()


def test_many_large_calls_are_refused_instead_of_kept(server):
    """The bytes that are held are given back: afterwards everything is as before."""
    large = request(shape=(10_000, 2, 28, 28), raw=(bytes(10_000 * 1568),)).SerializeToString()
    with grpc.insecure_channel(server.grpc, [("grpc.max_send_message_length", -1)]) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for _ in range(3):
            codes = [each.code() for each in [infer.future(large, timeout=60) for _ in range(8)]]
            assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
            assert grpc.StatusCode.OK in codes
        for _ in range(20):
            infer(large, timeout=60)


def test_whatever_becomes_of_a_call_its_bytes_are_given_back():
    """Also after refusals and cancellations: what leaks here would some day refuse everybody."""

    async def answer(calls, content):
        made = service_pb2.ModelInferResponse()
        return await calls._answer(Origin("grpc"), [content], made, made, None)

    async def run(service):
        calls = Calls(service)
        good = request().SerializeToString()
        assert await answer(calls, good)
        assert await answer(calls, gzip.compress(good))
        refused = [each for each, *_ in REFUSED[:-1]] + [gzip.compress(good)[:-9]]
        for each in refused:
            with pytest.raises(RequestError):
                await answer(calls, each if isinstance(each, bytes) else each.SerializeToString())
            assert service.account.held == 0
        large = request(shape=(9000, 2, 28, 28), raw=(bytes(9000 * 1568),)).SerializeToString()
        for content in (large, gzip.compress(large)):
            for turns in (1, 3):
                task = asyncio.ensure_future(answer(calls, content))
                for _ in range(turns):
                    await asyncio.sleep(0)
                assert service.account.held > 1000
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert service.account.held == 0
        service.account.bound = 1000
        with pytest.raises(RequestError, match="too many large requests"):
            await answer(calls, good)
        assert service.account.held == 0

    with open_models([built_in_model()]) as models:
        asyncio.run(run(Service(models=models)))
