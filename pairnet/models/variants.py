"""THE table of variants: one literal row per network, in the paper's notation. A new variant is a new row."""

import difflib
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, get_args

from msgspec import Meta

from pairnet.errors import ArgumentError, NotationError
from pairnet.models import notation
from pairnet.models.notation import Activation, Conv, Dropout, Layer, Linear, Order, Softmax, show
from pairnet.models.recipes import Recipe, Warp

PAIR = (2, 14, 14)
IMAGE = (1, 14, 14)
CLASSES = 10

MOST_PARAMETERS = 2**40
"""Trainable values that a variant can state: far more than any memory holds."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Variant:
    """The structure and recipe of one network, from the paper or the user's own.

    Either `net` maps the pair, as one image of two channels, to a score: [2,14,14] -> 1. Or a `tower` maps each image
    to features, [1,14,14] -> F, and a `head` maps the features of both images to a score, 2F -> 1. Both images share
    one tower (`shared`, the paper's weight sharing), or each has its own. An `auxiliary` classifier, always shared,
    maps the features of an image to digit scores, F -> 10, for the auxiliary loss.

    `activation` is the function after each hidden layer of all parts. The paper's is ReLU, "not noted in the
    structures", so it is a field of the network and no token of the notation.

    `parameters` is the expected number of trainable values, which `check` compares with the layers; None is not
    checked. The number itself is `count_parameters(variant)`.
    """

    name: str
    parameters: Annotated[int, Meta(ge=0, le=MOST_PARAMETERS)] | None = None
    net: str = ""
    tower: str = ""
    head: str = ""
    auxiliary: str = ""
    shared: bool = True
    activation: Activation = "relu"
    recipe: Recipe = field(default_factory=Recipe)
    note: str = ""

    def __repr__(self) -> str:
        return f"Variant({self.name!r})"

    @cached_property
    def net_layers(self) -> tuple[Layer, ...]:
        """Layers over the pair; empty for a variant with a tower."""
        return notation.parse(self.net) if self.net else ()

    @cached_property
    def tower_layers(self) -> tuple[Layer, ...]:
        """Layers over one image; empty for a variant with a `net`."""
        return notation.parse(self.tower) if self.tower else ()

    @cached_property
    def head_layers(self) -> tuple[Layer, ...]:
        """Layers over the features of both images; empty for a variant with a `net`."""
        return notation.parse(self.head) if self.head else ()

    @cached_property
    def auxiliary_layers(self) -> tuple[Layer, ...]:
        """Layers from the features of one image to digit scores; empty without an auxiliary classifier."""
        return notation.parse(self.auxiliary) if self.auxiliary else ()

    @property
    def orders(self) -> bool:
        """Whether the tower outputs digit probabilities, which the head order(10) compares."""
        return bool(self.head) and isinstance(self.head_layers[-1], Order)

    @property
    def classifies_digits(self) -> bool:
        """Whether the network has digit scores, and so an auxiliary loss."""
        return bool(self.auxiliary) or self.orders

    @property
    def structure(self) -> str:
        """The whole network on one line, as it is recorded."""
        if self.net:
            return f"{self.net}{ending_of(self.activation)}"
        towers = f"both images: [{self.tower}]" if self.shared else f"each image its own: [{self.tower}]"
        auxiliary = f" | auxiliary, both images: {self.auxiliary}" if self.auxiliary else ""
        return f"{towers} | head: {self.head}{auxiliary}{ending_of(self.activation)}"


def ending_of(activation: Activation) -> str:
    """What the one-line structure of a network ends in: nothing for ReLU, which the paper does not note either."""
    return "" if activation == "relu" else f" | activation: {activation}"


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
    # Table I: fully-connected layers, convolutions, or both
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
    # the two rows whose printed counts are without BN, although the paper's text is about networks with BN
    Variant(name="a_w_net_bn", tower=_TOWER_BN, head=_HEAD, auxiliary=_AUXILIARY, parameters=155_723),
    Variant(name="final_model_bn", tower=f"{_TOWER_BN} D(0.4)", head=_HEAD, auxiliary=_AUXILIARY, parameters=155_723),
    # extensions: all weights are shared; structures and recipes chosen by cross-validation on training pairs
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


def list_variants() -> tuple[Variant, ...]:
    """All rows of the table. Raises ArgumentError if two rows have the same name."""
    names = [variant.name for variant in VARIANTS]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(f'expected different names in VARIANTS, got "{name}" more than once: rename a row')
    return VARIANTS


def find_variant(name: str) -> Variant:
    """The row with this name. Raises ArgumentError, with the most similar names, if there is none."""
    rows = {variant.name: variant for variant in list_variants()}
    if name in rows:
        return rows[name]
    near = difflib.get_close_matches(name.lower().replace("-", "_"), rows, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(rows)}"
    raise ArgumentError(f'expected the name of a variant, got "{name}": {hint}')


def in_standard_notation(variant: Variant) -> Variant:
    """The same variant with its structure as `show` writes it: spaces and line breaks do not distinguish variants."""
    return replace(
        variant,
        net=show(variant.net_layers),
        tower=show(variant.tower_layers),
        head=show(variant.head_layers),
        auxiliary=show(variant.auxiliary_layers),
    )


def with_dropout(variant: Variant, probability: float) -> Variant:
    """`variant` with each D(...) of its tower set to `probability`.  ArgumentError if it has none."""
    layers = variant.tower_layers
    if not any(isinstance(layer, Dropout) for layer in layers):
        raise ArgumentError(f"{variant.name} has no dropout to set")
    changed = tuple(Dropout(probability) if isinstance(layer, Dropout) else layer for layer in layers)
    return replace(variant, tower=show(changed))


def with_epochs(variant: Variant, epochs: int | None) -> Variant:
    """`variant` trained for so many epochs; None keeps the number of its recipe."""
    return variant if epochs is None else replace(variant, recipe=replace(variant.recipe, epochs=epochs))


def count_parameters(variant: Variant) -> int:
    """Number of trainable values, computed from the layers. (The tests compare it with the built modules.)"""
    if variant.net:
        return notation.count_parameters(variant.net_layers, PAIR)
    features = notation.output_shape(variant.tower_layers, IMAGE)
    towers = (1 if variant.shared else 2) * notation.count_parameters(variant.tower_layers, IMAGE)
    head = notation.count_parameters(variant.head_layers, (2 * math.prod(features),))
    return towers + head + notation.count_parameters(variant.auxiliary_layers, features)


def count_multiply_adds(variant: Variant) -> int:
    """Multiply-adds for one pair in inference, without the auxiliary classifier, as in the paper's testing."""
    if variant.net:
        return notation.count_multiply_adds(variant.net_layers, PAIR)
    features = notation.output_shape(variant.tower_layers, IMAGE)
    head = notation.count_multiply_adds(variant.head_layers, (2 * math.prod(features),))
    return 2 * notation.count_multiply_adds(variant.tower_layers, IMAGE) + head


def check(variant: Variant) -> None:
    """Raise NotationError, with the variant's name, if the layers do not fit or the stated count is not theirs."""
    try:
        _check_structure(variant)
    except NotationError as error:
        raise NotationError(f"{variant.name}: {error}") from None
    if variant.parameters is not None and (count := count_parameters(variant)) != variant.parameters:
        raise NotationError(
            f"{variant.name}: expected {variant.parameters:,} parameters as stated, got {count:,} in its layers: "
            "correct one of them"
        )


def _check_structure(variant: Variant) -> None:
    parts = (bool(variant.net), bool(variant.tower), bool(variant.head))
    if parts not in ((True, False, False), (False, True, True)):
        given = ", ".join(part for part in ("net", "tower", "head") if getattr(variant, part)) or "none of them"
        raise NotationError(f"expected either a net, or a tower and a head, got {given}: add or remove a part")
    if variant.activation not in get_args(Activation):
        raise NotationError(
            f'expected `activation` to be one of {", ".join(get_args(Activation))}, got "{variant.activation}": '
            "choose one of these"
        )
    for layers in (variant.net_layers, variant.tower_layers, variant.head_layers, variant.auxiliary_layers):
        _check_repeats(layers)
    _check_order(variant)
    if variant.net:
        _check_size("net", notation.output_shape(variant.net_layers, PAIR), 1)
        if variant.auxiliary:
            raise NotationError(
                "expected a tower for the auxiliary classifier, got a net, which has no features of a single image: "
                "remove one of the two"
            )
        return
    features = math.prod(notation.output_shape(variant.tower_layers, IMAGE))
    _check_size("head", notation.output_shape(variant.head_layers, (2 * features,)), 1)
    if variant.auxiliary:
        _check_size("auxiliary classifier", notation.output_shape(variant.auxiliary_layers, (features,)), CLASSES)


def _check_order(variant: Variant) -> None:
    """Softmax and order(10) are used together: at the end of the tower, and as the whole head."""
    order, softmax = variant.head_layers == (Order(CLASSES),), variant.tower_layers[-1:] == (Softmax(),)
    others = (*variant.net_layers, *variant.auxiliary_layers)
    others += variant.tower_layers[:-1] if softmax else variant.tower_layers
    others += () if order else variant.head_layers
    if order != softmax or any(isinstance(layer, Softmax | Order) for layer in others):
        raise NotationError(
            f"expected softmax only at the end of the tower, with the head order({CLASSES}), and order only there: "
            "use both or neither"
        )
    if order and variant.auxiliary:
        raise NotationError(
            "expected no auxiliary classifier for a tower that ends in softmax, got one: the tower classifies digits; "
            "remove it"
        )


def _check_repeats(layers: tuple[Layer, ...]) -> None:
    """Layers are named by the number of the last conv or fc (norm1, pool1), so each kind occurs once after it."""
    seen: set[type[Layer]] = set()
    for layer in layers:
        if isinstance(layer, Conv | Linear):
            seen.clear()
        elif type(layer) in seen:
            raise NotationError(f"expected one {layer} at most after a conv or fc, got a second one: remove it")
        seen.add(type(layer))


def _check_size(part: str, shape: notation.Shape, expected: int) -> None:
    if (size := math.prod(shape)) != expected:
        raise NotationError(f"expected {expected} values from the {part}, got {size}: change its last layer")
