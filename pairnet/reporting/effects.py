"""The effects that the paper claims, as paired differences over common draws, each family corrected as a whole."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from pairnet.errors import RecordError
from pairnet.records.run import Draw
from pairnet.reporting.comparison import Comparison, compare_draws, holm
from pairnet.reporting.selection import Selection, StudyRuns
from pairnet.reporting.summaries import finished_draws
from pairnet.study.plan import ABOVE, NOTHING, PAPERS_SQUARE

Draws = Mapping[Draw, float]
"""The accuracy of each draw."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one change brings: `first` minus `second`."""

    name: str
    first: str  # label of the row with the change
    second: str
    comparison: Comparison
    p_holm: float | None  # p-value of the paired t-test, corrected for its family; None if there is no variation


@dataclass(frozen=True, kw_only=True)
class Family:
    """Effects that are read together, so their p-values are corrected together."""

    name: str  # of its table in files: "effects", "ablation", "2", "dropout"
    title: str
    note: str
    effects: tuple[Effect, ...]


@dataclass(frozen=True, kw_only=True)
class Square:
    """The rows that differ in the paper's two ideas alone, all with batch normalisation."""

    plain: str
    shared: str
    auxiliary: str
    both: str


SQUARE = Square(plain="no_w_net", shared="w_net", auxiliary="a_net", both="a_w_net_bn")

_CLAIMS = (
    ("weight sharing, without auxiliary loss", SQUARE.shared, SQUARE.plain),
    ("weight sharing, with auxiliary loss", SQUARE.both, SQUARE.auxiliary),
    ("auxiliary loss, own towers", SQUARE.auxiliary, SQUARE.plain),
    ("auxiliary loss, shared tower", SQUARE.both, SQUARE.shared),
    ("weight sharing, as printed: a_w_net without BN", "a_w_net", SQUARE.auxiliary),
    ("auxiliary loss, as printed: a_w_net without BN", "a_w_net", SQUARE.shared),
    ("dropout", "final_model", "a_w_net"),
    ("dropout, with BN", "final_model_bn", "a_w_net_bn"),
)


def families(selection: Selection) -> tuple[Family, ...]:
    """The families of effects that the rows of a page allow; those without a pair of rows are left out.

    An effect needs two draws that both of its rows have. Networks of no table are compared with final_model, or with
    the first row that was tested.
    """
    found = []
    tested = {label: finished_draws(records) for label, records in selection.tested.items()}
    own = [label for label in tested if label in selection.others]
    if own and len(tested) > 1:
        known = "final_model" if "final_model" in tested else next(iter(tested))
        found.append(_against(tested, own, known, "others", "Networks of no table"))
    for table in selection.tables:
        draws = {label: finished_draws(records) for label, records in table.rows.items()}
        found.append(_family_of(table, draws))
    return tuple(family for family in found if family.effects)


def _family_of(table: StudyRuns, draws: Mapping[str, Draws]) -> Family:
    """The comparisons that a study asks for; rows on other pairs than the one to compare with are left out."""
    study, labels = table.study, [row.label for row in table.study.rows]
    if study.compare == NOTHING or study.seeding.vary:  # runs of a crossed design are no draws
        return _family(study.name, study.title, "", [], draws)
    if study.compare == PAPERS_SQUARE:
        return _claims(draws)
    if study.compare == ABOVE:
        steps = [(label, label, before) for before, label in pairwise(labels)]
        return _family(study.name, study.title, "Each row against the one above it.", steps, draws)
    there = [label for label in labels if label in table.rows]
    chosen = study.compare or there[0]
    pairs = {label: table.rows[label][0].run.pairs_drawn for label in there}
    same = [label for label in there if pairs[label] == pairs.get(chosen)]
    return _against(draws, same, chosen, study.name, study.title)


def _claims(draws: Mapping[str, Draws]) -> Family:
    """The paper's claims, and whether sharing brings as much with the auxiliary loss as without."""
    interaction = {
        "sharing with auxiliary loss": _minus(draws, SQUARE.both, SQUARE.auxiliary),
        "sharing without": _minus(draws, SQUARE.shared, SQUARE.plain),
    }
    with_auxiliary, without = interaction
    return _family(
        "effects",
        "What weight sharing, the auxiliary loss and dropout bring",
        "All four networks of the square have batch normalisation; the printed a_w_net alone goes without.",
        [*_CLAIMS, ("interaction: sharing with minus without auxiliary loss", with_auxiliary, without)],
        {**draws, **interaction},
    )


def _minus(draws: Mapping[str, Draws], first: str, second: str) -> dict[Draw, float]:
    one, other = draws.get(first, {}), draws.get(second, {})
    return {seed: one[seed] - other[seed] for seed in one if seed in other}


def _against(draws: Mapping[str, Draws], labels: Sequence[str], chosen: str, name: str, title: str) -> Family:
    """Every row against one of them."""
    steps = [(f"{label} against {chosen}", label, chosen) for label in labels if label != chosen]
    return _family(name, title, f"Each row against {chosen}.", steps, draws)


def _family(
    name: str, title: str, note: str, steps: Sequence[tuple[str, str, str]], draws: Mapping[str, Draws]
) -> Family:
    found = {}
    for step in steps:
        with suppress(RecordError):  # fewer than two common draws
            found[step] = compare_draws(*(draws.get(label, {}) for label in step[1:]))
    effects = tuple(
        Effect(name=text, first=first, second=second, comparison=comparison, p_holm=p_value)
        for ((text, first, second), comparison), p_value in zip(
            found.items(), holm([each.p_value for each in found.values()]), strict=True
        )
    )
    return Family(name=name, title=title, note=note, effects=effects)
