"""The table of mutants in docs/reliability.md: one row for each package, replaced by its next measurement."""

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


def with_row(page: str, new: str) -> str:
    """The page with this row in its table, in place of an older one of the same package; rows by name."""
    before, begin, rest = page.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN} and {END} in the page, for the table between them")
    rows = {
        line.split("|")[1]: line for line in inside.splitlines() if line.startswith("|") and line not in (HEAD, RULE)
    }
    rows[new.split("|")[1]] = new
    lines = [HEAD, RULE, *(rows[name] for name in sorted(rows))]
    return f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}"
