"""How long is everybody else held up while `pairnet serve` reads or writes the largest requests?

    python -m bench.blocking [--rounds 5] [--markdown]

Each kind of large request is sent alone, --rounds times in turns. Meanwhile a client asks for /v2/health/live over one
connection, one request after the other, and keeps the longest time; "nothing else" is that of a server which does
nothing else for a second. Printed are the median and the largest of the rounds. Client and server share the cores.
At the end: the largest memory that the server had.
"""

import argparse
import gzip
import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench.peers_serving import serving
from bench.turns import markdown, take_turns
from pairnet.host import hardware
from pairnet.serving.built_in import built_in_model
from pairnet.serving.joint import MOST_PAIRS

MODEL = "order_net_xs"
PATH = f"/v2/models/{MODEL}/infer"


def rest(address: str, body: bytes, headers: dict[str, str]) -> None:
    """Sends one request over REST.  RuntimeError unless it is answered."""
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", PATH, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"expected an answer, got {content[:200]!r}")


def grpc(address: str, message: bytes) -> None:
    """Sends one call over gRPC."""
    import grpc as package

    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with package.insecure_channel(address, options) as channel:
        channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(message, timeout=60)


def json_body(pairs: int, *, nested: bool) -> bytes:
    """Random pairs as JSON."""
    pixels = np.random.default_rng(0).integers(0, 256, (pairs, 2, 28, 28), np.uint8)
    tensor = {"name": "pair", "datatype": "UINT8", "shape": list(pixels.shape)}
    sent = {"inputs": [tensor | {"data": (pixels if nested else pixels.ravel()).tolist()}]}
    return json.dumps(sent, separators=(",", ":")).encode()


def binary_body(pairs: int) -> tuple[bytes, dict[str, str]]:
    """Pairs as a binary tensor, answered in JSON -> body and headers."""
    tensor = {"name": "pair", "datatype": "UINT8", "shape": [pairs, 2, 28, 28]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": pairs * 1568}}]}).encode()
    return head + bytes(pairs * 1568), {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }


def message(pairs: int, *, typed: bool) -> bytes:
    """Pairs as a call over gRPC, as protobuf's integers or raw."""
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=MODEL)
    given = request.inputs.add(name="pair", datatype="UINT8", shape=[pairs, 2, 28, 28])
    if typed:
        given.contents.uint_contents.extend([1] * (pairs * 1568))
    else:
        request.raw_input_contents.append(bytes(pairs * 1568))
    return bytes(request.SerializeToString())


def longest_wait(address: str, load: Callable[[], None]) -> float:
    """Milliseconds of the slowest request for health while `load` runs."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            load()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    connection = http.client.HTTPConnection(address, timeout=60)
    thread.start()
    longest = 0.0
    while thread.is_alive():
        began = time.perf_counter()
        connection.request("GET", "/v2/health/live")
        connection.getresponse().read()
        longest = max(longest, time.perf_counter() - began)
    connection.close()
    if failed:
        raise failed[0]
    return longest * 1e3


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true")
    chosen = parser.parse_args()
    plain = {"Content-Type": "application/json"}
    flat, nested = (json_body(2500, nested=nested) for nested in (False, True))
    many, binary = binary_body(MOST_PAIRS)
    with serving([built_in_model()]) as server:
        loads: dict[str, Callable[[], None]] = {
            "nothing else": partial(time.sleep, 1),
            "REST, 2,500 pairs in flat JSON": partial(rest, server.rest, flat, plain),
            "REST, 2,500 pairs in nested JSON": partial(rest, server.rest, nested, plain),
            "REST, 2,500 pairs in nested JSON, gzip": partial(
                rest, server.rest, gzip.compress(nested, 1), plain | {"Content-Encoding": "gzip"}
            ),
            "REST, 32,768 pairs binary, answer in JSON": partial(rest, server.rest, many, binary),
            "REST, 32,768 pairs binary, answer in JSON, gzip": partial(
                rest, server.rest, many, binary | {"Accept-Encoding": "gzip"}
            ),
            "gRPC, 10,000 pairs raw": partial(grpc, server.grpc, message(10_000, typed=False)),
            "gRPC, 10,000 pairs as integers": partial(grpc, server.grpc, message(10_000, typed=True)),
        }
        turns = take_turns(
            {name: partial(longest_wait, server.rest, load) for name, load in loads.items()},
            chosen.rounds,
            description="loads",
        )
        status = Path(f"/proc/{server.process}/status").read_text()
        memory = int(status.partition("VmHWM:")[2].split()[0]) / 1000
    headings = ("load", "longest wait, ms", "of all rounds")
    rows = [(name, f"{statistics.median(found):.0f}", f"{max(found):.0f}") for name, found in turns.items()]
    if chosen.markdown:
        sys.stdout.write(markdown(headings, rows) + "\n")
    else:
        for row in (headings, *rows):
            sys.stdout.write(f"{row[0]:50}{row[1]:>18}{row[2]:>15}\n")
    sys.stdout.write(f"\n{hardware()}; memory of the server at most {memory:.0f} MB\n")


if __name__ == "__main__":
    main()
