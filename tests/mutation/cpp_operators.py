"""The mutants of a C++ file: regular expressions on its lines, outside of comments, strings and the preprocessor."""

import re
from collections.abc import Iterator


def _swaps(*pairs: str) -> list[tuple[str, str]]:
    """Binary operators between spaces, as clang-format writes them; a template's brackets have none."""
    return [(rf"(?<= ){re.escape(old)}(?= )", new) for old, new in map(str.split, pairs)]


RULES = [
    *_swaps("+ -", "- +", "* /", "/ *", "% *", "<< >>", ">> <<", "& |", "| &", "^ |", "&& ||", "|| &&"),
    *_swaps("< <=", "<= <", "> >=", ">= >", "== !=", "!= ==", "+= -=", "-= +=", "*= +=", "/= *=", "^= |=", "|= &="),
    (r"\+\+", "--"),
    (r"--", "++"),
    (r"(?<=[ (])-(?=[\w(])", ""),
    (r"(?<=[ (])!(?=[\w(])", ""),
    (r"(?<![\w.'])(\d+(?:U|L|UL)?)(?![\w.'])", r"(\1 + 1)"),
    (r"(?<![\w.'])([1-9]\d*(?:U|L|UL)?)(?![\w.'])", r"(\1 - 1)"),
    (r"\b(0x[0-9A-F]+)(?![\w.])", r"(\1 + 1)"),
    (r"(?<![\w.])(\d+\.\d+F?|0x1p-?\d+F?)", r"(\1 * 2)"),
    (r"\bif \((.*)\) \{$", r"if (!(\1)) {"),
    (r"\bmin\b", "max"),
    (r"\bmax\b", "min"),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"\ball_of\b", "any_of"),
    (r"\bany_of\b", "all_of"),
    (r"\bfloor\b", "ceil"),
    (r"\bbegin\b", "end"),
    (r"^(\s+)(?!return|const|using|static|auto|break|continue|throw|case)[\w:.>\[\]-]+( [-+*/|^&]?= |\().*;$", r"\1;"),
]
HIDDEN = re.compile(r'//.*|"(?:\\.|[^"\\])*"')
SKIPPED = re.compile(r"\s*(#|static_assert|template|using|namespace)")


def changes(text: str) -> Iterator[tuple[str, str]]:
    """("", changed text) for each mutant, in the order of the file."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if SKIPPED.match(line):
            continue
        code = HIDDEN.sub(lambda match: "\0" * len(match[0]), line).rstrip("\0 ")
        for pattern, replacement in RULES:
            for match in re.finditer(pattern, code):
                planted = replacement
                for number in range(1, len(match.groups()) + 1):  # with the strings that are hidden in `code`
                    planted = planted.replace(f"\\{number}", line[slice(*match.span(number))])
                changed = line[: match.start()] + planted + line[match.end() :]
                yield "", "\n".join([*lines[:at], changed, *lines[at + 1 :]])
