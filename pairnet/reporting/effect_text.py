"""Contrasts in words: sentences, verdicts, numbers of draws, p-values."""

from collections.abc import Sequence

from pairnet.records.run import Draw, seeds_text
from pairnet.reporting.family import Effect
from pairnet.reporting.formats import interval_text


def effect_text(effect: Effect, name: str) -> str:
    """An effect in a sentence: "dropout: +3.9 points (+3.2 to +4.6), better"."""
    found = effect.comparison
    interval = "" if found.low is None else f" ({interval_text(found.low, found.high, '+.1f')})"
    missing = f", {text}" if (text := missing_text(effect)) else ""
    return f"{name}: {100 * found.difference:+.1f} points{interval}, {verdict_text(effect)}{missing}"


def verdict_parts(effect: Effect) -> tuple[str, ...]:
    """The verdict, and the contrast's margin in points if it has one: "equivalent", "within ±0.5"."""
    if effect.margin is None:
        return (effect.verdict,)
    tested = effect.verdict in ("equivalent", "undecided")
    return effect.verdict, f"{'within' if tested else 'margin'} ±{100 * effect.margin:g}"


def verdict_text(effect: Effect) -> str:
    """The verdict with its margin: "equivalent within ±0.5", "better, margin ±0.5"."""
    verdict, *margin = verdict_parts(effect)
    return f"{verdict}{'' if margin and margin[0].startswith('within') else ','} {margin[0]}" if margin else verdict


def counts_text(effect: Effect) -> str:
    """Numbers of draws, and what is missing: "10", "10 and 8, unpaired", "9, w_net without draw 3"."""
    groups = effect.comparison.groups
    counts = str(groups[0]) if len(groups) == 1 else f"{', '.join(map(str, groups[:-1]))} and {groups[-1]}, unpaired"
    return f"{counts}; {text}" if (text := missing_text(effect)) else counts


def missing_text(effect: Effect) -> str:
    """Which draws the rows lack: "w_net without draws 3, 7 (failed: 7)"; empty if they lack none."""
    failed = {label: f" (failed: {named_draws(draws)})" for label, draws in effect.failed}
    return "; ".join(
        f"{label} without draw{'s' * (len(draws) > 1)} {named_draws(draws)}{failed.get(label, '')}"
        for label, draws in effect.missing
    )


def named_draws(draws: Sequence[Draw]) -> str:
    """The numbers of draws: "2, 5"; where seeds do not follow from one number, all of them in brackets."""
    return ", ".join(str(draw[0]) if len(draw) == 1 else f"({seeds_text(draw)})" for draw in draws)


def p_text(value: float | None) -> str:
    """A p-value: two digits, or "< 0.0001"; empty if there is none."""
    if value is None:
        return ""
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"
