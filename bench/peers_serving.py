"""Requests per second of `pairnet serve` with 32 clients on the same machine, in turns with the null model.

    python -m bench.peers_serving [--rounds 5] [--seconds 5] [--peer NAME=URL] [--json FILE] [--markdown]
    python -m bench.peers_serving --soak 600

Needs wrk and h2load (in Debian the packages wrk and nghttp2-client). Each load is a client program of its own with one
thread; server and client share the cores of this machine. In each round each load runs once, for --seconds. Printed
are median and quartiles over the rounds of requests per second, and the median of the 99th percentile of the latency.
The null model computes nothing: its row is what the protocol and the client cost, and "uvicorn alone" is an
application that answers two bytes to everything. "--max-batch 1" computes each pair by itself. Every answer must have
the status 200, and over gRPC the server must have counted as many answers as the client.

--soak sends all three kinds of single pairs at once for so many seconds, without turns, and prints errors and the
memory of the server every minute. --peer measures another V2 server that serves final_model at URL, in JSON, which all
of them read, for example --peer MLServer=http://127.0.0.1:8090.
"""

import argparse
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.fixture import NULL, write_null
from bench.turns import AGAIN, Spread, markdown, spread, take_turns
from pairnet.data.sources import load_dataset
from pairnet.exporting.export import export
from pairnet.host import hardware
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.records.run import Run
from pairnet.study.saved import train_and_save

