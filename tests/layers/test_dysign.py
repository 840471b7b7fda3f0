import numpy as np
import pytest
import reference
import tensorflow as tf
from helpers import randomize, run_layer_test

from larq_bcd.activations import DynamicRPReLU, RPReLU
from larq_bcd.layers import DynamicThreshold, DySign, RSign


def hyper_function(layer, images):
    """W2 relu(W1 GAP(x) + b1) + b2, of shape (batch, 1, 1, outputs)."""
    g = layer.hyper_function
    hidden = images.mean((1, 2)) @ g.hidden_kernel.numpy() + g.hidden_bias.numpy()
    values = np.maximum(hidden, 0) @ g.output_kernel.numpy() + g.output_bias.numpy()
    return values[:, None, None, :]


def built(layer, rng, shape=(3, 4, 5, 16)):
    images = rng.normal(size=shape).astype(np.float32)
    layer(images)
    randomize(layer, rng)
    # One of the hidden values is cut off, and one is not.
    layer.hyper_function.hidden_bias.assign([-9.0, 9.0])
    return images


@pytest.mark.parametrize("layer", [DynamicThreshold, DySign])
def test_gauntlet(rng, tmp_path, layer):
    run_layer_test(layer, {"reduction": 4, "initializer": "ones"}, rng, tmp_path)


def test_gauntlet_of_the_activation(rng, tmp_path):
    run_layer_test(DynamicRPReLU, {"reduction": 4, "bias_initializer": "ones"}, rng, tmp_path)


def test_threshold_equals_its_equation(rng):
    layer = DynamicThreshold()
    images = built(layer, rng)
    thresholds = layer.threshold.numpy() + hyper_function(layer, images)
    np.testing.assert_allclose(layer.thresholds(images), thresholds, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layer(images), images - thresholds, rtol=1e-5, atol=1e-5)
    assert layer.hyper_function.hidden_kernel.shape == (16, 2)


def test_images_of_one_batch_have_thresholds_of_their_own(rng):
    layer = DynamicThreshold()
    images = built(layer, rng)
    alone = [layer.thresholds(image[None]) for image in images]
    together = layer.thresholds(images)
    np.testing.assert_allclose(together, tf.concat(alone, 0), rtol=1e-6, atol=1e-6)
    assert (together[0].numpy() != together[1].numpy()).any()


def test_sign_is_that_of_the_shifted_input_and_has_its_gradient(rng):
    shift, sign = DynamicThreshold(), DySign()
    images = built(shift, rng)
    sign(images)
    sign.set_weights(shift.get_weights())
    shifted = shift(images).numpy()
    np.testing.assert_array_equal(sign(images), reference.sign(shifted))
    upstream = rng.normal(size=images.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        signs = sign(images)
    gradient = tape.gradient(signs, sign.threshold, upstream)
    expected = -(upstream * reference.approx_sign_gradient(shifted)).sum((0, 1, 2))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


def test_a_new_dysign_is_a_static_sign(rng):
    images = rng.normal(size=(2, 3, 3, 8)).astype(np.float32)
    bias = rng.normal(size=8).astype(np.float32)
    static, dynamic = RSign(), DySign()
    static(images), dynamic(images)
    static.bias.assign(bias)
    dynamic.threshold.assign(-bias)
    np.testing.assert_array_equal(dynamic(images), static(images))


def test_activation_equals_its_equation(rng):
    layer = DynamicRPReLU()
    images = built(layer, rng)
    before, after = np.split(hyper_function(layer, images), 2, axis=-1)
    weights = [w.numpy() for w in (layer.bias_before, layer.slope, layer.bias_after)]
    expected = reference.rprelu(images, weights[0] + before, weights[1], weights[2] + after)
    np.testing.assert_allclose(layer(images), expected, rtol=1e-5, atol=1e-5)


def test_a_new_activation_is_the_static_one(rng):
    images = rng.normal(size=(2, 3, 3, 8)).astype(np.float32)
    np.testing.assert_array_equal(DynamicRPReLU()(images), RPReLU()(images))


@pytest.mark.parametrize("layer", [DynamicThreshold, DySign, DynamicRPReLU])
@pytest.mark.parametrize("reduction", [0, 2.0])
def test_other_reductions_are_refused(layer, reduction):
    with pytest.raises(ValueError, match=rf"reduction={reduction} is not supported"):
        layer(reduction=reduction)
