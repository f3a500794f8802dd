"""Which seeds the repetitions of a study have: draws, draws with some streams held, or a crossed design of streams."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from pairnet.errors import ArgumentError
from pairnet.models.toml_files import check_keys, explain
from pairnet.records.run import LARGEST_SEED, Run
from pairnet.records.seeds import Seeds

Stream = Literal["pairs", "test", "weights", "order", "masks"]
"""What one seed decides: the training draw, the test draw, the initial weights, the order of batches with the warps of
images, the dropout masks. Masks follow the weights unless they are named."""

STREAMS: tuple[Stream, ...] = get_args(Stream)

KEYS = ("first_seed", "seeds", "hold", "vary")
"""Keys of a study file that say its seeding."""

MOST_DRAWS = 10_000
"""Draws of one study: ten thousand runs of each row take days."""

Number = Annotated[int, Meta(ge=0, le=LARGEST_SEED)]
Levels = Annotated[int, Meta(ge=2, le=MOST_DRAWS)]


@dataclass(frozen=True, kw_only=True)
class Seeding:
    """The numbers that the seeds of a study's repetitions follow from.

    By default repetition d is draw `first` + d, with everything of its own; `listed` are the draws in place of these.
    Streams in `hold` are those of the first draw in each of them. With `vary` there is one repetition for each
    combination of so many numbers of each of its streams, the first stream slowest; the other streams are held.
    """

    first: int = 0
    listed: tuple[int, ...] = ()
    hold: tuple[Stream, ...] = ()
    vary: tuple[tuple[Stream, int], ...] = ()

    def repetitions(self, draws: int) -> list[tuple[int, Seeds | None]]:
        """Number and own seeds of each repetition, as `Run` takes them; of a crossed design, `draws` does not count.

        ArgumentError for more draws than are listed.
        """
        if self.vary:
            names = [name for name, _ in self.vary]
            ranges = [range(self.first, self.first + count) for _, count in self.vary]
            return [(at[0], self._seeds(dict(zip(names, at, strict=True)))) for at in itertools.product(*ranges)]
        if self.listed and draws > len(self.listed):
            raise ArgumentError(
                f"expected `draws` of at most {len(self.listed)}, the number of `seeds`, got {draws}: list more of them"
            )
        numbers = self.listed[:draws] or range(self.first, self.first + draws)
        return [(number, self._of_draw(number) if self.hold else None) for number in numbers]

    def includes(self, run: Run) -> bool:
        """Whether a run is one of these repetitions; of draws, of any number of them."""
        if self.vary:
            return run.seeds in self.combinations
        if not self.hold:
            return run.own_seeds is None and self._has(run.seed)
        seeds = run.seeds
        numbers = {"pairs": seeds.train_draw // 2, "test": seeds.test_draw // 2}
        number = next(numbers.get(name, getattr(seeds, name, 0)) for name in STREAMS if name not in self.hold)
        return self._has(number) and seeds == self._of_draw(number)

    @property
    def varied(self) -> tuple[Stream, ...]:
        """The streams that differ between repetitions; masks that follow the weights are not named."""
        if self.vary:
            return tuple(name for name in STREAMS if name in dict(self.vary))
        return tuple(name for name in STREAMS[:-1] if name not in self.hold)

    @property
    def held(self) -> tuple[Stream, ...]:
        """The streams that all repetitions share; masks that follow the weights are not named."""
        return tuple(name for name in STREAMS[:-1] if name not in self.varied) if self.vary else self.hold

    @property
    def count(self) -> int | None:
        """Number of repetitions, where the seeding says it."""
        return math.prod(count for _, count in self.vary) if self.vary else len(self.listed) or None

    def identity(self) -> dict[str, Any]:
        """What distinguishes studies: nothing for draws from 0 on; not the numbers of levels of a crossed design."""
        chosen = {
            "first_seed": self.first,
            "seeds": self.listed,
            "hold": self.hold,
            "vary": [name for name, _ in self.vary],
        }
        return {name: value for name, value in chosen.items() if value}

    @cached_property
    def combinations(self) -> frozenset[Seeds]:
        """The seeds of each run of a crossed design; none of draws."""
        return frozenset(seeds for _, seeds in self.repetitions(0) if seeds is not None)

    def _has(self, number: int) -> bool:
        return number in self.listed if self.listed else number >= self.first

    def _of_draw(self, number: int) -> Seeds:
        """The seeds of a draw, but for those that are held."""
        return self._seeds({name: number for name in STREAMS[:-1] if name not in self.hold})

    def _seeds(self, chosen: Mapping[Stream, int]) -> Seeds:
        """The seeds of these draws for some streams, and of the first draw for the others."""
        held = (self.listed or (self.first,))[0]
        at = {name: chosen.get(name, held) for name in STREAMS}
        apart = "masks" in chosen or "masks" in self.hold
        return Seeds(
            train_draw=2 * at["pairs"],
            test_draw=2 * at["test"] + 1,
            weights=at["weights"],
            order=at["order"],
            masks=at["masks"] if apart and at["masks"] != at["weights"] else None,
        )


def parse_seeding(document: Mapping[str, Any], place: str) -> Seeding:
    """The seeding that the keys of a study file say.  ArgumentError in one line with the key's path and a remedy."""
    first = _typed(document.get("first_seed", 0), Number, f"{place}: first_seed")
    listed = _typed(document.get("seeds", []), tuple[Number, ...], f"{place}: seeds")
    hold = _streams(document.get("hold", []), f"{place}: hold")
    varied = document.get("vary", {})
    if not isinstance(varied, dict) or ("vary" in document and not varied):
        raise ArgumentError(f"{place}: vary: expected numbers of streams, got none: write {{ pairs = 5, weights = 5 }}")
    check_keys(varied, STREAMS, f"{place}: vary")
    vary = tuple((name, _typed(count, Levels, f"{place}: vary.{name}")) for name, count in varied.items())
    for one, other, remedy in (
        ("first_seed", "seeds", "list all seeds, or none"),
        ("draws", "seeds", "remove `draws`: each of the seeds is a draw"),
        ("seeds", "vary", "write first_seed"),
        ("hold", "vary", "remove `hold`: what is not varied is held"),
        ("draws", "vary", "remove `draws`: each combination is a run"),
    ):
        if one in document and other in document:
            raise ArgumentError(f"{place}: {other}: expected `{one}` or `{other}`, got both: {remedy}")
    if "seeds" in document and not listed:
        raise ArgumentError(f"{place}: seeds: expected a list of numbers, got an empty one: write [7, 8, 9]")
    if len(set(listed)) < len(listed):
        raise ArgumentError(f"{place}: seeds: expected different values, got one twice: remove one")
    if len(listed) > MOST_DRAWS or math.prod(count for _, count in vary) > MOST_DRAWS:
        raise ArgumentError(f"{place}: {'vary' if vary else 'seeds'}: expected at most {MOST_DRAWS:,} runs of a row")
    if set(STREAMS[:-1]) <= set(hold):
        raise ArgumentError(
            f"{place}: hold: expected a stream that is not held ({', '.join(STREAMS[:-1])}), got all: remove one"
        )
    return Seeding(first=first, listed=listed, hold=hold, vary=vary)


def _streams(value: Any, place: str) -> tuple[Stream, ...]:
    names = _typed(value, tuple[str, ...], place)
    check_keys(dict.fromkeys(names), STREAMS, place)
    return tuple(name for name in STREAMS if name in names)


def _typed(value: Any, kind: Any, place: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ArgumentError(explain(error, place, value)) from None
