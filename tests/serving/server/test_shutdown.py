"""SIGTERM under load: every request that was sent is answered, the process ends soon, and with status 0."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import grpc
import pytest
from running_server import running_server
from tritonclient.grpc import service_pb2

from pairnet.serving.server.running import HttpServer

pytest_plugins = ("trained_runs",)

CLIENTS = 32
LONG = os.environ.get("PAIRNET_ATTACK") == "long"
PATH = "/v2/models/order_net_xs/infer"
PAIR = bytes(2 * 28 * 28)
HEAD = b'{"inputs":[{"name":"pair","datatype":"UINT8","shape":[1,2,28,28],"parameters":{"binary_data_size":1568}}]}'


def headers(head):
    return {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}


class Client(threading.Thread):
    """Sends one request after the other."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.answered, self.lost, self.started = address, 0, [], threading.Event()


class RestClient(Client):
    """Uses one connection until the server says that it closes it."""

    def run(self):
        connection = http.client.HTTPConnection(self.address, timeout=10)
        connection.connect()
        while True:
            try:
                connection.request("POST", PATH, HEAD + PAIR, headers(HEAD))
                answer = connection.getresponse()
                answer.read()
            except Exception as error:
                self.lost.append(repr(error))
                return
            if answer.status != 200:
                self.lost.append(answer.status)
            self.answered += 1
            self.started.set()
            if answer.getheader("connection", "").lower() == "close":
                connection.close()
                return


class GrpcClient(Client):
    """Calls until the server refuses calls because it stops."""

    def run(self):
        request = service_pb2.ModelInferRequest(model_name="order_net_xs", raw_input_contents=[PAIR])
        request.inputs.add(name="pair", datatype="UINT8", shape=[1, 2, 28, 28])
        with grpc.insecure_channel(self.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            while True:
                try:
                    infer(request.SerializeToString(), timeout=10)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        self.lost.append(error.code())
                    return
                self.answered += 1
                self.started.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT] * (10 if LONG else 1))
def test_a_signal_under_load_loses_no_request(number):
    with running_server() as server:
        clients = [RestClient(server.rest) for _ in range(CLIENTS - 4)] + [GrpcClient(server.grpc) for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            assert client.started.wait(60)
        time.sleep(0.3)
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(timeout=30) == 0
        took = time.monotonic() - began
        for client in clients:
            client.join(timeout=30)
            assert not client.lost
            assert client.answered
        assert took < (2 if LONG else 25)  # less than LONGEST_STOP; other tests may run beside the short form


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP] * (3 if LONG else 1))
def test_clients_that_open_a_connection_per_request_lose_none(number):
    """Until they are refused: a connection that was accepted for them brings its answer."""
    lost, answered = [], []

    def run():
        while True:
            connection = http.client.HTTPConnection(server.rest, timeout=20)
            try:
                connection.connect()
            except OSError:
                return
            try:
                connection.request("POST", PATH, HEAD + PAIR, headers(HEAD) | {"Connection": "close"})
                answered.append(connection.getresponse().status)
            except (OSError, http.client.HTTPException) as error:
                lost.append(repr(error))
                return
            finally:
                connection.close()

    with running_server() as server:
        clients = [threading.Thread(target=run, daemon=True) for _ in range(16)]
        for client in clients:
            client.start()
        time.sleep(0.5)
        server.process.send_signal(number)
        assert server.process.wait(timeout=30) == 0
        for client in clients:
            client.join(timeout=30)
    assert not lost
    assert len(answered) >= 16
    assert set(answered) == {200}


def test_idle_connections_do_not_hold_the_server_up():
    with running_server() as server:
        host, _, port = server.rest.partition(":")
        with socket.create_connection((host, int(port))), socket.create_connection((host, int(port))) as begun:
            begun.sendall(b"POST /v2/models/x/infer HTTP/1.1\r\nContent-Length: 5\r\n\r\n12")
            time.sleep(0.2)
            began = time.monotonic()
            server.process.terminate()
            assert server.process.wait(timeout=30) == 0
            assert time.monotonic() - began < 25


def test_a_request_on_its_way_on_an_idle_connection_is_answered():
    with running_server() as server:
        connection = http.client.HTTPConnection(server.rest, timeout=10)
        connection.connect()
        server.process.terminate()
        time.sleep(0.25)
        connection.request("POST", PATH, HEAD + PAIR, headers(HEAD))
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        connection.close()
        assert server.process.wait(timeout=30) == 0


def test_large_requests_are_finished_and_open_streams_ended(models):
    count = 8000
    head = HEAD.replace(b"[1,", b"[%d," % count).replace(b"1568", b"%d" % (count * 1568))
    with running_server(models("final_model")) as server, grpc.insecure_channel(server.grpc) as channel:
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")(iter(_never, 1))
        connection = http.client.HTTPConnection(server.rest, timeout=60)
        path = PATH.replace("order_net_xs", "final_model-images-fp32")
        connection.request("POST", path, head + PAIR * count, headers(head))
        time.sleep(0.05)
        began = time.monotonic()
        server.process.terminate()
        answer = connection.getresponse()
        assert (answer.status, len(answer.read()) > count) == (200, True)
        connection.close()
        assert server.process.wait(timeout=30) == 0
        assert time.monotonic() - began < 25
        assert list(stream) == []


def _never():
    time.sleep(60)


def assert_it_stops(code, number):
    """A server that prints an x in this code, and gets a signal then, ends without an error."""
    command = f"{code}\nimport pairnet.__main__ as it; raise SystemExit(it.main())"
    process = subprocess.Popen([sys.executable, "-c", command, "serve"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"x\n"
    process.send_signal(number)
    assert process.communicate(timeout=30) == (b"", b"stopped\n")
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_is_no_error(number):
    code = "import time, pairnet.serving.server.running as it\n"
    code += "it.open_models = lambda *given, **options: (print('x', flush=True), time.sleep(20))"
    assert_it_stops(code, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_modules_are_imported_is_no_error(number):
    code = "import importlib.abc, sys, time\n"
    code += "class Slow(importlib.abc.MetaPathFinder):\n"
    code += "    def find_spec(self, name, path, target=None):\n"
    code += "        if name == 'pairnet.serving.server.running': print('x', flush=True), time.sleep(20)\n"
    code += "sys.meta_path.insert(0, Slow())\n"
    assert_it_stops(code, number)


def test_the_second_signal_ends_it_at_once():
    with running_server(check=False) as server:
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=25) == 0


@pytest.mark.parametrize(
    ("second", "forced"), [(signal.SIGHUP, False), (signal.SIGTERM, True), (signal.SIGINT, True)], ids=str
)
def test_which_second_signal_drops_what_is_open(second, forced):
    """Not SIGHUP, which a terminal that is closed may send several times."""
    for first in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        server = SimpleNamespace(force_exit=False, should_exit=False)
        HttpServer.handle_exit(server, first, None)
        assert (server.should_exit, server.force_exit) == (True, False)
        HttpServer.handle_exit(server, second, None)
        assert (server.should_exit, server.force_exit) == (True, forced)
