"""How long does training take: one epoch, and until the paper's best accuracy is reached?"""

import statistics
from dataclasses import replace

from bench.common import NAMES, NeedsNetworks, titled
from bench.fixture import GOAL, Fixture, seeds
from pairnet.models.variants import find_variant


class Epoch:
    """One epoch over 1,000 pairs with the variant's recipe: `train_network` with epochs=1, including construction."""

    param_names = ["variant", "device"]
    params = [NAMES, ["cpu", "cuda"]]
    version = "1"
    timeout = 300.0
    rounds = 1
    number = 1
    repeat = (3, 5, 2.0)
    warmup_time = 0.01

    def setup(self, variant: str, device: str) -> None:
        from bench.common import has_gpu_driver

        if device == "cuda" and not has_gpu_driver():
            raise NotImplementedError("no NVIDIA driver is installed")
        from pairnet.data.pairs import draw_pairs
        from pairnet.data.sources import load_dataset
        from pairnet.errors import ProviderError
        from pairnet.training.device import resolve_device

        try:
            resolve_device(device)
        except ProviderError as error:
            raise NotImplementedError(str(error)) from None
        train = load_dataset("mnist5k").train
        self.pairs = draw_pairs(train, count=1000, seed=0)
        self.few = draw_pairs(train, count=25, seed=1)
        self.variant = find_variant(variant)

    @titled("an epoch of training")
    def time_epoch(self, variant: str, device: str) -> None:
        from pairnet.training.loop import train_network

        recipe = replace(self.variant.recipe, epochs=1)
        train_network(self.variant, self.pairs, self.few, recipe=recipe, weight_seed=0, order_seed=0, device=device)


class ChartedGoal(NeedsNetworks):
    """Time until 95.2 % of the test pairs are right for the first time: mean over the fixture's runs, one core each.

    Skipped if a run never reached it. Accuracy is measured five times a run, so the time is coarse and only charted;
    `quality.Error` is the gate for accuracy.
    """

    param_names = ["variant"]
    params = [NAMES]
    unit = "seconds"

    @titled("time to 95.2 % of test pairs (charted)")
    def track_seconds_to_paper(self, fixture: Fixture, variant: str) -> float:
        return statistics.fmean(fixture.network(variant).seconds_to_goal)

    def setup(self, fixture: Fixture, variant: str) -> None:
        reached, runs = len(fixture.network(variant).seconds_to_goal), len(seeds(find_variant(variant)))
        if reached < runs:
            raise NotImplementedError(f"{reached} of {runs} runs reached {GOAL}")
