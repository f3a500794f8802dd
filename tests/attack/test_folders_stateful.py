"""Any order of saving, exporting, reporting, deleting, merging and kills: no foreign file and no unnamed run is lost.

PAIRNET_ATTACK=long tries 60 sequences of 30 steps in place of 6 of 12.
"""

import os
import signal
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pairnet.cli import app
from pairnet.cli.common import run_app
from pairnet.data.sources import load_dataset
from pairnet.errors import ArgumentError, PairnetError
from pairnet.exporting.export import export
from pairnet.models.variants import find_variant, with_epochs
from pairnet.records.collection import collect
from pairnet.records.folders import load_record
from pairnet.records.run import Run
from pairnet.records.store import append, read_stored
from pairnet.study.merging import merge
from pairnet.study.saved import load_run, train
from pairnet.writing import MARK, check_folder

LONG = os.environ.get("PAIRNET_ATTACK") == "long"

FOLDERS, NETWORKS = ("runs", "other"), ("conv_1-a", "conv_1-b", "notes")
FOREIGN = ("thesis.tex", "conv_1-a/notes.txt", "notes/mine.png", "report/own.html", "mine.onnx")


@cache
def trained(seed):
    """One of three tiny networks."""
    data = load_dataset("glyphs:200")
    variant = with_epochs(find_variant("conv_1"), 1)
    return train(Run(variant=variant, images=data.images, pairs=30, test_pairs=30, seed=seed), data)


folder, network = st.sampled_from(FOLDERS), st.sampled_from(NETWORKS)
seed = st.integers(0, 2)


class Folders(RuleBasedStateMachine):
    """Two folders of runs with files of somebody else in them, and what must be there."""

    @initialize()
    def begin(self):
        self.place = tempfile.TemporaryDirectory()
        self.root = Path(self.place.name)
        self.foreign: dict[Path, bytes] = {}
        self.saved: dict[Path, str] = {}  # fingerprint of the network in each folder
        self.recorded: dict[Path, set[str]] = {self.root / name: set() for name in FOLDERS}
        for name in FOLDERS:
            (self.root / name).mkdir()

    def teardown(self):
        if hasattr(self, "place"):
            self.place.cleanup()

    @rule(name=folder, file=st.sampled_from(FOREIGN), content=st.binary(max_size=5))
    def somebody_writes_a_file(self, name, file, content):
        path = self.root / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.foreign[path] = content

    @rule(name=folder, seed=seed)
    def a_study_records_a_run(self, name, seed):
        record = trained(seed).record
        if record.fingerprint not in self.recorded[self.root / name]:
            append(self.root / name, record)
            self.recorded[self.root / name].add(record.fingerprint)

    @rule(name=folder, network=network, seed=seed)
    def save(self, name, network, seed):
        target = self.root / name / network
        there = list(target.iterdir()) if target.exists() else []  # what a killed writer left is pairnet's own
        refused = target not in self.saved and any(not path.name.startswith(".pairnet-") for path in there)
        try:
            trained(seed).save(target)
        except ArgumentError:
            assert refused
        else:
            assert not refused
            self.saved[target] = trained(seed).record.fingerprint

    @rule(name=folder, seed=seed)
    def save_over_the_folder_of_runs(self, name, seed):
        if any((self.root / name).iterdir()):
            with suppress(ArgumentError):
                trained(seed).save(self.root / name)
                raise AssertionError("expected a folder of runs to be refused")

    @rule(name=folder, network=network, seed=seed, calls=st.integers(0, 5))
    def save_and_be_killed(self, name, network, seed, calls):
        target = self.root / name / network
        with suppress(ArgumentError):
            check_folder(target, content="a saved run")
            child = os.fork()
            if child == 0:
                killed_after(calls)
                trained(seed).save(target)
                os._exit(0)
            os.waitpid(child, 0)
            found = None
            with suppress(PairnetError):
                found = load_record(target).fingerprint
            assert found in (self.saved.get(target), trained(seed).record.fingerprint)
            if found is not None:
                self.saved[target] = found

    @rule(name=folder, network=network)
    def delete_a_network(self, name, network):
        target = self.root / name / network
        status = command("runs", "delete", target, "--runs", self.root / name, "--yes")
        assert (status == 0) == (target in self.saved)
        self.saved.pop(target, None)

    @rule(name=folder)
    def delete_all_runs_of_a_row(self, name):
        assert command("runs", "delete", "--row", "conv_1", "--runs", self.root / name, "--yes") == 0
        self.recorded[self.root / name].clear()
        self.saved = {path: key for path, key in self.saved.items() if path.parent != self.root / name}

    @rule()
    def merge_the_folders(self):
        one, into = (self.root / name for name in FOLDERS)
        there = set(collect(one).records)
        try:
            merge([one], into)
        except PairnetError:
            assert not there or (any(into.iterdir()) and not collect(into).records)  # no runs, and something else
        else:
            self.recorded[into] |= there

    @rule(name=folder, network=network)
    def export_a_network(self, name, network):
        target, output = self.root / name / network, self.root / name / "mine.onnx"
        if target not in self.saved:
            return
        before = output.read_bytes() if output.exists() else None
        with suppress(ArgumentError):
            export(target, output, dataset=load_dataset("glyphs:200"), max_drop=100)
            assert before is None
            self.foreign[output] = output.read_bytes()  # from now on it is kept, too

    @rule(name=folder)
    def write_a_report(self, name):
        if collect(self.root / name).records:
            path = self.root / name / "report" / "report.html"
            refused = (path.parent / "own.html").exists() and not (path.parent / MARK).exists()
            assert (command("report", self.root / name) == 0) == (not refused)

    @invariant()
    def nothing_is_lost_and_nothing_is_mixed(self):
        for path, content in getattr(self, "foreign", {}).items():
            assert path.read_bytes() == content
        for name, keys in getattr(self, "recorded", {}).items():
            assert set(read_stored(name).records) == keys
            networks = {key for path, key in self.saved.items() if path.parent == name}
            assert set(collect(name).records) == keys | networks
        for path, key in getattr(self, "saved", {}).items():
            assert load_run(path).record.fingerprint == key


def command(*arguments):
    """The exit status of a command line."""
    return run_app(app, [str(each) for each in arguments])


def killed_after(calls):
    """Ends this process as kill -9 would, at the given call of what gives files their names."""
    left = [calls]

    def dying(function):
        def call(*arguments, **options):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return function(*arguments, **options)

        return call

    os.replace, os.rename, os.unlink = map(dying, (os.replace, os.rename, os.unlink))
    Path.replace, Path.rename, Path.unlink = map(dying, (Path.replace, Path.rename, Path.unlink))


Folders.TestCase.settings = settings(
    max_examples=60 if LONG else 6,
    stateful_step_count=30 if LONG else 12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_folders = Folders.TestCase
