"""Answers from an exported file: is one digit less than another, and what is the order of many images?  No torch.

    with Predictor("final_model.onnx") as predictor:
        predictor.compare(left, right)  # uint8 [28,28] each -> P(left <= right)

Needs NumPy, onnx and ONNX Runtime. The settings for a CPU come from measurements (docs/results.md): each run stays on
one thread, and a batch is split into chunks that the threads share, since a chunk's activations then stay in the cache
of a core and no thread waits for another after each layer.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import count
from operator import index
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pairnet.artifact.design import InputKind
from pairnet.artifact.metadata import FileMetadata
from pairnet.errors import ArgumentError, ClosedError, InputError, ModelError, ProviderError
from pairnet.host import cores
from pairnet.serving.inputs import as_array, check_images, check_results, shown_array
from pairnet.serving.model import Feeds, Model, Outputs
from pairnet.serving.split import find_split, matching

__all__ = ["ClosedError", "InputError", "ModelError", "Predictor", "ProviderError", "Ranking"]

CHUNK, GPU_CHUNK = 32, 4096  # pairs in one run
GPU_LARGEST_CHUNK = 16384  # on an H200, cuDNN's pooling took 16,384 pairs and refused 65,536
SMALLEST_CHUNK = 16  # smaller chunks lower the throughput of a core
LARGEST = {"threads": 1024, "batch": 2**20, "threads_per_run": 1024}
ROWS = 256  # of the table of all pairs, held at the same time

T = TypeVar("T")
R = TypeVar("R")


class Ranking(NamedTuple):
    """The order of N images."""

    order: NDArray[np.int64]  # [N]: indices of the images, smallest digit first
    score: NDArray[np.float64]  # [N]: mean probability that the image goes before the others, 0..1


class Predictor:
    """One exported model, ready to answer; any number of threads may use it at the same time.

    model: a file of `pairnet export`, or its bytes.
    provider: "auto" (the first of TensorRT, CUDA and CPU that runs here), "tensorrt", "cuda", "cpu", or the full name
    of another provider of the installed ONNX Runtime; `provider_options` are passed to it.
    threads: threads on a CPU (default: the cores that this process may use).
    batch: pairs in one run (default: 32 on a CPU, 4096 on a GPU).
    threads_per_run: with more than 1, ONNX Runtime splits each layer between so many of the threads. A single pair is
    answered sooner, and each pair costs more CPU time.
    graph_batches: batch sizes for which the CUDA provider keeps a CUDA graph.
    warm_up: whether two runs allocate memory, and on a GPU choose kernels, before the constructor returns.
    name: what messages call a model that is given as bytes.

    Raises ModelError for a file that `pairnet export` did not write, ProviderError if the provider cannot run, and
    ArgumentError for an option that is out of bounds.
    """

    def __init__(
        self,
        model: str | Path | bytes,
        *,
        provider: str = "auto",
        provider_options: Mapping[str, str] | None = None,
        threads: int | None = None,
        batch: int | None = None,
        threads_per_run: int = 1,
        graph_batches: Sequence[int] = (),
        warm_up: bool = True,
        name: str = "the given bytes",
    ) -> None:
        for option, value in (("threads", threads), ("batch", batch), ("threads_per_run", threads_per_run)):
            if value is not None:
                _check_whole(option, value, LARGEST[option])
        for size in graph_batches:
            _check_whole("graph_batches", size, LARGEST["batch"])
        threads = threads or cores()
        if threads_per_run > threads:
            raise ArgumentError(
                f"`threads_per_run`: expected at most `threads`, which is {threads}, got {threads_per_run}"
            )
        self._open = partial(
            Model,
            provider=provider,
            provider_options=provider_options,
            graph_batches=tuple(graph_batches),
            threads_per_run=threads_per_run,
        )
        self._path = None if isinstance(model, bytes) else Path(model)
        self._model = self._open(model, name=name)
        if self._model.part == "head":
            raise ModelError(
                f"{self._model.name}: expected a joint file or an encoder, got a head, which takes the features of two "
                "images: pass the file without .head, or use Predictor.from_split(encoder, head)"
            )
        self._split: tuple[Model, Model] | None = None
        self._split_lock = threading.Lock()  # guards the first assignment of _split
        self._threads = 1 if self._model.on_gpu else threads // threads_per_run
        self._batch = min(batch or GPU_CHUNK, GPU_LARGEST_CHUNK) if self._model.on_gpu else batch or CHUNK
        self._pool = ThreadPoolExecutor(self._threads, "pairnet")  # starts no thread before it has work
        self._closed = False
        if warm_up:
            self._warm_up()

    @classmethod
    def from_split(
        cls,
        encoder: str | Path | bytes,
        head: str | Path | bytes,
        *,
        provider: str = "auto",
        provider_options: Mapping[str, str] | None = None,
        threads: int | None = None,
        batch: int | None = None,
        threads_per_run: int = 1,
        graph_batches: Sequence[int] = (),
        warm_up: bool = True,
        name: str = "the given bytes",
    ) -> Self:
        """A predictor without the joint file: encodes each image once, then compares features.  Options as above."""
        predictor = cls(
            encoder,
            provider=provider,
            provider_options=provider_options,
            threads=threads,
            batch=batch,
            threads_per_run=threads_per_run,
            graph_batches=graph_batches,
            warm_up=False,
            name=name,
        )
        predictor._split = matching(predictor._model, predictor._open(head, name=name))
        if warm_up:
            predictor._warm_up()
        return predictor

    @property
    def provider(self) -> str:
        """The provider that runs the model: "cpu", "cuda", "tensorrt", or the full name of another one."""
        return self._model.provider

    @property
    def metadata(self) -> FileMetadata:
        """The metadata of the file, typed and validated, e.g. `metadata.test_accuracy`; see artifact.metadata."""
        return self._model.metadata

    @property
    def input_kind(self) -> InputKind:
        """ "images" (raw grey levels, uint8, 28x28) or "pairs" (pooled and normalised pixels, float32, 14x14)."""
        return self._model.metadata.input_kind

    @property
    def has_digits(self) -> bool:
        """Whether the file was exported `with_digits`, so that `digits` answers."""
        return "digits" in self._model.outputs

    def outputs(self, pairs: NDArray[Any], *, split: bool = True) -> dict[str, NDArray[np.float32]]:
        """All outputs by name: "probability" [N], and "digits" [N,2,10] if the file has them.

        pairs: uint8 [N,2,28,28], or float32 [N,2,14,14] (see `input_kind`).
        split: whether the threads share a large batch; otherwise the calling thread computes it alone, in one run (on a
        GPU at most GPU_LARGEST_CHUNK pairs).
        Raises InputError for other arrays.
        """
        self._check_open()
        pairs = self._checked(self._model, pairs, "pairs", 2)
        run = self._run if split else Model.run
        if self._model.part == "joint":
            results = dict(zip(self._model.outputs, run(self._model, {"pair": pairs}), strict=True))
        else:
            encoder, head = self._encoder_and_head()
            first, second = (run(encoder, {"image": pairs[:, k : k + 1]})[0] for k in (0, 1))  # [N,F] each
            check_results({"features": first}, pairs)
            check_results({"features": second}, pairs)
            results = {"probability": run(head, {"first": first, "second": second})[0]}
        check_results(results, pairs)
        return results

    def probability(self, pairs: NDArray[Any]) -> NDArray[np.float32]:
        """P(first <= second) for each pair.  Pairs, as for `outputs` -> [N]."""
        return self.outputs(pairs)["probability"]

    def compare(self, first: NDArray[Any], second: NDArray[Any]) -> Any:
        """P(first <= second).  Two images [28,28] -> float; [N,28,28] on one side or both -> [N].

        Raises InputError for other arrays.
        """
        first, second = as_array(first, "first"), as_array(second, "second")
        for name, images in (("first", first), ("second", second)):
            if images.ndim not in (2, 3):
                raise InputError(f"`{name}`: expected one image [28,28] or many [N,28,28], got {shown_array(images)}")
        if first.dtype != second.dtype or first.shape[-2:] != second.shape[-2:]:
            raise InputError(
                f"`second`: expected the dtype and image size of `first`, {shown_array(first)}, "
                f"got {shown_array(second)}"
            )
        if first.ndim == second.ndim == 3 and len(first) != len(second):
            raise InputError(f"`second`: expected {len(first)} images, as in `first`, got {len(second)}")
        pairs = np.stack(np.broadcast_arrays(first, second), axis=-3).reshape(-1, 2, *first.shape[-2:])
        probability = self.probability(pairs)
        return float(probability[0]) if first.ndim == second.ndim == 2 else probability

    def digits(self, pairs: NDArray[Any]) -> NDArray[np.float32]:
        """Distribution of each image over the ten digits.  Pairs, as for `outputs` -> [N,2,10].

        Raises ModelError for a file without digits, and InputError for other arrays.
        """
        if not self.has_digits:
            raise ModelError(
                f"{self._model.name}: expected an output `digits`, got none: export the run again `with_digits`"
            )
        return self.outputs(pairs)["digits"]

    def rank(self, images: NDArray[Any]) -> Ranking:
        """Sorts N images, smallest digit first, after comparing each with each.  [N,28,28] -> Ranking.

        The score of image i is the mean over all images j of (P(i <= j) + 1 - P(j <= i)) / 2. The highest score goes
        first, and images with equal scores keep their order. Each image is encoded once and features are compared. So
        NAME.encoder.onnx and NAME.head.onnx are needed next to NAME.onnx (`pairnet export --split`), or from_split.
        Raises ModelError without them, and InputError for other arrays.
        """
        encoder, head = self._encoder_and_head()
        images = as_array(images, "images")
        images = self._checked(encoder, images[:, None] if images.ndim == 3 else images, "images", 1)
        features = self._run(encoder, {"image": images})[0]  # [N,F]
        check_results({"features": features}, images)
        total = len(features)
        before, after = np.empty(total), np.zeros(total)

        def row(i: int) -> NDArray[np.float32]:
            return head.run({"first": features[i : i + 1], "second": features})[0]

        for start in range(0, total, ROWS):
            numbers = range(start, min(start + ROWS, total))
            table = np.stack(self._map(row, numbers)).astype(np.float64)  # P(i <= j): [rows,N]
            check_results({"probability": table}, images)
            before[numbers.start : numbers.stop] = table.sum(1)
            after += table.sum(0)
        score = 0.5 + (before - after) / (2 * total)
        return Ranking(order=np.argsort(-score, kind="stable"), score=score)

    def close(self) -> None:
        """Stops the threads, also at the end of a `with` block.  Later calls raise ClosedError."""
        self._closed = True
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _warm_up(self) -> None:
        """Runs the smallest and the largest batch."""
        for model in self._split or (self._model,):
            for size in (1, self._batch):
                model.run({name: np.zeros((size, *shape), dtype) for name, (dtype, shape) in model.inputs.items()})

    def _encoder_and_head(self) -> tuple[Model, Model]:
        with self._split_lock:
            if self._split is None:
                self._split = find_split(self._path, self._model, self._open)
            return self._split

    def _run(self, model: Model, feeds: Feeds) -> Outputs:
        """One run, or one for each chunk of the batch."""
        self._check_open()
        total = len(next(iter(feeds.values())))
        step = self._batch
        if not self._model.on_gpu:  # at least two chunks for each thread, so that none waits long for another
            step = min(step, max(SMALLEST_CHUNK, -(-total // (2 * self._threads))))
        if total <= step:
            return model.run(feeds)
        starts = range(0, total, step)
        chunks = [{name: value[start : start + step] for name, value in feeds.items()} for start in starts]
        return [np.concatenate(parts) for parts in zip(*self._map(model.run, chunks), strict=True)]

    def _map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """`function` of each item, in their order.

        The calling thread takes items too, and helpers that have not begun when no item is left are cancelled: so a
        busy machine makes it no slower than one thread. The first failure stops all threads after their current item.
        """
        results: dict[int, R] = {}
        numbers = count()  # next() returns a different number to each thread
        stop = threading.Event()

        def work() -> None:
            try:
                while not stop.is_set() and (number := next(numbers)) < len(items):
                    results[number] = function(items[number])
            except BaseException:
                stop.set()
                raise

        helpers: list[Future[None]] = []
        try:
            helpers.extend(self._submit(work) for _ in range(min(self._threads, len(items)) - 1))
            self._check_open()
            work()
        finally:
            stop.set()  # if this thread failed; otherwise no item is left
            running = [helper for helper in helpers if not helper.cancel()]
            wait(running)
        for helper in running:
            helper.result()
        return [results[number] for number in range(len(items))]

    def _submit(self, work: Callable[[], None]) -> Future[None]:
        try:
            return self._pool.submit(work)
        except RuntimeError:  # another thread has closed the pool since the last check
            self._check_open()
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("expected an open predictor, got a closed one: make a new Predictor")

    def _checked(self, model: Model, images: Any, name: str, channels: int) -> NDArray[Any]:
        """`images` as an array of the size that `model` takes, with `channels` images in each row."""
        array = as_array(images, name)
        dtype, shape = next(iter(model.inputs.values()))
        check_images(array, name, dtype, (channels, *shape[1:]))
        return array


def _check_whole(name: str, value: Any, largest: int) -> None:
    """Raises ArgumentError unless `value` is a whole number from 1 to `largest`."""
    try:
        valid = 1 <= index(value) <= largest
    except TypeError:
        valid = False
    if not valid:
        raise ArgumentError(f"`{name}`: expected a whole number from 1 to {largest:,}, got {value!r}")
