"""Small networks for the tests of the conversion."""

import larq as lq
import numpy as np
import tensorflow as tf

from larq_bcd.convert.match import Match
from larq_bcd.tflite.graph import Graph, Value

BINARY = {
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
    "padding": "same",
    "pad_values": 1.0,
}


def binary_conv(filters=32, size=3, **options):
    return lq.layers.QuantConv2D(
        filters, size, **{"input_quantizer": "ste_sign", **BINARY, **options}
    )


def randomize(model, seed=0):
    """Weights as after training: no zeros, no ones, kernels of both signs."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        value = variable.numpy()
        if "variance" in variable.name:
            value = rng.uniform(0.5, 2, value.shape) * 20
        else:
            value = value + rng.normal(0, 0.2, value.shape)
        variable.assign(value)
    return model


def two_heads(x, name="logits", units=5):
    heads = [tf.keras.layers.Dense(units, name=n)(x) for n in ("fc", "fc_dist")]
    return tf.keras.layers.Average(name=name)(heads)


def small_model():
    """A stem, two binary convolutions with something between them, and two heads."""
    image = x = tf.keras.Input((12, 12, 3), name="image")
    x = tf.keras.layers.Conv2D(32, 3, strides=2, name="stem")(x)
    x = tf.keras.layers.BatchNormalization(name="stem_bn")(x)
    x = binary_conv(name="first")(x)
    x = tf.keras.layers.BatchNormalization(name="first_bn")(x)
    x = tf.keras.layers.PReLU(shared_axes=[1, 2])(x)
    x = binary_conv(name="second", kernel_quantizer="magnitude_aware_sign")(x)
    x = tf.keras.layers.BatchNormalization(name="second_bn")(x)
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    return randomize(tf.keras.Model(image, two_heads(x), name="small"))


def corrupted(file, node, position, change):
    """A copy of a file in which the constant at one input of an operator is changed."""
    copied = Graph(file.write())
    node = copied.nodes[file.nodes.index(node)]
    values = node.constant(position).copy()
    change(values.reshape(-1))
    before = node.inputs[position]
    node.set_input(position, Value.of(values, before.name, before.quantization))
    return copied


def transferred(matches, file):
    """The same matches with the operators of a copy of the file, known by what they write."""
    nodes = {node.outputs[0].name: node for node in file.nodes}
    return [
        Match(match.layer, match.node and nodes[match.node.outputs[0].name])
        for match in matches
    ]


def renamed(content, operator, name):
    """The file with a custom operator of another name."""
    assert len(operator) == len(name)
    assert content.count(operator.encode()) == 1
    return content.replace(operator.encode(), name.encode())
