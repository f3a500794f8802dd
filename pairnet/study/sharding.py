"""Shards: the runs of one command, shared out to several machines that do not know of each other."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from pairnet.errors import ArgumentError
from pairnet.records.run import Draw, Run
from pairnet.wording import counted, shown


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of `count` shares of the runs, the `number`-th, counted from 1.  ArgumentError for another number."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise _not_understood(str(self))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """The shard that "I/N" names.  ArgumentError for another text."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if found is None:
        raise _not_understood(text)
    return Shard(number=int(found[1]), count=int(found[2]))


def of_shard(plans: Sequence[Sequence[Run]], shard: Shard) -> list[list[Run]]:
    """Those runs of each plan that `shard` computes, in the order of the plan.

    The folds of a draw of one row stay together, so each shard has whole draws; the draws of a row are dealt out to the
    shards in turn, and the next row continues where it ended. So shards differ by at most one draw, in all and in each
    row, and take similar time although rows do not. A network that is in several plans is in the same shard in all of
    them: it is computed once. The result depends on the plans and the shard only.

    ArgumentError for more shards than draws, some of which would have nothing to do.
    """
    draws: dict[Run, dict[Draw, None]] = {}  # those of each row, both in their order
    for run in chain(*plans):
        draws.setdefault(run.setting, {})[run.draw] = None
    units = [(row, draw) for row, drawn in draws.items() for draw in drawn]
    if shard.count > len(units):
        raise ArgumentError(
            f"expected `shard` with N of at most {len(units)}, since there are {counted(len(units), 'draw')} of all "
            f"rows to share out, got {shard}: choose fewer shards"
        )
    own = set(units[shard.number - 1 :: shard.count])
    return [[run for run in plan if (run.setting, run.draw) in own] for plan in plans]


def _not_understood(given: str) -> ArgumentError:
    return ArgumentError(
        f"expected `shard` to be I/N with I in 1..N, got {shown(given)}: choose one such as 1/4, the first of four"
    )
