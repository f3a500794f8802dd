"""gRPC clients that do not read their answers, or answer no ping when the server stops."""

import time

import grpc
import pytest
from http2_frames import SERVICE, Connection, message
from running_server import running_server

from pairnet.serving.server.open_calls import CALL, MOST_UNREAD

LIVE = f"{SERVICE}/ServerLive"


def test_answers_that_nobody_reads_do_not_fill_the_memory():
    """2.5 times as many calls as may be unread: connections that have most of them are ended."""
    with running_server() as server:
        opened, peak = [], 0.0
        try:
            for _ in range(5 * MOST_UNREAD // CALL // 2 // 100):
                opened.append(Connection(server.grpc, window=0))
                for _ in range(100):
                    opened[-1].call(message(b""), method=LIVE, ends=True)
                peak = max(peak, server.resident_mb)
            end, unread = time.monotonic() + 20, MOST_UNREAD
            while unread > MOST_UNREAD // CALL and time.monotonic() < end:
                for each in opened:
                    each.pump(0.01)
                unread = sum(100 - len(each.ended) for each in opened if not each.closed)
            assert 0 < unread <= MOST_UNREAD // CALL  # gRPC refuses some by itself, since they come too fast
            assert any(each.closed for each in opened)
            assert max(peak, server.resident_mb) < 400
            with grpc.insecure_channel(server.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                assert channel.unary_unary(LIVE)(b"", timeout=10)
        finally:
            for each in opened:
                each.socket.close()


@pytest.mark.parametrize("number", [1, 20])
def test_an_end_does_not_wait_for_clients_that_answer_no_ping(number):
    """gRPC itself waits for 20 seconds."""
    with running_server() as server:
        opened = [Connection(server.grpc) for _ in range(number)]
        for each in opened:
            stream = each.call(message(b""), method=LIVE, ends=True)
            each.wait_for(stream, seconds=20)
            assert each.answers[stream]
        began = time.monotonic()
        server.process.terminate()
        assert server.process.wait(timeout=30) == 0
        assert time.monotonic() - began < 12
        for each in opened:
            each.socket.close()
