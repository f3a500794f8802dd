"""Images of a user's own that are unlike MNIST's: noticed; dark on light, they are right as arrays and as pictures."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pairnet.data.idx import write_idx
from pairnet.data.sources import load_dataset
from pairnet.serving.predictor import Predictor

NOTE = "the images are dark on light"


@pytest.fixture
def glyphs(tmp_path):
    """Writes glyphs, changed, as a folder of IDX files -> the changed test images by digit [10,28,28]."""

    def write(change):
        dataset = load_dataset("glyphs:1200")
        (tmp_path / "mine").mkdir()
        for part, pool in (("train", dataset.train), ("t10k", dataset.test)):
            pixels, labels = pool.take(np.arange(1200))
            write_idx(tmp_path / f"mine/{part}-images-idx3-ubyte", np.ascontiguousarray(change(pixels)))
            write_idx(tmp_path / f"mine/{part}-labels-idx1-ubyte", labels)
        return change(pixels)[[np.flatnonzero(labels == digit)[0] for digit in range(10)]]

    return write


def answers(command_line, *files):
    """Both digits of each pair, whether the first is called equal or less, and the notes."""
    status, out, err = command_line("predict", "mine.onnx", *files, "--csv")
    assert status == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    return [(row["first_digit"], row["second_digit"], row["equal_or_less"]) for row in rows], err


def test_dark_on_light_from_train_to_predict(command_line, glyphs, tmp_path):
    digits = glyphs(lambda pixels: 255 - pixels)
    status, out, err = command_line("data", "info", "idx:mine", "--json")
    assert (status, json.loads(out)["classes"], err.count(NOTE), err.count("\n")) == (0, 10, 1, 1)
    status, _, err = command_line("train", "order_net_fast", "--data", "idx:mine")
    assert (status, err.count(NOTE)) == (0, 1)
    arguments = ("--model", "order_net_fast", "--data", "idx:mine", "--with-digits", "--output", "mine.onnx")
    status, _, err = command_line("export", *arguments)
    assert (status, err.count(NOTE)) == (0, 1)
    with Predictor(tmp_path / "mine.onnx") as predictor:
        assert predictor.metadata.polarity == "dark on light"
    (run,) = Path("runs").iterdir()
    assert (
        command_line("evaluate", run)[0] == command_line("predict", "mine.onnx", "--test", "--data", "idx:mine")[0] == 0
    )

    expected = [("7", "3", "False")]
    for size in (28, 280):
        for name, dark in (("dark", True), ("light", False)):
            for digit in (3, 7):
                picture = Image.fromarray(digits[digit] if dark else 255 - digits[digit])
                picture.resize((size, size)).save(f"{name}-{digit}.png")
            found, notes = answers(command_line, f"{name}-7.png", f"{name}-3.png")
            assert found == expected
            assert ("inverted" in notes) == (not dark)
    np.save("pairs.npy", digits[[7, 3]][None])
    assert answers(command_line, "pairs.npy") == (expected, "")
    np.save("light.npy", 255 - digits[[7, 3]][None])
    assert "light on dark, and the network was trained on dark on light" in answers(command_line, "light.npy")[1]


def test_dark_arrays_for_a_network_of_light_ones_are_noted(command_line, glyphs):
    digits = glyphs(lambda pixels: 255 - pixels)
    np.save("pairs.npy", digits[[7, 3]][None])
    status, out, err = command_line("predict", "pairs.npy", "--json")
    (note,) = json.loads(out)["notes"]
    assert (status, err.count("\n")) == (0, 1)
    assert note.startswith("pairs.npy: dark on light, and the network was trained on light on dark")
    np.save("pairs.npy", 255 - digits[[7, 3]][None])
    assert json.loads(command_line("predict", "pairs.npy", "--json")[1])["notes"] == []


@pytest.mark.parametrize("command", [("train", "fc_1", "--epochs", 1), ("data", "pictures"), ("reproduce",)])
def test_each_command_that_loads_images_says_what_is_unusual(command_line, glyphs, command):
    glyphs(lambda pixels: pixels.transpose(0, 2, 1))
    table = ("--table", "order", "--draws", 1, "--epochs", 1, "--pairs", 20, "--dry-run")
    source = ("idx:mine",) if command[0] == "data" else ("--data", "idx:mine", *(table if len(command) == 1 else ()))
    status, _, err = command_line(*command, *source)
    assert (status, err.count("the images are transposed, as in the files of EMNIST")) == (0, 1)
