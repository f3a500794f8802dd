"""Training: the paper's losses, against torch by hand; what is measured; determinism; learning at all."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from pairnet.data.loader import PairLoader
from pairnet.data.pairs import draw_pairs, moments, normalise
from pairnet.errors import TrainingError
from pairnet.models.networks import MaskedDropout, Scores, build
from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variants import VARIANTS, find_variant
from pairnet.training.loop import (
    auxiliary_loss,
    is_measured,
    main_loss,
    predict,
    resolve_device,
    score,
    single_thread,
    to_device,
    train_network,
)


@pytest.fixture(scope="module")
def draws(glyph_set):
    train_set, test_set = glyph_set.train, glyph_set.test
    return (
        draw_pairs(train_set, count=300, seed=0),
        draw_pairs(test_set, count=200, seed=1),
    )


def run(variant, draws, **changes):
    recipe = Recipe(**{"epochs": 2, **changes})
    return train_network(find_variant(variant), *draws, recipe=recipe, weight_seed=3, order_seed=4)


def test_losses_are_the_papers():
    scores = Scores(torch.tensor([0.3, -2.0]), torch.randn(2, 2, 10))
    target, digits = torch.tensor([1.0, 1.0]), torch.tensor([[1, 2], [3, 4]])
    p = torch.sigmoid(scores.main)
    torch.testing.assert_close(main_loss(scores, target), -p.log().mean())
    first = functional.cross_entropy(scores.digits[:, 0], digits[:, 0])
    second = functional.cross_entropy(scores.digits[:, 1], digits[:, 1])
    torch.testing.assert_close(auxiliary_loss(scores, digits), first + second)
    assert auxiliary_loss(Scores(scores.main, None), digits) is None


def test_one_step_is_adams_on_loss_ratio_times_bce_plus_both_cross_entropies(draws):
    pairs = draws[0].subset(np.arange(25))
    recipe = Recipe(epochs=1, loss_ratio=0.7)
    trained = train_network(find_variant("a_w_net"), pairs, draws[1], recipe=recipe, weight_seed=3, order_seed=4).net
    by_hand = build(find_variant("a_w_net"), seed=3)
    batch = to_device(normalise(pairs, moments(pairs)), "cpu")
    scores = by_hand(batch.pair)
    loss = 0.7 * functional.binary_cross_entropy_with_logits(scores.main, batch.target)
    loss = loss + functional.cross_entropy(scores.digits[:, 0], batch.digits[:, 0])
    loss = loss + functional.cross_entropy(scores.digits[:, 1], batch.digits[:, 1])
    optimiser = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
    loss.backward()
    gradients = torch.cat([parameter.grad.flatten() for parameter in by_hand.parameters()])
    optimiser.step()
    ours, theirs = (torch.cat([p.detach().flatten() for p in net.parameters()]) for net in (trained, by_hand))
    clear = gradients.abs() > 1e-6  # Adam's first step is the gradient's sign: rounding decides where there is none
    assert clear.float().mean() > 0.3
    torch.testing.assert_close(ours[clear], theirs[clear], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["conv_1", "a_net", "final_model", "a_w_net_bn"])
def test_the_same_seeds_give_the_same_net_whatever_torch_threads_are_set(name, draws):
    threads = torch.get_num_threads()
    first = run(name, draws)
    torch.set_num_threads(2)
    torch.manual_seed(99)  # dropout is not to see it
    second = run(name, draws)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    assert first.epochs == second.epochs
    for ours, theirs in zip(first.net.state_dict().values(), second.net.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_several_steps_follow_the_recipe(draws, optimiser):
    pairs = draws[0].subset(np.arange(75))
    recipe = Recipe(
        epochs=2, learning_rate=0.01, optimiser=optimiser, weight_decay=0.3 * (optimiser == "adamw"), schedule="linear"
    )
    recipe = dataclasses.replace(recipe, warm_up=0.3, betas=(0.8, 0.9))
    trained = train_network(find_variant("w_net"), pairs, draws[1], recipe=recipe, weight_seed=3, order_seed=4).net
    net = build(find_variant("w_net"), seed=3).train()
    kind = torch.optim.Adam if optimiser == "adam" else torch.optim.AdamW
    by_hand = [
        kind([p], lr=0.01, betas=(0.8, 0.9), weight_decay=recipe.weight_decay if p.dim() > 1 else 0.0)
        for p in net.parameters()
    ]
    step = 0
    with PairLoader(pairs, moments(pairs), batch=25, seed=4) as batches, single_thread():
        for _ in range(2):
            for pair, target, _ in batches:
                loss = functional.binary_cross_entropy_with_logits(net(pair).main, target)
                net.zero_grad()
                loss.backward()
                done = (step + 0.5) / 6
                for single in by_hand:
                    single.param_groups[0]["lr"] = 0.01 * (done / 0.3 if done < 0.3 else (1 - done) / 0.7)
                    single.step()
                step += 1
    for (name, ours), theirs in zip(trained.named_parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4, msg=name)


def test_recalibration_takes_statistics_of_the_training_pairs(draws):
    recipe = Recipe(epochs=1, recalibrate=True, warp=Warp())
    trained = train_network(find_variant("w_net"), *draws, recipe=recipe, weight_seed=3, order_seed=4)
    images = torch.from_numpy(normalise(draws[0], trained.moments).pair).reshape(-1, 1, 14, 14)
    with torch.inference_mode():
        before_norm = trained.net.tower.relu1(trained.net.tower.conv1(images))
    torch.testing.assert_close(trained.net.tower.norm1.running_mean, before_norm.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(trained.net.tower.norm1.running_var, before_norm.var((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert trained.net.tower.norm1.momentum == 0.1


def test_an_epochs_losses_are_means_over_its_pairs(draws):
    pairs = draws[0].subset(np.arange(40))
    (epoch,) = train_network(
        find_variant("a_w_net"), pairs, draws[1], recipe=Recipe(epochs=1, batch=40), weight_seed=3, order_seed=4
    ).epochs
    batch = to_device(normalise(pairs, moments(pairs)), "cpu")
    with torch.inference_mode():
        scores = build(find_variant("a_w_net"), seed=3)(batch.pair)
    assert epoch.train_loss == pytest.approx(main_loss(scores, batch.target).item(), rel=1e-4)
    assert epoch.train_auxiliary_loss == pytest.approx(auxiliary_loss(scores, batch.digits).item(), rel=1e-4)


def test_training_leaves_torchs_generator_alone(draws):
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    run("final_model", draws, epochs=1)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_trains_and_tells_what_it_measures(variant, draws):
    small = tuple(pairs.subset(np.arange(60)) for pairs in draws)
    (epoch,) = run(variant.name, small, epochs=1).epochs
    for name, value in dataclasses.asdict(epoch).items():
        about_digits = "auxiliary" in name or "digit" in name
        assert (value is not None) == (variant.classifies_digits or not about_digits), name
        assert value is None or 0 <= value < 20, name


def test_the_last_epochs_figures_are_the_nets_own(draws):
    trained = run("a_w_net", draws)
    held_out = draws[1]
    last = trained.epochs[-1]
    with torch.inference_mode():
        batch = to_device(normalise(held_out, trained.moments), "cpu")
        scores = trained.net.eval()(batch.pair)
    right = (scores.main > 0) == (batch.target > 0)
    assert last.validation_accuracy == pytest.approx(right.float().mean().item())
    assert last.validation_loss == pytest.approx(main_loss(scores, batch.target).item(), rel=1e-4)
    assert last.validation_auxiliary_loss == pytest.approx(auxiliary_loss(scores, batch.digits).item(), rel=1e-4)
    digits_right = scores.digits.argmax(-1) == batch.digits
    assert last.validation_digit_accuracy == pytest.approx(digits_right.float().mean().item())
    probability = predict(trained.net, held_out, trained.moments)
    torch.testing.assert_close(probability, scores.main.sigmoid(), rtol=1e-4, atol=1e-5)


def test_evaluation_counts_a_last_part_that_is_not_full(draws):
    net = build(find_variant("conv_1"), seed=0)
    batch = to_device(normalise(draws[1].subset(np.arange(130)), moments(draws[0])), "cpu")
    with torch.inference_mode():
        torch.testing.assert_close(score(net, batch.pair).main, net.eval()(batch.pair).main)


def test_held_out_pairs_are_normalised_with_the_training_pairs_moments(draws):
    trained = run("conv_1", draws, epochs=1)
    assert trained.moments == moments(draws[0])
    assert trained.moments != moments(draws[1])


def test_it_learns(draws):
    history = run("final_model", draws, epochs=12).epochs
    before, after = (history[number - 1] for number in (3, 12))  # the first measured, and the last
    assert after.train_loss < 0.7 * before.train_loss
    assert after.validation_accuracy > 0.85 > before.validation_accuracy


@pytest.mark.parametrize(
    ("epochs", "measurements", "expected"), [(25, 5, [5, 10, 15, 20, 25]), (3, 5, [1, 2, 3]), (4, 1, [4]), (1, 5, [1])]
)
def test_measurements_are_spread_over_a_run_and_the_last_is_at_its_end(draws, epochs, measurements, expected):
    assert [number for number in range(1, epochs + 1) if is_measured(number, epochs, measurements)] == expected


def test_epochs_between_measurements_tell_of_training_alone(draws):
    recipe = Recipe(epochs=4)
    small = [pairs.subset(np.arange(50)) for pairs in draws]
    history = train_network(
        find_variant("a_w_net"), *small, recipe=recipe, weight_seed=3, order_seed=4, measurements=2
    ).epochs
    assert [epoch.validation_accuracy is not None for epoch in history] == [False, True, False, True]
    assert all(epoch.train_loss > 0 and epoch.train_auxiliary_loss > 0 for epoch in history)


def test_masks_are_those_of_the_runs_seed_and_scale_what_they_keep():
    dropout = MaskedDropout(0.4, (8, 1, 1))
    features = torch.ones(50, 8, 1, 1)
    dropout.mask = dropout.draw(60, torch.Generator().manual_seed(5))
    given = dropout(features)
    assert given.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert (given == 0).float().mean().item() == pytest.approx(0.4, abs=0.08)
    assert torch.equal(dropout.mask, dropout.draw(60, torch.Generator().manual_seed(5)))
    assert torch.equal(dropout.eval()(features), features)


def test_a_loss_that_is_no_number_ends_the_run_with_a_reason(draws):
    with pytest.raises(TrainingError, match=r"fc_1: the loss is .* in epoch 1; lower the learning rate"):
        run("fc_1", draws, learning_rate=1e30)


def test_each_epoch_is_told(draws):
    told = []
    train_network(
        find_variant("conv_1"),
        *draws,
        recipe=Recipe(epochs=3),
        weight_seed=0,
        order_seed=0,
        on_epoch=lambda number, last: told.append((number, last)),
    )
    assert [number for number, _ in told] == [1, 2, 3]


def test_devices_are_chosen_openly():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match='--device is auto, cpu or cuda, not "tpu"'):
        resolve_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="finds no CUDA device here; use --device cpu or auto"):
            resolve_device("cuda")
