"""The experiments as tables of rows, the paper's and those beyond it, and the runs that each row takes."""

from dataclasses import dataclass, replace

from pairnet.models import paper
from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variants import Variant, find_variant
from pairnet.study.runs import Run, with_dropout


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: what is run, and the paper's figure for it where it prints one."""

    label: str
    variant: Variant
    paper: paper.Figure | None
    loss_ratio: float | None = None  # None: the recipe's own
    explained: str = ""  # why it may differ from the paper


@dataclass(frozen=True, kw_only=True)
class Study:
    """One table: its rows, and whether each draw is split into folds (tuning) or tested on test pairs."""

    name: str
    title: str
    rows: tuple[Row, ...]
    cross_validated: bool = False


_SIGMOID = (
    "the paper's figure is that of sigmoid hidden units; with ReLU, its stated default, fully-connected nets do better"
)
_NO_BN = "trained as printed, without BN; with BN, as the paper's text has it, see a_w_net_bn"
_THREE_QUARTERS = "a fold leaves 750 pairs to train on, and a_w_net is trained as printed, without BN"
_CHANNELS = "(50, 100) channels, as the printed count demands; the paper prints (32, 64)"
_EXPLAINED = {"fc_1": _SIGMOID, "fc_2": _SIGMOID, "conv_2": _CHANNELS, "a_w_net": _NO_BN}
_STEPS = "From final_model to order_net, one change at a time; the last: more epochs"
DROPOUT_RATES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)


def _of_variants(figures: dict[str, paper.Figure], *extra: str) -> tuple[Row, ...]:
    rows = [Row(label=n, variant=find_variant(n), paper=f, explained=_EXPLAINED.get(n, "")) for n, f in figures.items()]
    return (*rows, *(Row(label=name, variant=find_variant(name), paper=None) for name in extra))


def _of_loss_ratios() -> tuple[Row, ...]:
    return tuple(
        Row(
            label=f"a_w_net, loss ratio {ratio:g}",
            variant=find_variant("a_w_net"),
            paper=figure,
            loss_ratio=ratio,
            explained=_THREE_QUARTERS,
        )
        for ratio, figure in paper.TABLE_II.items()
    )


def _of_dropout_rates() -> tuple[Row, ...]:
    rows = (with_dropout(find_variant("final_model"), rate) for rate in DROPOUT_RATES)
    return tuple(
        Row(label=f"final_model, dropout {rate:g}", variant=variant, paper=None)
        for rate, variant in zip(DROPOUT_RATES, rows, strict=True)
    )


def studies() -> dict[str, Study]:
    """All tables, by the name that --table takes."""
    found = (
        Study(name="1", title="Table I: baselines", rows=_of_variants(paper.TABLE_I)),
        Study(name="2", title="Table II: loss ratios", rows=_of_loss_ratios(), cross_validated=True),
        Study(
            name="3",
            title="Table III: main results",
            rows=_of_variants(paper.TABLE_III, "a_w_net_bn", "final_model_bn"),
        ),
        Study(name="dropout", title="Section VII: dropout rates", rows=_of_dropout_rates(), cross_validated=True),
        Study(name="order", title="Beyond the paper: weight sharing to the end", rows=_of_order_nets()),
        Study(name="ablation", title=_STEPS, rows=_of_steps()),
    )
    return {study.name: study for study in found}


PAPER = ("1", "2", "3", "dropout")
"""What `--table all` stands for."""


def _of_order_nets() -> tuple[Row, ...]:
    names = ("final_model", "order_net", "order_net_s", "order_net_xs", "order_net_fast")
    return tuple(Row(label=name, variant=find_variant(name), paper=paper.TABLE_III.get(name)) for name in names)


def _of_steps() -> tuple[Row, ...]:
    """From final_model to order_net, one change a row; each row keeps what the rows above it changed."""
    start, goal = find_variant("final_model"), find_variant("order_net")
    classifier = f"{start.auxiliary} softmax"
    with_bn = find_variant("final_model_bn").tower
    recipe = replace(goal.recipe, epochs=25, warp=None, recalibrate=False)
    affine = Warp()
    steps: tuple[tuple[str, str, Recipe], ...] = (
        ("order head on the auxiliary classifier", f"{start.tower} {classifier}", start.recipe),
        ("batch normalisation", f"{with_bn} {classifier}", start.recipe),
        ("no dropout", f"{with_bn.removesuffix(' D(0.4)')} {classifier}", start.recipe),
        ("loss ratio 1", f"{with_bn.removesuffix(' D(0.4)')} {classifier}", replace(start.recipe, loss_ratio=1.0)),
        ("AdamW, one cycle, learning rate 0.02", f"{with_bn.removesuffix(' D(0.4)')} {classifier}", recipe),
        ("two convolutions a scale, global average", goal.tower, recipe),
        ("affine warps", goal.tower, replace(recipe, warp=affine)),
        ("elastic warps", goal.tower, replace(recipe, warp=goal.recipe.warp)),
        ("BN statistics taken anew", goal.tower, replace(recipe, warp=goal.recipe.warp, recalibrate=True)),
    )
    rows = [Row(label="final_model", variant=start, paper=paper.TABLE_III["final_model"])]
    for label, tower, changed in steps:
        variant = replace(goal, tower=tower, recipe=changed, parameters=None)
        rows.append(Row(label=f"+ {label}", variant=variant, paper=None))
    return (*rows, Row(label="order_net", variant=goal, paper=None))


def plan(
    study: Study,
    *,
    repeats: int = 10,
    epochs: int | None = None,
    pairs: int = 1000,
    folds: int = 4,
    device: str = "cpu",
) -> list[Run]:
    """The runs of a study.  Repeat r of each row sees the same draw of pairs; `epochs` None is the recipe's own."""
    if repeats < 1:
        raise ValueError(f"--repeats must be at least 1, not {repeats}")
    runs = []
    for row in study.rows:
        recipe = row.variant.recipe
        recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
        recipe = recipe if row.loss_ratio is None else replace(recipe, loss_ratio=row.loss_ratio)
        for seed in range(repeats):
            for fold in range(folds) if study.cross_validated else (None,):
                runs.append(
                    Run(
                        row=row.label,
                        variant=row.variant,
                        recipe=recipe,
                        pairs=pairs,
                        seed=seed,
                        fold=fold,
                        folds=folds,
                        device=device,
                    )
                )
    return runs
