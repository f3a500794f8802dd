"""Studies from files in one folder, with images, test pairs, folds and grids of their own, are never mixed.

The runs are not computed: each record has results that follow from its run. PAIRNET_ATTACK=long tries 200 pairs of
studies in place of 15.
"""

import hashlib
import os
import shlex
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_examples import EPOCH, IMAGES, record

from pairnet.cli import app
from pairnet.cli.common import run_app
from pairnet.cli.studying import Request, as_run, plan_parts
from pairnet.data.drawing import draw_held_out
from pairnet.data.sources import load_dataset
from pairnet.errors import ArgumentError
from pairnet.records.store import append, read_records
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose
from pairnet.study.files import read_study
from pairnet.study.kept import keep_file, kept_studies
from pairnet.study.repetition import verify_runs

EXAMPLES = 200 if os.environ.get("PAIRNET_ATTACK") == "long" else 15
SOURCES = ("glyphs:60", "glyphs:80:5")
DRAWS = 2


@pytest.fixture(scope="module")
def images():
    return {source: load_dataset(source) for source in SOURCES}


settings_of_a_row = st.fixed_dictionaries(
    {},
    optional={
        "pairs": st.sampled_from((8, 12)),
        "test_pairs": st.sampled_from((6, 9)),
        "folds": st.sampled_from((2, 3)),
        "data": st.sampled_from([f'"{source}"' for source in SOURCES]),
        "epochs": st.sampled_from((1, 2)),
    },
)
rows = st.lists(
    st.tuples(st.sampled_from(("conv_1", "w_net")), settings_of_a_row, st.sampled_from((None, "pairs", "test_pairs"))),
    min_size=1,
    max_size=3,
)
head = st.fixed_dictionaries({}, optional={"pairs": st.just(10), "test_pairs": st.just(7), "folds": st.just(2)})
studies = st.tuples(st.sampled_from(("mine", "3", "order")), head, rows)


options = st.fixed_dictionaries(
    {},
    optional={
        "pairs": st.sampled_from((10, 13)),
        "test_pairs": st.just(8),
        "data": st.sampled_from(SOURCES),
    },
)


def text_of(head, rows):
    """The TOML of a study on the first images, with a label for each row and a grid where `swept` says so."""
    lines = [f'data = "{SOURCES[0]}"', f"draws = {DRAWS}", *(f"{key} = {value}" for key, value in head.items())]
    for number, (variant, chosen, swept) in enumerate(rows):
        fixed = ", ".join(f"{key} = {value}" for key, value in chosen.items() if key != swept)
        lines += ["[[rows]]", f'variant = "{variant}"', f'label = "row {number}"', f"set = {{ {fixed} }}"]
        lines += [f"grid = {{ {swept} = [5, 11] }}"] if swept else []
    return "\n".join(lines) + "\n"


def finished(run):
    """A record whose wrong pairs follow from the run alone."""
    seed = int(hashlib.sha256(run.fingerprint.encode()).hexdigest()[:8], 16)
    wrong = np.flatnonzero(np.random.default_rng(seed).random(run.held_out) < 0.4)
    accuracy = 1 - len(wrong) / run.held_out
    epochs = (replace(EPOCH, validation_accuracy=accuracy),) * run.recipe.epochs
    made = record(accuracy=accuracy, epochs=epochs, test_pairs=run.held_out)
    listed = tuple((int(at), 0.25) for at in wrong)
    return replace(made, run=run, fingerprint=run.fingerprint, wrong=listed)


@contextmanager
def requests(monkeypatch):
    """What command lines ask for, in place of computing it."""
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["pairnet.cli.study"], "compute", asked.append)
        yield asked


@given(both=st.lists(st.tuples(studies, options), min_size=1, max_size=2))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_two_studies_in_one_folder_are_never_mixed(both, images, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        runs, expected, every = Path(folder) / "runs", {}, {}
        for number, ((name, top, chosen), asked) in enumerate(both):
            path = Path(folder) / str(number) / f"{name}.toml"
            path.parent.mkdir()
            path.write_text(text_of(top, chosen))
            try:
                request = Request(studies=(read_study(path),), runs=runs, **asked)
                parts = plan_parts(request)
            except ArgumentError:  # more folds than pairs
                return
            (study,) = as_run(request, parts)
            keep_file(study, runs)
            rows = expected.setdefault((study.name, study.digest), {})
            for run in (run for part in parts for run in part.every):
                rows.setdefault(run.label, set()).add(run.fingerprint)
                every[run.fingerprint] = run
        for run in every.values():
            append(runs, finished(run))
        kept = kept_studies(runs)
        assert {(study.name, study.digest) for study in kept} <= set(expected)
        selection = choose(read_records(runs), own=kept)
        own = [table for table in selection.tables if table.study.file is not None]
        assert [table.study.file for table in own] == [study.file for study in kept]
        assert len({table.study.name for table in selection.tables}) == len(selection.tables)
        report = gather(selection, images=list(images.values()))
        for table in own:
            study = read_study(table.study.file)
            check_rows(table, expected[study.name, study.digest])
            check_command(table, report, monkeypatch)
        check_pairs(selection, report, images)


def check_rows(table, rows):
    """Each row of a table has the runs that its own file planned, and no others."""
    labels = {label: label.removesuffix(f" ({table.study.name})") for label in table.rows}
    assert {labels[label]: {each.fingerprint for each in found} for label, found in table.rows.items()} == rows


def check_pairs(selection, report, images):
    """The hardest pairs are pairs of the draws of their runs, and are missed by as many networks as is said."""
    by_sum = {dataset.checksum: dataset for dataset in images.values()}
    missed = {}
    for records in selection.tested.values():
        for each in records:
            pairs = draw_held_out(each.run, by_sum[each.run.images.checksum])
            for at, _ in each.wrong:
                key = (each.run.seed, *pairs.digits[at].tolist())
                missed.setdefault(key, set()).add((each.run.images.checksum, each.run.tested, at))
    for pair in report.mistakes.hardest if report.mistakes else ():
        assert (pair.draw, pair.first, pair.second) in missed
        assert 1 <= pair.networks <= pair.tested


def check_command(table, report, monkeypatch):
    """The command that repeats a study plans the runs of its rows again, and no others."""
    (line,) = [each for each in report.origins.commands if f"study {shlex.quote(str(table.study.file))} " in each]
    with requests(monkeypatch) as asked:
        assert run_app(app, shlex.split(line)[1:]) == 0
    again = {run.fingerprint for part in plan_parts(asked[0]) for run in part.every}
    assert again == {each.fingerprint for rows in table.rows.values() for each in rows}


def test_verification_takes_the_images_of_each_record(images):
    runs = [replace(record().run, images=images[source].images, pairs=8, test_pairs=6) for source in SOURCES]
    false = replace(runs[1], images=replace(images[SOURCES[0]].images, source=SOURCES[1]))
    with pytest.raises(ValueError, match="expected the images it was trained on"):
        verify_runs([finished(run) for run in (runs[0], false)])


def test_a_run_of_other_images_is_refused_by_every_engine(images):
    from pairnet.study.engines.processes import Processes
    from pairnet.study.engines.stacked import Stacked

    run = replace(record().run, images=IMAGES, pairs=8, test_pairs=6)
    for engine in (Processes(dataset=images[SOURCES[0]], workers=1), Stacked(dataset=images[SOURCES[0]])):
        with pytest.raises(ValueError, match="expected the images it was made with, mnist5k"):
            list(engine.run([run]))
