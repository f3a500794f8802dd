"""Which runs of a folder belong on one page: one data set, one setting, each with its rows; and what is left out."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pairnet.errors import ArgumentError, RecordError
from pairnet.models.variants import with_epochs
from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Draw, Images, Run, nameless
from pairnet.records.seeds import APART
from pairnet.records.settings import Recorded, by_setting
from pairnet.reporting.naming import apart_lines, distinct, failed_lines, labelled, lines
from pairnet.reporting.shown import Selection, StudyRuns
from pairnet.reporting.summaries import finished_draws
from pairnet.study.contrasts import relabelled
from pairnet.study.plan import Row, Study, first_run
from pairnet.study.tables import studies


def choose(
    records: Sequence[RunRecord],
    *,
    failures: Sequence[FailedRun] = (),
    every: Sequence[RunRecord] | None = None,
    every_failure: Sequence[FailedRun] | None = None,
    own: Sequence[Study] = (),
    epochs: int | Literal["own", "most"] = "most",
    pairs: int | None = None,
    test_pairs: int | None = None,
    folder: Path = Path("runs"),
) -> Selection:
    """The runs of `records` that belong together: the data set, number of pairs and setting with the most runs.

    failures: the runs that failed; those of a setting that is shown belong to its row, also if nothing else does.
    every, every_failure: all of the folder, if these were selected from them; what was not selected counts as left out.
    own: studies of one's own, whose rows may have numbers of pairs, folds and images of their own.
    epochs: of the rows of the tables, a number or each row's "own", or what most runs have.
    pairs, test_pairs: those of the page, if it is not to be what most runs have.
    folder: that of the records.
    RecordError if there is no such record.
    """
    every = every or records
    records = [record for record in records if record.run.elsewhere is None]  # a page is about runs of pairnet
    if not records and every:
        raise RecordError(
            "expected runs that pairnet trained, got networks trained elsewhere: `pairnet runs` lists them"
        )
    if not records:
        raise RecordError("expected finished runs, got none: `pairnet reproduce` makes some")
    pairs = pairs or next((study.pairs for study in own if study.pairs), None)
    there = [record for record in records if pairs in (None, record.run.pairs)] or records
    asked = [record for record in there if record.run.recipe.epochs == epochs]
    first = _most(asked or there, _images_pairs_and_device)[0].run
    kept = [record for record in there if _images_pairs_and_device(record) == _images_pairs_and_device(first)]
    tested = [each for each in kept if each.run.fold is None and test_pairs in (None, each.run.tested)]
    tested = _most(tested, lambda record: record.run.tested)
    validated = _most([each for each in kept if each.run.fold is not None], lambda record: record.run.folds)
    kept = [*tested, *validated]
    context = _Context(
        known=tuple(dict.fromkeys([first.images, *(record.run.images for record in records)])),
        pairs=first.pairs,
        test_pairs=tested[0].run.tested if tested else first.tested,
        folds=validated[0].run.folds if validated else None,
        device=first.device,
    )
    settings = by_setting(records if not isinstance(epochs, int) else asked)
    failing = by_setting([f for f in failures if f.run and epochs in ("own", "most", f.run.recipe.epochs)])
    mine = [_filled(study, settings, failing, context, epochs=None) for study in distinct(own)]
    tables = tuple(studies().values())
    lengths = _lengths(tables, kept)
    in_tables = [each for each in kept if each.fingerprint in lengths]
    if epochs == "most":
        most = _most(in_tables, lambda record: lengths[record.fingerprint])
        length = lengths[most[0].fingerprint] if most else None
    else:
        length = None if epochs == "own" else epochs
    in_tables = [  # a row whose own number is the one asked for belongs to both
        record
        for record in in_tables
        if lengths[record.fingerprint] == length or (length is not None and record.run.recipe.epochs == length)
    ]
    filled = [_filled(each, by_setting(in_tables), failing, context, epochs=length) for each in tables]
    shown_tables = _unmixed([table for table in mine if table.setting], list(_fullest(mine, filled)))
    in_mine = {fingerprint for table in mine for fingerprint in table.fingerprints}
    apart = _held_apart(every)  # they belong to their study, or to a page of nothing else
    if not any(table.setting for table in shown_tables) and {each.fingerprint for each in kept} <= {*apart}:
        apart = type(apart)()
    foreign = [each for each in kept if each.fingerprint not in {*in_mine, *lengths, *apart}]
    foreign_failures = [
        each
        for each in failures
        if each.run is not None
        and each.fingerprint not in in_mine
        and not _in_tables(each.run, tables)
        and each.run.own_seeds is None
        and _belongs(each.run, first, context)
    ]
    others, others_failed = labelled(
        foreign, foreign_failures, {label for table in shown_tables for label in table.setting}
    )
    selection = Selection(
        tables=shown_tables,
        others=others,
        others_failed=others_failed,
        data=first.images,
        pairs=context.pairs,
        device=context.device,
        epochs=length,
        taken=(),
        left_out=(),
        folder=folder,
    )
    shown = selection.records
    if not shown:
        raise RecordError("expected finished draws of one setting, got none: run `pairnet reproduce` to its first draw")
    fingerprints = {record.fingerprint for record in shown}
    left = [record for record in every if record.fingerprint not in fingerprints]
    left_apart = [record for record in left if record.fingerprint in apart]
    left = [record for record in left if record.fingerprint not in apart]
    among = list(dict.fromkeys(record.run.images for record in [*shown, *left]))
    seen = {failure.fingerprint for found in selection.failures.values() for failure in found}
    failed = failures if every_failure is None else every_failure
    not_shown = [each for each in failed if each.fingerprint not in seen]
    return replace(
        selection,
        taken=tuple(lines(shown, (), among)),
        left_out=(*lines(left, shown, among), *apart_lines(left_apart, folder), *failed_lines(not_shown)),
    )


def _held_apart(records: Sequence[RunRecord]) -> set[str]:
    """Fingerprints of the runs that are no draws of their network, since they share seeds.

    A single draw of the same network next to them is the first of them, and no row by itself either.
    """
    apart = {replace(each.run.setting, own_seeds=None) for each in records if each.run.own_seeds is not None}
    draws: dict[Run, set[Draw]] = {}
    for each in records:
        if each.run.own_seeds is None:
            draws.setdefault(each.run.setting, set()).add(each.run.draw)
    alone = {setting for setting, found in draws.items() if len(found) == 1} & apart
    return {each.fingerprint for each in records if each.run.own_seeds is not None or each.run.setting in alone}


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What the rows of a page share unless they say otherwise."""

    known: tuple[Images, ...]  # the images of all records, those of the page first
    pairs: int
    test_pairs: int
    folds: int | None  # of rows that are cross-validated; None: as many as their study says
    device: str


