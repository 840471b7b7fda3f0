import numpy as np
import reference
import tensorflow as tf
from helpers import randomize, run_layer_test

from larq_bcd.layers import RSign


def test_gauntlet(rng, tmp_path):
    run_layer_test(RSign, {"initializer": "ones"}, rng, tmp_path)


def test_equals_its_equation_and_zero_is_positive(rng):
    layer = RSign()
    images = rng.integers(-2, 3, size=(2, 3, 4, 5)).astype(np.float32)
    layer(images)
    layer.bias.assign(rng.integers(-1, 2, size=5))
    expected = reference.sign(images + layer.bias.numpy())
    np.testing.assert_array_equal(layer(images), expected)


def test_gradients_of_input_and_threshold_equal_the_equation(rng):
    layer = RSign()
    images = tf.constant(rng.normal(size=(2, 3, 4, 5)).astype(np.float32))
    layer(images)
    randomize(layer, rng)
    upstream = rng.normal(size=images.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images)
    to_images, to_bias = tape.gradient(outputs, [images, layer.bias], upstream)
    expected = upstream * reference.approx_sign_gradient(images + layer.bias.numpy())
    np.testing.assert_allclose(to_images, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_bias, expected.sum((0, 1, 2)), rtol=1e-4, atol=1e-5)
