"""/decode and its processes: no picture, and no client, holds others up; they end with the server, however it ends."""

import asyncio
import http.client
import json
import os
import random
import re
import signal
import socket
import struct
import sys
import time
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from damage import damaged
from PIL import Image, ImageDraw
from running_server import running_server

from pairnet.errors import PictureError, RequestError
from pairnet.serving.pictures.decoder import NICER
from pairnet.serving.pictures.decoding import FORMATS
from pairnet.serving.server import decoders
from pairnet.serving.server.decoders import MOST, Decoders

LONG = os.environ.get("PAIRNET_ATTACK") == "long"
PATH = "/decode?model=order_net_xs"
PROGRAM = """
import os, sys, time, pairnet.serving.pictures.decoder as it
it.MAX_SECONDS = 1
real = it.decode
def decode(content, name, *, apart):
    while content == b'slow':
        pass
    if content[:5] == b'sleep':
        time.sleep(60)
    if content == b'crash':
        os.kill(os.getpid(), 11)
    if content == b'short of memory':
        os.kill(os.getpid(), 9)
    if content == b'greedy':
        bytes(1 << 40)
    if content == b'bug':
        raise ZeroDivisionError
    return real(content, name, apart=apart)
it.decode = decode
it.main(int(sys.argv[1]))
"""
"""A decoder that misbehaves when it is told to."""
MISBEHAVING = f"""
import os, sys
from pairnet.serving.pictures.decoding import FORMATS
from pairnet.serving.server import decoders
decoders.command = lambda: [sys.executable, "-P", "-c", {PROGRAM!r}, str(os.getpid())]
"""


