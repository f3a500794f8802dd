"""The walk over layers: names, numbers, input shapes and ReLUs."""

import pytest

from pairnet.errors import NotationError
from pairnet.models.notation import parse
from pairnet.models.steps import steps


def test_each_step_has_its_name_shape_and_relu():
    layers = parse("conv(1,4,3) BN P(2) conv(4,6,3)* D(0.1) G fc(6,10) softmax")
    walk = [(step.name, step.number, step.before, step.relu) for step in steps(layers, (1, 14, 14))]
    assert walk == [
        ("conv1", 1, (1, 14, 14), True),
        ("norm1", 1, (4, 14, 14), False),
        ("pool1", 1, (4, 14, 14), False),
        ("conv2", 2, (4, 7, 7), True),
        ("dropout2", 2, (6, 5, 5), False),
        ("mean2", 2, (6, 5, 5), False),
        ("fc3", 3, (6,), False),  # a softmax follows
        ("softmax", 3, (10,), False),
    ]


@pytest.mark.parametrize(("scores", "relus"), [(False, [True, True]), (True, [True, False])])
def test_scores_have_no_relu(scores, relus):
    assert [step.relu for step in steps(parse("fc(8,4) fc(4,1)"), (8,), scores=scores)] == relus


def test_numbers_continue_and_only_images_are_flattened():
    first, second = steps(parse("fc(8,4) fc(4,1)"), (2, 2, 2), number=3)
    assert (first.name, first.flattens, second.name, second.flattens) == ("fc4", True, "fc5", False)


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(NotationError, match="expected 9 inputs, got 8"):
        list(steps(parse("fc(9,4)"), (8,)))
