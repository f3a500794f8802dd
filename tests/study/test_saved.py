"""Trained networks: how they are kept, found, replaced and loaded again, and what is refused."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from pairnet.data.sources import load_dataset
from pairnet.errors import DataError, RecordError, TrainingError
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant, find_variant
from pairnet.records.collection import collect
from pairnet.records.folders import RECORD, WEIGHTS, Found, load_record, newest, saved_runs
from pairnet.records.run import Run
from pairnet.records.store import RECORDS, locked
from pairnet.study import saved as saved_module
from pairnet.study.saved import evaluate, load_run, train, train_and_save

GLYPHS = load_dataset("glyphs:2000").images


def run_of(name, **changes):
    variant = replace(find_variant(name), recipe=Recipe(epochs=1))
    return Run(variant=variant, images=GLYPHS, pairs=100, **changes)


RUN = run_of("conv_1")


@pytest.fixture(scope="module")
def saved(glyph_set, tmp_path_factory):
    return train_and_save(RUN, glyph_set, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def copy(saved, tmp_path):
    """A copy of the saved run that a test may damage."""
    folder = tmp_path / "runs" / saved.folder.name
    shutil.copytree(saved.folder, folder)
    return folder


def test_a_loaded_network_scores_exactly_as_it_did(glyph_set, saved):
    assert saved.fresh
    trained = load_run(saved.folder)
    assert evaluate(trained, glyph_set) == saved.record.accuracy
    assert trained.record == load_record(saved.folder) == saved.record
    assert not trained.network.training


def test_a_run_is_trained_again_if_more_measurements_are_asked_for(glyph_set, tmp_path):
    three = replace(RUN, variant=replace(RUN.variant, recipe=Recipe(epochs=3)), measurements=1)
    first = train_and_save(three, glyph_set, tmp_path)
    often = train_and_save(replace(three, measurements=3), glyph_set, tmp_path)
    assert (first.record.measurements, often.record.measurements) == (1, 3)
    assert often.fresh
    assert often.folder == first.folder
    assert often.record.accuracy == first.record.accuracy
    for measurements in (1, 2, 3, 100):  # 100 are as many as there are epochs
        again = train_and_save(replace(three, measurements=measurements), glyph_set, tmp_path)
        assert (again.fresh, again.record) == (False, often.record)


def test_training_gives_a_record_a_network_and_a_folder(glyph_set, tmp_path):
    trained = train(RUN, glyph_set)
    folder = trained.save(tmp_path / "anywhere")
    loaded = load_run(str(folder))
    assert loaded.record == replace(trained.record, weights_sha256=loaded.record.weights_sha256)
    for name, value in trained.network.state_dict().items():
        assert torch.equal(value, loaded.network.state_dict()[name])
    assert "conv_1" in repr(trained)


def test_a_network_of_the_users_own_trains_saves_and_evaluates(glyph_set, tmp_path):
    own = Variant(name="mine", parameters=5_473, tower="conv(1,16,3) BN P(2) conv(16,32,3) BN P(2)", head="fc(576,1)")
    run = Run(variant=replace(own, recipe=Recipe(epochs=1)), images=GLYPHS, pairs=50)
    folder = train(run, glyph_set).save(tmp_path / "mine")
    loaded = load_run(folder)
    assert loaded.record.run.variant == run.variant
    assert evaluate(loaded, glyph_set) == loaded.record.accuracy


def test_the_same_run_is_not_trained_twice_unless_forced(glyph_set, saved):
    again = train_and_save(replace(RUN, label="another label"), glyph_set, saved.folder.parent)
    assert (again.fresh, again.folder, again.record) == (False, saved.folder, saved.record)
    forced = train_and_save(RUN, glyph_set, saved.folder.parent, force=True)
    assert forced.fresh
    assert forced.record.epochs == saved.record.epochs
    assert sorted(path.name for path in saved.folder.parent.iterdir()) == [saved.folder.name]


def test_the_newest_run_of_a_variant_is_found(glyph_set, saved, tmp_path):
    none = Found(newest=None, fitting=0, other=None, others=0, damaged=())
    assert newest(saved.folder.parent, RUN.variant).newest == (saved.folder, load_record(saved.folder))
    assert newest(saved.folder.parent, run_of("conv_2").variant) == none
    assert newest(tmp_path / "none", RUN.variant) == none
    runs = tmp_path / "runs"
    for age, seed in ((30, 0), (10, 1), (20, 2)):
        folder = train_and_save(replace(RUN, seed=seed), glyph_set, runs).folder
        os.utime(folder / RECORD, (1e9 - age, 1e9 - age))
    found = newest(runs, find_variant("conv_1"), checksum=glyph_set.checksum)  # of any recipe: these have one epoch
    assert found.newest[1].run.seed == 1
    assert (found.fitting, found.others) == (3, 0)


def test_only_runs_of_the_asked_structure_and_images_are_found(saved):
    runs = saved.folder.parent
    none = Found(newest=None, fitting=0, other=(saved.folder, load_record(saved.folder)), others=1, damaged=())
    assert newest(runs, RUN.variant, checksum="other") == none
    assert newest(runs, replace(RUN.variant, parameters=None, net="fc(392,1)")) == none


def test_a_cross_validated_run_is_not_the_newest(saved, copy, monkeypatch):
    record = load_record(copy)
    fold = replace(record, run=replace(record.run, fold=0))
    monkeypatch.setattr("pairnet.records.folders.load_record", lambda folder: fold)
    assert newest(copy.parent, RUN.variant).newest is None


def test_a_damaged_folder_is_named(saved, copy):
    (copy / RECORD).write_text("{")
    found = newest(copy.parent, RUN.variant)
    assert (found.newest, [folder for folder, _ in found.damaged]) == (None, [copy])
    with pytest.warns(UserWarning, match=rf"skipped .*{copy.name}"):
        assert list(saved_runs(copy.parent, RUN.variant.name)) == []


def test_other_images_are_refused_unless_allowed(glyph_set, saved):
    other, trained = replace(glyph_set, checksum="0" * 64), load_run(saved.folder)
    with pytest.raises(DataError, match="000000"):
        evaluate(trained, other)
    assert evaluate(trained, other, any_images=True) > 0


def test_a_folder_that_is_not_a_run_names_what_is_missing(tmp_path):
    with pytest.raises(RecordError, match=r"is not a saved run: expected record.json and weights.safetensors"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[" * 100_000, b"", b"{", b"null"], ids=["not UTF-8", "deep", "empty", "cut", "null"]
)
def test_a_damaged_record_is_refused_in_one_line(copy, content):
    (copy / RECORD).write_bytes(content)
    with pytest.raises(RecordError, match=r"record.json: ") as error:
        load_run(copy)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "rubbish"])
def test_damaged_weights_are_refused(copy, damage):
    weights = (copy / WEIGHTS).read_bytes()
    (copy / WEIGHTS).write_bytes({"truncated": weights[:-10], "empty": b"", "rubbish": b"x" * 100}[damage])
    with pytest.raises(RecordError, match=r"weights.safetensors: expected the weights of a network"):
        load_run(copy)


def metadata_of(path):
    """The metadata of a safetensors file."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])["__metadata__"]


