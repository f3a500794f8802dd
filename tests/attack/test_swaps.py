"""Models that are swapped under load: no request fails, and each answer is that of the file that it names."""

import http.client
import json
import os
import random
import sys
import threading
import time
from contextlib import closing, contextmanager

import grpc
import numpy as np
import pytest
from model_folders import digest_of, drop, put
from running_server import running_server
from tritonclient.grpc import service_pb2

from pairnet.serving import layout
from pairnet.serving.predictor import Predictor

pytest_plugins = ("trained_runs",)

FORMS = {"long": (100, 32, 0), "soak": (120, 32, 5)}  # swaps, clients, seconds between two swaps
SWAPS, CLIENTS, PAUSE = FORMS.get(os.environ.get("PAIRNET_ATTACK", ""), (10, 8, 0))
SIZES = (1, 2, 7, 20, 70)  # inline, in a thread, in several
MODEL = "a"


class Clients:
    """Clients that ask without pause; half of them over REST, half over gRPC."""

    def __init__(self, server, expected):
        self.server, self.expected = server, expected  # by digest and size: the bytes of the probabilities
        self.stops = threading.Event()
        self.wrong, self.named, self.answered = [], set(), 0
        self._counts = threading.Lock()

    @contextmanager
    def running(self):
        threads = [
            threading.Thread(target=(self._rest, self._grpc)[number % 2], args=(number,)) for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stops.set()
            for thread in threads:
                thread.join(timeout=60)

    def _each(self, number, ask):
        rng = random.Random(number)
        while not self.stops.is_set() and len(self.wrong) < 10:
            size = rng.choice(SIZES)
            try:
                version, digest, content = ask(size)
                right = self.expected[digest][size] == content
            except Exception as error:  # whatever it is, the request failed
                self.wrong.append(repr(error)[:500])
                continue
            with self._counts:
                self.answered += 1
                self.named.add((version, digest))
                if not right:
                    self.wrong.append(f"{size} pairs of version {version}, {digest[:8]}: other values")

    def _rest(self, number):
        with closing(http.client.HTTPConnection(self.server.rest, timeout=60)) as connection:

            def ask(size):
                shape = {"shape": [size, 2, 28, 28], "parameters": {"binary_data_size": 1568 * size}}
                head = {"inputs": [{"name": "pair", "datatype": "UINT8", **shape}]}
                head = json.dumps({**head, "outputs": [{"name": "probability", "parameters": {"binary_data": True}}]})
                headers = {"Inference-Header-Content-Length": str(len(head))}
                headers["Content-Type"] = "application/octet-stream"
                body = head.encode() + pairs(size).tobytes()
                connection.request("POST", f"/v2/models/{MODEL}/infer", body, headers)
                answer = connection.getresponse()
                content = answer.read()
                assert answer.status == 200, content
                text = int(answer.headers["Inference-Header-Content-Length"])
                found = json.loads(content[:text])
                return found["model_version"], found["parameters"]["digest"], content[text:]

            self._each(number, ask)

    def _grpc(self, number):
        with grpc.insecure_channel(self.server.grpc) as channel:
            infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

            def ask(size):
                made = service_pb2.ModelInferRequest(model_name=MODEL, raw_input_contents=[pairs(size).tobytes()])
                made.inputs.add(name="pair", datatype="UINT8", shape=(size, 2, 28, 28))
                found = service_pb2.ModelInferResponse.FromString(infer(made.SerializeToString(), timeout=60))
                return found.model_version, found.parameters["digest"].string_param, found.raw_output_contents[0]

            self._each(number, ask)


def pairs(size):
    return np.random.default_rng(size).integers(0, 256, (size, 2, 28, 28), np.uint8)


def control(server, verb="load"):
    """The status of a load."""
    with closing(http.client.HTTPConnection(server.rest, timeout=60)) as connection:
        connection.request("POST", f"/v2/repository/models/{MODEL}/{verb}", "{}")
        return connection.getresponse().status


def change(rng, folder, files, number):
    """One change of the folder -> whether it can be loaded, and what undoes it."""
    there = layout.versions(folder, MODEL)
    content = rng.choice(files).read_bytes()
    highest, undo = int(there[0]), lambda: None
    match rng.randrange(5) if number else 0:
        case 0:  # a new version; the oldest goes
            put(folder, MODEL, highest + 1, content)
            for version in there[1:]:
                drop(folder, MODEL, version)
        case 1:  # another file under the same number
            put(folder, MODEL, highest, content)
        case 2 if len(there) > 1:  # back to the version before
            drop(folder, MODEL, highest)
        case kind:
            damaged = content[: rng.randrange(len(content))] if kind == 3 else _altered(content, rng)
            put(folder, MODEL, highest + 1, damaged)
            return False, lambda: drop(folder, MODEL, highest + 1)
    return True, undo


def _altered(content, rng):
    """Eight bytes of the weights are others."""
    place = rng.randrange(len(content) // 4, len(content) // 2)
    return content[:place] + bytes(255 - each for each in content[place : place + 8]) + content[place + 8 :]


@pytest.mark.timeout(1200)
def test_no_request_fails_and_none_is_mixed_while_models_are_swapped(seeds, tmp_path):
    rng, files, expected = random.Random(5), [seeds(number) for number in (1, 2, 3, 4)], {}
    for file in files:
        with Predictor(file) as predictor:
            expected[digest_of(file)] = {size: predictor.probability(pairs(size)).tobytes() for size in SIZES}
    put(tmp_path, MODEL, 1, files[0])
    served, resident = {("1", digest_of(files[0]))}, []
    with running_server("--models", tmp_path, "--control") as server:
        clients = Clients(server, expected)
        with clients.running():
            for number in range(SWAPS):
                valid, undo = change(rng, tmp_path, files, number)
                if valid:
                    there = layout.versions(tmp_path, MODEL)
                    served.add((there[0], digest_of(layout.file_of(tmp_path, MODEL, there[0]))))
                assert control(server) == (200 if valid else 400)
                undo()
                resident.append(server.resident_mb)
                time.sleep(PAUSE)
        memory = f"{resident[len(resident) // 5]:.0f}, {resident[-1]:.0f} MB"
        sys.stdout.write(f"{clients.answered:,} answers, {SWAPS} swaps, {memory}\n")
        assert clients.wrong == []
        assert clients.answered > SWAPS * CLIENTS
        assert clients.named <= served
        assert len(clients.named) > 2
        assert resident[-1] - resident[len(resident) // 5] < 150
        with closing(http.client.HTTPConnection(server.rest, timeout=60)) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        counted = [line.split()[-1] for line in text.splitlines() if line.startswith("pairnet_requests_total{")]
        assert (len(counted), sum(map(float, counted))) == (2, clients.answered)
