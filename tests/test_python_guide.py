"""The Python blocks of docs/python.md and docs/own-data.md run as they stand, one after the other, as one script."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from pairnet.data.idx import read_idx
from pairnet.data.sources import load_dataset

DOCS = Path(__file__).parents[1] / "docs"


def run_blocks(name, folder):
    """Runs the Python blocks of a guide as one script in `folder` -> number of blocks, and the script's output."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    script = folder / "guide.py"
    script.write_text("print('once')\n" + "\n".join(blocks))
    found = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stderr
    return len(blocks), found.stdout


def test_the_guide_runs(tmp_path):
    blocks, output = run_blocks("python.md", tmp_path)
    assert blocks >= 7
    assert output.count("once") == 1  # workers do not import the script
    assert (tmp_path / "mine.onnx").is_file()
    assert "expected" in output.splitlines()[-1]


def test_pictures_become_a_data_set(tmp_path):
    blocks, _ = run_blocks("own-data.md", tmp_path)
    assert blocks == 2
    dataset = load_dataset(f"idx:{tmp_path / 'my-digits'}")
    assert (len(dataset.train), len(dataset.test), dataset.train.side, dataset.classes) == (1200, 1200, 28, 10)
    images = read_idx(tmp_path / "my-digits" / "train-images-idx3-ubyte")
    drawn = load_dataset("glyphs:1200").train
    assert sorted(map(bytes, images)) == sorted(bytes(image) for image in drawn.take(np.arange(len(drawn)))[0])
    counts = [int((dataset.train.labels == digit).sum()) for digit in (0, 1, 9)]
    assert counts == [116, 127, 126]  # as the guide prints them
