"""gRPC health and reflection, asked with the clients of the official packages."""

import asyncio

import grpc
import pytest
import tritonclient.grpc as grpc_client
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from running_server import running_server
from tritonclient.grpc import service_pb2

from pairnet.errors import RequestError
from pairnet.serving.built_in import built_in_model
from pairnet.serving.server.health import INFERENCE, MOST_WATCHERS, Health
from pairnet.serving.server.service import Service

pytest_plugins = ("served",)

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
NAMES = ("", INFERENCE, "grpc.health.v1.Health", "order_net_xs", "final_model-images-fp32")


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.grpc) as opened:
        yield opened


def asked(name):
    return health_pb2.HealthCheckRequest(service=name)


@pytest.mark.parametrize("name", NAMES)
def test_the_server_its_services_and_each_model_are_ready(channel, name):
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(asked(name), timeout=10).status == SERVING
    watching = stub.Watch(asked(name), timeout=10)
    assert next(watching).status == SERVING
    watching.cancel()


def test_an_unknown_name_is_refused_and_can_be_watched(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(asked("none"), timeout=10)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    watching = stub.Watch(asked("none"), timeout=10)
    assert next(watching).status == SERVICE_UNKNOWN
    watching.cancel()


def test_watchers_learn_that_the_server_stops():
    with running_server() as server, grpc.insecure_channel(server.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watching = [stub.Watch(asked(name), timeout=30) for name in ("", "order_net_xs")]
        assert [next(each).status for each in watching] == [SERVING, SERVING]
        server.process.terminate()
        assert [[each.status for each in watch] for watch in watching] == [[NOT_SERVING], [NOT_SERVING]]
        assert server.process.wait(20) == 0


class Models(dict):
    """Stands for a registry: states by name, and what is told of them."""

    def states(self):
        return self

    def watch(self, callback):
        self.callback = callback

    def tell(self, name, state):
        self[name] = state
        self.callback(name, state)


def test_the_state_of_a_model_follows_the_registry():
    async def check():
        models = Models(here="READY")
        service = Service(models=models)
        health = Health(service)
        watching = health.watch(asked("coming"))
        seen = [(await anext(watching)).status]
        for state in ("LOADING", "READY", "UNAVAILABLE", "READY"):
            models.tell("coming", state)
            seen.append((await asyncio.wait_for(anext(watching), 5)).status)
        assert seen == [SERVICE_UNKNOWN, NOT_SERVING, SERVING, NOT_SERVING, SERVING]
        models.tell("here", "UNAVAILABLE")
        assert health.check(asked("here")).status == NOT_SERVING
        assert health.check(asked("")).status == SERVING
        service.stops = True
        assert {health.check(asked(name)).status for name in ("", INFERENCE, "coming")} == {NOT_SERVING}

    asyncio.run(check())


def test_a_watcher_that_leaves_does_not_disturb_others_and_their_number_is_bounded():
    async def check():
        models = Models(here="READY")
        health = Health(Service(models=models))
        watching = [health.watch(asked("here")) for _ in range(MOST_WATCHERS)]
        for each in watching:
            await anext(each)
        with pytest.raises(RequestError, match="at most 256"):
            await anext(health.watch(asked("here")))
        await watching[0].aclose()
        models.tell("here", "LOADING")
        assert (await asyncio.wait_for(anext(watching[1]), 5)).status == NOT_SERVING
        await anext(health.watch(asked("here")))

    asyncio.run(check())


def test_a_model_that_is_unloaded_and_loaded_is_followed(tmp_path):
    copied = tmp_path / "coming" / "1" / "model.onnx"
    copied.parent.mkdir(parents=True)
    with (
        running_server(built_in_model(), "--models", tmp_path, "--control", check=False) as server,
        grpc.insecure_channel(server.grpc) as channel,
        grpc_client.InferenceServerClient(server.grpc) as client,
    ):
        watching = health_pb2_grpc.HealthStub(channel).Watch(asked("coming"), timeout=60)
        assert next(watching).status in (SERVICE_UNKNOWN, NOT_SERVING)
        copied.write_bytes(built_in_model().read_bytes())
        client.load_model("coming")
        while next(watching).status != SERVING:
            pass
        client.unload_model("coming")
        assert next(watching).status == NOT_SERVING
        watching.cancel()


def test_reflection_describes_the_services(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    names = {INFERENCE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert set(database.get_services()) == names
    pool = DescriptorPool(database)
    service = pool.FindServiceByName(INFERENCE)
    expected = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert [each.name for each in service.methods] == [each.name for each in expected.methods]
    fields = pool.FindMessageTypeByName("inference.ModelInferRequest").fields_by_name
    assert set(fields) == set(service_pb2.ModelInferRequest.DESCRIPTOR.fields_by_name)
    with pytest.raises(KeyError):
        pool.FindMessageTypeByName("inference.None")
