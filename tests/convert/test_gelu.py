"""The exact GELU, which Larq Compute Engine's converter takes to pieces."""

import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize

from larq_bcd.convert import convert
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.passes import restore_gelus
from larq_bcd.tflite.engines import FASTEST, UNFUSED, open_engine
from larq_bcd.tflite.graph import Graph

layers = tf.keras.layers


def _types(result):
    return [node.type for node in Graph(result.content).nodes]


@pytest.mark.parametrize("shape", [(), (5, 4, 32)])
def test_it_is_one_operator_again(shape):
    x = tf.keras.Input(shape)
    model = tf.keras.Model(x, layers.Activation("gelu")(x))
    result = convert(model)
    result.require_equal()
    assert _types(result) == ["GELU"]
    values = np.linspace(-6, 6, 9, dtype=np.float32).reshape(9, *[1] * len(shape))
    given = np.tile(values, (1, *shape))
    for engines in (FASTEST, *zip(UNFUSED)):  # the runtime first, where it is installed
        (y,) = open_engine(result.content, prefer=engines).predict(given)
        np.testing.assert_allclose(y, model(given), atol=1e-6)


def test_it_is_between_binary_convolutions_and_in_branches():
    image = tf.keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 3, activation="gelu")(image)
    y = tf.nn.gelu(layers.BatchNormalization()(binary_conv()(x)))
    z = tf.nn.gelu(binary_conv()(y), approximate=True)
    model = randomize(tf.keras.Model(image, tf.nn.gelu(x) + y * z))
    result = convert(model)
    result.require_equal()
    assert _types(result).count("GELU") == 4
    assert "Erfc" not in _types(result)


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: 0.5 * x * tf.math.erfc(x * -0.7),
        lambda x: 0.4 * x * tf.math.erfc(-x * 0.5**0.5),
        lambda x: 0.5 * x * tf.math.erfc(x * 0.5**0.5),
        lambda x: 0.5 * tf.square(x) * tf.math.erfc(-x * 0.5**0.5),
        lambda x: tf.math.erfc(-x * 0.5**0.5),
    ],
)
def test_what_is_nearly_one_stays(compute):
    x = tf.keras.Input((4, 4, 32))
    before = Graph(convert_model(tf.keras.Model(x, compute(x)))[0])
    assert restore_gelus(before).changed == []
    assert "Erfc" in [node.type for node in before.nodes]
