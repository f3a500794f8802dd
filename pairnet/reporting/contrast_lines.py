"""contrasts.csv of a report: one line for each contrast, also for those that are not computed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pairnet.reporting.effect_text import missing_text
from pairnet.reporting.family import Effect, Family, NotComputed
from pairnet.reporting.results import write_lines


def write_contrasts(path: Path, families: Sequence[Family]) -> None:
    """A CSV file with one line for each contrast, as fractions of 1; nothing if there is none."""
    if lines := [_line(family, each) for family in families for each in family.contrasts]:
        write_lines(path, lines)


def _line(family: Family, contrast: Effect | NotComputed) -> dict[str, Any]:
    """One contrast; what does not apply to it is empty, and of one that is not computed every result."""
    effect, reason = (contrast, None) if isinstance(contrast, Effect) else (None, contrast.reason)
    found = effect and effect.comparison
    return {
        "family": family.name,
        "contrast": contrast.name,
        "first": contrast.first,
        "second": contrast.second,
        "first_mean": found and found.first,
        "second_mean": found and found.second,
        "difference": found and found.difference,
        "low": found and found.low,
        "high": found and found.high,
        "general_low": effect and effect.general and effect.general.low,
        "general_high": effect and effect.general and effect.general.high,
        "test": effect and effect.method,
        "p": found and found.p_value,
        "p_holm": effect and effect.p_holm,
        "margin": contrast.margin,
        "p_equivalence": effect and effect.p_equivalence,
        "p_equivalence_holm": effect and effect.p_equivalence_holm,
        "verdict": contrast.verdict,
        "draws": found and " ".join(map(str, found.groups)),
        "missing": effect and missing_text(effect),
        "freedom": found and found.freedom,
        "p_wilcoxon": found and found.wilcoxon,
        "better_on": found and found.better,
        "reason": reason,
    }
