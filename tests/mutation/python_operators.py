"""The mutants of a Python file: mutmut's operators without those for text, and a few of our own."""

from collections.abc import Iterator
from types import CodeType

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ByteSpanPositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

SWAPPED_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}


def changes(text: str) -> Iterator[tuple[str, str]]:
    """(scope, changed text) for each mutant, in the order of the file."""
    wrapper = cst.MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
    spans, data = wrapper.resolve(ByteSpanPositionProvider), text.encode()
    visitor = _Visitor()
    wrapper.module.visit(visitor)
    for scope, node, changed in visitor.found:
        start = spans[node].start
        end = start + spans[node].length
        if data[start:end].decode() == wrapper.module.code_for_node(node):
            yield scope, (data[:start] + wrapper.module.code_for_node(changed).encode() + data[end:]).decode()
        else:  # a span without the line's indentation or end: the slow way
            yield scope, wrapper.module.deep_replace(node, changed).code


def same_bytecode(one: str, other: str) -> bool:
    """Whether two texts compile to the same instructions, wherever they stand in their lines."""
    return _instructions(compile(one, "", "exec", dont_inherit=True)) == _instructions(
        compile(other, "", "exec", dont_inherit=True)
    )


def _instructions(code: CodeType) -> tuple[object, ...]:
    constants = tuple(
        _instructions(value) if isinstance(value, CodeType) else (type(value), repr(value)) for value in code.co_consts
    )
    return (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable)


def _key(node: cst.BaseString) -> Iterator[cst.BaseString]:
    """Another key, name or format; no change to a text for people, which is a string with a space."""
    if isinstance(node, cst.SimpleString) and " " not in node.raw_value:
        yield from list(operator_string(node))[:1]


def _removed_statement(node: cst.Expr) -> Iterator[cst.Pass]:
    if not isinstance(node.value, cst.BaseString | cst.Yield):
        yield cst.Pass()


def _negated_condition(node: cst.If | cst.While) -> Iterator[cst.If | cst.While]:
    test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(cst.Not(), test))


def _smaller_number(node: cst.Integer) -> Iterator[cst.Integer]:
    if node.evaluated_value > 0:
        yield node.with_changes(value=repr(node.evaluated_value - 1))


def _swapped_name(node: cst.Call) -> Iterator[cst.Call]:
    name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
    if isinstance(name, cst.Name) and name.value in SWAPPED_NAMES:
        yield node.with_deep_changes(name, value=SWAPPED_NAMES[name.value])


OPERATORS = [(kind, _key if operator is operator_string else operator) for kind, operator in mutation_operators] + [
    (cst.Expr, _removed_statement),
    (cst.If, _negated_condition),
    (cst.While, _negated_condition),
    (cst.Integer, _smaller_number),
    (cst.Call, _swapped_name),
]
ONLY_FOR_READERS = m.Annotation() | m.Decorator() | m.Import() | m.ImportFrom() | m.If(test=m.Name("TYPE_CHECKING"))


class _Visitor(cst.CSTVisitor):
    """Collects (scope, node, changed node), without imports, annotations and decorators."""

    def __init__(self) -> None:
        self.names: list[str] = []  # of functions and classes around a node
        self.scopes = [""]  # its innermost function; outside of functions ""
        self.found: list[tuple[str, cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if m.matches(node, ONLY_FOR_READERS) or m.matches(node, m.Assign(targets=[m.AssignTarget(m.Name("__all__"))])):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.append(node.name.value)
            self.scopes.append(".".join(self.names) if isinstance(node, cst.FunctionDef) else self.scopes[-1])
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                self.found += ((self.scopes[-1], node, changed) for changed in operator(node))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self.names.pop()
            self.scopes.pop()
