"""Tables as Markdown, for documents."""

import html
from collections.abc import Sequence

from pairnet.reporting.cells import NOT_NUMBERS, READINGS_NOTE, cells, failure_notes, intervals_note, reasons
from pairnet.reporting.component_tables import HEADINGS, component_cells, component_note
from pairnet.reporting.effect_text import counts_text, p_text, verdict_text
from pairnet.reporting.family import Family
from pairnet.reporting.formats import interval_text
from pairnet.reporting.summaries import Summary
from pairnet.wording import capitalised


def markdown_table(summaries: Sequence[Summary]) -> str:
    """The same figures as in the terminal, with four decimal places."""
    headings, rows = cells(summaries, places=4)
    alignment = ("---" if heading in NOT_NUMBERS else "--:" for heading in headings)
    lines = [f"| {' | '.join(headings)} |", f"|{'|'.join(alignment)}|", *(_line(row) for row in rows)]
    said = [
        READINGS_NOTE if any(each.verdict for each in summaries) else "",
        intervals_note([each.general for each in summaries]),
    ]
    notes = [
        *("\\" * reason.startswith("*") + f"{plain(reason)}." for reason in reasons(summaries)),
        *(f"{plain(each)}." for each in failure_notes(summaries)),
        " ".join(f"{capitalised(each)}." for each in said if each),
    ]
    notes = [each for each in notes if each]
    crossed = [f"\n{_components(each)}" for each in summaries if each.components]
    return "\n".join([*lines, *([""] if notes else []), *notes, *crossed])


def _components(summary: Summary) -> str:
    """The variance components of a row, below what they are about."""
    lines = [f"{plain(component_note(summary))}."]
    if summary.components and summary.components.sources:
        lines += ["", _line(HEADINGS), f"|---{'|--:' * (len(HEADINGS) - 1)}|"]
        lines += map(_line, component_cells(summary.components))
    return "\n".join(lines)


def markdown_effects(family: Family) -> str:
    """A family of contrasts: differences in points, intervals, corrected p-values and verdicts.

    The p-values of equivalence are there where a contrast has a margin.
    """
    margins = any(each.margin is not None for each in family.effects)
    tested = (" p of equivalence (Holm) |", "--:|") if margins else ("", "")
    lines = [
        f"| contrast | rows | difference | 95 % interval | p (Holm) |{tested[0]} verdict | draws |",
        f"|---|---|--:|--:|--:|{tested[1]}---|---|",
    ]
    for each in family.effects:
        found = each.comparison
        p_value = "" if each.p_holm is None else f"{each.p_holm:.2g}"
        words = (
            each.name,
            f"{each.first} − {each.second}",
            f"{100 * found.difference:+.2f}",
            interval_text(found.low, found.high),
            p_value,
            *([p_text(each.p_equivalence_holm)] if margins else []),
            verdict_text(each),
            counts_text(each),
        )
        lines.append(_line(words))
    said = intervals_note([each.general for each in family.effects])
    notes = [
        *([f"{capitalised(said)}."] if said else []),
        *(f"Not computed: {plain(line)}." for line in family.left_out),
    ]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def plain(text: str) -> str:
    """Text that Markdown shows as it is: what a label has of comments, of HTML and of code is none in a document."""
    return html.escape(text, quote=False).replace("`", "&#96;")


def _line(row: Sequence[str]) -> str:
    """One row; a | in a label is no border."""
    return f"| {' | '.join(plain(cell).replace('|', '&#124;') for cell in row)} |"
