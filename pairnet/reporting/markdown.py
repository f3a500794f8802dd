"""The table of a study as Markdown, for README and docs."""

from collections.abc import Sequence

from pairnet.reporting.summaries import NOT_NUMBERS, Summary, cells, reasons


def markdown_table(summaries: Sequence[Summary]) -> str:
    """The same figures as in the terminal, with four decimal places."""
    headings, rows = cells(summaries, places=4)
    alignment = ("---" if heading in NOT_NUMBERS else "--:" for heading in headings)
    lines = [f"| {' | '.join(headings)} |", f"|{'|'.join(alignment)}|", *(f"| {' | '.join(row)} |" for row in rows)]
    notes = [f"\\* {reason}." for reason in reasons(summaries)]
    return "\n".join([*lines, *([""] if notes else []), *notes])
