"""Which runs of a folder belong on one page: one data set, one setting, each with its rows; and what is left out."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

from pairnet.artifact.text import counted
from pairnet.errors import RecordError
from pairnet.models.variants import Variant
from pairnet.reporting.summaries import finished_draws
from pairnet.study.plan import Study
from pairnet.study.records import DataFacts, RunRecord
from pairnet.study.settings import by_setting, describe, is_source, nameless
from pairnet.study.tables import studies


@dataclass(frozen=True, kw_only=True)
class TableRuns:
    """A table that is shown, with the records of those of its rows that have any."""

    study: Study
    rows: dict[str, list[RunRecord]]  # by label, in the order of the table


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The runs of one page. They differ in network, recipe, draw and fold only: never in data or number of pairs."""

    tables: tuple[TableRuns, ...]
    others: dict[str, list[RunRecord]]  # networks of no table, by label; each label has one setting
    data: DataFacts
    pairs: int
    device: str
    epochs: int | None  # of every row of the tables; None: each row's own
    left_out: tuple[str, ...]  # one line for each kind of run that does not belong here

    @property
    def records(self) -> list[RunRecord]:
        """All runs that are shown, each once: those of finished draws."""
        rows = [*(rows for table in self.tables for rows in table.rows.values()), *self.others.values()]
        found: dict[str, RunRecord] = {}
        for each in rows:
            finished = finished_draws(each)
            found |= {record.fingerprint: record for record in each if record.seeds.train_draw in finished}
        return list(found.values())

    @property
    def tested(self) -> dict[str, list[RunRecord]]:
        """The rows that were tested on test pairs, by label: those of the tables, then the others; each once."""
        found: dict[str, list[RunRecord]] = {}
        seen = set[frozenset[str]]()
        labelled = [
            *((label, rows) for table in self.tables for label, rows in table.rows.items()),
            *self.others.items(),
        ]
        for label, rows in labelled:
            key = frozenset(record.fingerprint for record in rows)
            if rows[0].fold is None and key not in seen and label not in found:
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
) -> Selection:
    """The runs of `records` that belong together: the data set, number of pairs and setting with the most runs.

    every: all records of the folder, if `records` were selected from them; what was not selected counts as left out.
    own: studies of one's own, whose rows may have numbers of pairs, folds and images of their own.
    epochs: of the rows of the tables, a number or each row's "own", or what most runs have.
    pairs, test_pairs: those of the page, if it is not to be what most runs have.
    RecordError if there is no such record.
    """
    if not records:
        raise RecordError("expected finished runs, got none: `pairnet reproduce` makes some")
    pairs = pairs or next((study.pairs for study in own if study.pairs), None)
    there = [record for record in records if pairs in (None, record.pairs)] or records
    asked = [record for record in there if record.recipe.epochs == epochs]
    first = _most(asked or there, _images_pairs_and_device)[0]
    kept = [record for record in there if _images_pairs_and_device(record) == _images_pairs_and_device(first)]
    tested = [each for each in kept if each.fold is None]
    tested = _most([each for each in tested if test_pairs in (None, each.test_pairs)], lambda r: r.test_pairs)
    validated = _most([each for each in kept if each.fold is not None], lambda record: record.folds)
    kept = [*tested, *validated]
    networks = {record.fingerprint: nameless(record.variant) for record in records}
    context = _Context(
        data=first.data,
        pairs=first.pairs,
        test_pairs=tested[0].test_pairs if tested else first.test_pairs,
        device=first.environment.device,
    )
    mine = [TableRuns(study=study, rows=_own_rows(study, records, networks, context)) for study in own]
    tables = tuple(studies().values())
    lengths = _lengths(tables, kept, networks)
    in_tables = [each for each in kept if each.fingerprint in lengths]
    if epochs == "most":
        most = _most(in_tables, lambda record: lengths[record.fingerprint])
        length = lengths[most[0].fingerprint] if most else None
    else:
        length = None if epochs == "own" else epochs
    in_tables = [  # a row whose own number is the one asked for belongs to both
        record
        for record in in_tables
        if lengths[record.fingerprint] == length or (length is not None and record.recipe.epochs == length)
    ]
    filled = [TableRuns(study=study, rows=_rows(study, in_tables, networks, length)) for study in tables]
    shown_tables = tuple(_fullest([*mine, *filled]))
    in_mine = {record.fingerprint for table in mine for rows in table.rows.values() for record in rows}
    foreign = [each for each in kept if each.fingerprint not in {*lengths, *in_mine}]
    others = _labelled(foreign, {label for table in shown_tables for label in table.rows})
    selection = Selection(
        tables=shown_tables,
        others=others,
        data=context.data,
        pairs=context.pairs,
        device=context.device,
        epochs=length,
        left_out=(),
    )
    shown = {record.fingerprint for record in selection.records}
    if not shown:
        raise RecordError("expected finished draws of one setting, got none: run `pairnet reproduce` to its first draw")
    left = [record for record in (every or records) if record.fingerprint not in shown]
    return replace(selection, left_out=tuple(_describe(left)))


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What the rows of a page share unless they say otherwise."""

    data: DataFacts
    pairs: int
    test_pairs: int
    device: str


def _own_rows(
    study: Study, records: Sequence[RunRecord], networks: Mapping[str, Variant], context: _Context
) -> dict[str, list[RunRecord]]:
    """The records of each row of a study of one's own that has a finished draw."""
    found = {}
    for row in study.rows:
        wanted, folds = nameless(row.variant), study.folds_of(row)
        rows = [
            record
            for record in records
            if networks[record.fingerprint] == wanted
            and record.environment.device == context.device
            and record.pairs == (row.pairs or context.pairs)
            and (record.folds if record.fold is not None else None) == folds
            and (folds is not None or record.test_pairs == (row.test_pairs or context.test_pairs))
            and (is_source(record.data, row.data) if row.data else record.data.checksum == context.data.checksum)
        ]
        if finished_draws(rows):
            found[row.label] = rows
    return found


