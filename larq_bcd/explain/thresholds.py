"""The thresholds that a network chooses for an image."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from larq_bcd.layers import DynamicThreshold, DynamicThresholdQuantConv2D


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of one sign.

    Attributes:
        layer: name of the layer that chooses them.
        static: what they are for every image, `(channels,)`.
        chosen: what they are for each image, `(images, channels)`.
    """

    layer: str
    static: np.ndarray
    chosen: np.ndarray


def chosen_thresholds(model: tf.keras.Model, images: np.ndarray) -> list[Thresholds]:
    """The thresholds that DySign or a contextual embedding chooses, beside the static ones.

    A sign is +1 where its input is at or above the threshold.

    Args:
        model: a functional network.
        images: float32 array `(images, height, width, channels)`.

    Returns:
        Those of each layer that chooses, in the order of the network; none for a network of
        static thresholds.
    """
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, DynamicThreshold | DynamicThresholdQuantConv2D)
    ]
    if not layers:
        return []
    view = tf.keras.Model(model.inputs, [layer.input for layer in layers])
    inputs = tf.nest.flatten(view(images, training=False))
    return [_of_layer(layer, tensor) for layer, tensor in zip(layers, inputs, strict=True)]


def _of_layer(layer: tf.keras.layers.Layer, tensor: tf.Tensor) -> Thresholds:
    if isinstance(layer, DynamicThreshold):
        static, chosen = layer.threshold, layer.thresholds(tensor)
    else:
        # The sign is of x + b - alpha.
        alpha, _ = layer.contextual_embedding(tensor)
        static, chosen = -layer.threshold, alpha - layer.threshold
    channels = chosen.shape[-1]
    return Thresholds(
        layer.name,
        tf.convert_to_tensor(static).numpy(),
        tf.reshape(tf.convert_to_tensor(chosen), (-1, channels)).numpy(),
    )
