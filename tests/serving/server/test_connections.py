"""What clients may send on one connection: pipelined requests, garbage, heads, trailers; and what all may hold."""

import asyncio
import json
import os
import random
import socket
import time
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from unittest.mock import Mock

import pytest
import uvicorn
from running_server import running_server
from uvicorn.server import ServerState

from pairnet.serving.built_in import built_in_model
from pairnet.serving.server import connections, crowding
from pairnet.serving.server.admission import Admission
from pairnet.serving.server.app import Application
from pairnet.serving.server.connections import Connection
from pairnet.serving.server.registry import open_models
from pairnet.serving.server.service import Service

LONG = os.environ.get("PAIRNET_ATTACK") == "long"
PATH = "/v2/models/order_net_xs/infer"
TENSOR = {"name": "pair", "datatype": "UINT8", "shape": [1, 2, 28, 28], "data": [0] * 1568}
BODY = json.dumps({"inputs": [TENSOR]}).encode()
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.fixture(scope="module")
def server():
    with running_server() as running:
        yield running
        assert running.resident_mb < 500


def connected(server):
    host, _, port = server.rest.partition(":")
    return closing(socket.create_connection((host, int(port)), timeout=30))


def infer(body=BODY, *, path=PATH, fields=b""):
    """A request as bytes; `fields` are further header lines."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n".encode()
    return b"%s%s\r\n%s" % (head, fields, body)


def answers(server, sent):
    """The answers to bytes that are sent at once -> [(status, body)], until the server closes the connection."""
    with connected(server) as client:
        client.sendall(sent)
        return split(client)


def split(client):
    rest = b"".join(iter(lambda: client.recv(2**16), b""))
    found = []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        found.append((int(head.split()[1]), rest[:length]))
        rest = rest[length:]
    return found


@pytest.mark.parametrize("size", [1, 7, 300, 10**6])
def test_pipelined_requests_are_answered_in_order_however_they_are_cut(server, size):
    count = 2 if size == 1 else 5
    ids = [json.dumps({"id": str(number), "inputs": [TENSOR]}).encode() for number in range(count)]
    sent = b"".join(infer(body) + LIVE for body in ids) + LAST
    with connected(server) as client:
        for start in range(0, len(sent), size):
            client.sendall(sent[start : start + size])
        found = split(client)
    assert [status for status, _ in found] == [200] * (2 * count + 1)
    assert [json.loads(body)["id"] for _, body in found[:-1:2]] == [str(number) for number in range(count)]


def test_thousands_of_pipelined_requests_are_answered_and_take_little_memory(server):
    before = server.resident_mb
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(4)]
        for client in clients:
            client.sendall(LIVE * 3000 + LAST)
        for client in clients:
            assert [status for status, _ in split(client)] == [200] * 3001
    assert server.resident_mb - before < 150


def test_requests_that_wait_for_their_turn_count_in_the_account():
    code = "from pairnet.serving.server import account; account.MOST_HELD = 400_000"
    with running_server(before=code) as server:
        found = [status for status, _ in answers(server, infer() + LIVE * 1000)]
        assert found[:50] == [200] * 50
        assert found[-1] == 503
        assert answers(server, LIVE * 50 + LAST)[-1][0] == 200


@pytest.mark.parametrize(
    ("behind", "status", "words"),
    [
        (b"\x00\xff garbage\r\n\r\n", 400, "HTTP/1.1"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "HTTP/1.1"),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 400, "65,536 bytes"),
        (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 201 + b"\r\n", 400, "200 header fields"),
        (b"CONNECT example.org:443 HTTP/1.1\r\n\r\n", 400, "to a proxy"),
        (b"GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "HTTP/1.1"),
        (b"GET example.org:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "HTTP/1.1"),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 3])
def test_what_follows_valid_requests_is_refused_after_their_answers(server, behind, status, words, before):
    found = answers(server, infer() * before + behind)
    assert [each for each, _ in found] == [200] * before + [status]
    assert all(json.loads(body)["outputs"] for _, body in found[:-1])
    assert words in json.loads(found[-1][1])["error"]


def test_garbage_behind_a_long_request_does_not_lose_its_answer(server):
    head = {"inputs": [{**TENSOR, "shape": [2000, 2, 28, 28], "parameters": {"binary_data_size": 2000 * 1568}}]}
    del head["inputs"][0]["data"]
    text = json.dumps(head).encode()
    fields = b"Inference-Header-Content-Length: %d\r\nContent-Type: application/octet-stream\r\n" % len(text)
    found = answers(server, infer(text + bytes(2000 * 1568), fields=fields) + b"\x00garbage")
    assert [status for status, _ in found] == [200, 400]
    assert len(json.loads(found[0][1])["outputs"][0]["data"]) == 2000


def chunked(trailers):
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"%x\r\n%s\r\n0\r\n%s" % (len(BODY), BODY, trailers)


@pytest.mark.parametrize(
    "field", [b"Content-Encoding: gzip", b"Content-Type: text/plain", b"Inference-Header-Content-Length: 5"]
)
def test_trailer_fields_are_ignored(server, field):
    for size in (1000, 10**6):
        sent = chunked(field + b"\r\n\r\n") + LAST
        with connected(server) as client:
            for start in range(0, len(sent), size):
                client.sendall(sent[start : start + size])
                time.sleep(0.01)
            assert [status for status, _ in split(client)] == [200, 200]


@pytest.mark.parametrize("unit", [b"x: y\r\n", b"x"])
def test_endless_trailers_are_refused_after_64_kib(server, unit):
    before = server.resident_mb
    with connected(server) as client:
        client.sendall(chunked(b"x: "))
        client.settimeout(0.2)
        sent, found = 0, b""
        while sent < 50 * 2**20 and not found:
            client.sendall(unit * (2**16 // len(unit)))
            sent += 2**16
            try:
                found = client.recv(1000)
            except TimeoutError:
                continue
    assert found.startswith(b"HTTP/1.1 400 ")
    assert b"trailers of at most 65,536 bytes" in found
    assert sent < 2 * 2**20
    assert server.resident_mb - before < 50


def test_heads_that_are_not_whole_count_in_the_account():
    code = "from pairnet.serving.server import account; account.MOST_HELD = 300_000"
    with running_server(before=code) as server, ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(8)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 60_000)
        time.sleep(0.5)
        assert clients[-1].recv(100).startswith(b"HTTP/1.1 503 ")
        for client in clients:
            client.close()
        time.sleep(0.3)
        assert answers(server, infer() + LAST)[0][0] == 200


@pytest.mark.parametrize("path", [PATH, "/decode?model=order_net_xs", "/v2/repository/index", "/nowhere"])
def test_bodies_that_no_handler_takes_count_too_and_memory_goes_back(path):
    """200 connections, each with a body of 4 MiB that is not whole: 256 MiB are held, the others get 503."""
    count, size = (200, 4 * 2**20) if LONG or "decode" in path else (90, 4 * 2**20)
    with running_server() as server, ExitStack() as stack:
        before = server.resident_mb
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode()
        clients = [stack.enter_context(connected(server)) for _ in range(count)]
        for client in clients:
            client.sendall(head + bytes(size - 10))
        time.sleep(0.5)
        assert server.resident_mb < 500
        refused = 0
        for client in clients:
            client.setblocking(False)
            with suppress(BlockingIOError):
                refused += client.recv(20).startswith(b"HTTP/1.1 503")
        if "decode" in path:
            assert refused in (count - 64, count - 63)  # heads count, too
        else:
            assert refused == 0  # inference answers once the body is there
        stack.close()
        for _ in range(100):
            time.sleep(0.1)
            if server.resident_mb - before < 60:
                break
        assert server.resident_mb - before < 60
        assert answers(server, infer() + LAST)[0][0] == 200


def test_a_picture_whose_client_leaves_is_counted_as_gone_and_leaves_no_traceback(server):
    def counted():
        text = answers(server, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[0][1].decode()
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("pairnet_errors_total")]
        return {name: float(value) for name, value in lines}

    gone, failed = (f'pairnet_errors_total{{kind="{kind}",model=""}}' for kind in ("gone", "failed"))
    before = counted()
    for _ in range(20):
        with connected(server) as client:
            client.sendall(
                b"POST /decode?model=order_net_xs HTTP/1.1\r\nHost: x.localhost\r\nContent-Length: 9\r\n\r\n12"
            )
            time.sleep(0.01)
    time.sleep(0.3)
    after = counted()
    assert after[gone] - before.get(gone, 0) == 20
    assert after.get(failed, 0) == before.get(failed, 0)
    assert not [line for line in server.log if "Traceback" in line]


ENDS = {
    "a body without a route": infer(path="/nowhere"),
    "a body of GET": infer().replace(b"POST", b"GET").replace(PATH.encode(), b"/v2"),
    "another host": infer().replace(b"localhost", b"x.example"),
    "another type": infer(fields=b"Content-Type: text/plain\r\n"),
    "a half body": infer()[:-5],
    "a half picture": infer(path="/decode?model=order_net_xs")[:-5],
    "no picture": infer(path="/decode?model=order_net_xs"),
    "half a request behind others": infer() + LIVE + infer()[:-5],
    "a broken chunk": chunked(b"")[:-3] + b"zz\r\n",
    "a broken chunk behind another request": infer() + chunked(b"")[:-3] + b"zz\r\n",
    "half a head": b"GET / HTTP/1.1\r\nX: " + b"x" * 8000,
    "half a head and garbage": (b"GET / HTTP/1.1\r\nX: " + b"x" * 8000, b"\r\n\x00\r\n\r\n"),
    "an offer to upgrade": infer(fields=b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
}


@pytest.mark.parametrize("waits", [False, True], ids=["leaves at once", "leaves later"])
def test_whatever_happened_to_a_request_it_holds_nothing_afterwards(waits):
    code = "from pairnet.serving.server import account; account.MOST_HELD = 60_000"
    with running_server(before=code) as server:
        for name, sent in ENDS.items():
            for _ in range(12):  # together more than the bound
                with connected(server) as client:
                    for part in sent if isinstance(sent, tuple) else (sent,):
                        client.sendall(part)
                        time.sleep(0.01 * waits)
            for _ in range(50):
                if answers(server, infer() + LAST)[0][0] == 200:
                    break
                time.sleep(0.05)
            else:
                pytest.fail(f"the server still holds something: {name}")


def test_an_url_without_a_path_means_the_path_of_all(server):
    for target in ("http://localhost", "http://localhost:80", "http://localhost?x=1"):
        found = answers(server, LIVE + f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() + LAST)
        assert [status for status, _ in found] == [200, 200, 200]
        assert b"<html" in found[1][1]


VALID = [
    LIVE,
    infer(),
    chunked(b"x: y\r\n\r\n"),
    infer(b" " * 20_000),  # 400 of the protocol, and the connection goes on
    infer(path="/nowhere"),
    b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n",
    infer(fields=b"X: " + b"x" * 20_000 + b"\r\n"),
]
BROKEN = [
    b"GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://x:99999999/ HTTP/1.1\r\n\r\n",
    b"GET nowhere HTTP/1.1\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    b"POST /x HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    chunked(b"")[:-3] + b"zz\r\n",
    b"\x00\xff garbage\r\n\r\n",
    chunked(b"x: " + b"x" * 70_000),
]
UNFINISHED = [infer()[:-5], infer()[:60], b"G", LIVE[:-1], chunked(b"x: y"), infer(b"x" * 30_000)[:-1]]


@asynccontextmanager
async def in_this_process(**options):
    """A server over REST in this event loop -> its service, its port and its state."""
    with open_models([built_in_model()]) as models:
        service = Service(models=models, **options)
        config = uvicorn.Config(
            Application(service, Admission(hosts=())),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            access_log=False,
        )
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: Connection(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        try:
            yield service, listener.sockets[0].getsockname()[1], state
        finally:
            listener.close()
            await asyncio.sleep(0.05)  # connections of this process close, too


async def until(condition):
    """Waits until it holds, for at most ten seconds -> whether it does."""
    for _ in range(500):
        if condition():
            return True
        await asyncio.sleep(0.02)
    return False


def test_whatever_a_pipeline_holds_the_account_is_empty_afterwards_and_what_came_before_is_answered():
    """Random pipelines: valid requests, then what is broken or unfinished, cut anywhere; clients stay or leave."""
    drawn = random.Random(7)

    async def send(port, sent, size, leaves):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        found = b""
        with suppress(ConnectionError):
            for start in range(0, len(sent), size):
                writer.write(sent[start : start + size])
                await writer.drain()
                await asyncio.sleep(0)
            if not leaves:
                while part := await asyncio.wait_for(reader.read(2**16), 20):
                    found += part
        writer.close()
        return found

    async def attack():
        async with in_this_process() as (service, port, state):
            for number in range(2000 if LONG else 150):
                before = drawn.choices(VALID, k=drawn.randrange(6))
                kind = drawn.choice(("last", "broken", "unfinished"))
                end = {"last": LAST, "broken": drawn.choice(BROKEN), "unfinished": drawn.choice(UNFINISHED)}[kind]
                after = drawn.choices(VALID, k=drawn.randrange(3))
                leaves = kind == "unfinished" or drawn.random() < 0.3
                sent = b"".join((*before, end, *(after if kind == "broken" else ())))
                found = await send(port, sent, drawn.choice((100, 1500, 10**6)), leaves)
                what = (number, before, end[:80])
                assert leaves or found.count(b"HTTP/1.1 ") == len(before) + 1, what
                assert await until(lambda: not state.connections and not state.tasks), what
                assert service.account.held == 0, what

    asyncio.run(attack())


BIG_HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n".encode() + b"".join(
    b"x%03d: %s\r\n" % (number, b"a" * 310) for number in range(190)
)


def test_whole_heads_whose_bodies_do_not_come_count_and_idle_connections_keep_nothing():
    async def attack():
        async with in_this_process() as (service, port, state):
            opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            for _, writer in opened:
                writer.write(BIG_HEAD + b"\r\n")
            assert await until(lambda: service.account.held > 20 * 85_000)
            for reader, writer in opened:
                writer.write(b"0123456789")
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
            assert await until(lambda: not state.tasks)
            assert service.account.held == 0
            for connection in state.connections:
                connection.close_if_slow(time.monotonic())
                assert not any((connection.cycle, connection.scope, connection.headers))
            reader, writer = opened[0]
            writer.write(LIVE)
            assert b"HTTP/1.1 200 " in await reader.readuntil(b"content-length: 0\r\n\r\n")
            service.account.bound = 10_000  # what is large finds no room, probes do
            for sent, status in ((LIVE, b"200"), (BIG_HEAD + b"\r\n0123456789", b"503")):
                writer.write(sent)
                assert b"HTTP/1.1 " + status in await reader.readuntil(b"\r\n\r\n")
            for _, writer in opened:
                writer.close()
            assert await until(lambda: not state.connections and not state.tasks)
            assert service.account.held == 0

    asyncio.run(attack())


def test_too_many_connections_make_room_for_new_ones(monkeypatch):
    monkeypatch.setattr(crowding, "MOST_CONNECTIONS", 20)

    async def attack():
        async with in_this_process() as (service, port, state):
            opened = []
            for sent in (b"", b"GET / HTTP/1.1\r\nX: ", infer()[:-5]) * 20:
                opened.append(await asyncio.open_connection("127.0.0.1", port))
                opened[-1][1].write(sent)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(LAST)
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            assert len(state.connections) <= 20
            for _, each in (*opened, (reader, writer)):
                each.close()
            assert await until(lambda: not state.connections and not state.tasks)
            assert service.account.held == 0

    asyncio.run(attack())


def test_who_makes_room_is_of_no_use_for_longest_and_never_waits_for_the_server(monkeypatch):
    monkeypatch.setattr(crowding, "MOST_CONNECTIONS", 50)

    def guest(since):
        return Mock(transport=Mock(is_closing=Mock(return_value=False)), useless_since=Mock(return_value=since))

    idle, busy, newcomer = [guest(float(number)) for number in range(30)], [guest(None) for _ in range(30)], guest(99.0)
    crowding.make_room(newcomer, [*busy, newcomer, *reversed(idle)])
    assert [each.transport.abort.called for each in idle] == [True] * 16 + [False] * 14
    assert not any(each.transport.abort.called for each in (*busy, newcomer))
    crowding.make_room(newcomer, [*busy, *(guest(None) for _ in range(30)), newcomer])
    assert newcomer.transport.abort.called
    crowding.make_room(fine := guest(1.0), [*busy, fine])
    assert not fine.transport.abort.called


def test_the_server_may_open_as_many_files_as_the_system_allows():
    code = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 700))"
    with running_server(before=code) as server, ExitStack() as stack:
        (line,) = [
            each for each in Path(f"/proc/{server.process.pid}/limits").read_text().splitlines() if "files" in each
        ]
        assert line.split()[3] == "700"
        for _ in range(600):
            stack.enter_context(connected(server))
        assert answers(server, infer() + LAST)[0][0] == 200


@pytest.mark.parametrize("stops", [False, True])
def test_an_answer_too_small_to_pause_that_nobody_reads_does_not_keep_its_connection(monkeypatch, stops):
    monkeypatch.setattr(connections, "LAST_READ", 0.1)

    async def attack():
        async with in_this_process() as (_, port, state):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", port))
            client.setblocking(False)
            assert await until(lambda: state.connections)
            (connection,) = state.connections
            connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            client.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
            assert await until(lambda: connection.transport.get_write_buffer_size() and not state.tasks)
            assert connection._blocked_since is None
            now = time.monotonic()
            if stops:
                connection.shutdown()
            else:
                connection.close_if_slow(now)
                connection.close_if_slow(now + 15)
                assert state.connections
                connection.close_if_slow(now + 25)
            assert await until(lambda: not state.connections)
            client.close()

    asyncio.run(attack())


def test_white_space_behind_a_value_is_no_part_of_it_and_two_hosts_are_refused(server):
    fields = b"Content-Type: application/json \t\r\nInference-Header-Content-Length: %d \r\n" % len(BODY)
    assert answers(server, infer(fields=fields) + LAST)[0][0] == 200
    for other in (b"localhost", b"evil.example"):
        ((status, body),) = answers(server, infer(fields=b"Host: " + other + b"\r\n"))
        assert (status, b"one header field Host" in body) == (400, True)
    assert [status for status, _ in answers(server, chunked(b"Host: x\r\n\r\n") + LAST)] == [200, 200]  # a trailer


def test_half_heads_and_requests_whose_turn_does_not_come_are_counted():
    async def attack():
        async with in_this_process() as (service, port, state):
            service.count_refusal = count_of = Mock(wraps=service.count_refusal)
            for sent in (b"G", LIVE[:-1], LIVE + LIVE[:-1]):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent)
                await asyncio.sleep(0.1)
                writer.close()
            (await asyncio.open_connection("127.0.0.1", port))[1].close()  # has sent nothing
            assert await until(lambda: not state.connections)
            assert [call.args[0].kind for call in count_of.call_args_list] == ["gone"] * 3

    asyncio.run(attack())
