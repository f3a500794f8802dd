"""The tables of a study and of its contrasts for a terminal, with rich."""

from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from pairnet.reporting.cells import NOT_NUMBERS, READINGS_NOTE, cells, failure_notes, intervals_note, reasons
from pairnet.reporting.component_tables import HEADINGS, component_cells, drawn_text, held_note
from pairnet.reporting.components import Components
from pairnet.reporting.effect_text import counts_text, p_text, verdict_parts
from pairnet.reporting.family import Effect, Family
from pairnet.reporting.formats import interval_text
from pairnet.reporting.summaries import Summary
from pairnet.reporting.tables import FittingTable
from pairnet.study.plan import Study, heading_of
from pairnet.wording import counted

_STYLES = {"replicated": "green", "undecided": "dim", "differs*": "yellow", "DIFFERS": "bold red", "withheld": "red"}


def study_table(study: Study, summaries: Sequence[Summary]) -> Table:
    """Measured figures next to the paper's; rows that disagree are marked."""
    table = FittingTable(
        title=study.title,
        title_justify="left",
        caption=_caption(study, summaries),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.least = ("parameters", "goal", "difference", "paper")
    headings, rows = cells(summaries, places=3)
    for heading in headings:
        if heading == "measured":
            heading = _heading(study, summaries)
        numeric = heading not in NOT_NUMBERS
        table.add_column(
            heading, justify="right" if numeric else "left", no_wrap=numeric or heading in ("verdict", "readings")
        )
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return table


_WORDS = {"better": "green", "equivalent": "green", "reached": "green", "worse": "red", "missed": "red"}


NAMES = (0.3, 0.3)
"""Parts of the terminal for names of contrasts: what was found is more than their length."""


def effects_table(family: Family) -> Table:
    """The contrasts of a family, with their verdicts."""
    margins = any(each.margin is not None for each in family.effects)
    tests = "p of the t-test and, on the line of the margin, of equivalence, both" if margins else "p of the t-test,"
    notes = [f"first minus second, in points; {tests} corrected for the number of contrasts (Holm)"]
    notes += [note] if (note := intervals_note([each.general for each in family.effects])) else []
    notes += [f"not computed: {line}" for line in family.left_out]
    table = FittingTable(
        title=f"Contrasts of {family.title}",
        title_justify="left",
        caption="\n".join(notes),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.shares = NAMES
    table.least = ("draws", "difference", "p") if margins else ("draws", "p")
    columns: dict[str, Callable[[Effect], str]] = {
        "contrast": lambda each: each.name,
        "difference": lambda each: f"{100 * each.comparison.difference:+.2f}",
        "95 % interval": lambda each: interval_text(each.comparison.low, each.comparison.high),
        "p": lambda each: f"{p_text(each.p_holm)}\n{p_text(each.p_equivalence_holm)}".rstrip(),
        "verdict": lambda each: "\n".join(verdict_parts(each)),
        "draws": counts_text,
    }
    for heading in columns:
        words = heading in ("contrast", "verdict", "draws")
        table.add_column(heading, justify="left" if words else "right", no_wrap=heading not in ("contrast", "draws"))
    for each in family.effects:
        style = {"verdict": _WORDS.get(each.verdict, "dim")}
        table.add_row(*(Text(cell(each), style=style.get(heading, "")) for heading, cell in columns.items()))
    return table


def _heading(study: Study, summaries: Sequence[Summary]) -> str:
    """What the accuracies are called: of the rows that are shown, or of the study where none is."""
    return heading_of(each.folds for each in summaries) if summaries else study.heading


def _caption(study: Study, summaries: Sequence[Summary]) -> str:
    draws = max((summary.draws for summary in summaries), default=0)
    folded = _heading(study, summaries) == "validation"
    how = "cross-validation on the training pairs of" if folded else "from" if draws == 1 else "mean and std over"
    what, _ = drawn_text(study.seeding)
    lines = [f"{how} {counted(draws, what)}{' of seeds' if what == 'combination' else ''}"]
    if verdicts := [summary.verdict for summary in summaries if summary.verdict is not None]:
        lines[0] += f"; difference in points with its 95 % interval; replicated: within ±{100 * verdicts[0].margin:g}"
        lines.append(READINGS_NOTE)
    said = intervals_note([each.general for each in summaries])
    notes = [held_note(study), said, *reasons(summaries)]
    return "\n".join([*lines, *filter(None, notes), *failure_notes(summaries)])


def components_table(components: Components) -> Table:
    """The variance components of one row."""
    table = FittingTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.least = ("seeds", "with combinations")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == HEADINGS[0] else "right", no_wrap=heading != HEADINGS[0])
    for row in component_cells(components):
        table.add_row(*row)
    return table
