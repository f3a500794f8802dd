"""The notation: what it reads, what it refuses, and how it counts."""

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
    st.builds(Dropout, st.sampled_from([0.0, 0.05, 0.25, 0.4, 0.999])),
)


@given(st.lists(LAYERS, min_size=1, max_size=8).map(tuple))
def test_what_is_shown_is_read_back(layers):
    assert parse(show(layers)) == layers


def test_reads_the_papers_lines():
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
        ("conv(1,2)", '"conv(1,2)" is no layer'),
        ("conv(1,2,3)P(2)", '"conv(1,2,3)P(2)"'),
        ("fc(3,4)*", '"fc(3,4)*"'),
        ("BN(3)", '"BN(3)"'),
        ("P(2) pool", '"pool" is no layer: expected conv(i,o,k)'),
        ("fc(1.5,2)", '"fc(1.5,2)"'),
        ("D()", '"D()"'),
        ("D(0.1.2)", '"D(0.1.2)"'),
        ("conv(0,2,3)", "sizes lie in 1"),
        ("conv(1,2,3)*0", "sizes lie in 1"),
        ("P(2)*", '"P(2)*"'),
        ("order", '"order"'),
        ("G(2)", '"G(2)"'),
        ("fc(1,99999999999)", "sizes lie in 1"),
    ],
)
def test_says_what_it_cannot_read(text, names):
    with pytest.raises(NotationError) as error:
        parse(text)
    assert names in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("fc(128,64)", (64, 2, 2), "fc(128,64) receives 256 inputs (64x2x2), not 128"),
        ("conv(2,8,3)", (1, 14, 14), "conv(2,8,3) receives 1 channels (1x14x14), not 2"),
        ("conv(1,8,5)*", (1, 4, 4), "conv(1,8,5)* needs images of at least 5x5, not 4x4"),
        (
            "conv(1,8,2)",
            (1, 4, 4),
            "conv(1,8,2): an even kernel cannot keep the size; write conv(1,8,2)*",
        ),
        ("P(3)", (1, 2, 2), "P(3) needs images of at least 3x3, not 2x2"),
        ("fc(4,2) P(2)", (1, 2, 2), "P(2) needs images [C,H,W], but 2 features come in"),
        ("softmax", (1, 2, 2), "softmax needs scores [C], but images come in (1x2x2)"),
        ("order(10)", (10,), "order(10) receives 10 inputs, not twice 10 probabilities"),
        ("D(1)", (3,), "D(1): a dropout probability lies in [0, 1)"),
    ],
)
def test_says_which_layer_does_not_fit(text, shape, message):
    with pytest.raises(NotationError) as error:
        output_shape(parse(text), shape)
    assert str(error.value) == message


def test_shapes_and_counts_of_a_tower():
    layers = parse("conv(1,32,3) BN P(2) conv(32,64,3)* fc(1600,10)")
    assert shapes(layers, (1, 14, 14)) == [(1, 14, 14), (32, 14, 14), (32, 14, 14), (32, 7, 7), (64, 5, 5), (10,)]
    assert count_parameters(layers, (1, 14, 14)) == 320 + 64 + 18_496 + 16_010
    assert count_multiply_adds(layers, (1, 14, 14)) == 32 * 196 * 9 + 32 * 196 + 64 * 25 * 288 + 16_000


def test_a_stride_skips_pixels_and_a_global_pool_leaves_channels():
    layers = parse("conv(1,24,4)*2 G fc(24,10) softmax")
    assert shapes(layers, (1, 14, 14)) == [(1, 14, 14), (24, 6, 6), (24,), (10,), (10,)]
    assert output_shape(parse("order(10)"), (20,)) == (1,)
    assert count_parameters(parse("order(10)"), (20,)) == 0
