"""An exported file that is ready to run: its checked metadata, its session, and CUDA graphs on a GPU."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairnet.artifact.inspection import inspect, read_file
from pairnet.artifact.metadata import FileMetadata
from pairnet.artifact.runtime import ort
from pairnet.artifact.sessions import open_session, short_name
from pairnet.errors import ModelError

Feeds = Mapping[str, NDArray[Any]]
Outputs = list[NDArray[Any]]


class Model:
    """An exported file with its metadata and the session that runs it; `name` stands for bytes in messages.

    The file is read once, and checked before ONNX Runtime sees it: see artifact.inspection.inspect, also for the cost.
    Raises ModelError for a file that `pairnet export` did not write, and ProviderError if the provider cannot run.
    """

    def __init__(
        self,
        source: str | Path | bytes,
        provider: str = "auto",
        *,
        name: str = "the given bytes",
        provider_options: Mapping[str, str] | None = None,
        graph_batches: Sequence[int] = (),
        threads_per_run: int = 1,
    ) -> None:
        self.name = name if isinstance(source, bytes) else str(source)
        content = source if isinstance(source, bytes) else read_file(Path(source))
        self.metadata: FileMetadata = inspect(content, self.name)
        session = open_session(
            content,
            provider,
            name=self.name,
            provider_options=provider_options,
            cuda_graphs=bool(graph_batches),
            threads_per_run=threads_per_run,
        )
        self.part = self.metadata.part
        self.provider = short_name(session.get_providers()[0])
        self.on_gpu = self.provider in ("cuda", "tensorrt")
        self.inputs = {value.name: (_dtype(value), tuple(value.shape[1:])) for value in session.get_inputs()}
        self.outputs = [value.name for value in session.get_outputs()]
        self._session = session
        self._cuda = CudaRunner(session, graph_batches) if self.provider == "cuda" else None

    def run(self, feeds: Feeds) -> Outputs:
        """All outputs of one run, in the order of the file; threads may call it at the same time.

        Raises ModelError if ONNX Runtime fails.
        """
        try:
            return self._cuda(feeds) if self._cuda is not None else list(self._session.run(None, feeds))
        except Exception as error:  # ONNX Runtime's exceptions have no common class
            reason = " ".join(str(error).split())
            raise ModelError(f"{self.name}: expected a run to succeed, ONNX Runtime reports: {reason}") from None


class CudaRunner:
    """Runs a session whose tensors are on the GPU, with one CUDA graph for each batch size in `graph_batches`.

    Nothing leaves the device between the copy in and the copy out. A graph replays a whole run as one launch, on the
    tensors with which it was captured and in memory that counts as free afterwards: `_lock` guards both. Without a
    GPU it is tested on `device` "cpu", where the same calls copy from memory to memory.
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
        """All outputs of one run: NumPy arrays in, NumPy arrays out."""
        sizes = {len(value) for value in feeds.values()}  # a head compares one row with many, without a graph
        if len(sizes) == 1 and (size := sizes.pop()) in self._graphs:
            return self._replay(size, feeds)
        with self._lock if self._graphs else nullcontext():  # a replay uses memory that counts as free
            return self._run(feeds)

    def _run(self, feeds: Feeds) -> Outputs:
        """One run without a graph."""
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
    """Run options that capture or replay graph `index`; -1 means no graph."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(index))
    return options
