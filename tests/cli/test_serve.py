"""`pairnet serve` as a command: what it prints, what it refuses, where it listens, and that it needs no torch."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from model_folders import put
from running_server import running_server

from pairnet.serving.built_in import built_in_model
from pairnet.serving.server.access_log import AccessLog

pytest_plugins = ("trained_runs",)

WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "sklearn", "mlxtend", "matplotlib", "scipy"):
            raise ModuleNotFoundError(f"{name} is not in this environment", name=name)
sys.meta_path.insert(0, NoTorch())
"""


@pytest.fixture
def run(command_line):
    """Runs `pairnet serve`, where it cannot serve -> (exit status, lines on stderr)."""

    def run(*arguments):
        status, _, err = command_line("serve", *arguments)
        return status, err.splitlines()

    return run


def test_it_serves_the_built_in_model_without_torch_and_says_so():
    with running_server(before=WITHOUT_TORCH) as server:
        assert server.log[0] == "no file is named: serving the built-in model\n"
        assert server.log[1].startswith("order_net_xs: trained on 1,000 pairs of mnist5k, test accuracy 0.9")
        with urllib.request.urlopen(f"http://{server.rest}/v2/models/order_net_xs") as answer:
            assert json.load(answer)["outputs"][1]["name"] == "digits"
    assert server.log[-1] == "stopped\n"


def test_it_listens_on_this_machine_only():
    with running_server() as server:
        for address in (server.rest, server.grpc):
            port = int(address.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((outside_address(), port), timeout=5)


def outside_address():
    """An address of this machine that is not 127.0.0.1: all of 127.0.0.0/8 belongs to it."""
    return "127.0.0.2"


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_port_in_use_is_one_line_and_status_1(run, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        others = [] if option == "--port" else ["--port", 0]
        status, lines = run(option, number, *others)
    assert status == 1
    remedy = "stop that program or name another port, 0 for any"
    assert lines[-1] == f"pairnet: {option}: expected a free port, 127.0.0.1:{number} is in use: {remedy}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", 70000), "--port: expected 0 to 65535, got 70000"),
        (("--port", 9, "--grpc-port", 9), "--grpc-port: expected another port than --port, got 9 for both"),
        (("--host", "no.such.host.invalid"), "--host: expected an address of this machine"),
        (("--host", "192.0.2.1", "--port", 0), "expected a port that can be taken"),
        (("--max-batch", 0, "--port", 0), "--max-batch: expected 1 to 32,768, got 0"),
        (("--threads", 0, "--port", 0), "--threads: expected a whole number from 1 to 1,024, got 0"),
        (("--max-wait", -1, "--port", 0), "--max-wait: expected 0 to 10,000 ms, got -1"),
        (
            ("nothing.onnx", "--port", 0),
            "expected an ONNX file that `pairnet export` wrote, got no such file",
        ),
        (
            ("--cors-origin", "example.org", "--port", 0),
            "--cors-origin: expected an origin such as https://example.org",
        ),
        (("--provider", "gpu", "--port", 0), "--provider: expected auto, tensorrt, cuda, cpu or the full name"),
        (("--provider", "cuda", "--port", 0), "expected one that runs on this machine, got cuda"),
    ],
)
def test_what_cannot_be_served_is_one_line(run, arguments, message):
    status, lines = run(*arguments)
    assert status in (1, 2)
    assert message in lines[-1]
    assert lines[-1].startswith("pairnet: ")


def test_a_name_may_occur_once_and_an_encoder_not_at_all(run, models, tmp_path):
    status, lines = run(built_in_model(), built_in_model(), "--port", 0)
    assert status == 2
    assert "expected a name that no other file has, got order_net_xs twice" in lines[-1]
    encoder = models("final_model").with_suffix(".encoder.onnx")
    status, lines = run(encoder, "--port", 0)
    assert status == 2
    assert "expected a joint file, got encoder" in lines[-1]


def test_a_folder_one_level_off_is_refused_with_the_one_that_was_meant(run, tmp_path):
    put(tmp_path / "repository" / "models", "a", 1, built_in_model())
    folder = tmp_path / "repository"
    for arguments in (("--models", folder), ("--models", folder / "models" / "a"), (folder,)):
        status, lines = run(*arguments, "--control", "--port", 0)
        assert status == 2
        assert lines[-1].endswith(f"did you mean --models {folder / 'models'}?")


def test_the_printed_addresses_can_be_opened():
    with running_server("--host", "0.0.0.0", "--grpc-port", 0) as server:
        assert server.rest.startswith("127.0.0.1:")
        with urllib.request.urlopen(f"http://{server.rest}/v2/models/order_net_xs") as answer:
            assert json.load(answer)["parameters"]["accuracy"].endswith("not checked: it is part of pairnet")


