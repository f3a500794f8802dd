"""Records that schema 1 wrote: read whole, matched by what they ran, and never run again."""

from pathlib import Path

import pytest
from pairnet.study.runs import fingerprint

from pairnet.data.sources import load_dataset
from pairnet.errors import RecordError
from pairnet.models.variants import check, count_parameters
from pairnet.records.reading import read_record
from pairnet.records.record import fingerprint_of
from pairnet.records.store import RECORDS, read_records
from pairnet.study.plan import plan
from pairnet.study.running import Kept, run_study
from pairnet.study.tables import studies

OLD = Path(__file__).with_name("schema1.jsonl")
"""Tables 1, 2, 3 and ablation of one draw, 40 pairs of glyphs:100, one epoch, as version 0.1 wrote them."""

RENAMED = {"+ BN statistics taken anew": "+ BN statistics recomputed", "order_net": "order_net, 120 epochs"}
"""Rows that have another name today."""


@pytest.fixture
def old(tmp_path):
    (tmp_path / RECORDS).write_bytes(OLD.read_bytes())
    return tmp_path


def test_every_old_record_is_read_with_its_whole_network(old):
    records = read_records(old)
    assert len(records) > 30
    for record in records:
        check(record.variant)
        assert record.parameters == count_parameters(record.variant)
        assert record.fingerprint == fingerprint_of(record)
        assert record.recipe.epochs == len(record.epochs) == 1
        assert (record.test_pairs, record.measurements) == (record.pairs, 1)


@pytest.mark.parametrize("table", ["1", "2", "3", "ablation"])
def test_a_folder_of_old_records_is_resumed_without_a_single_run_repeated(old, table):
    dataset = load_dataset("glyphs:100")
    runs = plan(studies()[table], draws=1, epochs=1, pairs=40)
    events = []
    before = (old / RECORDS).read_bytes()
    result = run_study(runs, dataset, old, on_event=events.append)
    assert all(isinstance(event, Kept) for event in events)
    assert [record.fingerprint for record in result.records] == [fingerprint(run, dataset) for run in runs]
    labels = {}  # rows that are the same run at one epoch share a record
    for run in runs:
        labels.setdefault(fingerprint(run, dataset), []).append(run.label)
    for record in result.records:
        assert RENAMED.get(record.label, record.label) in labels[record.fingerprint]
    assert [record.accuracy for record in result.finished] == [event.record.accuracy for event in events]
    assert (old / RECORDS).read_bytes() == before


def test_an_unreadable_structure_is_refused():
    line = OLD.read_text().splitlines()[0].replace('"structure": "', '"structure": "[')
    with pytest.raises(RecordError, match="expected the structure of a network"):
        read_record(line)
