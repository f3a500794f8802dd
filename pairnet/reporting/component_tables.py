"""The variance components of a row as text: headings, cells and a note, for terminal, Markdown and page alike."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from pairnet.reporting.components import TOGETHER, Component, Components
from pairnet.reporting.formats import interval_text
from pairnet.reporting.summaries import Summary
from pairnet.study.plan import Study
from pairnet.study.seeding import Seeding
from pairnet.wording import counted

NAMES = {
    "pairs": "training pairs",
    "test": "test pairs",
    "weights": "initial weights",
    "order": "order of batches",
    "masks": "dropout masks",
}
"""Streams in a sentence."""

HEADINGS = ("source", "seeds", "std, points", "share of the variance", "with combinations")


def component_cells(components: Components) -> list[tuple[str, ...]]:
    """One row for each source, the texts under HEADINGS; each figure with its 95 % interval in brackets."""
    return [
        (
            each.source if each.source != TOGETHER else "only combinations of these",
            "" if each.levels is None else str(each.levels),
            f"{100 * each.std:.2f} ({interval_text(each.std_low, each.std_high, '.2f')})",
            f"{100 * each.share:.0f} % ({interval_text(each.share_low, each.share_high, '.0f')})",
            "" if each.joint is None else f"{100 * each.joint:.0f} % ({_joint(each)})",
        )
        for each in components.sources
    ]


def _joint(each: Component) -> str:
    return interval_text(each.joint_low, each.joint_high, ".0f")


def component_note(summary: Summary) -> str:
    """What the components of a row are about, or why there are none; empty for a row whose seeds are not crossed."""
    found = summary.components
    if found is None:
        return ""
    if found.missing:
        return (
            f"{summary.label}: no components, since {found.missing} of {found.runs + found.missing} combinations of "
            "seeds are missing: run the study to its end; where a run fails, choose other seeds"
        )
    held = f"all with the same {', '.join(NAMES[each] for each in found.held)}; " if found.held else ""
    binomial = ""
    if found.binomial is not None:
        binomial = f"; drawing test pairs alone brings {100 * found.binomial:.2f} points (binomial)"
        if "test" in found.held:
            binomial += ", and what all runs share of that is in no source here"
    return (
        f"{summary.label}: {counted(found.runs, 'run')}, {held}with everything that varies drawn again, "
        f"{found.mean:.4f} ± {found.std:.4f}{binomial}"
    )


def held_note(study: Study) -> str:
    """What all draws of a study share, and what that means; empty for draws with everything of their own."""
    seeding = study.seeding
    if not seeding.held or len(seeding.vary) > 1:  # the note on its components says what runs of a crossed design share
        return ""
    same = ", ".join(NAMES[each] for each in seeding.held)
    what = "runs" if seeding.vary else "draws"
    return f"all {what} have the same {same}: spread and intervals are for these, and say nothing of others"


def drawn_text(seeding: Seeding) -> tuple[str, str]:
    """What a repetition is called, and what differs between them: "draw", "of pairs and initial weights"."""
    if len(seeding.vary) > 1:
        return "combination", "of seeds"
    if not seeding.held:
        return "draw", "of pairs and initial weights"
    varied, same = (", ".join(NAMES[each] for each in names) for names in (seeding.varied, seeding.held))
    return "run" if seeding.vary else "draw", f"that differ in {varied}, not in {same}"


def component_records(tables: Sequence[tuple[str, Sequence[Summary]]]) -> Iterator[dict[str, Any]]:
    """One line of components.csv for each source of each row of some studies; figures as fractions of 1.

    A row that lacks combinations has one line without a source, which says how many.
    """
    for study, summaries in tables:
        for summary in summaries:
            found = summary.components
            if found is None:
                continue
            row = {"study": study, "row": summary.label}
            for each in found.sources:
                yield {**row, **vars(each), "missing": found.missing}
            if found.missing:
                yield {**row, **dict.fromkeys(each.name for each in fields(Component)), "missing": found.missing}
