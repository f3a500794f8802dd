"""How large is a variant: parameters, multiply-adds, bytes of its file, memory of a process that runs it?"""

from bench.common import NAMES, NETWORKS, NeedsNetworks, images, titled
from bench.fixture import PRECISIONS, Fixture
from pairnet.models.variants import count_multiply_adds, count_parameters, find_variant


class Structure:
    """Counted from the structure, without training."""

    param_names = ["variant"]
    params = [NAMES]
    version = "1"

    @titled("parameters", unit="parameters")
    def track_parameters(self, variant: str) -> int:
        return count_parameters(find_variant(variant))

    @titled("multiply-adds per pair", unit="multiply-adds per pair")
    def track_multiply_adds(self, variant: str) -> int:
        return count_multiply_adds(find_variant(variant))


class File(NeedsNetworks):
    """The exported file."""

    param_names = ["variant", "precision"]
    params = [NAMES, list(PRECISIONS)]
    unit = "bytes"

    def setup(self, fixture: Fixture, variant: str, precision: str) -> None:
        fixture.file(variant, precision)

    @titled("size of the exported file")
    def track_bytes(self, fixture: Fixture, variant: str, precision: str) -> int:
        return fixture.file(variant, precision).stat().st_size


class Memory(NeedsNetworks):
    """Peak memory of the process, including Python and ONNX Runtime; the null model's row is the baseline."""

    param_names = ["variant"]
    params = [NETWORKS]

    def setup(self, fixture: Fixture, variant: str) -> None:
        fixture.file(variant, "fp32")

    @titled("memory of a process that answers 1,024 pairs")
    def peakmem_answer_1024(self, fixture: Fixture, variant: str) -> None:
        from pairnet.serving.predictor import Predictor

        with Predictor(fixture.file(variant, "fp32"), provider="cpu", threads=1) as predictor:
            predictor.probability(images(1024))
