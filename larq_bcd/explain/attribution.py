"""Which pixels a unit depends on, by gradients."""

import numpy as np
import tensorflow as tf

from larq_bcd.errors import UserError


def feature_layer(model: tf.keras.Model, name: str | None = None) -> tf.keras.layers.Layer:
    """The layer of a name, or the last whose output is an image.

    Args:
        model: a functional network.
        name: name of a layer of NHWC output.

    Raises:
        UserError: if there is no such layer.
    """
    images = [layer for layer in model.layers if _is_image(layer.output_shape)]
    names = {layer.name: layer for layer in images}
    if name is not None and name not in names:
        raise UserError(
            f"{name!r} is not a layer of {model.name!r} with an image as its output: choose "
            f"one such as {', '.join(list(names)[-3:])}."
        )
    if not images:
        raise UserError(f"{model.name!r} has no layer with an image as its output.")
    return images[-1] if name is None else names[name]


def _is_image(shape) -> bool:
    return isinstance(shape, tuple) and len(shape) == 4


def effective_receptive_field(
    model: tf.keras.Model, images: np.ndarray, layer: str | None = None
) -> np.ndarray:
    """How much the central unit of a layer depends on each pixel.

    The mean magnitude, over images and colors, of the gradient of the unit's channel sum.
    The gradient of a sign is that of its surrogate in training.

    Source: *Understanding the Effective Receptive Field in Deep Convolutional Neural
    Networks* (arXiv 1701.04128).

    Args:
        model: a functional network.
        images: float32 array `(images, height, width, channels)`.
        layer: name of the layer, by default the last whose output is an image.

    Returns:
        Array `(height, width)` whose largest value is 1; of zeros if the unit depends on no
        pixel.

    Raises:
        UserError: if there is no such layer.
    """
    view = tf.keras.Model(model.inputs, feature_layer(model, layer).output)
    inputs = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        features = tf.cast(view(inputs, training=False), tf.float32)
        height, width = features.shape[1:3]
        unit = tf.reduce_sum(features[:, height // 2, width // 2])
    return _scaled(tf.reduce_mean(tf.abs(tape.gradient(unit, inputs)), axis=(0, 3)))


def grad_cam(
    model: tf.keras.Model,
    image: np.ndarray,
    label: int | None = None,
    layer: str | None = None,
) -> np.ndarray:
    """Where the evidence for a class is, as Grad-CAM has it.

    Source: *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization* (arXiv 1610.02391).

    Args:
        model: a functional classifier.
        image: float32 array `(height, width, channels)`.
        label: the class, by default the one that the network chooses.
        layer: name of the layer to look at, by default the last whose output is an image.

    Returns:
        Array `(height, width)` of the image's size, whose largest value is 1; of zeros if
        nothing speaks for the class.

    Raises:
        UserError: if there is no such layer.
    """
    view = tf.keras.Model(model.inputs, [feature_layer(model, layer).output, *model.outputs])
    with tf.GradientTape() as tape:
        features, logits = view(image[None], training=False)
        chosen = int(tf.argmax(logits[0])) if label is None else label
        score = logits[0, chosen]
    gradient = tape.gradient(score, features)
    weights = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
    evidence = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1, keepdims=True))
    enlarged = tf.image.resize(tf.cast(evidence, tf.float32), image.shape[:2])
    return _scaled(enlarged[0, ..., 0])


def _scaled(values: tf.Tensor) -> np.ndarray:
    return (values / tf.maximum(tf.reduce_max(values), 1e-12)).numpy()
