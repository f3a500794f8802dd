"""Benchmarks that answer pairs: the session, what is called how often, and what is computed from a clock's times."""

from types import SimpleNamespace

import numpy as np
import pytest

import pairnet.serving.predictor
from bench import fixture, inference, size
from bench.common import BATCHES, CPU_PRECISIONS, images


class Sessions:
    """Stands for `Predictor` and for the clock: the n-th call takes the n-th duration, and all later ones the last."""

    def __init__(self, durations=(1.0,)):
        self.durations, self.now, self.calls, self.closed = list(durations), 0.0, [], 0

    def __call__(self, path, **options):
        self.opened = (path, options)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.closed += 1

    def probability(self, pairs):
        assert not self.closed
        self.now += self.durations[min(len(self.calls), len(self.durations) - 1)]
        self.calls.append(pairs)

    def perf_counter(self):
        return self.now


@pytest.fixture
def sessions(monkeypatch):
    """Replaces the predictor and the clock."""

    def make(durations=(1.0,)):
        made = Sessions(durations)
        monkeypatch.setattr(inference, "Predictor", made)
        monkeypatch.setattr(pairnet.serving.predictor, "Predictor", made)
        monkeypatch.setattr(inference, "time", SimpleNamespace(perf_counter=made.perf_counter))
        return made

    return make


@pytest.fixture
def built(tmp_path):
    """A fixture with one network, whose files are never opened."""
    files = {precision: fixture.File(variant="w_net", precision=precision) for precision in fixture.PRECISIONS}
    network = fixture.Network(errors=(5.0,), seconds_to_goal=(), files=files)
    return fixture.Fixture(folder=tmp_path, networks={"w_net": network})


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("precision", CPU_PRECISIONS)
def test_an_answer_is_one_call_with_the_batch_on_one_thread(sessions, built, precision, batch):
    session, benchmark = sessions(), inference.Answer()
    benchmark.setup(built, "w_net", precision, batch)
    options = {"provider": "cpu", "threads": 1, "warm_up": False}
    assert session.opened == (built.folder / f"w_net-{precision}.onnx", options)
    assert session.calls == []  # the setup is not the measurement
    benchmark.time_answer(built, "w_net", precision, batch)
    (pairs,) = session.calls
    np.testing.assert_array_equal(pairs, images(batch))


def test_the_null_model_answers_through_the_real_predictor(tmp_path):
    fixture.write_null(tmp_path / "null-fp32.onnx")
    empty = fixture.Fixture(folder=tmp_path, networks={})
    benchmark = inference.Answer()
    benchmark.setup(empty, "null", "fp32", 64)
    benchmark.time_answer(empty, "null", "fp32", 64)
    assert benchmark.predictor.probability(benchmark.pairs).tolist() == [0.5] * 64


@pytest.mark.parametrize("kind", [inference.Latency, inference.ChartedTail])
def test_latency_is_that_of_one_pair_on_one_thread(sessions, built, kind):
    session, benchmark = sessions(), kind()
    benchmark.setup(built, "w_net")
    assert session.opened == (built.folder / "w_net-fp32.onnx", {"provider": "cpu", "threads": 1})
    benchmark.latencies()
    assert {pairs.shape for pairs in session.calls} == {(1, 2, 28, 28)}


def test_each_of_2000_calls_is_timed_and_those_before_are_discarded(sessions, built):
    times = np.random.default_rng(0).permutation(2000) + 1.0
    session = sessions([1e6] * inference.WARM_UP + times.tolist())
    benchmark = inference.OnePair()
    benchmark.setup(built, "w_net")
    assert benchmark.latencies() == times.tolist()
    assert len(session.calls) == inference.WARM_UP + 2000
    assert inference.WARM_UP > 0


def test_the_median_latency_is_the_lowest_of_ten(sessions, built):
    medians = [9.0, 7.0, 8.0, 6.0, 5.0, 4.0, 8.0, 3.0, 9.0, 2.0]
    calls = [duration for median in medians for duration in (*[50.0] * inference.WARM_UP, *spread(median))]
    session, benchmark = sessions(calls), inference.Latency()
    benchmark.setup(built, "w_net")
    assert benchmark.track_p50(built, "w_net") == 2.0
    assert len(session.calls) == len(calls)


def spread(median):
    """2,000 durations around a median, which is not their mean."""
    return [median / 2] * 900 + [median] * 200 + [median * 8] * 900


def test_the_tail_is_the_99th_percentile(sessions, built):
    times = np.random.default_rng(0).permutation(2000) + 1.0
    sessions([1e6] * inference.WARM_UP + times.tolist())
    benchmark = inference.ChartedTail()
    benchmark.setup(built, "w_net")
    assert benchmark.track_p99(built, "w_net") == pytest.approx(np.percentile(times, 99), abs=2)


@pytest.mark.parametrize("precision", CPU_PRECISIONS)
def test_throughput_is_pairs_by_the_median_time_of_large_batches_on_all_cores(sessions, built, precision):
    durations = [4.0, 1.0, 2.0, 8.0, 2.5]
    session, benchmark = sessions([1e6, *durations]), inference.ChartedThroughput()
    benchmark.setup(built, "w_net", precision)
    assert benchmark.track_pairs_per_second(built, "w_net", precision) == 8192 / 2.5
    assert session.opened == (built.folder / f"w_net-{precision}.onnx", {"provider": "cpu"})  # as many as there are
    assert [pairs.shape for pairs in session.calls] == [(8192, 2, 28, 28)] * 6
    assert session.closed == 1


@pytest.mark.parametrize("kind", [inference.Answer, inference.ChartedThroughput])
def test_the_null_model_is_skipped_in_other_precisions(sessions, built, kind):
    sessions()
    rest = [1] if kind is inference.Answer else []
    with pytest.raises(NotImplementedError, match="the null model exists in fp32 only"):
        kind().setup(built, "null", "int8", *rest)


def test_memory_is_that_of_one_session_that_answers_1024_pairs(sessions, built):
    session, benchmark = sessions(), size.Memory()
    benchmark.setup(built, "w_net")
    benchmark.peakmem_answer_1024(built, "w_net")
    assert session.opened == (built.folder / "w_net-fp32.onnx", {"provider": "cpu", "threads": 1})
    assert [pairs.shape for pairs in session.calls] == [(1024, 2, 28, 28)]
    assert session.closed == 1
