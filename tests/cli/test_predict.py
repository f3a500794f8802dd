"""`pairnet predict`: names, digits and doubts in every output, and a model that comes first."""

import csv
import io
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pairnet.data.idx import write_idx
from pairnet.data.sources import load_dataset
from pairnet.exporting.export import export
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.records.run import Run
from pairnet.study.saved import train_and_save

pytest_plugins = ("trained_runs",)


@pytest.fixture
def pictures(command_line, digits5k, tmp_path):
    """Three pictures in the working folder, named after their digits."""
    for digit in (3, 7, 9):
        number = int(np.flatnonzero(digits5k.test.labels == digit)[0])
        Image.fromarray(digits5k.test.pixels[number]).save(tmp_path / f"{digit}.png")
    return ["7.png", "3.png", "9.png"]


def rows_of(out):
    return list(csv.DictReader(io.StringIO(out)))


@pytest.mark.parametrize(("name", "digits"), [("a_w_net", True), ("w_net", False)])
def test_answers_name_the_pictures_and_their_digits(command_line, pictures, models, name, digits):
    model = models(name)
    status, out, _ = command_line("predict", model, "3.png", "7.png", "--json")
    (answer,) = json.loads(out)["pairs"]
    assert (status, answer["first"], answer["second"]) == (0, "3.png", "7.png")
    assert answer["unsure"] == (abs(answer["probability"] - 0.5) <= 0.1)
    assert ("first_digit" in answer) == digits
    status, out, _ = command_line("predict", model, "3.png", "7.png", "--csv")
    (row,) = rows_of(out)
    assert (row["first"], row["second"], float(row["probability"])) == ("3.png", "7.png", answer["probability"])
    assert row.keys() == answer.keys()
    status, out, _ = command_line("predict", model, "3.png", "7.png")
    assert "3.png" in out
    assert ("a " in out.splitlines()[4]) == digits  # below the names


def test_images_of_one_file_have_a_number(command_line, models, digits5k, tmp_path):
    np.save(tmp_path / "pairs.npy", digits5k.test.pixels[:80].reshape(40, 2, 28, 28))
    np.save(tmp_path / "images.npy", digits5k.test.pixels[:5])
    rows = rows_of(command_line("predict", models("w_net"), "pairs.npy", "--csv")[1])
    assert [(row["first"], row["second"]) for row in rows[:2]] == [
        ("pairs.npy[0,0]", "pairs.npy[0,1]"),
        ("pairs.npy[1,0]", "pairs.npy[1,1]"),
    ]
    assert len(rows) == 40
    out = command_line("predict", models("w_net"), "pairs.npy")[1]
    assert "pairs.npy[31,0]" in out
    assert "and 8 more, all with --csv" in out
    rows = rows_of(command_line("predict", models("w_net"), "images.npy", "images.npy", "--csv")[1])
    assert [row["first"] for row in rows] == [row["second"] for row in rows] == [f"images.npy[{i}]" for i in range(5)]


@pytest.mark.parametrize("name", ["final_model", "w_net"])
def test_a_ranking_has_names(command_line, pictures, models, name):
    found = json.loads(command_line("predict", models(name), "--rank", *pictures, "--json")[1])
    assert found["names"] == pictures
    order = [pictures[i] for i in found["order"]]
    rows = rows_of(command_line("predict", models(name), "--rank", *pictures, "--csv")[1])
    assert [row["image"] for row in rows] == order
    assert ("digit" in rows[0]) == ("digits" in found) == (name == "final_model")
    out = command_line("predict", models(name), "--rank", *pictures * 4)[1]
    assert all(picture in out for picture in pictures)
    places = re.findall(r"^│ (\d+) +│ \S+\.png +│ +\d+\.\d % +│$", out, re.M)
    assert places == [str(place) for place in range(1, 4 * len(pictures) + 1)]
    assert " ".join(out.split()).endswith("less than the others")


