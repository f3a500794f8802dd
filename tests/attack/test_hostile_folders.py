"""Folders in which one file is a pipe, a device, a link, a folder, huge, random or damaged: no command hangs or fails.

The fuzz is `hostile_folders.py`, a process of its own: it forks, and what it imports stays with it.
PAIRNET_ATTACK=long tries 2,000 folders in place of 100.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDERS = 2_000 if os.environ.get("PAIRNET_ATTACK") == "long" else 100
PROGRAM = Path(__file__).with_name("hostile_folders.py")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full, and memory in kilobytes")
@pytest.mark.timeout(7200 if FOLDERS > 100 else 900)
def test_no_command_hangs_or_fails_on_a_hostile_file() -> None:
    """Nothing that a file can be makes a command hang, print a traceback, take much memory, or change other files."""
    arguments = ["--folders", str(FOLDERS), "--commands", "1", "--seed", "0"]
    done = subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    figures = json.loads(done.stdout[done.stdout.rindex("\n{\n") :])
    assert figures["commands"] == FOLDERS
    assert figures["failures"] == 0
    assert figures["statuses"].keys() >= {"0", "2"}
