"""ONNX Runtime sessions: which provider really runs, with what settings, and what is missing where one does not run."""

import ctypes
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from pairnet.designs import FORMAT, METADATA

PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Short names, best first: `auto` tries them in turn. Other providers go by their own names."""

GPU_WHEELS = "pip install 'onnxruntime-gpu[cuda,cudnn]'"

Feeds = Mapping[str, NDArray[Any]]
Outputs = list[NDArray[Any]]


class ProviderError(RuntimeError):
    """A provider that was asked for and cannot run here."""


class ModelError(ValueError):
    """A file that ONNX Runtime cannot load, or that is not what it is taken for."""


class Model:
    """An exported file with the session that runs it, and what it says of itself.

    ModelError where it is not a file of `pairnet export`.
    """

    def __init__(
        self,
        source: str | Path | bytes,
        provider: str = "auto",
        *,
        provider_options: Mapping[str, str] | None = None,
        graph_batches: Sequence[int] = (),
        threads_per_run: int = 1,
    ) -> None:
        name = "the given bytes" if isinstance(source, bytes) else str(source)
        if not isinstance(source, bytes) and not Path(source).is_file():
            raise ModelError(f"{name}: expected an ONNX file, found none: `pairnet export` writes one")
        session = open_session(
            source if isinstance(source, bytes) else Path(source),
            provider,
            provider_options=provider_options,
            cuda_graphs=bool(graph_batches),
            threads_per_run=threads_per_run,
        )
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        if self.metadata.get("pairnet") != FORMAT:
            came = f"version {self.metadata['pairnet']}" if "pairnet" in self.metadata else "none"
            raise ModelError(
                f"{name}: expected pairnet's metadata, version {FORMAT}, came {came}: `pairnet export` writes it"
            )
        if lacking := [key for key in METADATA if key not in self.metadata]:
            raise ModelError(f"{name}: its metadata lacks {', '.join(lacking)}: `pairnet export` writes it whole")
        self.part = self.metadata["part"]
        self.provider = short_name(session.get_providers()[0])
        self.on_gpu = self.provider in ("cuda", "tensorrt")
        self.inputs = {value.name: (_dtype(value), tuple(value.shape[1:])) for value in session.get_inputs()}
        self.outputs = [value.name for value in session.get_outputs()]
        self._session = session
        self._gpu = CudaRunner(session, graph_batches) if self.provider == "cuda" else None

    def run(self, feeds: Feeds) -> Outputs:
        """All outputs, in the file's order, of one run; any number of threads at once."""
        return self._gpu(feeds) if self._gpu is not None else list(self._session.run(None, feeds))


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


class CudaRunner:
    """Runs a session whose tensors lie on the GPU; one CUDA graph for each batch size named beforehand.

    Between the copy in and the copy out nothing leaves the device. A graph replays a whole run as one launch, on the
    very tensors it was captured with: `_lock` guards these. Not yet tried on a GPU; on `device` "cpu", where the same
    calls copy from memory to memory, it is tested.
    """

    def __init__(
        self, session: ort.InferenceSession, graph_batches: Sequence[int] = (), *, device: str = "cuda"
    ) -> None:
        self._session = session
        self._device = device
        self._outputs = [output.name for output in session.get_outputs()]
        self._graphs = {size: self._capture(index, size) for index, size in enumerate(graph_batches, start=1)}
        self._lock = threading.Lock()

    def __call__(self, feeds: Feeds) -> Outputs:
        """NumPy in, NumPy out."""
        size = len(next(iter(feeds.values())))
        if size in self._graphs:
            return self._replay(size, feeds)
        binding = self._session.io_binding()
        for name, value in feeds.items():
            resident = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), self._device, 0)
            binding.bind_ortvalue_input(name, resident)
        for name in self._outputs:
            binding.bind_output(name, self._device)
        self._session.run_with_iobinding(binding, _with_graph(-1))
        return list(binding.copy_outputs_to_cpu())

    def _capture(self, index: int, size: int) -> tuple[Any, dict[str, Any], list[Any], Any]:
        def empty(value: Any) -> Any:
            return ort.OrtValue.ortvalue_from_shape_and_type([size, *value.shape[1:]], _dtype(value), self._device, 0)

        binding, options = self._session.io_binding(), _with_graph(index)
        inputs = {value.name: empty(value) for value in self._session.get_inputs()}
        outputs = [empty(value) for value in self._session.get_outputs()]
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in zip(self._outputs, outputs, strict=True):
            binding.bind_ortvalue_output(name, value)
        for _ in range(3):  # the first runs allocate; the last is captured
            self._session.run_with_iobinding(binding, options)
        return binding, inputs, outputs, options

    def _replay(self, size: int, feeds: Feeds) -> Outputs:
        binding, inputs, outputs, options = self._graphs[size]
        with self._lock:
            for name, value in feeds.items():
                inputs[name].update_inplace(np.ascontiguousarray(value))
            self._session.run_with_iobinding(binding, options)
            return [value.numpy() for value in outputs]


def _dtype(value: Any) -> type[np.uint8] | type[np.float32]:
    return np.uint8 if value.type == "tensor(uint8)" else np.float32


def _with_graph(index: int) -> Any:
    """Run options that capture or replay graph `index`; -1: none."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(index))
    return options