def _filled(
    study: Study,
    records: Mapping[Run, list[RunRecord]],
    failures: Mapping[Run, list[FailedRun]],
    context: _Context,
    *,
    epochs: int | None,
) -> StudyRuns:
    """A study with the records of each row that has a finished draw, by what was run and not by label.

    Failed runs are those of the same setting; of a row without a finished draw, those of the first that has any.
    """
    rows: dict[str, list[RunRecord]] = {}
    failed: dict[str, list[FailedRun]] = {}
    for row in study.rows:
        for setting in _settings(study, row, context, epochs):
            done, lost = _own(study, records, setting), _own(study, failures, setting)
            if finished_draws(done):
                rows[row.label], failed[row.label] = done, lost
                break
            if lost:
                failed.setdefault(row.label, lost)
    return StudyRuns(study=study, rows=rows, failed={label: lost for label, lost in failed.items() if lost})


def _own(study: Study, records: Mapping[Run, list[Recorded]], setting: Run) -> list[Recorded]:
    """The runs of a setting, and of the one whose seeds are held apart, that are repetitions of a study."""
    there = [*records.get(setting, ()), *records.get(replace(setting, own_seeds=APART), ())]
    return [record for record in there if record.run is not None and study.seeding.includes(record.run)]


def _settings(study: Study, row: Row, context: _Context, epochs: int | None) -> Iterator[Run]:
    """The settings that a row may have: what was chosen for it, or what the page has, on images that its data names."""
    chosen = study.choice(row.data)
    if chosen is not None:
        known = [images for images in context.known if images.checksum == chosen.checksum]
    else:
        known = [images for images in context.known if row.data is None or images.are_called(row.data)]
        known = known if row.data is not None else known[:1]
    for images in known:
        with suppress(ArgumentError):  # fewer pairs than folds: there is no such run
            yield first_run(
                study,
                row,
                images,
                epochs=epochs,
                pairs=chosen.pairs if chosen else study.pairs or context.pairs,
                test_pairs=chosen.test_pairs if chosen else study.test_pairs or context.test_pairs,
                folds=context.folds if study.file is None else None,
                device=context.device,
            ).setting


