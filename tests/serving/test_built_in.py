"""The model inside the package is what it says: measured again on its recorded draw."""

from pairnet.artifact.recorded import measure, recorded_draw
from pairnet.models.variants import find_variant
from pairnet.serving.built_in import NAME, built_in_model
from pairnet.serving.predictor import Predictor

pytest_plugins = ("trained_runs",)


def test_it_reproduces_its_recorded_accuracy(digits5k):
    path = built_in_model()
    assert path.stat().st_size < 50_000
    with Predictor(path) as predictor:
        about = predictor.metadata
        accuracy = measure(predictor.probability, recorded_draw(about, digits5k))
        assert predictor.has_digits
    assert abs(accuracy - about.test_accuracy) <= 0.002  # another kind of CPU may change one or two of 1,000 pairs
    assert about.test_accuracy >= 0.975
    assert (about.variant, about.precision, about.data_source, about.pairs) == (NAME, "fp32", "mnist5k", 1000)
    assert about.parameters == find_variant(NAME).parameters
    assert "dirty" not in about.revision + about.run_revision
