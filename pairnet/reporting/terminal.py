"""The table of a study for a terminal, with rich."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from pairnet.artifact.text import counted
from pairnet.reporting.summaries import AGREES_WITHIN, NOT_NUMBERS, Summary, cells, reasons
from pairnet.study.tables import Study

_STYLES = {"agrees": "green", "differs*": "yellow", "DIFFERS": "bold red"}


def study_table(study: Study, summaries: Sequence[Summary]) -> Table:
    """Measured figures next to the paper's; rows that disagree are marked."""
    table = Table(
        title=study.title,
        title_justify="left",
        caption=_caption(study, summaries),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    headings, rows = cells(summaries, places=3)
    for heading in headings:
        if heading == "measured":
            heading = "validation" if study.cross_validated else "test"
        numeric = heading not in NOT_NUMBERS
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric or heading == "")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return table


def _caption(study: Study, summaries: Sequence[Summary]) -> str:
    draws = max((summary.draws for summary in summaries), default=0)
    how = "cross-validation on the training pairs of" if study.cross_validated else "mean and std over"
    lines = [f"{how} {counted(draws, 'draw')}"]
    if any(summary.difference is not None for summary in summaries):
        lines[0] += f"; diff/std: (measured - paper) / combined std, marked beyond {AGREES_WITHIN:g}"
    return "\n".join([*lines, *(f"* {reason}" for reason in reasons(summaries))])
