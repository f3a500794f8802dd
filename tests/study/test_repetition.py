"""Recorded runs repeated: equal bit for bit where they must be, within a tolerance elsewhere, and edits are found."""

from dataclasses import replace
from pathlib import Path

import pytest
from record_examples import IMAGES, record, rerun

from pairnet.data.sources import load_dataset
from pairnet.errors import ArgumentError, DataError, RecordError
from pairnet.models.variants import find_variant
from pairnet.records.run import Run, name_of
from pairnet.study import repetition
from pairnet.study.engines.processes import Processes
from pairnet.study.repetition import choose_records, compare, tolerance_of, unlike, verify_runs
from pairnet.study.running import run_study

OTHER_CPU = "Another CPU (family 1 model 2), 64 cores"


def short(name):
    variant = find_variant(name)
    return replace(variant, recipe=replace(variant.recipe, epochs=2))


@pytest.fixture(scope="module")
def records(glyph_set, tmp_path_factory):
    """Three runs of a tiny study: two of the test draw, and a fold."""
    runs = [
        Run(variant=short("conv_1"), images=glyph_set.images, pairs=60, seed=0, measurements=1),
        Run(variant=short("order_net_fast"), images=glyph_set.images, pairs=60, seed=1),
        Run(variant=short("conv_1"), images=glyph_set.images, label="folded", pairs=60, seed=2, fold=1, folds=3),
    ]
    engine = Processes(dataset=glyph_set, workers=2)
    return run_study(runs, glyph_set, tmp_path_factory.mktemp("study"), engine=engine).finished


def edited(made, accuracy):
    """A record with another accuracy, and with all that is checked against it."""
    last = replace(made.epochs[-1], validation_accuracy=accuracy)
    wrong = tuple((at, 0.25) for at in range(round(made.run.tested * (1 - accuracy))))
    return replace(made, accuracy=accuracy, epochs=(*made.epochs[:-1], last), wrong=wrong)


def on(made, **changes):
    """A record of another environment."""
    return replace(made, environment=replace(made.environment, **changes))


def verdicts(results):
    return [result.verdict for result in results]


def test_fresh_records_are_repeated_bit_for_bit(records):
    seen = []
    results = verify_runs(records, workers=2, on_result=seen.append)
    assert verdicts(results) == ["equal"] * 3
    assert [result.recorded for result in results] == records
    assert [result.repeated.answers_sha256 for result in results] == [made.answers_sha256 for made in records]
    assert [result.repeated.measurements for result in results] == [1, 2, 2]
    assert {result.tolerance for result in results} == {0}
    assert sorted(map(id, seen)) == sorted(map(id, results))


def test_an_edited_record_is_found_and_the_others_are_not_blamed(records):
    false = edited(records[0], 0.9)
    results = verify_runs([false, *records[1:]], workers=2)
    assert verdicts(results) == ["differs", "equal", "equal"]
    expected = f"expected accuracy 0.9000 and the same answers, got {records[0].accuracy:.4f}: the record was edited"
    assert results[0].reason.startswith(expected)


def test_a_repetition_that_fails_differs_with_the_reason(records):
    made = records[0]
    bad = replace(made.run.variant, recipe=replace(made.run.variant.recipe, learning_rate=1e30))
    results = verify_runs([rerun(made, variant=bad), records[1]], workers=1)
    assert verdicts(results) == ["differs", "equal"]
    assert results[0].repeated is None
    assert results[0].reason.startswith(f"expected accuracy {made.accuracy:.4f}, got a run that failed: ")


