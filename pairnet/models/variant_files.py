"""Variants of the user's own, read from the `[variants.NAME]` tables of a TOML file."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from pairnet.errors import ArgumentError, NotationError
from pairnet.models.recipes import Recipe, Warp
from pairnet.models.toml_files import NAME, check_keys, explain, read_document
from pairnet.models.variants import VARIANTS, Variant, check, in_standard_notation
from pairnet.wording import shown

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
"""A number in a structure that the rows of a study set or sweep: {channels}."""

_NAME_IN_IT = re.compile(r"[A-Za-z_]\w*")
_EXAMPLE = '[variants.my_net] with net = "fc(392,1)"'


class Variants(dict[str, Variant]):
    """Variants by name. One with placeholders is none of them; `[name]` says so in an ArgumentError."""

    def __init__(self, variants: Mapping[str, Variant], unfilled: Mapping[str, str]):
        super().__init__(variants)
        self._unfilled = unfilled

    def __missing__(self, name: str) -> Variant:
        raise ArgumentError(self._unfilled[name]) if name in self._unfilled else KeyError(name)


def read_variants(path: Path | str) -> Variants:
    """The variants in the TOML file at `path`, by name, in the file's order.

    Each `[variants.NAME]` table has the fields of Variant except its name: `net`, or `tower` and `head`; optional are
    `shared`, `auxiliary`, `note`, `parameters` (checked against the layers) and `recipe` (a table with any fields of
    Recipe; `warp` is a table with any fields of Warp). Other top-level tables are ignored. Variants with
    placeholders such as {channels} are left out, since only the rows of a study make networks of them: asking the
    result for one by its name raises ArgumentError, which says which placeholders it has.

    Raises ArgumentError if the file cannot be read or a key, type, value or name is not valid, and NotationError if
    the layers of a variant do not fit. Each message names the file and the key's path.
    """
    path = Path(path)
    return parse_variants(read_document(path, content="variants"), path)


def parse_variants(document: Mapping[str, Any], path: Path) -> Variants:
    """The variants in a TOML document that was read from `path`; see `read_variants`."""
    tables = document.get("variants")
    if not isinstance(tables, dict) or not tables:
        given = "none" if tables is None or tables == {} else f"variants = {shown(tables)}"
        raise ArgumentError(f"{path}: expected a [variants.NAME] table, got {given}: add one, such as {_EXAMPLE}")
    unfilled = {name: _unfilled(name, table, path) for name, table in tables.items() if has_placeholders(table)}
    return Variants({n: _variant(n, table, path) for n, table in tables.items() if n not in unfilled}, unfilled)


def _unfilled(name: str, table: Mapping[str, Any], path: Path) -> str:
    """Why a variant with placeholders is no network."""
    texts = [text for part, text in table.items() if isinstance(text, str) and part != "note"]
    named = [each for text in texts for found in PLACEHOLDER.findall(text) for each in _NAME_IN_IT.findall(found)]
    listed = ", ".join(f"{{{each}}}" for each in dict.fromkeys(named)) or "{}"
    return (
        f"{path}: expected a variant whose layers are numbers, got {shown(name)} with {listed}: give "
        f"{'it a number' if len(set(named)) < 2 else 'them numbers'} in the rows of a study, with `set` or `grid`, or "
        "write them into the file"
    )


def has_placeholders(table: Any) -> bool:
    """Whether a [variants.NAME] table has placeholders in its layers."""
    return isinstance(table, dict) and any(
        PLACEHOLDER.search(text) for part, text in table.items() if isinstance(text, str) and part != "note"
    )


def _variant(name: str, table: Any, path: Path) -> Variant:
    place = f"{path}: variants.{name}" if NAME.fullmatch(name) else f"{path}: variants"
    if not NAME.fullmatch(name):
        raise ArgumentError(
            f"{place}: expected a name of up to 100 letters, digits, _, - and . that does not start with - or ., "
            f"got {shown(name)}: rename the table"
        )
    if any(variant.name == name for variant in VARIANTS):
        raise ArgumentError(f"{place}: expected a new name, got that of a built-in variant: rename the table")
    if not isinstance(table, dict):
        raise ArgumentError(f"{place}: expected a table, got {shown(table)}: write {_EXAMPLE}")
    check_keys(table, [field.name for field in fields(Variant) if field.name != "name"], place)
    if isinstance(recipe := table.get("recipe"), dict):
        check_keys(recipe, [field.name for field in fields(Recipe)], f"{place}.recipe")
        if isinstance(warp := recipe.get("warp"), dict):
            check_keys(warp, [field.name for field in fields(Warp)], f"{place}.recipe.warp")
    try:
        variant = msgspec.convert({**table, "name": name}, Variant)
    except msgspec.ValidationError as error:
        raise ArgumentError(explain(error, place, table)) from None
    try:
        check(variant)
    except NotationError as error:
        raise NotationError(f"{path}: {error}") from None
    if not variant.note.isprintable():
        raise ArgumentError(f"{place}.note: expected one line of text, got {shown(variant.note)}: shorten it")
    return in_standard_notation(variant)
