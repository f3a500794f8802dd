"""The engine for GPUs: runs of one variant become one program of stacked networks; see training/stacked.py."""

import json
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread

from pairnet.data.pairs import Pairs
from pairnet.data.sources import Dataset
from pairnet.errors import TrainingError, one_line
from pairnet.study.environment import environment
from pairnet.study.execution import execute, record_of
from pairnet.study.jobs import EpochDone, Event, Failed, Finished, Job, Started
from pairnet.study.records import Environment
from pairnet.study.runs import Run, draw
from pairnet.training.history import Epoch
from pairnet.training.stacked import Member, can_stack, train_stacked


@dataclass(frozen=True, kw_only=True)
class Stacked:
    """Runs jobs in this process, a group of stacked networks after the other."""

    dataset: Dataset
    name: str = "stacked"
    manner: str = "stacked"

    def run(self, jobs: Sequence[Job]) -> Generator[Event]:
        """Events of all jobs; see jobs.Engine. A thread computes, so that events arrive as they happen."""
        if not jobs:
            return
        events: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        stop = Flag()
        thread = Thread(target=self._compute, args=(jobs, events, stop), daemon=True)
        thread.start()
        try:
            while (event := events.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            stop.set()  # heard at the end of the epoch
            thread.join()

    def _compute(self, jobs: Sequence[Job], events: "SimpleQueue[Event | BaseException | None]", stop: Flag) -> None:
        try:
            for group in groups(jobs):
                self._compute_group(group, events, stop)
            events.put(None)
        except _Stopped:
            pass
        except BaseException as error:
            events.put(error)

    def _compute_group(
        self, group: Sequence[Job], events: "SimpleQueue[Event | BaseException | None]", stop: Flag
    ) -> None:
        first = group[0].run
        place = environment(first.device, engine=self.name)
        drawn = [draw(job.run, self.dataset) for job in group]
        for job in group:
            events.put(Started(job=job))

        def report(at: int, number: int, epoch: Epoch) -> None:
            if stop.is_set():
                raise _Stopped
            events.put(EpochDone(job=group[at], number=number, epoch=epoch))

        members = [_member(job.run, *pairs) for job, pairs in zip(group, drawn, strict=True)]
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
        for job, (_, held_out), result in zip(group, drawn, results, strict=True):
            if isinstance(result, TrainingError):
                events.put(Failed(job=job, reason=one_line(result)))
            else:
                events.put(Finished(job=job, record=record_of(job, place, held_out, result, share)))

    def _compute_singly(
        self,
        group: Sequence[Job],
        drawn: Sequence[tuple[Pairs, Pairs]],
        place: Environment,
        events: "SimpleQueue[Event | BaseException | None]",
        report: Callable[[int, int, Epoch], None],
    ) -> None:
        """One network after the other, for sizes that cannot be stacked."""
        for at, (job, (pairs, held_out)) in enumerate(zip(group, drawn, strict=True)):
            try:
                _, record = execute(job, place, pairs, held_out, partial(report, at))
                events.put(Finished(job=job, record=record))
            except TrainingError as error:
                events.put(Failed(job=job, reason=one_line(error)))


class _Stopped(Exception):
    """Nobody waits for events any more."""


def groups(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs that differ only in draw, fold, seeds and loss ratio, together; in the order of each group's first."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        run = job.run
        recipe = asdict(replace(run.recipe, loss_ratio=0.0))
        split = None if run.fold is None else run.folds
        size = [run.pairs, run.tested, split, run.measurements]
        key = json.dumps([run.variant.structure, recipe, size, run.device], sort_keys=True)
        found.setdefault(key, []).append(job)
    return list(found.values())


def _member(run: Run, pairs: Pairs, held_out: Pairs) -> Member:
    return Member(
        pairs=pairs,
        held_out=held_out,
        weight_seed=run.seeds.weights,
        order_seed=run.seeds.order,
        loss_ratio=run.recipe.loss_ratio,
    )
