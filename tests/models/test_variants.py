"""The table of variants: counts, shapes, names, JSON, and errors of rows that do not fit."""

from dataclasses import asdict, replace

import msgspec
import pytest

from pairnet.errors import ArgumentError, NotationError
from pairnet.models import paper, variants
from pairnet.models.variants import (
    VARIANTS,
    Variant,
    check,
    count_multiply_adds,
    count_parameters,
    find_variant,
    list_variants,
    with_dropout,
)

EACH = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)


@EACH
def test_every_row_fits_and_is_found_by_its_name(variant):
    check(variant)
    assert variant.parameters == count_parameters(variant)
    assert count_multiply_adds(variant) > 0
    assert find_variant(variant.name) is variant
    assert list_variants() is VARIANTS


@EACH
def test_counts_equal_the_printed_ones(variant):
    printed = paper.PARAMETERS.get(variant.name)
    if variant.name == "w_net":  # a slip in the paper
        assert printed == count_parameters(variant) + 1
    elif printed is not None:
        assert printed == count_parameters(variant)


@EACH
def test_variants_survive_json(variant):
    assert msgspec.json.decode(msgspec.json.encode(asdict(variant)), type=Variant) == variant


@EACH
def test_a_variant_is_shown_on_one_short_line(variant):
    assert repr(variant) == f"Variant('{variant.name}')"


def test_an_unknown_name_is_reported_with_the_nearest():
    with pytest.raises(
        ArgumentError, match='expected the name of a variant, got "fina-model": did you mean final_model'
    ):
        find_variant("fina-model")
    with pytest.raises(ArgumentError, match=r"choose one of .*fc_1, "):
        find_variant("zzz")


def test_two_rows_of_one_name_are_refused(monkeypatch):
    monkeypatch.setattr(variants, "VARIANTS", (*VARIANTS, find_variant("fc_1")))
    for search in (list_variants, lambda: find_variant("conv_1")):
        with pytest.raises(ArgumentError, match='expected different names in VARIANTS, got "fc_1" more than once'):
            search()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": 5}, "final_model: expected 5 parameters as stated, got 155,275 in its layers"),
        ({"head": "fc(256,2)"}, "final_model: expected 1 values from the head, got 2"),
        ({"head": "fc(128,1)"}, "final_model: fc(128,1): expected 128 inputs, got 256:"),
        ({"auxiliary": "fc(128,9)"}, "final_model: expected 10 values from the auxiliary classifier, got 9"),
        ({"auxiliary": "conv(128,10,1)"}, "final_model: conv(128,10,1): expected images [C,H,W], got 128 features"),
        ({"activation": "elu"}, 'expected `activation` to be one of relu, none, sigmoid, tanh, got "elu"'),
        ({"head": ""}, "final_model: expected either a net, or a tower and a head, got tower: "),
        (
            {"net": "fc(392,1)", "head": ""},
            "final_model: expected either a net, or a tower and a head, got net, tower: ",
        ),
        ({"tower": "", "head": "", "net": "fc(392,1)"}, "final_model: expected a tower for the auxiliary classifier"),
        ({"tower": "conv(1,128,3) BN P(2) BN"}, "final_model: expected one BN at most after a conv or fc"),
        ({"tower": "conv(1,8,3) Q(2)"}, 'got "Q(2)"'),
        ({"tower": "fc(196,128) softmax"}, "final_model: expected softmax only at the end of the tower"),
        ({"head": "fc(256,20) order(10)"}, "final_model: expected softmax only at the end of the tower"),
        ({"tower": "fc(196,5) softmax", "head": "order(5)", "auxiliary": ""}, "with the head order(10)"),
        ({"tower": "fc(196,10) softmax", "head": "order(10)"}, "final_model: expected no auxiliary classifier"),
    ],
)
def test_errors_name_the_variant_and_the_part(changes, message):
    with pytest.raises(NotationError) as error:
        check(replace(find_variant("final_model"), **changes))
    assert message in str(error.value)


def test_one_line_is_a_new_variant_and_the_count_is_optional():
    tiny = Variant(name="tiny", tower="conv(1,4,3) P(2) fc(196,8)", head="fc(16,1)")
    check(tiny)
    assert count_parameters(tiny) == 4 * 10 + 1576 + 17


def test_dropout_is_set_in_the_tower():
    changed = with_dropout(find_variant("final_model"), 0.25)
    assert changed.tower.endswith("P(2) D(0.25)")
    assert with_dropout(find_variant("final_model"), 0.4) == find_variant("final_model")
    with pytest.raises(ArgumentError, match="a_w_net has no dropout"):
        with_dropout(find_variant("a_w_net"), 0.1)
