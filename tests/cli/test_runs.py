"""`pairnet runs`: what a folder holds, two rows compared, runs deleted."""

import io
import json
from dataclasses import replace

import pytest
from failed_examples import failed
from record_examples import record
from scipy import stats

from pairnet.models.variants import find_variant
from pairnet.records.record import FailedRun
from pairnet.records.store import RECORDS, append, locked, read_records, read_stored
from pairnet.study.seeding import Seeding

SHORT = replace(find_variant("fc_1"), recipe=replace(find_variant("fc_1").recipe, epochs=2))


@pytest.fixture
def pairnet(command_line, tmp_path):
    """Runs a command line; the folder `runs` holds three draws of two rows, and two short runs of the second."""
    runs = tmp_path / "runs"
    runs.mkdir()
    for draw, (one, other) in enumerate([(0.9, 0.8), (0.85, 0.78), (0.7, 0.71)]):
        append(runs, record(draw, label="one", variant=find_variant("fc_2"), accuracy=one))
        append(runs, record(draw, label="other", accuracy=other))
    for draw in range(2):
        append(runs, record(draw, label="other", variant=SHORT, accuracy=0.5))
    return command_line


def save(folder, made):
    folder.mkdir()
    (folder / "record.json").write_text(made.to_json())
    (folder / "weights.safetensors").write_bytes(b"")


def words(text):
    return " ".join(text.split())


def test_rows_are_listed_by_setting(pairnet):
    status, out, _ = pairnet("runs")
    assert status == 0
    assert "8 runs in runs" in out
    assert "one 25 epochs, 1,000 pairs of mnist5k 3 0.8167 ± 0.1041" in words(out)
    assert "other 2 epochs, 1,000 pairs of mnist5k 2 0.5000 ± 0.0000" in words(out)


def test_each_run_is_listed_and_filtered(pairnet):
    status, out, _ = pairnet("runs", "--long", "--row", "one")
    assert (status, out.count("mnist5k")) == (0, 3)
    assert "3 of 8 runs in runs" in out
    assert "one mnist5k 1,000 2 0 0.9000" in words(out)
    found = json.loads(pairnet("runs", "--row", "fc_1", "--epochs", 2, "--json")[1])
    assert [(run["row"], run["draw"], run["accuracy"]) for run in found] == [("other", 0, 0.5), ("other", 1, 0.5)]


def test_saved_networks_are_listed_too(pairnet, tmp_path):
    save(tmp_path / "runs" / "fc_3-1", record(label="saved", variant=find_variant("fc_3")))
    (tmp_path / "runs" / "bad").mkdir()
    (tmp_path / "runs" / "bad" / "record.json").write_text("{}")
    status, out, err = pairnet("runs")
    assert (status, "9 runs" in out, "saved" in out) == (0, True, True)
    assert err.startswith("skipped runs/bad/record.json: ")


def test_two_rows_are_compared_draw_by_draw(pairnet):
    status, out, err = pairnet("runs", "compare", "one", "other", "--epochs", 25)
    assert status == 0
    assert out == (
        "one 0.8167, other 0.7633, over 3 common draws\n"
        "difference +5.33 points, 95 % interval -8.79 to +19.46\n"
        "p = 0.25 (paired t-test), 0.5 (Wilcoxon)\n"
        "one is better on 67 % of the 3 draws that are not equal\n"
        "verdict: undecided\n"
    )
    assert "over pairings and seeds only, not over images" in err
    setting = "25 epochs, 1,000 pairs of mnist5k"
    assert f"one: {setting}\nother: {setting}\n" in err
    found = json.loads(pairnet("runs", "compare", "one", "other", "--epochs", 25, "--json")[1])
    assert (found["draws"], round(found["p_value"], 2)) == (3, 0.25)
    assert all(text.startswith(setting) for text in found["settings"])


def test_two_settings_of_one_row_are_compared(pairnet):
    status, out, err = pairnet("runs", "compare", "other", "other", "--epochs", 25, "--other-epochs", 2)
    assert (status, out.splitlines()[0]) == (0, "other 0.7900, other 0.5000, over 2 common draws")
    assert "other: 25 epochs, 1,000 pairs of mnist5k\nother: 2 epochs, 1,000 pairs of mnist5k\n" in err


