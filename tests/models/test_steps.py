"""The walk over layers: names, numbers, input shapes and activations."""

from typing import get_args

import pytest

from pairnet.errors import NotationError
from pairnet.models.notation import Activation, parse
from pairnet.models.steps import steps


@pytest.mark.parametrize("activation", get_args(Activation))
def test_each_step_has_its_name_shape_and_activation(activation):
    layers = parse("conv(1,4,3) BN P(2) conv(4,6,3)* D(0.1) G fc(6,10) softmax")
    walk = [
        (step.name, step.number, step.before, step.activation)
        for step in steps(layers, (1, 14, 14), activation=activation)
    ]
    assert walk == [
        ("conv1", 1, (1, 14, 14), activation),
        ("norm1", 1, (4, 14, 14), "none"),
        ("pool1", 1, (4, 14, 14), "none"),
        ("conv2", 2, (4, 7, 7), activation),
        ("dropout2", 2, (6, 5, 5), "none"),
        ("mean2", 2, (6, 5, 5), "none"),
        ("fc3", 3, (6,), "none"),  # a softmax follows
        ("softmax", 3, (10,), "none"),
    ]


@pytest.mark.parametrize(("scores", "names"), [(False, ["relu1", "relu2"]), (True, ["relu1", ""])])
def test_scores_have_no_activation(scores, names):
    assert [step.activation_name for step in steps(parse("fc(8,4) fc(4,1)"), (8,), scores=scores)] == names


def test_numbers_continue_and_only_images_are_flattened():
    first, second = steps(parse("fc(8,4) fc(4,1)"), (2, 2, 2), number=3)
    assert (first.name, first.flattens, second.name, second.flattens) == ("fc4", True, "fc5", False)


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(NotationError, match="expected 9 inputs, got 8"):
        list(steps(parse("fc(9,4)"), (8,)))
