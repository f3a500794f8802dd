"""The experiments as tables of rows, the paper's and those beyond it, and the runs that each table takes."""

from dataclasses import dataclass, replace
from typing import Literal

from pairnet.errors import ArgumentError
from pairnet.models import paper
from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variants import Variant, count_parameters, find_variant
from pairnet.study.runs import PAPER_FOLDS, Run, with_dropout


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a measured accuracy may be lower or higher than the paper's; "either" is for both."""

    text: str
    explains: Literal["lower", "higher", "either"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: the network with its recipe, and the paper's figure for it if the paper prints one."""

    label: str
    variant: Variant
    paper: paper.Figure | None
    reason: Reason | None = None  # why it may differ from the paper
    goal: str = ""  # what this project set out to reach where the paper has no figure


@dataclass(frozen=True, kw_only=True)
class Study:
    """One table: its rows, and whether each draw is split into folds (tuning) or tested on test pairs."""

    name: str
    title: str
    rows: tuple[Row, ...]
    cross_validated: bool = False


PAPER = ("1", "2", "3", "dropout")
"""The tables that `all` stands for."""

DROPOUT_RATES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)

_SIGMOID = Reason(
    explains="higher",
    text="the paper's figure is that of sigmoid hidden units; with ReLU, its stated default, fully-connected networks "
    "are more accurate",
)
_NO_BN = Reason(
    explains="lower",
    text="trained as printed, without BN; a_w_net_bn is the same network with BN, as the paper's text has it",
)
_THREE_QUARTERS = Reason(
    explains="lower", text="a fold leaves 750 pairs to train on, and a_w_net is trained as printed, without BN"
)
_CHANNELS = Reason(
    explains="either", text="(50, 100) channels, as the printed count requires; the paper prints (32, 64)"
)
_REASONS = {"fc_1": _SIGMOID, "fc_2": _SIGMOID, "conv_2": _CHANNELS, "a_w_net": _NO_BN}


def studies() -> dict[str, Study]:
    """All tables, by name."""
    tables = (
        Study(name="1", title="Table I: baselines", rows=_variants(paper.TABLE_I)),
        Study(name="2", title="Table II: loss ratios", rows=_loss_ratios(), cross_validated=True),
        Study(
            name="3",
            title="Table III: main results",
            rows=_variants(paper.TABLE_III, "a_w_net_bn", "final_model_bn"),
        ),
        Study(name="dropout", title="Section VII: dropout rates", rows=_dropout_rates(), cross_validated=True),
        Study(name="order", title="Beyond the paper: weight sharing to the end", rows=_order_networks()),
        Study(
            name="ablation",
            title="From final_model to order_net, one change at a time; the last: more epochs",
            rows=_ablation(),
        ),
    )
    return {study.name: study for study in tables}


def _variants(figures: dict[str, paper.Figure], *extra: str) -> tuple[Row, ...]:
    rows = [Row(label=n, variant=find_variant(n), paper=f, reason=_REASONS.get(n)) for n, f in figures.items()]
    return (*rows, *(Row(label=name, variant=find_variant(name), paper=None) for name in extra))


def _loss_ratios() -> tuple[Row, ...]:
    variant = find_variant("a_w_net")
    return tuple(
        Row(
            label=f"a_w_net, loss ratio {ratio:g}",
            variant=replace(variant, recipe=replace(variant.recipe, loss_ratio=ratio)),
            paper=figure,
            reason=_THREE_QUARTERS,
        )
        for ratio, figure in paper.TABLE_II.items()
    )


def _dropout_rates() -> tuple[Row, ...]:
    variant = find_variant("final_model")
    return tuple(
        Row(label=f"final_model, dropout {rate:g}", variant=with_dropout(variant, rate), paper=None)
        for rate in DROPOUT_RATES
    )


def _order_networks() -> tuple[Row, ...]:
    goals = {
        "final_model": "",
        "order_net": "≥ 0.991",
        "order_net_s": "≥ 0.985",
        "order_net_xs": "≥ 0.975",
        "order_net_fast": "≥ 0.952, as fast as can be",
    }
    return tuple(
        Row(label=name, variant=find_variant(name), paper=paper.TABLE_III.get(name), goal=goal)
        for name, goal in goals.items()
    )


def _ablation() -> tuple[Row, ...]:
    """From final_model to order_net, one change a row; each row keeps the changes of the rows above it."""
    first, last = find_variant("final_model"), find_variant("order_net")
    classifier = f"{first.auxiliary} softmax"
    with_bn = find_variant("final_model_bn").tower
    without_dropout = f"{with_bn.removesuffix(' D(0.4)')} {classifier}"
    recipe = replace(last.recipe, epochs=25, warp=None, recalibrate=False)
    steps: tuple[tuple[str, str, Recipe], ...] = (
        ("order head on the auxiliary classifier", f"{first.tower} {classifier}", first.recipe),
        ("batch normalisation", f"{with_bn} {classifier}", first.recipe),
        ("no dropout", without_dropout, first.recipe),
        ("loss ratio 1", without_dropout, replace(first.recipe, loss_ratio=1.0)),
        ("AdamW, one cycle, learning rate 0.02", without_dropout, recipe),
        ("two convolutions a scale, global average", last.tower, recipe),
        ("affine warps", last.tower, replace(recipe, warp=Warp())),
        ("elastic warps", last.tower, replace(recipe, warp=last.recipe.warp)),
        ("BN statistics recomputed", last.tower, replace(recipe, warp=last.recipe.warp, recalibrate=True)),
    )
    rows = [Row(label="final_model", variant=first, paper=paper.TABLE_III["final_model"])]
    for label, tower, changed in steps:
        variant = replace(last, tower=tower, recipe=changed, parameters=0)
        variant = replace(variant, parameters=count_parameters(variant))
        rows.append(Row(label=f"+ {label}", variant=variant, paper=None))
    return (*rows, Row(label=f"order_net, {last.recipe.epochs} epochs", variant=last, paper=None))


MOST_DRAWS = 10_000
"""Draws of one study: ten thousand runs of each row take days."""


def plan(
    study: Study,
    *,
    draws: int = 10,
    epochs: int | None = None,
    pairs: int = 1000,
    test_pairs: int | None = None,
    folds: int = PAPER_FOLDS,
    device: str = "cpu",
) -> list[Run]:
    """The runs of a study, row after row.

    Draw d of every row sees the same pairs. `epochs` None keeps the number of each row's recipe.
    """
    if not 1 <= draws <= MOST_DRAWS:
        raise ArgumentError(f"expected `draws` in 1..{MOST_DRAWS:,}, got {draws}")
    return [
        Run(
            variant=_with_epochs(row.variant, epochs),
            label=row.label,
            pairs=pairs,
            test_pairs=test_pairs,
            seed=seed,
            fold=fold,
            folds=folds,
            device=device,
        )
        for row in study.rows
        for seed in range(draws)
        for fold in (range(folds) if study.cross_validated else (None,))
    ]


def _with_epochs(variant: Variant, epochs: int | None) -> Variant:
    return variant if epochs is None else replace(variant, recipe=replace(variant.recipe, epochs=epochs))