def test_a_comparison_names_the_draws_that_failed(pairnet, tmp_path):
    append(tmp_path / "runs", failed(record(3, label="one", variant=find_variant("fc_2")), epoch=4))
    status, out, err = pairnet("runs", "compare", "one", "other", "--epochs", 25)
    assert (status, "over 3 common draws" in out) == (0, True)
    assert "† one: 1 of 4 draws failed: 1 diverged in epoch 4; the mean is over the other 3\n" in err
    assert "draws that neither row failed on" in err
    found = json.loads(pairnet("runs", "compare", "one", "other", "--epochs", 25, "--json")[1])
    assert [(each["seed"], each["kind"], each["epoch"]) for each in found["first_failed"]] == [(3, "diverged", 4)]
    assert found["second_failed"] == []


def test_failed_runs_are_listed_and_deleted(pairnet, tmp_path):
    runs = tmp_path / "runs"
    failure = FailedRun(
        fingerprint="f" * 24, run=None, label="one", error="loss is nan", environment=record().environment
    )
    append(runs, failure)
    assert pairnet("runs")[2] == f"failed: one: loss is nan (fingerprint {'f' * 24})\n"
    assert pairnet("runs", "delete", "--failed", "--yes")[1] == "deleted 1 failed run\n"
    assert read_stored(runs).failures == {}
    assert len(read_records(runs)) == 8
    assert pairnet("runs", "delete", "--failed", "--yes")[2] == "no such runs\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("one", "other"), "--epochs and --other-epochs, or --set and --other-set: one: 25 epochs"),
        (("one", "third"), "expected runs of third in runs, got runs of one, other: did you mean other?"),
        (("one", "other", "--runs", "none"), "expected --runs to be a folder, got none"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused_in_one_line(pairnet, arguments, reason):
    status, out, err = pairnet("runs", "compare", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert reason in err


@pytest.mark.parametrize(
    "changes",
    [{"pairs": 100, "test_pairs": 100}, {"test_pairs": 100}, {"fold": 0, "folds": 2, "wrong": None}],
    ids=str,
)
def test_rows_of_other_pairs_of_the_same_images_share_their_draws(pairnet, tmp_path, changes):
    """The pairs of a smaller draw are the first ones of a larger; their seeds are the same."""
    for draw, accuracy in enumerate((0.6, 0.65, 0.5)):
        for fold in range(changes.get("folds", 1)):
            folded = {"fold": fold} if "fold" in changes else {}
            few = record(draw, label="few", accuracy=accuracy, **{**changes, **folded})
            append(tmp_path / "runs", few)
    status, out, _ = pairnet("runs", "compare", "one", "few")
    test = stats.ttest_rel((0.9, 0.85, 0.7), (0.6, 0.65, 0.5))
    assert status == 0
    assert "over 3 common draws" in out
    assert f"p = {test.pvalue:.2g} (paired t-test)" in out
    assert out.endswith("verdict: better\n")


def test_rows_of_other_images_are_compared_unpaired(pairnet, tmp_path):
    other = replace(record().run.images, name="glyphs", source="glyphs", checksum="e" * 64)
    accuracies = (0.6, 0.65, 0.5, 0.61)
    for draw, accuracy in enumerate(accuracies):
        append(tmp_path / "runs", record(draw, label="elsewhere", images=other, accuracy=accuracy))
    status, out, err = pairnet("runs", "compare", "one", "elsewhere", "--margin", 1)
    test = stats.ttest_ind((0.9, 0.85, 0.7), accuracies, equal_var=False)
    low, high = (100 * end for end in test.confidence_interval(0.95))
    assert status == 0
    assert out.splitlines()[0] == "one 0.8167, elsewhere 0.5900, over 3 and 4 draws, unpaired"
    assert f"95 % interval {low:+.2f} to {high:+.2f}" in out
    assert f"p = {test.pvalue:.2g} (Welch's t-test)\n" in out
    assert "(equivalence within ±1 points)" in out
    assert out.endswith("verdict: better, margin ±1\n")
    assert "margin" not in err
    assert "the margin 0.005 is in points" in pairnet("runs", "compare", "one", "elsewhere", "--margin", 0.005)[2]
    found = json.loads(pairnet("runs", "compare", "one", "elsewhere", "--json")[1])
    assert (found["method"], found["groups"], found["p_value"]) == (
        "Welch's t, unpaired",
        [3, 4],
        pytest.approx(test.pvalue),
    )


def test_settings_are_told_apart_whatever_they_differ_in(pairnet, tmp_path):
    for draw in range(3):
        for rate, accuracy in ((0.5, 0.6 + 0.01 * draw), (0.25, 0.8)):
            variant = replace(find_variant("fc_3"), recipe=replace(find_variant("fc_3").recipe, learning_rate=rate))
            append(tmp_path / "runs", record(draw, label="tuned", variant=variant, accuracy=accuracy))
    status, out, err = pairnet("runs", "compare", "tuned", "tuned")
    assert (status, out.splitlines()[0]) == (0, "tuned 0.6100, tuned 0.8000, over 3 common draws")
    assert "(learning_rate 0.5)\n" in err
    assert "(learning_rate 0.25)\n" in err
    chosen = ("--set", "learning_rate=0.25", "--other-set", "learning_rate=0.5")
    status, out, _ = pairnet("runs", "compare", "tuned", "tuned", *chosen)
    assert (status, out.splitlines()[0]) == (0, "tuned 0.8000, tuned 0.6100, over 3 common draws")
    assert out.endswith("verdict: better\n")
    status, _, err = pairnet("runs", "compare", "one", "tuned", "--other-set", "learning_rte=0.5")
    assert (status, "expected a setting of runs, got learning_rte: choose one of data, pairs" in err) == (2, True)
    status, _, err = pairnet("runs", "compare", "one", "tuned", "--other-set", "0.5")
    assert (status, "expected --other-set as KEY=VALUE, got 0.5" in err) == (2, True)


def test_draws_that_one_row_lacks_are_named(pairnet, tmp_path):
    run = record(7, label="one", variant=find_variant("fc_2")).run
    failure = FailedRun(
        fingerprint=run.fingerprint, run=run, label="one", error="loss is nan", environment=record().environment
    )
    append(tmp_path / "runs", failure)
    append(tmp_path / "runs", record(3, label="other"))
    status, out, err = pairnet("runs", "compare", "one", "other", "--epochs", 25)
    assert (status, "over 3 common draws" in out) == (0, True)
    assert "one lacks 2 draws of these: 3, 7\n" in err
    assert "other lacks 1 draw of these: 7\n" in err
    assert out.endswith("verdict: withheld\n")
    found = json.loads(pairnet("runs", "compare", "one", "other", "--epochs", 25, "--json")[1])
    assert found["missing"] == {"first": [3, 7], "second": [7]}
    assert ([each["seed"] for each in found["first_failed"]], found["second_failed"]) == ([7], [])


def tuned(rate, draw):
    recipe = replace(find_variant("fc_3").recipe, learning_rate=rate)
    return record(draw, label="tuned", variant=replace(find_variant("fc_3"), recipe=recipe), accuracy=0.6 + 0.01 * draw)


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ([1], "expected at least 2 draws that both rows have, got 1: run more --draws; {}: 1 of 2 draws failed (1): "
              "1 diverged in epoch 2"),
        ([0, 1], "expected finished draws of {}, got none; {}: all 2 draws failed (0, 1): 2 diverged in epoch 2"),
    ],
)  # fmt: skip
def test_failed_draws_are_the_reason_where_too_few_are_left(pairnet, tmp_path, lost, words):
    for draw in range(2):
        append(tmp_path / "runs", tuned(0.25, draw))
        append(tmp_path / "runs", failed(tuned(0.5, draw)) if draw in lost else tuned(0.5, draw))
    chosen = ("--set", "learning_rate=0.25", "--other-set", "learning_rate=0.5")
    label = "tuned, 25 epochs, 1,000 pairs of mnist5k (learning_rate 0.5)"
    for arguments in (("tuned", "tuned", *chosen), ("tuned", "tuned")):
        status, out, err = pairnet("runs", "compare", *arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert words.format(label, label).replace("--draws", "`draws`") in err
    status, _, err = pairnet("runs", "compare", "one", "tuned", "--other-set", "learning_rate=0.5")
    assert (status, words.format("tuned", "tuned").replace("--draws", "`draws`") in err) == (2, True)


def test_nothing_is_deleted_while_a_study_writes(pairnet, tmp_path):
    with locked(tmp_path / "runs"):
        status, _, err = pairnet("runs", "delete", "--all", "--yes")
    assert (status, "is being written by another study" in err) == (2, True)
    assert len(read_records(tmp_path / "runs")) == 8


def test_a_question_without_an_answer_deletes_nothing(pairnet, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    status, _, err = pairnet("runs", "delete", "--all")
    assert (status, err.splitlines()[-1]) == (1, "pairnet: no answer, so nothing was done")
    assert len(read_records(tmp_path / "runs")) == 8


def test_a_folder_of_another_place_is_named_with_the_option_to_add(pairnet, tmp_path):
    (tmp_path / "mine").mkdir()
    save(tmp_path / "mine" / "fc_3-1", record(variant=find_variant("fc_3")))
    status, _, err = pairnet("runs", "delete", "mine/fc_3-1", "--yes")
    assert (status, f"add --runs {tmp_path / 'mine'}" in err) == (2, True)


def test_selected_runs_are_deleted_and_the_others_kept(pairnet, tmp_path):
    save(tmp_path / "runs" / "fc_1-1", record(label="other", variant=SHORT, accuracy=0.5))
    status, out, err = pairnet("runs", "delete", "--row", "other", "--epochs", 2, "--yes")
    assert (status, out) == (0, "deleted 2 runs and 1 saved network\n")
    assert "other: 2 runs of 2 epochs, 1,000 pairs of mnist5k" in err
    assert {each.run.name for each in read_records(tmp_path / "runs")} == {"one", "other"}
    assert len(read_records(tmp_path / "runs")) == 6
    assert not (tmp_path / "runs" / "fc_1-1").exists()
    assert pairnet("runs", "delete", "--epochs", 2, "--yes")[2] == "no such runs\n"


def test_rows_that_train_changed_forms_of_a_variant_are_other_rows(pairnet, tmp_path):
    changed = find_variant("fc_2")
    changed = replace(changed, recipe=replace(changed.recipe, learning_rate=0.5))
    append(tmp_path / "runs", record(label="faster", variant=changed))
    assert pairnet("runs", "delete", "--row", "fc_2", "--yes")[1] == "deleted 3 runs\n"  # those of "one"
    assert {each.run.name for each in read_records(tmp_path / "runs")} == {"other", "faster"}


def test_a_row_that_another_table_computed_first_keeps_its_name(pairnet, tmp_path):
    append(tmp_path / "runs", record(7, label="fc_3, as it stands", variant=find_variant("fc_3")))
    append(tmp_path / "runs", record(8, label="fc_3", variant=find_variant("fc_3")))
    assert [run["draw"] for run in json.loads(pairnet("runs", "--row", "fc_3", "--json")[1])] == [7, 8]


def test_unfinished_cross_validation_is_no_draw(pairnet, tmp_path):
    for draw, fold in ((0, 0), (0, 1), (1, 0)):
        append(tmp_path / "runs", record(draw, label="folded", fold=fold, folds=2, accuracy=0.6 + fold / 10))
    status, out, err = pairnet("runs", "--row", "folded")
    assert (status, err) == (0, "left out: 1 draw whose cross-validation is not finished\n")
    assert "of mnist5k in 2 folds 1 0.6500" in words(out)


def test_options_before_a_command_of_runs_are_refused(pairnet):
    for option in (("--runs", "study"), ("--long",)):
        status, out, err = pairnet("runs", *option, "compare", "one", "other")
        expected = f"pairnet: expected options after pairnet runs compare, got {option[0]} before it\n"
        assert (status, out, err) == (2, "", expected)


def test_a_deleted_folder_does_not_come_back(pairnet, tmp_path):
    runs = tmp_path / "runs"
    save(runs / "fc_3-1", record(variant=find_variant("fc_3")))
    save(runs / "fc_3-2", record(variant=find_variant("fc_3")))  # the same run
    (runs / "fc_3-2" / "notes.txt").write_text("mine")
    assert pairnet("runs", "delete", "runs/fc_3-1", "--yes")[1] == "deleted 1 saved network\n"
    assert [path.name for path in runs.glob("*fc_3*")] == ["fc_3-2"]
    assert pairnet("runs", "delete", "runs/fc_3-2", "--yes")[0] == 0
    assert [path.name for path in (runs / "fc_3-2").iterdir()] == ["notes.txt"]


def test_a_link_is_deleted_and_not_what_it_leads_to(pairnet, tmp_path):
    runs = tmp_path / "runs"
    save(tmp_path / "elsewhere", record(variant=find_variant("fc_3")))
    (runs / "fc_3-1").symlink_to(tmp_path / "elsewhere")
    assert pairnet("runs", "delete", "runs/fc_3-1", "--yes")[0] == 0
    assert not (runs / "fc_3-1").is_symlink()
    assert len(list((tmp_path / "elsewhere").iterdir())) == 2


def test_a_named_folder_is_deleted(pairnet, tmp_path):
    for number in (1, 2):
        save(tmp_path / "runs" / f"fc_3-{number}", record(number, variant=find_variant("fc_3")))
    assert pairnet("runs", "delete", "runs/fc_3-1", "--yes")[0] == 0
    assert [path.name for path in (tmp_path / "runs").glob("fc*")] == ["fc_3-2"]
    assert len(read_records(tmp_path / "runs")) == 8
    status, _, err = pairnet("runs", "delete", "elsewhere", "--yes")
    assert (status, "expected folders of saved runs in runs, got " in err) == (2, True)


def test_nothing_is_deleted_without_a_selection_or_consent(pairnet, tmp_path):
    before = (tmp_path / "runs" / RECORDS).read_bytes()
    for arguments in ((), ("--all", "--row", "one"), ("--all",)):
        status, _, err = pairnet("runs", "delete", *arguments)
        assert status == 2
        assert (
            "expected folders, a filter such as --row, --failed, or --all" in err
            or "expected --yes to delete 8 runs" in err
        )
    assert (tmp_path / "runs" / RECORDS).read_bytes() == before
    assert pairnet("runs", "delete", "--all", "--yes")[0] == 0
    assert read_records(tmp_path / "runs") == []


def test_a_damaged_network_is_deleted_by_its_name_and_once(pairnet, tmp_path):
    folder = tmp_path / "runs" / "fc_3-1"
    save(folder, record(variant=find_variant("fc_3")))
    (folder / "record.json").write_text("{}")
    status, out, err = pairnet("runs", "delete", "fc_3-1", folder, "--yes")
    assert (status, out, "saved network: runs/fc_3-1" in err) == (0, "deleted 1 saved network\n", True)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("seeding", "own"),
    [
        (Seeding(vary=(("pairs", 3), ("weights", 3))), "0"),
        (Seeding(vary=(("pairs", 2), ("test", 2), ("weights", 2), ("order", 2))), "0, 1"),
        (Seeding(vary=(("weights", 2), ("masks", 2))), "0"),
        (Seeding(hold=("weights",), first=3), "3"),
    ],
)
def test_combinations_of_held_seeds_that_are_a_draw_count_with_the_others(command_line, tmp_path, seeding, own):
    (runs := tmp_path / "runs").mkdir()
    repetitions = seeding.repetitions(4)
    for number, seeds in repetitions:
        append(runs, record(number, label="mine", own_seeds=seeds))
    append(runs, record(0, label="other"))
    append(runs, record(1, label="other"))
    status, out, err = command_line("runs")
    assert status == 0
    lines = [words(line) for line in out.splitlines() if "mine" in line]
    assert len(lines) == 1
    assert "seeds held" in words(out)
    assert f" {len(repetitions)} 0.7000 ± 0.0000" in words(out)
    assert f"{'is' if own == '0' or own == '3' else 'are'} draw {own}\n" in err
    assert err.count("combination") == 1


def test_draws_of_their_own_are_not_put_to_held_seeds(command_line, tmp_path):
    (runs := tmp_path / "runs").mkdir()
    for number, seeds in Seeding(vary=(("pairs", 3), ("weights", 3))).repetitions(0):
        append(runs, record(number, own_seeds=seeds))
    for number in range(1, 4):
        append(runs, record(number))
    _, out, err = command_line("runs")
    assert " 8 0.7000" in words(out)
    assert " 4 0.7000" in words(out)
    assert "combination" not in err
