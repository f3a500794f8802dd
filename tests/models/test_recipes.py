"""The recipe: its defaults are the paper's, and nonsense is refused."""

import pytest

from pairnet.models.recipes import Recipe, Warp


def test_the_defaults_are_the_papers():
    assert Recipe().to_dict() == {
        "epochs": 25,
        "batch": 25,
        "learning_rate": 1e-3,
        "loss_ratio": 0.5,
        "optimiser": "adam",
        "weight_decay": 0.0,
        "betas": [0.9, 0.999],
        "schedule": "constant",
        "warm_up": 0.0,
        "warp": None,
        "recalibrate": False,
    }
    assert [Recipe().learning_rate_at(progress) for progress in (0.0, 0.5, 0.99)] == [1e-3] * 3


def test_what_is_not_in_use_does_not_tell_recipes_apart():
    assert Recipe().identity() == {"epochs": 25, "batch": 25, "learning_rate": 1e-3, "loss_ratio": 0.5}
    assert Recipe(warp=Warp()).identity() != Recipe().identity()
    assert Recipe(betas=(0.9, 0.99)).identity()["betas"] == [0.9, 0.99]


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_nonsense_warps_are_refused_by_name(value):
    with pytest.raises(ValueError, match="shear of a warp must be finite and not negative"):
        Warp(shear=value)


def test_the_learning_rate_rises_and_falls_as_scheduled():
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
        ("loss_ratio", -1.0),
        ("weight_decay", -0.1),
        ("warm_up", 1.0),
        ("optimiser", "sgd"),
        ("schedule", "step"),
    ],
)
def test_nonsense_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        Recipe(**{field: value})