def _images_pairs_and_device(of: RunRecord | Run) -> tuple[str, int, str]:
    """What all runs of a page have in common."""
    run = of.run if isinstance(of, RunRecord) else of
    return run.images.checksum, run.pairs, run.device


def _most(records: Sequence[RunRecord], key: Callable[[RunRecord], Hashable]) -> list[RunRecord]:
    """The records with the most frequent key; of several as frequent, the one whose first record came last."""
    groups: dict[Hashable, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return max(reversed(groups.values()), key=len, default=[])


def _belongs(run: Run, first: Run, context: _Context) -> bool:
    """Whether a run of no table is one of those that a page is about."""
    held_out = run.folds == context.folds if run.fold is not None else run.tested == context.test_pairs
    return held_out and _images_pairs_and_device(run) == _images_pairs_and_device(first)


def _in_tables(run: Run, tables: Sequence[Study]) -> bool:
    """Whether a run trains a network of the tables, for any number of epochs."""
    network = with_epochs(run.setting.variant, 1)
    return any(network == with_epochs(nameless(row.variant), 1) for study in tables for row in study.rows)


def _lengths(tables: Sequence[Study], records: Sequence[RunRecord]) -> dict[str, int | None]:
    """For each run of a network in the tables: None if it has its row's number of epochs, otherwise its own number."""
    own = {nameless(row.variant) for study in tables for row in study.rows}
    any_length = {with_epochs(variant, 1) for variant in own}
    found: dict[str, int | None] = {}
    for record in records:
        network = record.run.setting.variant
        if network in own:
            found[record.fingerprint] = None
        elif with_epochs(network, 1) in any_length:
            found[record.fingerprint] = record.run.recipe.epochs
    return found


def _fullest(own: Sequence[StudyRuns], tables: Sequence[StudyRuns]) -> Iterator[StudyRuns]:
    """Tables that have a row which no fuller one shows: runs of Table III alone do not begin the ablation table.

    A study of one's own is always shown, and a table all of whose runs it has is not.
    """
    shown, covered = set[str](), {fingerprint for table in own for fingerprint in table.fingerprints}
    for table in sorted(tables, key=lambda table: (-len(table.setting), _renamed(table))):
        if table.fingerprints - covered:
            shown.add(table.study.name)
            covered |= table.fingerprints
    return (table for table in tables if table.study.name in shown)


def _renamed(table: StudyRuns) -> int:
    """Number of rows that are not called as their variant: of two tables that a run fits, it belongs to the other."""
    return sum(row.label != row.variant.name for row in table.study.rows if row.label in table.setting)


def _unmixed(own: Sequence[StudyRuns], tables: Sequence[StudyRuns]) -> tuple[StudyRuns, ...]:
    """The studies of a page, so that a label stands for the same runs in each of them.

    A row of a study of one's own whose label another study has for something else gets the name of its study too.
    """
    seen = {label: setting for table in tables for label, setting in table.setting.items()}
    found = []
    for table in own:
        names = {
            label: f"{label} ({table.study.name})"
            for label, setting in table.setting.items()
            if seen.setdefault(label, setting) != setting
        }
        study = replace(
            table.study,
            rows=tuple(replace(row, label=names.get(row.label, row.label)) for row in table.study.rows),
            contrasts=tuple(relabelled(each, names) for each in table.study.contrasts),
            compare=names.get(table.study.compare, table.study.compare),
        )
        rows = {names.get(label, label): records for label, records in table.rows.items()}
        failed = {names.get(label, label): failures for label, failures in table.failed.items()}
        found.append(StudyRuns(study=study, rows=rows, failed=failed))
    return (*found, *tables)
