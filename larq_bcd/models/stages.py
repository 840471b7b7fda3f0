"""The features of a network at each of its sizes, for whoever builds on them."""

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from larq_bcd.errors import UserError
from larq_bcd.models._arguments import require_model


@dataclass(frozen=True)
class FeatureStage:
    """The last features of one size in a network.

    Attributes:
        name: of the layer that computes them.
        reduction: pixels of the image per position, in height and in width.
        channels: their number.
        output: the Keras tensor, `(batch, height / reduction, width / reduction, channels)`.
    """

    name: str
    reduction: int
    channels: int
    output: Any


def feature_stages(model: tf.keras.Model) -> list[FeatureStage]:
    """Returns the features of a network at each of its sizes, as timm's `features_only`.

    They are those that all later ones are computed from: the output of the last unit of a
    size, and not what is within a unit.

        stages = feature_stages(model)
        backbone = tf.keras.Model(model.input, [stage.output for stage in stages])

    Args:
        model: a functional model of one image of fixed size.

    Returns:
        The stages, those of the largest features first.

    Raises:
        UserError: if it is not a model of Keras 2, or the size of the image is open.
    """
    require_model(model)
    shape = tuple(model.input_shape)
    if len(shape) != 4 or None in shape[1:]:
        raise UserError(
            f"{model.name!r} takes {shape}: build it with a fixed input_shape, such as "
            "(224, 224, 3)."
        )
    found = {}
    for name in _trunk(model):
        layer = model.get_layer(name)
        is_input = isinstance(layer, tf.keras.layers.InputLayer)
        reduction = None if is_input else _reduction(shape, layer.output_shape)
        if reduction is not None:
            channels = layer.output_shape[-1]
            found[reduction] = FeatureStage(name, reduction, channels, layer.output)
    return [found[reduction] for reduction in sorted(found)]


def _trunk(model: tf.keras.Model) -> list[str]:
    """The layers that every path from the image to the output goes through, in order."""
    layers = model.get_config()["layers"]
    last_use: dict[str, int] = {}
    for number, layer in enumerate(layers):
        for node in layer["inbound_nodes"]:
            last_use |= dict.fromkeys((name for name, *_ in node), number)
    trunk, furthest = [], 0  # the layer that anything before is used by last
    for number, layer in enumerate(layers):
        if furthest <= number:
            trunk.append(layer["name"])
        furthest = max(furthest, last_use.get(layer["name"], 0))
    return trunk


def _reduction(image: tuple, features: tuple) -> int | None:
    """The pixels per position, or None of what has no positions of the image."""
    if len(features) != 4:
        return None
    for power in range(max(image[1:3]).bit_length()):
        sides = tuple(math.ceil(side / 2**power) for side in image[1:3])
        if features[1:3] == sides:
            return 2**power
    return None
