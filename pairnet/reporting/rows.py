"""rows.csv: one line for each row of each table of a report, with its intervals and verdicts."""

from pathlib import Path
from typing import Any

from pairnet.reporting.report import Report
from pairnet.reporting.results import write_lines
from pairnet.reporting.sensitivity import READINGS
from pairnet.reporting.summaries import Summary


def write_rows(path: Path, report: Report) -> None:
    """A CSV file with the rows of all tables; accuracies are fractions of 1, and what a row does not have is empty."""
    lines = [_line(table.study.name, each) for table in report.tables for each in table.summaries]
    lines += [_line("", each) for each in report.others]
    write_lines(path, lines)


def _line(table: str, row: Summary) -> dict[str, Any]:
    """One row; its interval for images in general, and the verdict under each reading of the paper's standard error."""
    general, verdict = row.general, row.verdict
    return {
        "table": table,
        "row": row.label,
        "parameters": row.parameters,
        "multiply_adds": row.multiply_adds,
        "draws": row.draws,
        "mean": row.mean,
        "std": row.std,
        "low": row.low,
        "high": row.high,
        "general_low": general and general.low,
        "general_high": general and general.high,
        "paper": row.paper_mean,
        "paper_std": row.paper_std,
        "difference": verdict and verdict.difference,
        "difference_low": verdict and verdict.low,
        "difference_high": verdict and verdict.high,
        "verdict": verdict and verdict.name,
        **{
            reading.replace(" ", "_"): verdict and verdict.readings[number].name
            for number, reading in enumerate(READINGS)
        },
        "goal": row.goal,
    }
