"""The order head and its variants: exact probabilities, symmetry, and finite scores and gradients."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pairnet.models.networks import OrderScore, Scores, TwinNetwork, build
from pairnet.models.variants import VARIANTS
from pairnet.training.metrics import auxiliary_loss, main_loss

FAMILY = [variant for variant in VARIANTS if variant.orders]
EACH = pytest.mark.parametrize("variant", FAMILY, ids=lambda variant: variant.name)


def score(first, second):
    """Class scores [N,c], [N,c] -> P(first <= second) by the order head, [N]."""
    features = torch.cat((first.log_softmax(1), second.log_softmax(1)), dim=1)
    return OrderScore(first.shape[1])(features).flatten().sigmoid()


def by_counting(first, second):
    """The same in float64, a sum over pairs of classes."""
    p, q = first.double().softmax(1), second.double().softmax(1)
    classes = range(first.shape[1])
    return sum(p[:, i] * q[:, j] for i, j in itertools.product(classes, classes) if i <= j)


def scores(classes):
    return st.lists(st.floats(-60, 60, width=32), min_size=classes, max_size=classes)


@given(st.sampled_from([2, 3, 10]).flatmap(lambda classes: st.tuples(scores(classes), scores(classes))))
def test_probability_is_the_sum_over_classes_in_order(pair):
    first, second = torch.tensor(pair[0])[None], torch.tensor(pair[1])[None]
    torch.testing.assert_close(score(first, second).double(), by_counting(first, second), rtol=1e-4, atol=1e-6)


def test_gradients_are_correct():
    features = torch.randn(3, 20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(OrderScore(10), (features,))
    saturated = (torch.randn(3, 20, dtype=torch.float64) * 30).requires_grad_()
    assert torch.autograd.gradcheck(OrderScore(10), (saturated,))


@pytest.mark.parametrize("size", [50.0, 1e3, 1e6, 1e30])
def test_saturated_scores_have_finite_losses_and_gradients(size):
    logits = torch.zeros(4, 10)
    logits[0, 0] = logits[1, 9] = logits[2, 5] = size
    logits[3] = -size
    for first, second in itertools.product(range(4), range(4)):
        one, two = (logits[k : k + 1].clone().requires_grad_() for k in (first, second))
        log_p, log_q = one.log_softmax(1), two.log_softmax(1)
        main = OrderScore(10)(torch.cat((log_p, log_q), 1)).flatten()
        for target in (0.0, 1.0):
            scores = Scores(main, torch.stack((log_p, log_q), 1))
            loss = main_loss(scores, torch.tensor([target])) + auxiliary_loss(scores, torch.tensor([[9, 0]]))
            assert torch.isfinite(loss)
            gradients = torch.autograd.grad(loss, (one, two), retain_graph=True)
            assert all(torch.isfinite(gradient).all() for gradient in gradients)


@EACH
def test_the_head_has_no_parameters_and_the_tower_outputs_distributions(variant):
    network = build(variant, seed=0).eval()
    assert isinstance(network, TwinNetwork)
    assert not list(network.head.parameters())
    features = network.encode(torch.randn(6, 1, 14, 14))
    torch.testing.assert_close(features.exp().sum(1), torch.ones(6))
    assert torch.equal(network.classify(features), features)


@EACH
def test_swapping_the_images_gives_the_complementary_probability(variant):
    network = build(variant, seed=0).eval()
    pair = torch.randn(8, 2, 14, 14)
    there, back = network(pair), network(pair.flip(1))
    equal = there.digits.exp().prod(1).sum(1)
    torch.testing.assert_close(there.main.sigmoid() + back.main.sigmoid(), 1 + equal)