def test_weights_of_another_run_are_refused(glyph_set, copy, tmp_path):
    other = train_and_save(replace(RUN, seed=5), glyph_set, tmp_path / "other")
    shutil.copy(other.folder / WEIGHTS, copy / WEIGHTS)
    with pytest.raises(RecordError, match="belongs to another run"):
        load_run(copy)


def test_weights_that_were_changed_are_refused(copy):
    weights, metadata = load_file(copy / WEIGHTS), metadata_of(copy / WEIGHTS)
    name = next(iter(weights))
    weights[name] = weights[name] + 0.001
    save_file(weights, copy / WEIGHTS, metadata=metadata)
    with pytest.raises(RecordError, match="they were changed"):
        load_run(copy)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"accuracy": 0.99}, "expected an accuracy of 0.6300, as in the last epoch, got 0.9900"),
        ({"seconds": 0.001}, "record.json was edited after training"),
    ],
)
def test_a_record_that_was_edited_is_refused(copy, changes, reason):
    values = json.loads((copy / RECORD).read_text())
    (copy / RECORD).write_text(json.dumps({**values, **changes}, indent=1) + "\n")
    with pytest.raises(RecordError, match=reason):
        load_run(copy)


def test_a_record_of_another_structure_is_refused(copy):
    values = json.loads((copy / RECORD).read_text())
    values["run"]["variant"] |= {"net": "fc(392,1)", "parameters": None}
    (copy / RECORD).write_text(json.dumps(values))
    with pytest.raises(RecordError, match="it was edited"):
        load_run(copy)


def test_saving_that_fails_leaves_nothing_and_names_the_folder(glyph_set, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left") as error:
        train_and_save(RUN, glyph_set, tmp_path / "out")
    assert str(tmp_path / "out") in str(error.value.filename)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_error_while_a_run_is_replaced_restores_it(copy, monkeypatch):
    trained = load_run(copy)
    monkeypatch.setattr(saved_module, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        trained.save(copy)
    assert load_run(copy).record == trained.record
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_the_written_record_is_the_one_that_is_read(saved):
    record = load_record(saved.folder)
    assert json.loads((saved.folder / RECORD).read_text()) == json.loads(record.to_json())


def test_a_run_that_diverges_is_recorded_where_its_network_would_be(glyph_set, tmp_path):
    variant = find_variant("fc_1")
    run = Run(
        variant=replace(variant, recipe=replace(variant.recipe, epochs=2, learning_rate=1e30)),
        images=glyph_set.images,
        pairs=50,
    )
    with pytest.raises(TrainingError, match="expected a finite loss"):
        train_and_save(run, glyph_set, tmp_path / "runs")
    found = collect(tmp_path / "runs")
    assert found.records == {}
    (failure,) = found.failures.values()
    assert (failure.run, failure.kind, failure.epoch) == (run, "diverged", 1)
    assert failure.environment.engine == "single"
    with (
        locked(tmp_path / "runs"),
        pytest.warns(UserWarning, match="the failed run is not recorded: .* is being written"),
        pytest.raises(TrainingError),
    ):
        train_and_save(run, glyph_set, tmp_path / "runs")
    assert len((tmp_path / "runs" / RECORDS).read_text().splitlines()) == 1
