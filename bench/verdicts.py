"""How often verdicts are false and intervals cover the truth, in simulated studies: `python -m bench.verdicts`.

Each study is one of records (see simulated.py) without an effect, or with an effect of a point, that go through
pairnet's own summaries, verdicts, comparisons and corrections. Its rows:

- "base", the row that others are compared with.
- "general": better by the effect for images in general. Its difference for the images of the study is another one.
- "here", "none", "margin": better than base by the effect, by nothing and by the margin of equivalence for the images
  of the study, exactly.

The paper's figures are simulated as well, on the same images, half of the papers with a test set for each of its ten
tests and half with one for all: of "base" and "none" as they are, of "here" and "margin" worse by as much as these are
better than base.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.common import with_progress
from bench.simulated import printed, records, world
from pairnet.models.variants import find_variant
from pairnet.reporting.changes import compare_folders
from pairnet.reporting.comparison import compare, holm
from pairnet.reporting.equivalence import LEVEL, MARGIN
from pairnet.reporting.generality import general_of
from pairnet.reporting.student import wilson
from pairnet.reporting.summaries import Summary, summarise
from pairnet.study.plan import Row, Study

BASE = 0.937
LABELS = ("base", "general", "here", "none", "margin")
EFFECT = 0.01
CONFIDENCE = 0.999
"""A rate is out of bounds if a true one within them would be so far away in less than one of a thousand simulations."""

Outcomes = dict[str, list[bool]]
"""Of each question, the answer of each study in which it came up."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is counted, and the bounds of its true rate; an effect that is found has none."""

    name: str
    low: float = 0.0
    high: float = 1.0


FALSE, COVERS = {"high": LEVEL}, {"low": 0.935, "high": 0.965}

QUESTIONS = (
    Question(name="paper, no difference: differs", **FALSE),
    Question(name="paper, no difference: differs as printed, if it had a test set for each test"),
    Question(name="paper, no difference: differs as printed, if it had one for all"),
    Question(name="paper, different by the margin: replicated", **FALSE),
    Question(name="paper, different by the margin: replicated as printed, if it had a test set for each test"),
    Question(name="paper, different by the margin: replicated as printed, if it had one for all"),
    Question(name="two rows, no effect on these images: p < 0.05", **FALSE),
    Question(name="three rows, a false one with p (Holm) < 0.05", **FALSE),
    Question(name="two rows, no effect in general: the wider interval excludes 0", **FALSE),
    Question(name="two rows, different by the margin: equivalent", **FALSE),
    Question(name="interval of a mean covers that of these images", **COVERS),
    Question(name="wider interval of a mean covers that of images in general", **COVERS),
    Question(name="interval of a difference covers that of these images", **COVERS),
    Question(name="wider interval of a difference covers that of images in general", **COVERS),
    Question(name="interval of a mean covers that of images in general"),
    Question(name="interval of a difference covers that of images in general"),
    Question(name="effect of a point, against the paper: differs"),
    Question(name="effect of a point, against the paper: replicated, as it is within the margin"),
    Question(name="effect of a point on these images: p < 0.05"),
    Question(name="effect of a point on these images: p (Holm) < 0.05 among three"),
    Question(name="effect of a point in general: the wider interval excludes 0"),
    Question(name="no effect on these images: equivalent"),
)


def simulate(*, studies: int, draws: int, seed: int = 0) -> Outcomes:
    """So many studies without an effect and as many with one of a point."""
    found: Outcomes = {question.name: [] for question in QUESTIONS}
    work = [(effect, number) for number in range(studies) for effect in (0.0, EFFECT)]
    for effect, number in with_progress(work, "studies"):
        rng = np.random.default_rng((seed, number, effect > 0))
        first = 1000 * (2 * number + (effect > 0))  # no two studies have a draw in common
        for name, answer in study(rng, effect=effect, seeds=range(first, first + draws), one_test_set=number % 2 == 1):
            found[name].append(answer)
    return found


