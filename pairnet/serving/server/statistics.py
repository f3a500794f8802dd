"""What a served model has done, counted once; as_json shows it as the protocol does, metrics.py as Prometheus does."""

import operator
from bisect import bisect_left
from collections import Counter
from time import time_ns
from typing import Any

from pairnet.serving.server.tracing import Times

LATENCIES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the latency histogram's buckets, in seconds."""


class Statistics:
    """Counters of one model. They are changed from the event loop only."""

    def __init__(self) -> None:
        self.answered = Counter[str]()  # requests by protocol: "rest", "grpc"
        self.refused = Counter[str]()  # requests by kind of error
        self.pairs = 0  # of answered requests
        self.last_ms = 0  # when a request was last answered, in ms since 1970
        self.total_ns = self.failed_ns = self.queue_ns = self.compute_ns = self.decode_ns = self.encode_ns = 0
        self.batches = 0
        self.batch_pairs = 0
        self.batch_ns = Counter[int]()  # by size
        self.batch_counts = Counter[int]()  # by size
        self.latencies = [0] * (len(LATENCIES) + 1)  # of answered requests, by bucket

    def add_batch(self, pairs: int, took_ns: int) -> None:
        """Counts one batch."""
        self.batches += 1
        self.batch_pairs += pairs
        self.batch_counts[pairs] += 1
        self.batch_ns[pairs] += took_ns

    def add_answer(self, protocol: str, pairs: int, times: Times) -> None:
        """Counts one request that was answered."""
        total = times.ended - times.began
        self.answered[protocol] += 1
        self.pairs += pairs
        self.last_ms = time_ns() // 1_000_000
        self.total_ns += total
        self.decode_ns += times.decoded - times.began
        self.queue_ns += times.taken - times.decoded
        self.compute_ns += times.computed - times.taken
        self.encode_ns += max(0, times.ended - times.computed)
        self.latencies[bisect_left(LATENCIES, total / 1e9)] += 1

    def add_refusal(self, kind: str, total_ns: int) -> None:
        """Counts one request that was refused or failed."""
        self.refused[kind] += 1
        self.failed_ns += total_ns

    def add(self, other: "Statistics") -> None:
        """Adds the counters of another one."""
        last = max(self.last_ms, other.last_ms)
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(value)
            elif isinstance(mine, list):
                mine[:] = map(operator.add, mine, value)
            else:
                setattr(self, name, mine + value)
        self.last_ms = last

    def as_json(self, name: str, version: str) -> dict[str, Any]:
        """One entry of the protocol's statistics extension; times in ns."""
        answered, batches = self.answered.total(), self.batches
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_ms,
            "inference_count": self.pairs,
            "execution_count": batches,
            "inference_stats": {
                "success": {"count": answered, "ns": self.total_ns},
                "fail": {"count": self.refused.total(), "ns": self.failed_ns},
                "queue": {"count": answered, "ns": self.queue_ns},
                "compute_input": {"count": answered, "ns": self.decode_ns},
                "compute_infer": {"count": answered, "ns": self.compute_ns},
                "compute_output": {"count": answered, "ns": self.encode_ns},
                "cache_hit": {"count": 0, "ns": 0},
                "cache_miss": {"count": 0, "ns": 0},
            },
            "batch_stats": [
                {
                    "batch_size": size,
                    "compute_input": {"count": 0, "ns": 0},
                    "compute_infer": {"count": count, "ns": self.batch_ns[size]},
                    "compute_output": {"count": 0, "ns": 0},
                }
                for size, count in sorted(self.batch_counts.items())
            ],
        }
