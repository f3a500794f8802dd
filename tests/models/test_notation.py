"""The notation: parsing, errors, shapes and counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairnet.errors import NotationError
from pairnet.models.notation import (
    BatchNorm,
    Conv,
    Dropout,
    GlobalPool,
    Linear,
    Order,
    Pool,
    Softmax,
    count_multiply_adds,
    count_parameters,
    output_shape,
    parse,
    shapes,
    show,
)

SIZES = st.integers(1, 999)
LAYERS = st.one_of(
    st.builds(Conv, SIZES, SIZES, SIZES, st.booleans()),
    st.builds(Conv, SIZES, SIZES, SIZES, st.just(False), SIZES),
    st.builds(Order, SIZES),
    st.sampled_from([GlobalPool(), Softmax()]),
    st.builds(Linear, SIZES, SIZES),
    st.builds(BatchNorm),
    st.builds(Pool, SIZES),
    st.builds(Dropout, st.floats(0, 1, exclude_max=True)),
)


@given(st.lists(LAYERS, min_size=1, max_size=8).map(tuple))
def test_show_and_parse_are_inverse(layers):
    assert parse(show(layers)) == layers


def test_parses_the_notation_of_the_paper():
    assert parse(" conv(2, 10,5)* BN  P(2)\nfc(128,64) D(0.4)") == (
        Conv(2, 10, 5, padded=False),
        BatchNorm(),
        Pool(2),
        Linear(128, 64),
        Dropout(0.4),
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "at least one layer"),
        ("conv(1,2)", 'got "conv(1,2)": correct it'),
        ("conv(1,2,3)P(2)", '"conv(1,2,3)P(2)"'),
        ("fc(3,4)*", '"fc(3,4)*"'),
        ("BN(3)", '"BN(3)"'),
        ("P(2) pool", 'got "pool"'),
        ("fc(1.5,2)", '"fc(1.5,2)"'),
        ("D()", '"D()"'),
        ("D(0.1.2)", '"D(0.1.2)"'),
        ("conv(0,2,3)", "expected sizes in 1..1,000,000"),
        ("conv(1,2,3)*0", "expected sizes in 1..1,000,000"),
        ("P(2)*", '"P(2)*"'),
        ("order", '"order"'),
        ("G(2)", '"G(2)"'),
        ("conv(1,2,3)*" + "9" * 5000, "expected conv(i,o,k)"),
        ("D(" + "9" * 400 + ")", "expected conv(i,o,k)"),
        ("fc(1,99999999999)", "expected sizes in 1..1,000,000"),
    ],
)
def test_errors_name_the_token(text, names):
    with pytest.raises(NotationError) as error:
        parse(text)
    assert names in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("fc(128,64)", (64, 2, 2), "fc(128,64): expected 128 inputs, got 256 (64x2x2): change its first number"),
        ("conv(2,8,3)", (1, 14, 14), "conv(2,8,3): expected 2 channels, got 1 (1x14x14): change its first number"),
        (
            "conv(1,8,5)*",
            (1, 4, 4),
            "conv(1,8,5)*: expected images of at least 5x5, got 4x4: use a smaller window or less pooling",
        ),
        (
            "conv(1,8,2)",
            (1, 4, 4),
            "conv(1,8,2): expected an odd kernel with padding, got 2: write conv(1,8,2)*",
        ),
        ("P(3)", (1, 2, 2), "P(3): expected images of at least 3x3, got 2x2: use a smaller window or less pooling"),
        ("fc(4,2) P(2)", (1, 2, 2), "P(2): expected images [C,H,W], got 2 features: move it before fc or G"),
        ("softmax", (1, 2, 2), "softmax: expected scores [C], got images (1x2x2): add an fc or G before it"),
        ("order(10)", (10,), "order(10): expected 20 probabilities, got 10 inputs: end the tower in 10 classes"),
        ("D(1)", (3,), "D(1): expected a probability in [0, 1), got 1: choose another one"),
    ],
)
def test_errors_name_the_layer_that_does_not_fit(text, shape, message):
    with pytest.raises(NotationError) as error:
        output_shape(parse(text), shape)
    assert str(error.value) == message


def test_shapes_and_counts_of_a_tower():
    layers = parse("conv(1,32,3) BN P(2) conv(32,64,3)* fc(1600,10)")
    assert shapes(layers, (1, 14, 14)) == [(1, 14, 14), (32, 14, 14), (32, 14, 14), (32, 7, 7), (64, 5, 5), (10,)]
    assert count_parameters(layers, (1, 14, 14)) == 320 + 64 + 18_496 + 16_010
    assert count_multiply_adds(layers, (1, 14, 14)) == 32 * 196 * 9 + 32 * 196 + 64 * 25 * 288 + 16_000


def test_shapes_of_strides_global_pooling_and_order():
    layers = parse("conv(1,24,4)*2 G fc(24,10) softmax")
    assert shapes(layers, (1, 14, 14)) == [(1, 14, 14), (24, 6, 6), (24,), (10,), (10,)]
    assert output_shape(parse("order(10)"), (20,)) == (1,)
    assert count_parameters(parse("order(10)"), (20,)) == 0
