"""`pairnet doctor` on installations and machines that are broken in any one way: it still says everything else."""

import builtins
import json
import os
import platform
import subprocess
import sys
from importlib import import_module, metadata
from itertools import chain
from pathlib import Path

import pytest

from pairnet import _core, host
from pairnet.artifact import runtime, sessions
from pairnet.data import download, sources
from pairnet.extras import EXTRAS

doctor_module = import_module("pairnet.cli.doctor")  # the package has a function of that name

LONG = os.environ.get("PAIRNET_ATTACK") == "long"

GROUPS = ("system", "packages", "providers of ONNX Runtime", "devices of torch", "data sources")

PROBES = [
    (host, "hardware"),
    (host, "cpu_quota"),
    (host, "revision"),
    (platform, "python_version"),
    (platform, "release"),
    (_core, "simd_levels"),
    (doctor_module, "find_spec"),
    (metadata, "version"),
    (sessions, "missing"),
    (download, "cache_folder"),
    (sources, "available"),
]
"""What the checks call, one of which fails at a time."""

FAILURES = [
    OSError(13, "Permission denied", "/proc/cpuinfo"),
    ImportError("libcudart.so.12: cannot open shared object file: No such file or directory"),
    AttributeError("module 'onnxruntime' has no attribute 'get_available_providers'"),
    ValueError("onnxruntime.__spec__ is None"),
    RuntimeError("Could not determine\nhome directory."),
    KeyError("Version"),
    MemoryError(),
    SystemExit(3),
]


@pytest.fixture
def examined(command_line):
    def run():
        status, out, err = command_line("doctor", "--json")
        assert (status, err) == (0, "")
        found = json.loads(out)
        assert {finding["group"].partition(" (")[0] for finding in found} == set(GROUPS)
        assert all("\n" not in finding["text"] for finding in found)
        return found

    return run


@pytest.mark.parametrize("number", range(len(PROBES)), ids=[name for _, name in PROBES])
def test_a_check_that_fails_is_a_finding_and_the_others_stay(examined, monkeypatch, number):
    """Two of FAILURES for each of PROBES; PAIRNET_ATTACK=long tries all."""
    module, name = PROBES[number]
    usual = [(finding["group"].partition(" (")[0], finding["name"]) for finding in examined()]
    for failure in FAILURES if LONG else [FAILURES[(number + step) % len(FAILURES)] for step in (0, 4)]:

        def fail(*given, failure=failure, **options):
            raise failure

        with monkeypatch.context() as broken:
            broken.setattr(module, name, fail)
            found = examined()
        named = [(finding["group"].partition(" (")[0], finding["name"]) for finding in found]
        assert set(named) >= {each for each in usual if each[0] != "data sources"}
        assert sum(finding["ready"] for finding in found) > 3


@pytest.mark.parametrize(
    "package", ["onnxruntime", "torch", "numpy", "mlxtend", "pairnet._core", "onnx", "rich", "ray"]
)
@pytest.mark.parametrize("failure", [ImportError("lib.so.1: cannot open"), AttributeError("half removed"), OSError(5)])
def test_a_package_that_cannot_be_imported(examined, monkeypatch, package, failure):
    """As if it were imported for the first time: what pairnet has imported already is imported again."""
    for name in list(sys.modules):
        if name in (package, "pairnet.artifact.runtime", "pairnet.artifact.sessions") and name not in (
            "numpy",
            "torch",
        ):
            monkeypatch.delitem(sys.modules, name)
    usual = builtins.__import__

    def importing(name, *given, **options):
        fromlist = given[2] if len(given) > 2 else options.get("fromlist") or ()
        if name == package or (package == "pairnet._core" and name == "pairnet" and "_core" in fromlist):
            raise failure
        return usual(name, *given, **options)

    monkeypatch.setattr(builtins, "__import__", importing)
    found = examined()
    assert sum(finding["ready"] for finding in found) > 3


