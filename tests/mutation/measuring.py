"""Measures a package: which tests reach which function, then one mutant after another until the sample is complete."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mutation import copies, running
from mutation.mutant import Mutant
from mutation.reaching import instrumented

SLOWEST = 10.0  # seconds that each test may take at least


@dataclass(frozen=True, kw_only=True)
class Tests:
    """The tests of a package, from one run without a bug."""

    files: Mapping[str, Sequence[str]]  # test files by "file::function"
    reaching: Mapping[str, Sequence[str]]  # tests by "file::function", the fastest first
    limits: Mapping[str, float]  # seconds for a test, by test file
    failing: Sequence[str]  # without a bug: they are left out
    count: int

    def of(self, mutant: Mutant) -> tuple[Sequence[str], Sequence[str]]:
        """Test files that reach the mutant's function, and their tests in the order to run.

        Outside of functions: those that import the file, first those that reach any function in it.
        """
        where = f"{mutant.file}::{mutant.scope}"
        if mutant.scope:
            return self.files.get(where, ()), self.reaching.get(where, ())
        inside = [tests for place, tests in self.reaching.items() if place.startswith(where)]
        return self.files.get(where, ()), list(dict.fromkeys(test for tests in inside for test in tests))


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one mutant."""

    id: str
    file: str
    line: int
    scope: str
    diff: str
    outcome: str  # killed, timeout, survived, equivalent, invalid
    by: str = ""  # the test that noticed, or why it is equivalent
    seconds: float = 0.0
    basis: str = ""  # digest of the mutated file and of the test file that noticed


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The tree, its copy, and a file for what pytest prints."""

    root: Path
    copy: Path
    output: Path = field(default=Path(os.devnull))

    def run(self, files: Sequence[str], **options: object) -> running.Ended:
        return running.run(self.copy, files, output=self.output, **options)  # type: ignore[arg-type]


def learn(bench: Bench, files: Sequence[str], test_files: Sequence[str], show: Callable[[str], None]) -> Tests:
    """Runs each test file once, in a process of its own, on files that say which functions are reached.

    A test file is the unit: what is computed once for all its tests, or in a process that outlives a test, counts for
    all of them.
    """
    log = bench.copy / "reached"
    texts = {name: instrumented(name, (bench.root / name).read_text()) for name in files if name.endswith(".py")}
    seconds: dict[str, float] = {}
    failing: list[str] = []
    with copies.replaced(bench.root, bench.copy, texts):
        for at, file in enumerate(test_files, 1):
            environment = {"MUTATION_LOG": str(log), "MUTATION_FILE": file}
            ended = bench.run([file], stop=False, environment=environment)
            if ended.status not in (0, 1, 5):
                raise RuntimeError(f"expected {file} to run, pytest ended with {ended.status}; see {bench.output}")
            seconds |= ended.seconds
            failing += ended.failed
            show(f"{at}/{len(test_files)} {file}: {len(ended.seconds)} tests in {sum(ended.seconds.values()):.0f} s")
    in_files: dict[str, set[str]] = {}
    reaching: dict[str, set[str]] = {}
    for line in log.read_text().splitlines() if log.exists() else ():
        file, test, where = line.split("\t")
        in_files.setdefault(where, set()).add(file)
        if test in seconds and test not in failing:
            reaching.setdefault(where, set()).add(test)
    for name in set(files) - set(texts):  # C++: every test may reach it
        in_files[f"{name}::"] = set(test_files)
        reaching[f"{name}::"] = set(seconds) - set(failing)
    slowest: dict[str, float] = dict.fromkeys(test_files, 0.0)
    for test, taken in seconds.items():
        slowest[test.partition("::")[0]] = max(taken, slowest[test.partition("::")[0]])
    return Tests(
        files={where: sorted(found) for where, found in in_files.items()},
        reaching={where: sorted(found, key=lambda test: (seconds[test], test)) for where, found in reaching.items()},
        limits={file: max(SLOWEST, 5 * taken) for file, taken in slowest.items()},
        failing=failing,
        count=len(seconds) - len(failing),
    )


def measure(
    bench: Bench,
    mutants: Sequence[Mutant],
    tests: Tests,
    *,
    sample: int,
    equivalent: Mapping[str, str],
    build: Callable[[Mutant], tuple[str, str] | None],
    done: Mapping[str, Result] | None = None,
) -> Iterator[Result]:
    """Results of the first `sample` mutants that are valid. `build` returns (outcome, why) where no test has to run.

    `done` are earlier results that still hold, which are taken over.
    """
    counted = 0
    for mutant in mutants:
        if counted == sample:
            return
        begun = time.monotonic()
        if mutant.id in equivalent:
            outcome, by = "equivalent", equivalent[mutant.id]
        elif done and mutant.id in done:
            counted += done[mutant.id].outcome != "invalid"
            yield done[mutant.id]
            continue
        else:
            with copies.replaced(bench.root, bench.copy, {mutant.file: mutant.text}):
                outcome, by = build(mutant) or notice(bench, mutant, tests)
        if damaged := copies.changed(bench.root, bench.copy):
            by += f"; it changed {', '.join(damaged)}"
            copies.make(bench.root, bench.copy)
        counted += outcome != "invalid"
        yield Result(
            id=mutant.id, file=mutant.file, line=mutant.line, scope=mutant.scope, diff=mutant.diff,
            outcome=outcome, by=by, seconds=round(time.monotonic() - begun, 1),
            basis=basis(bench.root, mutant.file, by),
        )  # fmt: skip


def basis(root: Path, file: str, by: str) -> str:
    """Digest of a mutated file and of the test file, or the folder of the C++ tests, that noticed the bug."""
    tests = sorted((root / "csrc" / "tests").glob("*")) if by == "pairnet_tests" else [root / by.partition("::")[0]]
    found = [path.read_bytes() for path in (root / file, *tests) if path.is_file()]
    return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in found)).hexdigest()


def still_held(root: Path, result: Result) -> bool:
    """Whether a bug was noticed, and neither its file nor the test that noticed it has changed since."""
    return result.outcome in ("killed", "timeout") and result.basis == basis(root, result.file, result.by)


def notice(bench: Bench, mutant: Mutant, tests: Tests) -> tuple[str, str]:
    """(outcome, the test that noticed) of the mutant in the copy: it survives if all files that reach it pass."""
    files, first = tests.of(mutant)
    if not files:
        return "survived", "no test reaches it"
    ended = bench.run(files, first=first, leave_out=tests.failing, limits=tests.limits)
    if ended.late:
        return "timeout", ended.late
    if ended.status == 0:
        return "survived", ""
    if ended.status in (5, 70):
        raise RuntimeError(f"expected tests to run for {mutant.id}, got status {ended.status}; see {bench.output}")
    return "killed", ended.failed[0] if ended.failed else f"pytest's status {ended.status}"


def flaky(bench: Bench, results: Sequence[Result]) -> list[str]:
    """Tests that noticed a mutant, and now fail without one."""
    killers = {result.by for result in results if result.outcome == "killed" and "::" in result.by}
    files = sorted({test.partition("::")[0] for test in killers})
    ended = bench.run(files, first=sorted(killers), stop=False) if files else None
    return sorted(killers & set(ended.failed)) if ended else []
