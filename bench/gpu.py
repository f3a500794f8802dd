"""How long does an exported network take to answer on a GPU?  Skipped, with the reason, if none can be used.

Without a driver one batch size stands for all: each skipped row costs asv a process.
"""

from typing import Any

import onnxruntime as ort

from bench.common import BATCHES, GPU_PRECISIONS, NETS, OfTrainedNets, has_gpu_driver, images, titled
from bench.fixture import Made
from pairnet.artifact.sessions import open_session
from pairnet.errors import ProviderError
from pairnet.serving.predictor import Predictor

PROVIDERS = ["cuda", "tensorrt"]
DRIVER = has_gpu_driver()


class Resident(OfTrainedNets):
    """Images and answers stay in the GPU's memory: the card is measured, and not the bus."""

    param_names = ["variant", "provider", "precision", "batch"]
    params = [NETS, PROVIDERS, GPU_PRECISIONS if DRIVER else ["fp32"], BATCHES if DRIVER else BATCHES[:1]]
    rounds = 1
    repeat = (3, 20, 0.3)
    warmup_time = 0.2

    def setup(self, made: Made, variant: str, provider: str, precision: str, batch: int) -> None:
        path = made.file(variant, precision)
        try:
            self.session = open_session(path.read_bytes(), provider)
        except ProviderError as error:
            raise NotImplementedError(str(error)) from None
        self.binding = self.session.io_binding()
        self.binding.bind_ortvalue_input("pair", ort.OrtValue.ortvalue_from_numpy(images(batch), "cuda", 0))
        answers: Any = ort.OrtValue.ortvalue_from_shape_and_type([batch], "float32", "cuda", 0)
        self.binding.bind_ortvalue_output("probability", answers)

    @titled("one call, images in the GPU's memory")
    def time_answer(self, made: Made, variant: str, provider: str, precision: str, batch: int) -> None:
        self.session.run_with_iobinding(self.binding)
        self.binding.synchronize_outputs()


class Host(OfTrainedNets):
    """Images come from the host's memory and answers go back there: one call of the predictor."""

    param_names = ["variant", "provider", "batch"]
    params = [NETS, PROVIDERS, BATCHES[-1:]]
    rounds = 1
    repeat = (3, 20, 0.3)
    warmup_time = 0.2

    def setup(self, made: Made, variant: str, provider: str, batch: int) -> None:
        try:
            self.predictor = Predictor(made.file(variant, "fp32"), provider=provider)
        except ProviderError as error:
            raise NotImplementedError(str(error)) from None
        self.pairs = images(batch)

    @titled("one call, images from the host")
    def time_answer(self, made: Made, variant: str, provider: str, batch: int) -> None:
        self.predictor.probability(self.pairs)
