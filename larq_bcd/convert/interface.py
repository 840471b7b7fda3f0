"""What a Keras model takes and gives, one tensor after the other, and how they are called."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf


def input_names(model: tf.keras.Model) -> list[str]:
    """Names of the inputs, in the order of `model.inputs`.

    They are the keys where the model takes a dictionary, and else those of its input layers.
    """
    return _names(model.input, model.input_names)


def output_names(model: tf.keras.Model) -> list[str]:
    """Names of the outputs, in the order of `model.outputs`, likewise."""
    return _names(model.output, model.output_names)


def _names(structure, names: Sequence[str]) -> list[str]:
    if isinstance(structure, Mapping) and not any(map(tf.nest.is_nested, structure.values())):
        return sorted(map(str, structure))  # the order of tf.nest.flatten
    return list(names)


def is_image(tensor) -> bool:
    """Whether a Keras tensor has the shape of images of 1 or 3 channels."""
    return len(tensor.shape) == 4 and tensor.shape[-1] in (1, 3)


def infer(model: tf.keras.Model, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Calls a model for inference.

    Args:
        model: the model.
        tensors: one for each of `model.inputs`.

    Returns:
        One for each of `model.outputs`.
    """
    given = tf.nest.pack_sequence_as(model.input, tensors)
    return tf.nest.flatten(model(given, training=False))


def arrays_of(inputs: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    """A list of one array for each input, of that or of the only one."""
    return [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
