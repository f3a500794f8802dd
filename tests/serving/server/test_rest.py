"""What REST refuses, with which status and words; and what it does with clients that misbehave."""

import gzip
import http.client
import json
import socket
import time
import zlib
from contextlib import closing
from io import BytesIO
from itertools import product
from time import monotonic
from unittest.mock import Mock

import numpy as np
import pytest
from running_server import running_server

from pairnet.serving.server.account import Account
from pairnet.serving.server.connections import Connection

pytest_plugins = ("served",)

PATH = "/v2/models/order_net_xs/infer"
JSON = {"Content-Type": "application/json"}
PAIR = bytes(range(256)) * 6 + bytes(32)  # 2x28x28


@pytest.fixture
def ask(server):
    with closing(http.client.HTTPConnection(server.rest, timeout=60)) as connection:

        def ask(path=PATH, body=b"", headers=JSON, method="POST"):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer

        yield ask


def request(**changes):
    """A valid request in JSON, with other values for its input."""
    tensor = {"name": "pair", "datatype": "UINT8", "shape": [1, 2, 28, 28], "data": list(PAIR)} | changes
    return json.dumps({"inputs": [tensor]}).encode()


def binary(size=1568, **changes):
    """The JSON of a request whose input follows as bytes."""
    tensor = {"name": "pair", "datatype": "UINT8", "shape": [1, 2, 28, 28], "parameters": {"binary_data_size": size}}
    return json.dumps({"inputs": [tensor | changes]}).encode()


