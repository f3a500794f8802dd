"""Stacked training: the same results as training one by one, failures of single members, and memory limits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pairnet.data.pairs import draw_pairs
from pairnet.errors import ArgumentError, TrainingError
from pairnet.models.networks import build
from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variants import VARIANTS, find_variant
from pairnet.training import stacked
from pairnet.training.loop import Trained, train_network
from pairnet.training.stacked import Member, train_stacked
from pairnet.training.stacked_epochs import StackedEpochs


@pytest.fixture(scope="module")
def members(glyph_set):
    return [
        Member(
            pairs=draw_pairs(glyph_set.train, count=100, seed=2 * seed),
            held_out=draw_pairs(glyph_set.test, count=130, seed=2 * seed + 1),
            weight_seed=seed,
            order_seed=seed + 10,
            loss_ratio=0.5 + seed,
        )
        for seed in range(3)
    ]


def train_single(variant, member, recipe, **options):
    return train_network(
        *(variant, member.pairs, member.held_out),
        recipe=replace(recipe, loss_ratio=member.loss_ratio),
        weight_seed=member.weight_seed,
        order_seed=member.order_seed,
        **options,
    )


def assert_close(ours, theirs, initial):
    """Sums are rounded in another order. So the parameters may differ by a tenth of the distance that training has
    moved them from their `initial` values; those of two seeds differ by more than that distance. (If a channel is
    almost always zero, BN multiplies tiny values by 300, and after more steps rounding errors grow beyond this bound.)
    """
    assert ours.moments == theirs.moments
    mine, other, start = (
        torch.cat([value.detach().flatten() for value in network.parameters()])
        for network in (ours.network, theirs.network, initial)
    )
    assert (mine - other).norm() < 0.1 * (other - start).norm()
    for (name, mine), other in zip(ours.network.named_buffers(), theirs.network.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0.02, atol=0.02, msg=name)
    torch.testing.assert_close(ours.probability, theirs.probability, rtol=0, atol=0.03)
    for one, other in zip(ours.epochs, theirs.epochs, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-3)
        assert (one.train_auxiliary_loss or 0) == pytest.approx(other.train_auxiliary_loss or 0, rel=2e-3)
        assert (one.validation_accuracy is None) == (other.validation_accuracy is None)


def assert_identical(ours, theirs):
    """Bit for bit: history, answers, parameters and statistics."""
    assert ours.epochs == theirs.epochs
    assert torch.equal(ours.probability, theirs.probability)
    for mine, other in zip(ours.network.state_dict().values(), theirs.network.state_dict().values(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize(
    "variant",
    [*VARIANTS, *(replace(find_variant("conv_1"), name=each, activation=each) for each in ("none", "sigmoid", "tanh"))],
    ids=lambda variant: variant.name,
)
def test_each_member_gets_the_result_of_training_it_by_itself(variant, members):
    recipe = replace(variant.recipe, epochs=1, batch=25, learning_rate=1e-3)
    calls = []
    results = train_stacked(variant, members, recipe=recipe, device="cpu", on_epoch=lambda *call: calls.append(call))
    for ours, member in zip(results, members, strict=True):
        assert_close(ours, train_single(variant, member, recipe), build(variant, seed=member.weight_seed))
    assert calls == [(position, 1, result.epochs[0]) for position, result in enumerate(results)]


def test_stacked_batch_norm_does_not_ask_for_a_memory_order(members, monkeypatch):
    """torch.batch_norm does on a GPU, which `vmap` cannot answer; without a GPU the call itself shows it."""

    def refuse(*_, **__):
        raise RuntimeError("NYI: querying is_contiguous inside of vmap")

    monkeypatch.setattr(torch, "batch_norm", refuse)
    variant = find_variant("a_w_net_bn")
    assert len(train_stacked(variant, members, recipe=Recipe(epochs=1), device="cpu")) == len(members)


def test_masks_and_batches_continue_from_epoch_to_epoch(members):
    variant = find_variant("final_model")
    recipe = replace(variant.recipe, epochs=4)
    (ours,) = train_stacked(variant, members[:1], recipe=recipe, device="cpu")
    assert_close(ours, train_single(variant, members[0], recipe), build(variant, seed=0))


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_every_setting_of_a_recipe_is_used(members, optimiser):
    variant = find_variant("w_net")
    recipe = Recipe(
        epochs=1,
        batch=25,
        learning_rate=1e-3 if optimiser == "adamw" else 0.03,
        optimiser=optimiser,
        weight_decay=0.3,
        betas=(0.9, 0.99),
        momentum=0.7,
        schedule="cosine",
        warm_up=0.3,
        warp=Warp(elastic=0.3),
        recalibrate=True,
    )
    (ours,) = train_stacked(variant, members[:1], recipe=recipe, device="cpu", measurements=1)
    assert_close(ours, train_single(variant, members[0], recipe, measurements=1), build(variant, seed=0))


def out_of_memory():
    raise torch.OutOfMemoryError


def out_of_memory_of_a_cpu():
    torch.empty(1 << 50)


def out_of_memory_in_a_capture():
    try:
        raise torch.OutOfMemoryError
    finally:
        raise RuntimeError("the capture was invalidated")


def test_other_errors_are_raised(members, monkeypatch):
    monkeypatch.setattr(stacked, "_Stack", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train_stacked(find_variant("conv_1"), members, recipe=Recipe(epochs=1), device="cpu")
    monkeypatch.setattr(stacked, "_Stack", lambda *_: build(find_variant("conv_1"))(torch.zeros(1)))
    with pytest.raises((RuntimeError, IndexError)):
        train_stacked(find_variant("conv_1"), members, recipe=Recipe(epochs=1), device="cpu")


@pytest.mark.parametrize("fail", [out_of_memory, out_of_memory_of_a_cpu, out_of_memory_in_a_capture])
def test_members_are_halved_when_memory_runs_out(members, monkeypatch, fail):
    limit, sizes, positions = 1, [], []

    class Limited(stacked._Stack):
        def __init__(self, variant, members, *rest):
            sizes.append(len(members))
            if len(members) > limit:
                fail()
            super().__init__(variant, members, *rest)

    variant, recipe = find_variant("conv_1"), Recipe(epochs=1)
    whole = train_stacked(variant, members, recipe=recipe, device="cpu")
    monkeypatch.setattr(stacked, "_Stack", Limited)
    halves = train_stacked(
        variant, members, recipe=recipe, device="cpu", on_epoch=lambda position, *_: positions.append(position)
    )
    assert sizes == [3, 1, 2, 1, 1]
    assert positions == [0, 1, 2]
    for one, other in zip(halves, whole, strict=True):
        torch.testing.assert_close(one.probability, other.probability, rtol=1e-3, atol=1e-4)
    limit = 0
    results = train_stacked(variant, members, recipe=recipe, device="cpu")
    assert {str(result) for result in results} == {
        "conv_1: the memory of cpu is too small: use a smaller network or batch"
    }
    assert [(type(result), result.kind, result.epoch) for result in results] == [(TrainingError, "memory", None)] * 3


def test_arguments_that_do_not_fit_are_refused(members):
    odd = replace(members[0], pairs=members[0].pairs.subset(np.arange(90)))
    for those, measurements, message in (
        ([members[0], odd], 5, "in full batches of 25"),
        ([odd], 5, "in full batches of 25"),
        ([], 5, "expected at least 1 run in `members`, got 0"),
        (members, 0, "expected `measurements` of at least 1, got 0"),
    ):
        with pytest.raises(ArgumentError, match=message):
            train_stacked(
                find_variant("conv_1"), those, recipe=Recipe(epochs=1), device="cpu", measurements=measurements
            )


@pytest.mark.parametrize(("name", "recalibrate"), [("final_model_bn", True), ("order_net_fast", False)])
def test_a_diverging_member_fails_by_itself(members, name, recalibrate):
    variant = find_variant(name)
    recipe = Recipe(epochs=2, recalibrate=recalibrate)
    poisoned = [members[0], replace(members[1], loss_ratio=1e39), members[2]]  # infinite in float32
    calls = []
    expected = train_stacked(variant, members, recipe=recipe, device="cpu")
    results = train_stacked(
        variant, poisoned, recipe=recipe, device="cpu", on_epoch=lambda *call: calls.append(call[:2])
    )
    assert isinstance(results[1], TrainingError)
    assert str(results[1]).startswith(f"{name}: expected a finite loss, got ")
    for position in (0, 2):
        assert_identical(results[position], expected[position])
        assert [number for at, number in calls if at == position] == [1, 2]
    failed = [number for at, number in calls if at == 1]
    assert failed == []


def test_training_stops_when_all_members_have_failed(members):
    recipe = Recipe(epochs=50, learning_rate=1e30)
    calls = []
    results = train_stacked(
        find_variant("fc_1"), members, recipe=recipe, device="cpu", on_epoch=lambda *call: calls.append(call)
    )
    assert all(isinstance(result, TrainingError) for result in results)
    assert all("fc_1: expected a finite loss, got" in str(result) for result in results)
    assert not any(isinstance(result, Trained) for result in results)
    assert calls == []


def test_threads_that_draw_batches_take_one_core_each(members, monkeypatch):
    counts = []
    draw_one = StackedEpochs._draw_one

    def counted(self, position):
        counts.append(torch.get_num_threads())
        return draw_one(self, position)

    monkeypatch.setattr(StackedEpochs, "_draw_one", counted)
    train_stacked(find_variant("conv_1"), members, recipe=Recipe(epochs=1), device="cpu")
    assert set(counts) == {1}