def distributions(monkeypatch, versions):
    def version(name):
        if name in versions:
            return versions[name]
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize("module", sorted({*doctor_module.BASE, *chain(*EXTRAS.values())}))
def test_each_package_has_the_name_by_which_it_is_installed(module):
    known = metadata.packages_distributions().get(module)
    if known is None:
        pytest.skip("not installed")
    name = doctor_module.DISTRIBUTIONS.get(module, module)
    assert name.replace("_", "-").lower() in {each.replace("_", "-").lower() for each in known}
    assert doctor_module._version(name)


def test_two_packages_of_onnx_runtime_are_not_advised_a_third_time(examined, monkeypatch):
    distributions(monkeypatch, {"onnxruntime-gpu": "1.31.1", "onnxruntime": "1.31.1"})
    monkeypatch.setattr(sessions.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    texts = {finding["name"]: finding["text"] for finding in examined() if finding["group"].startswith("providers")}
    assert texts["cuda"] == (
        "the files of onnxruntime-gpu and onnxruntime have overwritten each other, keep one: "
        "pip uninstall -y onnxruntime-gpu onnxruntime && "
        "pip install --force-reinstall --no-deps onnxruntime-gpu==1.31.1"
    )
    distributions(monkeypatch, {"onnxruntime": "1.31.1"})
    texts = {finding["name"]: finding["text"] for finding in examined() if finding["group"].startswith("providers")}
    assert texts["cuda"].endswith(sessions.GPU_WHEELS)


LEFT_OVER = """
import sys
sys.modules["torch"] = None  # takes seconds
sys.path.insert(0, {folder!r})
from pairnet.__main__ import _run
_run({arguments})
"""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "expected onnxruntime to be complete, got a folder without its files"),
        ("raise ImportError('libcublas.so.12: cannot open')", "onnxruntime cannot be imported (libcublas.so.12"),
        ("from .capi import x", "onnxruntime cannot be imported (No module named"),
        ("raise AttributeError('x')", "onnxruntime cannot be imported (x)"),
    ],
    ids=["uninstalled", "library", "part", "versions"],
)
def test_what_a_package_leaves_behind(tmp_path, content, reason):
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(content)
    for arguments, status in ((["doctor"], 0), (["predict", "x.png", "y.png"], 1)):
        code = LEFT_OVER.format(folder=str(tmp_path), arguments=arguments)
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        assert reason in done.stdout + done.stderr
        assert f"pip install --force-reinstall --no-deps {next(iter(runtime.installed()))}" in done.stdout + done.stderr
        assert "unexpected" not in done.stderr


SWALLOWS = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    pass
raise ImportError("import numpy failed")
"""


@pytest.mark.parametrize("arguments", [["doctor"], ["doctor", "--json"], ["predict", "x.png", "y.png"]], ids=" ".join)
def test_an_interruption_that_a_package_swallows_is_no_finding(tmp_path, arguments):
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(SWALLOWS)
    code = LEFT_OVER.format(folder=str(tmp_path), arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "pairnet: stopped\n")


def test_without_proc_and_without_control_groups(examined, monkeypatch):
    """As on another system, or where they may not be read."""
    usual = Path.read_text

    def read_text(path, *given, **options):
        if str(path).startswith(("/proc", "/sys")):
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path, *given, **options)

    monkeypatch.setattr(Path, "read_text", read_text)
    for cached in (host.hardware, host.cpu_quota):
        cached.cache_clear()
    texts = {finding["name"]: finding["text"] for finding in examined() if finding["group"] == "system"}
    assert texts["cpu"].endswith(f", {host.allowed_cores()} cores")
    for cached in (host.hardware, host.cpu_quota):
        cached.cache_clear()


def test_the_quota_of_a_container_is_named(examined, monkeypatch):
    monkeypatch.setattr(host, "cpu_quota", lambda: 0.5)
    monkeypatch.setattr(host, "allowed_cores", lambda: 8)
    texts = {finding["name"]: finding["text"] for finding in examined() if finding["group"] == "system"}
    assert texts["cpu"].endswith(": a quota grants 0.5 of 8")
