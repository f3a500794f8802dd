"""Nothing is written to the user's home folder, and nobody's name is looked up, unless the user asks for it."""

import ast
import os
from pathlib import Path

import pytest

import pairnet

pytest_plugins = ("watched",)

ROOT = Path(__file__).parents[1]
PACKAGE = Path(pairnet.__file__).parent
LONG = os.environ.get("PAIRNET_ATTACK") == "long"

PREDICT = """
import numpy as np
from pairnet import Predictor
from pairnet.serving.built_in import built_in_model
with Predictor(built_in_model(), provider="cpu") as predictor:
    predictor.probability(np.zeros((40, 2, 28, 28), np.uint8))
"""

SERVE = """
import os, signal, sys
from pairnet.serving.built_in import built_in_model
from pairnet.serving.server.running import serve

def ready(models, addresses):
    print(addresses.rest)
    os.kill(os.getpid(), signal.SIGTERM)

serve([built_in_model()], port=0, grpc_port=0, provider="cpu", on_ready=ready)
"""

TRAIN = """
import pairnet
dataset = pairnet.load_dataset("glyphs:400")
variant = pairnet.find_variant("order_net_fast")
run = pairnet.Run(variant=variant, images=dataset.images, pairs=20, seed=0)
pairnet.train(run, dataset)
"""

DOCTOR = "from pairnet.__main__ import _run\n_run(['doctor'])"

WAITING = PREDICT + "import time\ntime.sleep(20)\n"
"""Long enough for the events of a session to be sent."""


@pytest.mark.parametrize("code", [PREDICT, SERVE, TRAIN, DOCTOR], ids=["predict", "serve", "train", "doctor"])
def test_nothing_is_written_at_home_and_nobody_is_asked(watched, code):
    found = watched(code)
    assert (found.files, found.lookups) == ([], [])


def test_who_asks_for_telemetry_gets_it(watched):
    """Without this, the test above would pass on an ONNX Runtime that has no telemetry."""
    found = watched(PREDICT, {"ORT_DISABLE_TELEMETRY": "0"})
    if not found.files:
        pytest.skip("this ONNX Runtime has no telemetry")
    assert any("onnxruntime" in file for file in found.files)


@pytest.mark.parametrize(("settings", "expected"), [({}, "0"), ({"RAY_USAGE_STATS_ENABLED": "1"}, "1")])
def test_usage_statistics_of_ray_are_off_unless_the_user_wants_them(watched, settings, expected):
    code = "import os\nfrom pairnet.study.engines.ray_connection import import_ray\nray = import_ray()\n"
    code += "from ray._common.usage.usage_lib import usage_stats_enabled\nprint(int(usage_stats_enabled()))"
    found = watched(code, settings)
    assert (found.output.strip(), found.files) == (expected, [])


def test_look_ups_are_noticed(watched):
    code = """import socket, contextlib
for name in ("127.0.0.1", "somebody.invalid"):
    with contextlib.suppress(OSError):
        socket.getaddrinfo(name, 80)
with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
    other.connect(("192.0.2.1", 9))
"""
    assert watched(code).lookups == ["getaddrinfo somebody.invalid", "connect 192.0.2.1"]


@pytest.mark.skipif(not LONG, reason="half a minute; PAIRNET_ATTACK=long")
def test_nobody_is_asked_later(watched):
    assert watched(WAITING).lookups == []
    if (found := watched(WAITING, {"ORT_DISABLE_TELEMETRY": "0"})).files:
        assert any("getaddrinfo" in line for line in found.lookups)


def test_onnx_runtime_is_imported_in_one_place():
    """Elsewhere its telemetry might be on by the time that `artifact.runtime` is imported."""
    importers = set()
    for path in (*PACKAGE.rglob("*.py"), *(ROOT / "bench").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.partition(".")[0] == "onnxruntime" for name in names):
                importers.add(path.relative_to(ROOT).as_posix())
    assert importers == {"pairnet/artifact/runtime.py", "pairnet/exporting/quantise.py"}
    assert "from pairnet.artifact.runtime import" in (PACKAGE / "exporting" / "quantise.py").read_text()  # of a part
