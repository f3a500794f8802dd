"""Whether a file answers as well as it says: its accuracy, measured again on its recorded test draw."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from pairnet.artifact.recorded import measure, recorded_draw, recorded_source
from pairnet.data.sources import Dataset, load_dataset
from pairnet.errors import ArgumentError, DataError, MissingExtraError, ModelError, RequestError, one_line
from pairnet.serving.predictor import CHUNK, Predictor

MOST_PAIRS = 50_000
"""Pairs of a draw that is measured: 80 MB of grey levels. A larger one is not checked."""
LONGEST = 60.0
"""Seconds that measuring may take; a file that needs more is not checked."""


class _TooLong(Exception):
    """Measuring took longer than LONGEST."""


class Check:
    """Measures files one after the other; the images of the last one are kept for the next."""

    def __init__(self, stops: Callable[[], bool] = lambda: False) -> None:
        self._stops = stops  # whether the server stops, so that nobody needs the answer
        self._images: Dataset | None = None
        self._source = ""

    def __call__(self, predictor: Predictor, path: Path) -> str:
        """Empty if the accuracy is the recorded one; the reason why it was not measured otherwise.

        One thread measures, the calling one: a thread that the predictor started here would have its priority for
        ever. Up to one pair in 1,000, and two in any case, may be decided otherwise: another ONNX Runtime or kind of
        CPU rounds otherwise. Raises ModelError for another accuracy, and RequestError if the server stops.
        """
        about, recorded = predictor.metadata, predictor.metadata.test_accuracy
        if about.test_pairs > MOST_PAIRS:
            return f"its draw has {about.test_pairs:,} pairs, more than {MOST_PAIRS:,}"
        try:
            source = recorded_source(about)
        except ArgumentError:
            return "its images are not public"
        began = monotonic()

        def probability(pairs: NDArray[np.generic]) -> NDArray[np.float32]:
            parts = []
            for start in range(0, len(pairs), CHUNK):
                if self._stops():
                    raise RequestError("expected a running server, this one stops: try another", "busy")
                if monotonic() - began > LONGEST:
                    raise _TooLong
                parts.append(predictor.outputs(pairs[start : start + CHUNK], split=False)["probability"])
            return np.concatenate(parts)

        try:
            if self._images is None or source != self._source:
                self._images, self._source = None, source  # not two sets of images at the same time
                self._images = load_dataset(source)
            draw = recorded_draw(about, self._images)
        except (ArgumentError, DataError, MissingExtraError) as error:
            return one_line(error)
        try:
            measured = measure(probability, draw)
        except _TooLong:
            return f"measuring takes longer than {LONGEST:.0f} s"
        if abs(measured - recorded) * about.test_pairs > max(2, about.test_pairs / 1000) + 1e-6:
            raise ModelError(
                f"{path}: expected the recorded accuracy, {recorded:.4f}, got {measured:.4f} on {about.test_pairs:,} "
                f"pairs of {about.data}: the file is damaged or was changed; export the run again"
            )
        return ""
