"""The words of a table of results: its headings and cells, and the notes below it."""

from collections.abc import Sequence

from pairnet.records.failures import MARK, failures_text
from pairnet.reporting.equivalence import MOST_DRAWS, Verdict
from pairnet.reporting.formats import accuracy_text, difference_text
from pairnet.reporting.generality import General
from pairnet.reporting.sensitivity import READINGS
from pairnet.reporting.summaries import Summary
from pairnet.study.plan import heading_of


def reasons(summaries: Sequence[Summary]) -> list[str]:
    """Why rows differ from the paper: each known reason once with the rows that it holds for, then those without."""
    rows: dict[str, list[str]] = {}
    for summary in summaries:
        if summary.verdict is not None and summary.verdict.name == "differs":
            rows.setdefault(summary.explained, []).append(summary.label)
    unexplained = rows.pop("", [])
    known = [f"* {'; '.join(labels)}: {reason}" for reason, labels in rows.items()]
    return [*known, *([f"DIFFERS: unexplained ({'; '.join(unexplained)})"] if unexplained else [])]


def verdict_text(summary: Summary) -> str:
    """ "replicated", "undecided", "DIFFERS", or "differs*" if a reason is known; empty without a verdict.

    "withheld" with failed draws.
    """
    if summary.verdict is None:
        return "withheld" if summary.withheld else ""
    if summary.verdict.name == "differs":
        return "differs*" if summary.explained else "DIFFERS"
    return summary.verdict.name


def readings_text(verdict: Verdict | None) -> str:
    """The verdicts under the readings of the paper's spread, by their first letters: "DUU"; empty without a verdict."""
    return "" if verdict is None else "".join(each.name[0].upper() for each in verdict.readings)


def intervals_note(intervals: Sequence[General | None]) -> str:
    """What intervals are for, and how much wider they are for images in general; empty if that is not known."""
    factors = sorted(f"{each.factor:.2f}" for each in intervals if each is not None)
    if not factors:
        return ""
    span = factors[0] if factors[0] == factors[-1] else f"{factors[0]} to {factors[-1]}"
    return (
        "intervals are for these images, of which draws share some; for images in general the standard errors are "
        f"{span} times as large"
    )


READINGS_NOTE = (
    f"readings of the paper's ±: {', '.join(READINGS)}; R replicated, D differs, U undecided; a verdict that changes "
    "between them is undecided"
)
"""What the column of that name says."""


def undecided_text(verdict: Verdict) -> str:
    """How many draws would decide, if the verdict is "undecided"; otherwise empty."""
    if verdict.name != "undecided":
        return ""
    if verdict.needed is not None:
        return f"{verdict.needed:,} draws like these would decide, roughly"
    if verdict.never:
        certain = "is" if all(each.name == "undecided" for each in verdict.readings) else "may be"
        return f"no number of draws would decide: the paper's own standard error {certain} too large"
    return f"more than {MOST_DRAWS:,} draws like these would be needed to decide"


COLUMNS = ("row", "parameters", "measured", "on", "paper", "difference", "verdict", "readings", "goal")
"""Headings of a table; those after the third are left out where no row has anything in them."""
NOT_NUMBERS = ("row", "on", "verdict", "readings", "goal")
"""Headings of the columns that hold words."""


def cells(summaries: Sequence[Summary], *, places: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of a table as text, accuracies with `places` decimal places, differences in points.

    Where some rows were tested on test pairs and others cross-validated, each says which.
    """
    mixed = heading_of(each.folds for each in summaries) == "measured"
    rows = [
        (
            each.label,
            f"{each.parameters:,}",
            measured_text(each, places),
            measured_on_text(each) if mixed else "",
            accuracy_text(each.paper_mean, each.paper_std, places),
            difference_text(each.verdict),
            verdict_text(each),
            readings_text(each.verdict),
            each.goal,
        )
        for each in summaries
    ]
    kept = [i for i in range(len(COLUMNS)) if i < 3 or any(row[i] for row in rows)]
    return tuple(COLUMNS[i] for i in kept), [tuple(row[i] for i in kept) for row in rows]


def measured_text(summary: Summary, places: int = 4) -> str:
    """Mean and deviation, with a mark where they are those of the surviving draws alone; "none †" where none did."""
    text = accuracy_text(summary.mean, summary.std, places) or "none"
    return f"{text} {MARK}" if summary.failed else text


def measured_on_text(summary: Summary) -> str:
    """ "test pairs", or "4 folds" of the training pairs."""
    return "test pairs" if summary.folds is None else f"{summary.folds} folds"


def failure_notes(summaries: Sequence[Summary]) -> list[str]:
    """What the mark means, one line for each row with failed draws."""
    return [
        f"{MARK} {each.label}: {failures_text(each.failed, finished=each.draws)}" for each in summaries if each.failed
    ]
