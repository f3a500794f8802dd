"""The code of README.md and docs/ that no test runs: why, the day of its last run, and its first lines."""

NOT_RUN = {
    "minutes to hours of training, last run 2026-11-26 for the tables of results.md": (
        "make reproduce",
        "pairnet reproduce --minutes 15",
        "pairnet reproduce --table all",
        "pairnet reproduce --table order",
        "pairnet reproduce --table 1",
        "pairnet reproduce --table 1 --draws 3",
        "pairnet reproduce --table 2",
        "pairnet reproduce --table 3",
        "pairnet reproduce --table dropout",
        "pairnet reproduce --table ablation",
        "pairnet reproduce --measurements every",
        "pairnet study my.toml --runs mine",
        "pairnet export --all --output models",
    ),
}
