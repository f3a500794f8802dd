"""The structure in a file's metadata, one line in the paper's notation, read back as a network."""

import re
from typing import get_args

from pairnet.artifact.limits import LONGEST_STRUCTURE, MOST_LAYERS
from pairnet.errors import NotationError
from pairnet.models.notation import Activation
from pairnet.models.variants import Variant, ending_of

_LAYERS = r"([^\[\]|]+)"
_TWIN = re.compile(
    rf"(both images|each image its own): \[{_LAYERS}\] \| head: {_LAYERS}(?: \| auxiliary, both images: {_LAYERS})?"
)


def read_structure(text: str) -> Variant:
    """A variant whose `structure` is `text`, without its name and recipe; whether its layers fit is not checked.

    Raises NotationError for anything else, and for more than MOST_LAYERS layers.
    """
    if len(text) > LONGEST_STRUCTURE:
        raise NotationError(f"expected at most {LONGEST_STRUCTURE:,} characters, got {len(text):,}")
    endings = {ending_of(each): each for each in get_args(Activation)}  # of ReLU it is empty
    ending = max(filter(text.endswith, endings), key=len)
    text, activation = text.removesuffix(ending), endings[ending]
    twin = _TWIN.fullmatch(text)
    if twin:
        towers, tower, head, auxiliary = twin.groups()
        variant = Variant(
            name="structure",
            tower=tower,
            head=head,
            auxiliary=auxiliary or "",
            shared=towers == "both images",
            activation=activation,
        )
    else:
        variant = Variant(name="structure", net=text, activation=activation)
    try:
        parts = (variant.net_layers, variant.tower_layers, variant.head_layers, variant.auxiliary_layers)
    except OverflowError:  # a number of hundreds of digits
        raise NotationError("expected numbers in range, got a larger one") from None
    if (layers := sum(map(len, parts))) > MOST_LAYERS or not layers:
        raise NotationError(f"expected 1 to {MOST_LAYERS} layers, got {layers}")
    return variant
