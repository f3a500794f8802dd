"""Study files: a study as a TOML file, with rows, settings, grids and variants of one's own -> `plan.Study`.

    title = "Optimiser and learning rate"
    draws = 10
    [variants.mine]
    tower = "conv(1,16,3) BN P(2) conv(16,32,3) BN P(2)"
    head = "fc(576,1)"
    [[rows]]
    variant = "final_model"
    grid = { optimiser = ["adam", "sgd"], learning_rate = [1e-3, 3e-3] }
    [[rows]]
    variant = "mine"
    label = "mine, 50 epochs"
    set = { epochs = 50 }

A row is one variant with some settings; `grid` makes a row of each combination of its lists. Everything that a recipe
has can be set, and `steps`, `dropout`, `activation`, `pairs`, `test_pairs`, `folds` and `data`, and the placeholders of
a variant (structures.py).
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec

from pairnet.errors import ArgumentError, NotationError
from pairnet.models import paper
from pairnet.models.recipes import Recipe, Warp, steps_of_epoch
from pairnet.models.toml_files import check_keys, explain, read_document
from pairnet.models.toml_files import choose as _choose
from pairnet.models.toml_files import typed as _typed
from pairnet.models.variant_files import parse_variants
from pairnet.models.variants import VARIANTS, Variant, count_parameters, with_dropout, with_epochs
from pairnet.records.run import PAPER_FOLDS
from pairnet.study.contrasts import ABOVE, NOTHING, PAPERS_SQUARE, Contrast, papers_contrasts, read_contrasts
from pairnet.study.plan import Chosen, Reason, Row, Study
from pairnet.study.seeding import KEYS, MOST_DRAWS, parse_seeding
from pairnet.study.structures import Template, parse_templates
from pairnet.wording import shown

RECIPE = tuple(field.name for field in fields(Recipe))
PAIRS = {"pairs": int, "test_pairs": int, "folds": int, "data": str}
"""Settings of a row that are not its recipe's, and their types."""

SETTINGS = (*RECIPE, "steps", "dropout", "activation", *PAIRS)
"""Everything that a row can set or sweep."""

_STUDY = (
    *("title", "draws", *KEYS, "cross_validated", "compare", *PAIRS),
    *("reasons", "variants", "rows", "contrasts", "as_run"),
)
_ROW = ("variant", "label", "paper", "reason", "goal", "parameters", "set", "grid")

MOST_ROWS = 10_000


def read_study(path: Path) -> Study:
    """The study in the TOML file at `path`, expanded: each combination of a grid is a row.

    ArgumentError, or NotationError for layers that do not fit, in one line that names the file, the key's path and a
    remedy.
    """
    document = read_document(path, content="a study")
    check_keys(document, _STUDY, f"{path}: study")
    own: dict[str, Variant | Template] = {**parse_variants(document, path)} if document.get("variants") else {}
    own |= parse_templates(document, path, taken=SETTINGS)
    head = _head(document, path)
    reasons = _reasons(document.get("reasons", {}), path)
    tables = document.get("rows")
    if not isinstance(tables, list) or not tables:
        raise ArgumentError(f'{path}: expected a [[rows]] table, got none: add one, such as variant = "final_model"')
    known = {**{variant.name: variant for variant in VARIANTS}, **own}
    expanded = (
        replace(row, grid=number)
        for number, table in enumerate(tables, 1)
        for row in _rows(table, f"{path}: row {number}", known, reasons, head)
    )
    rows = list(itertools.islice(expanded, MOST_ROWS + 1))
    if len(rows) > MOST_ROWS:
        raise ArgumentError(f"{path}: expected at most {MOST_ROWS:,} rows, got more: use smaller grids, or two files")
    _check_labels(rows, path)
    for name, reason in reasons.items():
        if reason.row:
            _choose(reason.row, {row.label: row for row in rows}, f"{path}: reasons.{name}.row", "row")
    special = {word: word for word in (ABOVE, PAPERS_SQUARE, NOTHING)}
    if "compare" in head:
        _choose(head["compare"], {row.label: row for row in rows} | special, f"{path}: compare", "row")
    labels = [row.label for row in rows]
    head["contrasts"] = read_contrasts(document.get("contrasts", []), labels, f"{path}: contrast")
    if head.get("compare") == PAPERS_SQUARE:
        head |= {"compare": NOTHING, "contrasts": _with_square(head["contrasts"], labels)}
    chosen = _typed(document.get("as_run", []), tuple[Chosen, ...], f"{path}: as_run")
    study = Study(name=path.stem, rows=tuple(rows), chosen=chosen, file=path, **head)
    if chosen and sorted(map(str, study.sources)) != sorted(str(each.rows) for each in chosen):
        raise ArgumentError(
            f"{path}: as_run: expected one for each source of images of the rows, got others: remove all"
        )
    name = path.stem.removesuffix(f"-{study.digest}")  # of a file that was kept next to another one of its name
    return replace(study, name=name, title=document.get("title", name))