@pytest.mark.parametrize("name", ["stats", ".", 'a"b', "a b", "-x"])
def test_a_name_is_part_of_a_path(run, tmp_path, name):
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(built_in_model().read_bytes())
    status, lines = run("--port", 0, "--", path)
    assert status == 2
    assert "expected a file name of letters" in lines[-1]


@pytest.mark.parametrize("options", [(), ("--access-log",)], ids=" ".join)
def test_the_access_log_is_off_unless_asked_for(options):
    tensor = {"name": "pair", "datatype": "UINT8", "shape": [1, 2, 28, 28], "data": [0] * 1568}
    with running_server(*options) as server:
        for body, status in (({}, 400), ({"inputs": [tensor]}, 200)):
            request = urllib.request.Request(
                f"http://{server.rest}/v2/models/order_net_xs/infer",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            try:
                answer = urllib.request.urlopen(request)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                assert answer.status == status
    logged = [json.loads(line) for line in server.log if line.startswith("{")]
    common = {"protocol": "rest", "client": "127.0.0.1", "method": "POST", "path": "/v2/models/order_net_xs/infer"}
    common |= {"model": "order_net_xs", "id": "", "trace": ""}
    missing = "expected the JSON of an inference request: Object missing required field `inputs`"
    expected = [
        {"pairs": 0, "result": "invalid", "status": 400, "error": missing},
        {"pairs": 1, "result": "ok", "status": 200, "error": ""},
    ]
    assert all(line.pop("time") and line.pop("ms") > 0 for line in logged)
    assert logged == [common | each for each in expected] * len(options)


def test_a_closed_log_disturbs_nobody():
    class Closed:
        def write(self, text):
            raise BrokenPipeError

    log = AccessLog(Closed())
    for _ in range(20_000):
        log.add("line")


def test_the_log_resumes_after_an_error_and_says_what_was_lost():
    """As on a disk that was full for a while: a pipe that nobody reads for a while takes a part of a line, too."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(writer, "w") as stream, os.fdopen(reader, "rb", buffering=0) as pipe:
        log = AccessLog(stream)
        for number in range(100):
            log.add(json.dumps({"number": number, "more": "x" * 90}))
        wait_until(lambda: not log._lines.qsize())
        time.sleep(0.1)
        text = pipe.read(2**16)
        for number in (100, 101):
            log.add(json.dumps({"number": number}))
        wait_until(lambda: not log._lines.qsize())
        time.sleep(0.1)
        lines = (text + pipe.read(2**16)).decode().splitlines()
    whole = [json.loads(line) for line in lines if line.endswith("}")]
    assert len(lines) - len(whole) <= 1  # of which only a part could be written
    assert [line["number"] for line in whole if "number" in line] == [*range(len(whole) - 3), 100, 101]
    assert whole[-3]["lost"] == 100 - (len(whole) - 3)


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("ends", "number"),
    [
        (">&-", signal.SIGTERM),
        ("2>&-", signal.SIGTERM),
        ("<&- >&- 2>&-", signal.SIGHUP),
        ("2>/dev/full", signal.SIGTERM),
        ("2>&1 | true", signal.SIGTERM),
    ],
)
def test_it_serves_and_ends_with_status_0_whatever_its_standard_streams_are(ends, number, tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = f"{sys.executable} -m pairnet serve --access-log --port {port} --grpc-port 0"
    command = f"({command} 2>&1; echo $? > status) | true" if "|" in ends else f"{command} {ends}; echo $? > status"
    shell = subprocess.Popen(["bash", "-c", command], cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True)
    try:
        wait_until(lambda: answers(port))
        time.sleep(0.1)
        assert answers(port)
        server = next(pid for pid in descendants(shell.pid) if "pairnet" in cmdline(pid) and "bash" not in cmdline(pid))
        os.kill(server, number)
        shell.communicate(timeout=40)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
    assert (tmp_path / "status").read_text() == "0\n"


def test_an_ignored_sighup_stays_ignored():
    with running_server(before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)") as server:
        server.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert answers(server.rest.rpartition(":")[2])


def answers(port):
    """Whether a server answers at a port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def descendants(pid):
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [each for child in found for each in descendants(child)]


def cmdline(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def test_predict_uses_the_built_in_model_if_none_is_named(command_line, tmp_path):
    assert command_line("data", "pictures", "mnist5k")[0] == 0
    three, seven = (next(tmp_path.glob(f"pictures/{digit}-*")) for digit in (3, 7))
    status, out, err = command_line("predict", three, seven, "--json")
    assert (status, err) == (0, "no .onnx file is named: the built-in model, order_net_xs, answers\n")
    answer = json.loads(out)["pairs"][0]
    assert (answer["first_digit"], answer["second_digit"], answer["equal_or_less"]) == (3, 7, True)
