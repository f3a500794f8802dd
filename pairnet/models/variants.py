"""THE table: one literal row per variant, in the paper's notation.  A new variant is a new row."""

import difflib
from dataclasses import dataclass, field, replace
from functools import cached_property

from pairnet.errors import NotationError
from pairnet.models import notation
from pairnet.models.notation import Conv, Layer, Linear, Order, Softmax
from pairnet.models.recipes import Recipe, Warp

PAIR = (2, 14, 14)
IMAGE = (1, 14, 14)
CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A network of the paper, or of yours.

    Either `net` takes the pair as one image of two channels, [2,14,14] -> 1 score; or a `tower` turns each image into
    features, [1,14,14] -> F, and a `head` turns both images' features into the score, 2F -> 1. The tower is one for
    both images (`shared`, the paper's weight sharing) or one for each. An `auxiliary` classifier, one for both images,
    turns an image's features into digit scores, F -> 10, and gives training its auxiliary loss.

    `parameters` is what the row claims; `check` holds it against the layers.
    """

    name: str
    parameters: int
    net: str = ""
    tower: str = ""
    head: str = ""
    auxiliary: str = ""
    shared: bool = True
    recipe: Recipe = field(default_factory=Recipe)
    note: str = ""

    @cached_property
    def net_layers(self) -> tuple[Layer, ...]:
        """Layers over the pair; empty where there is a tower."""
        return notation.parse(self.net) if self.net else ()

    @cached_property
    def tower_layers(self) -> tuple[Layer, ...]:
        """Layers over one image; empty where there is a net."""
        return notation.parse(self.tower) if self.tower else ()

    @cached_property
    def head_layers(self) -> tuple[Layer, ...]:
        """Layers over both images' features."""
        return notation.parse(self.head) if self.head else ()

    @cached_property
    def auxiliary_layers(self) -> tuple[Layer, ...]:
        """Layers from one image's features to digit scores; empty without an auxiliary classifier."""
        return notation.parse(self.auxiliary) if self.auxiliary else ()

    @property
    def orders(self) -> bool:
        """Whether the tower gives digit probabilities, and the head just puts them in order."""
        return bool(self.head) and isinstance(self.head_layers[-1], Order)

    @property
    def classifies_digits(self) -> bool:
        """Whether an auxiliary loss exists."""
        return bool(self.auxiliary) or self.orders

    @property
    def structure(self) -> str:
        """The whole network on one line."""
        if self.net:
            return self.net
        towers = f"both images: [{self.tower}]" if self.shared else f"each image its own: [{self.tower}]"
        auxiliary = f" | auxiliary, both images: {self.auxiliary}" if self.auxiliary else ""
        return f"{towers} | head: {self.head}{auxiliary}"


_TOWER = "conv(1,32,3) P(2) conv(32,64,3) P(2) conv(64,128,3) P(2)"
_TOWER_BN = "conv(1,32,3) BN P(2) conv(32,64,3) BN P(2) conv(64,128,3) BN P(2)"
_HEAD = "fc(256,128) fc(128,128) fc(128,1)"
_AUXILIARY = "fc(128,64) fc(64,64) fc(64,10)"

_CHOSEN = "structure and recipe chosen by 4-fold cross-validation on the training pairs of draws of their own"
_ORDER = Recipe(
    learning_rate=0.02,
    loss_ratio=1.0,
    optimiser="adamw",
    weight_decay=0.1,
    betas=(0.9, 0.99),
    schedule="cosine",
    warm_up=0.2,
    recalibrate=True,
)

VARIANTS = (
    # Table I: only fully-connected, only convolutional, both
    Variant(name="fc_1", net="fc(392,196) fc(196,98) fc(98,1)", parameters=96_433),
    Variant(name="fc_2", net="fc(392,196) fc(196,196) fc(196,98) fc(98,98) fc(98,1)", parameters=144_747),
    Variant(name="fc_3", net="fc(392,784) fc(784,784) fc(784,1)", parameters=924_337),
    Variant(name="conv_1", net="conv(2,10,5)* BN P(2) conv(10,20,3)* BN conv(20,1,3)*", parameters=2_571),
    Variant(name="conv_2", net="conv(2,50,5)* BN P(2) conv(50,100,3)* BN conv(100,1,3)*", parameters=48_851),
    Variant(name="conv_3", net="conv(2,10,3)* P(2) conv(10,20,3)* conv(20,40,3)* conv(40,1,2)*", parameters=9_411),
    Variant(
        name="cnn_base",
        net="conv(2,32,3) BN P(2) conv(32,64,3) BN P(2) conv(64,128,3) BN P(2) fc(128,64) fc(64,64) fc(64,1)",
        parameters=105_889,
    ),
    # Table III: weight sharing, auxiliary losses, dropout
    Variant(name="no_w_net", tower=_TOWER_BN, shared=False, head=_HEAD, parameters=235_777),
    Variant(
        name="w_net",
        tower=_TOWER_BN,
        head=_HEAD,
        parameters=142_657,
        note="the paper prints 142,658, which no structure of this shape has",
    ),
    Variant(name="a_net", tower=_TOWER_BN, shared=False, head=_HEAD, auxiliary=_AUXILIARY, parameters=248_843),
    Variant(
        name="a_w_net",
        tower=_TOWER,
        head=_HEAD,
        auxiliary=_AUXILIARY,
        parameters=155_275,
        note="the printed count leaves no room for BN; a_w_net_bn has it",
    ),
    Variant(name="final_model", tower=f"{_TOWER} D(0.4)", head=_HEAD, auxiliary=_AUXILIARY, parameters=155_275),
    # the two rows whose printed counts say "without BN" while the paper's text says "with"
    Variant(name="a_w_net_bn", tower=_TOWER_BN, head=_HEAD, auxiliary=_AUXILIARY, parameters=155_723),
    Variant(name="final_model_bn", tower=f"{_TOWER_BN} D(0.4)", head=_HEAD, auxiliary=_AUXILIARY, parameters=155_723),
    # beyond the paper: weights shared to the end; structures and recipes chosen by cross-validation on training pairs
    Variant(
        name="order_net",
        tower="conv(1,32,3) BN conv(32,32,3) BN P(2) conv(32,64,3) BN conv(64,64,3) BN P(2) conv(64,96,3) BN G "
        "fc(96,10) softmax",
        head="order(10)",
        note=_CHOSEN,
        parameters=121_930,
        recipe=replace(_ORDER, epochs=120, weight_decay=0.2, warp=Warp(elastic=0.4)),
    ),
    Variant(
        name="order_net_s",
        tower="conv(1,12,3) BN conv(12,12,3) BN P(2) conv(12,16,3) BN conv(16,16,3) BN P(2) conv(16,24,3) BN G "
        "fc(24,10) softmax",
        head="order(10)",
        note=_CHOSEN,
        parameters=9_382,
        recipe=replace(_ORDER, epochs=150, warp=Warp(elastic=0.4)),
    ),
    Variant(
        name="order_net_xs",
        tower="conv(1,8,3) BN conv(8,8,3) BN P(2) conv(8,9,3) BN conv(9,9,3) BN P(2) fc(81,10) softmax",
        head="order(10)",
        note=_CHOSEN,
        parameters=2_947,
        recipe=replace(_ORDER, epochs=200, warp=Warp(elastic=0.3)),
    ),
    Variant(
        name="order_net_fast",
        tower="conv(1,24,4)*2 BN conv(24,32,3) BN P(2) fc(288,10) softmax",
        head="order(10)",
        note=_CHOSEN,
        parameters=10_354,
        recipe=Recipe(
            epochs=3,
            batch=50,
            learning_rate=0.03,
            loss_ratio=1.0,
            optimiser="adamw",
            weight_decay=0.05,
            betas=(0.85, 0.95),
            schedule="linear",
            warm_up=0.2,
        ),
    ),
)


def find_variant(name: str) -> Variant:
    """The row called `name`.  ValueError with the nearest names where there is none."""
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    names = [variant.name for variant in VARIANTS]
    near = difflib.get_close_matches(name.lower().replace("-", "_"), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"
    raise ValueError(f'no variant is called "{name}"; {hint}')


def count_parameters(variant: Variant) -> int:
    """Trainable values, counted from the layers (an independent count comes from the built module in the tests)."""
    if variant.net:
        return notation.count_parameters(variant.net_layers, PAIR)
    features = notation.output_shape(variant.tower_layers, IMAGE)
    towers = (1 if variant.shared else 2) * notation.count_parameters(variant.tower_layers, IMAGE)
    head = notation.count_parameters(variant.head_layers, _doubled(features))
    return towers + head + notation.count_parameters(variant.auxiliary_layers, features)


def count_multiply_adds(variant: Variant) -> int:
    """Multiply-adds for one pair as it is served: the auxiliary classifier is left out, as in the paper's testing."""
    if variant.net:
        return notation.count_multiply_adds(variant.net_layers, PAIR)
    features = notation.output_shape(variant.tower_layers, IMAGE)
    head = notation.count_multiply_adds(variant.head_layers, _doubled(features))
    return 2 * notation.count_multiply_adds(variant.tower_layers, IMAGE) + head


def check(variant: Variant) -> None:
    """NotationError, with the row's name, where layers do not fit, end in the wrong shape, or the count is off."""
    try:
        _check_shapes(variant)
    except NotationError as error:
        raise NotationError(f"{variant.name}: {error}") from None
    if (counted := count_parameters(variant)) != variant.parameters:
        raise NotationError(
            f"{variant.name}: the row claims {variant.parameters:,} parameters, its layers hold {counted:,}"
        )


def _check_shapes(variant: Variant) -> None:
    if bool(variant.net) == bool(variant.tower and variant.head):
        raise NotationError("a row has either a net, or a tower and a head")
    for layers in (variant.net_layers, variant.tower_layers, variant.head_layers, variant.auxiliary_layers):
        _check_repeats(layers)
    if variant.net:
        _expect("net", notation.output_shape(variant.net_layers, PAIR), 1)
        if variant.auxiliary:
            raise NotationError("an auxiliary classifier needs a tower: a net never sees one image alone")
        return
    features = notation.output_shape(variant.tower_layers, IMAGE)
    _expect("head", notation.output_shape(variant.head_layers, _doubled(features)), 1)
    if variant.orders and not isinstance(variant.tower_layers[-1], Softmax):
        raise NotationError(f"{variant.head} needs probabilities: the tower has to end in softmax")
    if variant.orders and variant.auxiliary:
        raise NotationError("a tower that ends in softmax classifies digits itself: leave the auxiliary classifier out")
    if variant.auxiliary:
        _expect("auxiliary classifier", notation.output_shape(variant.auxiliary_layers, features), CLASSES)


def _check_repeats(layers: tuple[Layer, ...]) -> None:
    """Layers are named after the conv or fc before them (norm1, pool1): each kind stands there once."""
    seen: set[type[Layer]] = set()
    for layer in layers:
        if isinstance(layer, Conv | Linear):
            seen.clear()
        elif type(layer) in seen:
            raise NotationError(f"{layer} is the second of its kind after one conv or fc; leave one out")
        seen.add(type(layer))


def _doubled(features: notation.Shape) -> notation.Shape:
    size = 1
    for extent in features:
        size *= extent
    return (2 * size,)


def _expect(part: str, shape: notation.Shape, values: int) -> None:
    size = 1
    for extent in shape:
        size *= extent
    if size != values:
        raise NotationError(f"the {part} ends in {size} values, not {values}")
