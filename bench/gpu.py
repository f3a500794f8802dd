"""How long does inference with an exported network take on a GPU? Skipped, with the reason, if there is no usable GPU.

Without a driver there is only one batch size, because asv starts a process for each skipped row.
"""

from typing import Any

import onnxruntime as ort

from bench.common import BATCHES, GPU_PRECISIONS, NETWORKS, NeedsNetworks, has_gpu_driver, images, titled
from bench.fixture import Fixture
from pairnet.artifact.sessions import open_session
from pairnet.errors import ProviderError
from pairnet.serving.predictor import Predictor

PROVIDERS = ["cuda", "tensorrt"]
DRIVER = has_gpu_driver()


class Resident(NeedsNetworks):
    """Images and answers stay in the memory of the GPU, so transfers are not measured."""

    param_names = ["variant", "provider", "precision", "batch"]
    params = [NETWORKS, PROVIDERS, GPU_PRECISIONS if DRIVER else ["fp32"], BATCHES if DRIVER else BATCHES[:1]]
    rounds = 1
    repeat = (3, 20, 0.3)
    warmup_time = 0.2

    def setup(self, fixture: Fixture, variant: str, provider: str, precision: str, batch: int) -> None:
        path = fixture.file(variant, precision)
        try:
            self.session = open_session(path.read_bytes(), provider)
        except ProviderError as error:
            raise NotImplementedError(str(error)) from None
        self.binding = self.session.io_binding()
        self.binding.bind_ortvalue_input("pair", ort.OrtValue.ortvalue_from_numpy(images(batch), "cuda", 0))
        answers: Any = ort.OrtValue.ortvalue_from_shape_and_type([batch], "float32", "cuda", 0)
        self.binding.bind_ortvalue_output("probability", answers)

    @titled("one call, images in the GPU's memory")
    def time_answer(self, fixture: Fixture, variant: str, provider: str, precision: str, batch: int) -> None:
        self.session.run_with_iobinding(self.binding)
        self.binding.synchronize_outputs()


class Host(NeedsNetworks):
    """Images and answers are in host memory: one call of the predictor."""

    param_names = ["variant", "provider", "batch"]
    params = [NETWORKS, PROVIDERS, BATCHES[-1:]]
    rounds = 1
    repeat = (3, 20, 0.3)
    warmup_time = 0.2

    def setup(self, fixture: Fixture, variant: str, provider: str, batch: int) -> None:
        try:
            self.predictor = Predictor(fixture.file(variant, "fp32"), provider=provider)
        except ProviderError as error:
            raise NotImplementedError(str(error)) from None
        self.pairs = images(batch)

    @titled("one call, images from the host")
    def time_answer(self, fixture: Fixture, variant: str, provider: str, batch: int) -> None:
        self.predictor.probability(self.pairs)
