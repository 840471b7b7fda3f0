import warnings

import larq as lq
import numpy as np
import pytest
import reference
import tensorflow as tf
from helpers import randomize, run_layer_test

from larq_bcd.layers import (
    DynamicThreshold,
    DySign,
    LearnableBias,
    QuantConv2D,
    QuantShiftMLP,
    RSign,
)


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


CONSUMERS = {
    "convolution": lambda: QuantConv2D(4, 1, input_quantizer="approx_sign", name="consumer"),
    "larq's name": lambda: QuantConv2D(
        4, 1, input_quantizer=lq.quantizers.ApproxSign(), name="consumer"
    ),
    "mlp": lambda: QuantShiftMLP(4, name="consumer"),
}
SIGNS = {
    "RSign": lambda: RSign(name="signs"),
    "DySign": lambda: DySign(1, name="signs"),
    "activation": lambda: tf.keras.layers.Activation(lq.quantizers.ApproxSign(), name="signs"),
}


@pytest.mark.parametrize("consumer", CONSUMERS.values(), ids=CONSUMERS)
@pytest.mark.parametrize("signs", SIGNS.values(), ids=SIGNS)
def test_signing_signs_which_ends_the_gradient_is_warned_of(signs, consumer, rng):
    image = tf.keras.Input((4, 4, 8))
    with pytest.warns(UserWarning, match="consumer: input_quantizer=ApproxSign gets signs"):
        model = tf.keras.Model(image, consumer()(signs()(image)))
    images = tf.constant(rng.normal(size=(2, 4, 4, 8)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = model(images)
    assert not np.any(tape.gradient(outputs, images))


def test_signs_that_are_only_moved_are_signs_still(rng):
    image = tf.keras.Input((8, 8, 8))
    x = tf.keras.layers.MaxPooling2D()(RSign(name="signs")(image))
    x = tf.keras.layers.Reshape((2, 8, 8))(x)
    with pytest.warns(UserWarning, match="consumer: .* gets signs from signs"):
        outputs = CONSUMERS["convolution"]()(x)
    images = tf.constant(rng.normal(size=(2, 8, 8, 8)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = tf.keras.Model(image, outputs)(images)
    assert not np.any(tape.gradient(outputs, images))


@pytest.mark.parametrize("threshold", [LearnableBias, DynamicThreshold])
def test_thresholds_before_a_sign_and_signs_before_none_are_fine(threshold):
    image = tf.keras.Input((4, 4, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        QuantConv2D(4, 1, input_quantizer="approx_sign")(threshold()(image))
        pooled = tf.keras.layers.AveragePooling2D()(RSign()(image))
        QuantConv2D(4, 1, input_quantizer="approx_sign")(pooled)
        QuantConv2D(4, 1, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")(
            RSign()(image)
        )
        # Its derivative is one at 1 and -1.
        QuantConv2D(4, 1, input_quantizer="ste_sign")(RSign()(image))
