"""What a worker of the engine for Ray computes: an actor that holds the data set and trains one run after the other."""

from collections.abc import Sequence

from pairnet.data.drawing import draw
from pairnet.data.sources import Dataset
from pairnet.errors import TrainingError
from pairnet.host import node
from pairnet.records.record import RunRecord
from pairnet.records.run import Run
from pairnet.study.environment import environment, versions
from pairnet.study.events import Failed, Finished
from pairnet.study.execution import execute


class RayWorker:
    """One worker process: it draws the pairs itself, from a data set that its node holds once for all of them."""

    def __init__(self, dataset: Dataset, engine: str) -> None:
        self._dataset = dataset
        self._engine = engine

    def about(self) -> tuple[str, dict[str, str]]:
        """Name of the node, and the versions that its results depend on."""
        return node(), versions()

    def compute(self, runs: Sequence[Run]) -> list[RunRecord | TrainingError]:
        """The record of each run, or why it failed."""
        if runs[0].device == "cpu":
            return [self._train(run) for run in runs]
        return self._train_stacked(runs)

    def _train(self, run: Run) -> RunRecord | TrainingError:
        place = environment(run.device, engine=self._engine)
        try:
            _, record = execute(run, place, *draw(run, self._dataset))
        except TrainingError as error:
            return error
        return record

    def _train_stacked(self, runs: Sequence[Run]) -> list[RunRecord | TrainingError]:
        from pairnet.study.engines.stacked import Stacked

        found: dict[str, RunRecord | TrainingError] = {}
        for event in Stacked(dataset=self._dataset, name=self._engine).run(runs):
            if isinstance(event, Finished):
                found[event.run.fingerprint] = event.record
            elif isinstance(event, Failed):
                found[event.run.fingerprint] = TrainingError(event.reason, event.kind, event.epoch)
        return [found[run.fingerprint] for run in runs]
