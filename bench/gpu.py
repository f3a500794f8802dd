"""How fast is inference with an exported network on a GPU? Skipped, with the reason, if there is no usable GPU.

Times synchronise with the device and begin once its clocks are steady: calls are repeated until a tenth of a second of
them is as fast as the one before. asv starts a process for each row, so the rows are few: one of each kind without a
driver, and TensorRT, which builds an engine for each row, only where ChartedThroughput asks for it.
"""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.common import FIRST, GPU_PRECISIONS, NETWORKS, NeedsNetworks, has_gpu_driver, images, titled
from bench.fixture import NULL, Fixture
from bench.turns import seconds_of
from pairnet.artifact.runtime import ort
from pairnet.artifact.sessions import open_session
from pairnet.errors import ProviderError
from pairnet.models.variants import count_multiply_adds, find_variant
from pairnet.serving.predictor import Predictor

DRIVER = has_gpu_driver()
PROVIDERS = ["cuda", "tensorrt"] if DRIVER else ["cuda"]
PRECISIONS = GPU_PRECISIONS if DRIVER else GPU_PRECISIONS[:1]
MAIN = [NULL, *FIRST]
"""The networks whose times are gated."""

BATCHES = [1, 8192] if DRIVER else [1]
LARGE = (4096, 16384)
"""Batches of the throughput; the best one counts. cuDNN's pooling refuses 65,536 pairs."""

SWEEPS = 5  # measurements of the throughput; the median counts
WINDOW = 0.1  # seconds of calls that are compared while the clocks are not steady
STEADY = 0.02  # largest relative difference of two windows in a row
PATIENCE = 5.0  # seconds after which the clocks count as steady anyway
SIDE = {"cuda": 8192, "cpu": 1024}
"""Side of the square matrices whose product is the reference, by device."""


class ResidentRun:
    """A session whose images and answers stay in the memory of its device; a call is one synchronised run.

    Raises NotImplementedError, which asv takes for "skipped", if the provider cannot run on this machine.
    """

    def __init__(
        self,
        model: Path | bytes,
        provider: str,
        batch: int,
        *,
        device: str = "cuda",
        options: Mapping[str, str] | None = None,
    ) -> None:
        content = model if isinstance(model, bytes) else model.read_bytes()
        try:
            self._session = open_session(content, provider, provider_options=options)
        except ProviderError as error:
            raise NotImplementedError(str(error)) from None
        self._batch = batch
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input("pair", ort.OrtValue.ortvalue_from_numpy(images(batch), device, 0))
        self._answers: Any = ort.OrtValue.ortvalue_from_shape_and_type([batch], "float32", device, 0)
        self._binding.bind_ortvalue_output("probability", self._answers)
        for value in self._session.get_outputs():
            if value.name != "probability":
                self._binding.bind_output(value.name, device)

    def __call__(self) -> None:
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def pairs_per_second(self) -> float:
        """Median of SWEEPS measurements, after a warm-up."""
        warm_up(self)
        rates = []
        for _ in range(SWEEPS):
            calls, began = 0, time.perf_counter()
            while time.perf_counter() - began < WINDOW:
                self()
                calls += 1
            rates.append(calls * self._batch / (time.perf_counter() - began))
        return statistics.median(rates)


def warm_up(run: Any) -> float:
    """Calls `run` until its speed is steady -> seconds that this took."""
    run()
    began, before = time.perf_counter(), 0.0
    while (elapsed := time.perf_counter() - began) < PATIENCE:
        calls, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < WINDOW:
            run()
            calls += 1
        rate = calls / spent
        if abs(rate - before) <= STEADY * rate:
            break
        before = rate
    return elapsed


def best_pairs_per_second(
    model: Path | bytes,
    provider: str,
    *,
    device: str = "cuda",
    batches: tuple[int, ...] = LARGE,
    options: Mapping[str, str] | None = None,
) -> float:
    """The highest throughput of a few large batches, device-resident; those that do not fit its memory are left out.

    Raises NotImplementedError as ResidentRun does, and ONNX Runtime's error if even the first batch fails.
    """
    best = 0.0
    for batch in batches:
        try:
            best = max(best, ResidentRun(model, provider, batch, device=device, options=options).pairs_per_second())
        except NotImplementedError:
            raise
        except Exception:  # ONNX Runtime's exceptions have no common class
            if not best:
                raise
            break
    return best


