"""Built networks: every row of the table, against its count and against its meaning."""

import pytest
import torch

from pairnet.models.networks import TwinNetwork, build, count_parameters
from pairnet.models.variants import VARIANTS, find_variant

EACH = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)


@EACH
def test_holds_the_parameters_that_the_row_claims(variant):
    assert count_parameters(build(variant)) == variant.parameters


@EACH
def test_scores_any_number_of_pairs(variant):
    net = build(variant, seed=0).eval()
    for count in (1, 3):
        scores = net(torch.randn(count, 2, 14, 14))
        assert scores.main.shape == (count,)
        assert (scores.digits is not None) == variant.classifies_digits
        if scores.digits is not None:
            assert scores.digits.shape == (count, 2, 10)


@EACH
def test_a_pair_is_scored_alike_alone_and_among_others(variant):
    net = build(variant, seed=0).eval()
    pair = torch.randn(4, 2, 14, 14)
    torch.testing.assert_close(net(pair).main[2:3], net(pair[2:3]).main, rtol=1e-4, atol=1e-5)


@EACH
def test_every_parameter_is_trained(variant):
    net = build(variant, seed=0).train()
    scores = net(torch.randn(8, 2, 14, 14))
    (scores.main.sum() + (0 if scores.digits is None else scores.digits.logsumexp(-1).sum())).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@EACH
def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_generator_alone(variant):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = build(variant, seed=1), build(variant, seed=1), build(variant, seed=2)
    assert torch.equal(torch.rand(3), expected)
    for ours, same in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, same)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", ["w_net", "a_w_net", "final_model", "final_model_bn"])
def test_a_shared_tower_sees_both_images_alike(name):
    net = build(find_variant(name), seed=0).eval()
    assert isinstance(net, TwinNetwork)
    left, right = torch.randn(2, 5, 1, 14, 14)
    features = torch.cat((net.encode(left), net.encode(right)), dim=1)
    torch.testing.assert_close(net(torch.cat((left, right), dim=1)).main, net.compare(features))


@pytest.mark.parametrize("name", ["no_w_net", "a_net"])
def test_towers_of_their_own_see_the_images_differently(name):
    net = build(find_variant(name), seed=0).eval()
    image = torch.randn(5, 1, 14, 14)
    assert isinstance(net, TwinNetwork)
    assert net.other_tower is not None
    assert not torch.allclose(net.tower(image), net.other_tower(image))


def test_the_auxiliary_classifier_is_one_for_both_images():
    net = build(find_variant("a_w_net"), seed=0).eval()
    image = torch.randn(4, 1, 14, 14)
    digits = net(torch.cat((image, image), dim=1)).digits
    torch.testing.assert_close(digits[:, 0], digits[:, 1])


def test_dropout_is_off_when_the_net_is_used():
    net = build(find_variant("final_model"), seed=0)
    pair = torch.randn(4, 2, 14, 14)
    assert torch.equal(net.eval()(pair).main, net(pair).main)
    assert not torch.equal(net.train()(pair).main, net(pair).main)


def test_a_relu_follows_every_layer_but_the_scores_and_stands_before_bn():
    names = list(dict(build(find_variant("cnn_base")).layers.named_children()))
    assert names[:4] == ["conv1", "relu1", "norm1", "pool1"]
    assert names[-3:] == ["fc5", "relu5", "fc6"]


def test_a_net_without_a_classifier_says_so():
    with pytest.raises(ValueError, match="no auxiliary classifier"):
        build(find_variant("w_net")).classify(torch.zeros(1, 128))
