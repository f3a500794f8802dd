"""The tool that plants bugs: it lists them, runs the tests that reach them, and tells those that were noticed."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mutation import cpp_operators, table
from mutation.measuring import Result, basis, still_held
from mutation.mutant import in_random_order, named
from mutation.packages import PACKAGES, matching
from mutation.reaching import instrumented

needs_mutmut = pytest.mark.skipif(importlib.util.find_spec("mutmut") is None, reason="mutmut is not installed")

CODE = """\
import subprocess, sys

LIMIT = 7

def total(values):
    return sum(values) + 0

def larger(one, other): return one if one > other else other

def waits(n):
    while n > 0:
        n = n - 1
    return n

def not_reached():
    return 1

if __name__ == "__main__":
    print(larger(1, 2))
"""
TESTS = """\
import subprocess, sys
from pairnet import code

def test_total():
    assert code.total([1, 2]) == 3

def test_in_a_child_process():
    assert subprocess.run([sys.executable, "-m", "pairnet.code"], capture_output=True, text=True).stdout == "2\\n"

def test_limit():
    assert code.LIMIT > 6

def test_waits():
    assert code.waits(2) == 0
"""
CHANGES = {  # (function, old, new, what must become of it)
    "noticed": ("total", "sum(values) + 0", "sum(values) + 1", "killed"),
    "no difference": ("total", "+ 0", "- 0", "survived"),
    "in a child": ("larger", "one > other", "one < other", "killed"),
    "outside": ("", "LIMIT = 7", "LIMIT = 6", "killed"),
    "too large": ("", "LIMIT = 7", "LIMIT = 8", "survived"),
    "endless": ("waits", "n - 1", "n + 0", "timeout"),
    "not reached": ("not_reached", "return 1", "return 2", "survived"),
}
MEASURE = """
import json, sys
from pathlib import Path
from mutation import copies, measuring, running
from mutation.measuring import Result, basis, still_held
from mutation.mutant import named
root, copy, changes = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
measuring.SLOWEST = 3.0
running.SLOW_IMPORTS = ()
copies.make(root, copy)
running.prepare()
bench = measuring.Bench(root=root, copy=copy, output=copy.with_name("output"))
tests = measuring.learn(bench, ["pairnet/code.py"], ["test_code.py"], str)
text = (root / "pairnet/code.py").read_text()
mutants = named("pairnet/code.py", text, [(scope, text.replace(old, new)) for scope, old, new, _ in changes])
results = list(measuring.measure(bench, mutants, tests, sample=len(mutants), equivalent={}, build=lambda mutant: None))
print(json.dumps([[each.outcome, each.by] for each in results]), measuring.flaky(bench, results))
"""


def test_what_a_test_notices_is_killed_and_the_rest_survives(tmp_path):
    root = tmp_path / "root"
    (root / "pairnet").mkdir(parents=True)
    (root / "pairnet/__init__.py").touch()
    (root / "pairnet/code.py").write_text(CODE)
    (root / "test_code.py").write_text(TESTS)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    subprocess.run(["git", "init", "-q", root], check=True)
    arguments = [root, tmp_path / "copy", json.dumps(list(CHANGES.values()))]
    here = Path(__file__).parents[1]
    ran = subprocess.run([sys.executable, "-c", MEASURE, *arguments], cwd=here, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    results, _, unsteady = ran.stdout.strip().rpartition("] ")
    found = dict(zip(CHANGES, json.loads(results + "]"), strict=True))
    assert {name: outcome for name, (outcome, _) in found.items()} == {name: row[3] for name, row in CHANGES.items()}
    assert found["in a child"][1] == "test_code.py::test_in_a_child_process"
    assert found["endless"][1] == "test_code.py::test_waits"
    assert found["not reached"][1] == "no test reaches it"
    assert unsteady == "[]"


def test_instrumented_code_does_the_same_and_says_what_it_reaches():
    reached = []
    values = {"mutation_reached": reached.append, "__name__": "code"}
    exec(instrumented("code.py", CODE), values)
    assert values["larger"](3, 2) == 3
    assert values["total"]([1]) == 1
    assert reached == ["code.py::", "code.py::larger", "code.py::total"]


@needs_mutmut
def test_python_mutants_compile_and_leave_texts_and_annotations():
    from mutation import python_operators

    text = 'def f(a: int = 3) -> "float":\n    """Docs."""\n    g("some words", key="name")\n'
    text += "    return a * 2 if a < 4 else -a\n"
    found = list(python_operators.changes(text))
    for scope, changed in found:
        compile(changed, "", "exec")
        assert scope == "f"
        assert changed.startswith("def f(a: int = ")
        assert '-> "float":\n    """Docs."""' in changed
    changed = "\n".join(text for _, text in found)
    for part in ("a / 2", "a * 3", "a * 1", "a <= 4", "else +a", 'key="XXnameXX"', "    pass\n", "a: int = 4"):
        assert part in changed
    assert "XXsome" not in changed
    assert python_operators.same_bytecode("x = 1  # one\n", "x = 1\n")
    assert not python_operators.same_bytecode("x = 1\n", "x = 2\n")


def test_cpp_mutants_change_code_and_neither_comments_nor_texts():
    text = 'int f(int a) {\n    // a + 1\n    if (a < 3 && g("a + b")) {\n        a += 2U;\n    }\n'
    text += "    return std::min(a, 0x1F);\n}\n"
    changed = [text for _, text in cpp_operators.changes(text)]
    assert all("// a + 1" in one for one in changed)
    whole = "\n".join(changed)
    for part in (
        "a <= 3",
        '3 || g("a + b")',
        'if (!(a < 3 && g("a + b")))',
        "a -= 2U",
        "(2U + 1)",
        "    ;",
        "std::max(a",
        "(0x1F + 1)",
    ):
        assert part in whole
    assert '"a - b"' not in whole


def test_a_name_stays_when_other_lines_change_and_so_does_the_sample():
    def mutants(text):
        return named("f", text, [("", text.replace("b", "B", 1)), ("", text.replace("c\n", "C\n")), ("", text)])

    one, other = mutants("a\nb\nc\n"), mutants("new\na\nb\nc\n")
    assert [each.id for each in one] == [each.id for each in other]
    assert [(each.line, each.diff) for each in one] == [(2, "-b\n+B"), (3, "-c\n+C")]
    assert [each.id for each in in_random_order(one, 3)] == [each.id for each in in_random_order(reversed(other), 3)]


def test_a_row_replaces_the_older_one_of_its_package():
    page = f"before\n{table.BEGIN}\n{table.END}\nafter\n"
    outcomes = ["killed"] * 7 + ["timeout"] + ["survived"] * 2 + ["equivalent"] * 3 + ["invalid"]
    about = {"listed": 1000, "tests": 20, "revision": "abc", "date": "2026-01-01"}
    for outcome in (["killed"], outcomes):
        for package in ("one", "other"):
            left = [("1f", "pairnet/b.py", "f"), ("2e", "a.py", ""), ("3d", "pairnet/b.py", "C.g")][
                : outcome.count("survived")
            ]
            page = table.with_row(page, table.row(package, outcome, **about), table.named(package, left))
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    rows = [line for line in page.splitlines() if line.startswith("| o")]
    cells = "1,000 | 13 | 8 | 1 | 3 | 2 | 80 % (49–94) | 20 | abc | 2026-01-01 |"  # Wilson's interval of 8 in 10
    assert rows == [f"| one | {cells}", f"| other | {cells}"]
    listed = [line for line in page.splitlines() if line.startswith("- ")]
    names = "a.py: `2e` of the module; b.py: `1f` f"
    assert listed == [f"- one: {names}", f"- other: {names}"]
    assert page.count("survivors, by file") == 1


def test_the_guide_names_the_packages_and_each_file_belongs_to_one():
    root = Path(__file__).parents[2]
    text = (root / "docs" / "reliability.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"another sample\. Packages: ([^.]+)\.", text)
    assert sorted(re.findall("`([a-z]+)`", listed)) == sorted(PACKAGES)
    files = [file for package in PACKAGES.values() for file in matching(root, package.files)]
    assert len(files) == len(set(files))
    for package in PACKAGES.values():
        for pattern in (*package.files, *package.tests):
            assert matching(root, (pattern,)), pattern


def test_a_result_is_taken_over_while_its_file_and_the_test_that_noticed_are_the_same(tmp_path):
    (tmp_path / "code.py").write_text("a")
    (tmp_path / "test_code.py").write_text("b")

    def result(outcome, by):
        found = basis(tmp_path, "code.py", by)
        return Result(id="1", file="code.py", line=1, scope="", diff="", outcome=outcome, by=by, basis=found)

    killed, survived = result("killed", "test_code.py::test_a"), result("survived", "")
    assert still_held(tmp_path, killed)
    assert not still_held(tmp_path, survived)
    (tmp_path / "other.py").write_text("c")
    assert still_held(tmp_path, killed)
    for name in ("code.py", "test_code.py"):
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text("d")
        assert not still_held(tmp_path, killed)
        (tmp_path / name).write_text(before)
    (tmp_path / "test_code.py").unlink()
    assert not still_held(tmp_path, killed)
