"""What operators are told: lines of the log for refusals and loads, the metrics of what waits and what is loaded."""

import json
import re
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
from model_folders import digest_of, put
from prometheus_client.parser import text_string_to_metric_families
from running_server import running_server
from tritonclient.grpc import service_pb2

from pairnet.serving.built_in import NAME, built_in_model
from pairnet.serving.server.health import INFERENCE
from pairnet.serving.server.loading import Options
from pairnet.serving.server.metrics import Metrics
from pairnet.serving.server.origin import LONGEST_TEXT
from pairnet.serving.server.protocol import STATUSES
from pairnet.serving.server.registry import Registry
from pairnet.serving.server.service import Service
from pairnet.serving.server.sources import Sources

pytest_plugins = ("trained_runs",)


def asked(server, method, path, body=b"", **headers):
    """Status and body of the answer."""
    request = urllib.request.Request(f"http://{server.rest}{path}", body or None, headers, method=method)
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.read().decode()


def called(server, method, message):
    """What a gRPC call is refused with, if it is."""
    with grpc.insecure_channel(server.grpc) as channel:
        try:
            channel.unary_unary(f"/{INFERENCE}/{method}")(message, timeout=30)
        except grpc.RpcError as error:
            return error


def lines(server, count, member="status"):
    """The lines of the log that have this member, once there are so many."""
    deadline = time.monotonic() + 20
    while True:
        found = [json.loads(line) for line in [*server.log] if line.startswith("{")]
        found = [line for line in found if member in line]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, server.log
        time.sleep(0.02)


REFUSED = [
    ("GET", "/v2/nothing?secret=1", "", 404),
    ("DELETE", f"/v2/models/{NAME}/infer", NAME, 405),
    ("POST", f"/v2/models/{NAME}/versions/7/infer", NAME, 404),
    ("GET", "/v2/models/other/config", "other", 404),
    ("POST", f"/decode?model={NAME}", NAME, 400),
    ("POST", "/v2/repository/models/other/load", "other", 403),
    ("GET", "/v2/" + "x" * 5000, "", 404),
]


def test_a_refusal_is_logged_with_client_path_model_and_reason():
    with running_server("--access-log") as server:
        for number, (method, path, model, status) in enumerate(REFUSED, 1):
            got, body = asked(server, method, path, b"{}" if method == "POST" else b"")
            assert got == status
            line = lines(server, number)[-1]
            assert (line["client"], line["method"], line["status"]) == ("127.0.0.1", method, status)
            assert (line["path"], line["model"]) == (path.partition("?")[0][:LONGEST_TEXT], model)
            assert line["error"] == json.loads(body)["error"][:LONGEST_TEXT]
        host, port = server.rest.split(":")
        for begun, path in ((b"nothing\r\n\r\n", ""), (b"GET /here HTTP/1.1\r\n" + b"A: b\r\n" * 300, "/here")):
            with socket.create_connection((host, int(port)), timeout=10) as client:
                client.sendall(begun)
                assert b" 400 " in client.recv(1000)
            line = lines(server, (number := number + 1))[-1]
            assert (line["client"], line["path"], line["result"]) == ("127.0.0.1", path, "invalid")
            assert line["error"].startswith("expected ")
        request = service_pb2.ModelInferRequest(model_name=NAME, model_version="7")
        error = called(server, "ModelInfer", request.SerializeToString())
        line = lines(server, number + 1)[-1]
        assert (line["client"], line["path"]) == ("127.0.0.1", f"/{INFERENCE}/ModelInfer")
        assert (line["model"], line["error"]) == (NAME, error.details())
        error = called(server, "ModelInfer", bytes(17 * 2**20))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        line = lines(server, number + 2)[-1]
        assert (line["result"], line["status"]) == ("gone", 408)
        assert "expected a message of at most 16,777,216 bytes" in line["error"]


def samples(server):
    """The metrics of pairnet: value by name and labels."""
    families = text_string_to_metric_families(asked(server, "GET", "/metrics")[1])
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        if family.name.startswith("pairnet_")
        for sample in family.samples
    }


