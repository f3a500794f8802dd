"""The recipe: its defaults are the paper's, and nonsense is refused."""

import pytest

from pairnet.recipes import Recipe


def test_the_defaults_are_the_papers():
    assert Recipe().to_dict() == {"epochs": 25, "batch": 25, "learning_rate": 1e-3, "loss_ratio": 0.5}


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("batch", 0), ("learning_rate", 0.0), ("learning_rate", float("nan")), ("loss_ratio", -1.0)],
)
def test_nonsense_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"{field} must"):
        Recipe(**{field: value})