def _with_square(stated: Sequence[Contrast], labels: Sequence[str]) -> tuple[Contrast, ...]:
    """The stated contrasts, and those of the paper's Table III under a name that none of them has."""
    names = {each.name for each in stated}
    return (*stated, *(each for each in papers_contrasts(labels) if each.name not in names))


def _head(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The fields of a study that its file states."""
    kinds = {"title": str, "draws": int, "cross_validated": bool, "compare": str, **PAIRS}
    found = {key: _typed(document[key], kind, f"{path}: {key}") for key, kind in kinds.items() if key in document}
    if not 1 <= found.get("draws", 1) <= MOST_DRAWS:
        raise ArgumentError(f"{path}: draws: expected 1 to {MOST_DRAWS:,}, got {found['draws']}: choose another number")
    for key in ("pairs", "test_pairs", "folds"):
        _check_number(key, found.get(key), f"{path}: {key}")
    found["seeding"] = parse_seeding(document, str(path))
    title = found.get("title", path.stem)
    if not title.isprintable() or not title:
        raise ArgumentError(f"{path}: title: expected one line of text, got {shown(title)}: change it")
    return {**found, "title": title, "cross_validated": found.get("cross_validated", "folds" in found)}


def _reasons(table: Any, path: Path) -> dict[str, Reason]:
    """Why rows may differ from the paper, by name."""
    if not isinstance(table, dict):
        raise ArgumentError(f"{path}: reasons: expected [reasons.NAME] tables, got {shown(table)}: write such tables")
    found = {}
    for name, content in table.items():
        place = f"{path}: reasons.{name}"
        if isinstance(content, dict):
            check_keys(content, [field.name for field in fields(Reason)], place)
        found[name] = _typed(content, Reason, place)
    return found


def _rows(
    table: Any,
    place: str,
    known: Mapping[str, Variant | Template],
    reasons: Mapping[str, Reason],
    head: Mapping[str, Any],
) -> Iterator[Row]:
    """The rows of one [[rows]] table: one, or one for each combination of its grid.  head: what the study states."""
    if not isinstance(table, dict):
        raise ArgumentError(
            f'{place}: expected a table, got {shown(table)}: write [[rows]] and variant = "final_model"'
        )
    check_keys(table, _ROW, place)
    if "variant" not in table:
        raise ArgumentError(
            f'{place}.variant: expected the name of a variant, got none: add one, such as "final_model"'
        )
    text = {
        key: _typed(table[key], str, f"{place}.{key}")
        for key in ("variant", "label", "paper", "reason", "goal")
        if key in table and not (key == "goal" and isinstance(table[key], float))
    }
    if isinstance(goal := table.get("goal"), float):
        if not 0 < goal <= 1:
            raise ArgumentError(f"{place}.goal: expected an accuracy above 0, up to 1, got {goal:g}: change it")
        text["goal"] = f"≥ {goal:.12g}"
    variant = _choose(text["variant"], known, f"{place}.variant", "variant")
    reason = _choose(text["reason"], reasons, f"{place}.reason", "reason") if "reason" in text else None
    numbers = variant.names if isinstance(variant, Template) else ()
    fixed = _settings(table.get("set", {}), f"{place}.set", numbers)
    combinations = _grid(table.get("grid"), f"{place}.grid", fixed, numbers)
    label = text.get("label", variant.name)
    for changes in combinations:
        settings = {**fixed, **changes}
        filled = variant.fill(settings, place) if isinstance(variant, Template) else variant
        changed, others = _change(filled, settings, place)
        if "steps" in settings:  # they follow from the pairs, which are the row's own then
            others["pairs"] = others.get("pairs", head.get("pairs"))
            folds = others.get("folds", head.get("folds", PAPER_FOLDS) if head["cross_validated"] else None)
            changed = _with_steps(changed, settings, others["pairs"], folds, f"{place}.steps")
        if "parameters" in table and count_parameters(changed) != table["parameters"]:
            raise ArgumentError(
                f"{place}.parameters: expected {shown(table['parameters'])} as stated, got "
                f"{count_parameters(changed):,} in its layers: correct one of them"
            )
        yield Row(
            label=", ".join([label, *(setting_text(*change) for change in changes.items())]),
            variant=changed,
            paper=_figure(text["paper"], changed, f"{place}.paper") if "paper" in text else None,
            reason=reason,
            goal=text.get("goal", ""),
            base=label,
            swept=tuple(changes.items()),
            steps=settings.get("steps"),
            **others,
        )


def _with_steps(
    variant: Variant, settings: Mapping[str, Any], pairs: int | None, folds: int | None, place: str
) -> Variant:
    """The variant with the epochs that so many steps take; the last epoch is a whole one, so it may be a few more."""
    if pairs is None:
        raise ArgumentError(f"{place}: expected `pairs` for them, got none: state them in `set` or for the study")
    if "epochs" in settings:
        raise ArgumentError(f"{place}: expected `epochs` or `steps`, got both: remove one")
    try:
        return with_epochs(variant, -(-settings["steps"] // steps_of_epoch(variant.recipe, pairs, folds)))
    except ArgumentError as error:
        raise ArgumentError(f"{place}: {error}") from None


def _settings(table: Any, place: str, numbers: Collection[str]) -> dict[str, Any]:
    """The settings of a `set` table, each one checked by itself.  numbers: names of placeholders."""
    if not isinstance(table, dict):
        raise ArgumentError(f"{place}: expected a table, got {shown(table)}: write {{ epochs = 50 }}")
    check_keys(table, (*SETTINGS, *numbers), place)
    return {key: _setting(key, value, f"{place}.{key}") for key, value in table.items()}


def _grid(table: Any, place: str, fixed: Collection[str], numbers: Collection[str]) -> Iterator[dict[str, Any]]:
    """Every combination of the lists of a `grid` table, the first key slowest; one empty one without a grid."""
    if table is None:
        return iter([{}])
    if not isinstance(table, dict) or not table:
        raise ArgumentError(
            f"{place}: expected lists of settings, got {shown(table)}: write {{ learning_rate = [1e-3, 3e-3] }}, "
            "or remove it"
        )
    check_keys(table, (*SETTINGS, *numbers), place)
    lists = {}
    for key, values in table.items():
        if not isinstance(values, list) or not values:
            raise ArgumentError(
                f"{place}.{key}: expected a list of values, got {shown(values)}: write [1, 2], or set it"
            )
        if key in fixed:
            raise ArgumentError(f"{place}.{key}: expected a setting that `set` does not have, got both: remove one")
        lists[key] = [_setting(key, value, f"{place}.{key}[{at}]") for at, value in enumerate(values)]
    if (count := len(list(itertools.islice(itertools.product(*lists.values()), MOST_ROWS + 1)))) > MOST_ROWS:
        raise ArgumentError(f"{place}: expected at most {MOST_ROWS:,} combinations, got {count:,} or more: use fewer")
    for key, values in lists.items():
        for at, value in enumerate(values):
            if value in values[:at]:
                raise ArgumentError(f"{place}.{key}: expected different values, got {shown(value)} twice: remove one")
    return (dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values()))


def _setting(key: str, value: Any, place: str) -> Any:
    """One setting, of its type and within its bounds."""
    if key in PAIRS:
        return _check_number(key, _typed(value, PAIRS[key], place), place)
    if key not in SETTINGS or key == "steps":  # a placeholder
        return _check_number(key, _typed(value, int, place), place)
    if key == "dropout":
        return _typed(value, float, place)
    if key == "warp" and value is False:  # none: TOML has no null
        return None
    if key == "warp" and isinstance(value, dict):
        check_keys(value, [field.name for field in fields(Warp)], place)
    try:
        kind: type[Variant | Recipe] = Variant if key == "activation" else Recipe
        return getattr(msgspec.convert({"name": "", key: value}, kind), key)
    except msgspec.ValidationError as error:
        raise ArgumentError(explain(error, place.removesuffix(f".{key}"), {key: value})) from None


def _check_number(key: str, value: Any, place: str) -> Any:
    least = 2 if key == "folds" else 1
    if isinstance(value, int) and value < least:
        raise ArgumentError(f"{place}: expected at least {least}, got {value}: choose a larger number")
    return value


def _change(variant: Variant, settings: Mapping[str, Any], place: str) -> tuple[Variant, dict[str, Any]]:
    """The variant with some settings, and the settings that are not its own."""
    recipe = {key: value for key, value in settings.items() if key in RECIPE}
    try:
        changed = replace(variant, recipe=replace(variant.recipe, **recipe))
        if "dropout" in settings:
            changed = with_dropout(changed, settings["dropout"])
        if "activation" in settings:
            changed = replace(changed, activation=settings["activation"])
        count_parameters(changed)
    except (ArgumentError, NotationError) as error:
        raise ArgumentError(f"{place}: {error}") from None
    return changed, {key: value for key, value in settings.items() if key in PAIRS}


def _figure(table: str, variant: Variant, place: str) -> paper.Printed:
    """The figure that a table of the paper prints for a variant; in Table II, for its loss ratio."""
    tables: dict[str, tuple[Mapping[Any, paper.Printed], Any]] = {
        "I": (paper.TABLE_I, variant.name),
        "II": (paper.TABLE_II, variant.recipe.loss_ratio),
        "III": (paper.TABLE_III, variant.name),
    }
    if table not in tables:
        raise ArgumentError(f"{place}: expected I, II or III, a table of the paper, got {shown(table)}: name one")
    figures, key = tables[table]
    if key not in figures:
        raise ArgumentError(
            f"{place}: expected a row that the paper's table {table} prints ({', '.join(map(str, figures))}), "
            f"got {key}: remove `paper`"
        )
    return figures[key]


def setting_text(key: str, value: Any) -> str:
    """A setting of a grid in a label and in the name of a curve: "learning rate 0.001"."""
    return f"{key.replace('_', ' ')} {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, Warp):
        return ", ".join(
            f"{field.name} {getattr(value, field.name):g}" for field in fields(Warp) if getattr(value, field.name)
        )
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return "/".join(f"{each:.12g}" for each in value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _check_labels(rows: list[Row], path: Path) -> None:
    seen = set[str]()
    for row in rows:
        if row.label in seen:
            raise ArgumentError(f'{path}: expected different labels, got two rows "{row.label}": give one a `label`')
        if not row.label.isprintable() or not row.label:
            raise ArgumentError(f"{path}: expected labels of one line of text, got {shown(row.label)}: change it")
        seen.add(row.label)
