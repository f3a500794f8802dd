"""Failed runs: their kind and epoch in records old and new, the failed draws of a row, and the words for them."""

import json
from dataclasses import replace

import msgspec
import pytest
from failed_examples import failed
from hypothesis import given
from hypothesis import strategies as st
from record_examples import record

from pairnet.errors import RecordError
from pairnet.records.collection import collect
from pairnet.records.failures import FailedDraw, draws_text, failed_draws, failures_text, how_they_failed
from pairnet.records.reading import read_record
from pairnet.records.store import append


@pytest.mark.parametrize("kind", ["diverged", "memory", "other"])
def test_a_failure_is_read_as_it_was_written(kind):
    failure = failed(record(3), kind=kind)
    assert read_record(failure.to_json()) == failure


@pytest.mark.parametrize(
    ("error", "kind", "epoch"),
    [
        ("w_net: expected a finite loss, got nan in epoch 3: lower the learning rate", "diverged", 3),
        ("w_net: expected a finite loss, got inf in epoch 12: lower the learning rate", "diverged", 12),
        ("w_net: the memory of cuda is too small: set `device` to cpu", "memory", None),
        ("something else in epoch 3", "other", None),
        ("expected a finite loss, got nan in epoch 999999999", "other", None),
    ],
)
def test_kind_and_epoch_of_a_failure_that_was_recorded_without_them_follow_from_its_error(error, kind, epoch):
    fields = msgspec.to_builtins(failed(record(), kind="other", error=error))
    del fields["kind"], fields["epoch"]
    found = read_record(json.dumps(fields))
    assert (found.kind, found.epoch, found.error) == (kind, epoch, error)


@pytest.mark.parametrize("change", [{"kind": "bored"}, {"epoch": 0}, {"epoch": 10**6}, {"epoch": 1.5}], ids=str)
def test_a_failure_of_another_kind_or_epoch_is_refused(change):
    with pytest.raises(RecordError, match="expected a record of a run"):
        read_record(json.dumps({**msgspec.to_builtins(failed(record())), **change}))


def test_a_run_with_a_result_is_not_among_the_failures(tmp_path):
    done, lost = record(0), record(1)
    for each in (failed(done), failed(lost)):
        append(tmp_path, each)
    folder = tmp_path / "fc_1-1"  # a saved network: its record is no line of a study
    folder.mkdir()
    (folder / "record.json").write_text(done.to_json())
    found = collect(tmp_path)
    assert (set(found.records), set(found.failures)) == ({done.fingerprint}, {lost.fingerprint})


def test_a_cross_validated_draw_fails_once():
    folds = [failed(record(draw, fold=fold, wrong=None), epoch=1 + fold) for draw in (4, 1) for fold in (2, 3)]
    draws = failed_draws(folds)
    assert [(draw.seed, draw.fold, draw.epoch) for draw in draws] == [(1, 2, 3), (4, 2, 3)]
    assert failed_draws([replace(failed(record()), run=None)]) == ()


kinds = st.sampled_from(["diverged", "memory", "other"])
draws = st.builds(
    FailedDraw,
    seed=st.integers(0, 9),
    fold=st.none(),
    kind=kinds,
    epoch=st.none() | st.integers(1, 30),
    error=st.sampled_from(["one", "two"]),
    fingerprint=st.just("f"),
)


@given(lost=st.lists(draws, min_size=1, max_size=12), finished=st.integers(0, 12))
def test_the_words_have_every_count(lost, finished):
    text = failures_text(lost, finished=finished)
    for kind, words in (("diverged", "diverged"), ("memory", "ran out of memory"), ("other", "failed")):
        count = sum(each.kind == kind for each in lost)
        assert (f"{count} {words}" in how_they_failed(lost)) == (count > 0)
    if finished:
        assert text.startswith(f"{len(lost)} of {len(lost) + finished} draws failed: ")
        assert text.endswith(f"the mean is over the other {finished}")
    else:
        assert text.startswith("the only draw failed" if len(lost) == 1 else f"all {len(lost)} draws failed")
    for each in lost:
        if each.kind == "diverged" and each.epoch is not None:
            low, high = (f([e.epoch for e in lost if e.kind == "diverged" and e.epoch]) for f in (min, max))
            assert (f"epoch {low}" if low == high else f"epochs {low} to {high}") in text


def test_rows_without_a_failed_draw_are_spoken_of_as_before():
    assert (failures_text([], finished=3), draws_text(0, 3), draws_text(2, 3)) == ("", "3", "3 of 5")
