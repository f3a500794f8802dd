"""How often is a trained network wrong?  Mean over the fixture's seeds; the seeds fix every bit on one kind of CPU."""

import statistics

from bench.common import NAMES, OfTrainedNets, titled
from bench.fixture import PRECISIONS, Made
from pairnet.models.paper import TABLE_I, TABLE_III

PRINTED = {**TABLE_I, **TABLE_III}


class Error(OfTrainedNets):
    """Error of the network as trained."""

    param_names = ["variant"]
    params = [NAMES]
    unit = "% of test pairs"

    def setup(self, made: Made, variant: str) -> None:
        made.net(variant)

    @titled("error of the trained network")
    def track_error(self, made: Made, variant: str) -> float:
        return statistics.fmean(made.net(variant).errors)


class FileError(OfTrainedNets):
    """Of the first seed's exported file, answered by ONNX Runtime: what a precision costs."""

    param_names = ["variant", "precision"]
    params = [NAMES, list(PRECISIONS)]
    unit = "% of test pairs"

    def setup(self, made: Made, variant: str, precision: str) -> None:
        made.file(variant, precision)

    @titled("error of the exported file")
    def track_error(self, made: Made, variant: str, precision: str) -> float:
        return made.net(variant).files[precision].error


class ChartedAccuracy(OfTrainedNets):
    """The same as `Error`, the way people say it."""

    param_names = ["variant"]
    params = [NAMES]
    unit = "% of test pairs"

    def setup(self, made: Made, variant: str) -> None:
        made.net(variant)

    @titled("accuracy (charted)")
    def track_accuracy(self, made: Made, variant: str) -> float:
        return 100 - statistics.fmean(made.net(variant).errors)


class ChartedAbovePaper(OfTrainedNets):
    """Percentage points above the paper's figure. Its images were full MNIST, the fixture's are 5,000 of them."""

    param_names = ["variant"]
    params = [list(PRINTED)]
    unit = "percentage points"

    def setup(self, made: Made, variant: str) -> None:
        made.net(variant)

    @titled("accuracy above the paper's (charted)")
    def track_points_above_paper(self, made: Made, variant: str) -> float:
        return 100 - statistics.fmean(made.net(variant).errors) - 100 * PRINTED[variant].mean
