"""Recipes: the paper's defaults, identity, schedules, and values out of bounds."""

import pytest

from pairnet.errors import ArgumentError
from pairnet.models.recipes import Recipe, Warp


def test_the_defaults_are_those_of_the_paper():
    assert Recipe().to_dict() == {
        "epochs": 25,
        "batch": 25,
        "learning_rate": 1e-3,
        "loss_ratio": 0.5,
        "optimiser": "adam",
        "weight_decay": 0.0,
        "betas": [0.9, 0.999],
        "momentum": 0.9,
        "schedule": "constant",
        "warm_up": 0.0,
        "warp": None,
        "recalibrate": False,
    }
    assert [Recipe().learning_rate_at(progress) for progress in (0.0, 0.5, 0.99)] == [1e-3] * 3


def test_unused_settings_are_not_part_of_the_identity():
    assert Recipe().identity() == {"epochs": 25, "batch": 25, "learning_rate": 1e-3, "loss_ratio": 0.5}
    assert Recipe(warp=Warp()).identity() != Recipe().identity()
    assert Recipe(betas=(0.9, 0.99)).identity()["betas"] == [0.9, 0.99]
    assert Recipe(optimiser="sgd").identity() == {**Recipe().identity(), "optimiser": "sgd"}
    assert Recipe(optimiser="sgd", momentum=0.0).identity()["momentum"] == 0.0


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_warps_out_of_bounds_are_refused(value):
    with pytest.raises(ArgumentError, match="expected `shear` to be finite and at least 0, got"):
        Warp(shear=value)


def test_the_learning_rate_follows_the_schedule():
    cosine = Recipe(learning_rate=2.0, schedule="cosine", warm_up=0.2)
    assert [round(cosine.learning_rate_at(progress), 6) for progress in (0.0, 0.1, 0.2, 0.6)] == [0.0, 1.0, 2.0, 1.0]
    assert cosine.learning_rate_at(0.999) < 1e-4
    linear = Recipe(learning_rate=2.0, schedule="linear")
    assert [linear.learning_rate_at(progress) for progress in (0.0, 0.25, 0.75)] == [2.0, 1.5, 0.5]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("loss_ratio", -1.0),
        ("loss_ratio", float("inf")),
        ("betas", (0.9, 1.0)),
        ("betas", (0.9,)),
        ("weight_decay", -0.1),
        ("warm_up", 1.0),
        ("momentum", -0.1),
        ("momentum", 1.0),
        ("momentum", float("nan")),
        ("optimiser", "rmsprop"),
        ("schedule", "step"),
    ],
)
def test_values_out_of_bounds_are_refused(field, value):
    with pytest.raises(ArgumentError, match=f"expected `{field}` to be .*, got .*: choose another value"):
        Recipe(**{field: value})
