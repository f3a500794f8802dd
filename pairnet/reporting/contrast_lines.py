"""contrasts.csv of a report: one line for each contrast."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pairnet.reporting.effects import Effect, Family, missing_text
from pairnet.reporting.results import write_lines


def write_contrasts(path: Path, families: Sequence[Family]) -> None:
    """A CSV file with one line for each contrast, as fractions of 1; nothing if there is none."""
    if lines := [_line(family, each) for family in families for each in family.effects]:
        write_lines(path, lines)


def _line(family: Family, effect: Effect) -> dict[str, Any]:
    """One contrast; what does not apply to it is empty."""
    found = effect.comparison
    return {
        "family": family.name,
        "contrast": effect.name,
        "first": effect.first,
        "second": effect.second,
        "first_mean": found.first,
        "second_mean": found.second,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "general_low": effect.general and effect.general.low,
        "general_high": effect.general and effect.general.high,
        "test": effect.method,
        "p": found.p_value,
        "p_holm": effect.p_holm,
        "margin": effect.margin,
        "p_equivalence": effect.p_equivalence,
        "p_equivalence_holm": effect.p_equivalence_holm,
        "verdict": effect.verdict,
        "draws": " ".join(map(str, found.groups)),
        "missing": missing_text(effect),
        "freedom": found.freedom,
        "p_wilcoxon": found.wilcoxon,
        "better_on": found.better,
    }