MODEL = "final_model"
CLIENTS = 32
WRK = """
local file = io.open("{body}", "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "{kind}"
{header}
function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  local p99 = latency:percentile(99)
  io.write(string.format("\\nRESULT %d %d %d %d\\n", summary.requests, summary.duration, p99, failed))
end
"""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One load, once."""

    rate: float  # requests per second
    p99: float  # milliseconds


@dataclass(frozen=True, kw_only=True)
class Row:
    """One load over all rounds."""

    name: str
    pairs: int  # in each request
    rate: Spread  # requests per second
    p99: float  # milliseconds, median of the rounds


@dataclass(frozen=True, kw_only=True)
class Load:
    """A client program and what it sends."""

    name: str
    run: Callable[[float], Turn]  # for so many seconds
    pairs: int = 1


def body(folder: Path, model: str, pairs: int, *, binary: bool) -> tuple[Path, dict[str, str]]:
    """A request over REST in a file -> the file, and its headers."""
    pixels = np.random.default_rng(0).integers(0, 256, (pairs, 2, 28, 28), np.uint8)
    tensor: dict[str, object] = {"name": "pair", "datatype": "UINT8", "shape": list(pixels.shape)}
    path = folder / f"{model}-{pairs}-{'binary' if binary else 'json'}"
    if not binary:
        path.write_text(json.dumps({"inputs": [tensor | {"data": pixels.ravel().tolist()}]}))
        return path, {"kind": "application/json", "header": ""}
    wanted = {"parameters": {"binary_data_output": True}}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": pixels.size}}], **wanted}).encode()
    path.write_bytes(head + pixels.tobytes())
    header = f'wrk.headers["Inference-Header-Content-Length"] = "{len(head)}"'
    return path, {"kind": "application/octet-stream", "header": header}


def rest(
    folder: Path, url: str, *, model: str = MODEL, pairs: int = 1, binary: bool = True, clients: int = CLIENTS
) -> Callable[[float], Turn]:
    """A load over REST: wrk, each client with one request at a time."""
    path, header = body(folder, model, pairs, binary=binary)
    script = path.with_suffix(".lua")
    script.write_text(WRK.format(body=path, **header))
    address = f"{url}/v2/models/{model}/infer"

    def run(seconds: float) -> Turn:
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "10s", "-s", str(script), address]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", printed)
        if not found or int(found[4]) or not int(found[1]):
            raise RuntimeError(f"expected answers without errors, wrk reports: {printed}")
        return Turn(rate=int(found[1]) / (int(found[2]) / 1e6), p99=int(found[3]) / 1e3)

    return run


def grpc(folder: Path, server: "Server", *, model: str = MODEL, clients: int = CLIENTS) -> Callable[[float], Turn]:
    """A load over gRPC: h2load, each client with a connection of its own and one call at a time."""
    from tritonclient.grpc import service_pb2

    pixels = np.random.default_rng(0).integers(0, 256, (1, 2, 28, 28), np.uint8)
    request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[pixels.tobytes()])
    request.inputs.add(name="pair", datatype="UINT8", shape=pixels.shape)
    message = request.SerializeToString()
    path, log = folder / f"{model}.grpc", folder / f"{server.process}.log"
    path.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    address = f"http://{server.grpc}/inference.GRPCInferenceService/ModelInfer"

    def run(seconds: float) -> Turn:
        log.unlink(missing_ok=True)
        before = server.answered(model)
        command = ["h2load", "-t1", f"-c{clients}", "-m1", f"-D{seconds:.0f}", "-d", str(path), "--log-file", str(log)]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers", address]
        subprocess.run(command, capture_output=True, check=True)
        times = [int(line.split("\t")[2]) / 1e3 for line in log.read_text().splitlines()]
        if server.answered(model) - before < len(times) - clients:  # some are on their way at the end
            raise RuntimeError(f"expected {len(times)} answers, the server counted {server.answered(model) - before}")
        return Turn(rate=len(times) / seconds, p99=float(np.percentile(times, 99)))

    return run


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running `pairnet serve`."""

    rest: str
    grpc: str
    process: int

    def resident_mb(self) -> float:
        """Memory of the process in MB."""
        status = Path(f"/proc/{self.process}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1000

    def answered(self, model: str) -> int:
        """Number of requests to a model that it has answered."""
        with urllib.request.urlopen(f"http://{self.rest}/v2/models/{model}/stats") as answer:
            statistics_ = json.load(answer)["model_stats"][0]["inference_stats"]
        return int(statistics_["success"]["count"])


FLOOR = """
import sys, uvicorn
async def answer(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})
settings = {"loop": "uvloop", "http": "httptools", "ws": "none", "lifespan": "off", "log_level": "critical"}
uvicorn.run(answer, port=int(sys.argv[1]), access_log=False, proxy_headers=False, server_header=False, **settings)
"""


@contextmanager
def uvicorn_alone() -> Iterator[str]:
    """Starts an application that answers two bytes to everything -> its URL; and stops it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", FLOOR, str(port)])
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def serving(files: Sequence[Path], *options: str, before: Sequence[str] = ()) -> Iterator[Server]:
    """Starts `pairnet serve` on free ports, and stops it.  before: a command that starts it, such as taskset."""
    command = [*before, sys.executable, "-m", "pairnet", "serve", "--port", "0", "--grpc-port", "0", *options]
    process = subprocess.Popen([*command, *map(str, files)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    printed = ""
    while "Ctrl-C" not in printed:
        line = process.stderr.readline()
        if not line:
            raise RuntimeError(f"pairnet serve did not start: {printed}")
        printed += line
    rest_address, grpc_address = (re.search(rf"{name} +(?:http://)?([^/\s]+)", printed) for name in ("REST", "gRPC"))
    assert rest_address is not None
    assert grpc_address is not None
    try:
        yield Server(rest=rest_address[1], grpc=grpc_address[1], process=process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def files_to_serve(folder: Path) -> list[Path]:
    """final_model after one epoch, since speed does not depend on the weights, and the null model."""
    dataset = load_dataset("glyphs:2000")
    variant = replace(find_variant(MODEL), recipe=Recipe(epochs=1))
    run = train_and_save(Run(variant=variant, images=dataset.images), dataset, folder / "runs").folder
    path = folder / f"{MODEL}.onnx"
    export(run, path, dataset=dataset)
    write_null(folder / f"{NULL}.onnx")
    return [path, folder / f"{NULL}.onnx"]


def loads(
    folder: Path, server: Server, unbatched: Server, greedy: Server, waiting: Server, floor: str, peers: dict[str, str]
) -> list[Load]:
    """Every load, the one that is repeated to show the noise included."""
    url = f"http://{server.rest}"
    binary = rest(folder, url)
    found = [
        Load(name="uvicorn alone", run=rest(folder, floor)),
        Load(name="null model, REST binary", run=rest(folder, url, model=NULL)),
        Load(name=f"{MODEL}, REST binary", run=binary),
        Load(name=f"{MODEL}, REST binary{AGAIN}", run=binary),
        Load(name=f"{MODEL}, REST binary, --max-batch 1", run=rest(folder, f"http://{unbatched.rest}")),
        Load(name=f"{MODEL}, REST JSON", run=rest(folder, url, binary=False)),
        Load(name="null model, gRPC", run=grpc(folder, server, model=NULL)),
        Load(name=f"{MODEL}, gRPC", run=grpc(folder, server)),
        Load(name=f"{MODEL}, gRPC, --max-wait 0", run=grpc(folder, greedy)),
        Load(name=f"{MODEL}, gRPC, --max-wait 1", run=grpc(folder, waiting)),
        Load(
            name=f"{MODEL}, REST binary, 4 clients, 1,000 pairs each",
            run=rest(folder, url, pairs=1000, clients=4),
            pairs=1000,
        ),
    ]
    for name, address in peers.items():
        found.append(Load(name=f"{name}, REST JSON", run=rest(folder, address, binary=False)))
    return found


def measured(found: Sequence[Load], rounds: int, seconds: float) -> list[Row]:
    """All loads in turns, after a short warm-up of each."""
    for load in found:
        load.run(1)
    turns = take_turns({load.name: partial(load.run, seconds) for load in found}, rounds, description="loads")
    return [
        Row(
            name=load.name,
            pairs=load.pairs,
            rate=spread(tuple(turn.rate for turn in turns[load.name])),
            p99=statistics.median(turn.p99 for turn in turns[load.name]),
        )
        for load in found
    ]


def print_soak(server: Server, folder: Path, seconds: float) -> None:
    """Sends binary and JSON requests and gRPC calls at once; prints its memory.  RuntimeError for errors."""
    url = f"http://{server.rest}"
    kinds = [rest(folder, url), rest(folder, url, binary=False), grpc(folder, server)]
    began = time.monotonic()
    with ThreadPoolExecutor(len(kinds)) as pool:
        running = [pool.submit(run, seconds) for run in kinds]
        while not all(each.done() for each in running):
            sys.stdout.write(f"{time.monotonic() - began:5.0f} s: {server.resident_mb():.1f} MB\n")
            sys.stdout.flush()
            wait(running, timeout=60)
        rates = [each.result().rate for each in running]  # raises if a client saw an error
    answered = server.answered(MODEL)
    shown = ", ".join(f"{rate:,.0f}" for rate in rates)
    sys.stdout.write(f"{answered:,} answers without an error; requests/s, binary, JSON and gRPC: {shown}\n")


def cells(row: Row) -> tuple[str, ...]:
    """One row of the table."""
    median, low, high = (f"{value:,.0f}" for value in (row.rate.median, row.rate.low, row.rate.high))
    return row.name, f"{median} ({low}-{high})", f"{row.rate.median * row.pairs:,.0f}", f"{row.p99:.1f}"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--soak", type=float, metavar="SECONDS")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=URL")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", action="store_true")
    chosen = parser.parse_args()
    if missing := [tool for tool in ("wrk", "h2load") if shutil.which(tool) is None]:
        sys.exit(f"{' and '.join(missing)} not found: in Debian, apt install wrk nghttp2-client")
    peers = dict(peer.split("=", 1) for peer in chosen.peer)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        files = files_to_serve(folder)
        server = stack.enter_context(serving(files))
        if chosen.soak:
            print_soak(server, folder, chosen.soak)
            return
        greedy = stack.enter_context(serving(files[:1], "--max-wait", "0"))
        waiting = stack.enter_context(serving(files[:1], "--max-wait", "1"))
        unbatched = stack.enter_context(serving(files[:1], "--max-batch", "1"))
        floor = stack.enter_context(uvicorn_alone())
        rows = measured(loads(folder, server, unbatched, greedy, waiting, floor, peers), chosen.rounds, chosen.seconds)
    headings = ("load", "requests/s", "pairs/s", "p99, ms")
    if chosen.json:
        chosen.json.write_text(json.dumps({"hardware": hardware(), "rows": [asdict(row) for row in rows]}, indent=1))
    if chosen.markdown:
        sys.stdout.write(markdown(headings, [cells(row) for row in rows]) + "\n")
        return
    table = Table(*headings, title=hardware())
    for row in rows:
        table.add_row(*cells(row))
    Console().print(table)


if __name__ == "__main__":
    main()
