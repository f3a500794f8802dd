"""What a contrast came to, and contrasts that are read together, as values."""

from dataclasses import dataclass
from typing import Literal

from pairnet.records.run import Draw
from pairnet.reporting.comparison import Comparison
from pairnet.reporting.generality import General
from pairnet.study.contrasts import Weights

Word = Literal["better", "worse", "equivalent", "undecided", "reached", "missed", "withheld"]

Missing = tuple[str, tuple[Draw, ...]]
"""A row, and draws of it that are not there."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One contrast and what the draws say about it; differences are first minus second, as fractions of 1.

    "equivalent": the difference is shown to lie within ±`margin`, so `p_equivalence_holm` is below 5 %. "better" and
    "worse": it is not, and the difference is shown not to be 0, so `p_holm` is below 5 %; which one, its sign says.
    "undecided": neither. Against a goal, the test is one-sided: "reached" if the mean is shown to be above the goal,
    "missed" if the 95 % interval lies below it. "withheld": draws of a row failed, and those that survive are no random
    sample of all.
    """

    name: str
    first: str  # the sides in words
    second: str
    comparison: Comparison  # against a goal, `second` is the goal, and the p-value is that of the one-sided test
    p_holm: float | None  # p-value of the t-test, corrected for its family; None if there is no variation
    margin: float | None
    low90: float | None  # 90 % interval of the difference: within ±margin exactly if p_equivalence is below 5 %
    high90: float | None
    p_equivalence: float | None
    p_equivalence_holm: float | None
    goal: float | None
    verdict: Word
    missing: tuple[Missing, ...]  # draws that failed, or that other rows of the contrast have
    failed: tuple[Missing, ...]  # those of them that failed
    general: General | None  # for images in general; None where records do not say which pairs are wrong
    weights: Weights  # of each row in the difference
    headline: str  # what the first sentences call it; empty: they leave it out

    @property
    def method(self) -> str:
        """The test, in a few words."""
        if self.goal is not None:
            return "one-sided t"
        return "paired t" if self.comparison.paired else "Welch's t, unpaired"


@dataclass(frozen=True, kw_only=True)
class NotComputed:
    """A contrast that the runs do not allow. It counts in the correction of its family: the study asks it, too."""

    name: str
    first: str  # the sides in words
    second: str
    margin: float | None
    goal: float | None
    reason: str
    verdict: Literal["not computed"] = "not computed"


@dataclass(frozen=True, kw_only=True)
class Family:
    """Contrasts that are read together, so their p-values are corrected together."""

    name: str  # that of their study, with that of the family where a study has several; no other family has it
    study: str  # name of the study
    title: str
    note: str
    goals: bool  # whether they are the goals that rows state
    effects: tuple[Effect, ...]
    not_computed: tuple[NotComputed, ...]  # stated ones, and others of a row that has failed draws

    @property
    def contrasts(self) -> tuple[Effect | NotComputed, ...]:
        """All of them: those that are not computed come last."""
        return (*self.effects, *self.not_computed)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The contrasts that are not computed, each with the reason."""
        return tuple(f"{each.name}: {each.reason}" for each in self.not_computed)
