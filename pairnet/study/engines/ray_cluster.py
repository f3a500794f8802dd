"""The engine for a Ray cluster: one long-lived worker for each CPU, or GPU, of all its nodes.

A run travels to a worker and its record travels back; the data set is put into Ray's object store once and the workers
draw the pairs. Runs on CPUs are those of the engine `processes`; on a GPU a worker trains a group of stacked networks.

A worker holds no state of its own. If it is lost, since its node failed or its memory was short, its runs go to another
one, a few times; the number of workers follows the number of CPUs that the cluster has at the moment. Epochs are not
reported: between the start and the end of a run, nothing travels.
"""

import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pairnet.data.drawing import check_images
from pairnet.data.sources import Dataset
from pairnet.errors import ArgumentError, TrainingError, WorkerError
from pairnet.host import cores, node
from pairnet.records.record import RunRecord
from pairnet.records.run import Run
from pairnet.study.engines.ray_connection import check_address, connected, import_ray, reason_in
from pairnet.study.environment import versions
from pairnet.study.events import Event, Finished, Started, failed

RETRIES = 3
"""How many times the runs of a lost worker are given to another one."""

PATIENCE = 300.0
"""Seconds to wait for a first worker, and for another one if all are lost: a busy cluster has no free CPU."""

_LOOK = 2.0
"""Seconds between two looks at how many CPUs the cluster has."""


@dataclass(frozen=True, kw_only=True)
class RayCluster:
    """Computes runs on the Ray cluster at `address`: "auto" for the one of this machine, or HOST:PORT.

    With None, Ray is started on this machine for each call of `run`, and stopped at its end. A cluster keeps running,
    without our workers. `workers` is the largest number of runs at once; by default, as many as there are CPUs or GPUs.

    ArgumentError for an `address` of another form and for `workers` below 1. MissingExtraError without Ray.
    """

    dataset: Dataset
    address: str | None = None
    workers: int | None = None
    name: str = "ray"

    def __post_init__(self) -> None:
        check_address(self.address)
        if self.workers is not None and self.workers < 1:
            raise ArgumentError(f"expected `workers` of at least 1, got {self.workers}")
        import_ray()

    @property
    def manner(self) -> str:
        """How runs are computed, for people."""
        return "by Ray" if self.address is None else f"by Ray ({self.address})"

    def run(self, runs: Sequence[Run]) -> Generator[Event]:
        """Events of all runs, without EpochDone; see events.Engine.

        WorkerError as well if the cluster cannot be reached, if a node has other versions of what computes, and if
        runs were lost with one worker after the other.
        """
        from pairnet.study.engines.stacked import groups

        for each in runs:
            check_images(each, self.dataset)
        on_cpu = [_Task(runs=[run]) for run in runs if run.device == "cpu"]
        on_gpu = [_Task(runs=group) for group in groups([run for run in runs if run.device != "cpu"])]
        if not runs:
            return
        with connected(self.address, cpus=self.workers or cores()) as ray:
            dataset = ray.put(self.dataset)
            for tasks, resource in ((on_cpu, "CPU"), (on_gpu, "GPU")):
                crew = _Crew(ray=ray, dataset=dataset, resource=resource, most=self.workers, engine=self.name)
                try:
                    yield from crew.events(tasks)
                finally:
                    crew.stop()


@dataclass(kw_only=True)
class _Task:
    """What is given to a worker at once: a run, or for a GPU a group of runs."""

    runs: list[Run]
    losses: int = 0  # workers that were lost while they computed it


@dataclass(kw_only=True, eq=False)
class _Worker:
    """One actor as its driver sees it."""

    actor: Any
    answer: Any  # the reference to what it reports next; None: it is idle
    node: str = ""  # where it runs; empty: it has not reported yet
    task: _Task | None = None  # what it is computing


