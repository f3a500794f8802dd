"""Settings: what distinguishes runs apart from draw and fold. Runs of different settings are never put together."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from pairnet.artifact.text import counted
from pairnet.errors import RecordError
from pairnet.models.variants import VARIANTS, Variant, in_standard_notation
from pairnet.study.records import DataFacts, RunRecord


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The network with its recipe, without its name, and the pairs that it is trained and tested on."""

    variant: Variant
    pairs: int
    test_pairs: int | None  # None: cross-validated, no pairs are drawn for testing
    data: str
    checksum: str  # of the images
    folds: int | None  # None: tested on the test draw
    device: str


def setting_of(record: RunRecord) -> Setting:
    """The setting that a record belongs to."""
    return Setting(
        variant=nameless(record.variant),
        pairs=record.pairs,
        test_pairs=record.test_pairs if record.fold is None else None,
        data=record.data.name,
        checksum=record.data.checksum,
        folds=None if record.fold is None else record.folds,
        device=record.environment.device,
    )


def pairs_of(setting: Setting) -> tuple[object, ...]:
    """What decides which pairs a draw consists of: settings that agree in it are compared draw by draw."""
    return setting.checksum, setting.pairs, setting.test_pairs, setting.folds


def nameless(variant: Variant) -> Variant:
    """What a network is and how it is trained: the variant without its name, in the notation's standard form."""
    return in_standard_notation(replace(variant, name="", note="", parameters=None))


def by_setting(records: Sequence[RunRecord]) -> dict[Setting, list[RunRecord]]:
    """Records by their setting, in the order of the first record of each."""
    found: dict[Setting, list[RunRecord]] = {}
    for record in records:
        found.setdefault(setting_of(record), []).append(record)
    return found


def select(
    records: Sequence[RunRecord],
    *,
    row: str | None = None,
    data: str | None = None,
    epochs: int | None = None,
    pairs: int | None = None,
) -> list[RunRecord]:
    """The records of this row, on these images, with so many epochs and pairs; None is for any.

    `data` is the name of a source, such as glyphs, or one source as it is given to `load_dataset`, glyphs:2000:7.
    `row` is a label, or a built-in variant as it stands in the table (a table that computed it first may have called it
    otherwise), or a variant where no record is of these: rows of other labels may train changed forms of it.
    """
    own = [record for record in records if row is None or _bears(record, row)]
    return [
        record
        for record in own or [record for record in records if record.variant.name == row]
        if (data is None or is_source(record.data, data))
        and epochs in (None, record.recipe.epochs)
        and pairs in (None, record.pairs)
    ]


def is_source(facts: DataFacts, data: str) -> bool:
    """Whether `data` names these images: by the name of their source, or as it is given to `load_dataset`."""
    return data in (facts.name, facts.source, facts.source.removesuffix(":0"))


def _bears(record: RunRecord, row: str) -> bool:
    """Whether `row` is the label of a record, or the built-in variant that it trained, for any number of epochs."""
    if record.label == row:
        return True
    built_in = next((variant for variant in VARIANTS if variant.name == row), None)
    if built_in is None or record.variant.name != row:
        return False
    recipe = replace(built_in.recipe, epochs=record.recipe.epochs)
    return nameless(record.variant) == nameless(replace(built_in, recipe=recipe))


def largest(settings: dict[Setting, list[RunRecord]], *, label: str = "") -> Setting:
    """The setting with the most records; of several, one whose runs have this label, then the one recorded last.

    RecordError if there is none.
    """
    if not settings:
        raise RecordError("expected finished runs, got none")

    def rank(setting: Setting) -> tuple[int, bool]:
        records = settings[setting]
        return len(records), any(record.label == label for record in records)

    return max(reversed(settings), key=rank)


def describe(settings: Sequence[Setting]) -> list[str]:
    """One line for each setting: "25 epochs, 1,000 pairs of mnist5k"; more where that does not tell them apart."""
    lines = [_describe(setting) for setting in settings]
    for line in {line for line in lines if lines.count(line) > 1}:
        same = [number for number, other in enumerate(lines) if other == line]
        facts = [_facts(settings[number]) for number in same]
        for number, own in zip(same, facts, strict=True):
            unlike = [f"{key} {value}" for key, value in own.items() if any(other[key] != value for other in facts)]
            lines[number] = f"{line} ({', '.join(unlike)})"
    return lines


def _describe(setting: Setting) -> str:
    text = f"{counted(setting.variant.recipe.epochs, 'epoch')}, {counted(setting.pairs, 'pair')} of {setting.data}"
    if setting.folds is not None:
        return f"{text} in {setting.folds} folds"
    return text if setting.test_pairs == setting.pairs else f"{text}, {setting.test_pairs:,} for testing"


def _facts(setting: Setting) -> dict[str, object]:
    recipe = asdict(setting.variant.recipe)
    structure = setting.variant.structure
    return {**recipe, "structure": structure, "device": setting.device, "checksum": setting.checksum[:8]}