def test_each_record_gets_its_own_images(records, glyph_set, idx_folder):
    folder = idx_folder()
    own = load_dataset(f"idx:{folder}")
    engine = Processes(dataset=own, workers=1)
    run = Run(variant=short("conv_1"), images=own.images, pairs=20, test_pairs=10)
    other = run_study([run], own, folder / "runs", engine=engine).finished
    assert verdicts(verify_runs([records[0], *other], workers=1)) == ["equal", "equal"]
    (folder / "train-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match=r"^conv_1, draw 0: .* lacks train-images-idx3-ubyte"):
        verify_runs([records[0], *other])


def test_other_images_are_refused_before_anything_runs(records, monkeypatch):
    false = rerun(records[1], images=replace(records[1].run.images, checksum="f" * 64))
    monkeypatch.setattr(repetition, "default_engine", None)
    expected = r"^order_net_fast, draw 1: expected the images it was trained on, glyphs:2000, SHA-256 ffffffffffff"
    with pytest.raises(DataError, match=expected):
        verify_runs([records[0], false])


def test_other_images_of_mnist_are_refused_with_the_option_to_choose(small_mnist):
    images = replace(IMAGES, name="mnist", source="mnist")
    expected = r"^fc_1, draw 0: .*, got full MNIST from .*: choose their folder with `data_dir`$"
    with pytest.raises(DataError, match=expected):
        verify_runs([record(images=images)], data_dir=small_mnist)


def test_missing_images_are_named_with_the_run():
    images = replace(IMAGES, name="mnist", source="mnist")
    with pytest.raises(DataError, match=r"^fc_1, draw 3: expected full MNIST in .*, got none: run `pairnet data fetch"):
        verify_runs([record(3, images=images)])
    with pytest.raises(DataError, match=r"^fc_1, draw 3: expected the four MNIST files in `data_dir`, got elsewhere"):
        verify_runs([record(3, images=images)], data_dir=Path("elsewhere"))


def test_a_record_that_no_run_can_have_is_refused(records):
    with pytest.raises(RecordError, match=r"^conv_1, draw 0.*: expected the record of a run, got an impossible one: "):
        verify_runs([rerun(records[0], pairs=5000)])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"answers_sha256": "0" * 64}, "same answers, got"),
        ({"answers_sha256": ""}, "same answers, got"),
        ({"wrong": None}, "same wrong pairs, got"),
        ({"calibration": ((10, 5.0, 5),) * 15}, "same calibration, got"),
        ({"accuracy": 0.69}, "expected accuracy 0.6900 and the same answers, got 0.7000"),
        ({"accuracy": 0.70001}, "expected accuracy 0.70001 and the same answers, got 0.70000"),
        ({"epochs": (record().epochs[0], replace(record().epochs[1], train_loss=0.1))}, "figures of the last epoch"),
        ({"epochs": (replace(record().epochs[0], train_loss=0.1), record().epochs[1])}, "figures of earlier epochs"),
        ({"mean": 33.4}, "expected mean of the pixels 33.4, got 33.3"),
        ({"std": 75.2}, "expected standard deviation of the pixels 75.2, got 75.1"),
        ({"parameters": 5}, "expected parameters 5, got 96433"),
        ({"run": record(7).run}, "expected seeds Seeds(train_draw=14, test_draw=15"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_result_is_compared(changes, what):
    here = record(answers_sha256="a" * 64)
    found = compare(replace(here, **changes), here)
    assert found.verdict == "differs"
    assert what in found.reason
    assert compare(here, replace(here, seconds=99.0)).verdict == "equal"


def test_records_of_schema_1_are_compared_in_what_they_hold():
    here = record(answers_sha256="a" * 64, calibration=((10, 5.0, 5),) * 15)
    old = replace(here, schema=1, answers_sha256="", wrong=None, calibration=())
    assert compare(old, here).verdict == "equal"
    assert compare(replace(old, accuracy=0.71), here).verdict == "differs"


OTHERS = {
    "CPU": {"hardware": OTHER_CPU},
    "torch": {"versions": {**record().environment.versions, "torch": "1.0"}},
    "numpy": {"versions": {**record().environment.versions, "numpy": "1.0"}},
    "device": {},
}


@pytest.mark.parametrize("what", OTHERS)
def test_where_rounding_differs_accuracies_agree_within_the_tolerance(what):
    here = record(answers_sha256="a" * 64)
    for accuracy, verdict in ((0.7, "within"), (0.73, "within"), (0.67, "within"), (0.731, "differs")):
        device = "cuda" if what == "device" else "cpu"
        recorded = on(record(accuracy=accuracy, answers_sha256="b" * 64, device=device), **OTHERS[what])
        found = compare(recorded, here)
        assert (found.verdict, found.tolerance) == (verdict, 0.03)
        assert len(found.unlike) == 1
        assert found.unlike[0].startswith(f"{what} ")
        assert (found.reason == "") == (verdict == "within")
    assert "expected accuracy 0.7310 within 3 points, got 0.7000" in found.reason


def test_what_follows_from_the_pairs_is_the_same_on_every_machine():
    assert compare(on(record(mean=33.4), hardware=OTHER_CPU), record()).verdict == "differs"


def test_cores_node_python_and_engine_change_no_result():
    here = record()
    cpu = here.environment.hardware.rpartition(",")[0]
    versions = {**here.environment.versions, "python": "3.99", "pairnet": "9"}
    same = on(here, hardware=f"{cpu}, 64 cores", node="elsewhere", engine="single", versions=versions)
    assert unlike(same, here) == ()
    assert unlike(on(here, engine="stacked"), here) == ("stacked networks, whose rounding may depend on their number",)
    assert unlike(on(here, versions={}), here)[0].endswith("instead of unknown")


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("0123", "0123", "the two machines differ in what a record does not name"),
        ("0123", "4567", "revision 0123 of pairnet, which made it, computes something else than 4567"),
        ("0123-dirty", "0123-dirty", "the uncommitted changes in revision 0123-dirty of pairnet are others now"),
    ],
)
def test_another_revision_is_named_as_a_possible_reason(old, new, cause):
    made = record(answers_sha256="a" * 64)
    recorded, here = on(made, revision=old), on(made, revision=new)
    assert compare(recorded, here).verdict == "equal"
    reason = compare(replace(recorded, answers_sha256="b" * 64), here).reason
    assert reason.endswith(f": the record was edited, or {cause}")


def test_the_tolerance_grows_with_fewer_pairs():
    assert tolerance_of(record()) == tolerance_of(record(test_pairs=5000)) == 0.03
    assert tolerance_of(record(fold=1, wrong=None)) == 0.06  # 250 pairs
    assert tolerance_of(record(test_pairs=100)) == 0.1
    assert tolerance_of(record(test_pairs=1)) == 0.95


def test_a_seed_chooses_the_same_runs_in_any_order():
    known = [record(number) for number in range(20)]
    chosen = choose_records(known, 5, seed=7)
    assert len(chosen) == 5
    assert chosen == [each for each in known if each in chosen]
    again = choose_records(known[::-1], 5, seed=7)
    assert {each.fingerprint for each in again} == {each.fingerprint for each in chosen}
    assert len({tuple(name_of(each.run) for each in choose_records(known, 5, seed=seed)) for seed in range(9)}) > 1
    assert choose_records(known, 99, seed=1) == known
    with pytest.raises(ArgumentError, match="expected `sample` of at least 1, got 0"):
        choose_records(known, 0, seed=0)


def test_no_records_are_no_work():
    assert verify_runs([]) == []
