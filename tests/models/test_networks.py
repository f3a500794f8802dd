"""Built networks: parameters, shapes, seeds and sharing, for every row of the table."""

import pytest
import torch

from pairnet.errors import ArgumentError
from pairnet.models import variants
from pairnet.models.networks import TwinNetwork, build, count_parameters, stack
from pairnet.models.notation import parse
from pairnet.models.variants import VARIANTS, find_variant

EACH = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)


@EACH
def test_parameters_match_the_count_from_the_layers(variant):
    assert count_parameters(build(variant)) == variants.count_parameters(variant)


@EACH
def test_any_number_of_pairs_has_scores_that_do_not_depend_on_the_others(variant):
    network = build(variant, seed=0).eval()
    pairs = torch.randn(4, 2, 14, 14)
    many, one = network(pairs), network(pairs[2:3])
    assert (many.main.shape, one.main.shape) == ((4,), (1,))
    torch.testing.assert_close(many.main[2:3], one.main, rtol=1e-4, atol=1e-5)
    assert (many.digits is not None) == variant.classifies_digits
    if many.digits is not None:
        assert many.digits.shape == (4, 2, 10)
        torch.testing.assert_close(many.digits[2:3], one.digits, rtol=1e-4, atol=1e-5)


@EACH
def test_every_parameter_has_a_gradient(variant):
    network = build(variant, seed=0).train()
    scores = network(torch.randn(8, 2, 14, 14))
    (scores.main.sum() + (0 if scores.digits is None else scores.digits.logsumexp(-1).sum())).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@EACH
def test_weights_depend_on_the_seed_only_and_torchs_generator_is_unchanged(variant):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = build(variant, seed=1), build(variant, seed=1), build(variant, seed=2)
    assert torch.equal(torch.rand(3), expected)
    for ours, same in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, same)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", ["w_net", "a_w_net", "final_model", "final_model_bn"])
def test_a_shared_tower_encodes_both_images(name):
    network = build(find_variant(name), seed=0).eval()
    assert isinstance(network, TwinNetwork)
    left, right = torch.randn(2, 5, 1, 14, 14)
    features = torch.cat((network.encode(left), network.encode(right)), dim=1)
    torch.testing.assert_close(network(torch.cat((left, right), dim=1)).main, network.compare(features))


@pytest.mark.parametrize("name", ["no_w_net", "a_net"])
def test_separate_towers_have_different_weights(name):
    network = build(find_variant(name), seed=0).eval()
    image = torch.randn(5, 1, 14, 14)
    assert isinstance(network, TwinNetwork)
    assert network.other_tower is not None
    assert not torch.allclose(network.tower(image), network.other_tower(image))


def test_the_auxiliary_classifier_is_shared():
    network = build(find_variant("a_w_net"), seed=0).eval()
    image = torch.randn(4, 1, 14, 14)
    digits = network(torch.cat((image, image), dim=1)).digits
    torch.testing.assert_close(digits[:, 0], digits[:, 1])


def test_dropout_is_applied_in_training_only():
    network = build(find_variant("final_model"), seed=0)
    pair = torch.randn(4, 2, 14, 14)
    assert torch.equal(network.eval()(pair).main, network(pair).main)
    assert not torch.equal(network.train()(pair).main, network(pair).main)


def test_a_network_without_a_classifier_refuses_to_classify():
    with pytest.raises(ArgumentError, match="expected a network with an auxiliary classifier"):
        build(find_variant("w_net")).classify(torch.zeros(1, 128))


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_bounds_are_refused(seed):
    with pytest.raises(ArgumentError, match=r"expected `seed` in 0\.\.2\*\*63-1, got"):
        build(find_variant("conv_1"), seed=seed)


def test_modules_are_named_as_in_the_paper():
    layers = parse("conv(1,4,3) BN P(2) D(0.1) conv(4,6,3) P(2) fc(54,8) fc(8,1)")
    names = [name for name, _ in stack(layers, (1, 14, 14), scores=True).named_children()]
    expected = "conv1 relu1 norm1 pool1 dropout1 conv2 pool2 relu2 flatten3 fc3 relu3 fc4"
    assert names == expected.split()
