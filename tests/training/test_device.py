"""The device of a run: what each name selects, and that torch is imported only where there may be a GPU."""

import subprocess
import sys

import pytest
import torch

from pairnet.errors import ArgumentError, ProviderError
from pairnet.training import device, verification
from pairnet.training.device import resolve_device


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """A machine on which the driver of a GPU is installed."""
    monkeypatch.setattr(device, "_DRIVERS", (str(tmp_path),))


@pytest.fixture(autouse=True)
def verified(monkeypatch):
    """A GPU that passes its verification."""
    monkeypatch.setattr(verification, "failure", lambda name: "")


def test_devices_are_resolved(driver, monkeypatch):
    assert resolve_device("cpu") == "cpu"
    with pytest.raises(ArgumentError, match='expected `device` to be auto, cpu or cuda, got "tpu"'):
        resolve_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (resolve_device("auto"), resolve_device("cuda")) == ("cuda", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(ProviderError, match="set `device` to cpu or auto"):
        resolve_device("cuda")


def test_a_missing_driver_is_no_reason_to_refuse_cuda(monkeypatch):
    monkeypatch.setattr(device, "_DRIVERS", ())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("cuda") == "cuda"


def test_a_gpu_that_computes_something_else_is_not_used(driver, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(verification, "failure", lambda name: "expected a loss of 5.2, got nan")
    with pytest.warns(UserWarning, match="the GPU is not used, .*: expected a loss of 5.2, got nan") as warned:
        assert resolve_device("auto") == "cpu"
    assert warned[0].filename == __file__  # the line that asked
    with pytest.raises(ProviderError, match=r"expected a CUDA device that computes .*got nan: check its driver"):
        resolve_device("cuda")


def test_torch_is_imported_only_where_there_may_be_a_gpu():
    code = (
        "import sys\n"
        "from pairnet.training import device\n"
        "sys.platform = 'linux'\n"
        "device._DRIVERS = ()\n"
        "assert (device.resolve_device('auto'), device.resolve_device('cpu')) == ('cpu', 'cpu')\n"
        "assert 'torch' not in sys.modules\n"
        "device._DRIVERS = ('/',)\n"
        "device.resolve_device('auto')\n"
        "assert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_torch_is_named(monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError) as caught:
        resolve_device("auto")
    assert caught.value.name == "torch"
