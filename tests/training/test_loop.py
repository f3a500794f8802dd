"""The training loop: the paper's losses and steps against plain torch, measurements, determinism, and learning."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from pairnet.data.loader import PairLoader
from pairnet.data.pairs import draw_pairs, moments, normalise
from pairnet.errors import ArgumentError, TrainingError
from pairnet.models.networks import MaskedDropout, Scores, build
from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variants import VARIANTS, find_variant, with_dropout
from pairnet.training import loop
from pairnet.training.loop import (
    is_measured,
    mask_generator,
    predict,
    recalibrate,
    score,
    single_thread,
    to_device,
    train_network,
)
from pairnet.training.metrics import auxiliary_loss, main_loss


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


def test_losses_are_those_of_the_paper():
    scores = Scores(torch.tensor([0.3, -2.0]), torch.randn(2, 2, 10))
    target, digits = torch.tensor([1.0, 1.0]), torch.tensor([[1, 2], [3, 4]])
    p = torch.sigmoid(scores.main)
    torch.testing.assert_close(main_loss(scores, target), -p.log().mean())
    first = functional.cross_entropy(scores.digits[:, 0], digits[:, 0])
    second = functional.cross_entropy(scores.digits[:, 1], digits[:, 1])
    torch.testing.assert_close(auxiliary_loss(scores, digits), first + second)
    assert auxiliary_loss(Scores(scores.main, None), digits) is None


def test_one_step_equals_adam_on_the_weighted_losses(draws):
    pairs = draws[0].subset(np.arange(25))
    trained = run("a_w_net", (pairs, draws[1]), epochs=1, loss_ratio=0.7).network
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
    ours, theirs = (torch.cat([p.detach().flatten() for p in network.parameters()]) for network in (trained, by_hand))
    clear = gradients.abs() > 1e-6  # Adam's first step is the gradient's sign: rounding decides where there is none
    assert clear.float().mean() > 0.3
    torch.testing.assert_close(ours[clear], theirs[clear], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["conv_1", "a_net", "final_model", "a_w_net_bn"])
def test_results_depend_on_the_seeds_only(name, draws):
    threads = torch.get_num_threads()
    first = run(name, draws)
    torch.set_num_threads(2)
    torch.manual_seed(99)  # dropout must not depend on it
    second = run(name, draws)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    assert first.epochs == second.epochs
    for ours, theirs in zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_several_steps_follow_the_recipe(draws, optimiser):
    pairs = draws[0].subset(np.arange(75))
    recipe = Recipe(
        epochs=2, learning_rate=0.01, optimiser=optimiser, weight_decay=0.3 * (optimiser != "adam"), schedule="linear"
    )
    recipe = dataclasses.replace(recipe, warm_up=0.3, betas=(0.8, 0.9), momentum=0.7)
    trained = train_network(find_variant("w_net"), pairs, draws[1], recipe=recipe, weight_seed=3, order_seed=4).network
    network = build(find_variant("w_net"), seed=3).train()
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimiser]
    own = {"momentum": 0.7} if optimiser == "sgd" else {"betas": (0.8, 0.9)}
    by_hand = [
        kind([p], lr=0.01, weight_decay=recipe.weight_decay if p.dim() > 1 else 0.0, **own)
        for p in network.parameters()
    ]
    step = 0
    with PairLoader(pairs, moments(pairs), batch=25, seed=4) as batches, single_thread():
        for _ in range(2):
            for pair, target, _ in batches:
                loss = functional.binary_cross_entropy_with_logits(network(pair).main, target)
                network.zero_grad()
                loss.backward()
                done = (step + 0.5) / 6
                for single in by_hand:
                    single.param_groups[0]["lr"] = 0.01 * (done / 0.3 if done < 0.3 else (1 - done) / 0.7)
                    single.step()
                step += 1
    for (name, ours), theirs in zip(trained.named_parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4, msg=name)


def test_recalibration_uses_the_training_pairs(draws):
    trained = run("w_net", draws, epochs=1, recalibrate=True, warp=Warp())
    tower = trained.network.tower
    images = torch.from_numpy(normalise(draws[0], trained.moments).pair).reshape(-1, 1, 14, 14)
    with torch.inference_mode():
        before_norm = tower.relu1(tower.conv1(images))
    torch.testing.assert_close(tower.norm1.running_mean, before_norm.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(tower.norm1.running_var, before_norm.var((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert tower.norm1.momentum == 0.1


def test_masks_are_drawn_on_the_cpu_for_the_device_of_the_network():
    network = build(with_dropout(find_variant("final_model"), 0.5), seed=0)
    masks = {}
    for device in ("cpu", "meta"):
        loop.draw_masks(network.to(device), 25, mask_generator(3))
        masks[device] = [layer.mask for layer in network.modules() if isinstance(layer, MaskedDropout)]
    assert {mask.device.type for mask in masks["cpu"]} == {"cpu"}
    assert [(mask.device.type, mask.shape) for mask in masks["meta"]] == [("meta", mask.shape) for mask in masks["cpu"]]


def test_recalibration_does_without_dropout(draws):
    network = build(with_dropout(find_variant("final_model_bn"), 0.9), seed=0)
    batch = to_device(normalise(draws[0], moments(draws[0])), "cpu")
    found = []
    for seed in range(2):  # of the masks that layers in training would draw
        torch.manual_seed(seed)
        network.train()
        recalibrate(network, batch)
        assert not any(layer.training for layer in network.modules() if isinstance(layer, MaskedDropout))
        found.append([buffer.clone() for buffer in network.buffers()])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_a_run_takes_one_thread_for_its_batches_and_one_of_torch(draws, monkeypatch):
    threads = []
    make = loop.PairLoader

    def counted(*arguments, **options):
        threads.append((options["threads"], torch.get_num_threads()))
        return make(*arguments, **options)

    monkeypatch.setattr(loop, "PairLoader", counted)
    before = torch.get_num_threads()
    run("conv_1", draws, epochs=1)
    assert threads == [(1, 1)]
    assert torch.get_num_threads() == before


def test_losses_of_an_epoch_are_means_over_its_pairs(draws):
    pairs = draws[0].subset(np.arange(40))
    (epoch,) = run("a_w_net", (pairs, draws[1]), epochs=1, batch=40).epochs
    batch = to_device(normalise(pairs, moments(pairs)), "cpu")
    with torch.inference_mode():
        scores = build(find_variant("a_w_net"), seed=3)(batch.pair)
    assert epoch.train_loss == pytest.approx(main_loss(scores, batch.target).item(), rel=1e-4)
    assert epoch.train_auxiliary_loss == pytest.approx(auxiliary_loss(scores, batch.digits).item(), rel=1e-4)


def test_training_does_not_use_torchs_generator(draws):
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    run("final_model", draws, epochs=1)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_trains_and_has_its_metrics(variant, draws):
    small = tuple(pairs.subset(np.arange(60)) for pairs in draws)
    (epoch,) = run(variant.name, small, epochs=1).epochs
    for name, value in dataclasses.asdict(epoch).items():
        about_digits = "auxiliary" in name or "digit" in name
        assert (value is not None) == (variant.classifies_digits or not about_digits), name
        assert value is None or 0 <= value < 20, name


def test_the_last_metrics_are_those_of_the_trained_network_on_pairs_normalised_as_the_training_pairs(draws):
    trained = run("a_w_net", draws)
    held_out = draws[1]
    assert trained.moments == moments(draws[0]) != moments(held_out)
    last = trained.epochs[-1]
    with torch.inference_mode():
        batch = to_device(normalise(held_out, trained.moments), "cpu")
        scores = trained.network.eval()(batch.pair)
    right = (scores.main > 0) == (batch.target > 0)
    assert last.validation_accuracy == pytest.approx(right.float().mean().item())
    assert last.validation_loss == pytest.approx(main_loss(scores, batch.target).item(), rel=1e-5)
    assert last.validation_auxiliary_loss == pytest.approx(auxiliary_loss(scores, batch.digits).item(), rel=1e-4)
    digits_right = scores.digits.argmax(-1) == batch.digits
    assert last.validation_digit_accuracy == pytest.approx(digits_right.float().mean().item())
    probability = predict(trained.network, held_out, trained.moments)
    torch.testing.assert_close(probability, scores.main.sigmoid(), rtol=1e-4, atol=1e-5)


def test_evaluation_includes_the_last_partial_batch(draws):
    network = build(find_variant("conv_1"), seed=0)
    batch = to_device(normalise(draws[1].subset(np.arange(130)), moments(draws[0])), "cpu")
    with torch.inference_mode():
        torch.testing.assert_close(score(network, batch.pair).main, network.eval()(batch.pair).main)


def test_accuracy_increases(draws):
    history = run("final_model", draws, epochs=12).epochs
    before, after = (history[number - 1] for number in (3, 12))  # the first measured, and the last
    assert after.train_loss < 0.7 * before.train_loss
    assert after.validation_accuracy > 0.85 > before.validation_accuracy


@pytest.mark.parametrize(
    ("epochs", "measurements", "expected"), [(25, 5, [5, 10, 15, 20, 25]), (3, 5, [1, 2, 3]), (4, 1, [4]), (1, 5, [1])]
)
def test_measurements_are_evenly_spaced_and_the_last_is_at_the_end(draws, epochs, measurements, expected):
    assert [number for number in range(1, epochs + 1) if is_measured(number, epochs, measurements)] == expected


def test_each_epoch_is_reported_and_those_between_measurements_have_training_metrics_only(draws):
    recipe = Recipe(epochs=4)
    small = [pairs.subset(np.arange(50)) for pairs in draws]
    seeds, reported = {"weight_seed": 3, "order_seed": 4}, []
    history = train_network(
        *(find_variant("a_w_net"), *small),
        recipe=recipe,
        **seeds,
        measurements=2,
        on_epoch=lambda *call: reported.append(call),
    ).epochs
    assert reported == list(enumerate(history, 1))
    assert [epoch.validation_accuracy is not None for epoch in history] == [False, True, False, True]
    assert all(epoch.train_loss > 0 and epoch.train_auxiliary_loss > 0 for epoch in history)


def test_masks_follow_the_generator_and_scale_the_kept_values():
    dropout = MaskedDropout(0.4, (8, 1, 1))
    features = torch.ones(50, 8, 1, 1)
    dropout.mask = dropout.draw(60, torch.Generator().manual_seed(5))
    given = dropout(features)
    assert given.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert (given == 0).float().mean().item() == pytest.approx(0.4, abs=0.08)
    assert torch.equal(dropout.mask, dropout.draw(60, torch.Generator().manual_seed(5)))
    assert torch.equal(dropout.eval()(features), features)


def test_a_loss_that_is_not_finite_ends_the_run(draws):
    with pytest.raises(
        TrainingError, match=r"fc_1: expected a finite loss, got .* in epoch 1: lower the learning rate"
    ):
        run("fc_1", draws, learning_rate=1e30)


def test_training_pairs_are_warped(draws):
    small = [pairs.subset(np.arange(75)) for pairs in draws]
    still = {"epochs": 1, "learning_rate": 1e-12}  # weights stay, so the training loss depends on the images only
    warp = Warp(rotation=30.0, elastic=1.0)
    ours, plain = run("fc_1", small, warp=warp, **still), run("fc_1", small, **still)
    network = build(find_variant("fc_1"), seed=3)
    with PairLoader(small[0], moments(small[0]), batch=25, seed=4, warp=warp) as batches, torch.inference_mode():
        losses = [main_loss(network(pair), target).item() for pair, target, _ in batches]
    assert ours.epochs[0].train_loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert ours.epochs[0].train_loss != pytest.approx(plain.epochs[0].train_loss, rel=1e-4)
    assert ours.epochs[0].validation_loss == pytest.approx(plain.epochs[0].validation_loss, rel=1e-4)


def test_dropout_masks_depend_on_the_weight_seed(draws, monkeypatch):
    small = [pairs.subset(np.arange(50)) for pairs in draws]
    monkeypatch.setattr(loop, "build", lambda variant, seed: build(variant, seed=0))

    def train(name, seed):
        recipe = Recipe(epochs=1)
        return train_network(find_variant(name), *small, recipe=recipe, weight_seed=seed, order_seed=4).epochs

    assert train("final_model", 1) == train("final_model", 1)
    assert train("final_model", 1) != train("final_model", 2)
    assert train("a_w_net", 1) == train("a_w_net", 2)  # without dropout, the seed has no other effect


def test_the_stream_of_masks_is_not_that_of_the_weights():
    assert not torch.equal(
        torch.rand(5, generator=mask_generator(3)), torch.rand(5, generator=torch.Generator().manual_seed(3))
    )


def test_arguments_out_of_bounds_are_refused(draws):
    arguments = {"recipe": Recipe(epochs=1), "weight_seed": 0, "order_seed": 0}
    with pytest.raises(ArgumentError, match="expected `measurements` of at least 1, got 0"):
        train_network(find_variant("conv_1"), *draws, measurements=0, **arguments)
    with pytest.raises(ArgumentError, match="expected at least 1 pair in `held_out`, got 0"):
        train_network(find_variant("conv_1"), draws[0], draws[1].subset(np.arange(0)), **arguments)
    with pytest.raises(ArgumentError, match='expected `device` to be auto, cpu or cuda, got "tpu"'):
        train_network(find_variant("conv_1"), *draws, device="tpu", **arguments)
