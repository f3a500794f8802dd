"""What a mutant is: one file with one planted bug, and a name that stays while other lines of the file change."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile, zip_longest


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A file's text with one bug in it."""

    id: str  # digest of file, scope, the changed lines, and how many equal ones stand above
    file: str
    scope: str  # the innermost function with what contains it, "" outside of functions
    line: int  # of the first change, from 1
    diff: str  # one or more lines that begin with "-", then those that begin with "+"
    text: str


def named(file: str, original: str, changes: Iterable[tuple[str, str]]) -> list[Mutant]:
    """The mutants of a file from (scope, changed text); a text that is there twice counts once."""
    old = original.splitlines()
    seen: Counter[tuple[str, str]] = Counter()
    texts: set[str] = {original}
    found = []
    for scope, text in changes:
        if text in texts:
            continue
        texts.add(text)
        new = text.splitlines()
        first = next(at for at, (one, two) in enumerate(zip_longest(old, new)) if one != two)
        tails = zip(old[:first:-1], new[:first:-1], strict=False)
        after = sum(1 for _ in takewhile(lambda lines: lines[0] == lines[1], tails))
        removed, added = old[first : len(old) - after], new[first : len(new) - after]
        diff = "\n".join([f"-{line}" for line in removed] + [f"+{line}" for line in added])
        content = "\n".join(line[0] + line[1:].strip() for line in diff.splitlines())
        seen[scope, content] += 1
        key = f"{file}\n{scope}\n{content}\n{seen[scope, content]}"
        digest = hashlib.sha256(key.encode()).hexdigest()[:10]
        found.append(Mutant(id=digest, file=file, scope=scope, line=first + 1, diff=diff, text=text))
    return found


def in_random_order(mutants: Iterable[Mutant], seed: int) -> list[Mutant]:
    """The mutants by digest of seed and id: the first n are a random sample, and stay in it when others come or go."""
    return sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.id}".encode()).digest())
