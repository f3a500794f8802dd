"""Records with one hostile value: refused in one line that names the field, or every command works with what they say.

PAIRNET_ATTACK=long tries every value in every field, and makes a report of each record that changes what was run.
"""

import json
import os
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from record_examples import record, rerun, run_of

from pairnet.data.sources import load_dataset
from pairnet.errors import RecordError
from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variants import find_variant
from pairnet.records.reading import read_record
from pairnet.records.record import FailedRun, Gpu, RunRecord
from pairnet.records.run import Images, Run
from pairnet.records.seeds import Seeds
from pairnet.records.store import RECORDS

LONG = os.environ.get("PAIRNET_ATTACK") == "long"

NUMBERS = (-1, -0.5, 0, 1, 2, 0.5, 10**24, -(10**24), 10**400, 1e300, 1e308, -1e308, 5e-324, 2**31, 2**53, 2**63, 2**64)
TEXTS = ("", "x", "\0", "\x1b[31m\n", "\u202e", "[bold]", "<script>", "../..", "x" * 9_999, "x" * 10_001, "\ud800")
OTHERS = (True, None, float("inf"), float("nan"), [], {}, [[]], {"a": 1}, [1, "b"])
CONTRADICTIONS = ("held-out pairs", "wrong pairs", "last epoch", "calibration bins")
"""What a message names where a value is possible by itself and contradicts others."""

DIGITS = "stands for a number of 5,000 digits"
HOSTILE = (DIGITS, *NUMBERS, *TEXTS, *OTHERS)

BINS = ((100, 50.0, 50),) * 10 + ((0, 0.0, 0),) * 5


@cache
def images(source: str = "glyphs:2000") -> Images:
    return load_dataset(source).images


def example(number: int, variant: str = "w_net") -> RunRecord:
    """A valid record that has a value in every field, of a run that takes a moment."""
    recipe = Recipe(epochs=2, batch=20, warp=Warp())
    made = record(
        number,
        variant=replace(find_variant(variant), recipe=recipe),
        images=images(),
        own_seeds=Seeds(train_draw=2 * number, test_draw=2 * number + 1, weights=number, order=number, masks=3),
        label=variant,
        pairs=60,
        calibration=BINS,
        answers_sha256="a" * 64,
    )
    place = replace(made.environment, gpu=Gpu(name="card", driver="1", cuda="1"))
    losses = dict.fromkeys(("train_auxiliary_loss", "validation_auxiliary_loss", "validation_digit_accuracy"), 0.5)
    return replace(made, environment=place, epochs=tuple(replace(epoch, **losses) for epoch in made.epochs))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in JSON; of long lists, those of the first and the last entry."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for at in sorted({0, len(value) - 1} if value else ()):
            yield from places(value[at], (*path, at))


def changed(values: dict[str, Any], path: tuple[Any, ...], value: object) -> str:
    """The JSON of a record with another value at `path`, and with the fingerprint that its run then has."""
    copy = json.loads(json.dumps(values))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    if path[0] == "run":
        with suppress(msgspec.MsgspecError, TypeError, ValueError):  # otherwise it is refused before that counts
            copy["fingerprint"] = msgspec.convert(copy["run"], Run).fingerprint
    return json.dumps(copy).replace(f'"{DIGITS}"', "9" * 5_000)


SAID = {
    "fold": "fold", "folds": "fold", "tower": "", "head": "", "net": "", "auxiliary": "", "parameters": "parameters",
    "wrong": "wrong", "epochs": "epoch", "calibration": "calibration",
}  # fmt: skip
"""What a message says of a field, if that is not its name: a structure is quoted with what is wrong in it."""


