"""Python files that say which of their functions a test reaches, in its own process or in one that it starts."""

import ast


def instrumented(file: str, text: str) -> str:
    """The text with a call of `mutation_reached` at the start of the module and of each function.

    A tracer would see less: workers are killed before they could write, and processes of their own have none.
    """
    lines = text.splitlines(keepends=True)
    for scope, body in sorted(_bodies(ast.parse(text), ()), key=lambda found: found[1].lineno, reverse=True):
        at = min([body.lineno, *(decorator.lineno for decorator in getattr(body, "decorator_list", []))]) - 1
        call, column = f"mutation_reached({f'{file}::{scope}'!r})", body.col_offset
        if lines[at][:column].strip():  # a body on the line of its `def`
            lines[at] = f"{lines[at][:column]}{call}; {lines[at][column:]}"
        else:
            lines.insert(at, " " * column + call + "\n")
    return "".join(lines)


def _bodies(node: ast.AST, scope: tuple[str, ...]) -> list[tuple[str, ast.stmt]]:
    """(scope, first statement after the docstring) of the module and of each function in it."""
    found = []
    if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
        documented = ast.get_docstring(node, clean=False) is not None and len(node.body) > 1
        found = [(".".join(scope), node.body[documented])]
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        found += _bodies(child, (*scope, child.name) if named else scope)  # type: ignore[attr-defined]
    return found
