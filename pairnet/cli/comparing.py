"""`pairnet runs compare`: one contrast, of two settings in a folder, whatever they differ in. Works without torch."""

from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pairnet.cli.common import AnyData, AnyEpochs, AnyPairs, Json, Runs, check_data, note_margins
from pairnet.cli.output import note, print_json, print_line
from pairnet.errors import ArgumentError, RecordError
from pairnet.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pairnet.records.record import FailedRun, RunRecord
    from pairnet.records.run import Run
    from pairnet.records.settings import Recorded
    from pairnet.reporting.family import Effect

    Settings = Mapping[Run, Sequence[RunRecord]]


def compare_runs(
    first: Annotated[str, typer.Argument(help="Row or variant.")],
    second: Annotated[str, typer.Argument(help="Row or variant to compare it with.")],
    runs: Runs = Path("runs"),
    data: AnyData = None,
    epochs: AnyEpochs = None,
    other_epochs: Annotated[
        int | None, typer.Option(min=1, help="Only runs of so many epochs for the second row (default: as --epochs).")
    ] = None,
    pairs: AnyPairs = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Only runs with this setting, such as learning_rate=0.003."),
    ] = None,
    other_chosen: Annotated[
        list[str] | None,
        typer.Option("--other-set", metavar="KEY=VALUE", help="The same for the second row (default: as --set)."),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Test equivalence, too: largest difference, in points, of no consequence.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two rows, or two settings of one row.

    Rows on the same images are compared draw by draw, over their common draws; rows on other images, or without common
    draws, by Welch's test. Prints the mean difference, its 95 % interval, the p-value and a verdict: better, worse,
    equivalent (within --margin) or undecided. A cross-validated draw counts once. To compare two settings of one row,
    name it twice.
    """
    from pairnet.records.collection import collect, not_found
    from pairnet.records.failures import MARK, failed_draws, failures_text
    from pairnet.records.settings import by_setting, describe, matching, select
    from pairnet.reporting.summaries import finished_draws

    if margin is not None and not 0 < margin < 100:
        raise ArgumentError(f"expected `margin` above 0 and below 100 points, got {margin:g}: choose another one")
    note_margins([None if margin is None else margin / 100])
    collected = collect(runs)
    records, failures = list(collected.records.values()), list(collected.failures.values())
    lost = by_setting(failures)
    check_data(data, records)
    wanted = _keys(chosen, "chosen")
    asked = (
        (first, epochs, wanted),
        (second, other_epochs or epochs, wanted | _keys(other_chosen, "other_chosen")),
    )

    def found(some: "Sequence[Recorded]") -> "list[dict[Run, list[Recorded]]]":
        return [
            matching(by_setting(select(some, row=name, data=data, epochs=number, pairs=pairs)), keys)
            for name, number, keys in asked
        ]

    left, right = found(records)
    if not _pairs_of(first, second, left, right):  # a setting may have nothing but failures
        left, right = (
            {**{each: [] for each in bad}, **own} for own, bad in zip((left, right), found(failures), strict=True)
        )
    for name, settings in ((first, left), (second, right)):
        if not settings:
            raise not_found(name, records, runs)
    one, other = _comparable(first, second, left, right)
    among = [one.images, other.images]
    names = describe([one, other])
    if first != second:
        names = [*describe([one], among=among), *describe([other], among=among)]
    labels = (first, second) if first != second else (f"{first}, {names[0]}", f"{second}, {names[1]}")
    effect = _effect(labels, (one, other), (left[one], right[other]), margin, (lost.get(one, []), lost.get(other, [])))
    if as_json:
        numbers = {"method": effect.method, **asdict(effect.comparison)}
        verdict = {"verdict": effect.verdict, "margin": effect.margin, "p_equivalence": effect.p_equivalence}
        bad = [[asdict(each) for each in failed_draws(lost.get(setting, []))] for setting in (one, other)]
        failed = {"first_failed": bad[0], "second_failed": bad[1]}
        keys = dict(zip(labels, ("first", "second"), strict=True))
        missing = {keys[label]: [draw[0] for draw in draws] for label, draws in effect.missing}
        print_json(
            {
                "first": first,
                "second": second,
                "settings": names,
                **numbers,
                **verdict,
                "missing": missing,
                **failed,
            }
        )
        return
    for name, setting, run, own in zip((first, second), names, (one, other), (left[one], right[other]), strict=True):
        note(f"{name}: {setting}")
        if each := failed_draws(lost.get(run, [])):
            note(f"{MARK} {name}: {failures_text(each, finished=len(finished_draws(own)))}")
    if effect.failed:
        note("compared are the draws that neither row failed on, which are no random sample of all")
    _print(effect, first, second)
    if one.images.name == "mnist5k" and one.fold is None:
        note(
            "each draw of mnist5k is tested on the same 2,000 images: interval and p-value are over pairings and seeds "
            "only, not over images"
        )


def _keys(texts: "Sequence[str] | None", option: str) -> dict[str, str]:
    """KEY=VALUE, several times."""
    for text in texts or ():
        if not all(text.partition("=")):
            raise ArgumentError(f"expected `{option}` as KEY=VALUE, got {text}: write learning_rate=0.003")
    return {text.partition("=")[0]: text.partition("=")[2] for text in texts or ()}


def _effect(
    labels: tuple[str, str],
    settings: "tuple[Run, Run]",
    records: "tuple[Sequence[RunRecord], Sequence[RunRecord]]",
    margin: float | None,
    failures: "tuple[Sequence[FailedRun], Sequence[FailedRun]]",
) -> "Effect":
    """The contrast of two settings, which have different labels.  RecordError, with the failed draws, for too few."""
    from pairnet.reporting.effects import corrected, effect_of
    from pairnet.reporting.summaries import finished_draws
    from pairnet.study.contrasts import Contrast

    contrast = Contrast(
        name=f"{labels[0]} against {labels[1]}",
        first=((labels[0], 1.0),),
        second=((labels[1], 1.0),),
        margin=None if margin is None else margin / 100,
    )
    draws = {label: finished_draws(each) for label, each in zip(labels, records, strict=True)}
    images = {label: setting.images.checksum for label, setting in zip(labels, settings, strict=True)}
    (effect,) = corrected([effect_of(contrast, draws, images, dict(zip(labels, failures, strict=True)))])
    return effect


def _print(effect: "Effect", first: str, second: str) -> None:
    from pairnet.reporting.effect_text import named_draws, p_text, verdict_text

    found = effect.comparison
    over = f"over {found.draws} common draws"
    if not found.paired:
        over = f"over {found.groups[0]} and {counted(found.groups[-1], 'draw')}, unpaired"
    print_line(f"{first} {found.first:.4f}, {second} {found.second:.4f}, {over}")
    for label, draws in effect.missing:
        note(f"{label} lacks {counted(len(draws), 'draw')} of these: {named_draws(draws)}")
    difference = f"difference {100 * found.difference:+.2f} points"
    if found.p_value is None or found.low is None or found.high is None:
        print_line(f"{difference} on each draw")
    else:
        print_line(f"{difference}, 95 % interval {100 * found.low:+.2f} to {100 * found.high:+.2f}")
        ranks = "" if found.wilcoxon is None else f", {found.wilcoxon:.2g} (Wilcoxon)"
        test = "paired t-test" if found.paired else "Welch's t-test"
        print_line(f"p = {found.p_value:.2g} ({test}){ranks}")
    if effect.margin is not None and effect.p_equivalence is not None:
        print_line(f"p = {p_text(effect.p_equivalence)} (equivalence within ±{100 * effect.margin:g} points)")
    if found.better is not None and found.equal is not None:
        unequal = counted(found.draws - found.equal, "draw")
        print_line(f"{first} is better on {100 * found.better:.0f} % of the {unequal} that are not equal")
    print_line(f"verdict: {verdict_text(effect)}")


def _comparable(first: str, second: str, left: "Settings", right: "Settings") -> "tuple[Run, Run]":
    """The one setting of each row; of several, the only two on the same pairs.  RecordError unless there is one."""
    from pairnet.records.collection import text_of_settings

    choices = _pairs_of(first, second, left, right)
    if not choices:
        raise RecordError(f"expected two settings of {first} to compare, got one: {text_of_settings(list(left))}")
    for some in (choices, [(one, other) for one, other in choices if one.pairs_drawn == other.pairs_drawn]):
        if len(some) == 1:
            return some[0]
    sides = {first: left, second: right}
    settings = "; ".join(f"{name}: {text_of_settings(list(found))}" for name, found in sides.items())
    raise RecordError(
        "expected one setting of each row, got several: choose with `data`, `pairs`, `epochs` and `other_epochs`, or "
        f"`chosen` and `other_chosen`: {settings}"
    )


def _pairs_of(first: str, second: str, left: "Settings", right: "Settings") -> "list[tuple[Run, Run]]":
    """The settings that can be compared, one of each row."""
    if first == second and list(left) == list(right):
        return list(combinations(left, 2))  # the one recorded first is the first row
    return [(one, other) for one in left for other in right if one != other]
