"""What was run, and how to repeat it: everything that the records of a page say about where its results come from."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pairnet.models.recipes import Recipe
from pairnet.records.failures import how_they_failed
from pairnet.records.record import RunRecord
from pairnet.records.run import MEASUREMENTS, PAPER_PAIRS
from pairnet.reporting.shown import Selection, StudyRuns
from pairnet.reporting.summaries import kernels_of


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Where the results of some runs come from; each tuple has every value that occurs."""

    runs: int
    failed: tuple[tuple[str, str], ...]  # rows with failed runs, and how these failed
    draws: tuple[int, ...]  # seeds
    apart: int  # runs of seeds that are held, so that they are no draws of their own
    apart_draws: tuple[int, ...]  # of these, the combinations that are a draw's
    seconds: float  # wall time of all runs, added up
    data: str
    checksum: str
    pairs: tuple[int, ...]
    test_pairs: tuple[int, ...]
    hardware: tuple[str, ...]
    versions: tuple[str, ...]
    revisions: tuple[str, ...]
    engines: tuple[str, ...]
    recipes: tuple[tuple[str, str], ...]  # rows, and how they were trained where that is not the paper's recipe
    commands: tuple[str, ...]  # that repeat the runs


def origins_of(selection: Selection) -> Origins:
    """Where the results of a page come from."""
    records, apart = selection.records, _apart(selection)
    return Origins(
        runs=len(records),
        failed=tuple((label, how_they_failed(found)) for label, found in selection.failures.items()),
        draws=tuple(sorted({record.run.seed for record in records if record.fingerprint not in apart})),
        apart=len(apart),
        apart_draws=tuple(sorted({each.run.seed for each in apart.values() if each.run.own_seeds is None})),
        seconds=sum(record.seconds for record in records),
        data=selection.data.name,
        checksum=selection.data.checksum,
        pairs=tuple(sorted({record.run.pairs for record in records})),
        test_pairs=tuple(sorted({record.run.tested for record in records if record.run.fold is None})),
        hardware=_values(records, _machine),
        versions=_values(records, lambda r: ", ".join(f"{k} {v}" for k, v in sorted(r.environment.versions.items()))),
        revisions=_values(records, lambda record: record.environment.revision),
        engines=_values(records, lambda record: record.environment.engine or "unknown"),
        recipes=_recipes(selection),
        commands=tuple(_commands(selection)),
    )


def _apart(selection: Selection) -> dict[str, RunRecord]:
    """Runs of held seeds: all combinations of a study that holds or crosses streams, but for draws of others."""
    crossed = [table for table in selection.tables if table.study.seeding.vary or table.study.seeding.hold]
    own = {fingerprint for table in crossed for fingerprint in table.fingerprints}
    others = {fingerprint for table in selection.tables if table not in crossed for fingerprint in table.fingerprints}
    others |= {record.fingerprint for records in selection.others.values() for record in records}
    return {
        record.fingerprint: record
        for record in selection.records
        if record.run.own_seeds is not None or record.fingerprint in own - others
    }


def _values(records: Sequence[RunRecord], value: Callable[[RunRecord], str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sorted(value(record) for record in records)))


def _machine(record: RunRecord) -> str:
    """CPU, and the card if the run was computed on one."""
    place, gpu = record.environment, record.environment.gpu
    card = f"{gpu.name}, driver {gpu.driver}, CUDA {gpu.cuda}" if gpu else ""
    return ", ".join(filter(None, (place.hardware, record.run.device, kernels_of(record), card)))


def _recipes(selection: Selection) -> tuple[tuple[str, str], ...]:
    """Rows by what their recipe changes in the paper's, in the order of the page."""
    usual = Recipe().to_dict()
    stated = {row.label: row.steps for table in selection.tables for row in table.study.rows if row.steps}
    found: dict[str, list[str]] = {}
    for label, run in selection.runs.items():
        changed = {name: value for name, value in run.recipe.to_dict().items() if value != usual[name]}
        if label in stated:  # its number of epochs follows from it
            changed = {"steps": f"{stated[label]:,}", **changed}
        text = ", ".join(f"{name} {_setting(value)}" for name, value in changed.items()) or "the paper's recipe"
        found.setdefault(text, []).append(label)
    return tuple(
        ("; ".join(labels) if any("," in each for each in labels) else ", ".join(labels), text)
        for text, labels in found.items()
    )


def _setting(value: object) -> str:
    """A value of a recipe: numbers short, warps without what they leave at 0."""
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {each:g}" for name, each in value.items() if each) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("True", "yes")


def _commands(selection: Selection) -> Iterator[str]:
    """The commands that repeat the runs of the tables, and of other networks where they have a name of their own."""
    where = "" if selection.folder == Path("runs") else f" --runs {shlex.quote(str(selection.folder))}"
    for table in selection.tables:
        study = table.study
        what = f"reproduce --table {study.name}" if study.file is None else f"study {shlex.quote(str(study.file))}"
        yield f"pairnet {what}{_draws(table)}{_options(selection, table)}{where}"
    for label, records in selection.others.items():
        yield f"pairnet train {records[0].run.variant.name}, with the structure and recipe of {label} in a file"


def _draws(table: StudyRuns) -> str:
    """The options that take every draw of a table, from its smallest to its largest; none if the study states them."""
    seeding, seeds = table.study.seeding, [record.run.seed for rows in table.rows.values() for record in rows]
    seeds += [each.run.seed for failures in table.failed.values() for each in failures if each.run]
    if seeding.count is not None:
        return ""
    if table.study.file is None and min(seeds):
        return f" --first-seed {min(seeds)} --draws {1 + max(seeds) - min(seeds)}"
    return f" --draws {1 + max(seeds) - seeding.first}"


def _options(selection: Selection, table: StudyRuns) -> str:
    """The options of a study that are not what the study itself says: a kept file says what was chosen for it."""
    runs = [record.run for rows in table.rows.values() for record in rows]
    runs += [each.run for failures in table.failed.values() for each in failures if each.run]
    tested = {run.tested for run in runs if run.fold is None} - {selection.pairs}
    chosen = [
        f"--data {shlex.quote(selection.data.source)}",
        f"--epochs {selection.epochs}" if selection.epochs is not None and table.study.file is None else "",
        f"--pairs {selection.pairs}" if selection.pairs != PAPER_PAIRS else "",
        *(f"--test-pairs {number}" for number in sorted(tested)),
    ]
    measured = max(run.measurements for run in runs)
    every = all(run.measurements >= run.recipe.epochs for run in runs)
    parts = [
        *(() if table.study.chosen else chosen),
        "" if measured <= MEASUREMENTS else f"--measurements {'every' if every else measured}",
        f"--device {selection.device}" if selection.device != "cpu" else "",
    ]
    return "".join(f" {part}" for part in parts if part)
