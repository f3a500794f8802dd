"""Many nets as one program: each gets what it would get alone, for all variants; out of memory; what cannot be."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pairnet.data.pairs import draw_pairs
from pairnet.errors import TrainingError
from pairnet.models.networks import build
from pairnet.models.recipes import Warp
from pairnet.models.variants import VARIANTS, find_variant
from pairnet.study.engines.stacked import groups
from pairnet.study.runs import with_dropout
from pairnet.study.tables import plan, studies
from pairnet.training import stacked as batched
from pairnet.training.loop import train_network
from pairnet.training.stacked import Member, train_together


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


def alone(variant, member, recipe):
    return train_network(
        *(variant, member.pairs, member.held_out),
        recipe=replace(recipe, loss_ratio=member.loss_ratio),
        weight_seed=member.weight_seed,
        order_seed=member.order_seed,
    )


def agree(ours, theirs, fresh):
    """Sums are rounded in another order, so the nets end as near to one another as a tenth of the way that training
    has led them from `fresh`; nets of two seeds end further apart than that way. (Where a channel is all but dead, BN
    multiplies what is next to nothing by 300, and after some more steps no two ways of rounding agree that well.)
    """
    assert ours.moments == theirs.moments
    mine, other, start = (
        torch.cat([value.detach().flatten() for value in net.parameters()]) for net in (ours.net, theirs.net, fresh)
    )
    assert (mine - other).norm() < 0.1 * (other - start).norm()
    for (name, mine), other in zip(ours.net.named_buffers(), theirs.net.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0.02, atol=0.02, msg=name)
    torch.testing.assert_close(ours.probability, theirs.probability, rtol=0, atol=0.03)
    for one, other in zip(ours.epochs, theirs.epochs, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-3)
        assert (one.train_auxiliary_loss or 0) == pytest.approx(other.train_auxiliary_loss or 0, rel=2e-3)
        assert (one.validation_accuracy is None) == (other.validation_accuracy is None)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_net_gets_what_it_would_get_alone(variant, members):
    recipe = replace(variant.recipe, epochs=1, learning_rate=1e-3)
    told = []
    found = train_together(variant, members, recipe=recipe, device="cpu", on_epoch=lambda *step: told.append(step))
    for ours, member in zip(found, members, strict=True):
        agree(ours, alone(variant, member, recipe), build(variant, seed=member.weight_seed))
    assert [(at, number) for at, number, _ in told] == [(0, 1), (1, 1), (2, 1)]


def test_nets_of_one_batch_differ_by_their_seeds_and_loss_ratios(members):
    alike = [replace(members[0], loss_ratio=ratio) for ratio in (0.5, 5.0)]
    recipe = replace(find_variant("a_w_net").recipe, epochs=1)
    first, second = train_together(find_variant("a_w_net"), alike, recipe=recipe, device="cpu")
    assert first.epochs != second.epochs
    assert not torch.equal(first.probability, second.probability)


def test_masks_and_batches_go_on_from_epoch_to_epoch(members):
    recipe = replace(find_variant("final_model").recipe, epochs=4)
    (ours,) = train_together(find_variant("final_model"), members[:1], recipe=recipe, device="cpu")
    agree(ours, alone(find_variant("final_model"), members[0], recipe), build(find_variant("final_model"), seed=0))


def test_every_recipe_holds(members):
    recipe = replace(
        find_variant("order_net_xs").recipe,
        epochs=1,
        learning_rate=1e-3,
        warp=Warp(elastic=0.3),
        weight_decay=0.3,
        optimiser="adamw",
        warm_up=0.3,
    )
    (ours,) = train_together(find_variant("w_net"), members[:1], recipe=recipe, device="cpu", measurements=1)
    agree(
        ours,
        train_network(
            *(find_variant("w_net"), members[0].pairs, members[0].held_out),
            recipe=replace(recipe, loss_ratio=members[0].loss_ratio),
            weight_seed=0,
            order_seed=10,
            measurements=1,
        ),
        build(find_variant("w_net"), seed=0),
    )


def test_out_of_memory_halves_the_batch_and_goes_on(members, monkeypatch):
    most, sizes, told = 1, [], []

    class Small(batched._Together):
        def __init__(self, variant, members, *rest):
            sizes.append(len(members))
            if len(members) > most:
                raise torch.OutOfMemoryError
            super().__init__(variant, members, *rest)

    recipe = replace(find_variant("conv_1").recipe, epochs=1)
    whole = train_together(find_variant("conv_1"), members, recipe=recipe, device="cpu")
    monkeypatch.setattr(batched, "_Together", Small)
    parts = train_together(
        find_variant("conv_1"), members, recipe=recipe, device="cpu", on_epoch=lambda at, *_: told.append(at)
    )
    assert sizes == [3, 1, 2, 1, 1]
    assert told == [0, 1, 2]
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one.probability, other.probability, rtol=1e-3, atol=1e-4)
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        train_together(find_variant("conv_1"), members, recipe=recipe, device="cpu")


def test_what_cannot_be_together_is_told(members):
    recipe = replace(find_variant("conv_1").recipe, epochs=1)
    odd = replace(members[0], pairs=members[0].pairs.subset(np.arange(90)))
    for those in ([members[0], odd], [odd]):
        with pytest.raises(ValueError, match="in full batches of 25"):
            train_together(find_variant("conv_1"), those, recipe=recipe, device="cpu")


def test_a_loss_that_is_no_number_ends_the_batch_with_a_reason(members):
    recipe = replace(find_variant("fc_1").recipe, epochs=1, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"fc_1: the loss is .* in epoch 1"):
        train_together(find_variant("fc_1"), members, recipe=recipe, device="cpu")


def test_a_tables_runs_fall_into_a_group_for_each_variant():
    tables = studies()
    assert [len(group) for group in groups(plan(tables["3"], repeats=10))] == [10] * 8
    assert [len(group) for group in groups(plan(tables["2"], repeats=2))] == [2 * 4 * len(tables["2"].rows)]
    dropouts = groups(plan(tables["dropout"], repeats=1))
    assert [len(group) for group in dropouts] == [4] * 6
    assert dropouts[0][0].variant == with_dropout(find_variant("final_model"), 0.0)
