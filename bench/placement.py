"""Where does a server run best: one process with all cores or one for each, and how many threads under a quota?

    python -m bench.placement processes [--rounds 5] [--seconds 4]
    python -m bench.placement quota [--rounds 5] [--seconds 8]

processes: one `pairnet serve` with all cores, against one for each core, bound to it, on ports of their own: what a
proxy or a Service in front of them would spread. The load is the same: one client program for each core, with a thread
and its share of the clients; in the first case all of them ask the one server. Server and clients share the cores.
quota: one server in a control group with half a core, with --threads 1, which is what it chooses by itself, against 2.
It needs the right to make a control group.

In each round each load runs once, for --seconds, in turns. Printed are median and quartiles over the rounds of
requests per second, and the median of the 99th percentile of the latency: of the slowest client program, if there are
several. Needs wrk and h2load (in Debian the packages wrk and nghttp2-client).
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.peers_serving import CLIENTS, Load, Row, Server, Turn, cells, files_to_serve, grpc, measured, rest, serving
from bench.turns import markdown
from pairnet.host import hardware

GROUPS = (
    (Path("/sys/fs/cgroup"), {"cpu.max": "{quota} 100000"}),  # version 2
    (Path("/sys/fs/cgroup/cpu"), {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "{quota}"}),
)
"""Where a control group can be made, and the files that limit its time on CPUs."""

HALF = 0.5
MANY = 200
"""Pairs of a request that is split between threads, and takes a few milliseconds."""


@contextmanager
def control_group(cores: float) -> Iterator[Sequence[str]]:
    """Makes a control group with so many cores' worth of time -> the beginning of a command that runs in it.

    Raises OSError if this user, or this machine, cannot make one.
    """
    for root, limits in GROUPS:
        folder = root / f"pairnet-{os.getpid()}"
        if not os.access(root, os.W_OK) or not (root / "cgroup.procs").exists():
            continue
        folder.mkdir()
        try:
            if all((folder / name).exists() for name in limits):
                for name, text in limits.items():
                    (folder / name).write_text(text.format(quota=round(cores * 100_000)))
                yield ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$@"', "sh"]
                return
        finally:
            folder.rmdir()
    raise OSError("expected a control group for CPU time that can be made, got none: run it as root")


def together(runs: Sequence[Callable[[float], Turn]]) -> Callable[[float], Turn]:
    """Client programs at the same time as one load: the sum of their rates, the slowest's 99th percentile."""

    def run(seconds: float) -> Turn:
        with ThreadPoolExecutor(len(runs)) as pool:
            turns = list(pool.map(lambda each: each(seconds), runs))
        return Turn(rate=sum(turn.rate for turn in turns), p99=max(turn.p99 for turn in turns))

    return run


def loads_of(name: str, folder: Path, servers: Sequence[Server], programs: int) -> list[Load]:
    """Single pairs over REST and gRPC and large requests, each from `programs` programs, spread over the servers."""
    targets = [servers[number % len(servers)] for number in range(programs)]
    folders = [folder / f"{name}-{number}" for number in range(programs)]
    for each in folders:
        each.mkdir()
    pairs = list(zip(folders, targets, strict=True))
    share = CLIENTS // programs
    return [
        Load(
            name=f"{name}: REST binary",
            run=together([rest(each, f"http://{server.rest}", clients=share) for each, server in pairs]),
        ),
        Load(
            name=f"{name}: REST binary, {MANY} pairs each",
            run=together([rest(each, f"http://{server.rest}", pairs=MANY, clients=2) for each, server in pairs]),
            pairs=MANY,
        ),
        Load(
            name=f"{name}: gRPC",
            run=together([grpc(each, server, clients=share) for each, server in pairs]),
        ),
    ]


def processes(folder: Path, files: Sequence[Path], rounds: int, seconds: float) -> list[Row]:
    """One process against one for each core."""
    allowed = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        one = stack.enter_context(serving(files))
        each = [stack.enter_context(serving(files, before=["taskset", "-c", str(core)])) for core in allowed]
        loads = [
            *loads_of("one process", folder, [one], len(allowed)),
            *loads_of("one process again", folder, [one], len(allowed)),
            *loads_of(f"{len(allowed)} processes", folder, each, len(allowed)),
        ]
        return measured(loads, rounds, seconds)


def quota(folder: Path, files: Sequence[Path], rounds: int, seconds: float) -> list[Row]:
    """One thread against two, each server in half a core."""
    with control_group(HALF) as before, ExitStack() as stack:
        loads = []
        for threads in ("1", "2"):
            server = stack.enter_context(serving(files, "--threads", threads, before=before))
            loads += loads_of(f"--threads {threads}", folder, [server], 1)
        return measured(loads, rounds, seconds)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=("processes", "quota"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    chosen = parser.parse_args()
    if missing := [tool for tool in ("wrk", "h2load", "taskset") if shutil.which(tool) is None]:
        sys.exit(f"{' and '.join(missing)} not found: in Debian, apt install wrk nghttp2-client util-linux")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = files_to_serve(folder)[:1]
        measure = {"processes": processes, "quota": quota}[chosen.question]
        rows = measure(folder, files, chosen.rounds, chosen.seconds)
    headings = ("load", "requests/s", "pairs/s", "p99, ms")
    sys.stdout.write(markdown(headings, [cells(row) for row in rows]) + f"\n\n{hardware()}\n")


if __name__ == "__main__":
    main()
