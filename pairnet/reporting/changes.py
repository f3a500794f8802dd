"""What changed between two folders of records, draw by draw: a new torch, another machine, another revision."""

import statistics
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

from pairnet.errors import RecordError
from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Draw, Run
from pairnet.records.settings import describe
from pairnet.reporting.comparison import ROUNDING, Comparison, compare_draws, holm
from pairnet.reporting.equivalence import MARGIN
from pairnet.reporting.summaries import finished_draws, interval_of_mean
from pairnet.wording import counted

LEAST = 3
"""Draws without which nothing is decided: two agree by chance too often."""

Name = Literal["identical", "equivalent", "differs", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One row in both folders, over the draws that both have; differences are new minus old, as fractions of 1.

    "identical": every answer on the held-out pairs is the same, bit for bit. "equivalent": the 90 % interval of the
    paired difference lies inside the margin. "differs": it does not, and the 95 % interval excludes zero. "undecided":
    neither. A single draw has no comparison, and is identical or undecided; so is a row undecided if other draws
    failed in one folder than in the other.
    """

    label: str
    setting: str
    draws: int
    old_failed: int  # draws that have no result
    new_failed: int
    identical: int  # draws with the same answers
    old: float
    new: float
    comparison: Comparison | None
    p_holm: float | None
    verdict: Name
    old_seconds: float  # mean wall time of a run
    new_seconds: float


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Everything on the page about two folders."""

    title: str
    sentences: tuple[str, str]
    rows: tuple[Change, ...]
    environment: tuple[tuple[str, str, str], ...]  # what it is, old values, new values
    left_out: tuple[str, ...]
    margin: float


def compare_folders(
    old: Sequence[RunRecord],
    new: Sequence[RunRecord],
    *,
    old_failed: Sequence[FailedRun] = (),
    new_failed: Sequence[FailedRun] = (),
    margin: float = MARGIN,
) -> Changes:
    """Each setting of both folders compared with itself; the device does not count as part of it.

    RecordError if the folders have no setting with a common draw.
    """
    before, after = _by_setting(old), _by_setting(new)
    failed = _failed_by_setting(old_failed), _failed_by_setting(new_failed)
    names = dict(zip(after, describe(list(after)), strict=True))
    found = [
        change
        for setting in after
        if setting in before
        and (change := _change(before[setting], after[setting], names[setting], _of(setting, failed), margin))
    ]
    if not found:
        raise RecordError(
            "expected two folders with rows, settings and draws in common, got none: run the same study in both"
        )
    corrected = holm([each.comparison.p_value if each.comparison else None for each in found])
    rows = tuple(replace(each, p_holm=p_value) for each, p_value in zip(found, corrected, strict=True))
    return Changes(
        title="What changed",
        sentences=_sentences(rows, margin),
        rows=rows,
        environment=_environment(old, new),
        left_out=(
            *_alone(before, after, "the first folder"),
            *_alone(after, before, "the second folder"),
            *_failed_alone(failed, {setting for setting in after if setting in before}),
        ),
        margin=margin,
    )


def _by_setting(records: Sequence[RunRecord]) -> dict[Run, list[RunRecord]]:
    """Records by setting, whatever device computed them; of a run on two devices the CPU's counts."""
    found: dict[Run, dict[tuple[Draw, int | None], RunRecord]] = {}
    for record in sorted(records, key=lambda record: record.run.device != "cpu"):
        own = found.setdefault(replace(record.run.setting, device="cpu"), {})
        own.setdefault((record.run.draw, record.run.fold), record)
    return {setting: list(own.values()) for setting, own in found.items()}


Failed = Mapping[Run, Set[Draw]]
"""The failed draws of each setting."""


def _failed_by_setting(failures: Sequence[FailedRun]) -> Failed:
    """Failed draws by setting, whatever device they failed on."""
    found: dict[Run, set[Draw]] = {}
    for failure in failures:
        if failure.run is not None:
            found.setdefault(replace(failure.run.setting, device="cpu"), set()).add(failure.run.draw)
    return found


def _of(setting: Run, failed: tuple[Failed, Failed]) -> tuple[Set[Draw], Set[Draw]]:
    return failed[0].get(setting, frozenset()), failed[1].get(setting, frozenset())


def _failed_alone(failed: tuple[Failed, Failed], compared: Set[Run]) -> list[str]:
    """One line for each setting that has failed draws in a folder and no row on the page."""
    found = []
    for where, own in zip(("the first folder", "the second folder"), failed, strict=True):
        for setting in own:
            if setting not in compared:
                (name,) = describe([setting])
                found.append(f"{counted(len(own[setting]), 'failed draw')} in {where}: {name}")
    return found


def _change(
    before: Sequence[RunRecord],
    after: Sequence[RunRecord],
    setting: str,
    failed: tuple[Set[Draw], Set[Draw]],
    margin: float,
) -> Change | None:
    """One row in both folders; None without a common draw."""
    old, new = finished_draws(before), finished_draws(after)
    draws = sorted(seed for seed in old if seed in new)
    if not draws:
        return None
    answers = [_answers(records) for records in (before, after)]
    identical = sum(answers[0][seed] == answers[1][seed] and "" not in answers[0][seed].values() for seed in draws)
    comparison = compare_draws(new, old) if len(draws) > 1 else None
    return Change(
        label=after[0].run.name,
        setting=setting,
        draws=len(draws),
        old_failed=len(failed[0]),
        new_failed=len(failed[1]),
        identical=identical,
        old=statistics.fmean(old[seed] for seed in draws),
        new=statistics.fmean(new[seed] for seed in draws),
        comparison=comparison,
        p_holm=None,
        verdict=_verdict([new[seed] - old[seed] for seed in draws], identical, comparison, margin)
        if failed[0] == failed[1]
        else "undecided",
        old_seconds=statistics.fmean(record.seconds for record in before),
        new_seconds=statistics.fmean(record.seconds for record in after),
    )


def _answers(records: Sequence[RunRecord]) -> Mapping[Draw, dict[int | None, str]]:
    """Digests of the answers by draw and fold; empty where an old record has none."""
    found: dict[Draw, dict[int | None, str]] = {}
    for record in records:
        found.setdefault(record.run.draw, {})[record.run.fold] = record.answers_sha256
    return found


def _verdict(differences: Sequence[float], identical: int, comparison: Comparison | None, margin: float) -> Name:
    if identical == len(differences):
        return "identical"
    if comparison is None or len(differences) < LEAST:
        return "undecided"
    if max(differences) - min(differences) <= ROUNDING:  # the same on each draw
        return "equivalent" if abs(differences[0]) < margin else "differs"
    low, high = interval_of_mean(differences, 0.90)
    if low is not None and high is not None and -margin < low and high < margin:
        return "equivalent"
    excluded = comparison.low is not None and comparison.high is not None and not comparison.low <= 0 <= comparison.high
    return "differs" if excluded else "undecided"


def _sentences(rows: Sequence[Change], margin: float) -> tuple[str, str]:
    names: tuple[Name, ...] = ("identical", "equivalent", "differs", "undecided")
    counts = {name: sum(row.verdict == name for row in rows) for name in names}
    came_out = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    asked = f"{counted(len(rows), 'row')} of two folders, compared draw by draw: {came_out}."
    if failed := [
        f"{row.label} {row.old_failed} → {row.new_failed}" for row in rows if row.old_failed or row.new_failed
    ]:
        asked += f" Failed draws, before → after, which are not compared: {', '.join(failed)}."
    moved = [row for row in rows if row.verdict == "differs"]
    if moved:
        parts = (f"{row.label} by {100 * (row.new - row.old):+.2f} points" for row in moved)
        return asked, f"What differs: {'; '.join(parts)}."
    if counts["identical"] == len(rows):
        return asked, "Every answer on the held-out pairs is the same, bit for bit."
    if counts["undecided"]:
        return asked, f"No row is shown to differ, but {counts['undecided']} may: more draws of both folders decide."
    return asked, f"Each row is identical or equivalent, within ±{100 * margin:g} points."


def _environment(old: Sequence[RunRecord], new: Sequence[RunRecord]) -> tuple[tuple[str, str, str], ...]:
    """What the runs of each folder were computed with: (what it is, old values, new values)."""
    packages = sorted({name for record in (*old, *new) for name in record.environment.versions})

    def values(name: str, records: Sequence[RunRecord]) -> str:
        return ", ".join(sorted({_facts(record).get(name, "none") or "unknown" for record in records}))

    names = (*packages, "hardware", "kernels", "device", "revision", "engine")
    return tuple((name, values(name, old), values(name, new)) for name in names)


def _facts(record: RunRecord) -> dict[str, str]:
    """What a run was computed with; empty where an old record does not say."""
    place = record.environment
    facts = {"hardware": place.hardware, "kernels": place.kernels, "revision": place.revision, "engine": place.engine}
    return {**place.versions, **facts, "device": record.run.device}


def _alone(one: Mapping[Run, Sequence[RunRecord]], other: Mapping[Run, Sequence[RunRecord]], where: str) -> list[str]:
    """One line for each setting with draws that the other folder has not finished."""
    names = dict(zip(one, describe(list(one)), strict=True))
    found = []
    for setting, records in one.items():
        own = {record.run.draw for record in records}
        common = set(finished_draws(records)) & set(finished_draws(other.get(setting, [])))
        if missing := len(own - common):
            found.append(
                f"{counted(missing, 'draw')} of {records[0].run.name}: {names[setting]}, finished only in {where}"
            )
    return found
