"""The trained model inside the package: order_net_xs with digits, for a first prediction without training.

`make built-in-model` trains it again; tests measure it on its recorded draw.
"""

from importlib.resources import files
from pathlib import Path

NAME = "order_net_xs"


def built_in_model() -> Path:
    """The file of the built-in model, inside the installed package."""
    return Path(str(files(__package__) / f"{NAME}.onnx"))
