"""Weights for a network that nobody has trained: its file is like that of a trained one."""

import numpy as np
import tensorflow as tf

_LARGEST = 1e4  # outputs that a trained network may have


def as_if_trained(model: tf.keras.Model) -> tf.keras.Model:
    """Moves the weights of a new network away from where the file would be another one.

    The binary kernels of a new network are all positive, as in the official code, and the
    converter stores equal filters once; biases that are zero it leaves out. The file would be
    smaller and faster than that of a trained network.
    """
    rng = np.random.default_rng(0)
    for variable in model.trainable_weights:
        if variable.shape.rank == 4:
            signs = rng.choice(np.array([-1, 1], np.float32), variable.shape)
            variable.assign(variable.numpy() * signs)
        else:
            size = 0.1 if variable.shape.rank == 1 else 0.01
            variable.assign_add(rng.normal(0, size, variable.shape).astype(np.float32))
    calibrate(model, rng)
    return model


def calibrate(model: tf.keras.Model, rng: np.random.Generator) -> None:
    """Gives batch norms the statistics of noise if the values of a network grow without them.

    Those of a new network are 0 and 1, as no data have. Where blocks multiply activations by
    others, values of 1e8 come out, which float32 holds to a few units: no check could tell
    rounding from a fault.
    """
    image = rng.normal(size=(1, *model.inputs[0].shape[1:])).astype(np.float32)
    outputs = tf.nest.flatten(model(image, training=False))
    if max(float(tf.reduce_max(tf.abs(output))) for output in outputs) < _LARGEST:
        return
    set_statistics(model, image)


def set_statistics(model: tf.keras.Model, images: np.ndarray) -> None:
    """Gives batch norms the statistics of what a network makes of images.

    Args:
        model: a built model; it is changed.
        images: a batch of its inputs.
    """
    norms = [
        layer
        for layer in model.submodules
        if isinstance(layer, tf.keras.layers.BatchNormalization)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
