"""The table of a study as Markdown, for README and docs."""

from collections.abc import Sequence

from pairnet.reporting.summaries import Summary, accuracy_text, reasons, verdict


def markdown_table(summaries: Sequence[Summary]) -> str:
    """The same figures as in the terminal, with four decimal places."""
    lines = ["| row | parameters | measured | paper | diff/std | |", "|---|--:|--:|--:|--:|---|"]
    for summary in summaries:
        cells = (
            summary.label,
            f"{summary.parameters:,}",
            accuracy_text(summary.mean, summary.std),
            accuracy_text(summary.paper_mean, summary.paper_std),
            "" if summary.difference is None else f"{summary.difference:+.1f}",
            verdict(summary),
        )
        lines.append(f"| {' | '.join(cells)} |")
    notes = [f"\\* {reason}." for reason in reasons(summaries)]
    return "\n".join([*lines, *([""] if notes else []), *notes])
