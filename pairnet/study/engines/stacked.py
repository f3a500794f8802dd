"""The engine for GPUs: runs of one variant become one program of stacked networks; see training/stacked.py."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread

from pairnet.data.drawing import check_images, draw
from pairnet.data.pairs import Pairs
from pairnet.data.sources import Dataset
from pairnet.errors import TrainingError
from pairnet.records.record import Environment, Epoch
from pairnet.records.run import Run
from pairnet.study.environment import environment
from pairnet.study.events import EpochDone, Event, Finished, Started, failed
from pairnet.study.execution import execute, record_of
from pairnet.training.stacked import Member, can_stack, train_stacked


@dataclass(frozen=True, kw_only=True)
class Stacked:
    """Computes runs in this process, a group of stacked networks after the other."""

    dataset: Dataset
    name: str = "stacked"
    manner: str = "stacked"

    def run(self, runs: Sequence[Run]) -> Generator[Event]:
        """Events of all runs; see events.Engine. A thread computes, so that events arrive as they happen."""
        if not runs:
            return
        for each in runs:
            check_images(each, self.dataset)
        events: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        stop = Flag()
        thread = Thread(target=self._compute, args=(runs, events, stop), daemon=True)
        thread.start()
        try:
            while (event := events.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            stop.set()  # heard at the end of the epoch
            thread.join()

    def _compute(self, runs: Sequence[Run], events: "SimpleQueue[Event | BaseException | None]", stop: Flag) -> None:
        try:
            for group in groups(runs):
                self._compute_group(group, events, stop)
            events.put(None)
        except _Stopped:
            pass
        except BaseException as error:
            events.put(error)

    def _compute_group(
        self, group: Sequence[Run], events: "SimpleQueue[Event | BaseException | None]", stop: Flag
    ) -> None:
        first = group[0]
        place = environment(first.device, engine=self.name)
        drawn = [draw(run, self.dataset) for run in group]
        for run in group:
            events.put(Started(run=run))

        def report(at: int, number: int, epoch: Epoch) -> None:
            if stop.is_set():
                raise _Stopped
            events.put(EpochDone(run=group[at], number=number, epoch=epoch))

        members = [_member(run, *pairs) for run, pairs in zip(group, drawn, strict=True)]
        if not can_stack(members, first.recipe):
            self._compute_singly(group, drawn, place, events, report)
            return
        start = time.perf_counter()
        results = train_stacked(
            first.variant,
            members,
            recipe=first.recipe,
            device=first.device,
            measurements=first.measurements,
            on_epoch=report,
        )
        share = (time.perf_counter() - start) / len(group)
        for run, (_, held_out), result in zip(group, drawn, results, strict=True):
            if isinstance(result, TrainingError):
                events.put(failed(run, result))
            else:
                events.put(Finished(run=run, record=record_of(run, place, held_out, result, share)))

    def _compute_singly(
        self,
        group: Sequence[Run],
        drawn: Sequence[tuple[Pairs, Pairs]],
        place: Environment,
        events: "SimpleQueue[Event | BaseException | None]",
        report: Callable[[int, int, Epoch], None],
    ) -> None:
        """One network after the other, for sizes that cannot be stacked."""
        for at, (run, (pairs, held_out)) in enumerate(zip(group, drawn, strict=True)):
            try:
                _, record = execute(run, place, pairs, held_out, partial(report, at))
                events.put(Finished(run=run, record=record))
            except TrainingError as error:
                events.put(failed(run, error))


class _Stopped(Exception):
    """Nobody waits for events any more."""


def groups(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ only in draw, fold, seeds and loss ratio, together; in the order of each group's first."""
    found: dict[Run, list[Run]] = {}
    for run in runs:
        variant = run.setting.variant
        alike = replace(variant, recipe=replace(variant.recipe, loss_ratio=0.0))
        key = replace(run.setting, variant=alike, measurements=run.measurements)
        found.setdefault(key, []).append(run)
    return list(found.values())


def _member(run: Run, pairs: Pairs, held_out: Pairs) -> Member:
    return Member(
        pairs=pairs,
        held_out=held_out,
        weight_seed=run.seeds.weights,
        order_seed=run.seeds.order,
        mask_seed=run.seeds.masks,
        loss_ratio=run.recipe.loss_ratio,
    )