def _images_pairs_and_device(record: RunRecord) -> tuple[str, int, str]:
    """What all runs of a page have in common."""
    return record.data.checksum, record.pairs, record.environment.device


def _most(records: Sequence[RunRecord], key: Callable[[RunRecord], Hashable]) -> list[RunRecord]:
    """The records with the most frequent key; of several as frequent, the one whose first record came last."""
    groups: dict[Hashable, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return max(reversed(groups.values()), key=len, default=[])


def _lengths(
    tables: Sequence[Study], records: Sequence[RunRecord], networks: Mapping[str, Variant]
) -> dict[str, int | None]:
    """For each run of a network in the tables: None if it has its row's number of epochs, otherwise its own number."""
    own = {nameless(row.variant) for study in tables for row in study.rows}
    any_length = {_lasting(variant, 1) for variant in own}
    found: dict[str, int | None] = {}
    for record in records:
        network = networks[record.fingerprint]
        if network in own:
            found[record.fingerprint] = None
        elif _lasting(network, 1) in any_length:
            found[record.fingerprint] = record.recipe.epochs
    return found


def _lasting(variant: Variant, epochs: int | None) -> Variant:
    return variant if epochs is None else replace(variant, recipe=replace(variant.recipe, epochs=epochs))


def _fullest(tables: Sequence[TableRuns]) -> Iterator[TableRuns]:
    """Tables that have a row which no fuller table shows: runs of Table III alone do not begin the ablation table."""
    shown, covered = set[str](), set[str]()
    for table in sorted(tables, key=lambda table: -len(table.rows)):
        runs = {record.fingerprint for rows in table.rows.values() for record in rows}
        if runs - covered:
            shown.add(table.study.name)
            covered |= runs
    return (table for table in tables if table.study.name in shown)


def _rows(
    study: Study, records: Sequence[RunRecord], networks: Mapping[str, Variant], epochs: int | None
) -> dict[str, list[RunRecord]]:
    """The records of each row of a table that has a finished draw, by what was run and not by label."""
    found = {}
    suited = [record for record in records if (record.fold is not None) == study.cross_validated]
    for row in study.rows:
        wanted = nameless(_lasting(row.variant, epochs))
        own = [record for record in suited if networks[record.fingerprint] == wanted]
        if finished_draws(own):
            found[row.label] = own
    return found


def _labelled(records: Sequence[RunRecord], taken: Set[str]) -> dict[str, list[RunRecord]]:
    """Networks of no table by their label; where that is not their own alone, their setting is added."""
    found: dict[str, list[RunRecord]] = {}
    settings = {setting: rows for setting, rows in by_setting(records).items() if finished_draws(rows)}
    labels = [rows[0].label for rows in settings.values()]
    for label, rows, name in zip(labels, settings.values(), describe(list(settings)), strict=True):
        found[label if labels.count(label) == 1 and label not in taken else f"{label}, {name}"] = rows
    return found


def _describe(records: Sequence[RunRecord]) -> Iterator[str]:
    """What is left out: number of runs of each setting, rows of one setting together."""
    groups: dict[Hashable, list[RunRecord]] = {}
    for record in records:
        data = (record.data.name, record.data.checksum, record.pairs, record.environment.device, record.recipe.epochs)
        key = (*data, record.test_pairs if record.fold is None else None, None if record.fold is None else record.folds)
        groups.setdefault(key, []).append(record)
    for found in groups.values():
        first = found[0]
        labels = list(dict.fromkeys(record.label for record in found))
        named = ", ".join(labels[:3]) + (f" and {len(labels) - 3} more rows" if len(labels) > 3 else "")
        how = "" if first.fold is None else f" in {first.folds} folds"
        tested = (
            "" if first.fold is not None or first.test_pairs == first.pairs else f", {first.test_pairs:,} for testing"
        )
        yield (
            f"{counted(len(found), 'run')} of {named}: {counted(first.recipe.epochs, 'epoch')}, {first.pairs:,} pairs "
            f"of {first.data.name}{tested}{how}, on {first.environment.device}"
        )