def with_symmetric_padding(path: Path) -> bytes:
    """An exported file whose convolutions pad all sides equally.

    `pairnet export` leaves out the last row and column where the pooling after a convolution drops them. ONNX Runtime's
    CUDA provider has no asymmetric padding: it computes everything and slices.
    """
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Conv" and attribute.name == "pads":
                attribute.ints[2:] = attribute.ints[:2]
    content: bytes = model.SerializeToString()
    return content


def matrix_product(precision: str, *, device: str = "cuda") -> float:
    """FLOP/s of a square matrix product in torch, in "fp32", "tf32" or "fp16": what this device can reach."""
    import torch

    size = SIDE[device]
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype = torch.float16 if precision == "fp16" else torch.float32
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def run() -> None:
        one @ other
        if device == "cuda":
            torch.cuda.synchronize()

    warm_up(run)
    return 2 * size**3 / statistics.median(seconds_of(run) for _ in range(SWEEPS))


def arithmetic(precision: str, device: str = "cuda") -> str:
    """ONNX Runtime's arithmetic for a file of `precision`: TF32 for fp32 on CUDA, and fp32 for everything on a CPU."""
    if device == "cpu":
        return "fp32"
    return "tf32" if precision == "fp32" else precision


def fraction_of_matrix_product(variant: str, pairs_per_second: float, flops: float) -> float:
    """Arithmetic of a network per second, as its structure counts it, divided by that of a matrix product."""
    return 2 * count_multiply_adds(find_variant(variant)) * pairs_per_second / flops


class Resident(NeedsNetworks):
    """Images and answers stay in the memory of the GPU, so transfers are not measured."""

    param_names = ["variant", "provider", "precision", "batch"]
    params = [MAIN, PROVIDERS[:1], PRECISIONS, BATCHES]
    rounds = 1
    repeat = (3, 20, 0.3)
    warmup_time = 0.2

    def setup(self, fixture: Fixture, variant: str, provider: str, precision: str, batch: int) -> None:
        self.run = ResidentRun(fixture.file(variant, precision), provider, batch)
        warm_up(self.run)

    @titled("one call, images in the GPU's memory")
    def time_answer(self, fixture: Fixture, variant: str, provider: str, precision: str, batch: int) -> None:
        self.run()


class Host(NeedsNetworks):
    """Images and answers are in host memory: one call of the predictor."""

    param_names = ["variant", "provider", "batch"]
    params = [MAIN, PROVIDERS[:1], BATCHES[-1:]]
    rounds = 1
    repeat = (3, 20, 0.3)
    warmup_time = 0.2

    def setup(self, fixture: Fixture, variant: str, provider: str, batch: int) -> None:
        try:
            self.predictor = Predictor(fixture.file(variant, "fp32"), provider=provider)
        except ProviderError as error:
            raise NotImplementedError(str(error)) from None
        self.pairs = images(batch)
        warm_up(lambda: self.predictor.probability(self.pairs))

    @titled("one call, images from the host")
    def time_answer(self, fixture: Fixture, variant: str, provider: str, batch: int) -> None:
        self.predictor.probability(self.pairs)


class ChartedThroughput(NeedsNetworks):
    """The best of a few large batches, images and answers in the memory of the GPU."""

    param_names = ["variant", "provider", "precision"]
    params = [NETWORKS, PROVIDERS, PRECISIONS]
    unit = "pairs/s"

    def setup(self, fixture: Fixture, variant: str, provider: str, precision: str) -> None:
        path = fixture.file(variant, precision)
        if provider == "tensorrt" and variant not in MAIN:
            raise NotImplementedError("TensorRT builds an engine for each row: only for the main variants")
        ResidentRun(path, provider, 1)  # skips without a GPU

    @titled("pairs per second on the GPU (charted)")
    def track_pairs_per_second(self, fixture: Fixture, variant: str, provider: str, precision: str) -> float:
        return best_pairs_per_second(fixture.file(variant, precision), provider)


class ChartedFraction(NeedsNetworks):
    """The arithmetic of a network on CUDA as a fraction of what the same GPU reaches in a matrix product in torch."""

    param_names = ["variant", "precision"]
    params = [FIRST, PRECISIONS]
    unit = "% of a matrix product"

    def setup(self, fixture: Fixture, variant: str, precision: str) -> None:
        ResidentRun(fixture.file(variant, precision), "cuda", 1)  # skips without a GPU

    @titled("arithmetic on the GPU, of a matrix product's (charted)")
    def track_fraction(self, fixture: Fixture, variant: str, precision: str) -> float:
        rate = best_pairs_per_second(fixture.file(variant, precision), "cuda")
        return 100 * fraction_of_matrix_product(variant, rate, matrix_product(arithmetic(precision)))
