"""Benchmarks of the data path: each runs whole epochs, with the threads, batches and warps of its parameters."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench import data_path
from pairnet.data import loader as loaders
from pairnet.data.pairs import draw_pairs, moments
from pairnet.errors import ClosedError
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.training.loop import single_thread

pytest_plugins = ("trained_runs",)

PAIRS = 200


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch):
    monkeypatch.setattr(data_path, "PAIRS", PAIRS)


@pytest.fixture
def opened(monkeypatch):
    """The arguments that each loader is created with."""
    found = []

    def create(pairs, with_moments, **options):
        found.append(options)
        return loaders.PairLoader(pairs, with_moments, **options)

    monkeypatch.setattr(data_path, "PairLoader", create)
    return found


def clock(monkeypatch, *durations):
    """Replaces the clock of the module: what is timed n-th takes the n-th duration."""
    ends = np.cumsum(durations)
    times = iter(np.column_stack((ends - durations, ends)).ravel().tolist())
    monkeypatch.setattr(data_path, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    return times


# The axes


def test_each_epoch_has_only_whole_batches_and_the_first_is_that_of_the_recipe(monkeypatch):
    monkeypatch.undo()
    assert not any(data_path.PAIRS % batch for batch in data_path.BATCHES)
    assert data_path.BATCHES[0] == Recipe().batch
    assert sorted(set(data_path.BATCHES)) == data_path.BATCHES
    assert len(data_path.noise()) == data_path.PAIRS >= 4 * max(data_path.BATCHES)


def test_threads_double_up_to_the_most_that_the_loader_takes_by_itself():
    assert data_path.THREADS[0] == 1
    assert all(after == 2 * before for before, after in zip(data_path.THREADS, data_path.THREADS[1:], strict=False))
    assert data_path.THREADS[-1] == loaders.MAX_DEFAULT_THREADS


def test_images_are_plain_or_warped_as_for_the_largest_extension():
    assert {"plain": None, "warped": find_variant("order_net").recipe.warp} == data_path.WARPS
    assert data_path.LoaderBenchmark.params == [["plain", "warped"], data_path.THREADS, data_path.BATCHES]
    assert data_path.Without.params == [data_path.BATCHES]


def test_epochs_with_and_without_the_loader_are_sampled_alike():
    for setting in ("rounds", "number", "repeat", "warmup_time"):
        assert getattr(data_path.Without, setting) == getattr(data_path.LoaderBenchmark, setting)


def test_moments_are_near_those_of_mnist(digits5k):
    found = moments(draw_pairs(digits5k.train, count=1000, seed=0))
    assert data_path.MOMENTS.mean == pytest.approx(found.mean, rel=0.05)
    assert data_path.MOMENTS.std == pytest.approx(found.std, rel=0.05)


def test_pixels_fill_their_range_and_no_image_is_there_twice():
    pairs = data_path.noise()
    assert (pairs.pixels.min(), pairs.pixels.max()) == (0, 4 * 255)  # sums of four grey levels
    assert set(pairs.digits.ravel().tolist()) == set(range(10))
    assert len(set(pairs.indices.ravel().tolist())) == 2 * PAIRS
    assert len(np.unique(pairs.pixels.reshape(2 * PAIRS, -1), axis=0)) == 2 * PAIRS
    np.testing.assert_array_equal(pairs.pixels, data_path.noise().pixels)


# The loader


@pytest.mark.parametrize("batch", [25, 100])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["plain", "warped"])
def test_a_sample_is_one_whole_epoch_of_the_loader(opened, kind, threads, batch):
    benchmark = data_path.Loader()
    benchmark.setup(kind, threads, batch)
    warp = data_path.WARPS[kind]
    assert opened == [{"batch": batch, "threads": threads, "warp": warp, "output": "numpy"}]
    with loaders.PairLoader(data_path.noise(), data_path.MOMENTS, batch=batch, warp=warp, output="numpy") as same:
        for got, expected in zip(benchmark.loader, same, strict=True):
            np.testing.assert_array_equal(got.pair, expected.pair)
    assert benchmark.loader.epoch == 1
    benchmark.time_epoch(kind, threads, batch)
    assert (benchmark.loader.epoch, benchmark.loader.state_dict()["handed_out"]) == (2, 0)
    benchmark.teardown(kind, threads, batch)
    with pytest.raises(ClosedError):
        next(iter(benchmark.loader))


def test_pairs_are_counted_batch_by_batch():
    batches = [(None, np.zeros(size), np.zeros((2, 2))) for size in (25, 25, 10)]
    assert data_path.iterate(iter(batches)) == 60


@pytest.fixture
def charted():
    benchmark = data_path.ChartedLoader()
    benchmark.setup("plain", 1, 25)
    yield benchmark
    benchmark.teardown("plain", 1, 25)


def test_throughput_is_pairs_by_the_median_epoch_after_a_warm_up(monkeypatch, charted):
    times = clock(monkeypatch, 1000.0, 4.0, 1.0, 2.0, 8.0, 2.5)
    assert charted.track_pairs_per_second("plain", 1, 25) == PAIRS / 2.5
    assert list(times) == []
    assert charted.loader.epoch == 6  # all were whole epochs


def test_memcpy_copies_the_same_batches_as_often(monkeypatch, charted):
    copied, copyto = [], np.copyto
    monkeypatch.setattr(np, "copyto", lambda to, of: copied.append((of.shape, of.dtype)) or copyto(to, of))
    times = clock(monkeypatch, 1000.0, 1.0, 3.0, 2.0, 7.0, 9.0, 1000.0, 12.0, 6.0, 5.0, 1.0, 8.0)
    assert charted.track_fraction_of_memcpy("plain", 1, 25) == 3.0 / 6.0
    assert list(times) == []
    batch = [((25, 2, 14, 14), np.float32), ((25,), np.float32), ((25, 2), np.int64)]
    assert copied == batch * (PAIRS // 25) * 6
    assert charted.loader.epoch == 7


def test_a_copy_is_of_values_that_the_loader_does_not_overwrite(monkeypatch, charted):
    """The memory of a batch that nobody holds is used for the next one."""
    first, copyto = [], np.copyto

    def copy(to, of):
        if of.ndim == 4:
            first.append(float(of[0, 0, 0, 0]))
        copyto(to, of)

    monkeypatch.setattr(np, "copyto", copy)
    charted.track_fraction_of_memcpy("plain", 1, 25)
    with loaders.PairLoader(data_path.noise(), data_path.MOMENTS, batch=25, output="numpy") as same:
        expected = [float(batch.pair[0, 0, 0, 0]) for batch in same]
    assert first == expected * 6


# Without the loader


@pytest.fixture
def without():
    """The benchmark for batches of 60, set up with torch on two threads before; they are restored."""
    with single_thread():
        torch.set_num_threads(2)
        benchmark = data_path.Without()
        benchmark.setup(60)
        yield benchmark


def test_torch_has_one_thread_and_the_same_normalised_pairs(without):
    assert torch.get_num_threads() == 1
    pairs = data_path.noise()
    pair, target, digits = without.tensors
    expected = (pairs.pixels / 4 - data_path.MOMENTS.mean) / data_path.MOMENTS.std
    np.testing.assert_allclose(pair.numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(target.numpy(), pairs.digits[:, 0] <= pairs.digits[:, 1])
    np.testing.assert_array_equal(digits.numpy(), pairs.digits)


def test_the_data_loader_shuffles_all_pairs_in_batches_without_workers(without):
    assert without.loader.num_workers == 0
    sizes, pixels = zip(*[(len(target), pair) for pair, target, _ in without.loader], strict=True)
    assert sizes == (60, 60, 60, 20)
    pixels, stored = torch.cat(pixels), without.tensors[0]
    assert not torch.equal(pixels, stored)
    torch.testing.assert_close(pixels.flatten(1).sum(1).sort().values, stored.flatten(1).sum(1).sort().values)


def test_the_order_of_the_data_loader_is_the_same_in_each_process(without):
    again = data_path.Without()
    again.setup(60)
    first = next(iter(again.loader))[1]
    again.setup(60)
    assert torch.equal(next(iter(again.loader))[1], first)
    torch.manual_seed(1)
    again.setup(60)
    assert torch.equal(next(iter(again.loader))[1], first)


def test_a_sample_of_the_data_loader_is_one_epoch(without):
    batches = iter(list(without.loader))
    without.loader = batches
    without.time_torch_data_loader(60)
    assert list(batches) == []


def test_indexing_takes_each_row_of_each_tensor_once_in_another_order(without):
    class Part:
        def __init__(self):
            self.taken = []

        def __getitem__(self, rows):
            self.taken.append(rows)

    without.tensors = [Part(), Part(), Part()]
    without.time_tensor_indexing(60)
    for part in without.tensors:
        assert [len(rows) for rows in part.taken] == [60, 60, 60, 20]
        rows = torch.cat(part.taken)
        assert rows.tolist() != list(range(PAIRS))
        assert sorted(rows.tolist()) == list(range(PAIRS))
