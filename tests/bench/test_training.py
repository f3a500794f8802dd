"""Benchmarks of training: what an epoch trains, and when the time to the goal is skipped."""

from dataclasses import replace

import pytest

import pairnet.training.loop
from bench import common, fixture, training
from pairnet.data.pairs import draw_indices
from pairnet.errors import ProviderError
from pairnet.models.paper import TABLE_III
from pairnet.models.variants import find_variant
from pairnet.training import device as devices

pytest_plugins = ("trained_runs",)


@pytest.fixture
def trainings(monkeypatch):
    """The arguments of each training, none of which takes place."""
    found = []
    monkeypatch.setattr(
        pairnet.training.loop, "train_network", lambda *arguments, **options: found.append((arguments, options))
    )
    return found


@pytest.mark.parametrize("name", ["final_model", "order_net"])
def test_a_sample_is_one_epoch_over_1000_pairs_with_the_recipe_of_the_row(trainings, digits5k, name):
    benchmark = training.Epoch()
    benchmark.setup(name, "cpu")
    assert trainings == []
    benchmark.time_epoch(name, "cpu")
    (((variant, pairs, held_out), options),) = trainings
    assert variant == find_variant(name)
    recipe = replace(variant.recipe, epochs=1)
    assert options == {"recipe": recipe, "weight_seed": 0, "order_seed": 0, "device": "cpu"}
    images = len(digits5k.train)
    assert pairs.indices.tolist() == draw_indices(images, count=1000, seed=0).tolist()
    assert held_out.indices.tolist() == draw_indices(images, count=25, seed=1).tolist()


def test_an_epoch_trains(monkeypatch):
    results, usual = [], pairnet.training.loop.train_network
    monkeypatch.setattr(
        pairnet.training.loop, "train_network", lambda *each, **options: results.append(usual(*each, **options))
    )
    benchmark = training.Epoch()
    benchmark.setup("order_net_fast", "cpu")
    benchmark.time_epoch("order_net_fast", "cpu")
    assert len(results[0].epochs) == 1
    assert len(results[0].probability) == 25


def test_rows_of_a_gpu_are_skipped_without_a_driver_and_without_cuda_in_torch(monkeypatch, trainings):
    monkeypatch.setattr(common, "has_gpu_driver", lambda: False)
    with pytest.raises(NotImplementedError, match="no NVIDIA driver is installed"):
        training.Epoch().setup("fc_1", "cuda")
    monkeypatch.setattr(common, "has_gpu_driver", lambda: True)
    asked = []

    def refuse(device):
        asked.append(device)
        raise ProviderError("expected a CUDA device, torch has none")

    monkeypatch.setattr(devices, "resolve_device", refuse)
    with pytest.raises(NotImplementedError, match="expected a CUDA device, torch has none"):
        training.Epoch().setup("fc_1", "cuda")
    assert asked == ["cuda"]


def test_with_a_gpu_its_rows_train_there(monkeypatch, trainings):
    monkeypatch.setattr(common, "has_gpu_driver", lambda: True)
    monkeypatch.setattr(devices, "resolve_device", lambda device: device)
    benchmark = training.Epoch()
    benchmark.setup("fc_1", "cuda")
    benchmark.time_epoch("fc_1", "cuda")
    assert trainings[0][1]["device"] == "cuda"


def test_the_time_to_the_goal_is_the_mean_of_all_runs_and_skipped_if_one_did_not_reach_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PAIRNET_BENCH_REPEATS", "3")
    benchmark = training.ChartedGoal()

    def built(*seconds):
        network = fixture.Network(errors=(4.0, 5.0, 6.0), seconds_to_goal=seconds, files={})
        return fixture.Fixture(folder=tmp_path, networks={"w_net": network})

    three = built(2.0, 3.0, 7.0)
    benchmark.setup(three, "w_net")
    assert benchmark.track_seconds_to_paper(three, "w_net") == 4.0
    with pytest.raises(NotImplementedError, match=f"^2 of 3 runs reached {TABLE_III['final_model'].mean}$"):
        benchmark.setup(built(2.0, 3.0), "w_net")


def test_axes():
    assert training.Epoch.params == [common.NAMES, ["cpu", "cuda"]]
    assert training.ChartedGoal.params == [common.NAMES]
