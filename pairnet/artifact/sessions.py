"""ONNX Runtime sessions: which provider runs a model, with which settings, and what is missing if it cannot run."""

import ctypes
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairnet.artifact.runtime import installed, ort, remedy
from pairnet.errors import ModelError, ProviderError, one_line

PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Short names, best first: `auto` tries them in this order. Other providers are given by their full names."""

TOLERANCE = 0.02
"""Largest difference between the answers of a provider and of the CPU. TF32 and float16 differ by less than 0.01."""

CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}
"""Options of the CUDA provider, unless others are given: on an H200, ONNX Runtime's own default, EXHAUSTIVE, chose
convolutions that answered 0.55 to 0.74 times as many pairs per second (docs/gpu.md)."""

GPU_WHEELS = "pip install 'onnxruntime-gpu[cuda,cudnn]'"
ERRORS = 3
"""ONNX Runtime's level for errors; the conditions it would warn about are raised here as exceptions."""


def open_session(
    model: bytes,
    provider: str = "auto",
    *,
    name: str = "the given bytes",
    provider_options: Mapping[str, str] | None = None,
    cuda_graphs: bool = False,
    threads_per_run: int = 1,
) -> ort.InferenceSession:
    """A session on the given provider; `auto` is the first of PROVIDERS that runs on this machine.

    model: a serialised ONNX model; `name` stands for it in messages. On a CPU each run stays on the calling thread:
    the predictor splits a batch between threads, which is faster than ONNX Runtime's splitting of each layer
    (between `threads_per_run` threads, which spin while they wait). The answers of any other provider are compared
    with those of the CPU on a few pairs first: if they differ, `auto` warns and tries the next one.
    Raises ProviderError if the provider cannot run or answers something else than the CPU, and ModelError if ONNX
    Runtime cannot load the model.
    """
    candidates = list(PROVIDERS) if provider == "auto" else [provider]
    for candidate in candidates:
        try:
            session = _checked_session(
                model, name, candidate, dict(provider_options or {}), cuda_graphs, threads_per_run
            )
        except ProviderError:
            if candidate == candidates[-1]:
                raise
            continue
        difference = _difference(session, model, name)
        if not difference:
            return session
        if provider != "auto":
            raise ProviderError(
                f"`provider`: expected {candidate} to answer as the CPU does, got {difference}: check its driver and "
                "libraries, or choose cpu"
            )
        warnings.warn(f"{candidate} is not used, it does not answer as the CPU does: {difference}", stacklevel=2)
    raise AssertionError("the last candidate returns or raises")


def _difference(session: ort.InferenceSession, model: bytes, name: str) -> str:
    """How the answers of a session differ from those of the CPU on a few pairs; empty if they agree.

    Costs the load of a second session and a run of each, some 10 ms; on a GPU, the first run also selects kernels.
    """
    if session.get_providers()[0] == PROVIDERS["cpu"]:
        return ""
    feeds = {value.name: _noise(value) for value in session.get_inputs()}
    expected = _session(model, name, PROVIDERS["cpu"], {}, 1).run(None, feeds)
    try:
        got = session.run(None, feeds, without_graph())
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        return one_line(error)
    for output, one, other in zip(session.get_outputs(), expected, got, strict=True):
        scale = max(1.0, float(np.abs(one).max()))  # features are not bounded by 1
        largest = float(np.abs(np.asarray(one, np.float64) - other).max()) / scale
        if not largest <= TOLERANCE:  # also if it is nan
            return f"a difference of {largest:.2g} in {output.name}"
    return ""