def raw(body=b"", length=None, path=PATH, **headers):
    """A request as bytes; `length` is declared instead of that of the body; - stands for _ in names of headers."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


LAST = b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n\r\n"


def received(client):
    """Everything until the server closes the connection."""
    return b"".join(iter(lambda: client.recv(100_000), b""))


def headers(head, **more):
    return {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head)), **more}


def test_json_may_be_flat_or_nested(ask):
    nested = np.frombuffer(PAIR, np.uint8).reshape(1, 2, 28, 28).tolist()
    answers = [json.loads(ask(body=request(data=data))[1]) for data in (list(PAIR), nested)]
    assert answers[0] == answers[1]
    assert answers[0]["outputs"][0]["name"] == "probability"
    assert "id" not in answers[0]


REFUSED = [
    (request(name="pairs"), "expected the input pair, got 'pairs'"),
    (request(datatype="FP32"), "expected the datatype UINT8, got 'FP32'"),
    (request(shape=[1, 2, 14, 14]), r"expected the shape (N,2,28,28), N at least 1, got (1,2,14,14)"),
    (request(shape=[0, 2, 28, 28], data=[]), "N at least 1, got (0,2,28,28)"),
    (request(shape=[-1, 2, 28, 28]), "N at least 1, got (-1,2,28,28)"),
    (request(shape=[]), "got ()"),
    (request(shape=[2**62, 2, 28, 28]), "at most 32,768 pairs"),
    (request(shape=[2, 2, 28, 28]), "expected 3,136 values, flat or nested like the shape, got 1,568 values"),
    *(
        (request(data=[value] * 1568), "whole numbers from 0 to 255")
        for value in (256, -1, 2**80, 0.5, True, None, "1")
    ),
    *((request(data=data), "flat or of 4 levels") for data in ([[0] * 784] * 2, 7, "x", {})),
    (request(data=[[[[0] * 28] * 28]]), "expected 1,568 values, flat or nested like the shape, got arrays of shape"),
    (request(data=[[[[0] * 28] * 28, [[0] * 27] * 28]]), "rows of different lengths"),
    (request(parameters={"binary_data_size": 9}), "expected data or binary_data_size, got both"),
    (request(parameters={"shared_memory_region": "x"}), "does not support"),
    (json.dumps({"inputs": []}).encode(), "expected one input, pair, got 0"),
    (json.dumps({"inputs": [json.loads(request())["inputs"][0]] * 2}).encode(), "expected one input, pair, got 2"),
    (request()[:-1] + b', "outputs": [{"name": "class"}]}', "expected outputs among probability, digits, got 'class'"),
    (request()[:-1] + b', "outputs": [{"name": "digits"}, {"name": "digits"}]}', "expected each output once"),
    (request()[:-1] + b', "parameters": {"sequence_id": 1}}', "does not support"),
    (request()[:-1] + b', "parameters": {"timeout": "soon"}}', "whole microseconds"),
    (request()[:-1] + b', "parameters": {"timeout": -1}}', "whole microseconds"),
    (request()[:-1] + b', "parameters": {"binary_data_output": 1}}', "true or false"),
    (request()[:-1] + b', "outputs": [{"name": "digits", "parameters": {"classification": 2}}]}', "classification"),
    (request()[:-1] + b', "id": 7}', "$.id"),
    (b"", "got an empty body"),
    (b"{}", "missing required field"),
    (b"[]", "Expected `object`, got `array`"),
    (b"{", "truncated"),
    (b"\xff\xfe{", "malformed"),
    (b"nan", "truncated"),
    (b"[" * 100_000, "Expected `object`, got `array`"),
    (b'{"inputs":' + b"[" * 100_000, "Expected `object`, got `array`"),
    (b'{"x":' + b"[" * 100_000, "too deeply"),
    (b'{"inputs": [' + b"[]," * 5_000_000, "Expected `object`, got `array`"),
    (request(data=[]).replace(b"[]", b"[" * 100_000), "too deeply"),
    (
        request(data=[]).replace(b'"data": []', b'"data": [' + b"1," * 5_000_000 + b"[]]"),
        "Expected `int`, got `array`",
    ),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=range(len(REFUSED)))
def test_json_that_does_not_fit_is_refused_in_one_line(ask, body, message):
    status, content, answer = ask(body=body)
    assert status == (413 if "32,768" in message else 400)
    assert answer.getheader("content-type") == "application/json"
    text = json.loads(content)["error"]
    assert message in text.replace("\\x5b", "[").replace("\\x5d", "]")
    assert "\n" not in text
    assert len(text) < 400


@pytest.mark.parametrize(
    ("head", "length", "tail", "message"),
    [
        (binary(), None, PAIR[:-1], "binary_data_size of the 1,567 bytes"),
        (binary(), None, PAIR + b"x", "binary_data_size of the 1,569 bytes"),
        (binary(size=1567), None, PAIR[:-1], "expected 1,568 bytes for the shape (1,2,28,28), got 1,567"),
        (binary(size="1568"), None, PAIR, "binary_data_size"),
        (binary(size=True), None, b"x", "binary_data_size"),
        (binary(), 10**15, PAIR, "expected JSON of 1 to"),
        (binary(), -1, PAIR, "expected JSON of 1 to"),
        (binary(), 0, PAIR, "expected JSON of 1 to"),
        (binary(), "x", PAIR, "expected JSON of 1 to"),
        (binary(), 20, PAIR, "truncated"),
        (binary(), len(binary()) + 1, PAIR, "malformed"),
        (request(), None, PAIR, "expected binary_data_size for 1,568 bytes"),
        (binary(parameters={}), None, b"", "expected data or binary_data_size, got neither"),
    ],
)
def test_binary_tensors_that_do_not_fit_are_refused(ask, head, length, tail, message):
    found = headers(head) | ({} if length is None else {"Inference-Header-Content-Length": str(length)})
    status, content, _ = ask(body=head + tail, headers=found)
    assert status == 400
    assert message in json.loads(content)["error"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v2/models/none/infer", "POST", 404),
        (PATH.replace("infer", "versions/2/infer"), "POST", 404),
        (PATH.replace("infer", "versions/1/infer"), "POST", 200),
        (PATH, "GET", 405),
        (PATH, "PUT", 405),
        ("/v2/models/order_net_xs", "POST", 405),
        ("/v2/models/none", "GET", 404),
        ("/v2/models/none/stats", "GET", 404),
        ("/v2/models//infer", "POST", 404),
        ("/v2/nothing", "GET", 404),
        ("/nothing", "POST", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", "GET", 404),
    ],
)
def test_paths_and_methods(ask, path, method, status):
    found, content, answer = ask(path, request(), method=method)
    assert found == status
    assert status == 200 or json.loads(content)["error"].removeprefix("order_net_xs: ").startswith("expected")
    assert status != 405 or answer.getheader("allow")


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"Content-Type": "text/plain"}, 415, "Content-Type application/json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 200, ""),  # which curl -d sends; Triton takes it
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415, "Content-Type application/json"),
        ({"Content-Encoding": "br"}, 415, "gzip, deflate or none"),
        ({"Content-Encoding": "gzip"}, 400, "other bytes"),
        ({"Content-Type": "application/json; charset=utf-8"}, 200, ""),
    ],
)
def test_types_and_encodings(ask, changes, status, message):
    found, content, _ = ask(body=request(), headers=JSON | changes)
    assert found == status
    assert status == 200 or message in json.loads(content)["error"]


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_gzip_of_several_members_is_one_body(ask, encoding):
    body = request()
    parts = [gzip.compress(body[:5]), gzip.compress(b""), gzip.compress(body[5:] + b" " * 200_000)]
    status, content, _ = ask(body=b"".join(parts), headers=JSON | {"Content-Encoding": encoding})
    assert (status, json.loads(content)["outputs"][0]["shape"]) == (200, [1])
    odd = ([parts[0][:-1]], [*parts, b"x"], [*parts, parts[0][:9]], [parts[0], zlib.compress(body)], parts[:1] * 5000)
    for wrong in odd:
        status, content, _ = ask(body=b"".join(wrong), headers=JSON | {"Content-Encoding": encoding})
        assert status == 400
        assert "other bytes" in json.loads(content)["error"]
    assert ask(body=zlib.compress(body) * 2, headers=JSON | {"Content-Encoding": "deflate"})[0] == 400


@pytest.mark.parametrize("nested", [False, True])
def test_null_is_as_if_absent(ask, nested):
    tensor = json.loads(request())["inputs"][0] | {"parameters": None}
    if nested:
        tensor["data"] = np.frombuffer(PAIR, np.uint8).reshape(1, 2, 28, 28).tolist()
    sent = {"id": None, "parameters": None, "outputs": None, "inputs": [tensor]}
    expected = json.loads(ask(body=request())[1])
    assert json.loads(ask(body=json.dumps(sent).encode())[1]) == expected
    sent["outputs"] = [{"name": "digits", "parameters": None}]
    assert [each["name"] for each in json.loads(ask(body=json.dumps(sent).encode())[1])["outputs"]] == ["digits"]
    head = json.loads(binary()) | {"id": None}
    head["inputs"][0]["data"] = None
    text = json.dumps(head).encode()
    assert json.loads(ask(body=text + PAIR, headers=headers(text))[1])["outputs"] == expected["outputs"]
    assert ask(body=json.dumps({"inputs": None}).encode())[0] == 400


LONG_NUMBER = "9" * 4000


@pytest.mark.parametrize(
    "body",
    [
        *(request(shape=shape) for shape in ([int(LONG_NUMBER), 2, 28, 28], [1] * 5000, [1, int("-" + LONG_NUMBER)])),
        request(parameters={"binary_data_size": int(LONG_NUMBER)}, data=None),
        request(name="x" * 9000),
        request(datatype="x" * 9000),
        *(
            request()[:-1] + b', "%s}' % rest.encode()
            for rest in (
                f'parameters": {{"timeout": -{LONG_NUMBER}}}',
                f'parameters": {{"binary_data_output": {LONG_NUMBER}}}',
                f'outputs": [{{"name": "{LONG_NUMBER}"}}]',
                f'outputs": [{{"name": "{LONG_NUMBER}", "parameters": {{"classification": 1}}}}]',
            )
        ),
    ],
    ids=range(10),
)
def test_what_a_message_repeats_is_shortened(ask, body):
    status, content, _ = ask(body=body)
    assert status in (400, 413)
    assert len(json.loads(content)["error"]) < 300


@pytest.mark.parametrize("path", ["/v2/models/%s", "/v2/models/%s/infer", "/%s", "/decode?model=%s"])
def test_what_a_message_repeats_of_a_path_is_shortened(ask, path):
    for method in ("GET", "POST"):
        status, content, _ = ask(path % ("x" * 9000), method=method)
        assert status in (404, 405)
        assert len(json.loads(content)["error"]) < 400


def test_messages_about_json_point_into_the_request(ask):
    for data in ([0.5] + [0] * 1567, [[[[0.5] * 28] * 28] * 2]):
        text = json.loads(ask(body=request(data=data))[1])["error"]
        assert "got `float` at `$.inputs[0].data[0]" in text
        assert "'" not in text
    assert "at `$.inputs[0].shape`" in json.loads(ask(body=request(shape=1))[1])["error"]


@pytest.mark.parametrize(
    ("unit", "size", "compressed", "message"),
    [
        (b"[],", 17 * 2**20, False, "16,777,216 bytes"),
        (b"[],", 63 * 2**20, False, "16,777,216 bytes"),
        (b"[],", 18 * 2**20, True, "16,777,216 bytes"),
        (bytes(3), 200 * 2**20, True, "after decompression"),
    ],
)
def test_json_has_a_limit_of_its_own_and_a_compressed_body_too(ask, unit, size, compressed, message):
    body = b'{"inputs": [' + unit * (size // 3)
    if compressed:
        body = gzip.compress(body, 1)
    status, content, answer = ask(body=body, headers=JSON | ({"Content-Encoding": "gzip"} if compressed else {}))
    assert status == 413
    assert message in json.loads(content)["error"]
    assert answer.getheader("connection") == "close"


def connected(server):
    host, _, port = server.rest.partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def test_a_declared_length_of_64_gib_is_refused_before_it_is_sent(server):
    with connected(server) as client:
        client.sendall(raw(length=64 * 2**30, Expect="100-continue"))
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_chunks_beyond_the_limit_are_refused(server):
    with connected(server) as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        block = b"100000\r\n" + bytes(2**20) + b"\r\n"
        for _ in range(20):
            client.sendall(block)
        client.sendall(b"0\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("sent", [b"\x00\xff garbage\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"x" * 200_000])
def test_what_is_no_http_gets_400_and_a_closed_connection(server, sent):
    with connected(server) as client:
        client.sendall(sent)
        try:
            head, _, body = received(client).partition(b"\r\n\r\n")
        except ConnectionResetError:  # what is sent after the refusal is not read
            assert len(sent) > 100_000
            return
        assert head.startswith(b"HTTP/1.1 400 ")
        assert "error" in json.loads(body)


def test_requests_that_arrive_at_once_on_one_connection_are_answered_in_order(server):
    with connected(server) as client:
        client.sendall(raw(request()) * 3 + LAST)
        answer = received(client)
        assert answer.count(b"HTTP/1.1 200 ") == 4
        assert answer.count(b'"probability"') == 3


def test_clients_that_send_slowly_are_disconnected_and_hold_nobody_up():
    code = "from pairnet.serving.server import connections; connections.SLOWEST = 1.0"
    with running_server(before=code) as server, connected(server) as silent, connected(server) as slow:
        slow.sendall(raw(length=100))
        began = time.monotonic()
        with closing(http.client.HTTPConnection(server.rest, timeout=10)) as connection:
            connection.request("POST", PATH, request(), JSON)
            assert connection.getresponse().status == 200
        try:
            while time.monotonic() - began < 20:
                slow.sendall(b" ")
                time.sleep(0.2)
        except OSError:
            pass
        assert time.monotonic() - began < 10
        silent.settimeout(10)
        assert silent.recv(10) == b""


def test_a_timeout_that_passes_in_the_queue_is_told(server, ask):
    name = "final_model-images-fp32"
    body = request()[:-1] + b', "parameters": {"timeout": 1000}}'
    slow = binary(size=3000 * 1568, shape=[3000, 2, 28, 28])
    with connected(server) as busy:
        busy.sendall(raw(slow + bytes(3000 * 1568), path=f"/v2/models/{name}/infer", **headers(slow)))
        statuses = [ask(f"/v2/models/{name}/infer", body)[0] for _ in range(20)]
        assert busy.recv(20).startswith(b"HTTP/1.1 200")
    assert set(statuses) <= {200, 504}
    assert 504 in statuses
    assert ask(body=request()[:-1] + b', "parameters": {"timeout": 60000000}}')[0] == 200


def test_requested_outputs_come_in_their_order(ask):
    for names in (["digits", "probability"], ["probability", "digits"], ["digits"]):
        body = json.loads(request()) | {"outputs": [{"name": name} for name in names]}
        found = json.loads(ask(body=json.dumps(body).encode())[1])["outputs"]
        assert [each["name"] for each in found] == names


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("br, gzip;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("br", None),
        (None, None),
    ],
)
def test_large_answers_are_compressed_if_the_client_accepts_that(ask, accepted, encoding):
    head = binary(size=100 * 1568, shape=[100, 2, 28, 28])
    more = {} if accepted is None else {"Accept-Encoding": accepted}
    status, content, answer = ask(body=head + PAIR * 100, headers=headers(head, **more))
    assert status == 200
    assert answer.getheader("content-encoding") == encoding
    text = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content) if encoding else content
    assert len(json.loads(text)["outputs"][0]["data"]) == 100


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_an_offer_to_upgrade_is_ignored(server, upgrade):
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": upgrade}
    whole = raw(request(), **offer) + LAST
    in_chunks = raw(length=0, **offer).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    in_chunks += b"%x\r\n%s\r\n0\r\n\r\n" % (len(request()), request()) + LAST
    for sent, size in product((whole, in_chunks), (1, 1000, 10**6)):  # bytes sent at once
        with connected(server) as client:
            for start in range(0, len(sent), size):
                client.sendall(sent[start : start + size])
            answer = received(client)
        assert answer.count(b"HTTP/1.1 200 ") == 2
        assert b'"probability"' in answer


def test_a_client_that_has_sent_everything_may_close_its_side(server):
    with connected(server) as client:
        client.sendall(raw(request()))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100_000).startswith(b"HTTP/1.1 200 ")


def test_head_and_the_headers_of_the_page(ask):
    status, content, answer = ask("/", method="HEAD")
    assert (status, content) == (200, b"")
    assert "default-src 'self'" in answer.getheader("content-security-policy")
    assert answer.getheader("x-content-type-options") == "nosniff"
    assert ask("/v2/health/ready", method="HEAD")[0] == 200
    assert ask("/v2/health/ready/", method="GET")[0] == 404  # no redirection, which would lead past a proxy


def test_requests_that_are_held_are_bounded_and_given_back():
    code = "from pairnet.serving.server import account; account.MOST_HELD = 10_000"
    body = request()
    with (
        running_server(before=code) as server,
        closing(http.client.HTTPConnection(server.rest, timeout=30)) as connection,
    ):
        for _ in range(10):
            connection.request("POST", PATH, body, JSON)
            answer = connection.getresponse()
            assert (answer.status, len(answer.read()) > 10) == (200, True)
        with connected(server) as waiting:  # holds what it has sent
            waiting.sendall(raw(bytes(9000), length=10_000))
            time.sleep(0.3)
            connection.request("POST", PATH, body, JSON)
            answer = connection.getresponse()
            assert answer.status == 503
            assert answer.getheader("Retry-After") == "1"
            assert "too many large requests" in json.loads(answer.read())["error"]
        time.sleep(0.3)
        with closing(http.client.HTTPConnection(server.rest, timeout=30)) as later:
            later.request("POST", PATH, body, JSON)
            assert later.getresponse().status == 200


def test_inflated_content_counts_while_it_is_held():
    code = "from pairnet.serving.server import account; account.MOST_HELD = 12 * 2**20"
    head = binary(size=5000 * 1568, shape=[5000, 2, 28, 28])
    body = gzip.compress(head + bytes(5000 * 1568))  # 7.5 MiB inflated
    sent = headers(head) | {"Content-Encoding": "gzip"}

    def status():
        with closing(http.client.HTTPConnection(server.rest, timeout=30)) as connection:
            connection.request("POST", PATH, body, sent)
            return connection.getresponse().status

    with running_server(before=code) as server:
        assert [status() for _ in range(4)] == [200] * 4
        with connected(server) as waiting:
            waiting.sendall(raw(bytes(6 * 2**20), length=7 * 2**20))
            time.sleep(0.5)
            assert status() == 503
        time.sleep(0.5)
        assert [status() for _ in range(4)] == [200] * 4


def test_a_client_that_does_not_read_holds_no_request():
    code = "from pairnet.serving.server import account; account.MOST_HELD = 30 * 2**20"
    head = binary(size=13_000 * 1568, shape=[13_000, 2, 28, 28])
    body = head + bytes(13_000 * 1568)
    with running_server(before=code) as server, connected(server) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(raw(body, **headers(head)))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:  # until its answer is computed
            with closing(http.client.HTTPConnection(server.rest, timeout=30)) as other:
                other.request("POST", PATH, body, headers(head))
                if other.getresponse().status == 200:
                    break
            time.sleep(0.2)
        else:
            pytest.fail("the lazy client's request is still held")


def test_a_client_that_does_not_read_is_disconnected():
    connection = Connection.__new__(Connection)
    connection.transport, connection.flow = Mock(get_write_buffer_size=Mock(return_value=100)), Mock()
    connection._account, connection._held, connection.pipeline = Account(), 0, ()
    connection._waiting_since, connection._blocked_since, connection.cycle = None, None, None
    connection._unread, connection._unread_since = 0, monotonic()
    connection.transport.get_write_buffer_size.return_value = 0
    connection.close_if_slow(monotonic() + 1000)
    connection.transport.get_write_buffer_size.return_value = 100
    connection.pause_writing()
    connection.close_if_slow(monotonic())
    connection.resume_writing()
    connection.transport.get_write_buffer_size.return_value = 50
    connection.close_if_slow(monotonic() + 1000)
    assert not connection.transport.abort.called
    connection.close_if_slow(monotonic() + 2000)  # less than what pauses, and nothing of it was read
    assert connection.transport.abort.called
    connection.transport.get_write_buffer_size.return_value = 100
    connection.transport.abort.reset_mock()
    connection.pause_writing()
    connection.close_if_slow(monotonic() + 1000)
    assert connection.transport.abort.called
    assert connection._account.held == 100


def test_documentation_needs_nothing_from_elsewhere(ask):
    status, page, _ = ask("/docs", method="GET")
    assert status == 200
    assert b"//cdn" not in page
    assert b"https://" not in page
    document = json.loads(ask("/openapi.json", method="GET")[1])
    body = document["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/Body"}
    assert document["components"]["schemas"]["Input"]["properties"]["shape"]["type"] == "array"
    named = document["paths"]["/v2/models/{name}/versions/{version}/config"]["get"]["parameters"]
    assert "order_net_xs" in named[0]["schema"]["enum"]
    assert named[1]["schema"]["enum"] == ["1"]
    assert not [path for path in document["paths"] if path.endswith(("/", ".js"))]


def test_metrics_count_answers_and_refusals_by_kind(ask):
    def metrics():
        lines = ask("/metrics", method="GET")[1].decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")}

    before = metrics()
    ask(body=request())
    ask(body=request(data=[]))
    ask("/v2/models/none/infer", request())
    ask(body=request(), headers={"Content-Type": "text/plain"})
    ask("/decode", method="GET")
    after = metrics()

    def grown(name):
        return after[name] - before.get(name, 0)

    model = 'model="order_net_xs"'
    assert grown(f'pairnet_requests_total{{{model},protocol="rest"}}') == 1
    assert grown(f"pairnet_pairs_total{{{model}}}") == 1
    assert grown(f'pairnet_errors_total{{kind="invalid",{model}}}') == 1
    assert grown('pairnet_errors_total{kind="unknown",model=""}') == 1
    assert grown('pairnet_errors_total{kind="media",model=""}') == 1
    assert grown('pairnet_errors_total{kind="method",model=""}') == 1
    assert grown(f"pairnet_latency_seconds_count{{{model}}}") == 1
    assert grown(f'pairnet_batch_pairs_bucket{{le="1",{model}}}') == 1
    assert 0 < grown(f"pairnet_latency_seconds_sum{{{model}}}") < 10
    assert after[f"pairnet_queue_pairs{{{model}}}"] == 0


def test_pictures_are_decoded_as_predict_does_it(ask, tmp_path, served_files):
    from PIL import Image, ImageDraw

    from pairnet.data.pairs import pool_and_normalise
    from pairnet.serving.pictures.reading import read
    from pairnet.serving.predictor import Predictor

    image = Image.new("L", (280, 280))
    ImageDraw.Draw(image).line([(80, 60), (200, 60), (130, 230)], fill=255, width=22)
    path = tmp_path / "seven.png"
    image.save(path)
    expected = read(path).pixels[0]
    found = json.loads(ask("/decode?model=order_net_xs", path.read_bytes(), {"Content-Type": "image/png"})[1])
    assert found["pixels"] == found["input"] == expected.ravel().tolist()
    assert found["pooled"] == expected.reshape(14, 2, 14, 2).mean((1, 3)).ravel().tolist()
    assert "cropped" in found["notes"][0]
    with Predictor(next(path for path in served_files if path.name == "w_net-pairs-fp32.onnx")) as predictor:
        pooled = pool_and_normalise(expected, predictor.metadata.moments)
    found = json.loads(ask("/decode?model=w_net-pairs-fp32", path.read_bytes())[1])["input"]
    assert found == pooled.ravel().tolist()
    wide = BytesIO()
    Image.new("1", (20_000, 10)).save(wide, "PNG")
    for body, query, status, code in (
        (b"", "model=order_net_xs", 400, "format"),
        (b"x" * 100, "model=order_net_xs", 400, "format"),
        (path.read_bytes()[:-100], "model=order_net_xs", 400, "damaged"),
        (path.read_bytes(), "model=none", 404, None),
        (path.read_bytes(), "", 400, None),
        (wide.getvalue(), "model=order_net_xs", 413, "too-large"),
        (bytes(33 * 2**20), "model=order_net_xs", 413, "too-large"),
    ):
        found, content, _ = ask(f"/decode?{query}", body)
        assert found == status
        assert json.loads(content)["error"]
        assert json.loads(content).get("code") == code


def test_pictures_of_phones_are_decoded(ask):
    from PIL import Image, ImageDraw

    image = Image.new("L", (5712, 4284), 255)
    ImageDraw.Draw(image).line([(2200, 800), (3400, 800), (2700, 3400)], fill=0, width=200)
    photo = BytesIO()
    image.save(photo, "JPEG")
    status, content, _ = ask("/decode?model=order_net_xs", photo.getvalue())
    assert status == 200
    assert json.loads(content)["notes"][0] == "5712x4284: reduced by 4, a large picture"
