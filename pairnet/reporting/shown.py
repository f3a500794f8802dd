"""What a page shows, as values: its studies with their records, networks of no table, and what is left out."""

from dataclasses import dataclass, field
from pathlib import Path

from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Images, Run
from pairnet.reporting.summaries import finished_draws
from pairnet.study.plan import Study


@dataclass(frozen=True, kw_only=True)
class StudyRuns:
    """A study that is shown, with the records of those of its rows that have any, and the runs that failed."""

    study: Study  # its name is that of no other one on the page
    rows: dict[str, list[RunRecord]]  # by label, in the order of the study
    failed: dict[str, list[FailedRun]] = field(default_factory=dict)  # by label, also of rows without a record

    @property
    def setting(self) -> dict[str, Run]:
        """The setting of each row that finished or failed runs, by label."""
        runs = {label: [each.run for each in failures if each.run] for label, failures in self.failed.items()}
        return {label: found[0].setting for label, found in runs.items() if found} | {
            label: records[0].run.setting for label, records in self.rows.items()
        }

    @property
    def fingerprints(self) -> set[str]:
        """Of all runs of its rows."""
        return {each.fingerprint for rows in (self.rows, self.failed) for found in rows.values() for each in found}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The runs of one page.

    The rows of the paper's tables and networks of no table differ in network, recipe, draw and fold only; a row of a
    study of one's own may have images and numbers of pairs of its own.
    """

    tables: tuple[StudyRuns, ...]
    others: dict[str, list[RunRecord]]  # networks of no table, by label; each label has one setting
    others_failed: dict[str, list[FailedRun]]  # failed runs of these, also of labels that have no record
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
    def failures(self) -> dict[str, list[FailedRun]]:
        """The failed runs of every row of the page that has any, by label."""
        return self.others_failed | {label: each for table in self.tables for label, each in table.failed.items()}

    @property
    def runs(self) -> dict[str, Run]:
        """One run of each row by label, also of rows all of whose runs failed, in the order of the page."""
        failed = {label: each.run for label, found in self.failures.items() for each in found if each.run is not None}
        finished = {label: records[0].run for label, records in reversed(self.labelled)}
        order = dict.fromkeys([*(label for label, _ in self.labelled), *failed])
        return {label: finished.get(label) or failed[label] for label in order}

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
