"""Which runs of a folder belong on one page: one data set, one setting, each with its rows; and what is left out."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pairnet.errors import ArgumentError, RecordError
from pairnet.models.variants import with_epochs
from pairnet.records.record import RunRecord
from pairnet.records.run import APART, Images, Run, nameless, names_of
from pairnet.records.settings import SEEDS_APART, by_setting, describe, facts_of
from pairnet.reporting.summaries import finished_draws
from pairnet.study.plan import Row, Study, first_run
from pairnet.study.tables import NAMES, studies
from pairnet.wording import counted


@dataclass(frozen=True, kw_only=True)
class StudyRuns:
    """A study that is shown, with the records of those of its rows that have any."""

    study: Study  # its name is that of no other one on the page
    rows: dict[str, list[RunRecord]]  # by label, in the order of the study


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The runs of one page.

    The rows of the paper's tables and networks of no table differ in network, recipe, draw and fold only; a row of a
    study of one's own may have images and numbers of pairs of its own.
    """

    tables: tuple[StudyRuns, ...]
    others: dict[str, list[RunRecord]]  # networks of no table, by label; each label has one setting
    data: Images  # of every row that does not state its own
    pairs: int
    device: str
    epochs: int | None  # of every row of the paper's tables; None: each row's own
    taken: tuple[str, ...]  # one line for each kind of run that is shown
    left_out: tuple[str, ...]  # one line for each kind of run that does not belong here
    folder: Path  # of the records, for the commands that repeat them

    @property
    def labelled(self) -> list[tuple[str, list[RunRecord]]]:
        """Every row of the page in its order; a row of two tables is there twice."""
        return [*(item for table in self.tables for item in table.rows.items()), *self.others.items()]

    @property
    def records(self) -> list[RunRecord]:
        """All runs that are shown, each once: those of finished draws."""
        found: dict[str, RunRecord] = {}
        for _, each in self.labelled:
            finished = finished_draws(each)
            found |= {record.fingerprint: record for record in each if record.run.draw in finished}
        return list(found.values())

    @property
    def tested(self) -> dict[str, list[RunRecord]]:
        """The rows that were tested on test pairs, by label: those of the tables, then the others; each once."""
        found: dict[str, list[RunRecord]] = {}
        seen = set[frozenset[str]]()
        for label, rows in self.labelled:
            key = frozenset(record.fingerprint for record in rows)
            if rows[0].run.fold is None and key not in seen and label not in found:
                found[label] = rows
                seen.add(key)
        return found


def choose(
    records: Sequence[RunRecord],
    *,
    every: Sequence[RunRecord] | None = None,
    own: Sequence[Study] = (),
    epochs: int | Literal["own", "most"] = "most",
    pairs: int | None = None,
    test_pairs: int | None = None,
    folder: Path = Path("runs"),
) -> Selection:
    """The runs of `records` that belong together: the data set, number of pairs and setting with the most runs.

    every: all records of the folder, if `records` were selected from them; what was not selected counts as left out.
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
    mine = [StudyRuns(study=study, rows=_rows(study, settings, context, epochs=None)) for study in distinct(own)]
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
    filled = [StudyRuns(study=each, rows=_rows(each, by_setting(in_tables), context, epochs=length)) for each in tables]
    shown_tables = _unmixed([table for table in mine if table.rows], list(_fullest(mine, filled)))
    in_mine = {record.fingerprint for table in mine for rows in table.rows.values() for record in rows}
    foreign = [  # runs of held seeds belong to no table of the paper
        each
        for each in kept
        if each.fingerprint not in in_mine and (each.fingerprint not in lengths or each.run.own_seeds is not None)
    ]
    selection = Selection(
        tables=shown_tables,
        others=_labelled(foreign, {label for table in shown_tables for label in table.rows}),
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
    among = list(dict.fromkeys(record.run.images for record in [*shown, *left]))
    return replace(selection, taken=tuple(_lines(shown, (), among)), left_out=tuple(_lines(left, shown, among)))


def distinct(own: Sequence[Study]) -> list[Study]:
    """Studies of one's own under names that distinguish them from each other and from the tables.

    Where a name alone does not, the digest of what a study measures is added, and its name to a title that is there
    twice.
    """
    names, titles = [study.name for study in own], [study.title for study in own]
    found = []
    for study in own:
        taken = study.name in NAMES or names.count(study.name) > 1
        name = f"{study.name}-{study.digest}" if taken else study.name
        title = study.title if titles.count(study.title) == 1 else f"{study.title} ({name})"
        found.append(replace(study, name=name, title=title))
    return found


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What the rows of a page share unless they say otherwise."""

    known: tuple[Images, ...]  # the images of all records, those of the page first
    pairs: int
    test_pairs: int
    folds: int | None  # of rows that are cross-validated; None: as many as their study says
    device: str


