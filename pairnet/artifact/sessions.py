"""ONNX Runtime sessions: which provider really runs, with what settings, and what is missing where one does not run."""

import ctypes
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime as ort

from pairnet.errors import ModelError, ProviderError

PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Short names, best first: `auto` tries them in turn. Other providers go by their own names."""

GPU_WHEELS = "pip install 'onnxruntime-gpu[cuda,cudnn]'"


def open_session(
    model: Path | bytes,
    provider: str = "auto",
    *,
    provider_options: Mapping[str, str] | None = None,
    cuda_graphs: bool = False,
    threads_per_run: int = 1,
) -> ort.InferenceSession:
    """A session on the provider that was asked for; `auto` is the first of PROVIDERS that runs here.

    On a CPU each run stays on the thread that calls it: predictor.py parts a batch between threads, which was measured
    to be quicker than ONNX Runtime's parting of each layer (`threads_per_run` of them, which spin while they wait).
    ProviderError says what is missing; ModelError says what is wrong with the file.
    """
    options: dict[str, Any] = {
        "provider_options": provider_options,
        "cuda_graphs": cuda_graphs,
        "threads_per_run": threads_per_run,
    }
    if provider == "auto":
        for name in PROVIDERS:
            if not missing(PROVIDERS[name]):
                try:
                    return open_session(model, name, **options)
                except ProviderError:
                    continue
    full = full_name(provider)
    if reason := missing(full):
        raise ProviderError(f'provider "{provider}" cannot run here: {reason}; or choose provider="auto"')
    given = dict(provider_options or {})
    if full == PROVIDERS["cuda"] and cuda_graphs:
        given["enable_cuda_graph"] = "1"
    session = _session(model, full, given, threads_per_run)
    if session.get_providers()[0] != full:  # it fell back without raising
        raise ProviderError(
            f'provider "{provider}" was refused by ONNX Runtime {ort.__version__}, which fell back to '
            f"{session.get_providers()[0]}: do its library, driver and GPU fit one another?"
        )
    return session


def full_name(provider: str) -> str:
    """ "cuda" -> "CUDAExecutionProvider"; the full name of any provider stands for itself."""
    if provider in PROVIDERS:
        return PROVIDERS[provider]
    if not provider.endswith("ExecutionProvider"):
        raise ProviderError(
            f"provider is auto, {', '.join(PROVIDERS)} or the full name of one that is installed "
            f'({", ".join(ort.get_available_providers())}), not "{provider}"'
        )
    return provider


def short_name(provider: str) -> str:
    """The inverse of full_name."""
    return next((short for short, full in PROVIDERS.items() if full == provider), provider)


def missing(provider: str) -> str:
    """What `provider` (its full name) lacks on this machine, and what to do; empty where nothing is known to be."""
    if provider not in ort.get_available_providers():
        gpu = provider in (PROVIDERS["tensorrt"], PROVIDERS["cuda"])
        remedy = GPU_WHEELS if gpu else "install the onnxruntime package that has it"
        return f"the installed onnxruntime {ort.__version__} was built without {provider}: {remedy}"
    if provider not in (PROVIDERS["tensorrt"], PROVIDERS["cuda"]):
        return ""
    if reason := _unloadable("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"):
        return f"there is no NVIDIA driver ({reason}): install one, on a machine with an NVIDIA GPU"
    if find_spec("nvidia") is not None:  # NVIDIA's wheels: their libraries lie where no loader looks
        ort.preload_dlls()
    folder = Path(ort.__file__).parent / "capi"
    name = "tensorrt" if provider == PROVIDERS["tensorrt"] else "cuda"
    library = f"onnxruntime_providers_{name}.dll" if sys.platform == "win32" else f"libonnxruntime_providers_{name}.so"
    if sys.platform != "win32":
        _unloadable(str(folder / "libonnxruntime_providers_shared.so"), shared=True)  # the other one's symbols
    if reason := _unloadable(str(folder / library)):
        remedy = "install TensorRT (pip install tensorrt)" if name == "tensorrt" else GPU_WHEELS
        return f"a library is missing ({reason}): {remedy}"
    return ""


def _unloadable(library: str, *, shared: bool = False) -> str:
    """Why the dynamic linker refuses `library`; empty where it does not."""
    try:
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL if shared else ctypes.DEFAULT_MODE)
    except OSError as error:
        return " ".join(str(error).split())
    return ""


def _session(
    model: Path | bytes, provider: str, provider_options: dict[str, str], threads: int
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; what a warning would say is raised here
    source = model if isinstance(model, bytes) else str(model)
    chosen: list[Any] = [(provider, provider_options)]
    if provider == PROVIDERS["tensorrt"]:
        chosen.append(PROVIDERS["cuda"])  # for what TensorRT does not take
    try:
        return ort.InferenceSession(source, options, providers=chosen)
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        reason = " ".join(str(error).split())
        if provider != PROVIDERS["cpu"]:
            raise ProviderError(f'provider "{short_name(provider)}" cannot take this model: {reason}') from None
        name = "the given bytes" if isinstance(model, bytes) else str(model)
        raise ModelError(f"{name}: expected an ONNX model, ONNX Runtime says: {reason}") from None


def cpu_session(model: bytes) -> ort.InferenceSession:
    """A session on one thread of the CPU: for answers, not for speed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
