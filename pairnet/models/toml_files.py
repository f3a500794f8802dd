"""TOML files that people write: read whole, checked, and every mistake named in one line with its place."""

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from pairnet.errors import ArgumentError
from pairnet.models.notation import Activation
from pairnet.models.recipes import Optimiser, Schedule
from pairnet.opening import read_file
from pairnet.wording import shown

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""Valid names: each one becomes part of the names of folders and files."""

LARGEST_FILE = 1 << 20  # bytes

_CHOICES = {"optimiser": get_args(Optimiser), "schedule": get_args(Schedule), "activation": get_args(Activation)}
_TYPES = {"str": "a string", "bool": "true or false", "int": "an integer", "float": "a number", "object": "a table"}


def read_document(path: Path, *, content: str) -> dict[str, Any]:
    """The TOML document at `path`.

    content: what the file should hold, for messages: "variants", "a study". ArgumentError if it cannot be read.
    """
    text = document_text(path, content=content)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ArgumentError(f"expected a TOML file, got {path}: {error}: correct the syntax there") from None
    except ValueError as error:  # a number of thousands of digits
        raise ArgumentError(f"expected a TOML file, got {path}: {error}: use a smaller number") from None
    except RecursionError:
        raise ArgumentError(f"expected a TOML file, got {path}: too many levels: use fewer") from None


def document_text(path: Path, *, content: str) -> str:
    """The text of a TOML file, without a byte order mark.  ArgumentError as of `read_document`."""
    try:
        return read_file(path, what=f"a TOML file with {content}", largest=LARGEST_FILE, error=ArgumentError).decode(
            "utf-8-sig"
        )
    except UnicodeDecodeError as error:
        raise ArgumentError(f"expected a TOML file, got {path}: no UTF-8 (byte {error.start}): save it again") from None


def check_keys(table: Mapping[str, Any], known: Collection[str], place: str) -> None:
    """ArgumentError for a key that is not known, with the most similar one that is."""
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            remedy = f"did you mean {near[0]}?" if near else f"remove it; the keys are {', '.join(known)}"
            name = key if NAME.fullmatch(key) else shown(key)
            raise ArgumentError(f"{place}.{name}: expected a known key: {remedy}")


def explain(error: msgspec.ValidationError, place: str, table: Mapping[str, Any]) -> str:
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
    if text.startswith("Invalid enum value") and keys[-1][0] in _CHOICES:
        wanted = f"one of {', '.join(_CHOICES[keys[-1][0]])}"
    if not text.startswith("expected "):  # an error of msgspec, not of Recipe or Warp
        text = f"expected {_TYPES.get(wanted, wanted)}, got {shown(value)}"
    separator = "" if ": " in text else ": correct its value"
    return f"{place}{where.removesuffix('`')}: {text}{separator}"


def typed(value: Any, kind: Any, place: str) -> Any:
    """A value of a document as `kind`.  ArgumentError if it is none."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ArgumentError(explain(error, place, value)) from None


def choose(name: str, known: Mapping[str, Any], place: str, what: str) -> Any:
    """What `name` stands for.  ArgumentError for a name that is not known, with the most similar one that is."""
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(known)}" if known else "define it"
    raise ArgumentError(f"{place}: expected the name of a {what}, got {shown(name)}: {remedy}")