def drawn(kind="PNG", side=100, mode="L"):
    """A picture of a seven."""
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    image = Image.new(mode, (side, side), "white")
    stroke = [(side * x, side * y) for x, y in ((0.3, 0.2), (0.7, 0.2), (0.45, 0.8))]
    ImageDraw.Draw(image).line(stroke, fill="black", width=max(2, side // 12))
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


def many_scans(count):
    """A progressive JPEG of 2048x2048 whose last scan comes `count` times."""
    file = BytesIO()
    Image.new("L", (2048, 2048), 255).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xc4", 0, content.rindex(b"\xff\xda"))
    return content[:-2] + content[last:-2] * count + content[-2:]


def children(pid):
    """The processes that a process has started and that still run."""
    numbers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(number) for number in numbers if runs(int(number))]


def runs(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def until(condition, seconds=20):
    """Waits for a condition -> whether it came."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@contextmanager
def misbehaving_pool(monkeypatch):
    """The pool of a test in this process."""
    monkeypatch.setattr(decoders, "command", lambda: [sys.executable, "-P", "-c", PROGRAM, str(os.getpid())])
    pool = Decoders()
    try:
        yield pool
    finally:
        pool.close()
        assert not children(os.getpid())


async def attempt(pool, content):
    """The picture, or the error in its place."""
    try:
        return await pool.decode(content)
    except (PictureError, RequestError, RuntimeError) as error:
        return error


async def all_ended():
    """Waits until this process has no children -> whether that came."""
    for _ in range(400):
        if not children(os.getpid()):
            return True
        await asyncio.sleep(0.05)
    return False


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


# The processes


def test_what_ends_a_decoder_is_a_refusal_and_the_next_picture_is_decoded(monkeypatch):
    async def run():
        with misbehaving_pool(monkeypatch) as pool:
            found = []
            for content in (b"crash", b"short of memory", b"greedy", b"", b"bug", b"slow"):
                found += [await attempt(pool, content), (await pool.decode(drawn())).pixels.shape]
            return found

    found = asyncio.run(run())
    assert [error.code for error in (*found[:8:2], found[10])] == [
        *("damaged", "too-large", "too-large", "format"),
        "too-much-work",
    ]
    assert isinstance(found[8], RuntimeError)
    assert "ZeroDivisionError" in str(found[8])
    assert found[1::2] == [(1, 28, 28)] * 6
    assert not [error for error in found[::2] if "\n" in str(error) and not isinstance(error, RuntimeError)]


def test_pictures_that_take_long_give_way_and_one_goes_on(monkeypatch):
    async def run():
        with misbehaving_pool(monkeypatch) as pool:
            await asyncio.gather(*(pool.decode(drawn()) for _ in range(MOST)))  # all processes run
            slow = [asyncio.create_task(attempt(pool, b"sleep")) for _ in range(MOST)]
            await asyncio.sleep(0.1)
            answered = await asyncio.gather(*(attempt(pool, drawn()) for _ in range(3)))
            still = slow[0].cancel()
            return answered, still, await asyncio.gather(*slow[1:])

    answered, still, slow = asyncio.run(run())
    assert answered[0].pixels.shape == (1, 28, 28)  # others may have waited for as long as anybody does
    assert all(isinstance(each, RequestError) or each.pixels.shape == (1, 28, 28) for each in answered)
    assert still
    assert [error.kind for error in slow] == ["busy"] * (MOST - 1)


def test_pictures_wait_in_a_bounded_queue_for_a_bounded_time(monkeypatch):
    monkeypatch.setattr(decoders, "MOST_WAITING", 3)
    monkeypatch.setattr(decoders, "TURN", 1000)
    monkeypatch.setattr(decoders, "PATIENCE", 0.3)

    async def run():
        with misbehaving_pool(monkeypatch) as pool:
            running = [asyncio.create_task(pool.decode(b"sleep")) for _ in range(MOST)]
            await asyncio.sleep(0.1)
            found = await asyncio.gather(*(attempt(pool, drawn()) for _ in range(5)))
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            return found, (await pool.decode(drawn())).pixels.shape, pool

    found, after, pool = asyncio.run(run())
    assert [error.kind for error in found] == ["busy"] * 5
    assert sorted("3 pictures that wait" in str(error) for error in found) == [False] * 3 + [True] * 2
    assert after == (1, 28, 28)
    assert not pool._waiting
    assert not pool._running
    assert pool._free == MOST


def test_small_pictures_do_not_wait_for_large_ones(monkeypatch):
    monkeypatch.setattr(decoders, "PATIENCE", 60)
    monkeypatch.setattr(decoders, "TURN", 60)

    async def run():
        with misbehaving_pool(monkeypatch) as pool:
            running = [asyncio.create_task(pool.decode(b"sleep")) for _ in range(MOST)]
            await asyncio.sleep(0.1)
            order = []

            async def decode(side):
                await pool.decode(drawn(side=side))
                order.append(side)

            tasks = [asyncio.create_task(decode(side)) for side in (2000, 500, 100, 1000)]
            await asyncio.sleep(0.1)
            running[0].cancel()
            await asyncio.wait(tasks)
            running[1].cancel()
            await asyncio.wait(running)
            return order

    assert asyncio.run(run()) == [100, 500, 1000, 2000]


def test_a_cancelled_picture_ends_its_process_or_leaves_the_queue(monkeypatch):
    async def run():
        with misbehaving_pool(monkeypatch) as pool:
            tasks = [asyncio.create_task(pool.decode(b"sleep")) for _ in range(MOST + 5)]
            await asyncio.sleep(0.5)
            before = children(os.getpid())
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() for task in tasks)
            assert pool._free == MOST
            return len(before), await all_ended(), pool._waiting

    assert asyncio.run(run()) == (MOST, True, [])


def test_a_process_is_replaced_after_many_pictures_when_idle_and_when_somebody_has_killed_it(monkeypatch):
    async def run():
        with misbehaving_pool(monkeypatch) as pool:
            await pool.decode(drawn())
            first = children(os.getpid())
            await pool.decode(drawn())
            assert children(os.getpid()) == first
            monkeypatch.setattr(decoders, "MOST_PICTURES", 3)
            await pool.decode(drawn())
            assert await all_ended()
            await pool.decode(drawn())
            (second,) = children(os.getpid())
            os.kill(second, signal.SIGKILL)
            assert await all_ended()
            monkeypatch.setattr(decoders, "IDLE", 0.01)
            await pool.decode(drawn())
            assert await all_ended()

    asyncio.run(run())


def test_a_process_that_does_not_start_is_an_error_of_the_server(monkeypatch, capfd):
    monkeypatch.setattr(decoders, "command", lambda: [sys.executable, "-c", "import nothing_of_this_name"])

    async def run():
        pool = Decoders()
        found = await attempt(pool, drawn())
        pool.close()
        return found

    assert "did not start" in str(asyncio.run(run()))
    assert "nothing_of_this_name" in capfd.readouterr().err


# The server


def post(server, content, timeout=60.0):
    with closing(http.client.HTTPConnection(server.rest, timeout=timeout)) as connection:
        connection.request("POST", PATH, content)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer


def sent(server, content, length=None):
    """A connection on which a picture was sent."""
    host, _, port = server.rest.partition(":")
    client = socket.create_connection((host, int(port)), timeout=60)
    size = len(content) if length is None else length
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
    client.sendall(head.encode() + content)
    return client


def received(client):
    """The JSON of the answer on a connection."""
    text = b""
    while not text.endswith(b"}") and (part := client.recv(1 << 16)):
        text += part
    return json.loads(text.partition(b"\r\n\r\n")[2])


def counted(server, kind):
    with closing(http.client.HTTPConnection(server.rest, timeout=60)) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    found = re.search(rf'^pairnet_errors_total{{kind="{kind}",model=""}} (\S+)', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.fixture(scope="module")
def server():
    with running_server(before=MISBEHAVING) as running:
        yield running


@pytest.mark.parametrize("count", [6_000, 50_000] if LONG else [6_000])
def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(server, count):
    began = time.monotonic()
    status, answer, _ = post(server, many_scans(count))
    assert (status, answer["code"]) == (400, "too-much-work")
    assert time.monotonic() - began < 10  # by itself it takes seconds to minutes


def test_a_picture_beyond_the_limit_of_time_is_refused_and_others_are_answered_meanwhile(server):
    with sent(server, b"slow") as slow:
        assert until(lambda: children(server.process.pid))
        assert post(server, drawn())[0] == 200
        assert received(slow)["code"] == "too-much-work"


def test_a_small_picture_does_not_wait_behind_many_that_take_long(server):
    waiting = [sent(server, b"sleep".ljust(100_000)) for _ in range(MOST + 4)]
    assert until(lambda: len(children(server.process.pid)) == MOST)
    began = time.monotonic()
    status, _, _ = post(server, drawn())
    assert (status, time.monotonic() - began < 10) == (200, True)  # about a second on a machine that is free
    for client in waiting:
        client.close()


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_pictures_are_read_or_refused(server, kind):
    rng, content = random.Random(kind), drawn(kind, side=64, mode="RGB")
    for _ in range(200 if LONG else 5):
        status, answer, _ = post(server, damaged(content, rng))
        assert status in (200, 400, 413), answer
        assert "Traceback" not in "".join(server.log)


def test_decoders_give_way_to_inference(server):
    post(server, drawn())
    found = children(server.process.pid)
    assert found
    own = os.getpriority(os.PRIO_PROCESS, server.process.pid)
    assert {os.getpriority(os.PRIO_PROCESS, each) for each in found} == {min(19, own + NICER)}


def test_clients_that_leave_are_counted_and_hold_nobody_up(server):
    before = counted(server, "gone")
    clients = [sent(server, b"sleep") for _ in range(20)] + [sent(server, b"12345", length=1000) for _ in range(5)]
    assert until(lambda: len(children(server.process.pid)) == MOST)
    for index, client in enumerate(clients):
        if index % 2:  # ends with a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert until(lambda: counted(server, "gone") == before + len(clients))
    assert post(server, drawn())[0] == 200


def test_a_client_that_closes_its_side_leaves_its_picture(server):
    with sent(server, b"sleep") as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_too_many_pictures_are_refused_with_when_to_come_again():
    before = f"{MISBEHAVING}\ndecoders.MOST_WAITING = 1; decoders.PATIENCE = 60; decoders.TURN = 60"
    with running_server(before=before) as server:
        waiting = [sent(server, b"sleep") for _ in range(MOST)]
        assert until(lambda: len(children(server.process.pid)) == MOST)
        waiting.append(sent(server, b"sleep"))
        time.sleep(0.3)
        status, answer, head = post(server, drawn())
        assert (status, head.getheader("Retry-After")) == (503, "1")
        assert "1 pictures that wait" in answer["error"]
        for client in waiting:
            client.close()


def test_large_pictures_of_many_clients_are_held_within_the_bound():
    size = 4 << 20
    with running_server() as server:
        clients = [sent(server, bytes(size - 10), length=size) for _ in range(200 if LONG else 80)]
        assert until(lambda: counted(server, "busy") > 0)
        assert server.resident_mb < 500
        for client in clients:
            client.close()
        assert until(lambda: post(server, drawn())[0] == 200)


# Its end


def test_a_signal_waits_for_a_picture():
    with running_server(before=MISBEHAVING) as server, sent(server, b"slow") as slow:
        assert until(lambda: children(server.process.pid))
        left = children(server.process.pid)
        server.process.terminate()
        assert received(slow)["code"] == "too-much-work"
        assert server.process.wait(timeout=30) == 0
        assert not [each for each in left if runs(each)]


def test_the_second_signal_drops_a_picture():
    with running_server(before=MISBEHAVING) as server, sent(server, b"sleep"):
        assert until(lambda: children(server.process.pid))
        left = children(server.process.pid)
        server.process.terminate()
        time.sleep(0.3)
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0
        assert not [each for each in left if runs(each)]


@pytest.mark.parametrize("content", [b"slow", b"sleep", drawn()])
def test_no_decoder_survives_a_server_that_is_killed(content):
    with running_server(before=MISBEHAVING, check=False) as server, sent(server, content):
        assert until(lambda: children(server.process.pid))
        time.sleep(0.3)
        left = children(server.process.pid)
        server.process.kill()
        server.process.wait()
        assert until(lambda: not [each for each in left if runs(each)])
