"""Passes over the Keras model: what trains in several layers and ships in one."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class MergedHeads:
    """A dense layer that stands for the mean of several."""

    name: str
    heads: tuple[str, ...]


def _outputs(layers: Iterable) -> dict[int, tf.keras.layers.Layer]:
    """The layer that yields a Keras tensor, for the layers that are called once."""
    producers = {}
    for layer in layers:
        try:
            output = layer.output
        except AttributeError:  # called several times, or never
            continue
        producers[id(output)] = layer
    return producers


def _is_plain_linear_dense(layer) -> bool:
    # Not a subclass: a quantized dense layer is not linear in its kernel.
    return (
        type(layer) is tf.keras.layers.Dense and layer.activation is tf.keras.activations.linear
    )


def merge_heads(
    model: tf.keras.Model,
) -> tuple[tf.keras.Model, MergedHeads | None]:
    """Merges dense heads whose mean is the model's output into one dense layer.

    The heads are affine in the same input x, and so is their mean:

        1/n sum_i (x W_i + b_i) = x (1/n sum_i W_i) + (1/n sum_i b_i)

    A head without bias has b_i = 0.

    The precondition: the model is functional, its only output comes from a
    `tf.keras.layers.Average` layer, and each input of that layer comes from a plain, linear
    `tf.keras.layers.Dense`, called once, all on the same tensor. Where it does not hold, the
    model is handed back as it is.

    Args:
        model: any Keras model; it is not changed.

    Returns:
        A model with the same input, shares all other layers with `model`, and what was
        merged; or `model` itself and None.
    """
    producers = _outputs(model.layers)
    if not model.outputs or len(model.outputs) != 1:
        return model, None
    mean = producers.get(id(model.outputs[0]))
    if mean is None or type(mean) is not tf.keras.layers.Average:
        return model, None
    heads = [head for tensor in mean.input if (head := producers.get(id(tensor))) is not None]
    if len(heads) != len(mean.input) or not all(map(_is_plain_linear_dense, heads)):
        return model, None
    features = heads[0].input
    if any(head.input is not features for head in heads):
        return model, None

    kernels = [head.kernel.numpy() for head in heads]
    biases = [head.bias.numpy() if head.use_bias else np.zeros(head.units) for head in heads]
    merged = tf.keras.layers.Dense(heads[0].units, name=mean.name, dtype=heads[0].dtype_policy)
    output = merged(features)
    # The mean in double precision: one rounding instead of one for each head.
    merged.set_weights(
        [np.mean(values, axis=0, dtype=np.float64) for values in (kernels, biases)]
    )
    outputs = tf.nest.pack_sequence_as(model.output, [output])
    folded = tf.keras.Model(model.input, outputs, name=model.name)
    return folded, MergedHeads(mean.name, tuple(head.name for head in heads))
