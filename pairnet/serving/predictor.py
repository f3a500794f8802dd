"""Answers from an exported file: which of two digits is less, how many images follow one another; no torch.

    with Predictor("final_model.onnx") as predictor:
        predictor.compare(left, right)  # uint8 [28,28] each -> P(left <= right)

Needs NumPy and ONNX Runtime alone. A CPU's settings were chosen by measurement (docs/results.md): each run stays on
one thread, and a batch is parted into chunks that the threads share out, since a chunk's activations then stay in a
core's cache and no thread waits for another after each layer.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pairnet.errors import InputError, ModelError, ProviderError
from pairnet.host import cores
from pairnet.serving.inputs import check_answers, checked, show
from pairnet.serving.model import Feeds, Model, Outputs

__all__ = ["InputError", "ModelError", "Predictor", "ProviderError", "Ranking"]

CHUNK, GPU_CHUNK = 32, 4096  # pairs in one run
LEAST_CHUNK = 16  # in smaller ones a core does less
ROWS = 256  # of the table of all pairs, held at once

T = TypeVar("T")
R = TypeVar("R")


class Ranking(NamedTuple):
    """N images put in order."""

    order: NDArray[np.int64]  # [N]: the images' numbers, least digit first
    score: NDArray[np.float64]  # [N]: how much of the whole each image goes before, 0..1


class Predictor:
    """One exported model, ready to answer; any number of threads may ask at once.

    `model` is a file of `pairnet export`, or its bytes. `provider` is "auto" (the first of TensorRT, CUDA and CPU that
    really runs here), "tensorrt", "cuda", "cpu", or the full name of any other provider of the installed ONNX Runtime;
    ProviderError where it cannot run. `threads` (default: the cores this process may use) and `batch` (pairs in one
    run) are for those who measured otherwise. `threads_per_run` beyond 1 lets ONNX Runtime part each layer between so
    many of the threads: single pairs come back sooner, and cost more. `graph_batches` are sizes for which the CUDA
    provider keeps a graph; the others have none. ModelError for a file that is not one of ours.
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
    ) -> None:
        for name, value in (("threads", threads), ("batch", batch), ("threads_per_run", threads_per_run)):
            if value is not None and index(value) < 1:  # TypeError for what is no whole number
                raise ValueError(f"{name} must be at least 1, not {value}")
        threads = threads or cores()
        if threads_per_run > threads:
            raise ValueError(f"threads_per_run must be at most threads, which is {threads}, not {threads_per_run}")
        self._open = partial(
            Model,
            provider=provider,
            provider_options=provider_options,
            graph_batches=graph_batches,
            threads_per_run=threads_per_run,
        )
        self._path = None if isinstance(model, bytes) else Path(model)
        self._model = self._open(model)
        if self._model.part == "head":
            raise ModelError(
                f"{self._path or 'the given bytes'}: expected a whole net or an encoder, came a head, which takes two "
                "encoded images: name the file without .head, or use Predictor.from_split(encoder, head)"
            )
        self._split: tuple[Model, Model] | None = None
        self._threads = 1 if self._model.on_gpu else threads // threads_per_run
        self._batch = batch or (GPU_CHUNK if self._model.on_gpu else CHUNK)
        self._pool = ThreadPoolExecutor(self._threads, "pairnet")  # starts no thread before it has work
        self._closed = False
        if warm_up:
            self._warm_up()

    @classmethod
    def from_split(cls, encoder: str | Path | bytes, head: str | Path | bytes, *, provider: str = "auto") -> Self:
        """A predictor without the joint file: encodes each image once, then compares features."""
        predictor = cls(encoder, provider=provider, warm_up=False)
        predictor._split = _matching(predictor._model, predictor._open(head))
        predictor._warm_up()
        return predictor

    @property
    def provider(self) -> str:
        """The provider that runs: "cpu", "cuda", "tensorrt", or another one's full name."""
        return self._model.provider

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself; the keys are in designs.METADATA."""
        return dict(self._model.metadata)

    @property
    def takes(self) -> str:
        """ "images" (grey levels, uint8, 28x28) or "pairs" (pooled and normalised, float32, 14x14)."""
        return self._model.metadata["input"]

    def probability(self, pairs: NDArray[Any]) -> NDArray[np.float32]:
        """P(first <= second) for each pair.  uint8 [N,2,28,28] (or, see `takes`, float32 [N,2,14,14]) -> [N]."""
        pairs = self._checked(pairs, "pair", 2)
        if self._model.part == "joint":
            return self._run(self._model, {"pair": pairs})[0]
        encoder, head = self._encoder_and_head()
        first, second = (self._run(encoder, {"image": pairs[:, k : k + 1]})[0] for k in (0, 1))  # [N,F] each
        return self._run(head, {"first": first, "second": second})[0]

    def compare(self, first: NDArray[Any], second: NDArray[Any]) -> Any:
        """P(first <= second).  Two images [28,28] -> float; [N,28,28] on one side or both -> [N]."""
        first, second = np.asarray(first), np.asarray(second)
        for name, images in (("first", first), ("second", second)):
            if images.ndim not in (2, 3):
                raise InputError(f"{name}: expected one image [28,28] or several [N,28,28], came {show(images)}")
        if first.dtype != second.dtype or first.shape[-2:] != second.shape[-2:]:
            raise InputError(f"expected images of one kind and size, came {show(first)} and {show(second)}")
        if first.ndim == second.ndim == 3 and len(first) != len(second):
            raise InputError(f"expected as many second as first images, came {len(first)} and {len(second)}")
        found = self.probability(
            np.stack(np.broadcast_arrays(first, second), axis=-3).reshape(-1, 2, *first.shape[-2:])
        )
        return float(found[0]) if first.ndim == second.ndim == 2 else found

    def digits(self, pairs: NDArray[Any]) -> NDArray[np.float32]:
        """Each image's distribution over the ten digits.  Pairs, as `probability` takes them -> [N,2,10]."""
        if "digits" not in self._model.outputs:
            raise ModelError("this file gives no digits: export it again with --with-digits")
        return self._run(self._model, {"pair": self._checked(pairs, "pair", 2)})[1]

    def rank(self, images: NDArray[Any]) -> Ranking:
        """Puts N images in order, least digit first, after comparing each with each.  [N,28,28] -> Ranking.

        An image's score is the mean over all images j of (P(it <= j) + 1 - P(j <= it)) / 2; the highest goes first, and
        equal scores keep the order in which the images came. Each image is encoded once, and features are compared: it
        needs NAME.encoder.onnx and NAME.head.onnx beside NAME.onnx (`pairnet export --split`), or from_split.
        """
        encoder, head = self._encoder_and_head()
        images = np.asarray(images)
        if images.ndim == 3:
            images = images[:, None]
        features = self._run(encoder, {"image": self._checked(images, "image", 1)})[0]  # [N,F]
        total = len(features)
        before, after = np.empty(total), np.zeros(total)

        def row(i: int) -> NDArray[np.float32]:
            return head.run({"first": features[i : i + 1], "second": features})[0]

        for start in range(0, total, ROWS):
            numbers = range(start, min(start + ROWS, total))
            table = np.stack(self._map(row, numbers)).astype(np.float64)  # P(i <= j): [rows,N]
            before[numbers.start : numbers.stop] = table.sum(1)
            after += table.sum(0)
        score = 0.5 + (before - after) / (2 * total)
        return Ranking(order=np.argsort(-score, kind="stable"), score=score)

    def close(self) -> None:
        """Ends the threads; also done at the end of a `with` block. The predictor answers no more."""
        self._closed = True
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _warm_up(self) -> None:
        """The first runs allocate; on a GPU they also choose kernels."""
        for model in self._split or (self._model,):
            for size in (1, self._batch):
                model.run({name: np.zeros((size, *shape), dtype) for name, (dtype, shape) in model.inputs.items()})

    def _encoder_and_head(self) -> tuple[Model, Model]:
        if self._split is None:
            self._split = self._find_split()
        return self._split

    def _find_split(self) -> tuple[Model, Model]:
        if self._path is None:
            raise ModelError("a model given as bytes has no files beside it: use Predictor.from_split(encoder, head)")
        stem = self._path.name.removesuffix(".onnx")
        if self._model.part == "encoder":  # which finds its own head
            stem = stem.removesuffix(".encoder")
        paths = [self._path.with_name(f"{stem}.{part}.onnx") for part in ("encoder", "head")]
        if lacking := [path.name for path in paths if not path.is_file()]:
            raise ModelError(
                f"expected {' and '.join(lacking)} beside {self._path}: `pairnet export --split` writes them, "
                "for a variant whose images share one tower"
            )
        encoder, head = _matching(*map(self._open, paths))
        if differing := _differing(encoder, self._model):
            raise ModelError(f"{paths[0].name} has another {differing} than {self._path.name}: export all with --split")
        return encoder, head

    def _run(self, model: Model, feeds: Feeds) -> Outputs:
        """One run, or as many as the batch has chunks."""
        if self._closed:
            raise RuntimeError("this predictor is closed: make another one")
        total = len(next(iter(feeds.values())))
        step = self._batch
        if not self._model.on_gpu:  # two chunks or more for each thread, so that none waits long for another
            step = min(step, max(LEAST_CHUNK, -(-total // (2 * self._threads))))
        if total <= step:
            outputs = model.run(feeds)
        else:
            starts = range(0, total, step)
            chunks = [{name: value[start : start + step] for name, value in feeds.items()} for start in starts]
            outputs = [np.concatenate(parts) for parts in zip(*self._map(model.run, chunks), strict=True)]
        check_answers(outputs, feeds)
        return outputs

    def _map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """function of each item, in their order.

        The calling thread takes items too, and a helper that had not begun when none was left is let go: so a busy
        machine makes it no slower than one thread.
        """
        results: dict[int, R] = {}
        numbers = count()  # whose next() no two threads get alike

        def work() -> None:
            while (number := next(numbers)) < len(items):
                results[number] = function(items[number])

        helpers = [self._pool.submit(work) for _ in range(min(self._threads, len(items)) - 1)]
        work()
        for helper in helpers:
            if not helper.cancel():
                helper.result()
        return [results[number] for number in range(len(items))]

    def _checked(self, images: NDArray[Any], name: str, channels: int) -> NDArray[Any]:
        model = self._encoder_and_head()[0] if name == "image" else self._model
        dtype, shape = next(iter(model.inputs.values()))
        return checked(np.asarray(images), name, dtype, (channels, *shape[1:]))


def _matching(encoder: Model, head: Model) -> tuple[Model, Model]:
    """The same two; ModelError where they are not an encoder and a head that were exported together."""
    if (encoder.part, head.part) != ("encoder", "head"):
        raise ModelError(f"expected an encoder and a head, came {encoder.part} and {head.part}")
    if differing := _differing(encoder, head):
        raise ModelError(f"the encoder has another {differing} than the head: export them together, with --split")
    return encoder, head


def _differing(one: Model, other: Model) -> str:
    """By what two files do not belong together; empty where they do."""
    return next((key for key in ("run", "input", "precision") if one.metadata[key] != other.metadata[key]), "")
