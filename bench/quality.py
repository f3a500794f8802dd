"""How often is a trained network wrong? Mean over the fixture's seeds; reproducible bit for bit on one kind of CPU."""

import statistics

from bench.common import NAMES, NeedsNetworks, titled
from bench.fixture import PRECISIONS, Fixture
from pairnet.models.paper import TABLE_I, TABLE_III

PAPER = {**TABLE_I, **TABLE_III}


class Error(NeedsNetworks):
    """Error of the trained network."""

    param_names = ["variant"]
    params = [NAMES]
    unit = "% of test pairs"

    def setup(self, fixture: Fixture, variant: str) -> None:
        fixture.network(variant)

    @titled("error of the trained network")
    def track_error(self, fixture: Fixture, variant: str) -> float:
        return statistics.fmean(fixture.network(variant).errors)


class FileError(NeedsNetworks):
    """Error of the first seed's exported file in ONNX Runtime: what a lower precision costs."""

    param_names = ["variant", "precision"]
    params = [NAMES, list(PRECISIONS)]
    unit = "% of test pairs"

    def setup(self, fixture: Fixture, variant: str, precision: str) -> None:
        fixture.file(variant, precision)

    @titled("error of the exported file")
    def track_error(self, fixture: Fixture, variant: str, precision: str) -> float:
        return fixture.network(variant).files[precision].error


class ChartedAccuracy(NeedsNetworks):
    """The same as `Error`, as accuracy."""

    param_names = ["variant"]
    params = [NAMES]
    unit = "% of test pairs"

    def setup(self, fixture: Fixture, variant: str) -> None:
        fixture.network(variant)

    @titled("accuracy (charted)")
    def track_accuracy(self, fixture: Fixture, variant: str) -> float:
        return 100 - statistics.fmean(fixture.network(variant).errors)


class ChartedAbovePaper(NeedsNetworks):
    """Percentage points above the paper's figure, which is for full MNIST; the fixture uses 5,000 of its images."""

    param_names = ["variant"]
    params = [list(PAPER)]
    unit = "percentage points"

    def setup(self, fixture: Fixture, variant: str) -> None:
        fixture.network(variant)

    @titled("accuracy above the paper's (charted)")
    def track_points_above_paper(self, fixture: Fixture, variant: str) -> float:
        return 100 - statistics.fmean(fixture.network(variant).errors) - 100 * PAPER[variant].mean
