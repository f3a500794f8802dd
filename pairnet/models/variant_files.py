"""Variants of the user's own, read from the `[variants.NAME]` tables of a TOML file."""

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import msgspec

from pairnet.errors import ArgumentError, NotationError
from pairnet.models.recipes import Optimiser, Recipe, Schedule, Warp
from pairnet.models.variants import VARIANTS, Variant, check, in_standard_notation

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""Valid names: each one becomes part of the names of folders and files."""

LARGEST_FILE = 1 << 20  # bytes

_CHOICES = {"optimiser": get_args(Optimiser), "schedule": get_args(Schedule)}
_TYPES = {"str": "a string", "bool": "true or false", "int": "an integer", "float": "a number", "object": "a table"}
_EXAMPLE = '[variants.my_net] with net = "fc(392,1)"'


def read_variants(path: Path) -> dict[str, Variant]:
    """The variants in the TOML file at `path`, by name, in the file's order.

    Each `[variants.NAME]` table has the fields of Variant except its name: `net`, or `tower` and `head`; optional are
    `shared`, `auxiliary`, `note`, `parameters` (checked against the layers) and `recipe` (a table with any fields of
    Recipe; `warp` is a table with any fields of Warp). Other top-level tables are ignored.

    Raises ArgumentError if the file cannot be read or a key, type, value or name is not valid, and NotationError if
    the layers of a variant do not fit. Each message names the file and the key's path.
    """
    if path.exists() and not path.is_file():
        raise ArgumentError(f"expected a TOML file with variants, got {path}, which is no file: check the path")
    if path.is_file() and path.stat().st_size > LARGEST_FILE:
        raise ArgumentError(f"expected a TOML file of at most {LARGEST_FILE:,} bytes, got {path}: check the path")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ArgumentError(f"expected a TOML file with variants, but {path} does not exist: check the path") from None
    except OSError as error:
        raise ArgumentError(f"expected a readable TOML file, got {path}: {error.strerror}: check the path") from None
    except UnicodeDecodeError as error:
        raise ArgumentError(f"expected a TOML file, got {path}: no UTF-8 (byte {error.start}): save it again") from None
    except tomllib.TOMLDecodeError as error:
        raise ArgumentError(f"expected a TOML file, got {path}: {error}: correct the syntax there") from None
    except ValueError as error:  # a number of thousands of digits
        raise ArgumentError(f"expected a TOML file, got {path}: {error}: use a smaller number") from None
    except RecursionError:
        raise ArgumentError(f"expected a TOML file, got {path}: too many levels: use [variants.NAME] tables") from None
    return parse_variants(document, path)


def parse_variants(document: Mapping[str, Any], path: Path) -> dict[str, Variant]:
    """The variants in a TOML document that was read from `path`; see `read_variants`."""
    tables = document.get("variants")
    if not isinstance(tables, dict) or not tables:
        given = "none" if tables is None or tables == {} else f"variants = {_shown(tables)}"
        raise ArgumentError(f"{path}: expected a [variants.NAME] table, got {given}: add one, such as {_EXAMPLE}")
    return {name: _variant(name, table, path) for name, table in tables.items()}


def _variant(name: str, table: Any, path: Path) -> Variant:
    place = f"{path}: variants.{name}" if NAME.fullmatch(name) else f"{path}: variants"
    if not NAME.fullmatch(name):
        raise ArgumentError(
            f"{place}: expected a name of up to 100 letters, digits, _, - and . that does not start with - or ., "
            f"got {_shown(name)}: rename the table"
        )
    if any(variant.name == name for variant in VARIANTS):
        raise ArgumentError(f"{place}: expected a new name, got that of a built-in variant: rename the table")
    if not isinstance(table, dict):
        raise ArgumentError(f"{place}: expected a table, got {_shown(table)}: write {_EXAMPLE}")
    _check_keys(table, [field.name for field in fields(Variant) if field.name != "name"], place)
    if isinstance(recipe := table.get("recipe"), dict):
        _check_keys(recipe, [field.name for field in fields(Recipe)], f"{place}.recipe")
        if isinstance(warp := recipe.get("warp"), dict):
            _check_keys(warp, [field.name for field in fields(Warp)], f"{place}.recipe.warp")
    try:
        variant = msgspec.convert({**table, "name": name}, Variant)
    except msgspec.ValidationError as error:
        raise ArgumentError(_explain(error, place, table)) from None
    try:
        check(variant)
    except NotationError as error:
        raise NotationError(f"{path}: {error}") from None
    if not variant.note.isprintable():
        raise ArgumentError(f"{place}.note: expected one line of text, got {_shown(variant.note)}: shorten it")
    return in_standard_notation(variant)


def _check_keys(table: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            remedy = f"did you mean {near[0]}?" if near else f"remove it; the keys are {', '.join(known)}"
            shown = key if NAME.fullmatch(key) else _shown(key)
            raise ArgumentError(f"{place}.{shown}: expected a known key: {remedy}")


def _explain(error: msgspec.ValidationError, place: str, table: Mapping[str, Any]) -> str:
    """One line for msgspec's "Expected `int`, got `str` - at `$.recipe.epochs`", or for an error of Recipe or Warp."""
    text, _, where = str(error).partition(" - at `$")
    keys = re.findall(r"\.(\w+)|\[(\d+)\]", where)
    value: Any = table
    for name, index in keys:
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            value = None
    text = text.replace("`", "")
    wanted = text.removeprefix("Expected ").partition(", got ")[0].removesuffix(" | null")
    if text.startswith("Invalid enum value"):
        wanted = f"one of {', '.join(_CHOICES[keys[-1][0]])}"
    if not text.startswith("expected "):  # an error of msgspec, not of Recipe or Warp
        text = f"expected {_TYPES.get(wanted, wanted)}, got {_shown(value)}"
    separator = "" if ": " in text else ": correct its value"
    return f"{place}{where.removesuffix('`')}: {text}{separator}"


def _shown(value: object) -> str:
    """`value` in one short line, with control characters escaped."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
