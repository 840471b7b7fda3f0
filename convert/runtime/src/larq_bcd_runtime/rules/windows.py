"""Convolutions, pools and dense layers."""

import math
from typing import Optional

from larq_bcd_runtime.rules.options import activation, padding, positive
from larq_bcd_runtime.rules.rule import Check, Operator, Rule, differ, require
from larq_bcd_runtime.rules.shapes import rank
from larq_bcd_runtime.rules.types import one_type, scaled, scaled_product, weighted


def _weights_of(operator: Operator) -> None:
    """The divisors of LiteRT's arithmetic."""
    weights = operator.first(2)[1]
    if weights.known is not None:
        require(0 not in weights.known, "the shape of the weights", weights.known, "without 0")


def _channels(operator: Operator) -> None:
    data, weights = operator.first(2)
    if data.known and weights.known and data.known[3] and weights.known[3]:
        channels, slices = data.known[3], weights.known[3]
        require(
            channels % slices == 0 and (weights.known[0] or 0) % (channels // slices) == 0,
            "the shape of the weights",
            weights.known,
            f"for groups of {channels} channels",
        )


def _depthwise(operator: Operator) -> None:
    weights = operator.first(2)[1]
    if weights.known:
        require(
            not differ(weights.known[0], 1), "dimension 0 of the weights", weights.known[0], "1"
        )


def _depthwise_channels(operator: Operator) -> None:
    data, weights = operator.first(2)
    if data.known and weights.known and data.known[3] is not None:
        channels = data.known[3]
        require(channels > 0, "the number of channels", channels, "at least 1")
        multiplier = operator.option(3)
        require(
            not differ(weights.known[3], channels * multiplier),
            "depth_multiplier",
            multiplier,
            f"what makes {weights.known[3]} channels of {channels}",
        )


def _biased(dimension: int) -> Check:
    """One value for each output channel, which is this dimension of the weights."""

    def check(operator: Operator) -> None:
        weights, bias = operator.first(2)[1], operator.input(2)
        if bias is None or bias.known is None or None in bias.known or not weights.known:
            return
        count: Optional[int] = weights.known[dimension]
        if count is not None:
            allowed = f"({count},), one for each output channel"
            require(
                math.prod(bias.shape) == count, "the shape of the bias", bias.known, allowed
            )

    return check


def _fits(operator: Operator) -> None:
    """LiteRT takes a window that is larger than the image for one of no pixels at all."""
    (data,) = operator.first(1)
    if data.known and operator.option(0, "<b") == 1:
        names = ("filter_height", 4), ("filter_width", 3)
        for size, (name, number) in zip(data.known[1:3], names):
            if size is not None:
                value = operator.option(number)
                require(value <= size, name, value, f"at most {size}, the pixels of the input")


def _features(operator: Operator) -> None:
    data, weights = operator.first(2)
    if weights.known is None or not data.known or None in data.known or not weights.known[1]:
        return
    features = weights.known[1]
    # keep_num_dims: the last dimension is what is multiplied; else whatever fills rows.
    if operator.option(2, "<?"):
        require(
            not differ(data.known[-1], features),
            "the last dimension of the input",
            data.known[-1],
            f"{features} as in the weights {weights.known}",
        )
    require(
        math.prod(data.shape) % features == 0,
        "the shape of the input",
        data.known,
        f"a multiple of {features} values, for the weights {weights.known}",
    )


_STRIDES = positive(stride_width=1, stride_height=2)
_WINDOW = (weighted, scaled_product, padding, _STRIDES)
_IMAGE_AND_WEIGHTS = (rank(0, 4), rank(1, 4))
_POOL = (
    one_type,
    padding,
    positive(stride_width=1, stride_height=2, filter_width=3, filter_height=4),
    activation(5),
)
_POOL_SHAPES = (rank(0, 4), _fits)
_BLOCKS = (one_type, positive(block_size=0))

RULES = {
    1: Rule("AVERAGE_POOL_2D", (1, 1), (*_POOL, scaled), _POOL_SHAPES, options=5),
    3: Rule(
        "CONV_2D",
        (2, 3),
        (*_WINDOW, positive(1, dilation_width=4, dilation_height=5), activation(3)),
        (*_IMAGE_AND_WEIGHTS, _weights_of, _channels, _biased(0)),
        options=1,
    ),
    # LiteRT crashes in one without a bias.
    4: Rule(
        "DEPTHWISE_CONV_2D",
        (3, 3),
        (*_WINDOW, positive(1, dilation_width=5, dilation_height=6), activation(4)),
        (*_IMAGE_AND_WEIGHTS, _weights_of, _depthwise, _depthwise_channels, _biased(3)),
        options=2,
    ),
    5: Rule("DEPTH_TO_SPACE", (1, 1), _BLOCKS, (rank(0, 4),), options=94),
    9: Rule(
        "FULLY_CONNECTED",
        (2, 3),
        (weighted, scaled_product, activation(0)),
        (rank(1, 2), _weights_of, _features, _biased(0)),
        options=8,
    ),
    17: Rule("MAX_POOL_2D", (1, 1), _POOL, _POOL_SHAPES, options=5),
    26: Rule("SPACE_TO_DEPTH", (1, 1), _BLOCKS, (rank(0, 4),), options=19),
    126: Rule("BATCH_MATMUL", (2, 2), (scaled,)),
}
