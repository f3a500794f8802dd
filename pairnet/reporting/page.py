"""Pages: values and figures -> HTML that needs no other file, from the templates next to this module."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pairnet.extras import needed_by
from pairnet.records.failures import draws_text
from pairnet.reporting.cells import failure_notes, measured_on_text, measured_text, readings_text, undecided_text
from pairnet.reporting.changes import Changes
from pairnet.reporting.comparison import Comparison
from pairnet.reporting.component_tables import HEADINGS, component_cells, component_note, held_note
from pairnet.reporting.drawings import COURSES, Drawing
from pairnet.reporting.effect_text import counts_text, p_text
from pairnet.reporting.family import Effect
from pairnet.reporting.figures.drawing import inline_svg
from pairnet.reporting.formats import accuracy_text, difference_text, duration, interval_text
from pairnet.reporting.report import Report
from pairnet.reporting.summaries import Summary
from pairnet.study.plan import heading_of
from pairnet.version import __version__
from pairnet.wording import capitalised

with needed_by("a report"):
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"

SECTIONS = ("interactions", "size", "settings", "courses", "networks", "mistakes")
"""Parts of the page that have figures."""


def report_page(report: Report, drawn: Sequence[Drawing], svgs: Mapping[str, str]) -> str:
    """The page of a report with its figures; `svgs` are the texts of their files, by name."""
    rows = [course.label for course in report.courses]
    shown = [label for label in rows if label in COURSES] or rows[:1]
    return render(
        "report.jinja",
        title=report.title,
        report=report,
        component_headings=HEADINGS,
        sections={name: [each for each in drawn if each.section == name] for name in SECTIONS},
        svgs={each.name: Markup(inline_svg(svgs[each.name], each.name, each.description)) for each in drawn},
        open_courses=shown,
        compared=any(each.paper_mean is not None for each in report.summaries),
        few=any(each.draws == 2 for each in report.summaries),
    )


def changes_page(changes: Changes) -> str:
    """The page about what changed between two folders."""
    return render("changes.jinja", title=changes.title, changes=changes)


def render(template: str, **content: Any) -> str:
    """A page from its template. Text is escaped; only figures and the style sheet are inserted as they are."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        accuracy=accuracy_text,
        better=_better,
        capitalised=capitalised,
        component_cells=component_cells,
        component_note=component_note,
        difference=difference_text,
        counts=counts_text,
        draws=draws_text,
        duration=duration,
        failure_notes=failure_notes,
        heading=_heading,
        held_note=held_note,
        interval=interval_text,
        margin=_margin,
        measured=measured_text,
        measured_on=measured_on_text,
        numbers=_numbers,
        p=p_text,
        readings=readings_text,
        seeds=_seeds,
        undecided=undecided_text,
    )
    css = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(css=css, version=__version__, **content)


# Text of values


def _margin(effect: Effect) -> str:
    """The p-value of equivalence with its margin in points: "0.03 within ±0.5"."""
    return "" if effect.margin is None else f"{p_text(effect.p_equivalence_holm)} within ±{100 * effect.margin:g}"


def _heading(summaries: Sequence[Summary]) -> str:
    return heading_of(each.folds for each in summaries)


def _better(found: Comparison) -> str:
    if found.equal is None:
        return ""  # rows that do not share their draws
    if found.better is None:
        return "all equal"
    equal = f", {found.equal} equal" if found.equal else ""
    return f"{100 * found.better:.0f} % ({interval_text(found.better_low, found.better_high, '.0f')}){equal}"


def _numbers(counts: Sequence[int]) -> str:
    """ "100, 300 or 1,000"."""
    *first, last = [f"{count:,}" for count in counts]
    return f"{', '.join(first)} or {last}" if first else last


def _seeds(draws: Sequence[int]) -> str:
    """ "0 to 9", or a list where some are missing."""
    if len(draws) > 2 and list(draws) == list(range(draws[0], draws[-1] + 1)):
        return f"{draws[0]} to {draws[-1]}"
    return ", ".join(map(str, draws))
