"""How long does inference with an exported network take on a CPU, through `pairnet.Predictor`?"""

import statistics
import time

from bench.common import BATCHES, CPU_PRECISIONS, NETWORKS, NeedsNetworks, images, titled
from bench.fixture import Fixture
from pairnet.serving.predictor import Predictor

WARM_UP, CALLS = 200, 2000  # calls per latency measurement
REPEATS = 10  # latency measurements; the lowest median is reported
SWEEPS = 5  # throughput measurements; the median is reported


class Answer(NeedsNetworks):
    """One call of `probability` on one thread."""

    param_names = ["variant", "precision", "batch"]
    params = [NETWORKS, CPU_PRECISIONS, BATCHES]
    rounds = 1
    repeat = (3, 20, 0.3)  # at least 3 samples, then until 20 or 0.3 s
    sample_time = 0.01
    warmup_time = 0.05

    def setup(self, fixture: Fixture, variant: str, precision: str, batch: int) -> None:
        self.predictor = Predictor(fixture.file(variant, precision), provider="cpu", threads=1, warm_up=False)
        self.pairs = images(batch)

    @titled("one call, one thread")
    def time_answer(self, fixture: Fixture, variant: str, precision: str, batch: int) -> None:
        self.predictor.probability(self.pairs)


class OnePair(NeedsNetworks):
    """Base class of the latency benchmarks: 2,000 consecutive calls with one pair, each timed separately."""

    param_names = ["variant"]
    params = [NETWORKS]
    unit = "seconds"

    def setup(self, fixture: Fixture, variant: str) -> None:
        self.predictor = Predictor(fixture.file(variant, "fp32"), provider="cpu", threads=1)
        self.pair = images(1)

    def latencies(self) -> list[float]:
        """Seconds of each of CALLS calls, after WARM_UP calls that are discarded."""
        times = []
        for _ in range(WARM_UP + CALLS):
            began = time.perf_counter()
            self.predictor.probability(self.pair)
            times.append(time.perf_counter() - began)
        return times[WARM_UP:]


class Latency(OnePair):
    """The lowest median of several short measurements, so that brief load from other processes does not count."""

    @titled("one pair: median latency")
    def track_p50(self, fixture: Fixture, variant: str) -> float:
        return min(statistics.median(self.latencies()) for _ in range(REPEATS))


class ChartedTail(OnePair):
    """The 99th percentile. It depends on other load on the machine, so it is not gated."""

    @titled("one pair: 99th percentile (charted)")
    def track_p99(self, fixture: Fixture, variant: str) -> float:
        return statistics.quantiles(self.latencies(), n=100)[98]


class ChartedThroughput(NeedsNetworks):
    """Throughput of the whole machine: batches of 8,192, one thread per core."""

    param_names = ["variant", "precision"]
    params = [NETWORKS, CPU_PRECISIONS]
    unit = "pairs/s"

    def setup(self, fixture: Fixture, variant: str, precision: str) -> None:
        fixture.file(variant, precision)

    @titled("pairs per second, all cores (charted)")
    def track_pairs_per_second(self, fixture: Fixture, variant: str, precision: str) -> float:
        pairs, seconds = images(max(BATCHES)), []
        with Predictor(fixture.file(variant, precision), provider="cpu") as predictor:
            predictor.probability(pairs)
            for _ in range(SWEEPS):
                began = time.perf_counter()
                predictor.probability(pairs)
                seconds.append(time.perf_counter() - began)
        return len(pairs) / statistics.median(seconds)
