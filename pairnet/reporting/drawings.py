"""The figures of a report: which there are, and their names, captions and descriptions."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from pairnet.records.failures import draws_text
from pairnet.reporting.cells import failure_notes
from pairnet.reporting.figures.accuracy import Point, accuracy_against
from pairnet.reporting.figures.architecture import architecture
from pairnet.reporting.figures.calibration import reliability_diagram
from pairnet.reporting.figures.curves import curves
from pairnet.reporting.figures.drawing import SERIES
from pairnet.reporting.figures.errors import errors_by_difference
from pairnet.reporting.figures.history import history
from pairnet.reporting.figures.interaction import interaction
from pairnet.reporting.formats import interval_text
from pairnet.reporting.report import Report, comparable_rows
from pairnet.reporting.summaries import Summary, best_of
from pairnet.reporting.sweeps import sweeps_of
from pairnet.wording import capitalised

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_NAME = 60
"""Characters of a label in the name of a file."""

COURSES = ("a_w_net", "final_model")
"""The rows whose courses the paper compares in its Figure 4."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """One figure of a page."""

    name: str  # of its files and of its elements on the page
    section: str  # where on the page it stands
    group: str = ""  # drawings of one group stand together under this heading; empty for none
    caption: str = ""
    description: str  # for those who cannot see it
    draw: "Callable[[], Figure]"  # draws it again each time: a report holds one figure at once


def drawings(report: Report) -> list[Drawing]:
    """All figures of a report, in the order of its page."""
    drawn = [
        *_interactions(report),
        *_accuracies(report),
        *_curves(report),
        *_courses(report),
        *_networks(report),
        *_mistakes(report),
    ]
    names = Counter[str]()
    found = []
    for drawing in drawn:
        names[drawing.name] += 1
        again = f"-{names[drawing.name]}" if names[drawing.name] > 1 else ""
        found.append(replace(drawing, name=f"{drawing.name}{again}"))
    return found


def _interactions(report: Report) -> Iterator[Drawing]:
    for square in report.squares:
        if any(each.mean is None for each in square.cells):  # all draws of a row failed
            continue
        lines = [(name, square.cells[2 * at : 2 * at + 2]) for at, name in enumerate(square.rows)]
        yield Drawing(
            name=f"interaction-{_file_name(square.name)}",
            section="interactions",
            caption=f"{capitalised(square.name)}.",
            description=f"Accuracy of {', '.join(each.label for each in square.cells)}, one line for each of "
            f"{' and '.join(square.rows)}, over {' and '.join(square.columns)}.",
            draw=partial(interaction, lines, columns=square.columns),
        )


def _accuracies(report: Report) -> Iterator[Drawing]:
    if len(report.tested) < 2:
        return
    best = best_of(comparable_rows(report).get("", []))
    named = f"; the best is {best.label}, {best.mean:.4f}" if best else ""
    for name, cost, costs in (
        ("parameters", "parameters", [each.parameters for each in report.tested]),
        ("multiply-adds", "multiply-adds for one pair", [each.multiply_adds for each in report.tested]),
    ):
        points = [
            Point(
                label=each.label,
                cost=at,
                mean=each.mean,
                std=each.std,
                paper=each.paper_mean,
                failed=bool(each.failed),
            )
            for each, at in zip(report.tested, costs, strict=True)
            if each.mean is not None
        ]
        yield Drawing(
            name=f"accuracy-{name}",
            section="size",
            caption=_with_failures(f"Accuracy against {cost}.", report.tested),
            description=f"Accuracy of {len(points)} rows against {cost}{named}.",
            draw=partial(accuracy_against, points, cost=cost),
        )


def _curves(report: Report) -> Iterator[Drawing]:
    for table in report.tables:
        for sweep in sweeps_of(table):
            swept = [row for row in table.study.rows if sweep.key in dict(row.swept)]
            manner = ", cross-validated" if all(table.study.folds_of(row) for row in swept) else ""
            lines = iter(sweep.lines.items())
            while part := dict(islice(lines, len(SERIES))):  # no more than there are colours
                values = [value for line in part.values() for value in line]
                best = replace(sweep, lines=part).best
                highest = f" The highest mean is {best[1].mean:.4f}, at {best[0]}." if best else ""
                yield Drawing(
                    name=_file_name(sweep.setting.replace(" ", "-")),
                    section="settings",
                    caption=_with_failures(f"{table.study.title}{manner}.", [row for _, row in values]),
                    description=f"Accuracy against the {sweep.setting}: {', '.join(part)}.{highest}",
                    draw=partial(
                        curves,
                        part,
                        setting=sweep.setting,
                        measure=f"accuracy{manner}",
                        words=sweep.words,
                        geometric=sweep.geometric,
                    ),
                )


def _with_failures(caption: str, rows: Sequence[Summary]) -> str:
    """A caption, and which rows of the figure had failed draws."""
    return " ".join([caption, *(f"{each}." for each in failure_notes(rows))])


def _courses(report: Report) -> Iterator[Drawing]:
    rows = {course.label: course for course in report.courses}
    for label in [*(label for label in COURSES if label in rows), *(label for label in rows if label not in COURSES)]:
        course = rows[label]
        finished = {record.run.draw for record in course.records}
        over = f" Over {draws_text(course.failed, len(finished))} draws: the others failed." if course.failed else ""
        for name, draw in history(course.records).items():
            metric = name.replace("-", " ")
            yield Drawing(
                name=f"{_file_name(label)}-{name}",
                section="courses",
                group=label,
                caption=over.strip(),
                description=f"{metric} of {label} over {course.epochs} epochs, training and held-out pairs.{over}",
                draw=draw,
            )


def _networks(report: Report) -> Iterator[Drawing]:
    called = [
        variant.name if variant.activation == "relu" else f"{variant.name}, activation: {variant.activation}"
        for variant in report.networks
    ]
    for variant, group in zip(report.networks, called, strict=True):
        yield Drawing(
            name=f"network-{_file_name(variant.name)}",
            section="networks",
            group=group if called.count(group) == 1 else f"{variant.name}: {variant.structure}",
            caption=f"{variant.structure}.",
            description=f"Structure of {variant.name}: {variant.structure}.",
            draw=partial(architecture, variant),
        )


def _mistakes(report: Report) -> Iterator[Drawing]:
    if report.mistakes is not None and report.mistakes.by_difference:
        yield Drawing(
            name="errors-by-difference",
            section="mistakes",
            caption=_with_failures(
                "Errors by the difference of the digits: mean over draws with its 95 % interval.",
                [row for row in report.tested if row.label in report.mistakes.by_difference],
            ),
            description="Share of pairs decided wrongly against second digit minus first.",
            draw=partial(errors_by_difference, report.mistakes.by_difference),
        )
    for each in report.calibrations:
        interval = "" if each.low is None else f" ({interval_text(each.low, each.high, '.2f')})"
        error = f"expected calibration error {100 * each.error:.2f} %{interval}, mean over draws"
        pooled = f"{100 * each.pooled:.2f} % for the pairs of all draws together, a mixture of their networks"
        yield Drawing(
            name=f"calibration-{_file_name(each.label)}",
            section="mistakes",
            caption=_with_failures(
                f"Calibration of {each.label}: {error}; {pooled}.",
                [row for row in report.tested if row.label == each.label],
            ),
            description=f"Fraction of pairs in order against the probability that {each.label} gives them.",
            draw=partial(reliability_diagram, {each.label: each.bins}, width=3.6),
        )


def _file_name(label: str) -> str:
    """A label as a file name and as the name of an element: letters, digits, _ and - only."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in label[:LONGEST_NAME])
    return plain.strip("-") or "network"
