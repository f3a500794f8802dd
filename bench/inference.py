"""How long does an exported network take to answer on a CPU?  Through pairnet.serving.predictor, as its users do."""

import statistics
import time

from bench.common import BATCHES, CPU_PRECISIONS, NETS, OfTrainedNets, images, titled
from bench.fixture import Made
from pairnet.serving.predictor import Predictor

WARM_UP, CALLS = 200, 2000  # of the latency
SPELLS = 10  # whose lowest median counts
SWEEPS = 5  # of the throughput; the median counts


class Answer(OfTrainedNets):
    """One call of `probability`, held to one thread."""

    param_names = ["variant", "precision", "batch"]
    params = [NETS, CPU_PRECISIONS, BATCHES]
    rounds = 1
    repeat = (3, 20, 0.3)  # at least 3 samples, then until 20 or 0.3 s
    sample_time = 0.01
    warmup_time = 0.05

    def setup(self, made: Made, variant: str, precision: str, batch: int) -> None:
        self.predictor = Predictor(made.file(variant, precision), provider="cpu", threads=1, warm_up=False)
        self.pairs = images(batch)

    @titled("one call, one thread")
    def time_answer(self, made: Made, variant: str, precision: str, batch: int) -> None:
        self.predictor.probability(self.pairs)


class OnePair(OfTrainedNets):
    """What the latencies have in common: 2,000 calls in a row with one pair, each timed by itself."""

    param_names = ["variant"]
    params = [NETS]
    unit = "seconds"

    def setup(self, made: Made, variant: str) -> None:
        self.predictor = Predictor(made.file(variant, "fp32"), provider="cpu", threads=1)
        self.pair = images(1)

    def latencies(self) -> list[float]:
        """Seconds of each of CALLS calls, after WARM_UP that are thrown away."""
        found = []
        for _ in range(WARM_UP + CALLS):
            began = time.perf_counter()
            self.predictor.probability(self.pair)
            found.append(time.perf_counter() - began)
        return found[WARM_UP:]


class Latency(OnePair):
    """The middle one, in the quietest of several spells: one lasts a tenth of a second, busy neighbours longer."""

    @titled("one pair: median latency")
    def track_p50(self, made: Made, variant: str) -> float:
        return min(statistics.median(self.latencies()) for _ in range(SPELLS))


class ChartedTail(OnePair):
    """The 99th of 100: on a machine that others use too, it says as much about them. So it is not gated."""

    @titled("one pair: 99th percentile (charted)")
    def track_p99(self, made: Made, variant: str) -> float:
        return statistics.quantiles(self.latencies(), n=100)[98]


class ChartedThroughput(OfTrainedNets):
    """What a user gets from the whole machine: batches of 8,192, a thread for each core."""

    param_names = ["variant", "precision"]
    params = [NETS, CPU_PRECISIONS]
    unit = "pairs/s"

    def setup(self, made: Made, variant: str, precision: str) -> None:
        made.file(variant, precision)

    @titled("pairs per second, all cores (charted)")
    def track_pairs_per_second(self, made: Made, variant: str, precision: str) -> float:
        pairs, seconds = images(max(BATCHES)), []
        with Predictor(made.file(variant, precision), provider="cpu") as predictor:
            predictor.probability(pairs)
            for _ in range(SWEEPS):
                began = time.perf_counter()
                predictor.probability(pairs)
                seconds.append(time.perf_counter() - began)
        return len(pairs) / statistics.median(seconds)