def _rows(
    study: Study, records: Mapping[Run, list[RunRecord]], context: _Context, *, epochs: int | None
) -> dict[str, list[RunRecord]]:
    """The records of each row of a study that has a finished draw, by what was run and not by label."""
    found = {}
    for row in study.rows:
        for setting in _settings(study, row, context, epochs):
            apart = replace(setting, own_seeds=APART)
            there = [*records.get(setting, ()), *records.get(apart, ())]
            own = [record for record in there if study.seeding.includes(record.run)]
            if finished_draws(own):
                found[row.label] = own
                break
    return found


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
    shown, covered = (
        set[str](),
        {record.fingerprint for table in own for rows in table.rows.values() for record in rows},
    )
    for table in sorted(tables, key=lambda table: -len(table.rows)):
        runs = {record.fingerprint for rows in table.rows.values() for record in rows}
        if runs - covered:
            shown.add(table.study.name)
            covered |= runs
    return (table for table in tables if table.study.name in shown)


def _unmixed(own: Sequence[StudyRuns], tables: Sequence[StudyRuns]) -> tuple[StudyRuns, ...]:
    """The studies of a page, so that a label stands for the same runs in each of them.

    A row of a study of one's own whose label another study has for something else gets the name of its study too.
    """
    seen: dict[str, Run] = {}
    for table in tables:
        seen |= {label: rows[0].run.setting for label, rows in table.rows.items()}
    found = []
    for table in own:
        names = {
            label: f"{label} ({table.study.name})"
            for label, rows in table.rows.items()
            if seen.setdefault(label, rows[0].run.setting) != rows[0].run.setting
        }
        study = replace(
            table.study,
            rows=tuple(replace(row, label=names.get(row.label, row.label)) for row in table.study.rows),
            compare=names.get(table.study.compare, table.study.compare),
        )
        found.append(StudyRuns(study=study, rows={names.get(label, label): rows for label, rows in table.rows.items()}))
    return (*found, *tables)


def _labelled(records: Sequence[RunRecord], taken: Set[str]) -> dict[str, list[RunRecord]]:
    """Networks of no table by their label; where that is not their own alone, their setting is added."""
    found: dict[str, list[RunRecord]] = {}
    settings = {setting: rows for setting, rows in by_setting(records).items() if finished_draws(rows)}
    labels = [rows[0].run.name for rows in settings.values()]
    for label, rows, name in zip(labels, settings.values(), describe(list(settings)), strict=True):
        found[label if labels.count(label) == 1 and label not in taken else f"{label}, {name}"] = rows
    return found


def _lines(records: Sequence[RunRecord], shown: Sequence[RunRecord], among: Sequence[Images]) -> Iterator[str]:
    """Numbers of runs by what is said of them: rows of one setting together, and what distinguishes them from `shown`.

    among: the images of all records, whose names are to differ.
    """
    names = dict(zip(among, names_of(among), strict=True))
    like: dict[Hashable, dict[Run, None]] = {}
    for record in shown:
        like.setdefault((record.run.name, _words(record.run, names)), {})[record.run.setting] = None
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        words = _words(record.run, names)
        difference = _difference(record.run.setting, list(like.get((record.run.name, words), ())))
        groups.setdefault((words, difference), []).append(record)
    for (words, difference), found in groups.items():
        labels = list(dict.fromkeys(record.run.name for record in found))
        named = ", ".join(labels[:3]) + (f" and {len(labels) - 3} more rows" if len(labels) > 3 else "")
        yield f"{counted(len(found), 'run')} of {named}: {words}{difference}"


def _words(run: Run, names: Mapping[Images, str]) -> str:
    """What is said of a setting: "25 epochs, 1,000 pairs of mnist, on cpu"."""
    if run.elsewhere is not None:
        return f"tested on {counted(run.tested, 'pair')} of {names[run.images]}"
    how = "" if run.fold is None else f" in {run.folds} folds"
    tested = "" if run.fold is not None or run.tested == run.pairs else f", {run.tested:,} for testing"
    trained = f"{counted(run.recipe.epochs, 'epoch')}, {counted(run.pairs, 'pair')} of {names[run.images]}"
    seeds = "" if run.own_seeds is None else f", {SEEDS_APART}"
    return f"{trained}{tested}{how}{seeds}, on {run.device}"


def _difference(setting: Run, shown: Sequence[Run]) -> str:
    """What distinguishes a setting from those that are shown in the same words."""
    if setting in shown:
        return ", draws that are not finished"
    if not shown:
        return ""
    own, other = facts_of(setting), facts_of(shown[0])
    return f" ({', '.join(f'{key} {value}' for key, value in own.items() if other[key] != value)})"
