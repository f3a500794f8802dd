"""Labels that fit into figures: shortened in the middle, or to the part in which they differ."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest

IN_LEGEND = 44
"""Characters of a label in a legend: more of them end outside the figure."""

CONTEXT = 4
"""Characters that are kept in front of those in which labels differ."""


def shortened(labels: Sequence[str], longest: int) -> list[str]:
    """Labels of at most `longest` characters, 8 or more, in the same order, so that different ones can be told apart.

    What is left out is "…": the middle, since names are at the beginning and values at the end; or all but the part in
    which labels differ, if they differ in the middle only.
    """
    found = {label: _without_middle(label, longest) for label in labels}
    for text, count in Counter(found.values()).items():
        if count > 1:
            found |= dict(_differences([label for label in found if found[label] == text], longest))
    return [found[label] for label in labels]


def _without_middle(label: str, longest: int) -> str:
    if len(label) <= longest:
        return label
    head = (longest - 1) // 3
    return f"{label[:head].rstrip()}…{label[len(label) - (longest - 1 - head) :].lstrip()}"


def _differences(alike: Sequence[str], longest: int) -> Iterator[tuple[str, str]]:
    """Each label with the part of it in which it differs from the others."""
    start = next(at for at, column in enumerate(zip_longest(*alike)) if len({*column}) > 1)
    parts = {label: _part(label, start, longest) for label in alike}
    for text, count in Counter(parts.values()).items():
        same = [label for label in alike if parts[label] == text]
        if 1 < count < len(alike):
            yield from _differences(same, longest)
        else:
            yield from ((label, text) for label in same)


def _part(label: str, start: int, longest: int) -> str:
    """At most `longest` characters of a label, from a few in front of `start`."""
    if len(label) <= longest:
        return label
    start = max(0, min(start - CONTEXT, len(label) - longest + 1))
    part = label[start:] if len(label) - start < longest else f"{label[start : start + longest - 2].rstrip()}…"
    return f"…{part.lstrip()}"
