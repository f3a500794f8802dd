"""Random command lines: each ends with a known exit status and, if it fails, one line; never a traceback.

PAIRNET_ATTACK=long tries 3,000 command lines in place of 150.
"""

import os
import random

LINES = 3_000 if os.environ.get("PAIRNET_ATTACK") == "long" else 150
COMMANDS = ("train", "evaluate", "variants", "export", "predict", "data info", "data list", "calibration", "runs")
OPTIONS = (
    *("--epochs", "--pairs", "--seed", "--data", "--data-dir", "--device", "--runs", "--output", "--model", "--run"),
    *("--opset", "--max-drop", "--precision", "--input", "--threads", "--provider", "--json", "--force", "--long"),
    *("--file", "--split", "--with-digits", "--rank", "--test", "--all-of-it", "--out", "--repeats"),
)
VALUES = (
    *("", " ", "-1", "0", "1", "99999999999999999999", "1e9", "nan", "x", "\x1b[31m", "[red]", "/dev/null", "nowhere"),
    *("glyphs:2", "glyphs:-1", "glyphs::", "idx:", "idx:.", "mnist6k", "cpu", "cuda", "int8", "fp64", "é" * 50),
)


def test_random_command_lines_end_in_one_line(command_line):
    rng = random.Random(0)
    for _ in range(LINES):
        arguments = rng.choice(COMMANDS).split()
        for _ in range(rng.randrange(4)):
            arguments.append(rng.choice(OPTIONS))
            if rng.random() < 0.7:
                arguments.append(rng.choice(VALUES))
        if rng.random() < 0.5:
            arguments.append(rng.choice(VALUES))
        if "train" in arguments or "export" in arguments:
            arguments += ["--data", "glyphs:4"]  # too few images to train on: nothing takes long
        status, _, err = command_line(*arguments)
        assert status in (0, 1, 2), arguments
        assert "Traceback" not in err, arguments
        assert "this is a bug" not in err, (arguments, err)
        assert "\x1b[31m" not in err, arguments
        if status:
            assert err.splitlines()[-1].startswith("pairnet: "), arguments
