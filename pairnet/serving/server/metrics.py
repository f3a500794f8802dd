"""The counters of a service as Prometheus metrics."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from pairnet.serving.server.service import Service
from pairnet.serving.server.statistics import LATENCIES

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 32768)
"""Upper bounds of the batch size histogram's buckets, in pairs; the last is joint.MOST_PAIRS."""


class Metrics:
    """A collector of prometheus_client that reads the counters of a service when it is asked."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Any]:
        """The metric families; times in seconds."""
        requests = CounterMetricFamily("pairnet_requests", "Requests that were answered", labels=("model", "protocol"))
        errors = CounterMetricFamily("pairnet_errors", "Requests that were refused or failed", labels=("model", "kind"))
        pairs = CounterMetricFamily("pairnet_pairs", "Pairs in answered requests", labels=("model",))
        latency = HistogramMetricFamily(
            "pairnet_latency_seconds", "Time from the last byte of a request to those of its answer", labels=("model",)
        )
        sizes = HistogramMetricFamily("pairnet_batch_pairs", "Pairs computed together", labels=("model",))
        waiting = GaugeMetricFamily("pairnet_queue_pairs", "Pairs that wait", labels=("model",))
        for kind, count in self._service.elsewhere.refused.items():
            errors.add_metric(("", kind), count)
        for name, counted, pairs_waiting in self._service.models.counted():
            for protocol in ("rest", "grpc"):
                requests.add_metric((name, protocol), counted.answered[protocol])
            for kind, count in counted.refused.items():
                errors.add_metric((name, kind), count)
            pairs.add_metric((name,), counted.pairs)
            latency.add_metric((name,), _buckets(LATENCIES, counted.latencies), counted.total_ns / 1e9)
            counts = [0] * (len(SIZES) + 1)
            for size, count in counted.batch_counts.items():
                counts[bisect_left(SIZES, size)] += count
            sizes.add_metric((name,), _buckets(SIZES, counts), counted.batch_pairs)
            waiting.add_metric((name,), pairs_waiting)
        yield from (requests, errors, pairs, latency, sizes, waiting, *self._others())

    def _others(self) -> Iterator[Any]:
        """The families that are not about the requests to one model."""
        service, decoders = self._service, self._service.decoders
        yield GaugeMetricFamily("pairnet_held_bytes", "Bytes of requests and answers that wait", service.account.held)
        yield GaugeMetricFamily("pairnet_pictures_waiting", "Pictures in the queue for a process", decoders.waiting)
        pictures = CounterMetricFamily("pairnet_pictures", "Pictures that came to be decoded", labels=("result",))
        for result in ("ok", *sorted(decoders.results.keys() - {"ok"})):
            pictures.add_metric((result,), decoders.results[result])
        loads = CounterMetricFamily("pairnet_loads", "Loads that had their turn", labels=("model", "result"))
        for labels, count in service.changes.loads.items():
            loads.add_metric(labels, count)
        loaded = GaugeMetricFamily(
            "pairnet_model_loaded",
            "1 for each version that is loaded now, 0 for one that was refused",
            labels=("model", "version", "digest"),
        )
        for model in service.models.all_versions():
            loaded.add_metric((model.name, model.version, model.digest), 1)
        for name, version in service.models.refused():
            loaded.add_metric((name, version, ""), 0)
        lost = 0 if service.log is None else service.log.lost
        dropped = CounterMetricFamily("pairnet_log_lines_dropped", "Lines of the log that were not written", lost)
        yield from (pictures, loads, loaded, dropped)


def _buckets(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    """Cumulated counts with their upper bounds as text; the last bound is +Inf."""
    total, buckets = 0, []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