def test_loads_leave_a_line_and_a_count_also_without_the_access_log(seeds, tmp_path):
    one, two = seeds(1), seeds(2)
    put(tmp_path, "a", 1, one)
    half = two.read_bytes()[:30_000]
    path = "/v2/repository/models/a"
    with running_server("--models", tmp_path, "--control") as server:
        put(tmp_path, "a", 2, half)
        status, body = asked(server, "POST", f"{path}/load")
        assert status == 400
        assert "or a part of one (30,000 bytes)" in body
        assert ("pairnet_model_loaded", digest_of(two), "a", "2") not in samples(server)
        put(tmp_path, "a", 2, two)
        put(tmp_path, "a", "v4", two)
        put(tmp_path, "a", "0", two)
        assert asked(server, "POST", f"{path}/load")[0] == 200
        found = samples(server)
        loaded = {key[1:] for key in found if key[0] == "pairnet_model_loaded"}  # digest, model, version
        assert loaded == {(digest_of(one), "a", "1"), (digest_of(two), "a", "2")}
        assert found["pairnet_loads_total", "a", "ok"] == found["pairnet_loads_total", "a", "invalid"] == 1
        index = json.loads(asked(server, "POST", "/v2/repository/index")[1])
        assert [each["version"] for each in index if each["state"] == "UNAVAILABLE"] == ["0", "v4"]
        assert asked(server, "POST", f"{path}/unload")[0] == 200
        assert not [key for key in samples(server) if key[0] == "pairnet_model_loaded"]
        refused, done, unloaded = lines(server, 3, "change")
    assert (refused["change"], refused["model"], refused["result"]) == ("load", "a", "invalid")
    assert refused["versions"] == {"1": digest_of(one)}
    assert "or a part of one (30,000 bytes)" in refused["error"]
    assert (done["result"], done["error"], done["skipped"]) == ("ok", "", ["0", "v4"])
    assert done["versions"] == {"2": digest_of(two), "1": digest_of(one)}
    assert (unloaded["change"], unloaded["result"], unloaded["versions"]) == ("unload", "ok", {})


def test_a_server_without_a_loaded_model_is_not_ready(tmp_path):
    put(tmp_path, "a", 1, b"no model")
    with running_server("--models", tmp_path, "--control") as server:

        def ready():
            with grpc.insecure_channel(server.grpc) as channel:
                answer = channel.unary_unary(f"/{INFERENCE}/ServerReady")(b"", timeout=30)
                health = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=30)
            serves = service_pb2.ServerReadyResponse.FromString(answer).ready, health == b"\x08\x01"
            return {asked(server, "GET", "/v2/health/ready")[0] == 200, *serves}

        assert ready() == {False}
        assert asked(server, "GET", "/v2/health/live")[0] == 200
        put(tmp_path, "a", 1, built_in_model())
        assert asked(server, "POST", "/v2/repository/models/a/load")[0] == 200
        assert ready() == {True}
        assert asked(server, "POST", "/v2/repository/models/a/unload")[0] == 200
        assert ready() == {False}


def test_pictures_are_counted_by_result_and_nothing_is_held_afterwards():
    with running_server() as server:
        assert asked(server, "POST", f"/decode?model={NAME}", b"no picture")[0] == 400
        found = samples(server)
    assert found["pairnet_pictures_total", "invalid"] == 1
    assert found["pairnet_pictures_total", "ok"] == 0
    assert found["pairnet_pictures_waiting",] == 0
    assert found["pairnet_held_bytes",] < 2000, "but for the request that asks"
    assert found["pairnet_log_lines_dropped_total",] == 0


def test_the_guide_lists_all_metrics_and_all_kinds_of_refusals():
    guide = (Path(__file__).parents[3] / "docs" / "serving.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \| `(\w+)` \|", guide, re.M)
    assert {kind: (int(status), name) for status, name, kind in rows} == dict(STATUSES)
    families = Metrics(Service(models=Registry(Sources(files={}, folder=None, options=Options())))).collect()
    named = {f"{family.name}_total" if family.type == "counter" else family.name: family.type for family in families}
    assert dict(re.findall(r"^\| `(pairnet_\w+)` \| (\w+) \|", guide, re.M)) == named


def test_a_path_that_is_almost_right_gets_a_hint():
    listed, slash = "POST /v2/repository/index lists the models", "leave out the slash at its end"
    hints = {"/v2/": slash, "/v2/health/ready/": slash, "/v2/models": listed, "/v2/models/": listed}
    with running_server() as server:
        for path, hint in (hints | {"/nothing": "see /docs"}).items():
            status, body = asked(server, "GET", path)
            assert (status, json.loads(body)["error"]) == (
                404,
                f"expected a path of the protocol, got '{path}': {hint}",
            )