def test_every_hostile_value_is_refused_by_name_or_harmless(command_line, tmp_path: Path) -> None:
    rng = random.Random(0)
    accepted: list[tuple[str, str]] = []
    values_of_text = example(1).environment.versions  # a table of texts: msgspec names the table
    for number, failed in ((1, False), (2, True)):
        made = example(number)
        if failed:
            made = FailedRun(
                fingerprint=made.fingerprint, run=made.run, label="x", error="x", environment=made.environment
            )
        values = json.loads(made.to_json())
        for path in places(values):
            for value in HOSTILE if LONG else rng.sample(HOSTILE, 12):
                line = changed(values, path, value)
                try:
                    read_record(line)
                    accepted.append((line, f"{path} {value!r}"))
                except RecordError as error:
                    message = str(error)
                    name = next(key for key in reversed(path) if isinstance(key, str) and key not in values_of_text)
                    assert len(message.splitlines()) == 1, (path, value)
                    assert len(message) < 500, (path, value)
                    said = SAID.get(name, name) in message or "JSON" in message or "truncated" in message
                    said = said or any(what in message for what in CONTRADICTIONS)
                    said = said or (path[0] in ("schema", "error") and "missing" in message)  # read as another kind
                    assert said, (path, value, message)
    assert len(accepted) > 100
    chosen = accepted if LONG else rng.sample(accepted, 20)
    for at, (line, what) in enumerate(chosen):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        others = [example(number, variant).to_json() for number in (3, 4) for variant in ("w_net", "a_w_net")]
        (folder / RECORDS).write_text("".join(f"{each}\n" for each in (line, *others)))
        row = json.loads(line)["run"]["label"] or "w_net"
        commands = [
            ("runs", "--runs", folder),
            ("runs", "--long", "--runs", folder),
            ("runs", "--json", "--runs", folder),
            ("runs", "compare", "w_net", "a_w_net", "--runs", folder, "--json"),
            ("calibration", "w_net", "--runs", folder),
            ("calibration", "--runs", folder, "--json", "--", row.replace("\0", "")),
            ("runs", "merge", folder, "--runs", folder / "merged"),
        ]
        if LONG or at < 2:
            commands.append(("report", folder, "--json", "--output", folder / "page" / "report.html"))
        for arguments in commands:
            status, _, err = command_line(*arguments)
            assert status in (0, 2), (what, arguments, err)
            assert "bug" not in err, (what, arguments, err)
            assert "Traceback" not in err, (what, arguments, err)


def test_a_page_about_hostile_results_is_written(command_line, tmp_path: Path) -> None:
    """All results that are accepted, in one folder, each with a draw of its own; then they are verified."""
    rng, lines = random.Random(1), []
    for number in range(1_000 if LONG else 200):
        values = json.loads(example(number).to_json())
        path = rng.choice([path for path in places(values) if path[0] not in ("run", "fingerprint", "schema")])
        line = changed(values, path, rng.choice(HOSTILE))
        try:
            read_record(line)
            lines.append(line)
        except RecordError:
            pass
    assert len(lines) > 10
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / RECORDS).write_text("".join(f"{line}\n" for line in lines))
    for arguments, expected in (
        (("report", "runs"), 0),
        (("report", "runs", "runs", "--output", "changes/page.html"), 0),
        (("verify", "runs", "--sample", 2, "--seed", 1, "--jobs", 1), 1),  # the results are invented
    ):
        status, _, err = command_line(*arguments)
        assert status == expected, (arguments, err)
        assert "bug" not in err
    text = (tmp_path / "runs" / "report" / "summary.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)


def test_a_text_that_no_record_can_hold_is_refused_before_anything_runs() -> None:
    from pairnet.errors import ArgumentError

    for change in ({"label": "x" * 10_001}, {"device": "x" * 10_001}, {"pairs": 10**6 + 1}, {"test_pairs": 500_001}):
        with pytest.raises(ArgumentError, match=r"expected `\w+` of at most"):
            run_of(**change)
    with pytest.raises(ArgumentError, match="as many as for training"):
        run_of(pairs=500_001, test_pairs=None)


def test_the_largest_run_has_a_record_that_can_be_read() -> None:
    """All epochs and all pairs wrong, with numbers as long as they get, on one line and indented."""
    from pairnet.models.recipes import MOST_EPOCHS
    from pairnet.records.reading import LARGEST_RECORD, MOST_VALUES
    from pairnet.records.run import MOST_TEST_PAIRS

    made = example(0)
    epoch = msgspec.to_builtins(made.epochs[0])
    longest = {name: 1.1754943508222875e-38 if "loss" in name else 0.8333333333333334 for name in epoch}
    for indent, most in ((None, LARGEST_RECORD), (1, 2 * LARGEST_RECORD)):
        rest = len(made.to_json(indent=indent))
        one = len(json.dumps({"epochs": [longest]}, indent=indent)) + 20
        wrong = len(json.dumps({"wrong": [[MOST_TEST_PAIRS, 0.333333]]}, indent=indent)) - 10
        assert rest + MOST_EPOCHS * one + MOST_TEST_PAIRS * wrong < most
    assert MOST_EPOCHS * len(epoch) + 2 * MOST_TEST_PAIRS + 10_000 < MOST_VALUES


def test_a_record_of_more_pairs_than_there_are_images_stops_no_report(command_line, tmp_path: Path) -> None:
    made = rerun(example(1), images=images("glyphs:200"))  # 100 test pairs at most, not 1,000
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / RECORDS).write_text(f"{made.to_json()}\n")
    assert command_line("report", "runs")[0] == 0


def test_a_value_of_many_levels_is_refused_as_that() -> None:
    deep = "[" * 5_000 + "]" * 5_000
    with pytest.raises(RecordError, match="got one of hundreds of levels"):
        read_record(f'{{"unknown": {deep}, {example(1).to_json()[1:]}')
