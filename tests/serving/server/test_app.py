"""The ASGI application by itself: what a test over a connection cannot time."""

import asyncio
import gc
import json
import weakref
import zlib
from contextlib import suppress
from io import BytesIO
from types import SimpleNamespace
from typing import get_args

import numpy as np
import onnx
import pytest
from PIL import Image

from pairnet.data.sources import load_dataset
from pairnet.errors import Refusal, RequestError
from pairnet.serving.built_in import NAME, built_in_model
from pairnet.serving.server import content_encoding, rest_format
from pairnet.serving.server.account import Account, Entry
from pairnet.serving.server.app import Application
from pairnet.serving.server.protocol import STATUSES
from pairnet.serving.server.registry import open_models
from pairnet.serving.server.service import Service

pytest_plugins = ("trained_runs",)

TENSOR = {"name": "pair", "datatype": "UINT8", "shape": [1, 2, 28, 28], "data": [0] * 1568}


def respond(path, method="GET", body=b"", fault=None, file=None, **more):
    """Status, body and service after one request.  `fault`: changes the service first; `more` goes into the scope."""
    sent = []

    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return parts.pop() if parts else await asyncio.Event().wait()  # the client waits for its answer

    async def send(message):
        sent.append(message)

    async def run():
        with open_models([file or built_in_model()]) as models:
            service = Service(models=models)
            if fault is not None:
                fault(service)
            scope = {"type": "http", "method": method, "path": path, "query_string": b"", "root_path": ""}
            headers = [(b"content-type", b"application/json"), (b"host", b"x")]
            with suppress(ZeroDivisionError):  # Starlette raises an error again once it is answered
                await Application(service)({**scope, "headers": headers, **more}, receive, send)
            service.decoders.close()
            return service

    service = asyncio.run(run())
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent), service


def test_each_refusal_has_a_status():
    assert set(STATUSES) == set(get_args(Refusal))


def test_it_is_not_ready_once_it_stops():
    for path in ("/v2/health/ready", f"/v2/models/{NAME}/ready", f"/v2/models/{NAME}/versions/1/ready"):
        assert respond(path)[0] == 200
        assert respond(path, fault=lambda service: setattr(service, "stops", True))[0] == 503
    assert respond("/v2/health/live", fault=lambda service: setattr(service, "stops", True))[0] == 200


def test_a_picture_is_decoded_with_the_polarity_of_its_model(tmp_path):
    content = BytesIO()
    Image.fromarray(load_dataset("glyphs:2").test.take(np.array([0]))[0][0]).save(content, "PNG")
    query = {"method": "POST", "body": content.getvalue(), "query_string": f"model={NAME}".encode()}
    as_usual = json.loads(respond("/decode", **query)[1])
    model = onnx.load(built_in_model())
    about = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, about | {"polarity": "dark on light"})
    onnx.save(model, tmp_path / f"{NAME}.onnx")
    inverted = json.loads(respond("/decode", file=tmp_path / f"{NAME}.onnx", **query)[1])
    for key in ("input", "pixels", "pooled"):
        assert (255 - np.array(inverted[key]) == as_usual[key]).all()
    assert "dark on light" in inverted["notes"][-1]


@pytest.mark.parametrize(
    ("path", "method", "query", "result", "words"),
    [
        ("/nothing", "GET", b"", "unknown", "expected a path of the protocol, got '/nothing'"),
        ("/v2/models/none", "GET", b"", "unknown", "expected a model among"),
        ("/decode", "POST", b"model=none", "unknown", "expected a model among"),
        ("/decode", "POST", b"", "invalid", f"expected ?model=NAME, one of {NAME}, got none"),
        ("/decode", "POST", f"model={NAME}".encode(), "invalid", "expected"),
        ("/decode", "GET", b"", "method", "expected POST for this path, got GET"),
        (f"/v2/models/{NAME}/infer", "GET", b"", "method", "expected POST for this path, got GET"),
        (f"/v2/models/{NAME}/infer", "POST", b"", "invalid", "expected"),
    ],
)
def test_each_refusal_is_explained_counted_and_logged_once(path, method, query, result, words):
    lines = []
    log = SimpleNamespace(add=lambda line: lines.append(json.loads(line)))
    status, content, service = respond(
        path, method, fault=lambda service: setattr(service, "access_log", log), query_string=query
    )
    assert (status, [(line["result"], line["status"]) for line in lines]) == (STATUSES[result][0], [(result, status)])
    assert words in json.loads(content)["error"]
    counted = [service.elsewhere, *(model.statistics for model in service.models.values())]
    assert sum(each.refused.total() for each in counted) == sum(each.refused[result] for each in counted) == 1


def test_a_request_whose_client_is_gone_is_not_computed():
    body, path = json.dumps({"inputs": [TENSOR]}).encode(), f"/v2/models/{NAME}/infer"
    for gone, batches in ((False, 1), (True, 0)):
        connection = SimpleNamespace(is_closing=lambda gone=gone: gone)
        _, _, service = respond(path, "POST", body, **{"pairnet.connection": connection})
        assert service.models[NAME].statistics.batches == batches
        assert service.models[NAME].statistics.refused["gone"] == 1 - batches


@pytest.mark.parametrize("path", [f"/v2/models/{NAME}/infer", f"/v2/models/{NAME}/config"])
def test_an_error_of_ours_is_counted_and_has_its_traceback_in_the_log_only(path, capsys, monkeypatch):
    def fail(*given, **options):
        return 1 / 0

    monkeypatch.setattr("pairnet.serving.server.rest.encode", fail)
    monkeypatch.setattr("pairnet.serving.server.description.configuration", fail)
    method, body = ("POST", json.dumps({"inputs": [TENSOR]}).encode()) if path.endswith("infer") else ("GET", b"")
    status, content, service = respond(path, method, body)
    assert (status, json.loads(content)) == (500, {"error": "expected an answer, the server failed: see its log"})
    counted = service.models[NAME].statistics if path.endswith("infer") else service.elsewhere
    assert counted.refused["failed"] == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_compressed_body_is_inflated_up_to_its_limit_only():
    largest, headers = content_encoding.LARGEST_REQUEST, {b"content-encoding": b"deflate"}
    for more in (0, 1):
        body, taken = zlib.compress(bytes(largest + more), 1), []
        if more:
            with pytest.raises(RequestError, match="after decompression"):
                content_encoding.inflated(body, headers, taken.append)
        else:
            assert len(content_encoding.inflated(body, headers, taken.append)) == sum(taken) == largest
        assert sum(taken) <= largest


def test_known_json_belongs_to_its_model_and_does_not_keep_it(models):
    """Two models may take the same JSON and have other outputs."""

    async def run():
        head = json.dumps({"inputs": [{**TENSOR, "parameters": {"binary_data_size": 1568}, "data": None}]})
        head = head.replace(', "data": null', "").encode()
        headers = {rest_format.HEADER_LENGTH: b"%d" % len(head)}
        with open_models([built_in_model(), models("w_net")]) as served:
            body, entry = head + bytes(1568), Entry(Account())
            outputs = [rest_format.parse(model, body, headers, entry).outputs for model in served.values()]
            return outputs, list(map(weakref.ref, served.values()))

    outputs, references = asyncio.run(run())
    assert outputs == [("probability", "digits"), ("probability",)]
    gc.collect()
    assert [reference() for reference in references] == [None, None]
