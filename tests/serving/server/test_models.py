"""Models that come and go: which files are loaded, which are refused, and what requests get meanwhile."""

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import weakref
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client
from google.protobuf import json_format
from model_folders import digest_of, drop, put, with_metadata
from running_server import running_server
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException
from typer.testing import CliRunner

from pairnet.cli import app
from pairnet.errors import ArgumentError, ClosedError, ModelError, RequestError
from pairnet.serving.built_in import NAME, built_in_model
from pairnet.serving.predictor import Predictor
from pairnet.serving.server import accuracy, control, loading, origin, running
from pairnet.serving.server.metrics import Metrics
from pairnet.serving.server.registry import open_models
from pairnet.serving.server.service import Service

pytest_plugins = ("trained_runs",)

PAIRS = np.random.default_rng(0).integers(0, 256, (3, 2, 28, 28), np.uint8)


def plain(answer):
    return answer if isinstance(answer, dict | list) else json_format.MessageToDict(answer)


def entries(client):
    """The index by name and version: state and reason."""
    index = plain(client.get_model_repository_index())
    index = index if isinstance(index, list) else index.get("models", [])
    return {(each["name"], each.get("version", "")): (each["state"], each.get("reason", "")) for each in index}


def asked(module, client, version=""):
    """Version, digest and probabilities of an answer."""
    given = module.InferInput("pair", list(PAIRS.shape), "UINT8")
    given.set_data_from_numpy(PAIRS)
    result = client.infer("a", [given], model_version=version)
    response = plain(result.get_response())
    names = ("model_name", "model_version") if "model_name" in response else ("modelName", "modelVersion")
    digest = response["parameters"]["digest"]
    assert response[names[0]] == "a"
    return (
        response[names[1]],
        digest if isinstance(digest, str) else digest["stringParam"],
        result.as_numpy("probability").tolist(),
    )


def expected(version, file):
    """The same, of the predictor of a file."""
    with Predictor(file) as predictor:
        return str(version), digest_of(file), predictor.probability(PAIRS).tolist()


@pytest.fixture(scope="module")
def controlled(seeds, tmp_path_factory):
    """A server with --control, and its folder of models."""
    folder = tmp_path_factory.mktemp("models")
    put(folder, "a", 1, seeds(1))
    with running_server("--models", folder, "--control") as server:
        yield server, folder


@pytest.mark.parametrize(("module", "protocol"), [(http_client, "rest"), (grpc_client, "grpc")])
def test_nvidia_s_clients_load_and_unload(controlled, seeds, module, protocol):
    (server, folder), one, two = controlled, seeds(1), seeds(2)
    with module.InferenceServerClient(getattr(server, protocol)) as client:
        assert entries(client) == {("a", "1"): ("READY", "")}
        assert asked(module, client) == asked(module, client, "1") == expected(1, one)
        put(folder, "a", 12, two)
        assert asked(module, client) == expected(1, one)
        client.load_model("a")
        assert asked(module, client) == asked(module, client, "12") == expected(12, two)
        assert asked(module, client, "1") == expected(1, one)
        assert plain(client.get_model_metadata("a"))["versions"] == ["1", "12"]
        config = plain(client.get_model_config("a"))
        facts = config.get("config", config)["parameters"]
        assert facts["digest"] in ({"string_value": digest_of(two)}, {"stringValue": digest_of(two)})
        assert "measured again" in json.dumps(facts["accuracy"])
        drop(folder, "a", 12)
        client.load_model("a")
        assert asked(module, client) == expected(1, one)
        assert not client.is_model_ready("a", "12")
        with pytest.raises(InferenceServerException, match="expected version 1, got '12'"):
            asked(module, client, "12")
        client.unload_model("a")
        assert not client.is_model_ready("a")
        assert not client.is_server_ready()  # it has no other model
        assert entries(client) == {("a", ""): ("UNAVAILABLE", "unloaded")}
        with pytest.raises(InferenceServerException, match="this one was unloaded"):
            asked(module, client)
        client.load_model("a")
        assert client.is_model_ready("a")
        for options in ({"config": "{}"}, {"config": "{}", "files": {"file:1/model.onnx": b"eA=="}}):
            if protocol == "rest" and "files" in options:
                continue  # tritonclient itself fails: it puts bytes into JSON
            with pytest.raises(InferenceServerException, match="expected no parameter"):
                client.load_model("a", **options)
        for name in ("none", "..", "a/../a", "stats"):
            with pytest.raises(InferenceServerException):
                client.load_model(name)
        assert asked(module, client) == expected(1, one)