@dataclass(kw_only=True)
class _Crew:
    """The workers of one call of `run`."""

    ray: Any
    dataset: Any  # reference to the data set
    resource: str  # "CPU" or "GPU", one of them for each worker
    most: int | None  # largest number of workers
    engine: str
    workers: list[_Worker] = field(default_factory=list)
    lost_starting: int = 0  # workers
    largest: int = 0  # number of CPUs or GPUs so far
    next_look: float = 0.0  # time.monotonic() of it

    def events(self, tasks: Sequence[_Task]) -> Iterator[Event]:
        """Events of all tasks."""
        waiting = deque(tasks)
        seen = time.monotonic()  # when there was a worker
        while waiting or any(worker.task for worker in self.workers):
            self._fill(waiting)
            for worker in self._ready():
                try:
                    answer = self.ray.get(worker.answer)
                except self.ray.exceptions.RayTaskError as error:
                    raise RuntimeError(f"{_name(worker)} failed:\n{error}") from None
                except self.ray.exceptions.RayError as error:
                    self._lose(worker, error, waiting)
                    continue
                yield from _outcomes(worker, answer)
                worker.task = worker.answer = None
            for worker in self.workers:
                if worker.node and worker.task is None and waiting:
                    yield from self._give(worker, waiting.popleft())
            if any(worker.node for worker in self.workers):
                seen = time.monotonic()
            elif time.monotonic() - seen > PATIENCE:
                raise WorkerError(
                    f"expected a worker on the Ray cluster, got none within {PATIENCE:g} s: "
                    f"`ray status` lists its nodes, and what uses each {self.resource}"
                )

    def stop(self) -> None:
        """Ends all workers at once, and what they compute."""
        for worker in self.workers:
            if self.ray.is_initialized():  # otherwise its kill would start another Ray
                self.ray.kill(worker.actor)
        self.workers.clear()

    def _fill(self, waiting: Sequence[_Task]) -> None:
        """Starts workers, until there is one for each CPU of the nodes that are alive, or for each task."""
        if time.monotonic() < self.next_look:
            return
        from pairnet.study.engines.ray_worker import RayWorker

        self.next_look = time.monotonic() + _LOOK
        wanted = len(waiting) + sum(worker.task is not None for worker in self.workers)
        there = int(self.ray.cluster_resources().get(self.resource, 0))
        self.largest = max(self.largest, there)
        for _ in range(min(wanted, there, self.most or there) - len(self.workers)):
            needs = self.ray.remote(num_cpus=1, num_gpus=1 if self.resource == "GPU" else 0)
            actor = needs(RayWorker).remote(self.dataset, self.engine)
            self.workers.append(_Worker(actor=actor, answer=actor.about.remote()))

    def _ready(self) -> list[_Worker]:
        """The workers that have something to report, after a short time at most."""
        working = {worker.answer: worker for worker in self.workers if worker.answer is not None}
        if not working:
            time.sleep(_LOOK / 10)
            return []
        ready, _ = self.ray.wait(list(working), num_returns=1, timeout=_LOOK)
        return [working[answer] for answer in ready]

    def _give(self, worker: _Worker, task: _Task) -> Iterator[Event]:
        worker.task, worker.answer = task, worker.actor.compute.remote(task.runs)
        if not task.losses:
            for run in task.runs:
                yield Started(run=run)

    def _lose(self, worker: _Worker, error: Exception, waiting: deque[_Task]) -> None:
        """Lets another worker compute what this one did.  WorkerError if that has happened too often."""
        self.workers.remove(worker)
        self.ray.kill(worker.actor)  # one that cannot be reached may still be computing
        self.next_look = min(self.next_look, time.monotonic() + _LOOK / 2)
        reason = reason_in(str(error))
        if worker.task is None:
            self.lost_starting += 1
            if getattr(error, "actor_init_failed", False) or self.lost_starting > RETRIES * self.largest:
                raise WorkerError(f"workers on the Ray cluster do not start: {reason}: install pairnet on each node")
            return
        worker.task.losses += 1
        if worker.task.losses > RETRIES:
            raise WorkerError(
                f"{worker.task.losses} workers on the Ray cluster were lost while they computed {_name(worker)}, the "
                f"last one on {worker.node} (out of memory?): {reason}: finished runs are kept, the same call continues"
            )
        waiting.appendleft(worker.task)


def _name(worker: _Worker) -> str:
    return worker.task.runs[0].name if worker.task else "a worker"


def _outcomes(worker: _Worker, answer: Any) -> Iterator[Event]:
    """What a worker has reported: where it runs, or the result of each run."""
    if worker.task is None:
        worker.node, found = answer
        check_versions(worker.node, found)
        return
    results: list[RunRecord | TrainingError] = answer
    for run, result in zip(worker.task.runs, results, strict=True):
        yield failed(run, result) if isinstance(result, TrainingError) else Finished(run=run, record=result)


def check_versions(name: str, found: Mapping[str, str]) -> None:
    """WorkerError if a node has other versions of Python, torch, numpy or pairnet than this machine."""
    ours = versions()
    for package, version in ours.items():
        if found.get(package) != version:
            raise WorkerError(
                f"expected the same versions on each node of the Ray cluster, got {package} {version} on {node()} and "
                f"{found.get(package, 'none')} on {name}: install the same one on both"
            )
