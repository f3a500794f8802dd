"""The table of mutants in docs/reliability.md and its list of survivors; a new measurement replaces a package's."""

from collections import Counter
from collections.abc import Sequence

from scipy.stats import binomtest

BEGIN, END = "<!-- mutants: begin -->", "<!-- mutants: end -->"
HEAD = (
    "| package | mutants in all | sampled | killed | by the time limit | equivalent | survived "
    "| killed of those that are not equivalent (95 % interval) | tests | revision | date |"
)
RULE = "|---|" + "---:|" * 6 + "---|---:|---|---|"


def row(package: str, outcomes: Sequence[str], *, listed: int, tests: int, revision: str, date: str) -> str:
    """One line of the table. Timeouts count as killed; the interval is Wilson's."""
    count = Counter(outcomes)
    killed, equivalent = count["killed"] + count["timeout"], count["equivalent"]
    sampled = killed + equivalent + count["survived"]
    cells = [package, f"{listed:,}", sampled, killed, count["timeout"], equivalent, count["survived"]]
    return f"| {' | '.join(map(str, [*cells, rate(killed, sampled - equivalent), tests, revision, date]))} |"


def rate(killed: int, of: int) -> str:
    """Share in percent with Wilson's interval."""
    if not of:
        return "–"
    interval = binomtest(killed, of).proportion_ci(method="wilson")
    return f"{100 * killed / of:.0f} % ({100 * interval.low:.0f}–{100 * interval.high:.0f})"


def named(package: str, survivors: Sequence[tuple[str, str, str]]) -> str:
    """One line of the list below the table.  survivors: (id, file, function) of each."""
    files: dict[str, list[str]] = {}
    for number, file, function in sorted(survivors, key=lambda each: each[1]):
        files.setdefault(file.removeprefix("pairnet/"), []).append(f"`{number}` {function or 'of the module'}")
    text = "; ".join(f"{file}: {', '.join(found)}" for file, found in files.items())
    return f"- {package}: {text or 'none'}"


def with_row(page: str, new: str, survivors: str) -> str:
    """The page with this row in its table, and this line in the list below, in place of older ones of the package."""
    before, begin, rest = page.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN} and {END} in the page, for the table between them")
    lines = [*inside.splitlines(), new, survivors]  # the last of each package counts
    rows = {line.split("|")[1]: line for line in lines if line.startswith("|") and line not in (HEAD, RULE)}
    listed = {line.partition(":")[0]: line for line in lines if line.startswith("- ")}
    table = "\n".join([HEAD, RULE, *(rows[name] for name in sorted(rows))])
    names = "\n".join(listed[name] for name in sorted(listed))
    return f"{before}{BEGIN}\n\n{table}\n\nThe survivors, by file and function:\n\n{names}\n\n{END}{after}"