def test_the_index_can_be_of_ready_models_only(controlled):
    server, _ = controlled
    for body, count in (("", 1), ("{}", 1), ('{"ready": true}', 1), ('{"ready": 7}', None), ("[", None)):
        status, answer = post(server, "/v2/repository/index", body)
        assert (status, isinstance(answer, list)) == ((200, True) if count else (400, False))


def post(server, path, body="", **headers):
    request = urllib.request.Request(f"http://{server.rest}{path}", body.encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
            return answer.status, json.loads(content) if content else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_a_proxy_and_a_web_page_do_not_control_the_server(controlled):
    server, server_folder = controlled
    forwarded = (
        "X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Server X-Forwarded X-Original-Forwarded-For"
    )
    others = "Origin Forwarded Via Sec-Fetch-Site CF-Connecting-IP True-Client-IP X-Envoy-External-Address X-Real-IP"
    for header in (*forwarded.split(), *others.split()):
        status, answer = post(server, "/v2/repository/models/a/unload", **{header: "x"})
        assert (status, header.lower() in answer["error"]) == (403, True)
    with running_server("--models", server_folder, "--control", "--allowed-host", "digits.example.org") as proxied:
        for host, expected in (("digits.example.org", 403), ("localhost:8080", 200), ("[::1]:80", 200)):
            assert post(proxied, "/v2/repository/models/a/load", Host=host)[0] == expected
    with grpc.insecure_channel(server.grpc) as channel:
        unload = channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelUnload")
        message = service_pb2.RepositoryModelUnloadRequest(model_name="a").SerializeToString()
        with pytest.raises(grpc.RpcError) as caught:
            unload(message, metadata=[("x-forwarded-for", "10.0.0.1")])
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert post(server, "/v2/repository/models/a/unload", "x" * 100_000)[0] == 413
    assert post(server, "/v2/repository/models/a/unload", '{"parameters": {"file:1/model.onnx": ""}}')[0] == 400
    assert urllib.request.urlopen(f"http://{server.rest}/v2/models/a/ready").status == 200


@pytest.mark.parametrize(
    ("allowed", "client", "refused"),
    [
        ("", "127.0.0.1", True),
        ("loopback", "127.0.0.1", False),
        ("loopback", "127.1.2.3", False),
        ("loopback", "::1", False),
        ("loopback", "::ffff:127.0.0.1", False),
        ("loopback", "10.0.0.1", True),
        ("loopback", "::ffff:10.0.0.1", True),
        ("loopback", "", True),
        ("loopback", "localhost", True),
        ("anywhere", "10.0.0.1", False),
    ],
)
def test_who_may_control_the_server(allowed, client, refused):
    calls = []

    async def load(name):
        calls.append(name)

    service = SimpleNamespace(control=allowed, stops=False, models=SimpleNamespace(load=load))
    change = control.change(service, "load", "a", client=client, headers=[], parameters=[])
    if refused:
        with pytest.raises(RequestError, match="--control") as caught:
            asyncio.run(change)
        assert caught.value.kind == "forbidden"
    else:
        asyncio.run(change)
    assert calls == ([] if refused else ["a"])


def test_the_address_in_grpc_s_name_of_a_client():
    assert origin.peer_address("ipv4:127.0.0.1:5000") == "127.0.0.1"
    assert origin.peer_address("ipv6:%5B::1%5D:5000") == "::1"
    assert origin.peer_address("ipv6:[::1]:5000") == "::1"
    assert not control._is_loopback(origin.peer_address("unix:/run/socket"))


def whole(model, request, outputs):
    """What a request gets, before it is encoded."""
    return model, request, outputs


async def answer(registry, name="a", version=""):
    """Version, digest and probabilities, as a request gets them."""
    service = Service(models=registry)
    request = SimpleNamespace(pairs=PAIRS, expires_ns=0, outputs=(), binary=())
    model, _, outputs = await service.infer(origin.Origin("rest"), name, version, lambda _: request, whole)
    return model.version, model.digest, outputs["probability"].tolist()


@contextmanager
def opened(folder, **options):
    with open_models([], folder=folder, **options) as registry:
        yield registry


def halves(file):
    content = file.read_bytes()
    return {
        "half": content[: len(content) // 2],
        "last byte": content[:-1],
        "empty": b"",
        "weights": content.replace(content[4000:4008], bytes(8), 1),
        "accuracy": with_metadata(file, test_accuracy="0.999"),
        "text": b"no model",
    }


@pytest.mark.parametrize("what", ["half", "last byte", "empty", "weights", "accuracy", "text"])
def test_a_damaged_file_is_not_loaded_and_changes_nothing(what, seeds, tmp_path):
    """Neither when it is a new version, nor in place of the old one, nor at the start."""
    put(tmp_path, "a", 1, seeds(1))
    damaged = halves(seeds(2))[what]

    async def check():
        with opened(tmp_path) as registry:
            before = registry["a"]
            for version in (2, 1):
                kept = put(tmp_path, "a", version, seeds(1)).read_bytes()
                put(tmp_path, "a", version, damaged)
                with pytest.raises(RequestError, match=rf"a/{version}/model.onnx: ") as caught:
                    await registry.load("a")
                assert caught.value.kind == "invalid"
                assert registry["a"] is before
                assert await answer(registry) == expected(1, seeds(1))
                index = {each["version"]: (each["state"], each["reason"]) for each in registry.index()}
                assert index[str(version)][0] == ("READY" if version == 1 else "UNAVAILABLE")
                assert f"a/{version}/model.onnx: expected" in index[str(version)][1]
                put(tmp_path, "a", version, kept)
            await registry.load("a")
            assert await answer(registry) == expected(2, seeds(1))
            assert {each["reason"] for each in registry.index()} == {""}

    asyncio.run(check())
    put(tmp_path, "a", 2, damaged)
    with opened(tmp_path) as registry:
        assert registry.versions("a") == ["1"]
        assert [each["state"] for each in registry.index()] == ["READY", "UNAVAILABLE"]


def test_a_file_that_changes_while_it_is_read_is_not_loaded(seeds, tmp_path, monkeypatch):
    path = put(tmp_path, "a", 1, seeds(1))
    read = loading.read_file

    def slow(given):
        content = read(given)
        path.write_bytes(content + b" ")
        return content

    monkeypatch.setattr(loading, "read_file", slow)
    with pytest.raises(ModelError, match="it changed while it was read"), opened(tmp_path):
        pass


def test_what_else_a_folder_may_hold(seeds, models, tmp_path):
    put(tmp_path, "a", 2, seeds(1))
    put(tmp_path, "a", "03", seeds(2))  # no version: Triton does not take it for one, either
    put(tmp_path, "a", "old", seeds(2))
    (tmp_path / "a" / "config.pbtxt").write_text("nothing")
    put(tmp_path, "not a name", 1, seeds(1))
    put(tmp_path, ".hidden", 1, seeds(1))
    put(tmp_path, "encoder", 1, models("final_model").with_suffix(".encoder.onnx"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "no_file" / "1").mkdir(parents=True)
    (tmp_path / "folder" / "1" / "model.onnx").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "pipe" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe" / "1" / "model.onnx")
    (tmp_path / "linked").symlink_to(tmp_path / "a")  # as Kubernetes mounts volumes
    with opened(tmp_path) as registry:
        assert list(registry) == ["a", "linked"]
        assert registry.versions("a") == ["2"]
        assert registry.states() == {
            name: "READY" if name in ("a", "linked") else "UNAVAILABLE"
            for name in ("a", "linked", "not a name", "encoder", "empty", "no_file", "folder", "pipe")
        }
        reasons = {each["name"]: each["reason"] for each in registry.index()}
        for name, text in {
            "not a name": "expected a name of letters",
            "encoder": "expected a joint file, got encoder",
            "empty": "expected a folder with the number of a version",
            "no_file": "no such file",
            "folder": "got a folder",
            "pipe": "got a pipe",
        }.items():
            assert text in reasons[name], reasons[name]
            with pytest.raises(RequestError, match="this one was refused"):
                registry.find(name)


def test_the_highest_version_is_chosen_by_number(seeds, tmp_path):
    for version in (9, 10, 2):
        put(tmp_path, "a", version, seeds(1))
    with opened(tmp_path) as registry:
        assert registry.find("a").version == "10"
        assert registry.versions("a") == ["2", "9", "10"]


def test_a_file_whose_images_are_not_at_hand_is_loaded_unchecked(seeds, tmp_path, monkeypatch):
    put(tmp_path, "a", 1, with_metadata(seeds(1), data_source="idx:FOLDER"))
    put(tmp_path, "b", 1, with_metadata(seeds(1), data_source="mnist"))
    put(tmp_path, "c", 1, with_metadata(seeds(1), data_checksum="0" * 64))
    monkeypatch.setenv("PAIRNET_DATA", str(tmp_path / "none"))
    with opened(tmp_path) as registry:
        reasons = {each["name"]: (each["state"], each["reason"]) for each in registry.index()}
        assert {state for state, _ in reasons.values()} == {"READY"}
        assert reasons["a"][1] == "accuracy not checked: its images are not public"
        assert "accuracy not checked: expected the four MNIST files" in reasons["b"][1]
        assert "accuracy not checked: order_net_fast: expected the images it was made with" in reasons["c"][1]
    monkeypatch.setattr(accuracy, "MOST_PAIRS", 100)
    put(tmp_path, "a", 1, seeds(1))
    with opened(tmp_path) as registry:
        assert "its draw has 200 pairs, more than 100" in registry.index()[0]["reason"]


def test_a_small_difference_is_rounding(seeds, tmp_path):
    """Two pairs of 200 may differ, as with another ONNX Runtime; three may not."""
    with Predictor(seeds(1)) as predictor:
        recorded = predictor.metadata.test_accuracy
    for pairs in (2, -2, 3, -3):
        put(tmp_path, "a", 1, with_metadata(seeds(1), test_accuracy=str(recorded + pairs / 200)))
        if abs(pairs) == 2:
            with opened(tmp_path) as registry:
                assert registry.index()[0]["reason"] == ""
        else:
            with pytest.raises(ModelError, match="expected the recorded accuracy"), opened(tmp_path):
                pass


def test_a_file_that_is_loaded_and_was_checked_is_kept(seeds, tmp_path):
    put(tmp_path, "a", 1, seeds(1))
    put(tmp_path, "b", 1, with_metadata(seeds(1), data_source="idx:FOLDER"))

    async def check():
        with opened(tmp_path) as registry:
            checked, unchecked = registry["a"], registry["b"]
            put(tmp_path, "a", 2, seeds(2))
            await asyncio.gather(registry.load("a"), registry.load("b"))
            assert registry.find("a", "1") is checked
            assert registry["a"] is not checked
            assert registry["b"] is not unchecked

    asyncio.run(check())


def test_all_models_stay_within_the_memory(seeds, tmp_path):
    put(tmp_path, "a", 1, seeds(1))
    put(tmp_path, "b", 1, seeds(2))

    async def check():
        with opened(tmp_path, memory=30) as registry:
            assert list(registry) == ["a"]
            with pytest.raises(RequestError, match=r"needs 1[67] MiB: unload another one") as caught:
                await registry.load("b")
            assert caught.value.kind == "large"
            await registry.unload("a")
            await registry.load("b")
            assert list(registry) == ["b"]
            put(tmp_path, "b", 1, seeds(1))
            with pytest.raises(RequestError, match="unload another one"):  # the old one stays until the new one answers
                await registry.load("b")
            assert await answer(registry, "b") == expected(1, seeds(2))
            with pytest.raises(RequestError):
                registry.find("a")

    asyncio.run(check())


def test_files_of_the_command_line_are_version_1_and_can_be_loaded_again(seeds, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(seeds(1).read_bytes())

    async def check():
        with open_models([path]) as registry:
            assert await answer(registry) == await answer(registry, version="1") == expected(1, seeds(1))
            assert registry.index()[0]["reason"] == "accuracy not checked: its file was named on the command line"
            path.write_bytes(seeds(2).read_bytes())
            await registry.load("a")
            assert await answer(registry) == expected(1, seeds(2))
            assert registry.index()[0]["reason"] == ""
            with pytest.raises(RequestError, match="`--models` names a folder"):
                await registry.load("b")

    asyncio.run(check())
    put(tmp_path / "models", "a", 1, seeds(1))
    with pytest.raises(ArgumentError, match="got a in both"), open_models([path], folder=tmp_path / "models"):
        pass


def test_a_request_that_found_the_old_model_is_answered_by_it(seeds, tmp_path):
    """Also if it reads slowly; only then the old model is closed, and nothing keeps it."""
    put(tmp_path, "a", 1, seeds(1))
    old = expected(1, seeds(1))

    async def check():
        with opened(tmp_path) as registry:
            service, model = Service(models=registry), registry["a"]
            statistics = model.statistics
            gone = [weakref.ref(each) for each in (model, model.predictor, model.predictor._model._session)]
            request = SimpleNamespace(pairs=np.repeat(PAIRS, 10, axis=0), expires_ns=0, outputs=(), binary=())
            put(tmp_path, "a", 1, seeds(2))
            swap = asyncio.create_task(registry.load("a"))
            running = []
            while registry["a"] is model:
                running.append(
                    asyncio.create_task(service.infer(origin.Origin("rest"), "a", "", lambda _: request, whole))
                )
                await asyncio.sleep(0.003)
            asked = len(running)
            del model
            assert await answer(registry) == expected(1, seeds(2))
            for each in running:
                found, _, outputs = await asyncio.wait_for(each, 30)
                assert (found.version, found.digest, outputs["probability"][::10].tolist()) == old
            del found, each, running
            await swap
            del swap
            assert registry["a"].statistics is statistics  # of a version, whatever file it has
            assert statistics.answered["rest"] == asked + 1
            await registry.unload("a")
            gone.append(weakref.ref(statistics))
            del statistics
            began = time.monotonic()
            while any(reference() for reference in gone) and time.monotonic() - began < 10:
                await asyncio.sleep(0.01)
            assert [reference() for reference in gone] == [None] * 4
            (counted,) = registry.counted()
            assert (counted[0], counted[1].answered["rest"], counted[2]) == ("a", asked + 1, 0)

    gc.collect()
    gc.disable()  # the server freezes what is loaded first: the collector does not look at that, counts must free it
    try:
        asyncio.run(check())
    finally:
        gc.enable()


def test_unloading_answers_what_was_taken(seeds, tmp_path):
    put(tmp_path, "a", 1, seeds(1))

    async def check():
        with opened(tmp_path) as registry:
            service, model = Service(models=registry), registry["a"]
            request = SimpleNamespace(pairs=np.repeat(PAIRS, 300, axis=0), expires_ns=0, outputs=(), binary=())
            running = [
                asyncio.create_task(service.infer(origin.Origin("rest"), "a", "", lambda _: request, whole))
                for _ in range(3)
            ]
            await asyncio.sleep(0)
            unload = asyncio.create_task(registry.unload("a"))
            while registry.state("a") == "READY":
                await asyncio.sleep(0)
            with pytest.raises(RequestError, match="this one was unloaded") as caught:
                registry.find("a")
            assert caught.value.kind == "unknown"
            assert [(await asyncio.wait_for(each, 30))[0] for each in running] == [model] * 3
            await unload
            with pytest.raises(ClosedError):
                model.predictor.probability(PAIRS)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ([], ("", 1, None, 1024)),
        (["--models", "x"], ("", 0, Path("x"), 1024)),
        (["a.onnx", "--models", "x", "--control", "--memory", "9"], ("loopback", 1, Path("x"), 9)),
        (["--control", "--control-anywhere"], ("anywhere", 1, None, 1024)),
    ],
)
def test_the_options_of_the_command(options, given, monkeypatch):
    calls = []
    monkeypatch.setattr(running, "serve", lambda files, **options: calls.append((files, options)))
    assert CliRunner().invoke(app, ["serve", *options]).exit_code == 0
    ((files, got),) = calls
    assert (got["control"], len(files), got["folder"], got["memory"]) == given


def test_changes_of_one_name_take_turns(seeds, tmp_path):
    put(tmp_path, "a", 1, seeds(1))
    seen = []

    async def check():
        with opened(tmp_path) as registry:
            registry.watch(lambda name, state: seen.append((name, state)))
            changes = [registry.unload("a"), registry.load("a"), registry.load("a"), registry.unload("a")]
            await asyncio.gather(*changes)
            assert registry.state("a") == "UNAVAILABLE"
            await asyncio.gather(registry.load("a"), registry.unload("a"), registry.load("a"))
            assert registry.state("a") == "READY"
            results = await asyncio.gather(*(registry.load("a") for _ in range(20)), return_exceptions=True)
            assert {getattr(each, "kind", None) for each in results} == {None, "busy"}
            registry.find("a")

    asyncio.run(check())
    states = [state for _, state in seen]
    assert states[:4] == ["UNAVAILABLE", "LOADING", "READY", "READY"]
    assert seen[-1] == ("a", "READY")


def test_a_load_goes_on_when_its_client_leaves(seeds, tmp_path):
    put(tmp_path, "a", 1, seeds(1))

    async def check():
        with opened(tmp_path) as registry:
            put(tmp_path, "a", 2, seeds(2))
            load = asyncio.create_task(registry.load("a"))
            await asyncio.sleep(0)
            load.cancel()
            with pytest.raises(asyncio.CancelledError):
                await load
            began = time.monotonic()
            while registry["a"].version != "2":
                assert time.monotonic() - began < 30
                await asyncio.sleep(0.01)

    asyncio.run(check())


def test_a_model_that_is_loaded_often_has_one_series(seeds, tmp_path):
    async def check():
        put(tmp_path, "a", 1, seeds(1))
        with opened(tmp_path) as registry:
            lines = []
            for version in range(2, 6):
                await answer(registry)
                put(tmp_path, "a", version, seeds(1 + version % 2))
                drop(tmp_path, "a", version - 1)
                await registry.load("a")
                samples = [each for family in Metrics(Service(models=registry)).collect() for each in family.samples]
                lines.append(len(samples))
                answered = [each.value for each in samples if each.labels == {"model": "a", "protocol": "rest"}]
                assert answered == [version - 1]
            assert len(set(lines)) == 1

    asyncio.run(check())


def serve(*arguments):
    """Status and output of a server that does not start."""
    command = [sys.executable, "-m", "pairnet", "serve", "--port", "0", "--grpc-port", "0", *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.stdout == ""
    return found.returncode, found.stderr


def test_a_server_starts_with_what_can_be_served(seeds, tmp_path):
    put(tmp_path, "a", 3, seeds(1))
    put(tmp_path, "b", 1, seeds(2).read_bytes()[:5000])
    with running_server("--models", tmp_path) as server:
        log = "".join(server.log)
        assert "a, version 3: order_net_fast, trained on 200 pairs of mnist5k" in log
        assert [line.count("b/1/model.onnx: expected") for line in server.log if line.startswith("b: ")] == [1]
        assert post(server, "/v2/repository/models/a/unload")[0] == 403
        assert post(server, "/v2/repository/models/b/load")[0] == 403
    drop(tmp_path, "a")
    status, text = serve("--models", tmp_path)
    assert (status, text.count("\n"), "expected a model that can be served" in text) == (2, 1, True)
    for missing in (tmp_path / "none", tmp_path / "b" / "1" / "model.onnx"):
        for waits in (False, True):
            with (
                pytest.raises(ArgumentError, match="`models`: expected a folder of models"),
                open_models([], folder=missing, may_be_none=waits),
            ):
                pass
    with running_server("--models", tmp_path, "--control") as server:
        put(tmp_path, "b", 1, seeds(2))
        assert post(server, "/v2/repository/models/b/load") == (200, None)
        assert urllib.request.urlopen(f"http://{server.rest}/v2/models/b/ready").status == 200


def test_a_server_listens_when_its_models_are_loaded(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    def load(*files, **options):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        raise ModelError("asked")

    monkeypatch.setattr(running, "open_models", load)
    with pytest.raises(ModelError, match="asked"):
        running.serve([], port=port)


SLOW = """
import pairnet.serving.server.accuracy as it
it.measure = lambda probability, draw: [probability(draw[0]) for _ in range(10_000)] and 0.0
"""


def test_a_server_that_stops_does_not_wait_for_a_load(seeds, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(seeds(1).read_bytes())
    answers = []
    with running_server(path, "--control", before=SLOW) as server:
        load = threading.Thread(target=lambda: answers.append(post(server, "/v2/repository/models/a/load")))
        load.start()
        time.sleep(1)
        assert answers == []
        began = time.monotonic()
        server.process.terminate()
        assert server.process.wait(timeout=25) == 0
        assert time.monotonic() - began < 20
        load.join(timeout=10)
    (status, answer) = answers[0]
    assert (status, "this one stops" in answer["error"]) == (503, True)


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from pairnet.serving.built_in import built_in_model
from pairnet.serving.server.accuracy import Check
from pairnet.serving.server.loading import Options, Place, open_file

def opened(path, check=None):
    place = Place(name="a", version="1", path=Path(path))
    model = open_file(place, Options(provider="cpu", threads=2), kept=None, room=1e12, check=check)
    for size in (8, 64, 500):
        shape = model.predictor._model.inputs["pair"]
        model.predictor.outputs(np.zeros((size, *shape[1]), shape[0]), split=size > 64)
    return model

def resident():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024

kept = [opened(built_in_model(), Check())]
for path in sys.argv[1:]:
    kept.append(opened(path))
    before = resident()
    kept += [opened(path) for _ in range(5)]
    print((resident() - before) / 5 / kept[-1].memory)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_models_need_less_memory_than_is_estimated(models):
    """The smallest and the largest files of the table of variants, after requests of all sizes."""
    files = [models("final_model"), models("final_model", "images", "int8"), models("fc_3"), models("w_net", "pairs")]
    found = subprocess.run([sys.executable, "-c", MEMORY, *files], capture_output=True, text=True, timeout=60)
    shares = list(map(float, found.stdout.split()))
    assert len(shares) == len(files), found.stderr
    assert max(shares) < 1, shares


def test_the_folder_that_export_repository_writes_is_served(tmp_path):
    from pairnet.serving.repository import write_repository

    write_repository([built_in_model()], tmp_path / "new")
    with open_models([], folder=tmp_path / "new" / "models") as registry:
        assert registry.index() == [{"name": NAME, "version": "1", "state": "READY", "reason": ""}]
