"""What a worker of the engine for Ray computes: an actor that holds the data set and trains one job after the other."""

from collections.abc import Sequence

from pairnet.data.sources import Dataset
from pairnet.errors import TrainingError, one_line
from pairnet.host import node
from pairnet.study.environment import environment, versions
from pairnet.study.execution import execute
from pairnet.study.jobs import Failed, Finished, Job
from pairnet.study.records import RunRecord
from pairnet.study.runs import draw


class RayWorker:
    """One worker process: it draws the pairs itself, from a data set that its node holds once for all of them."""

    def __init__(self, dataset: Dataset, engine: str) -> None:
        self._dataset = dataset
        self._engine = engine

    def about(self) -> tuple[str, dict[str, str]]:
        """Name of the node, and the versions that its results depend on."""
        return node(), versions()

    def compute(self, jobs: Sequence[Job]) -> list[RunRecord | str]:
        """The record of each job, or in one line why its run failed."""
        if jobs[0].run.device == "cpu":
            return [self._train(job) for job in jobs]
        return self._train_stacked(jobs)

    def _train(self, job: Job) -> RunRecord | str:
        place = environment(job.run.device, engine=self._engine)
        try:
            _, record = execute(job, place, *draw(job.run, self._dataset))
        except TrainingError as error:
            return one_line(error)
        return record

    def _train_stacked(self, jobs: Sequence[Job]) -> list[RunRecord | str]:
        from pairnet.study.engines.stacked import Stacked

        found: dict[str, RunRecord | str] = {}
        for event in Stacked(dataset=self._dataset, name=self._engine).run(jobs):
            if isinstance(event, Finished):
                found[event.job.fingerprint] = event.record
            elif isinstance(event, Failed):
                found[event.job.fingerprint] = event.reason
        return [found[job.fingerprint] for job in jobs]
