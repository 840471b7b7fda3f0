import numpy as np
import pytest
import reference
import tensorflow as tf
from helpers import randomize, run_layer_test

from larq_bcd.activations import DynamicRPReLU, RPReLU


def test_gauntlet(rng, tmp_path):
    run_layer_test(RPReLU, {"bias_initializer": "ones"}, rng, tmp_path)


def test_equals_its_equation(rng):
    layer = RPReLU()
    images = rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
    layer(images)
    randomize(layer, rng)
    weights = [w.numpy() for w in (layer.bias_before, layer.slope, layer.bias_after)]
    expected = reference.rprelu(images.astype(np.float64), *weights)
    np.testing.assert_allclose(layer(images).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_starts_as_prelu_of_slope_a_quarter():
    values = tf.reshape(tf.constant([-4.0, 0.0, 4.0]), (1, 1, 3, 1))
    np.testing.assert_array_equal(tf.reshape(RPReLU()(values), [-1]), [-1.0, 0.0, 4.0])


def test_gradients_equal_the_equation(rng):
    layer = RPReLU()
    images = rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
    layer(images)
    randomize(layer, rng)
    upstream = rng.normal(size=images.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        inputs = tf.constant(images)
        tape.watch(inputs)
        outputs = layer(inputs)
    sources = [inputs, layer.bias_before, layer.slope, layer.bias_after]
    of_inputs, before, slope, after = tape.gradient(outputs, sources, upstream)
    shifted = images + layer.bias_before.numpy()
    below = shifted < 0
    kwargs = {"rtol": 1e-4, "atol": 1e-5}
    expected = upstream * np.where(below, layer.slope.numpy(), 1)
    np.testing.assert_allclose(of_inputs, expected, **kwargs)
    np.testing.assert_allclose(before, expected.sum((0, 1, 2)), **kwargs)
    np.testing.assert_allclose(slope, (upstream * shifted * below).sum((0, 1, 2)), **kwargs)
    np.testing.assert_allclose(after, upstream.sum((0, 1, 2)), **kwargs)


@pytest.mark.parametrize("kind", [RPReLU, DynamicRPReLU])
def test_compiled_training_equals_eager(kind, rng):
    layer = kind()
    images = tf.constant(rng.normal(size=(2, 4, 5, 8)).astype(np.float32))
    layer(images)
    randomize(layer, rng)
    upstream = tf.constant(rng.normal(size=images.shape).astype(np.float32))

    def both(training):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=training)
        sources = [images, *layer.trainable_variables]
        return outputs, *tape.gradient(outputs, sources, upstream)

    for compiled, eager in zip(tf.function(both)(True), both(False), strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-5)


def test_nchw_is_refused():
    with pytest.raises(ValueError, match=r"data_format='channels_first'.*Permute"):
        RPReLU(data_format="channels_first")
