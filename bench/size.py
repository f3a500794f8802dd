"""How large is a variant: values, multiply-adds, bytes of its file, memory of a process that answers with it?"""

from bench.common import NAMES, NETS, OfTrainedNets, images, titled
from bench.fixture import PRECISIONS, Made
from pairnet.models.variants import count_multiply_adds, count_parameters, find_variant


class Structure:
    """Counted from the table's row; nothing is trained for it."""

    param_names = ["variant"]
    params = [NAMES]
    version = "1"

    @titled("parameters", unit="parameters")
    def track_parameters(self, variant: str) -> int:
        return count_parameters(find_variant(variant))

    @titled("multiply-adds per pair", unit="multiply-adds per pair")
    def track_multiply_adds(self, variant: str) -> int:
        return count_multiply_adds(find_variant(variant))


class File(OfTrainedNets):
    """The exported file."""

    param_names = ["variant", "precision"]
    params = [NAMES, list(PRECISIONS)]
    unit = "bytes"

    def setup(self, made: Made, variant: str, precision: str) -> None:
        made.file(variant, precision)

    @titled("size of the exported file")
    def track_bytes(self, made: Made, variant: str, precision: str) -> int:
        return made.file(variant, precision).stat().st_size


class Memory(OfTrainedNets):
    """The most memory that the process ever held, Python and ONNX Runtime included: compare the null model's."""

    param_names = ["variant"]
    params = [NETS]

    def setup(self, made: Made, variant: str) -> None:
        made.file(variant, "fp32")

    @titled("memory of a process that answers 1,024 pairs")
    def peakmem_answer_1024(self, made: Made, variant: str) -> None:
        from pairnet.serving.predictor import Predictor

        with Predictor(made.file(variant, "fp32"), provider="cpu", threads=1) as predictor:
            predictor.probability(images(1024))
