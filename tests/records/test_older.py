"""Records that schemas 1 and 2 wrote: read whole, matched by what they ran, and never run again."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from pairnet.data.sources import load_dataset
from pairnet.errors import RecordError
from pairnet.models.variants import check, count_parameters
from pairnet.records.reading import read_record
from pairnet.records.record import FailedRun
from pairnet.records.store import RECORDS, read_records, read_stored
from pairnet.study.plan import plan
from pairnet.study.running import Kept, run_study
from pairnet.study.tables import studies

FOLDERS = {1: Path(__file__).with_name("schema1.jsonl"), 2: Path(__file__).with_name("schema2.jsonl")}
"""One draw of some tables, 40 pairs of glyphs:100, one epoch, as the versions of these schemas wrote them.

Of schema 1: tables 1, 2, 3 and ablation. Of schema 2: tables 1, 2 and 3, this one with 30 test pairs, and a failure.
"""

RENAMED = {
    **{
        f"a_w_net, loss ratio {ratio}": f"a_w_net in 4 folds, loss ratio {ratio}"
        for ratio in ("2", "1.5", "1", "0.5", "0.1")
    },
    "+ BN statistics taken anew": "+ BN statistics recomputed",
    "order_net": "order_net, 120 epochs",
}
"""Rows that have another name today."""


@pytest.fixture(params=FOLDERS)
def old(request, tmp_path):
    (tmp_path / RECORDS).write_bytes(FOLDERS[request.param].read_bytes())
    return tmp_path


def test_every_old_record_is_read_with_its_whole_run(old):
    records = read_records(old)
    assert len(records) > 30
    for record in records:
        run = record.run
        check(run.variant)
        assert record.parameters == count_parameters(run.variant)
        assert record.fingerprint == run.fingerprint
        assert run.recipe.epochs == len(record.epochs) == 1
        assert (run.pairs, run.own_seeds, record.measurements, run.device) == (40, None, 1, "cpu")


def test_records_of_schema_2_are_those_of_today_with_all_that_they_hold():
    for line in FOLDERS[2].read_text().splitlines():
        old, record = json.loads(line), json.loads(json.dumps(asdict(read_record(line))))
        assert record["fingerprint"] == old["fingerprint"]
        if "failure" not in old:
            for key in ("wrong", "answers_sha256", "weights_sha256", "calibration", "epochs", "mean", "std", "seconds"):
                assert record[key] == old[key]
            assert record["run"]["images"] == {**old["data"], "train": 0, "test": 0}  # their numbers: not recorded then
            assert {**record["environment"], "device": "cpu"} == old["environment"]


@pytest.mark.parametrize("schema", FOLDERS)
def test_an_old_record_says_its_schema_its_classes_and_how_often_it_was_measured(schema):
    for line in FOLDERS[schema].read_text().splitlines():
        old, record = json.loads(line), read_record(line)
        if record.run is None:  # a failure of schema 2 has no run
            continue
        assert record.run.images.classes == 10
        if schema == 1:  # where the number may be missing
            old["data"].pop("classes", None)
            assert read_record(json.dumps(old)).run.images.classes == 10
        if "failure" not in old:
            assert record.schema == schema
            measured = sum(epoch["validation_accuracy"] is not None for epoch in old["epochs"])
            assert record.run.measurements == old.get("measurements", measured)


def test_the_card_of_an_old_record_is_kept():
    old = json.loads(FOLDERS[2].read_text().splitlines()[0])
    old["environment"]["gpu"] = {"name": "a card", "driver": "1", "cuda": "2"}
    assert read_record(json.dumps(old)).environment.gpu.name == "a card"


@pytest.mark.parametrize("change", [{"fold": 7}, {"pairs": 1, "fold": 0}, {"seeds": {"weights": -1}}], ids=str)
def test_an_old_record_of_no_run_is_refused_in_one_line(change):
    with pytest.raises(RecordError, match="expected a record of a run, got something else"):
        read_record(json.dumps({**json.loads(FOLDERS[2].read_text().splitlines()[0]), **change}))


@pytest.mark.parametrize(
    ("schema", "table", "test_pairs"),
    [*((1, table, 40) for table in ("1", "2-folds", "3", "ablation")), (2, "1", 40), (2, "2-folds", 40), (2, "3", 30)],
)
def test_a_folder_of_old_records_is_resumed_without_a_single_run_repeated(tmp_path, schema, table, test_pairs):
    (tmp_path / RECORDS).write_bytes(before := FOLDERS[schema].read_bytes())
    dataset = load_dataset("glyphs:100")
    runs = plan(studies()[table], dataset.images, draws=1, epochs=1, pairs=40, test_pairs=test_pairs)
    events = []
    result = run_study(runs, dataset, tmp_path, on_event=events.append)
    assert all(isinstance(event, Kept) for event in events)
    assert [record.fingerprint for record in result.records] == [run.fingerprint for run in runs]
    labels = {}  # rows that are the same run at one epoch share a record
    for run in runs:
        labels.setdefault(run.fingerprint, []).append(run.label)
    for record in result.records:
        if schema == 1:
            assert RENAMED.get(record.run.name, record.run.name) in labels[record.fingerprint]
    assert [record.accuracy for record in result.finished] == [event.record.accuracy for event in events]
    assert (tmp_path / RECORDS).read_bytes() == before


def test_a_failure_of_schema_2_is_read_and_not_computed_again(tmp_path):
    (tmp_path / RECORDS).write_bytes(FOLDERS[2].read_bytes())
    (failure,) = read_stored(tmp_path).failures.values()
    assert isinstance(failure, FailedRun)
    assert (failure.schema, failure.run, failure.label) == (2, None, "bad")
    assert failure.error.startswith("conv_1: expected a finite loss, got nan")


def test_an_unreadable_structure_is_refused():
    line = FOLDERS[1].read_text().splitlines()[0].replace('"structure": "', '"structure": "[')
    with pytest.raises(RecordError, match="expected the structure of a network"):
        read_record(line)
