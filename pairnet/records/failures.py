"""The draws of a row that failed: which, how and when, and the words that stand wherever a mean does. No torch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pairnet.errors import FailureKind
from pairnet.records.record import FailedRun
from pairnet.records.run import Draw

FINISHED = "finished"
"""The outcome of a run that did not fail, in files; of others it is their `FailureKind`."""

FAILURE_WORDS: dict[FailureKind, str] = {"diverged": "diverged", "memory": "ran out of memory", "other": "failed"}
"""What a run did that failed."""

MARK = "†"
"""Follows each mean of a row some of whose draws failed."""


@dataclass(frozen=True, kw_only=True)
class FailedDraw:
    """A draw that has no accuracy: the first of its runs that failed."""

    seed: int
    fold: int | None
    kind: FailureKind
    epoch: int | None  # in which it failed, counted from 1; None where that is not known
    error: str
    fingerprint: str


def failed_draws(failures: Sequence[FailedRun]) -> tuple[FailedDraw, ...]:
    """The failed draws of one row, by seed. A cross-validated draw fails once, whatever its number of failed folds.

    failures: those of one setting; one without its run (schemas 1 and 2) belongs to no row and is left out.
    """
    found: dict[Draw, FailedDraw] = {}
    for failure in failures:
        if failure.run is not None:
            draw = FailedDraw(
                seed=failure.run.seed,
                fold=failure.run.fold,
                kind=failure.kind,
                epoch=failure.epoch,
                error=failure.error,
                fingerprint=failure.fingerprint,
            )
            found.setdefault(failure.run.draw, draw)
    return tuple(found[key] for key in sorted(found))


def failures_text(failed: Sequence[FailedDraw], *, finished: int) -> str:
    """ "2 of 6 draws failed: 2 diverged in epochs 1 to 2; the mean is over the other 4"; empty if none failed."""
    if not failed:
        return ""
    count = _count_text(len(failed), finished)
    other = f"; the mean is over the other {finished:,}" if finished else ""
    return f"{count} failed: {how_they_failed(failed)}{other}"


def lost_text(failed: Sequence[FailedDraw], *, finished: int) -> str:
    """ "2 of 6 draws failed (4, 5): 2 diverged in epochs 1 to 2": for a row that has too few; empty if none failed."""
    if not failed:
        return ""
    numbers = ", ".join(str(each.seed) for each in failed)
    return f"{_count_text(len(failed), finished)} failed ({numbers}): {how_they_failed(failed)}"


def _count_text(failed: int, finished: int) -> str:
    if finished:
        return f"{failed:,} of {failed + finished:,} draws"
    return "the only draw" if failed == 1 else f"all {failed:,} draws"


def how_they_failed(failed: Sequence[FailedDraw | FailedRun]) -> str:
    """ "2 diverged in epochs 2 to 5, 1 ran out of memory"; what failed otherwise has its error."""
    parts = []
    for kind, words in FAILURE_WORDS.items():
        own = [each for each in failed if each.kind == kind]
        if not own:
            continue
        epochs = sorted({each.epoch for each in own if each.epoch is not None})
        when = ""
        if epochs:
            when = f" in epoch {epochs[0]}" if len(epochs) == 1 else f" in epochs {epochs[0]} to {epochs[-1]}"
        reasons = Counter(each.error for each in own)
        why = "" if kind != "other" else f" ({next(iter(reasons))}{f'; {len(reasons) - 1} more' * (len(reasons) > 1)})"
        parts.append(f"{len(own):,} {words}{when}{why}")
    return ", ".join(parts)


def outcome_text(kind: FailureKind, epoch: int | None) -> str:
    """What one run did, for a cell of a table: "diverged in epoch 2", "ran out of memory", "failed"."""
    return FAILURE_WORDS[kind] if epoch is None else f"{FAILURE_WORDS[kind]} in epoch {epoch}"


def draws_text(failed: int, finished: int) -> str:
    """ "6", or "4 of 6" where some of the draws failed."""
    return f"{finished:,} of {failed + finished:,}" if failed else f"{finished:,}"
