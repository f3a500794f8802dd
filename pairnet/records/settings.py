"""Records by setting (`Run.setting`): chosen, put together and named. Runs of different settings are never mixed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

from pairnet.errors import ArgumentError, RecordError
from pairnet.models.variants import VARIANTS, with_epochs
from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Images, Run, nameless, names_of
from pairnet.wording import counted, shown

SEEDS_APART = "seeds held apart"
"""What is said of runs whose seeds do not follow from the number of a draw."""

Recorded = TypeVar("Recorded", RunRecord, FailedRun)
"""Runs that finished or runs that failed."""


def by_setting(records: Sequence[Recorded]) -> dict[Run, list[Recorded]]:
    """Records by their setting, in the order of the first record of each; a failure without its run is left out."""
    found: dict[Run, list[Recorded]] = {}
    for record in records:
        if record.run is not None:
            found.setdefault(record.run.setting, []).append(record)
    return found


def counts_apart(draws: Sequence[Run], apart: Sequence[Run]) -> bool:
    """Whether the draws of a row are those combinations of a study with held seeds that happen to be a draw's.

    apart: its other runs. Held seeds are those of the first draw, so that a single draw shares a seed with one of them;
    of several, as where all streams vary, each seed is one of theirs.
    """
    others = [{*values} for values in zip(*(run.seeds.by_stream().values() for run in apart), strict=True)]
    shared = [
        [seed in values for seed, values in zip(run.seeds.by_stream().values(), others, strict=False)] for run in draws
    ]
    single = len({run.draw for run in draws}) == 1
    return bool(shared) and bool(others) and (all(map(all, shared)) or (single and any(map(any, shared))))


def select(
    records: Sequence[Recorded],
    *,
    row: str | None = None,
    data: str | None = None,
    epochs: int | None = None,
    pairs: int | None = None,
) -> list[Recorded]:
    """The records of this row, on these images, with so many epochs and pairs; None is for any.

    `data` is the name of a source, such as glyphs, or one source as it is given to `load_dataset`, glyphs:2000:7.
    `row` is a label, or a built-in variant as it stands in the table (a table that computed it first may have called it
    otherwise), or a variant where no record is of these: rows of other labels may train changed forms of it. Networks
    trained elsewhere are taken by their whole name, which says so, or where there are no others.
    """
    runs = [(record, record.run) for record in records if record.run is not None]
    own = [(record, run) for record, run in runs if row is None or _bears(run, row)]
    named = [(record, run) for record, run in runs if run.variant.name == row]
    return [
        record
        for record, run in own or [(record, run) for record, run in named if run.elsewhere is None] or named
        if (data is None or run.images.are_called(data))
        and (epochs is None or (run.elsewhere is None and epochs == run.recipe.epochs))
        and pairs in (None, run.pairs)
    ]


def matching(settings: Mapping[Run, list[Recorded]], wanted: Mapping[str, str]) -> dict[Run, list[Recorded]]:
    """The settings that have these values of recipe, pairs, folds or images, given as text: `learning_rate`: "0.003".

    ArgumentError for a key that no setting has.
    """
    for key in wanted:
        if settings and not all(key in _values_of(setting) for setting in settings):
            keys = ", ".join(_values_of(next(iter(settings))))
            raise ArgumentError(f"expected a setting of runs, got {key}: choose one of {keys}")
    return {
        setting: records
        for setting, records in settings.items()
        if all(_is(_values_of(setting)[key], text) for key, text in wanted.items())
    }


def _values_of(setting: Run) -> dict[str, object]:
    folds = None if setting.fold is None else setting.folds
    own = {"data": setting.images.title, "pairs": setting.pairs, "test_pairs": setting.test_pairs, "folds": folds}
    return {**own, **facts_of(setting)}


def _is(value: object, text: str) -> bool:
    """Whether a text names a value, as messages show it or as a study file has it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text.lower() in (str(value).lower(), "false" if value is None else None)


def _bears(run: Run, row: str) -> bool:
    """Whether `row` is the label of a run, or the built-in variant that it trains, for any number of epochs."""
    if run.name == row:
        return True
    built_in = next((variant for variant in VARIANTS if variant.name == row), None)
    if built_in is None or run.variant.name != row or run.elsewhere is not None:
        return False
    return nameless(run.variant) == nameless(with_epochs(built_in, run.recipe.epochs))


def largest(settings: dict[Run, list[RunRecord]], *, label: str = "") -> Run:
    """The setting with the most records; of several, one whose runs have this label, then the one recorded last.

    RecordError if there is none.
    """
    if not settings:
        raise RecordError("expected finished runs, got none")

    def rank(setting: Run) -> tuple[int, bool]:
        records = settings[setting]
        return len(records), any(record.run.name == label for record in records)

    return max(reversed(settings), key=rank)


def describe(settings: Sequence[Run], *, among: Sequence[Images] = ()) -> list[str]:
    """One line for each setting: "25 epochs, 1,000 pairs of mnist5k"; more where that does not tell them apart.

    among: images whose names are to differ from those of other images here.
    """
    called = names_of([*(setting.images for setting in settings), *among])[: len(settings)]
    lines = [_describe(setting, name) for setting, name in zip(settings, called, strict=True)]
    for line in {line for line in lines if lines.count(line) > 1}:
        same = [number for number, other in enumerate(lines) if other == line]
        facts = [facts_of(settings[number]) for number in same]
        for number, own in zip(same, facts, strict=True):
            unlike = [f"{key} {value}" for key, value in own.items() if any(other[key] != value for other in facts)]
            lines[number] = f"{line} ({', '.join(unlike)})"
    return lines


def _describe(setting: Run, images: str) -> str:
    text = f"{counted(setting.recipe.epochs, 'epoch')}, {counted(setting.pairs, 'pair')} of {images}"
    if setting.elsewhere is not None:
        text = f"trained elsewhere, tested on {counted(setting.tested, 'pair')} of {images}"
    elif setting.fold is not None:
        text += f" in {setting.folds} folds"
    elif setting.tested != setting.pairs:
        text += f", {setting.tested:,} for testing"
    return text if setting.own_seeds is None else f"{text}, {SEEDS_APART}"


def facts_of(setting: Run) -> dict[str, object]:
    """What tells settings apart whose descriptions are the same."""
    recipe = asdict(setting.recipe)
    if setting.elsewhere is not None:
        recipe = {"origin": shown(setting.elsewhere.origin), "pairs": setting.pairs}
    structure = setting.variant.structure
    return {**recipe, "structure": structure, "device": setting.device, "checksum": setting.images.checksum[:8]}
