"""Structures with placeholders: variants of a study file whose layers depend on numbers that its rows set or sweep.

[variants.mine]
tower = "conv(1,{channels},3) P(2) conv({channels},{2*channels},3) P(2)"
head = "fc({36*channels},1)"
[[rows]]
variant = "mine"
grid = { channels = [8, 16] }
"""

import ast
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pairnet.errors import ArgumentError
from pairnet.models.variant_files import PLACEHOLDER, has_placeholders, parse_variants
from pairnet.models.variants import Variant
from pairnet.wording import shown

LARGEST_NUMBER = 10**9
"""More than any layer has of anything."""

LONGEST = 100
"""Characters between the braces of a placeholder."""

_NAME = re.compile(r"[a-z][a-z_]{0,39}")
_OPERATIONS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


@dataclass(frozen=True, kw_only=True)
class Template:
    """A variant with placeholders, as it stands in a file."""

    name: str
    table: Mapping[str, Any]
    path: Path

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The numbers that its placeholders need, in their order.  ArgumentError for what is no arithmetic of them."""
        found: dict[str, None] = {}
        for part, text in self._texts.items():
            for expression in PLACEHOLDER.findall(text):
                for node in ast.walk(_parsed(expression, self._place(part))):
                    if isinstance(node, ast.Name):
                        found[node.id] = None
        return tuple(found)

    def fill(self, numbers: Mapping[str, int], place: str) -> Variant:
        """The variant with these numbers, and with them in its name.

        place: of the row, for messages. ArgumentError for a number that is missing or does not fit, NotationError for
        layers that do not fit.
        """
        for name in self.names:
            if name not in numbers:
                raise ArgumentError(
                    f"{place}: expected a number for {{{name}}} of variants.{self.name}, got none: "
                    f"add set = {{ {name} = 8 }}, or a list to `grid`"
                )

        def value(part: str, expression: str) -> str:
            found = _value(_parsed(expression, self._place(part)), numbers, expression, place)
            if not 1 <= found <= LARGEST_NUMBER:
                raise ArgumentError(
                    f"{place}: expected numbers of 1 to {LARGEST_NUMBER:,} in layers, got {found} for "
                    f"{{{expression}}}: choose others"
                )
            return str(found)

        filled = {
            part: PLACEHOLDER.sub(lambda match, part=part: value(part, match[1]), text)  # type: ignore[misc]
            for part, text in self._texts.items()
        }
        name = "-".join([self.name, *(f"{each}{numbers[each]}" for each in self.names)])
        return parse_variants({"variants": {name: {**self.table, **filled}}}, self.path)[name]

    @property
    def _texts(self) -> dict[str, str]:
        return {part: text for part, text in self.table.items() if isinstance(text, str) and part != "note"}

    def _place(self, part: str) -> str:
        return f"{self.path}: variants.{self.name}.{part}"


def parse_templates(document: Mapping[str, Any], path: Path, *, taken: Collection[str]) -> dict[str, Template]:
    """The variants with placeholders in a TOML document that was read from `path`, by name.

    taken: names of settings, which no placeholder has. ArgumentError with the place of a placeholder that is not valid.
    """
    tables = document.get("variants")
    found = {
        name: Template(name=name, table=table, path=path)
        for name, table in (tables.items() if isinstance(tables, dict) else ())
        if has_placeholders(table)
    }
    for template in found.values():
        for name in template.names:
            if name in taken or not _NAME.fullmatch(name):
                raise ArgumentError(
                    f"{path}: variants.{template.name}: expected placeholders of small letters and _ that are no "
                    f"settings, got {{{name}}}: rename it"
                )
    return found


def _parsed(expression: str, place: str) -> ast.expr:
    """The arithmetic of a placeholder: names, whole numbers, + - * // and parentheses."""
    wrong = ArgumentError(
        f"{place}: expected a name such as {{channels}}, or arithmetic such as {{2*channels+1}}, got "
        f"{shown('{' + expression + '}')}: use names, whole numbers, + - * // and parentheses"
    )
    if len(expression) > LONGEST:
        raise wrong
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise wrong from None
    for node in ast.walk(tree):
        whole = isinstance(node, ast.Constant) and type(node.value) is int and node.value <= LARGEST_NUMBER
        known = isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS
        if not (whole or known or isinstance(node, ast.Name | ast.expr_context | ast.operator)):
            raise wrong
    return tree


def _value(node: ast.expr, numbers: Mapping[str, int], expression: str, place: str) -> int:
    """The value of parsed arithmetic."""
    match node:
        case ast.Name(id=name):
            return numbers[name]
        case ast.Constant(value=int(number)):
            return number
        case ast.BinOp(left=left, op=op, right=right):
            one, other = (_value(each, numbers, expression, place) for each in (left, right))
            if isinstance(op, ast.FloorDiv) and not other:
                raise ArgumentError(f"{place}: expected to divide by 1 or more, got 0 in {{{expression}}}: change it")
            return _OPERATIONS[type(op)](one, other)
    raise AssertionError(ast.dump(node))  # `_parsed` lets nothing else through