def study(rng: np.random.Generator, *, effect: float, seeds: range, one_test_set: bool) -> Iterator[tuple[str, bool]]:
    """The questions that one study answers."""
    made = world(rng, levels=np.full(len(LABELS), BASE))
    better = np.array([0.0, effect, effect, 0.0, MARGIN])
    alike = made.levels - (made.here - made.here[0]) * [0, 0, 1, 1, 1]  # as good as base: in general, or here
    made = replace(made, levels=alike + better)
    papers = replace(made, levels=alike + better * [1, 1, 0, 1, 0])
    figures = printed(rng, papers, range(seeds[0] + 500, seeds[0] + 600), one_test_set=one_test_set)
    rows = records(rng, made, LABELS, seeds)
    plan = tuple(
        Row(label=label, variant=find_variant("fc_1"), paper=figure)
        for label, figure in zip(LABELS, figures, strict=True)
    )
    summaries = {each.label: each for each in summarise(Study(name="simulated", title="", rows=plan), rows)}
    yield from _against_paper(summaries, effect, one_test_set=one_test_set)

    base = summaries["base"]
    yield "interval of a mean covers that of these images", _covers(base, made.here[0])
    yield "interval of a mean covers that of images in general", _covers(base, BASE)
    yield "wider interval of a mean covers that of images in general", _covers(base.general, BASE)

    found = {label: compare(rows[label], rows["base"]) for label in ("here", "none", "margin")}
    p_values = {label: each.p_value for label, each in found.items()}
    corrected = dict(zip(found, holm(list(p_values.values())), strict=True))
    shown = {label for label, p_value in corrected.items() if p_value is not None and p_value < LEVEL}
    yield "interval of a difference covers that of these images", _covers(found["here"], effect)
    yield "three rows, a false one with p (Holm) < 0.05", bool(shown & ({"none"} if effect else {"none", "here"}))
    at_first = p_values["here"] is not None and p_values["here"] < LEVEL
    if effect:
        yield "effect of a point on these images: p < 0.05", at_first
        yield "effect of a point on these images: p (Holm) < 0.05 among three", "here" in shown
    else:
        yield "two rows, no effect on these images: p < 0.05", at_first

    wider = general_of([[(1.0, rows["general"]), (-1.0, rows["base"])]])
    yield "wider interval of a difference covers that of images in general", _covers(wider, effect)
    yield (
        "interval of a difference covers that of images in general",
        _covers(compare(rows["general"], rows["base"]), effect),
    )
    question = "effect of a point in general" if effect else "two rows, no effect in general"
    yield f"{question}: the wider interval excludes 0", not _covers(wider, 0.0)

    verdicts = {label: compare_folders(rows["base"], rows[label]).rows[0].verdict for label in ("none", "margin")}
    yield "two rows, different by the margin: equivalent", verdicts["margin"] == "equivalent"
    yield "no effect on these images: equivalent", verdicts["none"] == "equivalent"


def _against_paper(summaries: dict[str, Summary], effect: float, *, one_test_set: bool) -> Iterator[tuple[str, bool]]:
    for label, question, name in (
        ("base", "paper, no difference", "differs"),
        ("margin", "paper, different by the margin", "replicated"),
    ):
        verdict = summaries[label].verdict
        assert verdict is not None
        yield f"{question}: {name}", verdict.name == name
        sets = "one for all" if one_test_set else "a test set for each test"
        yield f"{question}: {name} as printed, if it had {sets}", verdict.readings[0].name == name
    here = summaries["here"].verdict
    if effect and here is not None:
        yield "effect of a point, against the paper: differs", here.name == "differs"
        name = "effect of a point, against the paper: replicated, as it is within the margin"
        yield name, here.name == "replicated"


def _covers(interval: object, truth: float) -> bool:
    low, high = getattr(interval, "low", None), getattr(interval, "high", None)
    return low is not None and high is not None and low <= truth <= high


def out_of_bounds(found: Outcomes) -> list[str]:
    """The questions whose rate is further from its bounds than chance explains."""
    names = []
    for question in QUESTIONS:
        low, high = wilson(sum(found[question.name]), len(found[question.name]), CONFIDENCE)
        if low > question.high or high < question.low:
            names.append(question.name)
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.verdicts", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000, help="without an effect, and as many with one of a point")
    parser.add_argument("--draws", type=int, default=10, help="of each study")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    found = simulate(studies=options.studies, draws=options.draws, seed=options.seed)
    print("| question | rate | 95 % interval | studies |\n|---|--:|--:|--:|")  # noqa: T201
    for question in QUESTIONS:
        answers = found[question.name]
        low, high = wilson(sum(answers), len(answers), 0.95)
        rate = f"{100 * sum(answers) / len(answers):.1f} % | {100 * low:.1f} to {100 * high:.1f}"
        print(f"| {question.name} | {rate} | {len(answers):,} |")  # noqa: T201
    wrong = out_of_bounds(found)
    print(f"\nout of bounds: {'; '.join(wrong) or 'nothing'}")  # noqa: T201
    return len(wrong) > 0


if __name__ == "__main__":
    sys.exit(main())
