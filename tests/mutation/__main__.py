"""`make mutants PACKAGE=NAME`: plants bugs in a package, one at a time, and counts those that its tests notice."""

import argparse
import datetime
import json
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from mutation import copies, cpp_build, cpp_operators, measuring, running, table
from mutation.mutant import Mutant, in_random_order, named
from mutation.packages import CORE, PACKAGES, Package, matching

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


def listed(root: Path, package: Package) -> list[Mutant]:
    """All mutants of a package."""
    found = []
    for file in matching(root, package.files):
        text = (root / file).read_text()
        if file.endswith(".py"):
            from mutation import python_operators

            changes = python_operators.changes(text)
        else:
            changes = cpp_operators.changes(text)
        found += named(file, text, changes)
    return found


def same_code(mutant: Mutant) -> tuple[str, str] | None:
    """What `measure` asks before the tests run: for Python, whether the bug changes an instruction."""
    from mutation import python_operators

    try:
        same = python_operators.same_bytecode((ROOT / mutant.file).read_text(), mutant.text)
    except SyntaxError:
        return "invalid", "it does not compile"
    return ("equivalent", "the same bytecode") if same else None


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--sample", type=int, default=150, help="number of mutants (150)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--only", nargs="*", default=(), help="these ids in place of a sample, and no row in the table")
    parser.add_argument("--survivors", action="store_true", help="the survivors of the last measurement; no row")
    arguments = parser.parse_args()
    folder = ROOT / "build" / "mutants"
    folder.mkdir(parents=True, exist_ok=True)
    only = set(arguments.only)
    if arguments.survivors:
        last = json.loads((folder / f"{arguments.package}.json").read_text())
        only = {line["id"] for line in last["results"] if line["outcome"] == "survived"}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy is removed
    with tempfile.TemporaryDirectory(prefix="mutants-") as copy:
        measure(arguments.package, folder, Path(copy), arguments.sample, arguments.seed, only)


def measure(name: str, folder: Path, copy: Path, sample: int, seed: int, only: set[str]) -> None:
    """Measures a package in a copy of the tree; results in `folder`, and a row in docs/reliability.md.

    An interrupted measurement of the same tree is continued. On another tree, bugs that were noticed count as noticed
    while their file and the test that noticed them are the same; all others are tried again.
    """
    package = PACKAGES[name]
    mutants = in_random_order(listed(ROOT, package), seed)
    equivalent = tomllib.loads(EQUIVALENT.read_text()).get(name, {})
    show(f"{len(mutants)} mutants of {name}")
    if gone := sorted(equivalent.keys() - {mutant.id for mutant in mutants}):
        show(f"in {EQUIVALENT.name}, and no longer among the mutants: {', '.join(gone)}")
    chosen = [mutant for mutant in mutants if mutant.id in only] if only else mutants
    state = folder / f"{name}{'-again' if only else ''}.json"
    tree = copies.digest(ROOT)

    copies.make(ROOT, copy)
    build = cpp_build.prepare(copy) if name == CORE else same_code
    running.prepare()
    bench = measuring.Bench(root=ROOT, copy=copy, output=folder / f"{name}.log")
    before = json.loads(state.read_text()) if state.exists() else {}
    done = {line["id"]: measuring.Result(**line) for line in before.get("results", ())}
    if before.get("tree") == tree:
        tests = measuring.Tests(**before["tests"])
    else:
        tests = measuring.learn(bench, matching(ROOT, package.files), matching(ROOT, package.tests), show)
        done = {id: result for id, result in done.items() if measuring.still_held(ROOT, result)}
        show(f"{len(done)} bugs were noticed before, in files and by tests that are the same")
    for test in tests.failing:
        show(f"fails without a bug, left out: {test}")

    results: list[measuring.Result] = []
    for result in measuring.measure(bench, chosen, tests, sample=sample, equivalent=equivalent, build=build, done=done):
        results.append(result)
        content = {"tree": tree, "tests": vars(tests), "results": [vars(each) for each in results]}
        kept = [vars(each) for each in done.values() if each.id not in {one.id for one in results}]
        state.write_text(json.dumps(content | {"results": content["results"] + kept}))
        place = f"{result.file}:{result.line}"
        show(f"{len(results)} {result.id} {result.outcome} {place} {result.by} ({result.seconds} s)")
    if name == CORE:
        cpp_build.install(copy, "pristine")
    if unsteady := measuring.flaky(bench, results):
        show(f"fail without a bug now and then, so what they noticed is doubtful: {', '.join(unsteady)}")
        sys.exit(1)
    outcomes = [result.outcome for result in results]
    killed = outcomes.count("killed") + outcomes.count("timeout")
    of = killed + outcomes.count("survived")
    show(f"{killed} of {of} noticed, {table.rate(killed, of)}; survivors in {survivors(state, results)}")
    if not only:
        page = ROOT / "docs" / "reliability.md"
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        row = table.row(name, outcomes, listed=len(mutants), tests=tests.count, revision=revision(), date=today)
        left = [(each.id, each.file, each.scope) for each in results if each.outcome == "survived"]
        page.write_text(table.with_row(page.read_text(), row, table.named(name, left)))


def survivors(state: Path, results: list[measuring.Result]) -> str:
    """Writes the survivors with their differences to a Markdown file -> its path from the root."""
    path = state.with_name(f"{state.stem}-survivors.md")
    kept = [result for result in results if result.outcome == "survived"]
    texts = (
        f"{each.id} {each.file}:{each.line} {each.scope} {each.by}\n\n```diff\n{each.diff}\n```\n"
        for each in sorted(kept, key=lambda each: (each.file, each.line))
    )
    path.write_text("\n".join(texts))
    return str(path.relative_to(ROOT))


def revision() -> str:
    """Git's short name of the revision, with "+" where files differ from it."""

    def git(*command: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=True).stdout

    changed = git("status", "--porcelain", "--", "pairnet", "csrc", "bench", "tests")
    return git("rev-parse", "--short=10", "HEAD").strip() + "+" * bool(changed)


def show(text: str) -> None:
    """One line on the terminal, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