@pytest.mark.parametrize(("margin", "marked"), [(0.5, True), (-1.0, False)])
def test_an_answer_near_one_half_is_marked(command_line, pictures, models, monkeypatch, margin, marked):
    monkeypatch.setattr(sys.modules["pairnet.cli.predict"], "UNSURE", margin)
    arguments = ("predict", models("w_net"), "3.png", "7.png")
    assert ("unsure" in command_line(*arguments)[1]) == marked
    assert json.loads(command_line(*arguments, "--json")[1])["pairs"][0]["unsure"] == marked


def test_nothing_is_cropped_at_80_columns(command_line, pictures, models, monkeypatch, tmp_path):
    monkeypatch.setattr("pairnet.cli.output.WIDTH", 80)
    long = "a-name-that-is-much-longer-than-a-column-of-a-table-can-be-in-a-terminal-of-80-columns.png"
    (tmp_path / "3.png").rename(tmp_path / long)
    for rank in ([], ["--rank"]):
        out = command_line("predict", models("final_model"), long, "7.png", *rank)[1]
        assert "…" not in out
        assert max(map(len, out.splitlines())) <= 80
        text = "".join(character for character in out if character.isalnum() or character in "-.")
        assert "7.png" in text
        assert all(piece in text for piece in ("a-name-that", "80-columns.png"))


@pytest.mark.parametrize("rank", [[], ["--rank"]], ids=" ".join)
@pytest.mark.parametrize("width", [40, 54, 80])
def test_names_are_whole_in_a_narrow_terminal_and_missing_drawings_are_named(
    command_line, models, monkeypatch, tmp_path, width, rank
):
    assert command_line("data", "pictures", "glyphs:200")[0] == 0
    three, seven = (str(next(tmp_path.glob(f"pictures/{digit}-*")).relative_to(tmp_path)) for digit in (3, 7))
    monkeypatch.setenv("COLUMNS", str(width))
    out = command_line("predict", models("final_model"), three, seven, *rank)[1]
    assert max(map(len, out.splitlines())) <= width
    for name in (three, seven):
        assert any(name in line or name.rpartition("/")[2] in line.split() for line in out.splitlines()), out
    assert ("no room here for the drawings" in out) == (width == 40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected either pictures or --test, got neither"),
        (["none.onnx", "3.png", "7.png"], "none.onnx"),
        (["3.png", "none.onnx"], "none.onnx: expected a picture"),
        (
            ["3.png", "7.png", "--data", "mnist5k"],
            "expected --data with --test only, got it with pictures: leave it out",
        ),
    ],
)
def test_the_model_comes_first_and_may_be_left_out(command_line, pictures, arguments, message):
    status, out, err = command_line("predict", *arguments)
    assert (status, out) == (2, "")
    assert message in err.splitlines()[-1]


def test_a_file_of_a_users_images_is_measured_where_they_are(command_line, models, digits5k, tmp_path):
    """Exports of runs on a folder of images do not name it: the command says what to add."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for part, pool in (("train", digits5k.train), ("t10k", digits5k.test)):
        some = np.random.default_rng(0).permutation(len(pool.labels))[:200]
        write_idx(folder / f"{part}-images-idx3-ubyte", pool.pixels[some])
        write_idx(folder / f"{part}-labels-idx1-ubyte", pool.labels[some])
    dataset = load_dataset(f"idx:{folder}")
    run = Run(variant=replace(find_variant("fc_1"), recipe=Recipe(epochs=1)), images=dataset.images, pairs=100)
    export(train_and_save(run, dataset, tmp_path / "runs").folder, tmp_path / "mine.onnx", dataset=dataset)
    status, _, err = command_line("predict", "mine.onnx", "--test")
    assert (status, err.count("\n")) == (2, 1)
    assert "expected --data: the network was trained on images of its owner, idx:mine" in err
    assert "add --data idx:PATH" in err
    status, out, _ = command_line("predict", "mine.onnx", "--test", "--data", f"idx:{folder}")
    assert (status, "on 100 pairs of idx:mine" in out) == (0, True)
