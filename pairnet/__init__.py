"""pairnet: two handwritten digits, is the first equal or less than the second?

Import what you need from its module (`pairnet.models.variants`, `pairnet.training.loop`, `pairnet.serving.predictor`, ...): the package
itself imports nothing, so that a client of the predictor pays for neither torch nor matplotlib.
"""

__version__ = "0.1.0"
