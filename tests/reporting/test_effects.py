"""Effects: planted ones are found and corrected as a family, folds and the order of draws do not matter."""

import random
from dataclasses import replace

import pytest
from record_examples import record
from reporting.studies import MNIST, rows

from pairnet.models.variants import find_variant
from pairnet.reporting.comparison import holm
from pairnet.reporting.effects import families
from pairnet.reporting.selection import choose

NOISE = (0.004, -0.006, 0.001, 0.007, -0.002, -0.004, 0.003, -0.001, 0.002, -0.004)
OTHER_NOISE = (-0.001, 0.003, 0.002, -0.004, 0.001, 0.002, -0.002, 0.003, -0.003, -0.001)


def planted(sharing=0.03, auxiliary=0.08, both=0.0, dropout=0.0):
    """Table III with chosen effects; draws differ in the same way for every network, plus a noise of its own."""
    means = {
        "no_w_net": 0.80,
        "w_net": 0.80 + sharing,
        "a_net": 0.80 + auxiliary,
        "a_w_net_bn": 0.80 + sharing + auxiliary + both,
        "a_w_net": 0.90,
        "final_model": 0.90 + dropout,
    }
    return {
        label: [mean + draw + noise * (at + 1) / 6 for draw, noise in zip(NOISE, OTHER_NOISE, strict=True)]
        for at, (label, mean) in enumerate(means.items())
    }


def effects(records, family="3"):
    found = {family.name: family for family in families(choose(records))}[family]
    return {effect.name: effect for effect in found.effects}


def test_planted_effects_and_a_planted_null():
    found = effects(rows("3", planted()))
    sharing, auxiliary = found["weight sharing, without auxiliary loss"], found["auxiliary loss, own towers"]
    assert sharing.comparison.difference == pytest.approx(0.03, abs=0.002)
    assert auxiliary.comparison.difference == pytest.approx(0.08, abs=0.002)
    assert max(sharing.p_holm, auxiliary.p_holm) < 0.001
    assert sharing.comparison.better == 1
    assert found["dropout"].p_holm > 0.05
    assert found["interaction: sharing with minus without auxiliary loss"].p_holm > 0.05


def test_a_planted_interaction():
    found = effects(rows("3", planted(both=-0.025)))["interaction: sharing with minus without auxiliary loss"]
    assert found.comparison.difference == pytest.approx(-0.025, abs=0.002)
    assert found.p_holm < 0.001


def test_each_claim_compares_the_rows_that_it_names():
    means = {
        "no_w_net": 0.70, "w_net": 0.71, "a_net": 0.73, "a_w_net_bn": 0.77,
        "a_w_net": 0.85, "final_model": 0.90, "final_model_bn": 0.99,
    }  # fmt: skip
    accuracies = {label: [mean + noise for noise in NOISE] for label, mean in means.items()}
    found = {name: round(100 * effect.comparison.difference) for name, effect in effects(rows("3", accuracies)).items()}
    assert found == {
        "weight sharing, without auxiliary loss": 1,
        "weight sharing, with auxiliary loss": 4,
        "auxiliary loss, own towers": 3,
        "auxiliary loss, shared tower": 6,
        "weight sharing, as printed: a_w_net without BN": 12,
        "auxiliary loss, as printed: a_w_net without BN": 14,
        "dropout": 5,
        "dropout, with BN": 22,
        "interaction: sharing with minus without auxiliary loss": 3,
    }


def test_settings_are_compared_with_the_papers_choice():
    rates = {
        f"final_model, dropout {rate}": (0.9 + at / 100, 0.91 + at / 100) for at, rate in enumerate(("0", "0.4", "0.6"))
    }
    found = effects(rows("dropout", rates), "dropout")
    assert {effect.second for effect in found.values()} == {"final_model, dropout 0.4"}
    assert [round(100 * effect.comparison.difference) for effect in found.values()] == [-1, 1]
    assert [effect.p_holm for effect in found.values()] == [None, None]  # the same on each draw


def test_networks_of_no_table_are_compared_with_final_model():
    mine = replace(find_variant("fc_1"), name="mine", net="fc(392,7) fc(7,1)", parameters=None)
    own = [record(d, variant=mine, label="mine", images=MNIST, accuracy=0.8 + each) for d, each in enumerate(NOISE)]
    (found,) = effects([*rows("3", planted()), *own], "others").values()
    assert (found.first, found.second) == ("mine", "final_model")
    assert found.comparison.difference == pytest.approx(-0.1, abs=0.01)


def test_p_values_are_corrected_for_their_whole_family():
    (family,) = families(choose(rows("3", planted(sharing=0.001))))
    raw = [effect.comparison.p_value for effect in family.effects]
    assert [each.first for each in family.not_computed] == ["final_model_bn"], "which has not run"
    assert [effect.p_holm for effect in family.effects] == holm([*raw, None])[: len(raw)]
    assert len(raw) > 5


def test_the_order_of_draws_does_not_matter():
    records = rows("3", planted())
    shuffled = random.Random(1).sample(records, len(records))
    assert effects(records) == effects(shuffled)


def test_folds_do_not_count_as_draws():
    accuracies = {
        "a_w_net in 4 folds, loss ratio 0.5": (0.9, 0.91, 0.92),
        "a_w_net in 4 folds, loss ratio 1": (0.88, 0.905, 0.9),
    }
    (found,) = effects(rows("2-folds", accuracies), "2-folds").values()
    assert found.comparison.draws == 3
    assert (found.first, found.second) == ("a_w_net in 4 folds, loss ratio 1", "a_w_net in 4 folds, loss ratio 0.5")
    twice = effects(rows("2-folds", accuracies, folds=8), "2-folds")[found.name]
    assert twice.comparison.p_value == pytest.approx(found.comparison.p_value)


def test_only_common_draws_count_and_one_is_too_few():
    accuracies = planted()
    accuracies["w_net"] = accuracies["w_net"][:4]
    assert effects(rows("3", accuracies))["weight sharing, without auxiliary loss"].comparison.draws == 4
    accuracies["w_net"] = accuracies["w_net"][:1]
    assert "weight sharing, without auxiliary loss" not in effects(rows("3", accuracies))


def test_each_step_of_the_ablation_is_compared_with_the_one_above_it():
    steps = {"final_model": (0.95, 0.96), "+ order head on the auxiliary classifier": (0.97, 0.975)}
    (found,) = effects(rows("ablation", steps), "ablation").values()
    assert (found.first, found.second) == ("+ order head on the auxiliary classifier", "final_model")
    assert found.comparison.difference == pytest.approx(0.0175)


def test_a_study_says_what_its_rows_are_compared_with():
    accuracies = {f"final_model, dropout {rate}": (0.9, 0.92, 0.94) for rate in ("0.3", "0.4", "0.6")}
    selection = choose(rows("dropout", accuracies))
    (table,) = selection.tables

    def compared(compare):
        chosen = replace(selection, tables=(replace(table, study=replace(table.study, compare=compare)),))
        return [(each.first[-3:], each.second[-3:]) for family in families(chosen) for each in family.effects]

    assert compared("") == [("0.4", "0.3"), ("0.6", "0.3")]
    assert compared("final_model, dropout 0.6") == [("0.3", "0.6"), ("0.4", "0.6")]
    assert compared("row above") == [("0.4", "0.3")]  # the row above 0.6 has not run
    assert compared("nothing") == []
    assert compared("final_model, dropout 0.2") == []  # not run