def without_graph() -> ort.RunOptions:
    """Options of a run that neither captures nor replays a CUDA graph, although the session was opened for graphs."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", "-1")
    return options


def _noise(value: Any) -> NDArray[Any]:
    """Eight random inputs of the type and shape of an input of a model."""
    shape, random = (8, *value.shape[1:]), np.random.default_rng(0)
    if value.type == "tensor(uint8)":
        return random.integers(0, 256, shape, dtype=np.uint8)
    return random.standard_normal(shape, dtype=np.float32)


def full_name(provider: str) -> str:
    """ "cuda" -> "CUDAExecutionProvider"; the full name of a provider is returned unchanged."""
    if provider in PROVIDERS:
        return PROVIDERS[provider]
    if not provider.endswith("ExecutionProvider"):
        raise ProviderError(
            f"`provider`: expected auto, {', '.join(PROVIDERS)} or the full name of an installed provider "
            f"({', '.join(ort.get_available_providers())}), got {provider!r}"
        )
    return provider


def short_name(provider: str) -> str:
    """The inverse of full_name."""
    return next((short for short, full in PROVIDERS.items() if full == provider), provider)


def missing(provider: str) -> str:
    """What `provider` (a full name) lacks on this machine, with a remedy; empty if nothing is known to be missing."""
    if provider not in ort.get_available_providers():
        gpu = provider in (PROVIDERS["tensorrt"], PROVIDERS["cuda"])
        if gpu and len(found := installed()) > 1:
            return f"the files of {' and '.join(found)} have overwritten each other, keep one: {remedy()}"
        what = GPU_WHEELS if gpu else "install the onnxruntime package that contains it"
        return f"the installed onnxruntime {ort.__version__} was built without {provider}: {what}"
    if provider not in (PROVIDERS["tensorrt"], PROVIDERS["cuda"]):
        return ""
    if reason := _load_failure("libcuda.so.1"):
        return f"the NVIDIA driver is missing ({reason}): install it on a machine with an NVIDIA GPU"
    if find_spec("nvidia") is not None:  # NVIDIA's wheels: their libraries are not on the loader's path
        ort.preload_dlls()
    folder = Path(ort.__file__).parent / "capi"
    name = "tensorrt" if provider == PROVIDERS["tensorrt"] else "cuda"
    _load_failure(str(folder / "libonnxruntime_providers_shared.so"), shared=True)  # the next one needs its symbols
    if reason := _load_failure(str(folder / f"libonnxruntime_providers_{name}.so")):
        what = "install TensorRT (pip install tensorrt)" if name == "tensorrt" else GPU_WHEELS
        return f"a library is missing ({reason}): {what}"
    return ""


def _load_failure(library: str, *, shared: bool = False) -> str:
    """Why the dynamic linker cannot load `library`; empty if it can."""
    try:
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL if shared else ctypes.DEFAULT_MODE)
    except OSError as error:
        return " ".join(str(error).split())
    return ""


def _checked_session(
    model: bytes, name: str, provider: str, options: dict[str, str], cuda_graphs: bool, threads_per_run: int
) -> ort.InferenceSession:
    """A session that really runs on `provider`."""
    full = full_name(provider)
    if reason := missing(full):
        raise ProviderError(f"`provider`: expected one that runs on this machine, got {provider}: {reason}")
    if full == PROVIDERS["cuda"]:
        options = CUDA_OPTIONS | options
        if cuda_graphs:
            options["enable_cuda_graph"] = "1"
    session = _session(model, name, full, options, threads_per_run)
    if session.get_providers()[0] != full:  # it fell back without an exception
        raise ProviderError(
            f"`provider`: expected {provider} to run, got a fallback of ONNX Runtime {ort.__version__} to "
            f"{session.get_providers()[0]}: check that its library, driver and GPU match"
        )
    return session


def _session(
    model: bytes, name: str, provider: str, provider_options: dict[str, str], threads: int
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS
    chosen: list[Any] = [(provider, provider_options)]
    if provider == PROVIDERS["tensorrt"]:
        chosen.append((PROVIDERS["cuda"], CUDA_OPTIONS))  # for the operators that TensorRT does not support
    try:
        return ort.InferenceSession(model, options, providers=chosen)
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        reason = " ".join(str(error).split())
        if provider != PROVIDERS["cpu"]:
            raise ProviderError(
                f"`provider`: expected {short_name(provider)} to load {name}, ONNX Runtime reports: {reason}"
            ) from None
        raise ModelError(f"{name}: expected a valid ONNX model, ONNX Runtime reports: {reason}") from None
