"""What the runs of a page are called: labels that are not there twice, and lines about what is shown and left out."""

from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Images, Run, names_of
from pairnet.records.settings import SEEDS_APART, by_setting, describe, facts_of
from pairnet.reporting.summaries import finished_draws
from pairnet.study.kept import KEPT
from pairnet.study.plan import Study
from pairnet.study.tables import NAMES
from pairnet.wording import counted


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


def labelled(
    records: Sequence[RunRecord], failures: Sequence[FailedRun], taken: Set[str]
) -> tuple[dict[str, list[RunRecord]], dict[str, list[FailedRun]]]:
    """Networks of no table and their failed runs by label; where that is not unique, their setting is added."""
    done = {setting: rows for setting, rows in by_setting(records).items() if finished_draws(rows)}
    failing = by_setting(failures)
    settings = list(dict.fromkeys([*done, *failing]))
    labels = [done[each][0].run.name if each in done else failing[each][0].label for each in settings]
    found: dict[str, list[RunRecord]] = {}
    failed: dict[str, list[FailedRun]] = {}
    for label, setting, name in zip(labels, settings, describe(settings), strict=True):
        called = label if labels.count(label) == 1 and label not in taken else f"{label}, {name}"
        if setting in done:
            found[called] = done[setting]
        if setting in failing:
            failed[called] = failing[setting]
    return found, failed


def lines(records: Sequence[RunRecord], shown: Sequence[RunRecord], among: Sequence[Images]) -> Iterator[str]:
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
        yield f"{counted(len(found), 'run')} of {_named(found)}: {words}{difference}"


def apart_lines(records: Sequence[RunRecord], folder: Path) -> Iterator[str]:
    """One line for all runs that share seeds and belong to no study of the page: they are no draws of a network."""
    if records:
        yield (
            f"{counted(len(records), 'run')} of {_named(records)}: {SEEDS_APART}, of no study on this page; "
            f"`pairnet report {folder}` shows those whose study file is in {folder / KEPT}"
        )


def _named(records: Sequence[RunRecord]) -> str:
    """The rows of some runs, three at most."""
    labels = list(dict.fromkeys(record.run.name for record in records))
    return ", ".join(labels[:3]) + (f" and {len(labels) - 3} more rows" if len(labels) > 3 else "")


def failed_lines(failures: Sequence[FailedRun]) -> Iterator[str]:
    """Failed runs of no row of the page, by label and setting."""
    for setting, found in by_setting(failures).items():
        (words,) = describe([setting])
        yield f"{counted(len(found), 'failed run')} of {found[0].label}: {words}, on {setting.device}"
    if unknown := [each.label for each in failures if each.run is None]:
        yield f"{counted(len(unknown), 'failed run')} of {', '.join(dict.fromkeys(unknown))}, recorded without settings"


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
