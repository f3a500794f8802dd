"""The table: each row's count, shapes and name; and what a row of one's own is told."""

from dataclasses import replace

import pytest

from pairnet.errors import NotationError
from pairnet.models import paper
from pairnet.models.variants import VARIANTS, Variant, check, count_multiply_adds, count_parameters, find_variant

RECONSTRUCTED = {
    "fc_1": 96_433,
    "fc_2": 144_747,
    "fc_3": 924_337,
    "conv_1": 2_571,
    "conv_2": 48_851,
    "conv_3": 9_411,
    "cnn_base": 105_889,
    "no_w_net": 235_777,
    "w_net": 142_657,
    "a_net": 248_843,
    "a_w_net": 155_275,
    "final_model": 155_275,
    "a_w_net_bn": 155_723,
    "final_model_bn": 155_723,
}
BEYOND = {"order_net": 121_930, "order_net_s": 9_382, "order_net_xs": 2_947, "order_net_fast": 10_354}


def test_the_table_holds_the_papers_twelve_rows_the_two_with_bn_and_those_beyond():
    assert {variant.name: variant.parameters for variant in VARIANTS} == RECONSTRUCTED | BEYOND


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_row_fits_and_counts_as_it_claims(variant):
    check(variant)
    assert count_parameters(variant) == variant.parameters
    assert count_multiply_adds(variant) >= 65_000
    assert find_variant(variant.name) is variant


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_counts_equal_the_papers_but_for_its_slip(variant):
    printed = paper.PARAMETERS.get(variant.name)
    if variant.name == "w_net":
        assert printed == variant.parameters + 1
    elif printed is not None:
        assert printed == variant.parameters


def test_a_wrong_name_is_told_the_nearest():
    with pytest.raises(ValueError, match='no variant is called "fina-model"; did you mean final_model'):
        find_variant("fina-model")
    with pytest.raises(ValueError, match="there are fc_1, fc_2"):
        find_variant("zzz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": 5}, "final_model: the row claims 5 parameters, its layers hold 155,275"),
        ({"head": "fc(256,2)"}, "final_model: the head ends in 2 values, not 1"),
        ({"head": "fc(128,1)"}, "final_model: fc(128,1) receives 256 inputs (256), not 128"),
        ({"auxiliary": "fc(128,9)"}, "final_model: the auxiliary classifier ends in 9 values, not 10"),
        ({"head": ""}, "final_model: a row has either a net, or a tower and a head"),
        ({"tower": "", "head": "", "net": "fc(392,1)"}, "final_model: an auxiliary classifier needs a tower"),
        ({"tower": "conv(1,128,3) BN P(2) BN"}, "final_model: BN is the second of its kind after one conv or fc"),
        ({"tower": "conv(1,8,3) Q(2)"}, 'final_model: "Q(2)" is no layer'),
    ],
)
def test_a_row_that_does_not_fit_is_told_where(changes, message):
    with pytest.raises(NotationError) as error:
        check(replace(find_variant("final_model"), **changes))
    assert message in str(error.value)


def test_one_line_is_a_new_variant():
    check(Variant(name="tiny", tower="conv(1,4,3) P(2) fc(196,8)", head="fc(16,1)", parameters=4 * 10 + 1576 + 17))
