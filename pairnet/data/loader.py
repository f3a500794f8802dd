"""Owns the Python face of the C++ loader: an iterable of torch or NumPy batches that can be resumed."""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from pairnet import _core
from pairnet.data.pairs import Batch, Moments, Pairs
from pairnet.models.recipes import Warp

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "PairLoader", "Warp"]


class PairLoader:
    """Iterating yields the batches of one epoch, normalised, and moves on to the next epoch.

    `output` says what batches are made of; both share the loader's memory without a copy, and own it. With a CUDA
    `device` the copy of each batch overlaps the work on the one before. `threads` defaults to the cores there are, up
    to 4, and counts the one that iterates: 1 makes each batch when it is asked for. It does not change the batches,
    which depend on (pairs, moments, seed, epoch) alone. The pairs are read where they lie and must not change.

    An epoch that is left early counts as over. `close()`, or dropping the loader, ends its threads; batches stay good.

    Raises ValueError for an argument out of bounds.
    """

    def __init__(
        self,
        pairs: Pairs,
        moments: Moments,
        *,
        batch: int = 25,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        threads: int | None = None,
        warp: Warp | None = None,
        output: Literal["torch", "numpy"] = "torch",
        device: "str | torch.device | None" = None,
    ) -> None:
        if output not in ("torch", "numpy"):
            raise ValueError(f'output must be "torch" or "numpy", not "{output}"')
        if output == "numpy" and device is not None:
            raise ValueError(f'device needs output="torch"; NumPy batches cannot go to "{device}"')
        self._core = _core.Loader(
            pairs.pixels,
            pairs.digits,
            mean=moments.mean,
            std=moments.std,
            batch=batch,
            seed=seed,
            shuffle=shuffle,
            drop_last=drop_last,
            threads=_cores() if threads is None else threads,
            warp=None if warp is None else astuple(warp),
        )
        self._output = output
        self._device = device
        self._identity = {
            "pairs": len(pairs),
            "draw": zlib.crc32(pairs.indices.tobytes()),
            "mean": moments.mean,
            "std": moments.std,
            "batch": batch,
            "seed": seed,
            "shuffle": shuffle,
            "drop_last": drop_last,
            "warp": None if warp is None else list(astuple(warp)),
        }
        self._epoch = 0
        self._handed_out = 0  # batches of this epoch
        self._begun = False  # whether an iteration of this epoch has begun
        self._iteration = 0  # number of the iteration that owns the C++ loader

    @property
    def epoch(self) -> int:
        """The epoch under way, or the next one when none is."""
        return self._epoch

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._core)

    def __iter__(self) -> Iterator[Batch]:
        if self._begun:  # and left early
            self._move_on()
        self._begun = True
        self._iteration += 1
        for batch in self._batches(self._iteration):
            self._handed_out += 1
            yield batch
        self._move_on()

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, as plain JSON: how many batches of which epoch it has handed out."""
        return {"epoch": self._epoch, "handed_out": self._handed_out, **self._identity}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Makes the next iteration go on with the very next batch.

        Raises ValueError when the state is of a loader that makes other batches.
        """
        for name, own in self._identity.items():
            if state.get(name) != own:
                raise ValueError(f"this loader has {name}={own}, the saved state has {state.get(name)}")
        if not 0 <= state["handed_out"] <= len(self):
            raise ValueError(f"handed_out must be in 0..{len(self)}, not {state['handed_out']}")
        self._epoch = state["epoch"]
        self._handed_out = state["handed_out"]
        self._begun = False
        self._iteration += 1

    def close(self) -> None:
        """Ends the threads of the loader. Iterating after it raises RuntimeError."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _move_on(self) -> None:
        self._epoch += 1
        self._handed_out = 0
        self._begun = False

    def _batches(self, iteration: int) -> Iterator[Batch]:
        """What is left of this epoch, in the form asked for."""
        if self._output == "numpy":
            return self._made(iteration, Batch._make)
        import torch

        from_numpy = torch.from_numpy

        def convert(arrays: Any) -> Batch:
            pair, target, digits = arrays  # map() would take half as long again
            return Batch(from_numpy(pair), from_numpy(target), from_numpy(digits))

        tensors = self._made(iteration, convert)
        device = torch.device("cpu" if self._device is None else self._device)
        if device.type == "cuda":
            return _copied_ahead(tensors, device)
        return tensors if device.type == "cpu" else (Batch(*(part.to(device) for part in b)) for b in tensors)

    def _made(self, iteration: int, convert: Callable[[Iterable[Any]], Batch]) -> Iterator[Batch]:
        self._core.start(self._epoch, self._handed_out)
        while (arrays := self._core.next()) is not None:
            yield convert(arrays)
            if iteration != self._iteration:
                raise RuntimeError("a newer iteration of this loader has begun; each loader runs one at a time")


def _cores() -> int:
    """Cores that this process may use, up to 4."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 4)


def _copied_ahead(batches: Iterator[Batch], device: "torch.device") -> Iterator[Batch]:
    """Batches on a CUDA device, each copied on a stream of its own while the one before is worked on."""
    import torch

    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def begin(batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        with torch.cuda.stream(copying):
            copy = Batch(*(part.pin_memory().to(device, non_blocking=True) for part in batch))
            return copy, copying.record_event()

    def finish(copy: Batch, done: torch.cuda.Event) -> Batch:
        working = torch.cuda.current_stream(device)
        working.wait_event(done)
        for part in copy:
            part.record_stream(working)  # its memory is not used again before this work has ended
        return copy

    ahead = None
    for batch in batches:
        begun = begin(batch)
        if ahead is not None:
            yield finish(*ahead)
        ahead = begun
    if ahead is not None:
        yield finish(*ahead)
