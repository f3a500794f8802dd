"""The plain loop is what the training engine is compared with: the same networks, recipe, pairs and measure."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

from bench import plain
from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Moments, Pairs, draw_pairs, moments, normalise
from pairnet.models.networks import MaskedDropout, build
from pairnet.models.paper import TABLE_III
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant, with_dropout
from pairnet.training.loop import predict, to_device, train_network


@pytest.fixture(scope="module")
def draws(glyph_set):
    """60 pairs to train on, and 90 to test on."""
    return draw_pairs(glyph_set.train, count=60, seed=0), draw_pairs(glyph_set.test, count=90, seed=1)


def take_weights(net, other):
    """Copies all parameters, in their order."""
    with torch.no_grad():
        for own, value in zip(net.parameters(), other.parameters(), strict=True):
            assert own.shape == value.shape
            own.copy_(value)


def flat(net):
    """All trained values as one vector."""
    return torch.cat([weights.detach().flatten() for weights in net.parameters()])


@pytest.fixture
def made(monkeypatch):
    """The networks that the loop makes."""
    found, usual = [], plain.plain_network
    monkeypatch.setattr(plain, "plain_network", lambda name: found.append(usual(name)) or found[-1])
    return found


@pytest.fixture
def order_of_the_loader(draws):
    """The rows of each epoch in the order of pairnet's loader, read from pixels that are the rows' numbers."""
    count = len(draws[0])
    pixels = np.broadcast_to(np.arange(count, dtype=np.uint16)[:, None, None, None] * 4, (count, 2, 14, 14)).copy()
    numbered = Pairs(pixels=pixels, digits=draws[0].digits, indices=draws[0].indices)

    def orders(epochs, batch):
        with PairLoader(numbered, Moments(mean=0.0, std=1.0), batch=batch, seed=4, threads=1, output="numpy") as loader:
            return [
                np.concatenate([pair[:, 0, 0, 0].copy() for pair, _, _ in loader]).round().astype(np.int64)
                for _ in range(epochs)
            ]

    return orders


@pytest.mark.parametrize("name", TABLE_III)
def test_the_structure_is_that_of_the_row(draws, name):
    net, ours = plain.plain_network(name), build(find_variant(name), seed=5)
    take_weights(net, ours)
    assert sum(parameter.numel() for parameter in net.parameters()) == find_variant(name).parameters
    for mine, other in zip(net.buffers(), ours.buffers(), strict=True):  # BN's statistics, not at their initial values
        assert mine.shape == other.shape
        if mine.dim():
            values = torch.rand(mine.shape) + 0.5
            mine.copy_(values)
            other.copy_(values)
    net.eval()
    ours.eval()
    batch = to_device(normalise(draws[0], moments(draws[0])), "cpu")
    with torch.no_grad():
        (main, *digits), expected = net(batch.pair), ours(batch.pair)
    torch.testing.assert_close(main, expected.main, rtol=1e-4, atol=1e-5)
    if expected.digits is None:
        assert digits == [None, None]
    else:
        torch.testing.assert_close(torch.stack(digits, dim=1), expected.digits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TABLE_III)
def test_dropout_and_normalisation_stand_where_the_row_has_them(name):
    net, ours = plain.plain_network(name), build(find_variant(name))
    expected = [layer.probability for layer in ours.modules() if isinstance(layer, MaskedDropout)]
    assert [layer.p for layer in net.modules() if isinstance(layer, nn.Dropout)] == expected
    norms = [[layer for layer in one.modules() if isinstance(layer, nn.BatchNorm2d)] for one in (net, ours)]
    settings = [[(norm.num_features, norm.eps, norm.momentum) for norm in found] for found in norms]
    assert settings[0] == settings[1]


def test_dropout_is_applied_to_the_features_of_both_images_in_training_only():
    torch.manual_seed(0)
    net, features = plain.plain_network("final_model"), []
    net.head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    pair = torch.randn(200, 2, 14, 14)
    net(pair)
    net.eval()
    net(pair)
    dropped, kept = (part.unflatten(1, (2, 128)) for part in features)
    alive = kept != 0
    for image in range(2):
        zero = dropped[:, image][alive[:, image]] == 0
        assert len(zero) > 5000
        assert zero.float().mean() == pytest.approx(0.4, abs=0.03)
    survived = alive & (dropped != 0)
    torch.testing.assert_close(dropped[survived], kept[survived] / 0.6)


def test_a_row_that_the_table_does_not_have_is_refused():
    with pytest.raises(ValueError, match='expected a row of Table III, got "fc_1"'):
        plain.plain_network("fc_1")


@pytest.mark.parametrize("name", TABLE_III)
def test_training_is_that_of_pairnet(monkeypatch, draws, order_of_the_loader, name):
    """With the same weights, pairs and orders. w_net differs: its BN sees both images at once in pairnet, and one
    after the other here. final_model is without dropout: the masks come from another generator. Kernels are stored as
    pairnet stores them, since torch sums in another order for each layout, and BN and Adam magnify the difference.
    """
    row, net = find_variant(name), plain.plain_network(name)
    if name == "final_model":
        row, net = with_dropout(row, 0.0), plain.PlainTwin(shared=True, auxiliary=True, norm=False)
    order = order_of_the_loader(2, 25)  # batches of 25, 25 and 10 pairs
    orders = iter(order)
    assert not np.array_equal(*order)
    take_weights(net, build(row, seed=3))
    monkeypatch.setattr(plain, "plain_network", lambda name: net.to(memory_format=torch.channels_last))
    monkeypatch.setattr(torch, "randperm", lambda count: torch.from_numpy(next(orders)))
    accuracy = plain.plain_loop(row.name, *draws, seed=0, epochs=2, batch=25)
    recipe = Recipe(epochs=2, batch=25)
    trained = train_network(row, *draws, recipe=recipe, weight_seed=3, order_seed=4)
    before, expected, got = (flat(one) for one in (build(row, seed=3), trained.network, net))
    distance = (got - expected).norm() / (expected - before).norm()
    if name == "w_net":
        assert distance > 0.01
        return
    assert distance < 1e-4
    probability = trained.probability.numpy()
    undecided = np.abs(probability - 0.5) < 1e-3
    assert abs(accuracy - ((probability > 0.5) == (draws[1].targets > 0)).mean()) <= undecided.mean() + 1e-6


def test_accuracy_is_measured_on_the_test_pairs_without_dropout_and_with_the_moments_of_training(made, draws):
    training, test = draws
    darker = Pairs(pixels=test.pixels // 3, digits=test.digits, indices=test.indices)  # other moments
    accuracy = plain.plain_loop("final_model", training, darker, seed=0, epochs=20, batch=25)
    (net,) = made
    assert not net.training
    ours = build(find_variant("final_model"))
    take_weights(ours, net)
    right = (predict(ours, darker, moments(training)).numpy() > 0.5) == (darker.targets > 0)
    assert accuracy == pytest.approx(right.mean(), abs=1e-6)
    elsewhere = (predict(ours, darker, moments(darker)).numpy() > 0.5) == (darker.targets > 0)
    assert right.mean() != elsewhere.mean()


def test_the_seed_decides_weights_and_orders(made, draws):
    for seed in (1, 1, 2):
        plain.plain_loop("a_w_net", *draws, seed=seed, epochs=1)
    first, again, other = (flat(net) for net in made)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert (first - other).abs().max() > 0.01


def test_without_arguments_it_is_the_recipe_of_the_paper():
    defaults = {name: value.default for name, value in inspect.signature(plain.plain_loop).parameters.items()}
    for name in TABLE_III:
        recipe = find_variant(name).recipe
        assert (defaults["epochs"], defaults["batch"]) == (recipe.epochs, recipe.batch)
        assert recipe.identity() == Recipe().identity()


def test_all_is_computed_on_the_device_that_is_asked_for(monkeypatch, draws):
    """On torch's device without memory: there is no accuracy, but each call of the network is seen."""
    seen = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(392))

        def forward(self, pair):
            seen.append((self.training, self.weight.device.type, pair.device.type, len(pair)))
            return pair.flatten(1) @ self.weight, None, None

    monkeypatch.setattr(plain, "plain_network", lambda name: Net())
    with pytest.raises(RuntimeError, match="meta"):
        plain.plain_loop("a_w_net", *draws, seed=0, epochs=2, batch=25, device="meta")
    assert seen == [*[(True, "meta", "meta", size) for size in (25, 25, 10)] * 2, (False, "meta", "meta", 90)]
