"""Studies killed at random moments, parent or worker: in the end each run has one record, and the same one.

PAIRNET_ATTACK=long kills 33 times in place of 3.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workers import workers_of

from pairnet.records.store import read_records

KILLS = 33 if os.environ.get("PAIRNET_ATTACK") == "long" else 3
COMMAND = [
    *(sys.executable, "-m", "pairnet", "reproduce", "--table", "3", "--draws", "3", "--epochs", "1"),
    *("--pairs", "50", "--data", "glyphs:200", "--jobs", "2", "--json", "--no-report"),
]
RUNS = 24

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


def results(folder):
    """Accuracy and last training loss by fingerprint."""
    return {found.fingerprint: (found.accuracy, found.epochs[-1].train_loss) for found in read_records(folder)}


def start(folder):
    return subprocess.Popen([*COMMAND, "--runs", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_more(child, folder, records):
    """Waits until the study has written another record, at most a minute."""
    deadline = time.monotonic() + 300
    while child.poll() is None and len(results(folder)) <= records and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.timeout(7200 if KILLS > 3 else 1500)
def test_killed_studies_lose_nothing_and_repeat_nothing(tmp_path):
    assert start(tmp_path / "whole").wait(timeout=900) == 0
    expected = results(tmp_path / "whole")
    assert len(expected) == RUNS
    rng = random.Random(0)
    folder, number = tmp_path / "killed-0", 0
    for kill in range(KILLS):
        child, before = start(folder), results(folder)
        wait_for_more(child, folder, len(before))
        time.sleep(rng.uniform(0, 0.3))
        pid = child.pid
        if kill % 3 == 2 and child.poll() is None:
            pid = rng.choice(workers_of(pid) or [pid])
        if child.poll() is None:
            os.kill(pid, signal.SIGKILL)
        child.wait(timeout=300)
        after = results(folder)
        assert before.items() <= after.items() <= expected.items()
        if len(after) == RUNS:
            number += 1
            folder = tmp_path / f"killed-{number}"
    assert start(folder).wait(timeout=900) == 0
    assert results(folder) == expected
    assert len(read_records(folder)) == RUNS
